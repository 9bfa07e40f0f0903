//! The hand-over: pause writes, let the target catch up, release, transfer, see it taken.
//!
//! Pure; the second half of `state.rs`. A deposed leader goes the same way without being asked,
//! because a transfer is the only way out of a term that consensus offers.
//!
//! Invariants
//! - Nothing is released before a fit voter's log matches, unless the right is lost anyway.
//! - A transfer goes only to a fit voter whose log holds the `Released` record.
//! - After a transfer there is no second one in the same term.
//!
//! Read next: [`Step`]. Source: docs/leadership.md, rules 2, 3, 8.

use super::Record;
use super::state::{Effect, Leader, Right};
use crate::error::SwitchoverError;
use crate::ids::{LogIndex, NodeId, Term};
use crate::observe::mark;
use crate::ports::Now;
use crate::replication::{Progress, RaftRole};

/// How often a voter's progress is asked for.
const POLL_INTERVAL_MS: u64 = 5;

/// How far a hand-over has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Writes are paused, this node still acts.
    CatchingUp,
    /// Its right is over, `Released` is proposed.
    Releasing,
    /// `Released` is applied; some fit voter's log must hold it.
    Following {
        /// Where it stands.
        released: LogIndex,
    },
    /// The term was handed over; somebody must show up.
    Transferred,
}

/// A hand-over under way.
#[derive(Debug)]
pub(super) struct HandOver {
    /// Who waits for an answer; nobody after a deposition or a given answer.
    request: Option<u64>,
    /// The target; `None` while any fit voter will do.
    to: Option<NodeId>,
    /// The term that is handed over.
    term: Term,
    step: Step,
    deadline: Now,
    poll_at: Now,
}

impl HandOver {
    fn polls(&self) -> bool {
        match self.step {
            Step::CatchingUp | Step::Following { .. } => true,
            Step::Releasing | Step::Transferred => false,
        }
    }

    pub(super) fn next_due(&self) -> Now {
        if self.polls() { self.deadline.min(self.poll_at) } else { self.deadline }
    }

    pub(super) fn assert_invariants(&self, right: Right) {
        let is_over = match self.step {
            Step::CatchingUp => right == Right::Acting,
            Step::Releasing | Step::Following { .. } => right == Right::Over,
            Step::Transferred => self.to.is_some() && right != Right::Acting,
        };
        assert!(is_over, "hands over at {:?} with the right {right:?}", self.step);
    }
}

impl Leader {
    /// Starts a switchover, or says why not.
    pub(super) fn hand_over(
        &mut self,
        now: Now,
        request: u64,
        to: Option<NodeId>,
        out: &mut Vec<Effect>,
    ) {
        let is_fit = match to {
            Some(to) => self.is_fit(to),
            None => self.voters.iter().any(|voter| self.is_fit(*voter)),
        };
        let refusal = if self.role != RaftRole::Elected {
            SwitchoverError::NotLeader { this: self.this }
        } else if self.handover.is_some() {
            SwitchoverError::UnderWay
        } else if self.right != Right::Acting {
            SwitchoverError::NotLeader { this: self.this }
        } else if !is_fit {
            SwitchoverError::Unfit { to: to.unwrap_or_default() }
        } else {
            self.pause_writes(true, out);
            self.handover = Some(HandOver {
                request: Some(request),
                to,
                term: self.term,
                step: Step::CatchingUp,
                deadline: now.plus_ms(self.patience_ms()),
                poll_at: now,
            });
            return;
        };
        out.push(Effect::Answer { request, result: Err(refusal) });
    }

    /// Gives the right up for this term, because no quorum was heard for too long.
    ///
    /// The hand-over that follows waits for a quorum by itself: without one nothing is applied.
    pub(super) fn depose(&mut self, now: Now, out: &mut Vec<Effect>) {
        mark("leader.deposed");
        self.pause_writes(true, out);
        self.release(now, out);
    }

    /// From here on this node never acts again in its term. `Released` is proposed once every
    /// resource is confirmed stopped; there are none to wait for.
    fn release(&mut self, now: Now, out: &mut Vec<Effect>) {
        self.right = Right::Over;
        let deadline = now.plus_ms(self.patience_ms());
        let handover = self.handover.get_or_insert(HandOver {
            request: None,
            to: None,
            term: self.term,
            step: Step::Releasing,
            deadline,
            poll_at: now,
        });
        handover.step = Step::Releasing;
        handover.deadline = deadline;
        self.publish(now, out); // Nobody may still act when the record says so.
        self.propose_released(out);
    }

    fn propose_released(&self, out: &mut Vec<Effect>) {
        let record = Record::Released { token: self.own_token(), node: self.this };
        out.push(Effect::Propose(record));
    }

    pub(super) fn note_released(&mut self, now: Now, index: LogIndex) {
        let deadline = now.plus_ms(self.patience_ms());
        let Some(handover) = &mut self.handover else { return };
        match handover.step {
            Step::Releasing => {
                handover.step = Step::Following { released: index };
                handover.deadline = deadline;
                handover.poll_at = now;
            }
            Step::CatchingUp | Step::Following { .. } | Step::Transferred => {}
        }
    }

    pub(super) fn note_progress(
        &mut self,
        now: Now,
        of: NodeId,
        progress: Progress,
        out: &mut Vec<Effect>,
    ) {
        let is_fit = self.is_fit(of);
        let deadline = now.plus_ms(self.cluster.election_timeout_ms_max);
        let Some(handover) = &mut self.handover else { return };
        if !is_fit || handover.to.is_some_and(|to| to != of) {
            return;
        }
        let matches = progress.matching >= progress.last_index;
        match handover.step {
            Step::CatchingUp if matches => {
                handover.to = Some(of);
                self.release(now, out);
            }
            // An answer from before the release may claim to match, too.
            Step::Following { released } if matches && progress.matching >= released => {
                handover.to = Some(of);
                handover.step = Step::Transferred;
                handover.deadline = deadline;
                out.push(Effect::Transfer { to: of });
            }
            Step::CatchingUp | Step::Following { .. } | Step::Releasing | Step::Transferred => {}
        }
    }

    pub(super) fn pass_handover_time(&mut self, now: Now, out: &mut Vec<Effect>) {
        let Some(handover) = &mut self.handover else { return };
        if now >= handover.deadline {
            self.miss_deadline(now, out);
            return;
        }
        if !handover.polls() || now < handover.poll_at {
            return;
        }
        handover.poll_at = now.plus_ms(POLL_INTERVAL_MS);
        let to = handover.to;
        let asked = self.voters.iter().filter(|voter| self.is_fit(**voter));
        let asked = asked.filter(|voter| to.is_none_or(|to| to == **voter));
        out.extend(asked.map(|voter| Effect::AskProgress { of: *voter }));
    }

    fn miss_deadline(&mut self, now: Now, out: &mut Vec<Effect>) {
        let deadline = now.plus_ms(self.patience_ms());
        let fallback = self.voters.iter().copied().find(|voter| self.is_fit(*voter));
        let waited_ms = self.patience_ms();
        let Some(handover) = &mut self.handover else { return };
        let target = handover.to.or(fallback).unwrap_or_default();
        match handover.step {
            Step::CatchingUp => {
                mark("handover.aborted");
                self.pause_writes(false, out);
                self.finish_handover(Err(SwitchoverError::Behind { to: target, waited_ms }), out);
            }
            // What was released cannot be taken back. Whoever asked is told, and any voter will
            // do, as soon as a quorum is there again.
            Step::Releasing | Step::Following { .. } => {
                let is_releasing = handover.step == Step::Releasing;
                handover.to = None;
                handover.deadline = deadline;
                handover.poll_at = deadline.min(handover.poll_at.max(now.plus_ms(1)));
                let request = handover.request.take();
                answer(request, Err(SwitchoverError::NotTaken { to: target }), out);
                if is_releasing {
                    self.propose_released(out);
                }
            }
            Step::Transferred => self.fail_transfer(out),
        }
    }

    /// The election is lost, or a later leader acts: there is nothing left to hand over.
    pub(super) fn leave_handover(&mut self, out: &mut Vec<Effect>) {
        let Some(handover) = &self.handover else { return };
        let to = handover.to.unwrap_or_default();
        match handover.step {
            Step::CatchingUp => {
                self.finish_handover(Err(SwitchoverError::NotLeader { this: self.this }), out);
            }
            Step::Releasing | Step::Following { .. } => {
                self.finish_handover(Err(SwitchoverError::NotTaken { to }), out);
            }
            Step::Transferred => {} // Just what it waits for.
        }
    }

    /// Ends a transfer that a report decides: the target leads a later term, or another does.
    pub(super) fn note_successor(&mut self, elected: Option<NodeId>, out: &mut Vec<Effect>) {
        let (Some(handover), Some(elected)) = (&self.handover, elected) else { return };
        if handover.step != Step::Transferred || self.term <= handover.term {
            return;
        }
        if handover.to == Some(elected) {
            mark("handover.taken");
            self.finish_handover(Ok(elected), out);
        } else {
            self.fail_transfer(out);
        }
    }

    /// Counted, and not tried again before the next election: consensus is silent in this term.
    fn fail_transfer(&mut self, out: &mut Vec<Effect>) {
        let to = self.handover.as_ref().and_then(|handover| handover.to).unwrap_or_default();
        mark("handover.not_taken");
        self.transfers_failed_count += 1;
        out.push(Effect::TransferFailed { to, failed_count: self.transfers_failed_count });
        self.pause_writes(false, out);
        self.finish_handover(Err(SwitchoverError::NotTaken { to }), out);
    }

    fn finish_handover(&mut self, result: Result<NodeId, SwitchoverError>, out: &mut Vec<Effect>) {
        if let Some(handover) = self.handover.take() {
            answer(handover.request, result, out);
        }
    }
}

fn answer(request: Option<u64>, result: Result<NodeId, SwitchoverError>, out: &mut Vec<Effect>) {
    if let Some(request) = request {
        out.push(Effect::Answer { request, result });
    }
}
