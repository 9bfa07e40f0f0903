//! Join token: the text by which a node shows that it was invited into one cluster.
//!
//! It names the cluster, so that a node cannot join another one by mistake, and what its members
//! are known by, so that the joiner hears from nobody else what their secret is. It holds a secret
//! of its own, 128 random bits. The cluster keeps the SHA-256 of that only, so neither its log nor
//! its snapshots let anybody in.
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
use crate::security::Fingerprint;

/// What the text begins with.
const PREFIX: &str = "qjt1";
/// The same of a token that names an authority.
const PREFIX_WITH_AUTHORITY: &str = "qjt2";

/// Why a text is no join token. Retry does not help.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("Q1048 this is no join token; nothing was changed; copy all of it, from qjt to its end")]
pub struct NoJoinToken;

/// SHA-256 of a token's secret, as the cluster keeps it.
pub type SecretHash = [u8; 32];

/// An invitation, as its holder has it. Text: `qjt1-`, the cluster's id, `-`, the token's id, `-`,
/// the secret; ids and secret as in hexadecimal digits, but for the token's, which is a number. Of
/// a cluster that has a secret: `qjt2-`, and at the end `-` and the authority's fingerprint.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct JoinToken {
    /// Which cluster it is for.
    pub cluster: ClusterId,
    /// The entry that made it.
    pub id: LogIndex,
    /// What only its holder knows.
    pub secret: [u8; 16],
    /// What the joiner knows the cluster's members by; it takes nobody else for one.
    pub authority: Option<Fingerprint>,
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
        let JoinToken { cluster, id, authority, .. } = self;
        let secret = hex(&self.secret);
        match authority {
            None => write!(out, "{PREFIX}-{cluster}-{id}-{secret}"),
            Some(authority) => {
                write!(out, "{PREFIX_WITH_AUTHORITY}-{cluster}-{id}-{secret}-{authority}")
            }
        }
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
        let authority = match prefix {
            PREFIX => None,
            PREFIX_WITH_AUTHORITY => Some(part()?.parse().map_err(|_| NoJoinToken)?),
            _ => return Err(NoJoinToken),
        };
        if parts.next().is_some() {
            return Err(NoJoinToken);
        }
        let cluster = ClusterId(unhex(cluster).ok_or(NoJoinToken)?);
        let id = id.bytes().all(|digit| digit.is_ascii_digit()).then_some(id);
        let id = id.and_then(|id| id.parse().ok()).map(LogIndex).ok_or(NoJoinToken)?;
        Ok(JoinToken { cluster, id, secret: unhex(secret).ok_or(NoJoinToken)?, authority })
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
        let authority = None;
        JoinToken { cluster: ClusterId([0xab; 16]), id: LogIndex(12), secret: [7; 16], authority }
    }

    fn of_authority() -> JoinToken {
        JoinToken { authority: Some("cd".repeat(32).parse().expect("64 digits")), ..token() }
    }

    #[test]
    fn a_token_is_read_as_it_is_shown_and_never_shown_in_a_log() {
        let text = token().to_string();
        let cluster = "ab".repeat(16);
        assert_eq!(text, format!("qjt1-{cluster}-12-{}", "07".repeat(16)));
        assert_eq!(text.parse(), Ok(token()));
        assert_eq!(format!(" {text}\n").parse(), Ok(token()));
        assert!(!format!("{:?}", token()).contains("0707"));
        let longer = of_authority().to_string();
        assert_eq!(longer, format!("{}-{}", text.replace("qjt1", "qjt2"), "cd".repeat(32)));
        assert_eq!(longer.parse(), Ok(of_authority()));
    }

    #[test]
    fn anything_else_is_refused() {
        let good = token().to_string();
        let longer = of_authority().to_string();
        let texts = [&good, &longer];
        let cut = |text: &String| (0..text.len()).map(|size| text[..size].to_owned()).collect();
        let shorter = texts.into_iter().flat_map::<Vec<String>, _>(cut).collect::<Vec<_>>();
        let other = [
            good.replace("-12-", "-+12-"),
            good.replace("qjt1", "qjt2"),
            longer.replace("qjt2", "qjt1"),
            longer.replace("cdcd", "xxxx"),
            longer + "-",
            good.clone() + "-",
        ];
        for text in shorter.into_iter().chain(other) {
            assert_eq!(text.parse::<JoinToken>(), Err(NoJoinToken), "{text}");
        }
    }

    #[test]
    fn the_hash_of_a_secret_never_changes() {
        let known = "374708fff7719dd5979ec875d56cd2286f6d3cf7ec317a3b25632aab28ec37bb";
        assert_eq!(hex(&hash_of(&[0; 16])), known);
    }
}
