//! Leader: decides who may act.
//!
//! Elected is not leader: an elected node acts only with an `Acting` record in the log, and only
//! while a quorum has confirmed it within the lease. It never decides who is elected (consensus
//! does), nor what acting starts (the resources do).
//!
//! Invariants
//! - At most one node may act at any true time.
//! - `Released` is final for its term.
//!
//! Read next: [`Record`], [`Leadership`], then `state.rs`. Source: docs/leadership.md.

pub(crate) mod actor;
mod handover;
mod last_inputs;
pub(crate) mod record;
pub(crate) mod state;

#[cfg(test)]
mod model;
#[cfg(test)]
mod shell_tests;
#[cfg(test)]
mod tests;

use actix::prelude::*;
use serde::{Deserialize, Serialize};

use crate::error::SwitchoverError;
use crate::ids::{FencingToken, LogIndex, NodeId, Term};
use crate::ports::Now;
use crate::replication::RaftRole;

/// A leadership fact in the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Record {
    /// From here on `node` may act with `token`, while it holds its lease.
    Acting {
        /// The leader's term.
        token: FencingToken,
        /// The leader.
        node: NodeId,
        /// How long it may act without hearing from a quorum.
        lease_ms: u64,
        /// After which time without a lease its resources are stopped.
        guard_ms: u64,
        /// How long they may take to stop before they are killed.
        stop_ms: u64,
    },
    /// Every resource of that acting leader is confirmed stopped; it never acts again in its term.
    Released {
        /// The token of the `Acting` record that ends.
        token: FencingToken,
        /// The node that acted.
        node: NodeId,
    },
}

/// A leadership record was applied. Reported by replication, in log order; after a restart only
/// the last one is reported, again.
#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[rtype(result = "()")]
pub struct RecordApplied {
    /// Where it stands.
    pub index: LogIndex,
    /// The record.
    pub record: Record,
    /// False if the state machine refused it, because a newer token stands.
    pub accepted: bool,
}

/// Hands leadership to another voter, losing nothing. Sent by the node's handle and by SIGTERM.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "Result<NodeId, SwitchoverError>")]
pub struct Switchover {
    /// To whom; `None` lets this node choose the fittest.
    pub to: Option<NodeId>,
}

/// Who may act, as one node knows it at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leadership {
    /// The node that says so.
    pub node: NodeId,
    /// Its term.
    pub term: Term,
    /// Its part in that term.
    pub role: RaftRole,
    /// Who is elected, as far as it knows.
    pub elected: Option<NodeId>,
    /// The token with which this node may act; `None` if it may not.
    pub token: Option<FencingToken>,
    /// Until when by its clock; meaningless without a token.
    pub lease_until: Now,
    /// Since when the node has or has not been acting.
    pub since: Now,
}

impl Leadership {
    /// What `node` knows before it has heard anything: nobody is elected, it does not act.
    pub fn unknown(node: NodeId, now: Now) -> Leadership {
        Leadership {
            node,
            term: Term::default(),
            role: RaftRole::Learner,
            elected: None,
            token: None,
            lease_until: Now::default(),
            since: now,
        }
    }

    /// Whether the node may act at `now`. Reads the clock's value, so a frozen node that thaws
    /// answers no before any message reaches it.
    pub fn may_act(&self, now: Now) -> bool {
        self.token.is_some() && now < self.lease_until
    }
}
