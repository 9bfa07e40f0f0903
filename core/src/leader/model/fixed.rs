//! The law among voters that stay: they grant terms at any moment, even right after they heard a
//! leader, and truthfully report the age of its last frame.
//!
//! Read next: [`Op`], then the property at the end.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

use super::{clock, fresh_leader, id};
use crate::heartbeat::Paused;
use crate::ids::{Generation, LogIndex, NodeId, Term};
use crate::leader::record::LeadershipRecords;
use crate::leader::state::{Effect, Input, Leader};
use crate::leader::{Leadership, Record, RecordApplied};
use crate::ports::Now;
use crate::replication::{ConsensusReport, Progress, QuorumAcked, RaftRole};

/// What happens next. Nodes count from 0; in `reached`, bit i stands for node i.
#[derive(Clone, Debug)]
enum Op {
    Advance {
        ms: u64,
    },
    Elect {
        node: usize,
        granting: u8,
        commits_late: bool,
    },
    /// One round of frames: what the leader has proposed is committed if a quorum is reached.
    Round {
        node: usize,
        reached: u8,
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
    /// Timer, round and deliveries without delay.
    Work {
        reached: u8,
    },
    Restart {
        node: usize,
    },
    Pause {
        node: usize,
    },
    Switchover {
        node: usize,
        to: usize,
    },
}

struct Machine {
    leader: Leader,
    is_fast: bool,
    /// The highest term that it has granted or heard of.
    term: u64,
    elected_in: Option<u64>,
    /// By its own clock; `None` if it restarted since.
    last_frame: Option<Now>,
    inbox: Vec<Input>,
    proposed: Vec<Record>,
    log_read_count: usize,
    published: Leadership,
}

struct World {
    true_ms: u64,
    machines: Vec<Machine>,
    log: Vec<(Record, bool)>,
    records: LeadershipRecords,
    acted: Vec<NodeId>,
}

impl World {
    fn new(fast: &[bool]) -> World {
        let machine = |(node, is_fast): (usize, &bool)| Machine {
            leader: fresh_leader(node, Now::default()),
            is_fast: *is_fast,
            term: 0,
            elected_in: None,
            last_frame: Some(Now::default()),
            inbox: Vec::new(),
            proposed: Vec::new(),
            log_read_count: 0,
            published: Leadership::unknown(id(node), Now::default()),
        };
        World {
            true_ms: 1_000,
            machines: fast.iter().enumerate().map(machine).collect(),
            log: Vec::new(),
            records: LeadershipRecords::default(),
            acted: Vec::new(),
        }
    }

    fn now(&self, node: usize) -> Now {
        clock(self.true_ms, node, self.machines[node].is_fast)
    }

    fn is_quorum(&self, nodes: &[usize]) -> bool {
        2 * nodes.len() > self.machines.len()
    }

    fn run(&mut self, op: &Op) {
        match *op {
            Op::Advance { ms } => self.true_ms += ms,
            Op::Elect { node, granting, commits_late } => self.elect(node, granting, commits_late),
            Op::Round { node, reached } => self.round(node, reached),
            Op::Deliver { node } => self.deliver(node),
            Op::DeliverLog { node } => self.deliver_log(node),
            Op::Tick { node } => self.feed(node, Input::TimerFired),
            Op::Work { reached } => self.work(reached),
            Op::Restart { node } => self.restart(node),
            Op::Pause { node } => self.feed(node, Input::Paused(Paused { length_ms: 1 })),
            Op::Switchover { node, to } => {
                self.feed(node, Input::Switchover { request: 0, to: Some(id(to)) });
            }
        }
        self.note_who_acts();
    }

    fn work(&mut self, reached: u8) {
        let newest = |node: &usize| self.machines[*node].elected_in;
        let newest = (0..self.machines.len()).filter(|at| newest(at).is_some()).max_by_key(newest);
        let Some(node) = newest else { return };
        self.deliver(node);
        self.feed(node, Input::TimerFired);
        self.round(node, reached);
        self.deliver_log(node);
        self.deliver(node);
    }

    /// The law.
    fn note_who_acts(&mut self) {
        let may_act = |node: &usize| self.machines[*node].published.may_act(self.now(*node));
        let acting: Vec<usize> = (0..self.machines.len()).filter(may_act).collect();
        assert!(acting.len() <= 1, "{acting:?} may act at {} ms", self.true_ms);
        if let [node] = acting[..]
            && self.acted.last() != Some(&id(node))
        {
            self.acted.push(id(node));
        }
    }

    fn reached(&self, node: usize, mask: u8, is_open: impl Fn(&Machine) -> bool) -> Vec<usize> {
        let within = |at: &usize| *at == node || mask & (1 << at) != 0;
        (0..self.machines.len()).filter(within).filter(|at| is_open(&self.machines[*at])).collect()
    }

    fn elect(&mut self, node: usize, granting: u8, commits_late: bool) {
        let term = 1 + self.machines.iter().map(|machine| machine.term).max().unwrap_or(0);
        let granting = self.reached(node, granting, |_| true);
        let mut age_ms_min = u64::MAX;
        for at in &granting {
            let now = self.now(*at);
            let machine = &mut self.machines[*at];
            age_ms_min = age_ms_min.min(machine.last_frame.map_or(0, |frame| now.ms_since(frame)));
            machine.term = term;
            machine.elected_in = None;
            let late = std::mem::take(&mut machine.proposed);
            if commits_late {
                late.into_iter().for_each(|record| self.commit(record));
            }
            self.report(*at, term, RaftRole::Follower, 0);
        }
        if self.is_quorum(&granting) {
            self.machines[node].elected_in = Some(term);
            self.report(node, term, RaftRole::Elected, age_ms_min);
        }
    }

    fn report(&mut self, node: usize, term: u64, role: RaftRole, granted_age_ms: u64) {
        let report = ConsensusReport {
            term: Term::new(Generation(0), term),
            role,
            leader: None,
            voters: (0..self.machines.len()).map(id).collect(),
            learners: Vec::new(),
            joint_goal: None,
            granted_age_ms,
        };
        self.machines[node].inbox.push(Input::Consensus(report));
    }

    fn round(&mut self, node: usize, reached: u8) {
        let Some(term) = self.machines[node].elected_in else { return };
        let sent_at = self.now(node);
        let reached = self.reached(node, reached, |machine| machine.term <= term);
        for at in &reached {
            self.machines[*at].last_frame = Some(self.now(*at));
            if *at != node {
                self.machines[*at].term = term;
                self.machines[*at].elected_in = None;
            }
        }
        if !self.is_quorum(&reached) {
            return;
        }
        let proposed = std::mem::take(&mut self.machines[node].proposed);
        proposed.into_iter().for_each(|record| self.commit(record));
        let term = Term::new(Generation(0), term);
        self.machines[node].inbox.push(Input::QuorumAcked(QuorumAcked { term, sent_at }));
    }

    fn commit(&mut self, record: Record) {
        let is_accepted = self.records.apply(&record);
        self.log.push((record, is_accepted));
    }

    fn deliver(&mut self, node: usize) {
        for input in std::mem::take(&mut self.machines[node].inbox) {
            self.feed(node, input);
        }
    }

    fn deliver_log(&mut self, node: usize) {
        while let Some((record, accepted)) = self.log.get(self.machines[node].log_read_count) {
            let (record, accepted) = (record.clone(), *accepted);
            self.machines[node].log_read_count += 1;
            let index = LogIndex(self.machines[node].log_read_count as u64);
            self.feed(node, Input::RecordApplied(RecordApplied { index, record, accepted }));
        }
    }

    fn restart(&mut self, node: usize) {
        let now = self.now(node);
        let machine = &mut self.machines[node];
        machine.leader = fresh_leader(node, now);
        machine.elected_in = None;
        machine.last_frame = None;
        machine.inbox.clear();
        machine.published = Leadership::unknown(id(node), now);
        let read = &self.log[..machine.log_read_count];
        if let Some((record, _)) = read.iter().rfind(|(_, accepted)| *accepted) {
            let (record, index) = (record.clone(), LogIndex(machine.log_read_count as u64));
            let applied = RecordApplied { index, record, accepted: true };
            self.feed(node, Input::RecordApplied(applied));
        }
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
                Effect::Propose(record) => {
                    let term = machine.elected_in.map(|term| Term::new(Generation(0), term));
                    if term == Some(record.token().0) {
                        machine.proposed.push(record);
                    }
                }
                Effect::AskProgress { of } => {
                    let last_index = LogIndex(self.log.len() as u64);
                    let progress = Progress { last_index, matching: last_index };
                    machine.inbox.push(Input::ProgressAnswered { of, progress });
                }
                Effect::Transfer { to } => self.elect(to.0 as usize - 1, u8::MAX, false),
                Effect::SetTimer { .. }
                | Effect::PauseWrites { .. }
                | Effect::TransferFailed { .. }
                | Effect::Answer { .. } => {}
            }
        }
    }
}

fn ops(nodes_count: usize) -> impl Strategy<Value = Vec<Op>> {
    let node = move || 0..nodes_count;
    let mask = || prop_oneof![Just(u8::MAX), any::<u8>()];
    let op = prop_oneof![
        8 => (1..60_u64).prop_map(|ms| Op::Advance { ms }),
        1 => (60..6_000_u64).prop_map(|ms| Op::Advance { ms }),
        3 => (node(), mask(), any::<bool>()).prop_map(|(node, granting, commits_late)| {
            Op::Elect { node, granting, commits_late }
        }),
        2 => (node(), mask()).prop_map(|(node, reached)| Op::Round { node, reached }),
        2 => node().prop_map(|node| Op::Deliver { node }),
        1 => node().prop_map(|node| Op::DeliverLog { node }),
        1 => node().prop_map(|node| Op::Tick { node }),
        12 => mask().prop_map(|reached| Op::Work { reached }),
        1 => node().prop_map(|node| Op::Restart { node }),
        1 => node().prop_map(|node| Op::Pause { node }),
        2 => (node(), node()).prop_map(|(node, to)| Op::Switchover { node, to }),
    ];
    vec(op, 1..120)
}

fn runs() -> impl Strategy<Value = (Vec<bool>, Vec<Op>)> {
    prop_oneof![Just(3_usize), Just(5_usize)]
        .prop_flat_map(|nodes_count| (vec(any::<bool>(), nodes_count), ops(nodes_count)))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 10_000, ..ProptestConfig::default() })]

    /// At any true time at most one node may act by its own clock.
    #[test]
    fn at_most_one_node_may_act_at_any_true_time((fast, ops) in runs()) {
        let mut world = World::new(&fast);
        ops.iter().for_each(|op| world.run(op));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, ..ProptestConfig::default() })]

    /// Whatever went before, an elected node that hears its voters acts within a lease and a round.
    #[test]
    fn an_elected_node_with_a_quorum_acts_in_bounded_time((fast, ops) in runs()) {
        let mut world = World::new(&fast);
        ops.iter().for_each(|op| world.run(op));

        world.run(&Op::Elect { node: 0, granting: u8::MAX, commits_late: true });
        for _ in 0..6 {
            world.run(&Op::Work { reached: u8::MAX });
            world.run(&Op::Advance { ms: 30 });
        }
        world.run(&Op::Work { reached: u8::MAX });

        prop_assert!(world.machines[0].published.may_act(world.now(0)));
    }
}

/// The law would hold too if nobody ever acted: the same runs must hand the right on.
#[test]
fn the_right_to_act_moves_in_these_runs() {
    let mut runner = TestRunner::deterministic();
    let mut successions_count = 0;
    for _ in 0..500 {
        let (fast, ops) = runs().new_tree(&mut runner).expect("nothing is filtered").current();
        let mut world = World::new(&fast);
        ops.iter().for_each(|op| world.run(op));
        successions_count += world.acted.len().saturating_sub(1);
    }
    assert!(successions_count > 100, "only {successions_count} successions in 500 runs");
}
