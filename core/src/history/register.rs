//! The register model: compares what clients were told with what every store holds at the end.
//!
//! Pure, and independent of the cluster: it trusts only histories, which were written outside.
//!
//! Each key is a register, and the log gives all writes one order: a write has one index, and the
//! write of a key with the greatest index is what the key shows. From that follows all of it:
//! - An acknowledged write took effect at the index that its client was told. It is there, or a
//!   write of the same key with a greater index is there instead.
//! - A write of unknown outcome took effect once or never, at an index that nobody was told. It may
//!   stand only where no acknowledged write of its key has a greater index, and only at an index
//!   above everything that was acknowledged before it began. It may do so at any later time, so
//!   there is no bound from above.
//! - A refused write never took effect. What a key shows, somebody must have written.
//! - What was acknowledged before another write began has the smaller index (real time).
//! - There is one log: when writing has ended and everything is applied, all sources show the same
//!   value at the same index. A source that agrees with the histories but not with the others lost
//!   or invented something that they do not tell.
//!
//! Invariants
//! - An acknowledged write counts as lost if even one source shows something else in its place.
//! - A history that no honest client can have written is wrong as well, so that a fault in the
//!   measuring is never read as a fault-free cluster.
//!
//! Not judged: reads, and writes of several keys in one entry, which have no line of their own.
//!
//! Read next: [`judge`], then `tests.rs`: each way to lie turns the verdict red.
//! Source: Herlihy & Wing 1990, sections 2 and 3 (a register; pending operations and real time).

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::{Operation, OperationKind, Outcome, ValueHash};

/// What one source shows for one key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shown {
    /// Fingerprint of the value.
    pub value_hash: ValueHash,
    /// The entry that set it.
    pub modify_index: u64,
}

/// Everything one source shows.
pub type Contents = BTreeMap<String, Shown>;

/// Someone who was asked for everything: a node, or a data directory offline.
#[derive(Clone, Debug)]
pub struct Source {
    /// For people.
    pub name: String,
    /// All of its keys.
    pub contents: Contents,
}

/// What was found. `is_good` is the verdict.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// Writes that a client was told are done.
    pub acknowledged_count: usize,
    /// Keys with an acknowledged write whose effect is missing at one source or more.
    pub lost_count: usize,
    /// Writes of which no client knows whether they happened.
    pub unknown_count: usize,
    /// Keys compared, at each source.
    pub keys_count: usize,
    /// Who was asked.
    pub sources: Vec<String>,
    /// One line for each thing that is wrong.
    pub findings: Vec<String>,
}

impl Verdict {
    /// Whether nothing is wrong.
    pub fn is_good(&self) -> bool {
        self.findings.is_empty()
    }
}

/// What clients were told of the writes of one key.
#[derive(Debug, Default)]
struct Register {
    /// By index: the value, `None` for a delete.
    acknowledged: BTreeMap<u64, Option<ValueHash>>,
    unknown: Vec<Unknown>,
    refused: BTreeSet<Option<ValueHash>>,
}

/// A write that may have taken effect.
#[derive(Clone, Copy, Debug)]
struct Unknown {
    value_hash: Option<ValueHash>,
    /// Acknowledged before it began, so its own index is greater.
    after_index: u64,
}

/// Compares every key of every source with the history, in both directions, and the sources with
/// each other.
///
/// Call it when writing has ended and every source has applied everything. Without a source nothing
/// was checked, so that is a finding too.
pub fn judge(history: &[Operation], sources: &[Source]) -> Verdict {
    let mut findings = Vec::new();
    let registers = registers_of(history, &mut findings);
    if sources.is_empty() {
        findings.push("no source was asked: nothing is proven".to_owned());
    }
    let mut lost_count = 0;
    for (key, register) in &registers {
        lost_count += usize::from(compare(key, register, sources, &mut findings));
    }
    for Source { name, contents } in sources {
        let unasked = contents.keys().filter(|key| !registers.contains_key(*key));
        findings.extend(unasked.map(|key| format!("{name}: {key:?} was never written")));
    }
    let count = |outcome| writes(history).filter(|write| write.outcome == outcome).count();
    Verdict {
        acknowledged_count: count(Outcome::Acknowledged),
        lost_count,
        unknown_count: count(Outcome::Unknown),
        keys_count: registers.len(),
        sources: sources.iter().map(|source| source.name.clone()).collect(),
        findings,
    }
}

/// Looks at one key of all sources; returns whether an acknowledged write is missing.
fn compare(key: &str, register: &Register, sources: &[Source], findings: &mut Vec<String>) -> bool {
    let mut is_lost = false;
    // The first source that the history permits stands for the others.
    let mut first: Option<(&str, Option<Shown>)> = None;
    for Source { name, contents } in sources {
        let shown = contents.get(key).copied();
        if let Some(objection) = register.objection(shown) {
            is_lost |= !register.acknowledged.is_empty();
            findings.push(format!("{name}: {key:?} {objection}, shows {}", text_of(shown)));
            continue;
        }
        let (first_name, expected) = *first.get_or_insert((name, shown));
        if shown != expected {
            let (expected, shown) = (text_of(expected), text_of(shown));
            findings.push(format!("{key:?}: {first_name} shows {expected}, {name} {shown}"));
        }
    }
    is_lost
}

impl Register {
    /// Why the key cannot show this when all is well; `None` if it can.
    fn objection(&self, shown: Option<Shown>) -> Option<String> {
        let last = self.acknowledged.last_key_value();
        let last = last.map(|(index, value_hash)| (*index, *value_hash));
        let is_explained = match (last, shown) {
            (Some((index, value_hash)), Some(shown)) if shown.modify_index <= index => {
                // The index as well: a write that was applied twice shows a later one.
                (shown.modify_index, Some(shown.value_hash)) == (index, value_hash)
            }
            (_, Some(shown)) => self.unknown.iter().any(|write| {
                write.value_hash == Some(shown.value_hash) && write.after_index < shown.modify_index
            }),
            (None | Some((_, None)), None) => true,
            // A delete leaves no index behind, so its place in the order is not known.
            (Some((_, Some(_))), None) => {
                self.unknown.iter().any(|write| write.value_hash.is_none())
            }
        };
        if is_explained { None } else { Some(self.expectation(last, shown)) }
    }

    fn expectation(&self, last: Option<(u64, Option<ValueHash>)>, shown: Option<Shown>) -> String {
        if shown.is_some_and(|shown| self.refused.contains(&Some(shown.value_hash))) {
            return "holds a refused value".to_owned();
        }
        match last {
            Some((index, Some(expected))) => format!("acknowledged at {index} is {expected}"),
            Some((index, None)) => format!("is deleted since {index}"),
            None => "was never acknowledged".to_owned(),
        }
    }
}

fn text_of(shown: Option<Shown>) -> String {
    match shown {
        Some(Shown { value_hash, modify_index }) => format!("{value_hash} of {modify_index}"),
        None => "nothing".to_owned(),
    }
}

fn writes(history: &[Operation]) -> impl Iterator<Item = &Operation> {
    history.iter().filter(|operation| match operation.op {
        OperationKind::Put | OperationKind::Delete | OperationKind::Cas => true,
        OperationKind::Get | OperationKind::List => false,
    })
}

fn registers_of(history: &[Operation], findings: &mut Vec<String>) -> BTreeMap<String, Register> {
    let order = RealTime::of(history);
    let mut registers: BTreeMap<String, Register> = BTreeMap::new();
    let mut keys_by_index: BTreeMap<u64, &str> = BTreeMap::new();
    for write in writes(history) {
        let (key, value_hash) = (&write.key, write.value_hash);
        let register = registers.entry(key.clone()).or_default();
        let after_index = order.acknowledged_before(write.start_ns);
        match (write.outcome, write.log_index) {
            (Outcome::Acknowledged, Some(index)) => {
                if let Some(other) = keys_by_index.insert(index, key) {
                    findings.push(format!(
                        "history: {key:?} at index {index}, which is the entry of {other:?} already"
                    ));
                }
                if index <= after_index {
                    findings.push(format!(
                        "history: {key:?} at index {index} began after {after_index} was \
                         acknowledged"
                    ));
                }
                register.acknowledged.insert(index, value_hash);
            }
            (Outcome::Acknowledged, None) => {
                findings.push(format!("history: {key:?} acknowledged without an index"));
            }
            (Outcome::Unknown, _) => register.unknown.push(Unknown { value_hash, after_index }),
            (Outcome::Refused, _) => {
                register.refused.insert(value_hash);
            }
        }
    }
    registers
}

/// The acknowledged writes in the order in which they ended: when, and the greatest index so far.
#[derive(Debug)]
struct RealTime(Vec<(u64, u64)>);

impl RealTime {
    fn of(history: &[Operation]) -> RealTime {
        let acknowledged = writes(history).filter(|write| write.outcome == Outcome::Acknowledged);
        let mut ends: Vec<(u64, u64)> =
            acknowledged.filter_map(|write| Some((write.end_ns, write.log_index?))).collect();
        ends.sort_unstable();
        let mut greatest_index = 0;
        for (_, index) in &mut ends {
            greatest_index = greatest_index.max(*index);
            *index = greatest_index;
        }
        RealTime(ends)
    }

    /// The greatest index that some client knew before `start_ns`; 0 if none did.
    fn acknowledged_before(&self, start_ns: u64) -> u64 {
        let ended_count = self.0.partition_point(|(end_ns, _)| *end_ns < start_ns);
        ended_count.checked_sub(1).map_or(0, |last| self.0[last].1)
    }
}
