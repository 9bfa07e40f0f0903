//! The cluster's secret, and the keys that grow out of it.
//!
//! Invariants
//! - Neither the secret nor a key of it is ever printed; only a joiner is told it.
//! - Keys for different purposes tell nothing about each other or the secret.
//!
//! Source: RFC 5869 (HKDF), with SHA-256.

use std::fmt;
use std::sync::Arc;

use ed25519_dalek::SigningKey;
use ring::hkdf;
use zeroize::Zeroizing;

use super::Fingerprint;
#[cfg(feature = "api")]
use crate::membership::join_token::hex;
#[cfg(feature = "api")]
use crate::ports::Entropy;

/// The purpose of the authority's key.
pub(super) const AUTHORITY: &[u8] = b"authority";
/// The fewest bytes that a secret may have: as many as its keys.
const TEXT_SIZE_BYTES_MIN: usize = 32;
/// More is a mistaken file.
const TEXT_SIZE_BYTES_MAX: usize = 4_096;

/// A text that is too short for a secret, or too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the secret has {size_bytes} bytes and not {TEXT_SIZE_BYTES_MIN} to {TEXT_SIZE_BYTES_MAX}")]
pub struct UnfitSecret {
    /// How long it is.
    pub size_bytes: usize,
}

/// What every node of a cluster has, and nobody else. Cheap to clone.
#[derive(Clone)]
pub struct ClusterSecret(Arc<Inner>);

struct Inner {
    root: hkdf::Prk,
    /// For a node that joins.
    text: Zeroizing<String>,
}

impl fmt::Debug for ClusterSecret {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("ClusterSecret")
    }
}

/// By their texts. For what is found out by comparing, time tells nothing that counts.
impl PartialEq for ClusterSecret {
    fn eq(&self, other: &ClusterSecret) -> bool {
        self.0.text == other.0.text
    }
}

impl Eq for ClusterSecret {}

impl ClusterSecret {
    /// A new one, which nobody else has.
    #[cfg(feature = "api")]
    pub(crate) fn drawn(entropy: &dyn Entropy) -> ClusterSecret {
        let mut random = Zeroizing::new([0; 32]);
        entropy.fill("cluster secret", random.as_mut_slice());
        ClusterSecret::from_text(&hex(random.as_slice())).expect("64 digits are enough")
    }

    /// The secret that `text` is, without white space around it: 32 to 4,096 bytes that nobody
    /// can guess, such as what `openssl rand -hex 32` prints. Every node needs the same.
    ///
    /// It goes by their number: whether they can be guessed, nobody can tell.
    pub fn from_text(text: &str) -> Result<ClusterSecret, UnfitSecret> {
        let text = text.trim();
        if !(TEXT_SIZE_BYTES_MIN..=TEXT_SIZE_BYTES_MAX).contains(&text.len()) {
            return Err(UnfitSecret { size_bytes: text.len() });
        }
        let salt = hkdf::Salt::new(hkdf::HKDF_SHA256, b"quorate cluster secret 1");
        let (root, text) = (salt.extract(text.as_bytes()), Zeroizing::new(text.to_owned()));
        Ok(ClusterSecret(Arc::new(Inner { root, text })))
    }

    /// The text that it was made from. For other members only.
    pub(crate) fn text(&self) -> &str {
        &self.0.text
    }

    /// What people and programs know the cluster by: of the authority that grows out of it.
    pub fn fingerprint(&self) -> Fingerprint {
        let authority = SigningKey::from_bytes(&self.key(&[AUTHORITY]));
        Fingerprint::of_key(&authority.verifying_key().to_bytes())
    }

    /// The key for one purpose; the parts of `purpose` are told apart by their caller.
    pub(super) fn key(&self, purpose: &[&[u8]]) -> [u8; 32] {
        let mut key = [0; 32];
        let grown = self.0.root.expand(purpose, hkdf::HKDF_SHA256);
        grown.and_then(|grown| grown.fill(&mut key)).expect("32 bytes are one hash");
        key
    }
}
