//! The life of an elected node: wait, propose `Acting`, act under a lease, stop for good.
//!
//! Pure. Time comes in as `now`, results leave as [`Effect`]s; clock and mailboxes are in
//! `actor.rs`. The planned hand-over is in `handover.rs`, what the log says in `record.rs`.
//!
//! Invariants
//! - A token is published only while elected, with the own `Acting` record as the last one in the
//!   log, and before the lease ends.
//! - Before it acts, everything an older `Acting` record allowed is over, by the slowest clock.
//! - Once over, a right never comes back in the same term.
//!
//! A node that is elected but may never act again in its term cannot step down: consensus offers
//! only the transfer, after which it sends no heartbeats, so that its voters elect somebody.
//!
//! Read next: [`Leader::step`], [`Right`], then `tests.rs`. Source: docs/leadership.md.

use std::collections::BTreeMap;

use super::handover::HandOver;
use super::record::LeadershipRecords;
use super::{Leadership, Record, RecordApplied};
use crate::config::ClusterSettings;
use crate::error::SwitchoverError;
use crate::heartbeat::{Health, Paused, PeerHealth};
use crate::ids::{FencingToken, NodeId, Term};
use crate::observe::{Told, mark_if, planted, tell};
use crate::ports::Now;
use crate::replication::{ConsensusReport, Progress, QuorumAcked, RaftRole};

/// How long a leader keeps its resources up without hearing from a quorum.
pub const GUARD_MS: u64 = 5_000;
/// How long resources may take to stop before they are killed.
pub const STOP_MS: u64 = 5_000;

/// What the state machine is told.
#[derive(Clone, Debug)]
pub enum Input {
    /// Consensus has changed.
    Consensus(ConsensusReport),
    /// A leadership record was applied, in log order.
    RecordApplied(RecordApplied),
    /// A quorum confirmed this node's leadership.
    QuorumAcked(QuorumAcked),
    /// A peer's health changed.
    PeerHealth(PeerHealth),
    /// This node did not run for a while, until now.
    Paused(Paused),
    /// Leadership is to be handed over. Every request gets one [`Effect::Answer`].
    Switchover {
        /// Names the request in its answer.
        request: u64,
        /// To whom; `None` for the first fit voter that has caught up.
        to: Option<NodeId>,
    },
    /// How far a voter's log has come.
    ProgressAnswered {
        /// The voter.
        of: NodeId,
        /// How far.
        progress: Progress,
    },
    /// A timer fired, perhaps one that no longer matters.
    TimerFired,
}

/// What the state machine asks its shell to do, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Term, role, elected node or token changed: everyone who watches is woken.
    Publish(Leadership),
    /// Only the lease moved: nobody is woken.
    RenewLease {
        /// Its end.
        until: Now,
    },
    /// Fire a timer then.
    SetTimer {
        /// When.
        at: Now,
    },
    /// Stop client writes, or let them go on.
    PauseWrites {
        /// True stops them.
        paused: bool,
    },
    /// Propose a record.
    Propose(Record),
    /// Ask how far a voter's log has come.
    AskProgress {
        /// The voter.
        of: NodeId,
    },
    /// Hand the term over. From then on consensus sends no heartbeats in this term.
    Transfer {
        /// To whom.
        to: NodeId,
    },
    /// A transfer was not answered by a new leader: someone should know.
    TransferFailed {
        /// To whom it went.
        to: NodeId,
        /// How many have failed since this node started.
        failed_count: u64,
    },
    /// The answer to one switchover request.
    Answer {
        /// The request.
        request: u64,
        /// Its outcome.
        result: Result<NodeId, SwitchoverError>,
    },
}

/// How far this node has come in the term in which it is elected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Right {
    /// Not elected.
    None,
    /// Somebody may still act on the last record, or no quorum has confirmed this node yet.
    Waiting {
        /// When nobody can act on that record any more.
        until: Now,
    },
    /// Its `Acting` record is proposed, not applied.
    Proposed {
        /// When it is proposed again, in case it was lost; a repeat is refused at apply.
        again_at: Now,
    },
    /// Its record is applied, but an older one that it had not known came before it.
    Settling {
        /// When nobody can act on that one any more.
        until: Now,
    },
    /// It acts while it holds the lease; without one it is suspended.
    Acting,
    /// It never acts again in this term.
    Over,
}

/// Decides whether this node may act.
#[derive(Debug)]
pub struct Leader {
    pub(super) this: NodeId,
    pub(super) cluster: ClusterSettings,
    pub(super) term: Term,
    pub(super) role: RaftRole,
    pub(super) voters: Vec<NodeId>,
    pub(super) right: Right,
    pub(super) handover: Option<HandOver>,
    pub(super) transfers_failed_count: u64,
    elected: Option<NodeId>,
    /// Of each peer that was judged; a peer never judged counts as responsive.
    health: BTreeMap<NodeId, Health>,
    records: LeadershipRecords,
    /// When the report of the election arrived, and the age that its voters gave.
    elected_at: Now,
    granted_age_ms: u64,
    /// When the newest frame was sent that a quorum acknowledged in this term.
    acked_at: Option<Now>,
    /// What the guard counts from.
    renewed_at: Now,
    /// End of the last pause; frames sent before it prove nothing.
    fenced_at: Option<Now>,
    writes_paused: bool,
    published: Leadership,
    timer_at: Option<Now>,
}

impl Leader {
    /// A node that has heard nothing yet. The settings are the cluster's, validated.
    pub fn new(this: NodeId, cluster: ClusterSettings, now: Now) -> Leader {
        Leader {
            this,
            cluster,
            term: Term::default(),
            role: RaftRole::Learner,
            voters: Vec::new(),
            right: Right::None,
            handover: None,
            transfers_failed_count: 0,
            elected: None,
            health: BTreeMap::new(),
            records: LeadershipRecords::default(),
            elected_at: now,
            granted_age_ms: 0,
            acked_at: None,
            renewed_at: now,
            fenced_at: None,
            writes_paused: false,
            published: Leadership::unknown(this, now),
            timer_at: None,
        }
    }

    /// The only function that changes this state. Effects are performed in order.
    pub fn step(&mut self, now: Now, input: Input, out: &mut Vec<Effect>) {
        // What is due is due before the input, however late the timer comes.
        self.pass_time(now, out);
        match input {
            Input::Consensus(report) => self.note_report(now, report, out),
            Input::RecordApplied(applied) => self.note_record(now, &applied, out),
            Input::QuorumAcked(acked) => self.note_quorum(acked),
            Input::PeerHealth(PeerHealth { peer, health }) => {
                self.health.insert(peer, health);
            }
            Input::Paused(Paused { length_ms: _ }) => {
                mark_if(self.right == Right::Acting, "leader.fenced_by_pause");
                self.fenced_at = Some(now);
            }
            Input::Switchover { request, to } => self.hand_over(now, request, to, out),
            Input::ProgressAnswered { of, progress } => self.note_progress(now, of, progress, out),
            Input::TimerFired => {}
        }
        self.pass_time(now, out);
        self.publish(now, out);
        self.set_timer(now, out);
        self.assert_invariants(now);
    }

    fn note_report(&mut self, now: Now, report: ConsensusReport, out: &mut Vec<Effect>) {
        if report.term < self.term {
            return; // Terms only grow, so this is an old view.
        }
        let was_elected = self.role == RaftRole::Elected;
        let is_elected = report.role == RaftRole::Elected;
        let is_other_term = report.term != self.term;
        if was_elected && (is_other_term || !is_elected) {
            self.lose_election(out);
        }
        self.term = report.term;
        self.role = report.role;
        self.elected = if is_elected { Some(self.this) } else { report.leader };
        self.voters = report.voters;
        if is_other_term {
            self.acked_at = None;
        }
        if is_elected && (is_other_term || !was_elected) {
            self.elected_at = now;
            self.granted_age_ms = report.granted_age_ms;
            self.right = Right::Waiting { until: self.wait_end() };
        }
        self.note_successor(self.elected, out);
    }

    fn lose_election(&mut self, out: &mut Vec<Effect>) {
        self.right = Right::None;
        self.pause_writes(false, out);
        self.leave_handover(out);
    }

    fn note_record(&mut self, now: Now, applied: &RecordApplied, out: &mut Vec<Effect>) {
        let record = &applied.record;
        let is_own = self.role == RaftRole::Elected
            && record.token() == self.own_token()
            && record.node() == self.this;
        if !applied.accepted {
            // Something newer stands. A repeat of a record that was accepted changes nothing.
            if is_own && matches!(self.right, Right::Proposed { .. }) {
                self.right = Right::Over;
            }
            return;
        }
        let wait_end = self.wait_end(); // by the record before this one
        self.records.adopt(record);
        if self.role != RaftRole::Elected {
            return;
        }
        if record.token() > self.own_token() {
            self.end_right(out);
        } else if is_own {
            match record {
                Record::Acting { .. } => {
                    if matches!(self.right, Right::Proposed { .. }) {
                        self.right = Right::Settling { until: wait_end };
                    }
                }
                Record::Released { .. } => self.note_released(now, applied.index),
            }
        } else if matches!(self.right, Right::Waiting { .. }) {
            self.right = Right::Waiting { until: self.wait_end() };
        }
    }

    /// A later leader's record stands, though consensus has not said so yet.
    fn end_right(&mut self, out: &mut Vec<Effect>) {
        self.right = Right::Over;
        self.pause_writes(false, out);
        self.leave_handover(out);
    }

    fn note_quorum(&mut self, acked: QuorumAcked) {
        if acked.term != self.term || self.role != RaftRole::Elected {
            return;
        }
        self.acked_at = self.acked_at.max(Some(acked.sent_at));
        self.renewed_at = self.renewed_at.max(acked.sent_at);
        if self.fenced_at.is_some_and(|pause_end| acked.sent_at > pause_end) {
            self.fenced_at = None;
        }
    }

    /// Does what is due. Called with every input, so that a late timer delays nothing.
    fn pass_time(&mut self, now: Now, out: &mut Vec<Effect>) {
        match self.right {
            Right::Waiting { until: due } | Right::Proposed { again_at: due } => {
                // Consensus takes nothing from an elected node that no quorum has confirmed yet.
                if now >= due && now < self.lease_end() {
                    mark_if(self.has_waited(), "leader.old_lease_waited_out");
                    out.push(Effect::Propose(self.acting_record()));
                    self.right = Right::Proposed { again_at: now.plus_ms(self.patience_ms()) };
                }
            }
            Right::Settling { until } => {
                if now >= until {
                    self.right = Right::Acting;
                    self.renewed_at = self.renewed_at.max(now);
                }
            }
            Right::Acting => {
                if now >= self.guard_end() {
                    self.depose(now, out);
                }
            }
            Right::None | Right::Over => {}
        }
        self.pass_handover_time(now, out);
    }

    /// When nobody can act any more on the last record in the log.
    ///
    /// Each voter that confirmed the old leader received the frame after it was sent; one of them
    /// also granted this term. The lease, by the slowest clock, is over that long after that
    /// voter's last frame, of which its age has passed already.
    fn wait_end(&self) -> Now {
        let lease_ms = self.records.acting_lease_ms().unwrap_or(0);
        let mut longest_ms = self.cluster.with_drift_ms(lease_ms);
        if planted("lease_ignores_drift") {
            longest_ms = lease_ms;
        }
        if planted("act_before_old_lease_ended") {
            longest_ms = 0;
        }
        self.elected_at.plus_ms(longest_ms.saturating_sub(self.granted_age_ms))
    }

    /// Whether this node has waited for an older one, and proposes to act for the first time.
    fn has_waited(&self) -> bool {
        matches!(self.right, Right::Waiting { until } if until > self.elected_at)
    }

    /// Until when the lease holds; the start of time if there is none.
    pub(super) fn lease_end(&self) -> Now {
        match (self.acked_at, self.fenced_at) {
            (Some(acked_at), None) => acked_at.plus_ms(self.cluster.lease_ms),
            (None, _) | (_, Some(_)) => Now::default(),
        }
    }

    fn guard_end(&self) -> Now {
        self.renewed_at.plus_ms(GUARD_MS).max(self.lease_end())
    }

    pub(super) fn own_token(&self) -> FencingToken {
        FencingToken(self.term)
    }

    /// How long something that takes one round is waited for before it is given up or repeated.
    pub(super) fn patience_ms(&self) -> u64 {
        self.cluster.election_timeout_ms_max.saturating_mul(4)
    }

    fn acting_record(&self) -> Record {
        Record::Acting {
            token: self.own_token(),
            node: self.this,
            lease_ms: self.cluster.lease_ms,
            guard_ms: GUARD_MS,
            stop_ms: STOP_MS,
        }
    }

    /// A voter, not this node, and not known to be late.
    pub(super) fn is_fit(&self, node: NodeId) -> bool {
        let is_late = match self.health.get(&node) {
            None | Some(Health::Responsive) => false,
            Some(Health::Late | Health::Silent) => true,
        };
        node != self.this && self.voters.contains(&node) && !is_late
    }

    pub(super) fn pause_writes(&mut self, paused: bool, out: &mut Vec<Effect>) {
        if self.writes_paused != paused {
            self.writes_paused = paused;
            out.push(Effect::PauseWrites { paused });
        }
    }

    pub(super) fn publish(&mut self, now: Now, out: &mut Vec<Effect>) {
        let may_act = self.right == Right::Acting && now < self.lease_end();
        let token = may_act.then(|| self.own_token());
        let old = &self.published;
        let is_turn = old.token.is_some() != may_act || (may_act && old.token != token);
        let fresh = Leadership {
            node: self.this,
            term: self.term,
            role: self.role,
            elected: self.elected,
            token,
            lease_until: if may_act { self.lease_end() } else { Now::default() },
            since: if is_turn { now } else { old.since },
        };
        if fresh == *old {
            return;
        }
        let renewed = Leadership { lease_until: fresh.lease_until, ..old.clone() };
        out.push(match renewed == fresh {
            true => Effect::RenewLease { until: fresh.lease_until },
            false => Effect::Publish(fresh.clone()),
        });
        self.tell_turn(&fresh);
        self.published = fresh;
    }

    fn tell_turn(&self, fresh: &Leadership) {
        let (before, node) = (self.published.token, self.this);
        if before == fresh.token {
            return;
        }
        if let Some(token) = before {
            tell(Told::ActingEnded { node, token });
            mark_if(self.right == Right::Acting, "leader.lease_ran_out");
        }
        if let Some(token) = fresh.token {
            tell(Told::ActingBegan { node, token });
        }
    }

    /// Keeps one timer at or before the next moment at which something is due. A renewal moves
    /// that moment away without a new timer: the old one fires, and is set again.
    fn set_timer(&mut self, now: Now, out: &mut Vec<Effect>) {
        self.timer_at = self.timer_at.filter(|at| *at > now);
        let Some(due) = self.next_due(now) else { return };
        assert!(due > now, "what was due is done");
        if self.timer_at.is_none_or(|at| due < at) {
            self.timer_at = Some(due);
            out.push(Effect::SetTimer { at: due });
        }
    }

    fn next_due(&self, now: Now) -> Option<Now> {
        let by_right = match self.right {
            // What is past waits for a quorum, whose word is an input.
            Right::Waiting { until: due } | Right::Proposed { again_at: due } => {
                Some(due).filter(|due| *due > now)
            }
            Right::Settling { until } => Some(until),
            Right::Acting if now < self.lease_end() => Some(self.lease_end()),
            Right::Acting => Some(self.guard_end()),
            Right::None | Right::Over => None,
        };
        let by_handover = self.handover.as_ref().map(HandOver::next_due);
        by_right.into_iter().chain(by_handover).min()
    }

    /// Called at the end of every `step`, in release builds too.
    fn assert_invariants(&self, now: Now) {
        let is_elected = self.role == RaftRole::Elected;
        assert!(is_elected == (self.right != Right::None), "a right without being elected");
        if self.right == Right::Acting {
            assert!(self.records.admits(self.own_token()), "acts without the last record");
            let acting = self.records.acting().expect("admits() found it");
            assert!(acting.node() == self.this, "acts on another node's record");
            assert!(now >= self.elected_at, "acts before it was elected");
        }
        let published = &self.published;
        assert!(published.token.is_none() || self.right == Right::Acting, "a token without right");
        assert!(published.token.is_none() || now < published.lease_until, "a token without lease");
        assert!(
            published.token.is_none_or(|token| token.0 == self.term),
            "a token of another term"
        );
        assert!(published.lease_until <= self.lease_end(), "more lease than was granted");
        assert!(!self.writes_paused || is_elected, "pauses writes without being elected");
        if let Some(handover) = &self.handover {
            handover.assert_invariants(self.right);
        }
    }
}
