//! Nodes of the model whose voters change: consensus, leader and clock of each, and the wire.
//!
//! A frozen node does nothing, and its clock goes on. What is sent to it waits.
//!
//! Read next: [`Op`], then [`World::note_who_acts`], the law.

use super::consensus::{Entry, Fact, Message, NODES_COUNT_MAX, Peer, Rules};
use super::{clock, fresh_leader, id};
use crate::heartbeat::Paused;
use crate::ids::{Generation, LogIndex, NodeId, Term};
use crate::leader::record::LeadershipRecords;
use crate::leader::state::{Effect, Input, Leader};
use crate::leader::{Leadership, Record, RecordApplied};
use crate::ports::Now;
use crate::replication::{ConsensusReport, Progress, QuorumAcked, RaftRole};

/// What happens next. `by` counts elected nodes that are not frozen, from the newest term down.
#[derive(Clone, Debug)]
pub(super) enum Op {
    Advance {
        ms: u64,
    },
    /// A node asks for a term, at once or over the wire. It is one that runs and votes but is not
    /// the leader; `pick` counts from the longest log down.
    Elect {
        pick: usize,
        asked: u8,
        is_instant: bool,
    },
    /// A leader sends frames that arrive later, if at all.
    Send {
        by: usize,
        to: u8,
        withheld_count: usize,
    },
    Arrive {
        pick: usize,
        is_lost: bool,
    },
    /// A round of frames without delay. Its leader is told of it, or is not.
    Work {
        by: usize,
        reached: u8,
        is_told: bool,
    },
    /// The voters are to be these, or a change under way goes on.
    Change {
        by: usize,
        to: u8,
    },
    Deliver {
        node: usize,
    },
    DeliverLog {
        node: usize,
    },
    Tick {
        node: usize,
    },
    Restart {
        node: usize,
    },
    Freeze {
        by: usize,
    },
    Thaw,
    Pause {
        node: usize,
    },
    Switchover {
        by: usize,
        to: usize,
    },
}

struct Machine {
    peer: Peer,
    leader: Leader,
    is_fast: bool,
    is_frozen: bool,
    /// What consensus has said of itself last.
    reported: Option<(ConsensusReport, Option<Now>)>,
    inbox: Vec<Input>,
    proposed: Vec<Record>,
    applied: usize,
    records: LeadershipRecords,
    published: Leadership,
}

/// What a run has gone through, to see that it went anywhere.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Seen {
    /// The right to act went to another node.
    pub(super) successions_count: u64,
    /// The same, and its voters are others than those with whom the one before began to act.
    pub(super) successions_by_other_voters_count: u64,
    /// The same, and the one before was frozen with a token.
    pub(super) successions_after_frozen_count: u64,
    /// The same, and it was the sole voter when it began to act.
    pub(super) successions_after_frozen_sole_count: u64,
    /// The right to act went to a node whose membership was joint.
    pub(super) successions_joint_count: u64,
    /// A change was led to its goal by a leader that had not begun it.
    pub(super) finished_by_other_count: u64,
    /// One voter became more while it acted, or before the next one did.
    pub(super) grown_from_sole_count: u64,
    /// The reverse.
    pub(super) shrunk_to_sole_count: u64,
}

impl Seen {
    pub(super) fn add(&mut self, other: &Seen) {
        self.successions_count += other.successions_count;
        self.successions_by_other_voters_count += other.successions_by_other_voters_count;
        self.successions_after_frozen_count += other.successions_after_frozen_count;
        self.successions_after_frozen_sole_count += other.successions_after_frozen_sole_count;
        self.successions_joint_count += other.successions_joint_count;
        self.finished_by_other_count += other.finished_by_other_count;
        self.grown_from_sole_count += other.grown_from_sole_count;
        self.shrunk_to_sole_count += other.shrunk_to_sole_count;
    }
}

/// Who acts, and who voted by its log when it began and when it was last seen.
#[derive(Clone, Copy)]
struct Actor {
    node: usize,
    voters_first: u8,
    voters_last: u8,
}

pub(super) struct World {
    rules: Rules,
    true_ms: u64,
    machines: Vec<Machine>,
    wire: Vec<(usize, usize, Message)>,
    /// What is committed anywhere; all nodes must agree.
    chosen: Vec<Entry>,
    actor: Option<Actor>,
    pub(super) seen: Seen,
    /// Nodes that could act at one true time: the law is broken.
    pub(super) broken: Option<Vec<NodeId>>,
}

impl World {
    pub(super) fn new(rules: Rules, fast: &[bool], founders: u8) -> World {
        assert!(fast.len() <= NODES_COUNT_MAX, "too many nodes for the sets");
        let true_ms = 1_000;
        let machine = |(node, is_fast): (usize, &bool)| {
            let now = clock(true_ms, node, *is_fast);
            Machine {
                peer: Peer::new(node, founders, now),
                leader: fresh_leader(node, now),
                is_fast: *is_fast,
                is_frozen: false,
                reported: None,
                inbox: Vec::new(),
                proposed: Vec::new(),
                applied: 0,
                records: LeadershipRecords::default(),
                published: Leadership::unknown(id(node), now),
            }
        };
        World {
            rules,
            true_ms,
            machines: fast.iter().enumerate().map(machine).collect(),
            wire: Vec::new(),
            chosen: Vec::new(),
            actor: None,
            seen: Seen::default(),
            broken: None,
        }
    }

    pub(super) fn now(&self, node: usize) -> Now {
        clock(self.true_ms, node, self.machines[node].is_fast)
    }

    pub(super) fn run(&mut self, op: &Op) {
        match *op {
            Op::Advance { ms } => self.true_ms += ms,
            Op::Elect { pick, asked, is_instant } => self.elect(pick, asked, is_instant),
            Op::Send { by, to, withheld_count } => self.send(by, to, withheld_count),
            Op::Arrive { pick, is_lost } => self.arrive(pick, is_lost),
            Op::Work { by, reached, is_told } => self.work(by, reached, is_told),
            Op::Change { by, to } => {
                if let Some(node) = self.elected(by) {
                    self.change(node, to);
                }
            }
            Op::Deliver { node } => self.if_awake(node, World::deliver),
            Op::DeliverLog { node } => self.if_awake(node, World::deliver_log),
            Op::Tick { node } => self.if_awake(node, |world, at| world.feed(at, Input::TimerFired)),
            Op::Restart { node } => self.restart(node),
            Op::Freeze { by } => {
                if let Some(node) = self.elected(by) {
                    self.machines[node].is_frozen = true;
                }
            }
            Op::Thaw => self.machines.iter_mut().for_each(|machine| machine.is_frozen = false),
            Op::Pause { node } => self.if_awake(node, |world, at| {
                world.feed(at, Input::Paused(Paused { length_ms: 1 }));
            }),
            Op::Switchover { by, to } => {
                if let Some(node) = self.elected(by) {
                    self.feed(node, Input::Switchover { request: 0, to: Some(id(to)) });
                }
            }
        }
        self.note_who_acts();
    }

    fn if_awake(&mut self, node: usize, run: impl Fn(&mut World, usize)) {
        if !self.machines[node].is_frozen {
            run(self, node);
        }
    }

    /// Whether the node may act: by its clock and what it has published, and nothing else.
    pub(super) fn may_act(&self, node: usize) -> bool {
        let Machine { leader, published, .. } = &self.machines[node];
        let is_endless = match self.rules {
            Rules::EndlessSoleLease => published.token.is_some() && leader.voters == [id(node)],
            Rules::AsBuilt | Rules::OldSetConfirms | Rules::NewSetConfirms => false,
        };
        is_endless || published.may_act(self.now(node))
    }

    fn note_who_acts(&mut self) {
        let acting: Vec<usize> =
            (0..self.machines.len()).filter(|node| self.may_act(*node)).collect();
        if acting.len() > 1 {
            self.broken.get_or_insert(acting.iter().map(|node| id(*node)).collect());
        }
        if let [node] = acting[..] {
            self.note_actor(node);
        }
    }

    fn note_actor(&mut self, node: usize) {
        let voters = self.machines[node].peer.voters();
        let all = voters.all();
        let Some(before) = self.actor else {
            self.actor = Some(Actor { node, voters_first: all, voters_last: all });
            return;
        };
        let seen = &mut self.seen;
        let counts = (before.voters_last.count_ones(), all.count_ones());
        seen.grown_from_sole_count += u64::from(counts.0 == 1 && counts.1 > 1);
        seen.shrunk_to_sole_count += u64::from(counts.0 > 1 && counts.1 == 1);
        self.actor = Some(Actor { voters_last: all, ..before });
        if before.node == node {
            return;
        }
        self.actor = Some(Actor { node, voters_first: all, voters_last: all });
        let was = &self.machines[before.node];
        let is_frozen = was.is_frozen && was.published.token.is_some();
        let was_sole = before.voters_first.count_ones() == 1;
        seen.successions_count += 1;
        seen.successions_by_other_voters_count += u64::from(before.voters_first != all);
        seen.successions_joint_count += u64::from(voters.to.is_some());
        seen.successions_after_frozen_count += u64::from(is_frozen);
        seen.successions_after_frozen_sole_count += u64::from(is_frozen && was_sole);
    }

    /// The elected nodes that run, the newest first; what counts from 0 wraps.
    pub(super) fn elected(&self, by: usize) -> Option<usize> {
        let runs = |node: &usize| {
            self.machines[*node].peer.is_elected() && !self.machines[*node].is_frozen
        };
        let mut elected: Vec<usize> = (0..self.machines.len()).filter(runs).collect();
        elected.sort_by_key(|node| std::cmp::Reverse(self.machines[*node].peer.term));
        (!elected.is_empty()).then(|| elected[by % elected.len()])
    }

    fn others(&self, node: usize, set: u8) -> Vec<usize> {
        (0..self.machines.len()).filter(|at| *at != node && set & (1 << at) != 0).collect()
    }

    fn elect(&mut self, pick: usize, asked: u8, is_instant: bool) {
        let leader = self.elected(0);
        let may = |node: &usize| {
            let machine = &self.machines[*node];
            !machine.is_frozen && Some(*node) != leader && machine.peer.votes()
        };
        let mut candidates: Vec<usize> = (0..self.machines.len()).filter(may).collect();
        candidates.sort_by_key(|node| std::cmp::Reverse(self.machines[*node].peer.last()));
        if candidates.is_empty() {
            return;
        }
        let node = candidates[pick % candidates.len()];
        let now = self.now(node);
        let ask = self.machines[node].peer.campaign(now);
        self.note(node);
        self.spread(node, asked, ask, is_instant);
    }

    fn spread(&mut self, node: usize, to: u8, message: Option<Message>, is_instant: bool) {
        let Some(message) = message else { return };
        for at in self.others(node, to) {
            if is_instant {
                self.exchange(node, at, message.clone());
            } else {
                self.wire.push((node, at, message.clone()));
            }
        }
    }

    /// There and back without delay; what a frozen node is sent waits.
    fn exchange(&mut self, from: usize, to: usize, message: Message) {
        if self.machines[to].is_frozen {
            self.wire.push((from, to, message));
        } else if let Some(reply) = self.receive(from, to, message) {
            self.receive(to, from, reply);
        }
    }

    fn receive(&mut self, from: usize, to: usize, message: Message) -> Option<Message> {
        let now = self.now(to);
        let reply = self.machines[to].peer.receive(now, from, message);
        self.note(to);
        reply
    }

    fn arrive(&mut self, pick: usize, is_lost: bool) {
        if self.wire.is_empty() {
            return;
        }
        let at = pick % self.wire.len();
        if is_lost {
            self.wire.remove(at);
        } else if !self.machines[self.wire[at].1].is_frozen {
            let (from, to, message) = self.wire.remove(at);
            match self.receive(from, to, message) {
                // Who takes over asks everybody.
                Some(ask @ Message::Ask { .. }) => self.spread(to, u8::MAX, Some(ask), false),
                Some(reply) => self.wire.push((to, from, reply)),
                None => {}
            }
        }
    }

    fn append_proposed(&mut self, node: usize) {
        let now = self.now(node);
        let machine = &mut self.machines[node];
        let proposed = std::mem::take(&mut machine.proposed);
        // Before a quorum has confirmed its leader, consensus takes nothing.
        if machine.peer.quorum_acked_at(now, self.rules).is_some() {
            proposed.into_iter().for_each(|record| machine.peer.propose(Fact::Record(record)));
        }
        self.note(node);
    }

    fn send(&mut self, by: usize, to: u8, withheld_count: usize) {
        let Some(node) = self.elected(by) else { return };
        self.append_proposed(node);
        let now = self.now(node);
        let frame = self.machines[node].peer.frame(now, withheld_count);
        self.spread(node, to, Some(frame), false);
    }

    fn work(&mut self, by: usize, reached: u8, is_told: bool) {
        let Some(node) = self.elected(by) else { return };
        if is_told {
            self.deliver(node);
            self.feed(node, Input::TimerFired);
        }
        self.append_proposed(node);
        let others = self.others(node, reached);
        if !others.is_empty() {
            let now = self.now(node);
            let frame = self.machines[node].peer.frame(now, 0);
            others.iter().for_each(|at| self.exchange(node, *at, frame.clone()));
        }
        self.note(node);
        if is_told {
            self.deliver_log(node);
            self.deliver(node);
        }
    }

    fn change(&mut self, node: usize, to: u8) {
        let peer = &mut self.machines[node].peer;
        let (voters, begun_in) = (peer.voters(), peer.voters_term());
        peer.change_voters(to);
        let is_finished = voters.to.is_some() && peer.voters() != voters;
        self.seen.finished_by_other_count += u64::from(is_finished && begun_in != peer.term);
        self.note(node);
    }

    /// Consensus tells its leader what has changed, to be delivered later.
    fn note(&mut self, node: usize) {
        let now = self.now(node);
        let machine = &mut self.machines[node];
        let peer = &machine.peer;
        let ids = |set: u8| (0..8).filter(|at| set & (1 << at) != 0).map(id).collect::<Vec<_>>();
        let voters = peer.voters();
        let report = ConsensusReport {
            term: Term::new(Generation(0), peer.term),
            role: if peer.is_elected() { RaftRole::Elected } else { RaftRole::Follower },
            leader: None,
            voters: ids(voters.all()),
            learners: Vec::new(),
            joint_goal: voters.to.map(ids),
            granted_age_ms: peer.granted_age_ms(),
        };
        let acked_at = peer.quorum_acked_at(now, self.rules);
        let (old_report, old_acked_at) = match machine.reported.take() {
            Some((report, acked_at)) => (Some(report), acked_at),
            None => (None, None),
        };
        if old_report.as_ref() != Some(&report) {
            machine.inbox.push(Input::Consensus(report.clone()));
        }
        if let Some(sent_at) = acked_at
            && acked_at != old_acked_at
        {
            let acked = QuorumAcked { term: report.term, sent_at };
            machine.inbox.push(Input::QuorumAcked(acked));
        }
        machine.reported = Some((report, acked_at));
        self.assert_agreed(node);
    }

    /// The model's consensus must be one: no two nodes have other entries committed.
    fn assert_agreed(&mut self, node: usize) {
        let committed = &self.machines[node].peer.log[..self.machines[node].peer.committed];
        let known = self.chosen.len().min(committed.len());
        assert!(committed[..known] == self.chosen[..known], "two logs are committed");
        self.chosen.extend_from_slice(&committed[known..]);
    }

    fn deliver(&mut self, node: usize) {
        for input in std::mem::take(&mut self.machines[node].inbox) {
            self.feed(node, input);
        }
    }

    fn deliver_log(&mut self, node: usize) {
        while self.machines[node].applied < self.machines[node].peer.committed {
            let machine = &mut self.machines[node];
            machine.applied += 1;
            let index = LogIndex(machine.applied as u64);
            if let Fact::Record(record) = machine.peer.log[machine.applied - 1].fact.clone() {
                let accepted = machine.records.apply(&record);
                self.feed(node, Input::RecordApplied(RecordApplied { index, record, accepted }));
            }
        }
    }

    fn restart(&mut self, node: usize) {
        let now = self.now(node);
        let machine = &mut self.machines[node];
        machine.peer.restart(now);
        machine.leader = fresh_leader(node, now);
        machine.is_frozen = false;
        machine.reported = None;
        machine.inbox.clear();
        machine.proposed.clear();
        machine.published = Leadership::unknown(id(node), now);
        let index = LogIndex(machine.applied as u64);
        if let Some(record) = machine.records.last().cloned() {
            self.feed(node, Input::RecordApplied(RecordApplied { index, record, accepted: true }));
        }
        self.note(node);
    }

    fn feed(&mut self, node: usize, input: Input) {
        let mut effects = Vec::new();
        let now = self.now(node);
        self.machines[node].leader.step(now, input, &mut effects);
        for effect in effects {
            let machine = &mut self.machines[node];
            match effect {
                Effect::Publish(leadership) => machine.published = leadership,
                Effect::RenewLease { until } => machine.published.lease_until = until,
                Effect::Propose(record) => machine.proposed.push(record),
                Effect::AskProgress { of } => {
                    let last_index = LogIndex(machine.peer.log.len() as u64);
                    let matching = LogIndex(machine.peer.matching(of.0 as usize - 1) as u64);
                    let progress = Progress { last_index, matching };
                    machine.inbox.push(Input::ProgressAnswered { of, progress });
                }
                Effect::Transfer { to } => {
                    let length = machine.peer.log.len();
                    self.wire.push((node, to.0 as usize - 1, Message::TakeOver { length }));
                }
                Effect::SetTimer { .. }
                | Effect::PauseWrites { .. }
                | Effect::TransferFailed { .. }
                | Effect::Answer { .. } => {}
            }
        }
    }
}
