//! The verdict: compares what clients were told with what each node really has.
//!
//! Pure, and independent of the cluster: it trusts only ledgers, which were written outside.
//!
//! Invariants
//! - An acknowledged write counts as lost if even one source shows something else in its place.
//! - A ledger that no honest writer can have written is refused as a whole, so that a fault in the
//!   measuring is never read as a fault-free cluster.
//!
//! Read next: [`judge`], then its tests: each way to lie turns the verdict red.

use std::collections::{BTreeMap, BTreeSet};

use quorate_core::history::{Operation, OperationKind, Outcome, ValueHash};
use serde::Serialize;

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

/// Someone who was asked for everything: a node through its API, or a data directory offline.
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
    /// Acknowledged writes whose effect is missing at one source or more.
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

/// What the ledgers allow for one key.
#[derive(Debug, Default)]
struct Allowed {
    /// The last acknowledged write: its value, `None` for a delete. Absent before the first.
    last: Option<(u64, Option<ValueHash>)>,
    /// What unanswered writes may have left.
    unknown: BTreeSet<Option<ValueHash>>,
}

impl Allowed {
    fn permits(&self, shown: Option<Shown>) -> bool {
        let is_last = match (self.last, shown) {
            // The index as well: a write that was repeated and applied twice shows a later one.
            (Some((index, Some(expected))), Some(shown)) => {
                (expected, index) == (shown.value_hash, shown.modify_index)
            }
            (Some((_, None)) | None, shown) => shown.is_none(),
            (Some((_, Some(_))), None) => false,
        };
        is_last || self.unknown.contains(&shown.map(|shown| shown.value_hash))
    }
}

/// Compares every key of every source with the ledgers, in both directions.
///
/// Each key is written by one client at a time, which is what makes the last line of a key the one
/// that must be visible. Without a source nothing was checked, so that is a finding too.
pub fn judge(ledger: &[Operation], sources: &[Source]) -> Verdict {
    let mut findings = Vec::new();
    let allowed = allowed_by(ledger, &mut findings);
    let mut lost_keys = BTreeSet::new();
    if sources.is_empty() {
        findings.push("no source was asked: nothing is proven".to_owned());
    }
    for Source { name, contents } in sources {
        for (key, allowed) in &allowed {
            let shown = contents.get(key).copied();
            if !allowed.permits(shown) {
                lost_keys.insert(key);
                findings.push(lost(name, key, allowed, shown));
            }
        }
        let unasked = contents.keys().filter(|key| !allowed.contains_key(*key));
        findings.extend(unasked.map(|key| format!("{name}: {key:?} was never written")));
    }
    let count = |outcome| writes(ledger).filter(|write| write.outcome == outcome).count();
    Verdict {
        acknowledged_count: count(Outcome::Acknowledged),
        lost_count: lost_keys.len(),
        unknown_count: count(Outcome::Unknown),
        keys_count: allowed.len(),
        sources: sources.iter().map(|source| source.name.clone()).collect(),
        findings,
    }
}

fn writes(ledger: &[Operation]) -> impl Iterator<Item = &Operation> {
    ledger.iter().filter(|operation| match operation.op {
        OperationKind::Put | OperationKind::Delete | OperationKind::Cas => true,
        OperationKind::Get | OperationKind::List => false,
    })
}

fn allowed_by(ledger: &[Operation], findings: &mut Vec<String>) -> BTreeMap<String, Allowed> {
    let mut keys: BTreeMap<String, Allowed> = BTreeMap::new();
    for write in writes(ledger) {
        let key = keys.entry(write.key.clone()).or_default();
        match (write.outcome, write.log_index) {
            (Outcome::Acknowledged, Some(index)) => {
                // One client writes a key, one write at a time, so its entries have growing
                // indexes. An index that does not grow was never acknowledged by one log.
                if key.last.is_some_and(|(last, _)| last >= index) {
                    let key = &write.key;
                    findings.push(format!("ledger: {key:?} at index {index} follows a later one"));
                }
                key.last = Some((index, write.value_hash));
            }
            (Outcome::Acknowledged, None) => {
                findings.push(format!("ledger: {:?} acknowledged without an index", write.key));
            }
            (Outcome::Unknown, _) => {
                key.unknown.insert(write.value_hash);
            }
            (Outcome::Refused, _) => {}
        }
    }
    keys
}

fn lost(source: &str, key: &str, allowed: &Allowed, shown: Option<Shown>) -> String {
    let shown = match shown {
        Some(Shown { value_hash, modify_index }) => format!("{value_hash} of {modify_index}"),
        None => "nothing".to_owned(),
    };
    match allowed.last {
        Some((index, Some(expected))) => {
            format!("{source}: {key:?} acknowledged at {index} is {expected}, shows {shown}")
        }
        Some((index, None)) => {
            format!("{source}: {key:?} is deleted since {index}, shows {shown}")
        }
        None => format!("{source}: {key:?} was never acknowledged, shows {shown}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(key: &str, value: &str, index: u64) -> Operation {
        Operation {
            op: OperationKind::Put,
            key: key.to_owned(),
            value_hash: Some(ValueHash::of(value.as_bytes())),
            start_ns: index,
            end_ns: index,
            outcome: Outcome::Acknowledged,
            log_index: Some(index),
            node: "n1".to_owned(),
        }
    }

    fn unknown(write: Operation) -> Operation {
        Operation { outcome: Outcome::Unknown, log_index: None, ..write }
    }

    fn source(name: &str, pairs: &[(&str, &str, u64)]) -> Source {
        let shown = |(key, value, modify_index): &(&str, &str, u64)| {
            let value_hash = ValueHash::of(value.as_bytes());
            ((*key).to_owned(), Shown { value_hash, modify_index: *modify_index })
        };
        Source { name: name.to_owned(), contents: pairs.iter().map(shown).collect() }
    }

    fn ledger() -> Vec<Operation> {
        vec![put("a", "old", 1), put("b", "only", 2), put("a", "last", 3)]
    }

    const WHOLE: &[(&str, &str, u64)] = &[("a", "last", 3), ("b", "only", 2)];

    #[test]
    fn sources_that_show_every_last_acknowledged_value_are_good() {
        let verdict = judge(&ledger(), &[source("n1", WHOLE), source("n2", WHOLE)]);
        assert_eq!(verdict.findings, Vec::<String>::new());
        assert_eq!((verdict.acknowledged_count, verdict.lost_count), (3, 0));
        assert_eq!((verdict.keys_count, verdict.sources.len()), (2, 2));
    }

    #[test]
    fn one_acknowledged_entry_removed_from_one_source_is_red() {
        let verdict = judge(&ledger(), &[source("n1", WHOLE), source("n2", &WHOLE[..1])]);
        assert_eq!(verdict.lost_count, 1);
        assert!(verdict.findings[0].starts_with("n2: \"b\" acknowledged at 2"), "{verdict:?}");
    }

    #[test]
    fn one_old_value_put_back_is_red() {
        let verdict = judge(&ledger(), &[source("n1", &[("a", "old", 1), WHOLE[1]])]);
        assert_eq!((verdict.lost_count, verdict.is_good()), (1, false));
    }

    #[test]
    fn a_write_that_was_applied_again_is_red() {
        assert!(!judge(&ledger(), &[source("n1", &[("a", "last", 7), WHOLE[1]])]).is_good());
    }

    #[test]
    fn one_ledger_line_too_many_is_red_whatever_it_says() {
        let sources = [source("n1", WHOLE)];
        let too_many = [
            put("c", "never written", 4), // a write that nobody made
            put("a", "never written", 4),
            put("a", "old", 4),
            put("a", "last", 3), // a line twice
            put("b", "only", 2),
        ];
        for line in too_many {
            let mut ledger = ledger();
            ledger.push(line.clone());
            assert!(!judge(&ledger, &sources).is_good(), "{line:?}");
        }
    }

    #[test]
    fn a_key_that_nobody_wrote_is_red_and_no_loss() {
        let verdict = judge(&ledger(), &[source("n1", &[WHOLE, &[("z", "?", 9)]].concat())]);
        assert_eq!((verdict.lost_count, verdict.is_good()), (0, false));
    }

    #[test]
    fn an_unknown_write_may_be_there_or_not_and_a_third_value_is_red() {
        let mut ledger = ledger();
        ledger.push(unknown(put("a", "perhaps", 0)));
        ledger.push(unknown(put("c", "perhaps", 0)));
        let judged = |pairs: &[(&str, &str, u64)]| judge(&ledger, &[source("n1", pairs)]).is_good();
        assert!(judged(WHOLE));
        assert!(judged(&[("a", "perhaps", 4), WHOLE[1], ("c", "perhaps", 5)]));
        assert!(!judged(&[("a", "old", 1), WHOLE[1]]));
        assert!(!judged(&[WHOLE[0], ("b", "perhaps", 4)]));
    }

    #[test]
    fn without_a_source_nothing_is_proven() {
        assert!(!judge(&ledger(), &[]).is_good());
    }

    #[test]
    fn a_deleted_key_that_is_still_there_is_red() {
        let mut ledger = ledger();
        let delete = Operation { op: OperationKind::Delete, value_hash: None, ..put("b", "", 4) };
        ledger.push(delete);
        assert!(!judge(&ledger, &[source("n1", WHOLE)]).is_good());
        assert!(judge(&ledger, &[source("n1", &WHOLE[..1])]).is_good());
    }
}
