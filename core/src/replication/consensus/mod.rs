//! Consensus: the one place that names openraft, behind types of our own.
//!
//! It decides nothing: it carries bytes, votes and members between openraft and the rest. What
//! openraft calls its types never leaves this folder.
//!
//! Invariants
//! - One leader per term (`leader_id_std`); terms are ours, generation and election.
//! - A node that restarts never leads on in its old term (`enable_leader_restore = false`).
//! - Reads ask the quorum: openraft's lease reads are not used, they are not safe after restarts.
//! - Members change by joint changes only.
//!
//! Read next: [`Consensus`], then `network.rs` and `log.rs`. Source: openraft 0.10.0-alpha.37;
//! docs/leadership.md for why it is set up like this.

mod ages;
mod answer;
mod convert;
mod facade;
mod log;
mod machine;
mod network;
mod pace;
mod runtime;
mod watch;

pub(crate) use facade::{Consensus, Start, Watched};
pub(crate) use machine::SharedMachine;
pub(crate) use network::{Line, Lines, Question, Reply};

use std::fmt;

use bytes::Bytes;
use openraft::vote::RaftTerm;
use serde::{Deserialize, Serialize};

use crate::ids::{LogIndex, NodeId, Term};

/// What a daemon logs unless told otherwise: openraft tells every heartbeat at `info`, and every
/// call that a dead member does not answer at `warn`.
pub const LOG_FILTER_DEFAULT: &str = "info,openraft=error";

openraft::declare_raft_types!(
    pub(crate) Types:
        D = Command,
        R = Outcome,
        NodeId = NodeId,
        Node = openraft::impls::EmptyNode,
        Term = Term,
        LeaderId = openraft::impls::leader_id_std::LeaderId<Term, NodeId>,
        AsyncRuntime = runtime::NodeRuntime,
);

/// The bytes of one `codec::Entry`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Command(pub(crate) Bytes);

impl fmt::Debug for Command {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Command({} bytes)", self.0.len())
    }
}

impl fmt::Display for Command {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} bytes", self.0.len())
    }
}

/// What applying one entry answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Outcome {
    /// Index of the entry that was executed: an earlier one, if this was a repeat.
    pub(crate) index: LogIndex,
    /// The answer of whoever understands the entry.
    pub(crate) reply: Bytes,
}

impl RaftTerm for Term {
    fn next(&self) -> Term {
        Term::next(*self)
    }

    fn as_u64(&self) -> Option<u64> {
        Some(self.to_bits())
    }
}
