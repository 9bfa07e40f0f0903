//! Mutual TLS 1.3 between nodes, over any stream.
//!
//! Who lacks the cluster's secret cannot end a handshake (`exchange.rs`). Whoever is let in shows a
//! certificate of the cluster's authority. It must count at this moment, unless the roster names
//! its key: the owner of that is let in whatever any clock says.

use std::fmt;
use std::io;
use std::sync::Arc;

use ed25519_dalek::SigningKey;
use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring as provided, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer, ServerName, TrustAnchor, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::version::TLS13;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, DistinguishedName, Error, ServerConfig,
    SignatureScheme,
};
use tokio_rustls::{TlsAcceptor, TlsConnector};
use webpki::{EndEntityCert, KeyUsage, anchor_from_trusted_cert};

use super::certificate::{Authority, Subject, name_of, node_of};
use super::exchange::{Drawn, Own, X25519, shaking_as};
use super::fingerprint::SPKI_PREFIX;
use super::own::{OwnCertificate, WallTime};
use super::{ClusterSecret, KnownKeys};
use crate::ids::NodeId;
use crate::membership::PublicKey;
use crate::observe::{mark, planted};
use crate::ports::{Env, Stream};

/// What stands before the 32 bytes of its secret half. Source: RFC 8410, section 7.
const PKCS8_PREFIX: [u8; 16] =
    [0x30, 0x2e, 2, 1, 0, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20];

/// Both sides of TLS for one node.
pub(super) struct Tls {
    connector: TlsConnector,
    acceptor: TlsAcceptor,
    own: Own,
}

impl fmt::Debug for Tls {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Tls")
    }
}

impl Tls {
    pub(super) fn new(
        secret: &ClusterSecret,
        node: NodeId,
        key: &SigningKey,
        known: KnownKeys,
        env: &Env,
    ) -> Tls {
        let provider = provider();
        let authority = Authority::of(secret);
        let anchor = anchor_from_trusted_cert(authority.certificate());
        let anchor = anchor.expect("our authority's certificate can be read").to_owned();
        let judge = Arc::new(Judge { anchors: vec![anchor], known, provider: provider.clone() });
        let time = Arc::new(WallTime(env.clock.clone()));
        let own = OwnCertificate::new(authority, Subject::Member(node), key, env.clock.clone());
        let own = Arc::new(own);
        let mut client = ClientConfig::builder_with_details(provider.clone(), time.clone())
            .with_protocol_versions(&[&TLS13])
            .expect("the provider has suites of TLS 1.3")
            .dangerous()
            .with_custom_certificate_verifier(judge.clone())
            .with_client_cert_resolver(own.clone());
        // A resumed session would not look at keys again.
        client.resumption = Resumption::disabled();
        client.enable_sni = false;
        let mut server = ServerConfig::builder_with_details(provider, time)
            .with_protocol_versions(&[&TLS13])
            .expect("the provider has suites of TLS 1.3")
            .with_client_cert_verifier(judge)
            .with_cert_resolver(own);
        server.send_tls13_tickets = 0;
        Tls {
            connector: TlsConnector::from(Arc::new(client)),
            acceptor: TlsAcceptor::from(Arc::new(server)),
            own: Own::new(env.entropy.clone(), secret),
        }
    }

    /// The calling side. Fails unless `to` is at the other end.
    pub(super) async fn open(
        &self,
        stream: Box<dyn Stream>,
        to: NodeId,
    ) -> io::Result<Box<dyn Stream>> {
        let name = ServerName::try_from(name_of(to)).expect("a node's name is a DNS name");
        let connecting = async { self.connector.connect(name, stream).await };
        Ok(Box::new(shaking_as(&self.own, connecting).await?))
    }

    /// The answering side. Returns who is at the other end.
    pub(super) async fn accept(
        &self,
        stream: Box<dyn Stream>,
    ) -> io::Result<(Box<dyn Stream>, NodeId)> {
        let accepting = async { self.acceptor.accept(stream).await };
        let stream = shaking_as(&self.own, accepting).await?;
        let shown = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
        let peer = shown.ok_or(Error::NoCertificatesPresented);
        let peer = peer.and_then(owner_of).map_err(io::Error::other)?;
        Ok((Box::new(stream), peer))
    }
}

/// The parts of TLS that are used, and the ways in which they are ours.
pub(super) fn provider() -> Arc<CryptoProvider> {
    Arc::new(CryptoProvider {
        cipher_suites: vec![
            provided::cipher_suite::TLS13_AES_128_GCM_SHA256,
            provided::cipher_suite::TLS13_CHACHA20_POLY1305_SHA256,
        ],
        kx_groups: vec![&X25519],
        secure_random: &Drawn,
        ..provided::default_provider()
    })
}

/// A node's key as the library wants it.
pub(super) fn signing(key: &SigningKey) -> PrivatePkcs8KeyDer<'static> {
    let mut pkcs8 = PKCS8_PREFIX.to_vec();
    pkcs8.extend(key.to_bytes());
    PrivatePkcs8KeyDer::from(pkcs8)
}

/// Lets peers in, or not.
#[derive(Debug)]
struct Judge {
    anchors: Vec<TrustAnchor<'static>>,
    known: KnownKeys,
    provider: Arc<CryptoProvider>,
}

impl Judge {
    fn judge(
        &self,
        shown: &CertificateDer<'_>,
        usage: KeyUsage,
        now: UnixTime,
    ) -> Result<NodeId, Error> {
        let certificate = EndEntityCert::try_from(shown).map_err(refusal)?;
        let (key, node) = (key_in(&certificate)?, named_in(&certificate)?);
        if planted("secret_not_asked") {
            return Ok(node);
        }
        let owner = self.known.owner(&key);
        let signed_at = |time| {
            let (algorithms, anchors) = ([webpki::ring::ED25519], &self.anchors);
            let checked =
                certificate.verify_for_usage(&algorithms, anchors, &[], time, usage, None, None);
            checked.map(drop)
        };
        let signed = match signed_at(now) {
            // Whose key is known is let in whatever the clocks say.
            Err(
                webpki::Error::CertExpired { not_after: valid, .. }
                | webpki::Error::CertNotValidYet { not_before: valid, .. },
            ) if owner.is_some() => {
                mark("security.clock_ignored");
                signed_at(valid)
            }
            signed => signed,
        };
        signed.map_err(refusal)?;
        match owner {
            Some(owner) if owner == node => Ok(node),
            Some(owner) => Err(Error::General(format!("the key of {owner} says to be {node}'s"))),
            None if self.known.has_key(node) => {
                Err(Error::General(format!("{node} has another key")))
            }
            None => {
                mark("security.unknown_key_certified");
                Ok(node)
            }
        }
    }
}

/// Whose certificate this is, after it was let in.
fn owner_of(shown: &CertificateDer<'_>) -> Result<NodeId, Error> {
    named_in(&EndEntityCert::try_from(shown).map_err(refusal)?)
}

pub(super) fn key_in(certificate: &EndEntityCert<'_>) -> Result<PublicKey, Error> {
    let info = certificate.subject_public_key_info();
    let key = info.as_ref().strip_prefix(&SPKI_PREFIX).and_then(|key| key.try_into().ok());
    key.ok_or(Error::InvalidCertificate(CertificateError::BadEncoding))
}

fn named_in(certificate: &EndEntityCert<'_>) -> Result<NodeId, Error> {
    let node = certificate.valid_dns_names().find_map(node_of);
    node.ok_or(Error::InvalidCertificate(CertificateError::NotValidForName))
}

pub(super) fn refusal(error: webpki::Error) -> Error {
    let error = match error {
        webpki::Error::BadDer | webpki::Error::BadDerTime => CertificateError::BadEncoding,
        webpki::Error::CertExpired { .. } => CertificateError::Expired,
        webpki::Error::CertNotValidYet { .. } => CertificateError::NotValidYet,
        // All authorities of ours have one name: then only its signature tells another's.
        webpki::Error::UnknownIssuer | webpki::Error::InvalidSignatureForPublicKey => {
            CertificateError::UnknownIssuer
        }
        // The library's own list, which may grow.
        other => CertificateError::Other(rustls::OtherError(Arc::new(other))),
    };
    Error::InvalidCertificate(error)
}

impl ServerCertVerifier for Judge {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let node = self.judge(end_entity, KeyUsage::server_auth(), now)?;
        if node_of(&server_name.to_str()) != Some(node) {
            return Err(Error::General(format!("{node} answers here")));
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::General("TLS 1.2 is not spoken here".to_owned()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }
}

impl ClientCertVerifier for Judge {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.judge(end_entity, KeyUsage::client_auth(), now)?;
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        ServerCertVerifier::verify_tls12_signature(self, message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        ServerCertVerifier::verify_tls13_signature(self, message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        ServerCertVerifier::supported_verify_schemes(self)
    }
}
