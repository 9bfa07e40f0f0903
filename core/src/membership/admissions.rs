//! Admissions: who may join the cluster, and who has; the part of the roster that join tokens make.
//!
//! Pure and deterministic: changed only by `Roster::apply`, kept in every snapshot. Whether a token
//! has expired is judged by the wall time that stands in the entry, which its proposer read: clocks
//! may differ by that much, and nothing but the age of an invitation hangs on it.
//!
//! Invariants
//! - Using a token and adding its member are one entry: neither happens without the other.
//! - The same node that joins again, before it has voted, is answered as the first time, and uses
//!   nothing up: its first answer may be lost.
//!
//! Read next: [`Admissions::judge`], then `roster.rs`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::join_token::SecretHash;
use super::roster::{PublicKey, Role};
use crate::config::MemberSettings;
use crate::ids::{LogIndex, NodeId};
use crate::observe::{mark, planted};

/// So many tokens are kept; of those beyond, the oldest that lets nobody in is forgotten.
const TOKENS_COUNT_MAX: usize = 100;

/// Why a node may not join. Nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JoinRefusal {
    /// No such token, or another secret. Retry does not help.
    #[error(
        "Q1041 the cluster knows no such join token; nothing was changed; make one with \
         `cluster token create`"
    )]
    Unknown,
    /// Retry does not help.
    #[error(
        "Q1042 join token {id} is used up; nothing was changed; make another with \
         `cluster token create`"
    )]
    UsedUp {
        /// The token.
        id: LogIndex,
    },
    /// Retry does not help.
    #[error(
        "Q1043 join token {id} has expired {late_ms} ms ago; nothing was changed; make another \
         with `cluster token create`"
    )]
    Expired {
        /// The token.
        id: LogIndex,
        /// How long ago, by the clock of the node that was asked.
        late_ms: u64,
    },
    /// Retry does not help.
    #[error(
        "Q1044 join token {id} was revoked; nothing was changed; make another with \
         `cluster token create`"
    )]
    Revoked {
        /// The token.
        id: LogIndex,
    },
    /// Retry does not help: another node has that name.
    #[error(
        "Q1045 the name {name:?} belongs to {holder}; nothing was changed; choose another name"
    )]
    NameTaken {
        /// The name.
        name: String,
        /// The member that has it.
        holder: NodeId,
    },
    /// Retry does not help: what it has voted is gone with its data.
    #[error(
        "Q1046 {id} has joined with this key and votes by now; nothing was changed; remove {id}, \
         and let its machine join as another node with an empty data directory"
    )]
    VotesAlready {
        /// The member.
        id: NodeId,
    },
    /// Retry does not help: the roster's own rules.
    #[error("Q1047 {detail}; nothing was changed; look at the members in /cluster")]
    Roster {
        /// Which rule.
        detail: String,
    },
}

/// What the cluster knows of one join token; its id is the index of the entry that made it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Token {
    /// Of the secret.
    pub secret_hash: SecretHash,
    /// So many more may join by it.
    pub uses_left: u32,
    /// Milliseconds since 1970, by the clock of the node that was asked for it.
    pub expires_at_ms: u64,
    /// Whether somebody took it back.
    pub is_revoked: bool,
}

/// How a member came in by a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Joined {
    /// By which.
    pub token: LogIndex,
    /// Whether it is to vote even if that makes the number of voters even.
    pub wants_vote: bool,
}

/// A request to join, as it stands in the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Join {
    /// Name, address and ports.
    pub settings: MemberSettings,
    /// The key that the node has made.
    pub public_key: PublicKey,
    /// What it is for once promoted: `Full` or `Witness`.
    pub becomes: Role,
    /// Where it stands.
    pub zone: Option<String>,
    /// Whether it is to vote even if that makes the number of voters even.
    pub wants_vote: bool,
    /// The token.
    pub token: LogIndex,
    /// Of the secret that the node has shown.
    pub secret_hash: SecretHash,
    /// Wall time of the node that was asked, in milliseconds since 1970.
    pub now_ms: u64,
}

/// All tokens, and the members that came by one. Starts empty.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Admissions {
    tokens: BTreeMap<LogIndex, Token>,
    joined: BTreeMap<NodeId, Joined>,
}

impl Admissions {
    /// All tokens that are kept, by id.
    pub fn tokens(&self) -> impl Iterator<Item = (LogIndex, &Token)> {
        self.tokens.iter().map(|(id, token)| (*id, token))
    }

    /// How that member came in; `None` if it was no token.
    pub fn joined(&self, id: NodeId) -> Option<Joined> {
        self.joined.get(&id).copied()
    }

    /// Whether there is nothing to keep.
    pub(crate) fn is_empty(&self) -> bool {
        self.tokens.is_empty() && self.joined.is_empty()
    }

    /// Whether the token lets this node in. Whose id it would be is the roster's to say.
    pub(super) fn judge(&self, join: &Join) -> Result<(), JoinRefusal> {
        let (id, token) = (join.token, self.known(join)?);
        if token.is_revoked {
            return Err(JoinRefusal::Revoked { id });
        }
        if token.expires_at_ms <= join.now_ms {
            let late_ms = join.now_ms - token.expires_at_ms;
            return Err(JoinRefusal::Expired { id, late_ms });
        }
        if token.uses_left == 0 {
            return Err(JoinRefusal::UsedUp { id });
        }
        Ok(())
    }

    /// The token that the node has the secret of, whether or not it lets anybody in.
    pub(crate) fn known(&self, join: &Join) -> Result<&Token, JoinRefusal> {
        let token = self.tokens.get(&join.token);
        token.filter(|token| token.secret_hash == join.secret_hash).ok_or(JoinRefusal::Unknown)
    }

    /// Uses the token up by one, for this member. It was judged good.
    pub(super) fn admit(&mut self, id: NodeId, join: &Join) {
        let token = self.tokens.get_mut(&join.token).expect("the token was judged");
        if !planted("token_used_twice") {
            token.uses_left -= 1;
        }
        mark("membership.joined_by_token");
        let Join { token, wants_vote, .. } = *join;
        self.joined.insert(id, Joined { token, wants_vote });
    }

    pub(super) fn add_token(
        &mut self,
        id: LogIndex,
        token: Token,
        now_ms: u64,
    ) -> Result<(), String> {
        if token.uses_left == 0 {
            return Err("a join token that nobody may use is none".to_owned());
        }
        if self.tokens.len() >= TOKENS_COUNT_MAX {
            let is_dead = |token: &Token| {
                token.uses_left == 0 || token.is_revoked || token.expires_at_ms <= now_ms
            };
            let dead = self.tokens.iter().find(|(_, token)| is_dead(token)).map(|(id, _)| *id);
            let Some(dead) = dead else {
                return Err(format!("{TOKENS_COUNT_MAX} join tokens are open already"));
            };
            self.tokens.remove(&dead);
        }
        self.tokens.insert(id, token);
        Ok(())
    }

    pub(super) fn revoke(&mut self, id: LogIndex) -> Result<(), String> {
        let token = self.tokens.get_mut(&id).ok_or_else(|| format!("there is no token {id}"))?;
        token.is_revoked = true;
        Ok(())
    }

    /// Those members are gone.
    pub(super) fn forget(&mut self, ids: &[NodeId]) {
        self.joined.retain(|id, _| !ids.contains(id));
    }
}
