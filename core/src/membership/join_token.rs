//! Join token: the text by which a node shows that it was invited into one cluster.
//!
//! It names the cluster, so that a node cannot join another one by mistake, and holds a secret of
//! 128 random bits. The cluster keeps the secret's SHA-256 only, so neither its log nor its
//! snapshots let anybody in.
//!
//! Invariants
//! - The text is made by [`JoinToken`]'s `Display` alone; `Debug`, which may be logged, hides it.
//!
//! Read next: `admissions.rs` for what a cluster does with it.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::ids::{ClusterId, LogIndex};

/// What the text begins with.
const PREFIX: &str = "qjt1";

/// Why a text is no join token. Retry does not help.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("Q1048 this is no join token; nothing was changed; copy all of it, from qjt1- to its end")]
pub struct NoJoinToken;

/// SHA-256 of a token's secret, as the cluster keeps it.
pub type SecretHash = [u8; 32];

/// An invitation, as its holder has it. Text: `qjt1-`, the cluster's id, `-`, the token's id, `-`,
/// the secret; ids and secret as in hexadecimal digits, but for the token's, which is a number.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct JoinToken {
    /// Which cluster it is for.
    pub cluster: ClusterId,
    /// The entry that made it.
    pub id: LogIndex,
    /// What only its holder knows.
    pub secret: [u8; 16],
}

impl JoinToken {
    /// What the cluster knows of the secret.
    pub fn secret_hash(&self) -> SecretHash {
        hash_of(&self.secret)
    }
}

/// What a cluster keeps of a secret.
pub fn hash_of(secret: &[u8; 16]) -> SecretHash {
    Sha256::digest(secret).into()
}

impl fmt::Display for JoinToken {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{PREFIX}-{}-{}-{}", self.cluster, self.id, hex(&self.secret))
    }
}

impl fmt::Debug for JoinToken {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "JoinToken({} of {}, secret hidden)", self.id, self.cluster)
    }
}

impl FromStr for JoinToken {
    type Err = NoJoinToken;

    fn from_str(text: &str) -> Result<JoinToken, NoJoinToken> {
        let mut parts = text.trim().split('-');
        let mut part = || parts.next().ok_or(NoJoinToken);
        let (prefix, cluster, id, secret) = (part()?, part()?, part()?, part()?);
        if prefix != PREFIX || parts.next().is_some() {
            return Err(NoJoinToken);
        }
        let cluster = ClusterId(unhex(cluster).ok_or(NoJoinToken)?);
        let id = id.bytes().all(|digit| digit.is_ascii_digit()).then_some(id);
        let id = id.and_then(|id| id.parse().ok()).map(LogIndex).ok_or(NoJoinToken)?;
        Ok(JoinToken { cluster, id, secret: unhex(secret).ok_or(NoJoinToken)? })
    }
}

impl TryFrom<String> for JoinToken {
    type Error = NoJoinToken;

    fn try_from(text: String) -> Result<JoinToken, NoJoinToken> {
        text.parse()
    }
}

impl From<JoinToken> for String {
    fn from(token: JoinToken) -> String {
        token.to_string()
    }
}

/// Two digits per byte.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The reverse of [`hex`], for exactly so many bytes.
pub(crate) fn unhex<const SIZE: usize>(text: &str) -> Option<[u8; SIZE]> {
    let digits = text.as_bytes();
    if digits.len() != 2 * SIZE {
        return None;
    }
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let mut bytes = [0; SIZE];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = u8::try_from(digit(pair[0])? << 4 | digit(pair[1])?).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token() -> JoinToken {
        JoinToken { cluster: ClusterId([0xab; 16]), id: LogIndex(12), secret: [7; 16] }
    }

    #[test]
    fn a_token_is_read_as_it_is_shown_and_never_shown_in_a_log() {
        let text = token().to_string();
        let cluster = "ab".repeat(16);
        assert_eq!(text, format!("qjt1-{cluster}-12-{}", "07".repeat(16)));
        assert_eq!(text.parse(), Ok(token()));
        assert_eq!(format!(" {text}\n").parse(), Ok(token()));
        assert!(!format!("{:?}", token()).contains("0707"));
    }

    #[test]
    fn anything_else_is_refused() {
        let good = token().to_string();
        let shorter = (0..good.len()).map(|size| good[..size].to_owned());
        let other =
            [good.replace("-12-", "-+12-"), good.replace("qjt1", "qjt2"), good.clone() + "-"];
        for text in shorter.chain(other) {
            assert_eq!(text.parse::<JoinToken>(), Err(NoJoinToken), "{text}");
        }
    }

    #[test]
    fn the_hash_of_a_secret_never_changes() {
        let known = "374708fff7719dd5979ec875d56cd2286f6d3cf7ec317a3b25632aab28ec37bb";
        assert_eq!(hex(&hash_of(&[0; 16])), known);
    }
}
