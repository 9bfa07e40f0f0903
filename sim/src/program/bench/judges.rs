//! A history that is linearizable by its making, for the judges to go through.

use std::collections::BTreeMap;

use quorate_core::history::version_order::VersionOrder;
use quorate_core::history::wing_gong::{self, Limits};
use quorate_core::history::{Operation, OperationKind, Outcome, ValueHash};
use quorate_sim::choices::{Choices, Dice};

pub(super) const WHAT: &str = "20 clients on 100 registers, half of them reads, 1 % unknown";
const CLIENTS_COUNT: u64 = 20;
const KEYS_COUNT: u64 = 100;
const READS: f64 = 0.5;
const UNKNOWN: f64 = 0.01;

/// An operation that has its moment of effect, but neither value nor index yet.
struct Planned {
    client: u64,
    key: u64,
    is_read: bool,
    is_unknown: bool,
    start_ns: u64,
    point_ns: u64,
    end_ns: u64,
}

/// About so many operations, in the order of their effect.
pub(super) fn history(operations_count: usize, seed: u64) -> Vec<Operation> {
    let mut planned = plan(operations_count, &Choices::of(seed).site("bench.history", 0));
    planned.sort_by_key(|one| (one.point_ns, one.client));
    let mut index = 0;
    let mut newest: BTreeMap<u64, ValueHash> = BTreeMap::new();
    let take_effect = |one: Planned| {
        let op = if one.is_read { OperationKind::Get } else { OperationKind::Put };
        if op.is_write() {
            index += 1;
            newest.insert(one.key, ValueHash(index));
        }
        let outcome = if one.is_unknown { Outcome::Unknown } else { Outcome::Acknowledged };
        Operation {
            op,
            key: format!("key{}", one.key),
            value_hash: newest.get(&one.key).copied(),
            start_ns: one.start_ns,
            end_ns: one.end_ns,
            outcome,
            log_index: (!one.is_unknown).then_some(index),
            node: format!("n{}", one.client % 5 + 1),
        }
    };
    planned.into_iter().map(take_effect).collect()
}

/// Each client asks one thing after the other; its answers take some milliseconds.
fn plan(operations_count: usize, dice: &Dice) -> Vec<Planned> {
    let mut planned = Vec::new();
    for client in 0..CLIENTS_COUNT {
        let mut now_ns = dice.between(0, 1_000_000);
        for _ in 0..operations_count.div_ceil(CLIENTS_COUNT as usize) {
            let start_ns = now_ns + dice.between(1, 2_000_000);
            let point_ns = start_ns + dice.between(1, 5_000_000);
            let end_ns = point_ns + dice.between(1, 5_000_000);
            let is_read = dice.chance(READS);
            let is_unknown = !is_read && dice.chance(UNKNOWN);
            let key = dice.between(0, KEYS_COUNT - 1);
            planned.push(Planned { client, key, is_read, is_unknown, start_ns, point_ns, end_ns });
            now_ns = end_ns;
        }
    }
    planned
}

/// Judges it, and says what was found; panics if something is wrong with it, for nothing is.
pub(super) fn by_version_order(history: &[Operation]) -> String {
    let order = VersionOrder::of(history);
    assert!(order.is_good(), "{:?}", order.contradictions.first());
    format!("{} reads judged", order.reads_count)
}

/// The same by the search.
pub(super) fn by_search(history: &[Operation]) -> String {
    let found = wing_gong::judge(history, Limits::default());
    let wrong = found.contradictions.first();
    assert!(wrong.is_none(), "{wrong:?}");
    format!("{:.2} % given up", found.unknown_share() * 100.0)
}
