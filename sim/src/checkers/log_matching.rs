//! Log matching: two logs that hold an entry with the same index and term are equal up to it.
//!
//! Looks at what the nodes hold, entry by entry, at the moment when it is appended, and again when
//! a node starts. An entry is known by its index and term; the first node that has it says what it
//! contains and which entry comes before it, and every other must say the same. What comes before
//! that is then equal, too, because the entry before was compared in the same way.
//!
//! Source: Ongaro & Ousterhout 2014, figure 3 and section 5.3.

use std::collections::BTreeMap;

use quorate_core::ids::{LogIndex, NodeId, Term};
use quorate_core::observe::Told;

use super::logs::Logs;
use super::{Checker, Seen};

/// How many of the newest entries are remembered; older ones of a node far behind go unchecked.
const REMEMBERED_COUNT_MAX: usize = 100_000;

/// What the first node that had an entry said of it.
#[derive(Clone, Copy, Debug)]
struct Entry {
    by: NodeId,
    digest: u32,
    /// The term of the entry before it, once a node has said it.
    before: Option<Term>,
}

/// Every entry that any node has held.
#[derive(Debug, Default)]
pub struct LogMatching {
    logs: Logs,
    entries: BTreeMap<(LogIndex, Term), Entry>,
}

impl LogMatching {
    fn compare(&mut self, index: LogIndex, term: Term, entry: Entry) -> Result<(), String> {
        let Entry { by, digest, before } = entry;
        let oldest = self.entries.first_key_value().map(|(name, _)| *name);
        let is_full = self.entries.len() >= REMEMBERED_COUNT_MAX;
        if is_full && oldest.is_some_and(|oldest| (index, term) < oldest) {
            return Ok(());
        }
        let first = self.entries.entry((index, term)).or_insert(entry);
        if first.digest != digest {
            let other = first.by;
            return Err(format!("entry {index} of term {term}: {by} has another than {other}"));
        }
        if let (Some(one), Some(other)) = (first.before, before)
            && one != other
        {
            let first_by = first.by;
            return Err(format!(
                "entry {index} of term {term} comes after one of term {one} on {first_by}, and \
                 after one of term {other} on {by}"
            ));
        }
        first.before = first.before.or(before);
        if is_full {
            self.entries.pop_first();
        }
        Ok(())
    }
}

impl Checker for LogMatching {
    fn check(&mut self, _seen: &[Seen]) -> Result<(), String> {
        Ok(())
    }

    fn hear(&mut self, told: &Told) -> Result<(), String> {
        if let Told::Appended { by, index, term, digest } = *told {
            let log = self.logs.get(by);
            let follows = log.filter(|log| log.last().0 + 1 == index.0);
            let before = follows.and_then(|log| log.last_term());
            self.compare(index, term, Entry { by, digest, before })?;
        }
        self.logs.hear(told)
    }
}

#[cfg(test)]
mod tests {
    use quorate_core::ids::Generation;

    use super::*;

    fn opened(node: u64) -> Told {
        Told::LogOpened { by: NodeId(node), address: [10, 0, 0, node as u8].into() }
    }

    fn appended((node, index, election): (u64, u64, u64), digest: u32) -> Told {
        let term = Term::new(Generation(0), election);
        Told::Appended { by: NodeId(node), index: LogIndex(index), term, digest }
    }

    /// What is wrong first, if these logs are told: node, index and term of each entry.
    fn told(entries: &[((u64, u64, u64), u32)]) -> String {
        let mut checker = LogMatching::default();
        let opened = (1..=3).map(opened);
        let entries = entries.iter().map(|(name, digest)| appended(*name, *digest));
        opened.chain(entries).find_map(|told| checker.hear(&told).err()).unwrap_or_default()
    }

    #[test]
    fn logs_that_differ_where_nothing_is_shared_match() {
        let common = [((1, 1, 0), 7), ((2, 1, 0), 7), ((1, 2, 1), 8), ((2, 2, 1), 8)];
        assert_eq!(told(&common), "");
        let diverge = [&common[..], &[((1, 3, 1), 9), ((2, 3, 2), 5)]].concat();
        assert_eq!(told(&diverge), "", "another term");
    }

    #[test]
    fn an_entry_with_another_content_or_another_before_it_is_seen() {
        let common = [((1, 1, 0), 7), ((2, 1, 0), 7)];
        let content = [&common[..], &[((1, 2, 1), 8), ((2, 2, 1), 9)]].concat();
        assert_eq!(told(&content), "entry 2 of term 0.1: n2 has another than n1");
        let before =
            [&common[..], &[((1, 2, 1), 8), ((2, 2, 2), 8), ((1, 3, 3), 5), ((2, 3, 3), 5)]]
                .concat();
        let text = "entry 3 of term 0.3 comes after one of term 0.1 on n1, and after one of term \
                    0.2 on n2";
        assert_eq!(told(&before), text);
    }

    #[test]
    fn an_entry_that_gave_way_and_one_behind_a_snapshot_are_compared() {
        let mut checker = LogMatching::default();
        let mut heard = |told: Told| checker.hear(&told).err().unwrap_or_default();
        for name in [(1, 1, 0), (2, 1, 0), (2, 2, 1)] {
            assert_eq!(heard(appended(name, 7)), "");
        }
        assert_eq!(heard(Told::Truncated { by: NodeId(2), after: LogIndex(1) }), "");
        for name in [(1, 2, 2), (1, 3, 2), (2, 2, 2), (2, 3, 2)] {
            assert_eq!(heard(appended(name, 8)), "", "{name:?}");
        }
        let term = |election| Term::new(Generation(0), election);
        let snapshot =
            |election| Told::Compacted { by: NodeId(3), upto: LogIndex(2), term: term(election) };
        assert_eq!(heard(snapshot(2)), "");
        assert_eq!(heard(appended((3, 3, 2), 8)), "");
        assert_eq!(heard(opened(3)), "");
        assert_eq!(heard(snapshot(1)), "");
        assert_ne!(heard(appended((3, 3, 2), 8)), "", "its snapshot ends with another entry");
    }
}
