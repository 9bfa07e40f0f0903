//! What the log says of leadership: who acted last, and whether it has stopped for good.
//!
//! Part of the replicated state: every node applies the same records in the same order and judges
//! each alike, and the result lies in snapshots. It knows no time; `state.rs` waits.
//!
//! Invariants
//! - The token of the last accepted record only grows.
//! - A token acts once: neither a second `Acting` nor one after `Released` is accepted.
//!
//! Read next: [`LeadershipRecords::apply`]. Source: docs/leadership.md, rules 2, 3.

use serde::{Deserialize, Serialize};

use super::Record;
use crate::ids::{FencingToken, NodeId};
use crate::observe::mark;

impl Record {
    /// Whose right begins or ends here.
    pub fn token(&self) -> FencingToken {
        match self {
            Record::Acting { token, .. } | Record::Released { token, .. } => *token,
        }
    }

    /// The node that acts, or acted.
    pub fn node(&self) -> NodeId {
        match self {
            Record::Acting { node, .. } | Record::Released { node, .. } => *node,
        }
    }
}

/// The last accepted record. Empty until the first leader acts.
///
/// One record is enough: a `Released` names the token that it ends, and whoever comes after has
/// nothing to wait for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeadershipRecords {
    last: Option<Record>,
}

impl LeadershipRecords {
    /// Executes a record of the log; false if it is refused, and then nothing has changed.
    ///
    /// Refused are: an `Acting` whose token is not greater than the last one (an older leader's,
    /// or a repeat), and a `Released` of anything but the `Acting` that stands.
    pub fn apply(&mut self, record: &Record) -> bool {
        let is_accepted = match record {
            Record::Acting { token, .. } => self.last_token().is_none_or(|last| *token > last),
            Record::Released { token, node } => match &self.last {
                Some(Record::Acting { token: last_token, node: last_node, .. }) => {
                    token == last_token && node == last_node
                }
                Some(Record::Released { .. }) | None => false,
            },
        };
        if is_accepted {
            self.last = Some(record.clone());
        } else {
            mark("leader.older_record_refused");
        }
        is_accepted
    }

    /// Takes over what a replicated state has accepted, without judging it again.
    ///
    /// For readers of [`RecordApplied`](super::RecordApplied): after a restart they are told only
    /// the last record, so a `Released` may come without its `Acting`.
    pub fn adopt(&mut self, accepted: &Record) {
        self.last = Some(accepted.clone());
    }

    /// Whether an entry that only the leader may write is executed: its token is the one that acts.
    pub fn admits(&self, token: FencingToken) -> bool {
        self.acting().is_some_and(|record| record.token() == token)
    }

    /// The last accepted record, to be reported again after a restart.
    pub fn last(&self) -> Option<&Record> {
        self.last.as_ref()
    }

    /// The last `Acting` record, unless its `Released` followed: somebody may still act on it.
    pub fn acting(&self) -> Option<&Record> {
        self.last.as_ref().filter(|record| matches!(record, Record::Acting { .. }))
    }

    /// How long, by its own clock, the holder of [`Self::acting`] may act without a quorum.
    pub fn acting_lease_ms(&self) -> Option<u64> {
        match &self.last {
            Some(Record::Acting { lease_ms, .. }) => Some(*lease_ms),
            Some(Record::Released { .. }) | None => None,
        }
    }

    fn last_token(&self) -> Option<FencingToken> {
        self.last.as_ref().map(Record::token)
    }
}
