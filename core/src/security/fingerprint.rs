//! Fingerprint: what people and programs compare to know whose key a server has shown.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::membership::PublicKey;
use crate::membership::join_token::{hex, unhex};

/// What stands before the 32 bytes of an ed25519 public key. Source: RFC 8410, section 4.
pub(super) const SPKI_PREFIX: [u8; 12] =
    [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 3, 0x21, 0];

/// Why a text is no fingerprint. Retry does not help.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("Q1072 this is no fingerprint; nothing was changed; copy all of its 64 hex digits")]
pub struct NoFingerprint;

/// SHA-256 of the public key of a node or of a cluster's authority, as its certificate holds it
/// (SubjectPublicKeyInfo). Text: 64 hexadecimal digits; colons between them are read, too.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    pub(crate) fn of_key(key: &PublicKey) -> Fingerprint {
        let digest = Sha256::new().chain_update(SPKI_PREFIX).chain_update(key);
        Fingerprint(digest.finalize().into())
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&hex(&self.0))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Fingerprint({self})")
    }
}

impl FromStr for Fingerprint {
    type Err = NoFingerprint;

    fn from_str(text: &str) -> Result<Fingerprint, NoFingerprint> {
        unhex(&text.trim().replace(':', "")).map(Fingerprint).ok_or(NoFingerprint)
    }
}

impl TryFrom<String> for Fingerprint {
    type Error = NoFingerprint;

    fn try_from(text: String) -> Result<Fingerprint, NoFingerprint> {
        text.parse()
    }
}

impl From<Fingerprint> for String {
    fn from(fingerprint: Fingerprint) -> String {
        fingerprint.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fingerprint_is_that_of_the_key_in_a_certificate_and_read_as_it_is_shown() {
        // openssl pkey -pubin -outform DER | sha256sum, for the key of RFC 8032, 7.1, test 1.
        let key = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";
        let found = Fingerprint::of_key(&unhex(key).expect("64 digits"));
        let text = found.to_string();
        assert_eq!(text, "06e3fd8fda29bb60ab59557de61edb0aecdb231134be30e75b455f8e1b792fa9");
        assert_eq!(text.parse(), Ok(found));
        let colons: Vec<&str> = (0..32).map(|at| &text[2 * at..2 * at + 2]).collect();
        assert_eq!(colons.join(":").to_uppercase().parse(), Ok(found));
        for wrong in ["", &text[1..], &format!("{text}0")] {
            assert_eq!(wrong.parse::<Fingerprint>(), Err(NoFingerprint), "{wrong}");
        }
    }
}
