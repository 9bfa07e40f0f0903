//! The version order: judges a history, reads included, by the log indexes of its answers.
//!
//! Pure, and independent of the cluster. Costs O(n log n) for n operations, whatever overlaps.
//!
//! The theorem. Give each acknowledged operation a point: a write the index of its entry, a read
//! the index after which it saw the state. Order by point, writes before the reads of the same
//! point. This order is a linearization of the history, and with these points it is the only one,
//! exactly if all of this holds:
//! 1. Real time: what began after another operation had ended has no smaller point, and a write a
//!    greater one.
//! 2. One entry is one write: the points of writes differ.
//! 3. Each read shows the newest write of its key at or below its point, nothing if there is none.
//! 4. A write of unknown outcome may be given a point, at most one: an index that no other write
//!    has, above all that was acknowledged before the write began. It has no end, so nothing bounds
//!    its point from above. It is given one only where a read shows it.
//! 5. A refused write has no point.
//!
//! Why: by 1 the order keeps real time, by 2 to 5 each read is legal in it; that is the definition.
//! The other way round, a linearization with these points must be this order, and breaks none of
//! them. Finding an order is hard in general, and easy once the writes of a register are ordered
//! (Gibbons & Korach 1997): the log has ordered them. 1 holds across keys: there is one
//! log. So the keys together are judged more strictly than each alone.
//!
//! Invariants
//! - A stale read is not written into a history: a line that says `get` promises linearizability.
//! - A read without an index is not judged here and counted; `wing_gong.rs` needs no index.
//! - Two writes of one value are told apart by their points; of unknown ones, the oldest counts.
//!
//! Not judged: lists, and what a comparison that failed has seen.
//!
//! Read next: [`VersionOrder::of`], then `chain.rs` for one key.
//! Source: Herlihy & Wing 1990, sections 2 and 3; Gibbons & Korach 1997 (a known order of writes).

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use super::chain::Chain;
use super::contradiction::{Contradiction, Law};
use super::{Operation, OperationKind, Outcome};

/// A history in the order of its points, and what is wrong with it.
#[derive(Clone, Debug, Default)]
pub struct VersionOrder {
    /// What cannot be; empty if the history is linearizable with its indexes.
    pub contradictions: Vec<Contradiction>,
    /// Acknowledged reads that were judged.
    pub reads_count: usize,
    /// Acknowledged reads that were not, because they name no index.
    pub reads_without_index_count: usize,
    /// The writes and reads of each key.
    pub(super) chains: BTreeMap<String, Chain>,
}

/// An unknown write that a read has seen: its index is above one and at most the other.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sighting {
    pub(super) above: u64,
    pub(super) high: u64,
    pub(super) read: usize,
    pub(super) write: usize,
    /// What the key showed before.
    pub(super) replaced: Option<usize>,
}

impl VersionOrder {
    /// Judges a whole history of one run that began with an empty store.
    pub fn of(history: &[Operation]) -> VersionOrder {
        let mut order = VersionOrder::default();
        let known = RealTime::of(history);
        order.check_real_time(history, &known);
        let taken = order.check_entries(history);
        order.gather(history, &known);
        let mut sightings = Vec::new();
        for chain in order.chains.values_mut() {
            chain.follow(&mut order.contradictions, &mut sightings);
        }
        find_entries(sightings, &taken, &mut order.contradictions);
        order
    }

    /// Whether nothing is wrong.
    pub fn is_good(&self) -> bool {
        self.contradictions.is_empty()
    }

    fn object(&mut self, law: Law, operations: Vec<usize>) {
        self.contradictions.push(Contradiction { law, operations });
    }

    fn check_real_time(&mut self, history: &[Operation], known: &RealTime) {
        for (at, operation) in history.iter().enumerate() {
            if operation.outcome != Outcome::Acknowledged {
                continue;
            }
            if operation.end_ns < operation.start_ns {
                self.object(Law::TimesInOrder, vec![at]);
                continue;
            }
            let Some((before, other)) = known.before(operation.start_ns) else { continue };
            let is_behind = match (operation.log_index, operation.op.is_write()) {
                (Some(index), true) => index > before,
                (Some(index), false) => index >= before,
                (None, _) => true,
            };
            if !is_behind {
                self.object(Law::RealTime, vec![at, other]);
            }
        }
    }

    /// The indexes of acknowledged writes.
    fn check_entries(&mut self, history: &[Operation]) -> BTreeMap<u64, usize> {
        let mut taken = BTreeMap::new();
        for (at, write) in history.iter().enumerate() {
            if !write.op.is_write() || write.outcome != Outcome::Acknowledged {
                continue;
            }
            match write.log_index {
                Some(index) => {
                    if let Some(other) = taken.insert(index, at) {
                        self.object(Law::OneWritePerEntry, vec![at, other]);
                    }
                }
                None => self.object(Law::WriteHasIndex, vec![at]),
            }
        }
        taken
    }

    fn gather(&mut self, history: &[Operation], known: &RealTime) {
        for (at, operation) in history.iter().enumerate() {
            let is_write = operation.op.is_write();
            if !is_write && operation.op != OperationKind::Get {
                continue;
            }
            if !self.chains.contains_key(&operation.key) {
                self.chains.insert(operation.key.clone(), Chain::default());
            }
            let chain = self.chains.get_mut(&operation.key).expect("it was just made");
            let value = operation.value_hash;
            match (operation.outcome, operation.log_index, is_write) {
                (Outcome::Acknowledged, Some(index), true) => chain.wrote(at, value, index),
                (Outcome::Acknowledged, Some(index), false) => {
                    self.reads_count += 1;
                    chain.read(at, value, index);
                }
                (Outcome::Acknowledged, None, false) => self.reads_without_index_count += 1,
                (Outcome::Unknown, _, true) => {
                    let before = known.before(operation.start_ns);
                    chain.perhaps_wrote(at, value, before.map_or(0, |(index, _)| index));
                }
                (Outcome::Refused, _, true) => chain.was_refused(at, value),
                // `check_entries` has said so; of a read without an answer there is nothing to say.
                (Outcome::Acknowledged, None, true)
                | (Outcome::Unknown | Outcome::Refused, _, false) => {}
            }
        }
    }
}

/// Acknowledged operations in the order in which they ended: when, the greatest index so far, and
/// whose it is.
#[derive(Debug)]
struct RealTime(Vec<(u64, u64, usize)>);

impl RealTime {
    fn of(history: &[Operation]) -> RealTime {
        let acknowledged =
            history.iter().enumerate().filter(|(_, one)| one.outcome == Outcome::Acknowledged);
        let mut ends: Vec<(u64, u64, usize)> = acknowledged
            .filter(|(_, one)| one.op != OperationKind::List)
            .filter_map(|(at, one)| Some((one.end_ns, one.log_index?, at)))
            .collect();
        ends.sort_unstable();
        let mut greatest = (0, 0);
        for (_, index, at) in &mut ends {
            greatest = greatest.max((*index, *at));
            (*index, *at) = greatest;
        }
        RealTime(ends)
    }

    /// The greatest index that some client knew before `start_ns`, and the operation that told it.
    fn before(&self, start_ns: u64) -> Option<(u64, usize)> {
        let ended_count = self.0.partition_point(|(end_ns, ..)| *end_ns < start_ns);
        let (_, index, at) = *self.0.get(ended_count.checked_sub(1)?)?;
        Some((index, at))
    }
}

/// Gives each unknown write that was seen an index of its own that no acknowledged write has.
///
/// Goes up the log; where several writes could have an index, the one whose range ends first gets
/// it. If that leaves one without, every way does (earliest deadline first, Jackson 1955).
fn find_entries(
    mut sightings: Vec<Sighting>,
    taken: &BTreeMap<u64, usize>,
    contradictions: &mut Vec<Contradiction>,
) {
    sightings.sort_unstable_by_key(|sighting| sighting.above);
    let mut coming = sightings.iter().enumerate().peekable();
    let mut waiting: BinaryHeap<Reverse<(u64, usize)>> = BinaryHeap::new();
    // Every index up to here is used, or too small for whoever waits.
    let mut used = 0;
    loop {
        if waiting.is_empty() {
            let Some((_, next)) = coming.peek() else { return };
            used = used.max(next.above);
        }
        while let Some((at, sighting)) = coming.next_if(|(_, one)| one.above <= used) {
            waiting.push(Reverse((sighting.high, at)));
        }
        let next = used.checked_add(1);
        if let Some(next) = next.filter(|next| taken.contains_key(next)) {
            used = next;
            continue;
        }
        let Some(Reverse((high, at))) = waiting.pop() else { return };
        match next {
            Some(next) if next <= high => used = next,
            Some(_) | None => {
                let Sighting { read, write, replaced, .. } = sightings[at];
                let operations = [read, write].into_iter().chain(replaced).collect();
                contradictions.push(Contradiction { law: Law::UnknownOnce, operations });
            }
        }
    }
}
