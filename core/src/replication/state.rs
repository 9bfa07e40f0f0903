//! What becomes of each request: proposed, forwarded once, refused; and which reads share a round.
//!
//! Pure. Requests are numbers here; their bytes and their answers stay in the shell.
//!
//! Invariants
//! - A write is forwarded at most once, and never back to this node.
//! - A read is served from a confirmation that began after the read did.
//! - While writes are paused or the node stops, nothing new is proposed.
//!
//! Read next: [`Replication::step`], then `tests.rs`.
//! Source: Ongaro 2014, section 6.4 (one confirmation for a batch of reads).

use crate::error::{ReadError, WriteError};
use crate::ids::{LogIndex, NodeId};
use crate::observe::{depth, mark, mark_if};
use crate::replication::{COMMAND_SIZE_BYTES_MAX, RaftRole};

/// Writes that may wait for consensus at once; further ones are refused.
pub(crate) const WAITING_WRITES_COUNT_MAX: u64 = 10_000;
/// Reads that may wait for a confirmation at once; further ones are refused.
pub(crate) const WAITING_READS_COUNT_MAX: u64 = 20_000;
/// Applied bytes after which a snapshot is taken even if few entries hold them.
pub(crate) const SNAPSHOT_SIZE_BYTES: u64 = 64 << 20;

/// Number of a request within one run of the node.
pub(crate) type RequestNumber = u64;

/// What the shell tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Input {
    /// A write arrived. `is_forwarded` if it came from a replica.
    WriteAsked { write: RequestNumber, size_bytes: u64, waiting_count: u64, is_forwarded: bool },
    /// Consensus refused a write before it was appended: this node does not lead any more.
    WriteBounced { write: RequestNumber, is_forwarded: bool },
    /// A linearizable read arrived.
    ReadAsked { read: RequestNumber },
    /// A confirmation ended: the index it gave, or nothing.
    ReadsConfirmed { index: Option<LogIndex>, waited_ms: u64 },
    /// Consensus says who leads.
    LeaderChanged { role: RaftRole, leader: Option<NodeId> },
    /// The leader actor stops client writes, or lets them go on.
    WritesPaused { paused: bool },
    /// The node ends.
    Stopping,
    /// This many bytes were applied since the last snapshot.
    Applied { since_snapshot_bytes: u64 },
}

/// What the shell does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    /// Give it to consensus.
    Propose { write: RequestNumber },
    /// Send it to the leader, which may not send it on.
    Forward { write: RequestNumber, to: NodeId },
    /// Answer it with an error.
    RefuseWrite { write: RequestNumber, error: WriteError },
    /// Ask a quorum (`None`) or the leader whether reads may be served, and up to where.
    Confirm { from: Option<NodeId> },
    /// Serve these once `index` is applied.
    ServeReads { reads: Vec<RequestNumber>, index: LogIndex },
    /// Answer these with an error.
    RefuseReads { reads: Vec<RequestNumber>, error: ReadError },
    /// Take a snapshot, so that the log can be compacted.
    TakeSnapshot,
}

/// The state of one node's replication.
#[derive(Debug)]
pub(crate) struct Replication {
    this: NodeId,
    /// A leader that was not heard for longer is as good as none.
    silence_ms_max: u64,
    role: RaftRole,
    leader: Option<NodeId>,
    leader_age_ms: u64,
    is_paused: bool,
    is_stopping: bool,
    /// Reads of the confirmation that is under way.
    confirming: Vec<RequestNumber>,
    /// Reads that came after it began.
    waiting: Vec<RequestNumber>,
}

impl Replication {
    /// A node that knows of no leader yet.
    pub(crate) fn new(this: NodeId, silence_ms_max: u64) -> Replication {
        Replication {
            this,
            silence_ms_max,
            role: RaftRole::Follower,
            leader: None,
            leader_age_ms: 0,
            is_paused: false,
            is_stopping: false,
            confirming: Vec::new(),
            waiting: Vec::new(),
        }
    }

    /// The only function that changes this state. Effects are performed in order.
    ///
    /// `leader_age_ms`: how long ago this node last heard a leader.
    pub(crate) fn step(&mut self, leader_age_ms: u64, input: Input, out: &mut Vec<Effect>) {
        self.leader_age_ms = leader_age_ms;
        match input {
            Input::WriteAsked { write, size_bytes, waiting_count, is_forwarded } => {
                out.push(self.admit_write(write, size_bytes, waiting_count, is_forwarded));
            }
            Input::WriteBounced { write, is_forwarded } => {
                mark("write.bounced");
                out.push(self.send_on(write, is_forwarded));
            }
            Input::ReadAsked { read } => self.admit_read(read, out),
            Input::ReadsConfirmed { index, waited_ms } => self.serve(index, waited_ms, out),
            Input::LeaderChanged { role, leader } => (self.role, self.leader) = (role, leader),
            Input::WritesPaused { paused } => self.is_paused = paused,
            Input::Stopping => self.is_stopping = true,
            Input::Applied { since_snapshot_bytes } => {
                if since_snapshot_bytes >= SNAPSHOT_SIZE_BYTES {
                    out.push(Effect::TakeSnapshot);
                }
            }
        }
        self.assert_invariants();
    }

    /// The leader, as far as this node knows.
    pub(crate) fn leader(&self) -> Option<NodeId> {
        self.leader
    }

    /// Another node that leads and was heard lately. Consensus names the last leader for as long
    /// as nobody else is elected; who waits for a dead one would be told nothing for seconds.
    fn heard_leader(&self) -> Option<NodeId> {
        let is_heard = self.leader_age_ms <= self.silence_ms_max;
        self.leader.filter(|leader| *leader != self.this && is_heard)
    }

    fn admit_write(
        &self,
        write: RequestNumber,
        size_bytes: u64,
        waiting_count: u64,
        is_forwarded: bool,
    ) -> Effect {
        depth("replication.writes", || waiting_count, WAITING_WRITES_COUNT_MAX);
        let this = self.this;
        let limit_bytes = COMMAND_SIZE_BYTES_MAX as u64;
        let refuse = |error| Effect::RefuseWrite { write, error };
        if self.is_stopping {
            return refuse(WriteError::Stopping { this });
        }
        if size_bytes > limit_bytes {
            return refuse(WriteError::TooLarge { size_bytes, limit_bytes });
        }
        if waiting_count >= WAITING_WRITES_COUNT_MAX {
            return refuse(WriteError::Overloaded { waiting_count });
        }
        match self.role {
            RaftRole::Elected if self.is_paused => {
                mark("write.refused_in_handover");
                refuse(WriteError::HandingOver)
            }
            RaftRole::Elected => Effect::Propose { write },
            RaftRole::Learner | RaftRole::Follower | RaftRole::Candidate => {
                self.send_on(write, is_forwarded)
            }
        }
    }

    fn send_on(&self, write: RequestNumber, is_forwarded: bool) -> Effect {
        let this = self.this;
        match self.heard_leader() {
            Some(leader) if is_forwarded => {
                Effect::RefuseWrite { write, error: WriteError::NotLeader { this, leader } }
            }
            Some(leader) => {
                mark("write.forwarded");
                Effect::Forward { write, to: leader }
            }
            None => Effect::RefuseWrite { write, error: WriteError::NoLeader { this } },
        }
    }

    fn admit_read(&mut self, read: RequestNumber, out: &mut Vec<Effect>) {
        let this = self.this;
        let waiting_count = (self.waiting.len() + self.confirming.len()) as u64;
        depth("replication.reads", || waiting_count, WAITING_READS_COUNT_MAX);
        let refuse = |error| Effect::RefuseReads { reads: vec![read], error };
        if self.is_stopping {
            out.push(refuse(ReadError::Stopping { this }));
        } else if waiting_count >= WAITING_READS_COUNT_MAX {
            out.push(refuse(ReadError::Overloaded { waiting_count }));
        } else {
            self.waiting.push(read);
            self.confirm_if_idle(out);
        }
    }

    fn confirm_if_idle(&mut self, out: &mut Vec<Effect>) {
        if !self.confirming.is_empty() || self.waiting.is_empty() {
            return;
        }
        let from = match (self.role, self.heard_leader()) {
            (RaftRole::Elected, _) => None,
            (_, Some(leader)) => Some(leader),
            (_, None) => {
                let reads = std::mem::take(&mut self.waiting);
                let error = ReadError::NoLeader { this: self.this };
                out.push(Effect::RefuseReads { reads, error });
                return;
            }
        };
        mark_if(from.is_some(), "read.index_from_leader");
        self.confirming = std::mem::take(&mut self.waiting);
        out.push(Effect::Confirm { from });
    }

    fn serve(&mut self, index: Option<LogIndex>, waited_ms: u64, out: &mut Vec<Effect>) {
        let reads = std::mem::take(&mut self.confirming);
        mark_if(index.is_none(), "read.not_confirmed");
        out.push(match index {
            Some(index) => Effect::ServeReads { reads, index },
            None => Effect::RefuseReads { reads, error: ReadError::NotConfirmed { waited_ms } },
        });
        self.confirm_if_idle(out);
    }

    fn assert_invariants(&self) {
        if self.confirming.is_empty() {
            assert!(self.waiting.is_empty(), "reads wait although no confirmation is under way");
        }
    }
}
