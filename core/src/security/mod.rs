//! Security: what travels between nodes is authenticated and encrypted with one secret of the
//! cluster and a key of each node.
//!
//! It decides who is let in. Members trust each other: whoever has the secret and a member's key
//! may say anything as that member, and whoever has the secret may send datagrams as any.
//!
//! Invariants
//! - Without the cluster's secret nobody is heard on 8300 and 8301, or hears who is there.
//! - Over a stream nobody is a member whose key the roster names, without that key.
//! - Who is at the other end of a stream is known from its key, not from what it says.
//! - A datagram is accepted at most once.
//! - No clock decides about a key that the roster names.
//!
//! The API is for everybody who can prove to be a user; there only the server shows who it is.
//!
//! Read next: [`Protection`], then `tls.rs` for streams and `datagrams.rs` for datagrams; `edge.rs`
//! and `trust.rs` for the API.

mod certificate;
pub(crate) mod datagrams;
#[cfg(feature = "api")]
mod edge;
mod exchange;
mod fingerprint;
mod keys;
mod own;
mod secret;
#[cfg(test)]
pub(crate) mod tests;
mod tls;
#[cfg(feature = "api")]
mod trust;
mod window;

#[cfg(feature = "api")]
pub(crate) use edge::Edge;
pub use fingerprint::{Fingerprint, NoFingerprint};
pub(crate) use keys::KnownKeys;
pub use secret::{ClusterSecret, UnfitSecret};
#[cfg(feature = "api")]
pub use trust::{Seen, Trust};

use std::io;
use std::sync::Arc;

use ed25519_dalek::SigningKey;

use crate::codec::CodecError;
use crate::ids::NodeId;
use crate::ports::{Env, Stream};
use datagrams::Datagrams;
use tls::Tls;

/// How what one node sends to others is protected. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Protection {
    guard: Option<Arc<Guard>>,
}

#[derive(Debug)]
struct Guard {
    tls: Tls,
    secret: ClusterSecret,
    this: NodeId,
    boot_count: u64,
}

/// Which node it is.
pub(crate) struct Protected<'a> {
    pub(crate) node: NodeId,
    /// Grows from start to start.
    pub(crate) boot_count: u64,
    pub(crate) key: &'a SigningKey,
}

impl Protection {
    /// Bytes travel as they are, and everybody is believed. For networks that nobody else can
    /// enter.
    pub(crate) fn none() -> Protection {
        Protection { guard: None }
    }

    /// With the cluster's secret. `known` is asked at each connection.
    pub(crate) fn new(
        secret: &ClusterSecret,
        of: &Protected<'_>,
        known: KnownKeys,
        env: &Env,
    ) -> Protection {
        let Protected { node, boot_count, key } = *of;
        let tls = Tls::new(secret, node, key, known, env);
        let guard = Guard { tls, secret: secret.clone(), this: node, boot_count };
        Protection { guard: Some(Arc::new(guard)) }
    }

    /// Makes the calling side of a stream. Fails unless `to` is at the other end.
    pub(crate) async fn open(
        &self,
        stream: Box<dyn Stream>,
        to: NodeId,
    ) -> io::Result<Box<dyn Stream>> {
        match &self.guard {
            None => Ok(stream),
            Some(guard) => guard.tls.open(stream, to).await,
        }
    }

    /// Makes the answering side of a stream. Also returns who is at the other end, if that is
    /// known.
    pub(crate) async fn accept(
        &self,
        stream: Box<dyn Stream>,
    ) -> io::Result<(Box<dyn Stream>, Option<NodeId>)> {
        let Some(guard) = &self.guard else { return Ok((stream, None)) };
        let (stream, peer) = guard.tls.accept(stream).await?;
        Ok((stream, Some(peer)))
    }

    /// What protects this node's datagrams from now on, if anything does. Call it once: peers that
    /// know a session of this start take no other.
    pub(crate) fn datagrams(&self, env: &Env) -> Option<Datagrams> {
        let guard = self.guard.as_ref()?;
        let mut random = [0; 8];
        env.entropy.fill("datagram session", &mut random);
        Some(Datagrams::new(&guard.secret, guard.this, guard.boot_count, random))
    }
}

/// Refuses a frame that says to be of another node than the one at the other end of its stream.
pub(crate) fn check_peer(peer: Option<NodeId>, from: NodeId) -> Result<(), CodecError> {
    match peer.filter(|peer| *peer != from) {
        None => Ok(()),
        Some(peer) => Err(CodecError::Impostor { peer, from }),
    }
}

/// Why a stream ended, if it was for its bytes: they are refused, and not merely cut off.
pub(crate) fn refusal_in(error: &io::Error) -> Option<CodecError> {
    let cause = error.get_ref()?;
    let refused = cause.downcast_ref::<CodecError>().cloned();
    refused.or_else(|| {
        let detail = cause.downcast_ref::<rustls::Error>()?.to_string();
        Some(CodecError::Unprotected { detail })
    })
}
