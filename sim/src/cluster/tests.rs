//! The verbs do what they say, on whole nodes.

use std::panic::UnwindSafe;

use bytes::Bytes;
use quorate_core::codec::CodecError;
use quorate_core::history::OperationKind;
use quorate_core::replication::Consistency;
use quorate_core::{SnapshotJob, StateMachine};

use super::*;
use crate::checkers::Asked;
use crate::world::run_isolated;

/// The text with which a run fails.
fn failure(run: impl FnOnce() + Send + UnwindSafe + 'static) -> String {
    let panicked = std::panic::catch_unwind(|| run_isolated(run)).expect_err("the run must fail");
    panicked.downcast_ref::<String>().cloned().unwrap_or_default()
}

#[test]
fn a_write_is_acknowledged_and_read_at_every_node() {
    run_isolated(|| {
        let mut cluster = Cluster::of(3).seed(1);
        let blue = cluster.write("colour", "blue").acked_within_ms(2_000);
        cluster.read("colour").sees(&blue);
        cluster.within_ms(2_000).one_leader_and_equal_logs();
        for name in cluster.names() {
            let seen = cluster.stale_read(&name, "colour".into());
            assert_eq!(seen.as_deref(), Some(b"blue".as_slice()), "{name}");
        }
        assert_eq!(cluster.check_invariants().acknowledged_count, 1);
    });
}

#[test]
fn a_frozen_leader_is_replaced_and_comes_back_as_a_replica() {
    run_isolated(|| {
        let mut cluster = Cluster::of(3).seed(2);
        let leader = cluster.leader();
        cluster.freeze(&[&leader]);
        cluster.within_ms(3_000).another_leads(&[&leader]);
        let while_frozen = cluster.write("while", "frozen").acked_within_ms(5_000);
        cluster.thaw(&[&leader]);
        cluster.within_ms(5_000).one_leader_and_equal_logs();
        cluster.read("while").sees(&while_frozen);
        cluster.check_invariants();
    });
}

#[test]
fn a_majority_without_power_leaves_nobody_who_leads_or_acknowledges() {
    run_isolated(|| {
        let mut cluster = Cluster::of(3).seed(3);
        let leader = cluster.leader();
        let names = cluster.names();
        let last = names.iter().find(|name| **name != leader).expect("a replica").clone();
        let others: Vec<&str> =
            names.iter().map(String::as_str).filter(|name| *name != last).collect();
        cluster.cut_power(&others);
        cluster.within_ms(1_500).nobody_leads();
        cluster.run_for_ms(500); // by then the replica counts the silent leader as none
        cluster.write("colour", "red").refused(Code::NoLeader);
        cluster.restore_power(&others);
        cluster.within_ms(5_000).one_leader_and_equal_logs();
        cluster.check_invariants();
    });
}

#[test]
fn a_promise_that_does_not_hold_ends_the_run_with_its_seed_and_the_last_events() {
    let text = failure(|| {
        let mut cluster = Cluster::of(1).seed(4);
        cluster.within_ms(100).nobody_leads();
    });
    let first = text.lines().next().unwrap_or_default();
    assert!(first.contains("within 100 ms: somebody may still act"), "{text}");
    assert!(text.contains("again: seed 4"), "{text}");
    assert!(text.contains("node started"), "{text}");
}

#[test]
fn a_read_that_misses_an_acknowledged_write_ends_the_run() {
    let text = failure(|| {
        let mut cluster = Cluster::of(1).seed(5);
        cluster.write("colour", "blue").acked_within_ms(2_000);
        cluster.read("colour").sees(&Acked { value: "red".to_owned() });
    });
    assert!(text.contains("a read of colour sees \"blue\", not \"red\""), "{text}");
}

/// Objects that all forget the same write, so that they agree with each other.
struct Forgetful(Objects);

impl StateMachine for Forgetful {
    fn apply(&mut self, index: LogIndex, command: &[u8]) -> Bytes {
        match command {
            b"colour=red" => Bytes::new(),
            _ => self.0.apply(index, command),
        }
    }

    fn query(&self, query: &[u8]) -> Bytes {
        self.0.query(query)
    }

    fn snapshot(&self) -> SnapshotJob {
        self.0.snapshot()
    }

    fn restore(&mut self, snapshot: &[u8]) -> Result<(), CodecError> {
        self.0.restore(snapshot)
    }
}

#[test]
fn a_write_that_every_node_forgets_ends_the_run_also_behind_one_of_unknown_outcome() {
    for is_unknown_before in [false, true] {
        let text = failure(move || {
            let setup = Cluster::of(3).machine(|| Forgetful(Objects::default()));
            let mut cluster = setup.seed(7);
            let blue = cluster.write("colour", "blue").acked_within_ms(2_000);
            if is_unknown_before {
                // As if the client had not heard of it.
                let mut ledger = Ledger::default();
                let asked =
                    Asked { name: "colour", value: "blue", start_ms: 1, end_ms: 2, node: "n1" };
                ledger.unknown(&asked);
                cluster.ledger = ledger;
            }
            cluster.write("colour", "red").acked_within_ms(2_000);
            cluster.within_ms(2_000).one_leader_and_equal_logs();
            cluster.read("colour").sees(&blue);
            cluster.check_invariants();
        });
        // An unknown write may come late: then the read has seen it above the index that stands.
        let told = if is_unknown_before { "was read at " } else { "acknowledged at " };
        assert!(text.contains(&format!("n1: \"colour\" {told}")), "{text}");
    }
}

#[test]
fn names_written_again_and_again_are_read_and_judged_while_leaders_change() {
    run_isolated(|| {
        let mut cluster = Cluster::of(3).seed(8);
        let (writers_count, pause_ms, names_count, reads) = (6, 5, 3, 0.5);
        cluster.start_writers(Workload {
            writers_count,
            pause_ms,
            names_count,
            reads,
            ..Workload::default()
        });
        for _ in 0..3 {
            cluster.run_for_ms(500);
            let leader = cluster.leader();
            cluster.partition(&[&leader]);
            cluster.within_ms(5_000).another_leads(&[&leader]);
            cluster.run_for_ms(500);
            cluster.heal();
        }
        cluster.stop_writers();
        cluster.within_ms(5_000).one_leader_and_equal_logs();
        cluster.check_invariants();
        let operations = cluster.ledger().operations();
        let reads_count = operations.iter().filter(|one| one.op == OperationKind::Get).count();
        assert!(reads_count > 100, "{reads_count} reads");
    });
}

/// The planted proof with whole nodes: a client takes what a replica behind a partition shows for
/// the present state. The index of the answer is true, and old.
#[test]
fn a_read_that_asks_no_leader_ends_the_run() {
    for is_cut_off in [false, true] {
        let run = move || {
            let mut cluster = Cluster::of(3).seed(9);
            cluster.write("colour", "blue").acked_within_ms(2_000);
            cluster.within_ms(2_000).one_leader_and_equal_logs();
            let (leader, names) = (cluster.leader(), cluster.names());
            let replica = names.iter().find(|name| **name != leader).expect("there are three");
            if is_cut_off {
                cluster.partition(&[replica]);
            }
            cluster.write("colour", "red").via(&leader).acked_within_ms(2_000);
            cluster.run_for_ms(200);
            let (at, start_ms) = (cluster.place(replica), cluster.world.now_ms());
            let asked = cluster.ask_to_read(at, "colour".into(), Consistency::Stale);
            let answer = cluster.wait_for(&asked, 1_000).expect("it answers").expect("it knows");
            let (name, value) = ("colour".to_owned(), String::new());
            cluster.note_read(&Request { name, value, start_ms, at }, &answer);
            cluster.heal();
            cluster.within_ms(5_000).one_leader_and_equal_logs();
            cluster.check_invariants();
        };
        if is_cut_off {
            let text = failure(run);
            assert!(text.contains("history: \"colour\": it began after the other had"), "{text}");
            assert!(text.contains("no order of the operations explains"), "{text}");
        } else {
            run_isolated(run);
        }
    }
}

#[test]
fn a_write_that_is_too_large_is_refused_with_its_code() {
    run_isolated(|| {
        let mut cluster = Cluster::of(1).seed(6);
        cluster.write("colour", &"b".repeat(3 << 20)).refused(Code::TooLarge);
        cluster.check_invariants();
    });
}

#[test]
fn clients_of_every_kind_are_served_through_a_crash_and_a_partition() {
    run_isolated(|| {
        let mut cluster = Cluster::of(3).seed(9);
        cluster.start_writers(Workload::of_every_kind());
        cluster.run_for_ms(2_000);
        let leader = cluster.leader();
        cluster.crash(&[&leader]);
        let heir = cluster.within_ms(5_000).another_leads(&[&leader]);
        cluster.restart(&[&leader]);
        cluster.run_for_ms(1_000);
        cluster.partition(&[&heir]);
        cluster.run_for_ms(3_000);
        cluster.heal();
        cluster.run_for_ms(2_000);
        cluster.stop_writers();
        cluster.within_ms(5_000).one_leader_and_equal_logs();
        let (lists, locks) = (cluster.books.lists.acknowledged_count(), &cluster.books.locks);
        assert!(lists > 20, "{lists}");
        assert!(locks.fenced_count < 20, "{locks:?}");
        cluster.check_invariants();
    });
}

/// Carries out each append two times.
struct Stutters(Objects);

impl StateMachine for Stutters {
    fn apply(&mut self, index: LogIndex, command: &[u8]) -> Bytes {
        if command.starts_with(b"append") {
            self.0.apply(index, command);
        }
        self.0.apply(index, command)
    }

    fn query(&self, query: &[u8]) -> Bytes {
        self.0.query(query)
    }

    fn snapshot(&self) -> SnapshotJob {
        self.0.snapshot()
    }

    fn restore(&mut self, snapshot: &[u8]) -> Result<(), CodecError> {
        self.0.restore(snapshot)
    }
}

#[test]
fn what_was_appended_twice_on_every_node_ends_the_run() {
    let text = failure(|| {
        let mut cluster = Cluster::of(3).machine(|| Stutters(Objects::default())).seed(10);
        cluster.start_writers(Workload::of_every_kind());
        cluster.run_for_ms(2_000);
        cluster.stop_writers();
        cluster.within_ms(5_000).one_leader_and_equal_logs();
        cluster.check_invariants();
    });
    assert!(text.contains("more than once"), "{text}");
}

#[test]
fn without_a_fault_nobody_is_called_down_and_all_see_who_crashed_and_came_back() {
    for seed in 1..=4 {
        run_isolated(move || {
            let mut cluster = Cluster::of(5).seed(seed);
            cluster.within_ms(10_000).members_agree();
            cluster.run_for_ms(30_000);
            cluster.nobody_was_called_down();
            cluster.crash(&["n2"]);
            cluster.within_ms(10_000).members_agree();
            cluster.restart(&["n2"]);
            cluster.within_ms(15_000).members_agree();
        });
    }
}

#[test]
fn members_that_cannot_see_each_other_do_not_agree_and_call_each_other_down() {
    let cut = |ends: fn(&mut Cluster)| {
        failure(move || {
            let mut cluster = Cluster::of(3).seed(5);
            cluster.within_ms(10_000).members_agree();
            cluster.partition(&["n3"]);
            cluster.run_for_ms(10_000);
            ends(&mut cluster);
        })
    };
    let text = cut(|cluster| cluster.within_ms(100).members_agree());
    assert!(text.contains("within 100 ms: the members do not agree: n1 sees n3 as Down"), "{text}");
    let text = cut(Cluster::nobody_was_called_down);
    assert!(text.contains("a member that ran was called down"), "{text}");
}
