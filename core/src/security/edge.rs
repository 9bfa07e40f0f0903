//! The API's side of TLS: anybody may shake hands, and is shown who this node is.
//!
//! It certifies itself by the cluster's authority, or by its own key while there is no secret. The
//! chain holds the authority's certificate too, so that a client can compare fingerprints.
//!
//! Read next: `trust.rs` for the client's side.

use std::fmt;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;

use ed25519_dalek::SigningKey;
use rustls::ServerConfig;
use rustls::version::TLS13;
use tokio_rustls::TlsAcceptor;

use super::certificate::{Authority, Subject};
use super::exchange::{Own, shaking_as};
use super::own::{OwnCertificate, WallTime};
use super::tls::provider;
use super::{ClusterSecret, Fingerprint};
use crate::ports::{Env, Stream};

/// What a node shows to clients. Clones share it.
#[derive(Clone)]
pub(crate) struct Edge {
    acceptor: TlsAcceptor,
    own: Own,
    fingerprint: Fingerprint,
}

impl fmt::Debug for Edge {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Edge").field("fingerprint", &self.fingerprint).finish_non_exhaustive()
    }
}

impl Edge {
    /// For the node with this key at this address.
    pub(crate) fn new(
        secret: Option<&ClusterSecret>,
        key: &SigningKey,
        address: IpAddr,
        env: &Env,
    ) -> Edge {
        let authority = secret.map_or_else(|| Authority::with(key), Authority::of);
        let fingerprint = authority.fingerprint();
        let subject = Subject::Server { address };
        let shown = OwnCertificate::new(authority, subject, key, env.clock.clone());
        let time = Arc::new(WallTime(env.clock.clone()));
        let mut server = ServerConfig::builder_with_details(provider(), time)
            .with_protocol_versions(&[&TLS13])
            .expect("the provider has suites of TLS 1.3")
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(shown));
        server.send_tls13_tickets = 0;
        server.alpn_protocols = vec![b"http/1.1".to_vec()];
        let acceptor = TlsAcceptor::from(Arc::new(server));
        Edge { acceptor, own: Own::open(env.entropy.clone()), fingerprint }
    }

    /// Of the authority that certifies this node.
    pub(crate) fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }

    /// Makes the answering side of a stream.
    pub(crate) async fn accept(&self, stream: Box<dyn Stream>) -> io::Result<Box<dyn Stream>> {
        let accepting = async { self.acceptor.accept(stream).await };
        Ok(Box::new(shaking_as(&self.own, accepting).await?))
    }
}
