//! Laws of both judges over random histories, against a third that tries every order.
//!
//! A history is drawn from a register that really had an order: each operation has a moment between
//! its begin and its end. Then one thing in it is changed, or nothing.

use std::collections::BTreeSet;
use std::time::Instant;

use proptest::prelude::*;
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use crate::history::version_order::VersionOrder;
use crate::history::wing_gong::{self, Limits, Opinion};
use crate::history::{Operation, OperationKind, Outcome, ValueHash};

/// What a drawn history is like.
#[derive(Clone, Copy, Debug)]
struct Kind {
    clients_count: usize,
    operations_count: usize,
    keys_count: u64,
    /// Values to choose from; 0 gives each write its own.
    values_count: u64,
    /// Longest wait before, in and after an operation.
    wait_ns_max: u64,
}

const SMALL: Kind =
    Kind { clients_count: 3, operations_count: 7, keys_count: 1, values_count: 0, wait_ns_max: 4 };

/// A history with true indexes: a few writes are refused, and of a few the outcome is unknown.
fn drawn(kind: Kind, seed: u64) -> Vec<Operation> {
    let mut dice = SmallRng::seed_from_u64(seed);
    let mut free_ns = vec![1; kind.clients_count];
    let mut asked: Vec<(u64, Operation)> = Vec::new();
    for number in 0..kind.operations_count {
        let client = number % kind.clients_count;
        let mut wait_ns = || dice.random_range(0..=kind.wait_ns_max);
        let start_ns = free_ns[client] + wait_ns();
        let mut point_ns = start_ns + wait_ns();
        let end_ns = point_ns + wait_ns();
        free_ns[client] = end_ns + 1;
        let outcome = match dice.random_range(0..20) {
            0 => Outcome::Refused,
            1 | 2 => Outcome::Unknown,
            _ => Outcome::Acknowledged,
        };
        if outcome == Outcome::Unknown {
            // It comes at any later time, or never.
            point_ns += dice.random_range(0..kind.wait_ns_max * 8 + 1);
        }
        let op = match dice.random_range(0..10) {
            0..4 => OperationKind::Get,
            4 => OperationKind::Delete,
            _ => OperationKind::Put,
        };
        let value = match kind.values_count {
            0 => number as u64,
            count => dice.random_range(0..count),
        };
        let key = format!("k{}", dice.random_range(0..kind.keys_count));
        let value_hash = (op == OperationKind::Put).then_some(ValueHash(value));
        let node = format!("n{client}");
        let log_index = None;
        let operation =
            Operation { op, key, value_hash, start_ns, end_ns, outcome, log_index, node };
        asked.push((point_ns * 1_000 + dice.random_range(0..1_000), operation));
    }
    asked.sort_by_key(|(point, _)| *point);
    let order: Vec<usize> = (0..asked.len()).collect();
    let mut history: Vec<Operation> = asked.into_iter().map(|(_, one)| one).collect();
    answer(&mut history, &order, &mut dice);
    history
}

/// Executes the operations in this order, and gives them true answers.
fn answer(history: &mut [Operation], order: &[usize], dice: &mut SmallRng) {
    let mut held = std::collections::BTreeMap::new();
    let mut index = 0;
    for at in order {
        let operation = &mut history[*at];
        let is_acknowledged = operation.outcome == Outcome::Acknowledged;
        let has_effect =
            is_acknowledged || operation.outcome == Outcome::Unknown && dice.random_bool(0.7);
        if operation.op.is_write() && has_effect {
            index += 1;
            held.insert(operation.key.clone(), operation.value_hash);
        } else if is_acknowledged {
            operation.value_hash = held.get(&operation.key).copied().flatten();
        }
        operation.log_index = is_acknowledged.then_some(index);
    }
}

/// An order of the operations of one key that explains every answer: all orders are tried, without
/// one that was found to fail. Unknown writes may be left out.
fn some_order(history: &[Operation]) -> Option<Vec<usize>> {
    let relevant = |at: &usize| match (history[*at].outcome, history[*at].op.is_write()) {
        (Outcome::Acknowledged, _) | (Outcome::Unknown, true) => true,
        (Outcome::Refused, _) | (Outcome::Unknown, false) => false,
    };
    let left: BTreeSet<usize> = (0..history.len()).filter(relevant).collect();
    let (mut order, mut failed) = (Vec::new(), BTreeSet::new());
    extended(history, left, None, &mut order, &mut failed).then_some(order)
}

type Failed = BTreeSet<(BTreeSet<usize>, Option<ValueHash>)>;

fn extended(
    history: &[Operation],
    left: BTreeSet<usize>,
    held: Option<ValueHash>,
    order: &mut Vec<usize>,
    failed: &mut Failed,
) -> bool {
    let is_acknowledged = |at: &usize| history[*at].outcome == Outcome::Acknowledged;
    if !left.iter().any(is_acknowledged) {
        return true;
    }
    if !failed.insert((left.clone(), held)) {
        return false;
    }
    let ends = left.iter().filter(|at| is_acknowledged(at)).map(|at| history[*at].end_ns);
    let first_end_ns = ends.min().expect("one is acknowledged");
    for at in left.iter().copied() {
        let Operation { op, value_hash, start_ns, .. } = history[at];
        if start_ns > first_end_ns || !op.is_write() && value_hash != held {
            continue;
        }
        let mut less = left.clone();
        less.remove(&at);
        order.push(at);
        if extended(history, less, value_hash, order, failed) {
            return true;
        }
        order.pop();
    }
    false
}

/// The history with the indexes that this order gives; between two there is room for others.
fn indexed(history: &[Operation], order: &[usize]) -> Vec<Operation> {
    let mut history = history.to_vec();
    history.iter_mut().for_each(|one| one.log_index = None);
    for (number, at) in (1..).zip(order) {
        if history[*at].outcome == Outcome::Acknowledged {
            history[*at].log_index = Some(number * 100);
        }
    }
    history
}

fn searched(history: &[Operation]) -> Opinion {
    wing_gong::judge(history, Limits::default()).opinion()
}

/// Changes one thing that a faulty cluster, or a faulty checker, could have changed.
fn mutate(history: &mut Vec<Operation>, dice: &mut SmallRng) {
    let places = |is: &dyn Fn(&Operation) -> bool| -> Vec<usize> {
        (0..history.len()).filter(|at| is(&history[*at])).collect()
    };
    let is_done = |one: &Operation| one.outcome == Outcome::Acknowledged;
    let reads = places(&|one| is_done(one) && !one.op.is_write());
    let writes = places(&|one| is_done(one) && one.op.is_write());
    let any = |from: &[usize], dice: &mut SmallRng| from[dice.random_range(0..from.len())];
    match dice.random_range(0..5) {
        0 if reads.len() > 1 => {
            let (one, other) = (any(&reads, dice), any(&reads, dice));
            let value_hash = history[one].value_hash;
            history[one].value_hash = history[other].value_hash;
            history[other].value_hash = value_hash;
        }
        1 if !writes.is_empty() => {
            history.remove(any(&writes, dice));
        }
        2 if !writes.is_empty() => history[any(&writes, dice)].outcome = Outcome::Refused,
        3 if !(reads.is_empty() || writes.is_empty()) => {
            let value_hash = history[any(&writes, dice)].value_hash;
            history[any(&reads, dice)].value_hash = value_hash;
        }
        _ => {
            let at = dice.random_range(0..history.len());
            let later_ns = dice.random_range(1..20);
            history[at].start_ns += later_ns;
            history[at].end_ns += later_ns;
        }
    }
}

/// What both say of one history, and what is true. Panics if one of them is wrong.
fn compared(history: &[Operation]) -> Option<Vec<usize>> {
    let order = some_order(history);
    let truth = if order.is_some() { Opinion::Linearizable } else { Opinion::Contradiction };
    assert_eq!(searched(history), truth, "{order:?} {history:#?}");
    for steps_count_max in [2, 5, 20, 100] {
        let limits = Limits { operations_count_max: 4, steps_count_max };
        let opinion = wing_gong::judge(history, limits).opinion();
        let is_true = opinion == truth || opinion == Opinion::Unknown;
        assert!(is_true, "{opinion:?} in {steps_count_max} steps: {order:?} {history:#?}");
    }
    let contradictions = VersionOrder::of(history).contradictions;
    if let Some(order) = &order {
        // Harmless for the one: with the indexes of that order it is harmless for the other, too.
        let found = VersionOrder::of(&indexed(history, order)).contradictions;
        assert_eq!(found, [], "{order:?} {history:#?}");
    } else {
        assert!(!contradictions.is_empty(), "{history:#?}");
    }
    order
}

proptest! {
    /// What had an order is accepted by both, with any number of keys and clients.
    #[test]
    fn what_had_an_order_is_accepted_by_both(
        seed in any::<u64>(),
        clients_count in 1..13_usize,
        keys_count in 1..4_u64,
        values_count in 0..4_u64,
        wait_ns_max in 1..30_u64,
    ) {
        let operations_count = 150;
        let kind =
            Kind { clients_count, operations_count, keys_count, values_count, wait_ns_max };
        let history = drawn(kind, seed);
        prop_assert_eq!(VersionOrder::of(&history).contradictions, []);
        if values_count == 0 {
            prop_assert_eq!(searched(&history), Opinion::Linearizable);
        } else {
            // The same value again and again leaves many orders: it may be given up, not refused.
            prop_assert_ne!(searched(&history), Opinion::Contradiction);
        }
    }
}

/// One change each, in histories long enough to have had many writes of many clients.
#[test]
fn a_changed_history_is_refused_by_both_or_harmless_for_both() {
    let (mut refused_count, mut harmless_count, mut index_only_count) = (0, 0, 0);
    for seed in 0..3_000 {
        let kind = Kind { operations_count: 24, values_count: seed % 3 * 2, ..SMALL };
        let mut history = drawn(kind, seed);
        assert!(compared(&history).is_some(), "seed {seed}");
        mutate(&mut history, &mut SmallRng::seed_from_u64(seed));
        let is_good = VersionOrder::of(&history).is_good();
        match compared(&history) {
            Some(_) if is_good => harmless_count += 1,
            Some(_) => index_only_count += 1,
            None => refused_count += 1,
        }
    }
    println!(
        "{refused_count} refused, {harmless_count} harmless, {index_only_count} by index only"
    );
    assert!(refused_count > 500 && harmless_count > 500 && index_only_count > 50);
}

/// Where there is no order at all, the version order accepts no indexes whatever.
#[test]
fn without_an_order_no_indexes_please_the_version_order() {
    let mut hopeless_count = 0;
    for seed in 0..1_500 {
        let kind = Kind { operations_count: 5, values_count: seed % 3, ..SMALL };
        let mut history = drawn(kind, seed);
        mutate(&mut history, &mut SmallRng::seed_from_u64(seed));
        if compared(&history).is_some() {
            continue;
        }
        hopeless_count += 1;
        for order in every_order(history.len()) {
            assert!(!VersionOrder::of(&indexed(&history, &order)).is_good(), "{history:#?}");
        }
    }
    assert!(hopeless_count > 100, "{hopeless_count} of the histories had no order");
}

fn every_order(count: usize) -> Vec<Vec<usize>> {
    let Some(last) = count.checked_sub(1) else { return vec![Vec::new()] };
    let shorter = every_order(last);
    let with_last = |order: &Vec<usize>| {
        let order = order.clone();
        (0..count).map(move |at| {
            let mut order = order.clone();
            order.insert(at, last);
            order
        })
    };
    shorter.iter().flat_map(with_last).collect()
}

/// The figures of the design: 100,000 operations of 10 clients and 100 keys by both, and one key
/// with 12 clients by the search. The bounds leave room for a busy machine.
#[test]
#[expect(clippy::disallowed_methods, reason = "it measures how long the judges take")]
fn a_hundred_thousand_operations_are_judged_in_seconds() {
    let kind = Kind {
        clients_count: 10,
        operations_count: 100_000,
        keys_count: 100,
        values_count: 0,
        wait_ns_max: 1_000,
    };
    let history = drawn(kind, 1);
    let began = Instant::now();
    let order = VersionOrder::of(&history);
    let took = began.elapsed();
    println!("version order: 100,000 operations, {} reads in {took:?}", order.reads_count);
    assert_eq!(order.contradictions, []);
    assert!(order.reads_count > 30_000);
    assert!(took.as_secs() < 10, "{took:?}");

    let hot = Kind { clients_count: 12, operations_count: 20_000, keys_count: 1, ..kind };
    for (name, history) in [("100 keys", history), ("one key, 12 clients", drawn(hot, 2))] {
        let began = Instant::now();
        let found = wing_gong::judge(&history, Limits::default());
        let (took, share) = (began.elapsed(), found.unknown_share());
        let steps_count = found.steps_count;
        println!("search, {name}: {took:?}, {steps_count} steps, {share:.4} unknown");
        assert_eq!(found.contradictions, []);
        assert!(share <= 0.01, "{found:?}");
        assert!(took.as_secs() < 60, "{took:?}");
    }
}
