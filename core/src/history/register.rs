//! The register model: compares what clients were told with what every store holds at the end.
//!
//! Pure, and independent of the cluster: it trusts only histories, which were written outside. That
//! a history is possible in itself is for the version order to say; its contradictions are findings
//! here, and what it knows of each key is what the sources are compared with.
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
//! - A history that cannot be, stale reads included, is red whatever the sources show.
//! - What a read has seen is as good as acknowledged: it stands until something replaces it.
//!
//! Not judged: writes of several keys in one entry, which have no line of their own.
//!
//! Read next: [`judge`], `version_order.rs`, then `tests.rs`: each way to lie turns it red.
//! Source: Herlihy & Wing 1990, sections 2 and 3 (a register; pending operations and real time).

use std::collections::BTreeMap;

use serde::Serialize;

use super::chain::{Chain, Standing};
use super::version_order::VersionOrder;
use super::{Operation, Outcome, ValueHash};
use crate::observe::planted;

/// How many contradictions of the history are told: the first say what is wrong.
const CONTRADICTIONS_COUNT_MAX: usize = 20;

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
    /// Reads that were judged by their indexes.
    pub reads_count: usize,
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

/// Compares every key of every source with the history, in both directions, and the sources with
/// each other.
///
/// Call it when writing has ended and every source has applied everything. Without a source nothing
/// was checked, so that is a finding too.
pub fn judge(history: &[Operation], sources: &[Source]) -> Verdict {
    let order = VersionOrder::of(history);
    let told = order.contradictions.iter().take(CONTRADICTIONS_COUNT_MAX);
    let mut findings: Vec<String> = told.map(|one| one.text(history)).collect();
    if let Some(count @ 1..) = order.contradictions.len().checked_sub(CONTRADICTIONS_COUNT_MAX) {
        findings.push(format!("history: {count} more contradictions"));
    }
    if sources.is_empty() {
        findings.push("no source was asked: nothing is proven".to_owned());
    }
    let written: BTreeMap<&str, &Chain> = order
        .chains
        .iter()
        .filter(|(_, chain)| chain.is_written())
        .map(|(key, chain)| (key.as_str(), chain))
        .collect();
    let mut lost_count = 0;
    for (key, chain) in &written {
        lost_count += usize::from(compare(key, chain, sources, &mut findings));
    }
    for Source { name, contents } in sources {
        let unasked = contents.keys().filter(|key| !written.contains_key(key.as_str()));
        findings.extend(unasked.map(|key| format!("{name}: {key:?} was never written")));
    }
    let writes = || history.iter().filter(|one| one.op.is_write());
    let count = |outcome| writes().filter(|write| write.outcome == outcome).count();
    Verdict {
        acknowledged_count: count(Outcome::Acknowledged),
        lost_count,
        unknown_count: count(Outcome::Unknown),
        reads_count: order.reads_count,
        keys_count: written.len(),
        sources: sources.iter().map(|source| source.name.clone()).collect(),
        findings,
    }
}

/// Looks at one key of all sources; returns whether an acknowledged write is missing.
fn compare(key: &str, chain: &Chain, sources: &[Source], findings: &mut Vec<String>) -> bool {
    let mut is_lost = false;
    // The first source that the history permits stands for the others.
    let mut first: Option<(&str, Option<Shown>)> = None;
    for Source { name, contents } in sources {
        let shown = contents.get(key).copied();
        if let Some(objection) = objection(chain, shown) {
            is_lost |= chain.has_acknowledged();
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

/// Why the key cannot show this when all is well; `None` if it can.
fn objection(chain: &Chain, shown: Option<Shown>) -> Option<String> {
    let Standing { value, low, high, last, .. } = chain.standing;
    let is_explained = match shown {
        // The index as well: a write that was applied twice shows a later one.
        Some(Shown { value_hash, modify_index }) if modify_index <= last => {
            value == Some(value_hash) && (low..=high).contains(&modify_index)
        }
        Some(Shown { value_hash, modify_index }) => chain.may_come(Some(value_hash), modify_index),
        // A delete leaves no index behind, so its place in the order is not known.
        None => value.is_none() || chain.may_come(None, u64::MAX),
    };
    let is_believed = is_explained || planted("verdict_trusts_the_stores");
    if is_believed { None } else { Some(expectation(chain, shown)) }
}

fn expectation(chain: &Chain, shown: Option<Shown>) -> String {
    if shown.is_some_and(|shown| chain.has_refused(Some(shown.value_hash))) {
        return "holds a refused value".to_owned();
    }
    let Standing { value, high, is_acknowledged, last, .. } = chain.standing;
    match value {
        Some(expected) if is_acknowledged => format!("acknowledged at {high} is {expected}"),
        Some(expected) => format!("was read at {last} as {expected}"),
        None if is_acknowledged => format!("is deleted since {high}"),
        None if last > 0 => format!("was read at {last} as nothing"),
        None => "was never acknowledged".to_owned(),
    }
}

fn text_of(shown: Option<Shown>) -> String {
    match shown {
        Some(Shown { value_hash, modify_index }) => format!("{value_hash} of {modify_index}"),
        None => "nothing".to_owned(),
    }
}
