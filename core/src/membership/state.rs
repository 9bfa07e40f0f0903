//! Membership: brings roster, view and the one change under way together.
//!
//! Pure. Time comes in as `now`, results leave as [`Effect`]s; gossip, timers and mailbox are in
//! `actor.rs`.
//!
//! Invariants
//! - One order to replication is out at a time, and only while this node was elected when it began.
//! - Every request gets one reply.
//!
//! Read next: [`Membership::step`], then `tests.rs`.

use std::net::SocketAddr;

pub use super::change::Order;
use super::change::{Change, Situation, plan, promotion, repair};
use super::view::View;
use super::{ChangeMembers, Liveness, Roster, RosterChange, RosterOutcome, ViewTable};
use crate::config::MemberSettings;
use crate::error::MembershipError;
use crate::heartbeat::Health;
use crate::ids::NodeId;
use crate::link::Path;
use crate::observe::{Told, tell_with};
use crate::ports::Now;
use crate::replication::{ConsensusReport, RaftRole};

/// How long roster and consensus must have been still before an elected node looks for a change
/// that was interrupted: what it has not applied yet would look like one.
const STILL_MS: u64 = 2_000;
/// Pause before founding is tried again: a leader that was just elected may not write yet.
const FOUND_AGAIN_MS: u64 = 100;

/// What the state machine is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// The node starts. First of all inputs.
    Started,
    /// The timer asked for by [`Effect::SetTimer`].
    TimerFired,
    /// Gossip changed its mind about a member.
    Heard {
        /// Which member.
        member: NodeId,
        /// What it says.
        liveness: Liveness,
        /// Where the member says to be.
        address: SocketAddr,
    },
    /// Pings changed their verdict on a member.
    HealthChanged {
        /// Which member.
        peer: NodeId,
        /// The verdict.
        health: Health,
    },
    /// A member is reached by another path.
    PathChanged {
        /// Which member.
        peer: NodeId,
        /// By which.
        path: Path,
    },
    /// The committed roster changed.
    RosterApplied {
        /// All of it.
        roster: Roster,
    },
    /// Consensus changed.
    ConsensusChanged {
        /// Everything about it.
        report: ConsensusReport,
    },
    /// Someone wants the members changed.
    ChangeRequested {
        /// Names the request in [`Effect::Reply`].
        request: u64,
        /// What.
        change: ChangeMembers,
    },
    /// The order that was out was carried out, or not.
    OrderDone {
        /// What came of it; a roster outcome where one was ordered.
        outcome: Result<Option<RosterOutcome>, MembershipError>,
    },
}

/// What the shell is asked to do, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Announce this node by gossip.
    Announce {
        /// To whom.
        to: NodeId,
        /// Where it is believed to be.
        address: SocketAddr,
    },
    /// Tell heartbeat whom to ping.
    SetPeers {
        /// All of them.
        peers: Vec<(NodeId, SocketAddr)>,
    },
    /// Report that a member is seen differently.
    ReportView {
        /// Which member.
        member: NodeId,
        /// How.
        liveness: Liveness,
    },
    /// Report that a member is elsewhere.
    ReportAddress {
        /// Which member.
        node: NodeId,
        /// Where.
        address: SocketAddr,
    },
    /// Order something from replication; the answer comes back as [`Input::OrderDone`].
    Order(Order),
    /// Answer a request.
    Reply {
        /// Which.
        request: u64,
        /// The answer.
        result: Result<Vec<NodeId>, MembershipError>,
    },
    /// Fire the timer, instead of any that was set before.
    SetTimer {
        /// When.
        at: Now,
    },
}

/// The state machine. One per node.
#[derive(Debug)]
pub struct Membership {
    this: NodeId,
    founders: Vec<MemberSettings>,
    roster: Roster,
    view: View,
    consensus: Option<ConsensusReport>,
    change: Option<Change>,
    /// When an elected node looks for what was left undone.
    repair_at: Now,
    /// Nothing is left to repair until one of them changes again.
    is_repaired: bool,
    timer_at: Option<Now>,
}

impl Membership {
    /// Knows the members of the settings until it is told the roster. They get the ids 1, 2, 3 and
    /// so on in their order.
    /// Members are looked for where they say to be only if `follows_moves`.
    pub fn new(this: NodeId, founders: Vec<MemberSettings>, follows_moves: bool) -> Membership {
        let seed =
            |(at, member): (usize, &MemberSettings)| (NodeId(at as u64 + 1), member.membership());
        let view = View::new(this, founders.iter().enumerate().map(seed).collect(), follows_moves);
        Membership {
            this,
            founders,
            roster: Roster::default(),
            view,
            consensus: None,
            change: None,
            repair_at: Now::default(),
            is_repaired: false,
            timer_at: None,
        }
    }

    /// The only function that changes this state. Effects are performed in order.
    pub fn step(&mut self, now: Now, input: Input, out: &mut Vec<Effect>) {
        match input {
            Input::Started => self.view.set_roster(now, &self.roster, out),
            Input::TimerFired => self.timer_at = None,
            Input::Heard { member, liveness, address } => {
                self.view.hear(now, member, liveness, address, out);
                self.note_seen();
            }
            Input::HealthChanged { peer, health } => {
                self.view.set_health(peer, health, out);
                self.note_seen();
            }
            Input::PathChanged { peer, path } => self.view.set_path(peer, path),
            Input::RosterApplied { roster } => {
                self.roster = roster;
                tell_with(|| self.roster_followed());
                self.note_change(now);
                self.view.set_roster(now, &self.roster, out);
            }
            Input::ConsensusChanged { report } => {
                self.consensus = Some(report);
                self.note_change(now);
            }
            Input::ChangeRequested { request, change } => self.begin(request, change, out),
            Input::OrderDone { outcome } => self.go_on(now, outcome, out),
        }
        self.view.announce(now, out);
        self.found_or_repair(now, out);
        self.set_timer(now, out);
    }

    /// Roster and view, for status and metrics.
    pub fn table(&self) -> ViewTable {
        ViewTable { roster: self.roster.clone(), members: self.view.table() }
    }

    /// Where to send gossip to a node that says to be at `said`.
    pub fn gossip_address(&self, to: NodeId, said: SocketAddr) -> SocketAddr {
        self.view.gossip_address(to, said)
    }

    /// By which path gossip goes to that node.
    pub fn path(&self, to: NodeId) -> Path {
        self.view.path(to)
    }

    fn roster_followed(&self) -> Told {
        let members = self.roster.members().map(|member| member.id).collect();
        Told::RosterFollowed { by: self.this, members, changed_at: self.roster.changed_at() }
    }

    fn note_change(&mut self, now: Now) {
        // Founding needs no patience: a roster that is there already refuses it.
        let wait_ms = if self.roster.is_empty() { 0 } else { STILL_MS };
        self.repair_at = now.plus_ms(wait_ms);
        self.is_repaired = false;
    }

    /// Who is seen alive may be added or promoted, if it waited for nothing else.
    fn note_seen(&mut self) {
        let Some(consensus) = &self.consensus else { return };
        let at = self.situation(consensus);
        if self.is_repaired && repair(&at).or_else(|| promotion(&at)).is_some() {
            self.is_repaired = false;
        }
    }

    fn begin(&mut self, request: u64, change: ChangeMembers, out: &mut Vec<Effect>) {
        let planned = match &self.consensus {
            Some(consensus) if consensus.role == RaftRole::Elected => {
                if self.change.is_some() || consensus.joint_goal.is_some() {
                    Err(MembershipError::UnderWay)
                } else {
                    plan(request, change, &self.situation(consensus))
                }
            }
            Some(_) | None => Err(MembershipError::NotLeader { this: self.this }),
        };
        match planned {
            Ok(change) => self.start(change, out),
            Err(error) => out.push(Effect::Reply { request, result: Err(error) }),
        }
    }

    fn situation<'a>(&'a self, consensus: &'a ConsensusReport) -> Situation<'a> {
        Situation { this: self.this, roster: &self.roster, view: &self.view, consensus }
    }

    fn start(&mut self, change: Change, out: &mut Vec<Effect>) {
        assert!(self.change.is_none(), "one change is under way at a time");
        self.change = Some(change);
        self.order_next(out);
    }

    fn order_next(&mut self, out: &mut Vec<Effect>) {
        let Some(change) = &mut self.change else { return };
        match change.next() {
            Some(order) => out.push(Effect::Order(order)),
            None => {
                let ids = std::mem::take(&mut change.ids);
                self.finish(Ok(ids), out);
            }
        }
    }

    fn go_on(
        &mut self,
        now: Now,
        outcome: Result<Option<RosterOutcome>, MembershipError>,
        out: &mut Vec<Effect>,
    ) {
        // What was refused is not tried again at once, and what was done is applied by then.
        // Founding alone is not put off by what others ask for, which it would make possible.
        let is_asked = self.change.as_ref().is_some_and(|change| change.request.is_some());
        if !(is_asked && self.roster.is_empty()) {
            let wait_ms = if self.roster.is_empty() { FOUND_AGAIN_MS } else { STILL_MS };
            self.repair_at = now.plus_ms(wait_ms);
        }
        match (&mut self.change, outcome) {
            (None, Ok(_) | Err(_)) => {}
            (Some(change), Ok(outcome)) => {
                if let Some(outcome) = outcome {
                    change.note_outcome(&outcome);
                }
                self.order_next(out);
            }
            (Some(_), Err(error)) => self.finish(Err(error), out),
        }
    }

    fn finish(&mut self, result: Result<Vec<NodeId>, MembershipError>, out: &mut Vec<Effect>) {
        let change = self.change.take().expect("only a change under way is finished");
        if let Some(request) = change.request {
            out.push(Effect::Reply { request, result });
        }
    }

    /// What an elected node does unasked: writes the first roster, finishes what another began,
    /// or lets learners vote.
    fn found_or_repair(&mut self, now: Now, out: &mut Vec<Effect>) {
        if self.repair_due().is_none_or(|due| now < due) {
            return;
        }
        let consensus = self.consensus.as_ref().expect("only an elected node has repairs due");
        let change = if self.roster.is_empty() {
            let members = self.founders.clone();
            Some(Change::founding(RosterChange::Found { members }))
        } else {
            let at = self.situation(consensus);
            repair(&at).or_else(|| promotion(&at))
        };
        match change {
            Some(change) => self.start(change, out),
            None => self.is_repaired = true,
        }
    }

    /// When this node should look for something to found or repair; `None` if it should not.
    fn repair_due(&self) -> Option<Now> {
        let consensus = self.consensus.as_ref()?;
        let is_elected = consensus.role == RaftRole::Elected;
        if !is_elected || self.change.is_some() || self.is_repaired {
            return None;
        }
        Some(self.repair_at)
    }

    fn set_timer(&mut self, now: Now, out: &mut Vec<Effect>) {
        let due = [self.view.next_announcement(), self.repair_due()].into_iter().flatten().min();
        let at = due.map(|due| due.max(now.plus_ms(1)));
        if at.is_some() && (self.timer_at.is_none() || at < self.timer_at) {
            self.timer_at = at;
            out.extend(at.map(|at| Effect::SetTimer { at }));
        }
    }
}
