//! Replication: owns the log, consensus and the applied state.
//!
//! It decides which requests are proposed, forwarded once, refused or of unknown outcome, and when
//! the log is compacted. It never decides who may act: `leader/` does.
//!
//! Invariants
//! - An acknowledged write is durable on a quorum of voters.
//! - A request id is applied once.
//! - A write is forwarded at most once.
//!
//! Read next: the messages here, then `state.rs`.

mod actor;
mod applied;
mod consensus;
mod facts;
mod handlers;
mod last_inputs;
pub mod machine;
mod members;
pub mod offline;
mod parts;
mod requests;
mod state;
pub(crate) mod store;
#[cfg(test)]
mod tests;
mod work;

pub(crate) use actor::ReplicationActor;
pub(crate) use applied::{Applied, Listener as AppliedListener};
pub use consensus::LOG_FILTER_DEFAULT;
pub(crate) use consensus::{
    Consensus, Lines, Question, Reply, SharedMachine, Start as StartConsensus,
};
pub(crate) use handlers::{AskReadIndex, Stop, Write};
pub(crate) use parts::{Parts, Reports};
#[cfg(feature = "observed")]
pub use store::{LogId, entry_at, file_at};
pub(crate) use store::{LogStore, SnapshotStore, check_fits};
pub use store::{StoreError, is_panic_guarded};
pub(crate) use work::{PendingWrite, Tasks, outcome};

use actix::prelude::*;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::error::{ReadError, WriteError};
use crate::ids::{LogIndex, NodeId, RequestId, Term};
use crate::ports::Now;

/// Writes one command through the log. Sent by the node's handle and by the API.
#[derive(Debug, Message)]
#[rtype(result = "Result<Proposed, WriteError>")]
pub struct Propose {
    /// The command, for the application's state machine. At most [`COMMAND_SIZE_BYTES_MAX`].
    pub command: Bytes,
    /// Repeats are applied once; [`RequestId::NONE`] is applied as often as it is sent.
    pub request_id: RequestId,
}

/// The largest command in bytes.
pub const COMMAND_SIZE_BYTES_MAX: usize = 2 << 20;

/// An acknowledged write.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proposed {
    /// Index of the entry that applied it, also when this was a repeat.
    pub index: LogIndex,
    /// What the state machine answered.
    pub reply: Bytes,
    /// The leader that acknowledged it.
    pub leader: NodeId,
}

/// Asks the application's state machine. Sent by the node's handle and by the API.
#[derive(Debug, Message)]
#[rtype(result = "Result<Answer, ReadError>")]
pub struct Read {
    /// The question, for the application's state machine.
    pub query: Bytes,
    /// How fresh the answer must be.
    pub consistency: Consistency,
}

/// How fresh a read must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Consistency {
    /// Sees every write acknowledged before the read began.
    Linearizable,
    /// Whatever this node has applied; the answer says how old that may be.
    Stale,
}

/// An answered read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The state is the one after this entry.
    pub index: LogIndex,
    /// Milliseconds since this node last heard from a leader; what it was told then may still be
    /// unapplied. 0 for a linearizable answer, `u64::MAX` if it has heard none since it started.
    pub age_ms: u64,
    /// What the state machine answered.
    pub reply: Bytes,
    /// The leader, as far as this node knows.
    pub leader: Option<NodeId>,
}

/// What consensus says of this node; sent to leader and membership whenever a field changes.
#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[rtype(result = "()")]
pub struct ConsensusReport {
    /// The current term.
    pub term: Term,
    /// Follower, candidate or elected leader in that term.
    pub role: RaftRole,
    /// Who leads, as far as this node knows.
    pub leader: Option<NodeId>,
    /// Voters of the effective membership (joint: of both sets), ascending.
    pub voters: Vec<NodeId>,
    /// Learners, ascending.
    pub learners: Vec<NodeId>,
    /// The voters that a change leads to, ascending, while a joint membership is in effect.
    pub joint_goal: Option<Vec<NodeId>>,
    /// For an elected leader: the smallest age, among the voters that granted this term, of the
    /// last frame each received from a leader of an older term; its own included.
    pub granted_age_ms: u64,
}

/// A node's part in one term.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RaftRole {
    /// Receives the log, has no vote.
    Learner,
    /// Follows a leader, or waits for one.
    Follower,
    /// Asks for votes.
    Candidate,
    /// Won the term.
    Elected,
}

/// A quorum confirmed this node's leadership. Sent to leader at most every few milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Message)]
#[rtype(result = "()")]
pub struct QuorumAcked {
    /// The term in which it was confirmed.
    pub term: Term,
    /// When the newest frame that a quorum has acknowledged was sent, by this node's clock.
    pub sent_at: Now,
}

/// Stops (or lets go on) client writes while leadership is handed over. Ordered by leader.
/// Entries of leadership and membership are not held back.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "()")]
pub struct PauseWrites {
    /// True stops them, with [`WriteError::HandingOver`].
    pub paused: bool,
}

/// Proposes a leadership record (`leader::Record`, encoded). Ordered by leader; the outcome comes
/// back as an applied record, or not at all.
#[derive(Clone, Debug, Message)]
#[rtype(result = "()")]
pub struct ProposeRecord {
    /// The record.
    pub record: crate::leader::Record,
}

/// Asks how far a voter's log has come. Asked by leader while it hands over.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "Progress")]
pub struct AskProgress {
    /// The voter.
    pub of: NodeId,
}

/// The answer to [`AskProgress`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// The last index in this node's log.
    pub last_index: LogIndex,
    /// How far the asked voter's log is known to match it; 0 if not known.
    pub matching: LogIndex,
}

/// Hands the term to a voter whose log matches. Ordered by leader, after writes were paused.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "()")]
pub struct TransferLeadership {
    /// The voter.
    pub to: NodeId,
}

/// Asks what replication knows. Asked by the node's reporter.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "ReplicationFacts")]
pub struct AskFacts;

/// The answer to [`AskFacts`].
#[derive(Clone, Debug, Default, PartialEq, Eq, MessageResponse)]
pub struct ReplicationFacts {
    /// Who leads, as far as this node knows.
    pub leader: Option<NodeId>,
    /// Milliseconds since a leader was last heard.
    pub leader_age_ms: u64,
    /// The end of the log.
    pub last_index: LogIndex,
    /// Highest committed index that this node knows.
    pub commit_index: LogIndex,
    /// Highest index that it has executed.
    pub applied_index: LogIndex,
    /// What the newest snapshot covers.
    pub snapshot_index: LogIndex,
    /// Voters, ascending.
    pub voters: Vec<NodeId>,
    /// Learners, ascending.
    pub learners: Vec<NodeId>,
    /// Whether a change of the voters is under way.
    pub is_joint: bool,
    /// Writes that were admitted and have no outcome yet.
    pub writes_waiting_count: u64,
    /// Requests that a repeat would be recognised by.
    pub requests_count: u64,
    /// On the leader: how far each log is known to match.
    pub matching: Vec<(NodeId, LogIndex)>,
}
