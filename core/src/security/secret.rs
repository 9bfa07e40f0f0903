//! The cluster's secret, and the keys that grow out of it.
//!
//! Invariants
//! - Neither the secret nor a key of it is ever printed.
//! - Keys for different purposes tell nothing about each other or the secret.
//!
//! Source: RFC 5869 (HKDF), with SHA-256.

use std::fmt;

use ring::hkdf;

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
pub struct ClusterSecret {
    root: hkdf::Prk,
}

impl fmt::Debug for ClusterSecret {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("ClusterSecret")
    }
}

impl ClusterSecret {
    /// The secret that `text` is, without white space around it: 32 to 4,096 bytes that nobody
    /// can guess, such as what `openssl rand -hex 32` prints. Every node needs the same.
    ///
    /// It goes by their number: whether they can be guessed, nobody can tell.
    pub fn from_text(text: &str) -> Result<ClusterSecret, UnfitSecret> {
        let text = text.trim().as_bytes();
        if !(TEXT_SIZE_BYTES_MIN..=TEXT_SIZE_BYTES_MAX).contains(&text.len()) {
            return Err(UnfitSecret { size_bytes: text.len() });
        }
        let salt = hkdf::Salt::new(hkdf::HKDF_SHA256, b"quorate cluster secret 1");
        Ok(ClusterSecret { root: salt.extract(text) })
    }

    /// The key for one purpose; the parts of `purpose` are told apart by their caller.
    pub(super) fn key(&self, purpose: &[&[u8]]) -> [u8; 32] {
        let mut key = [0; 32];
        let grown = self.root.expand(purpose, hkdf::HKDF_SHA256);
        grown.and_then(|grown| grown.fill(&mut key)).expect("32 bytes are one hash");
        key
    }
}
