//! The shell, with a probe in the place of replication: what is sent, who is woken, who is told.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use actix::prelude::*;
use tokio::sync::mpsc;

use super::actor::{Commands, LeaderActor};
use super::{Leadership, Record, RecordApplied, Switchover};
use crate::config::ClusterSettings;
use crate::error::SwitchoverError;
use crate::ids::{FencingToken, Generation, LogIndex, NodeId, Term};
use crate::ports::{Clock, Now, UnixMs};
use crate::replication::{
    AskProgress, ConsensusReport, PauseWrites, Progress, ProposeRecord, QuorumAcked, RaftRole,
    TransferLeadership,
};
use crate::watch;

const N1: NodeId = NodeId(1);
const N2: NodeId = NodeId(2);

/// Shows what the test sets.
#[derive(Debug, Default)]
struct HandClock {
    ms: AtomicU64,
}

impl Clock for HandClock {
    fn now(&self) -> Now {
        Now::from_ms(self.ms.load(Ordering::Relaxed))
    }

    fn wall(&self) -> UnixMs {
        UnixMs(0)
    }
}

/// Passes on what the leader orders, as text. Every voter's log matches at 41.
struct Probe {
    orders: mpsc::UnboundedSender<String>,
}

impl Actor for Probe {
    type Context = Context<Self>;
}

impl Probe {
    fn note(&self, order: String) {
        self.orders.send(order).expect("the test listens");
    }
}

impl Handler<PauseWrites> for Probe {
    type Result = ();

    fn handle(&mut self, PauseWrites { paused }: PauseWrites, _ctx: &mut Context<Self>) {
        self.note(format!("pause {paused}"));
    }
}

impl Handler<ProposeRecord> for Probe {
    type Result = ();

    fn handle(&mut self, ProposeRecord { record }: ProposeRecord, _: &mut Context<Self>) {
        match record {
            Record::Acting { token, .. } => self.note(format!("acting {token}")),
            Record::Released { token, .. } => self.note(format!("released {token}")),
        }
    }
}

impl Handler<AskProgress> for Probe {
    type Result = MessageResult<AskProgress>;

    fn handle(&mut self, _: AskProgress, _ctx: &mut Context<Self>) -> Self::Result {
        MessageResult(Progress { last_index: LogIndex(41), matching: LogIndex(41) })
    }
}

impl Handler<TransferLeadership> for Probe {
    type Result = ();

    fn handle(&mut self, TransferLeadership { to }: TransferLeadership, _: &mut Context<Self>) {
        self.note(format!("transfer {to}"));
    }
}

struct Bench {
    clock: Arc<HandClock>,
    leader: Addr<LeaderActor>,
    orders: mpsc::UnboundedReceiver<String>,
    leadership: watch::Receiver<Leadership>,
}

fn term(election: u64) -> Term {
    Term::new(Generation(0), election)
}

impl Bench {
    fn begin() -> Bench {
        let clock = Arc::new(HandClock::default());
        let (sender, orders) = mpsc::unbounded_channel();
        let probe = Probe { orders: sender }.start();
        let commands = Commands {
            pause_writes: probe.clone().recipient(),
            propose_record: probe.clone().recipient(),
            ask_progress: probe.clone().recipient(),
            transfer_leadership: probe.recipient(),
        };
        let (sender, leadership) = watch::channel(Leadership::unknown(N1, Now::default()));
        let settings = ClusterSettings::of(Vec::new());
        let leader =
            LeaderActor::with_clock(N1, &settings, clock.clone(), commands, sender).start();
        Bench { clock, leader, orders, leadership }
    }

    /// Elected in term 5, its record applied, with the lease of a frame sent at 0 ms.
    async fn acting() -> Bench {
        let mut bench = Bench::begin();
        bench.report(5, RaftRole::Elected, N1).await;
        bench.ack(0).await;
        assert_eq!(bench.orders.recv().await.as_deref(), Some("acting 0.5"));
        let record = Record::Acting {
            token: FencingToken(term(5)),
            node: N1,
            lease_ms: 235,
            guard_ms: 5_000,
            stop_ms: 5_000,
        };
        bench.apply(record).await;
        bench
    }

    async fn report(&self, election: u64, role: RaftRole, leader: NodeId) {
        let report = ConsensusReport {
            term: term(election),
            role,
            leader: Some(leader),
            voters: vec![N1, N2],
            learners: Vec::new(),
            joint_goal: None,
            granted_age_ms: 0,
        };
        self.leader.send(report).await.expect("the leader runs");
    }

    async fn apply(&self, record: Record) {
        let applied = RecordApplied { index: LogIndex(41), record, accepted: true };
        self.leader.send(applied).await.expect("the leader runs");
    }

    async fn ack(&self, sent_ms: u64) {
        let acked = QuorumAcked { term: term(5), sent_at: Now::from_ms(sent_ms) };
        self.leader.send(acked).await.expect("the leader runs");
    }
}

fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
    let bounded = async {
        let limit = std::time::Duration::from_secs(10);
        tokio::time::timeout(limit, test).await.expect("nothing here waits long");
    };
    tokio::task::LocalSet::new().block_on(&runtime.expect("a runtime"), bounded);
}

#[test]
fn a_renewed_lease_is_seen_by_readers_and_wakes_nobody() {
    run(async {
        let mut bench = Bench::acting().await;
        assert!(bench.leadership.borrow_and_update().may_act(Now::from_ms(234)));
        assert!(!bench.leadership.borrow().may_act(Now::from_ms(235)));

        bench.ack(100).await;

        assert!(bench.leadership.borrow().may_act(Now::from_ms(334)));
        assert!(!bench.leadership.has_changed());
    });
}

#[test]
fn a_lease_that_ends_wakes_who_watches() {
    run(async {
        let mut bench = Bench::acting().await;
        assert!(bench.leadership.borrow_and_update().token.is_some());

        bench.clock.ms.store(235, Ordering::Relaxed);
        bench.leadership.changed().await.expect("the leader runs");

        assert_eq!(bench.leadership.borrow().token, None);
    });
}

#[test]
fn a_switchover_is_answered_once_the_target_leads_and_refused_before_anyone_does() {
    run(async {
        let early = Bench::begin().leader.send(Switchover { to: None }).await;
        assert_eq!(early.expect("it runs"), Err(SwitchoverError::NotLeader { this: N1 }));

        let mut bench = Bench::acting().await;
        let leader = bench.leader.clone();
        let asked = tokio::task::spawn_local(leader.send(Switchover { to: Some(N2) }));
        assert_eq!(bench.orders.recv().await.as_deref(), Some("pause true"));
        assert_eq!(bench.orders.recv().await.as_deref(), Some("released 0.5"));
        assert_eq!(bench.leadership.borrow().token, None);
        bench.apply(Record::Released { token: FencingToken(term(5)), node: N1 }).await;
        assert_eq!(bench.orders.recv().await.as_deref(), Some("transfer n2"));
        bench.report(6, RaftRole::Follower, N2).await;
        assert_eq!(bench.orders.recv().await.as_deref(), Some("pause false"));

        let answer = asked.await.expect("no panic").expect("the leader runs");
        assert_eq!(answer, Ok(N2));
    });
}
