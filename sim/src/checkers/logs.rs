//! The log of every node, as the nodes tell of it: what the checkers of logs look at.
//!
//! It is what a node holds at that moment, durable or not. A node that starts tells its log anew.
//!
//! Read next: `log_matching.rs`, `leader_completeness.rs`, `durable_on_quorum.rs`.

use std::collections::{BTreeMap, VecDeque};

use quorate_core::ids::{LogIndex, NodeId, Term};
use quorate_core::observe::Told;

/// The entries of one node, by the terms in which they were proposed.
#[derive(Clone, Debug)]
pub(super) struct Log {
    /// Index of the first entry in `terms`. Those before it are covered by a snapshot, or were too
    /// many to be told at a start.
    first: u64,
    /// Term of the entry before that one, if it is known.
    before: Option<Term>,
    terms: VecDeque<Term>,
    is_fresh: bool,
}

impl Default for Log {
    fn default() -> Log {
        Log { first: 1, before: Some(Term::default()), terms: VecDeque::new(), is_fresh: true }
    }
}

impl Log {
    /// Index of the last entry.
    pub(super) fn last(&self) -> LogIndex {
        LogIndex(self.first + self.terms.len() as u64 - 1)
    }

    /// Term of the last entry; 0 of an empty log, `None` if it is not known.
    pub(super) fn last_term(&self) -> Option<Term> {
        self.terms.back().copied().or(self.before)
    }

    /// Term of the entry at `index`; `None` if there is none, or if it is covered.
    pub(super) fn term_at(&self, index: LogIndex) -> Option<Term> {
        let at = index.0.checked_sub(self.first)?;
        self.terms.get(usize::try_from(at).ok()?).copied()
    }

    /// Whether the entry is in the log, or covered by a snapshot.
    pub(super) fn holds(&self, index: LogIndex, term: Term) -> bool {
        index.0 < self.first || self.term_at(index) == Some(term)
    }

    fn append(&mut self, index: LogIndex, term: Term) -> Result<(), String> {
        let last = self.last();
        let begins_late = self.is_fresh && index > last;
        if begins_late && index.0 != last.0 + 1 {
            (self.first, self.before) = (index.0, None);
        } else if index.0 != last.0 + 1 {
            return Err(format!("appends entry {index} after entry {last}"));
        }
        self.is_fresh = false;
        self.terms.push_back(term);
        Ok(())
    }

    fn truncate(&mut self, after: LogIndex) {
        let kept_count = (after.0 + 1).saturating_sub(self.first);
        self.terms.truncate(usize::try_from(kept_count).unwrap_or(usize::MAX));
    }

    fn compact(&mut self, upto: LogIndex, term: Term) {
        let Some(count) = (upto.0 + 1).checked_sub(self.first) else { return };
        let count = usize::try_from(count).unwrap_or(usize::MAX);
        self.terms.drain(..count.min(self.terms.len()));
        (self.first, self.before) = (upto.0 + 1, Some(term));
    }
}

/// The logs of all nodes.
#[derive(Debug, Default)]
pub(super) struct Logs(BTreeMap<NodeId, Log>);

impl Logs {
    /// The log of one node; an empty one if it has told nothing.
    pub(super) fn of(&self, node: NodeId) -> Log {
        self.0.get(&node).cloned().unwrap_or_default()
    }

    /// The same, if it has told something.
    pub(super) fn get(&self, node: NodeId) -> Option<&Log> {
        self.0.get(&node)
    }

    /// Follows what a node tells. The error says what no log can do.
    pub(super) fn hear(&mut self, told: &Told) -> Result<(), String> {
        match *told {
            Told::LogOpened { by, .. } => drop(self.0.insert(by, Log::default())),
            Told::Appended { by, index, term, .. } => {
                let appended = self.0.entry(by).or_default().append(index, term);
                appended.map_err(|wrong| format!("{by} {wrong}"))?;
            }
            Told::Truncated { by, after } => self.0.entry(by).or_default().truncate(after),
            Told::Compacted { by, upto, term } => {
                self.0.entry(by).or_default().compact(upto, term);
            }
            Told::Elected { .. } | Told::VoteGranted { .. } | Told::Committed { .. } => {}
            Told::IdGiven { .. } | Told::ActingBegan { .. } | Told::ActingEnded { .. } => {}
            Told::VotersAppended { .. } | Told::Durable { .. } => {}
            Told::RosterFollowed { .. } | Told::MemberSeen { .. } => {}
            Told::DatagramTaken { .. } => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use quorate_core::ids::Generation;

    use super::*;

    #[test]
    fn a_log_is_appended_to_cut_at_both_ends_and_told_anew() {
        let term = |election| Term::new(Generation(0), election);
        let by = NodeId(1);
        let mut logs = Logs::default();
        let mut hear = |told: Told| {
            logs.hear(&told).map(|()| {
                let log = logs.of(by);
                (log.first, log.terms.iter().map(|term| term.election()).collect::<Vec<_>>())
            })
        };
        let append = |index, election| Told::Appended {
            by,
            index: LogIndex(index),
            term: term(election),
            digest: 0,
        };
        let opened = || Told::LogOpened { by, address: [10, 0, 0, 1].into() };
        assert_eq!(hear(append(1, 0)), Ok((1, vec![0])));
        assert_eq!(hear(append(2, 1)), Ok((1, vec![0, 1])));
        assert_eq!(hear(append(3, 1)), Ok((1, vec![0, 1, 1])));
        assert_eq!(hear(append(3, 1)), Err("n1 appends entry 3 after entry 3".to_owned()));
        assert_eq!(hear(append(5, 1)), Err("n1 appends entry 5 after entry 3".to_owned()));
        assert_eq!(hear(Told::Truncated { by, after: LogIndex(2) }), Ok((1, vec![0, 1])));
        assert_eq!(hear(append(3, 2)), Ok((1, vec![0, 1, 2])));
        let compacted = |upto| Told::Compacted { by, upto: LogIndex(upto), term: term(1) };
        assert_eq!(hear(compacted(2)), Ok((3, vec![2])));
        assert_eq!(hear(compacted(1)), Ok((3, vec![2])), "it is gone already");
        assert_eq!(hear(compacted(9)), Ok((10, vec![])), "a snapshot that came from outside");
        assert_eq!(hear(append(10, 2)), Ok((10, vec![2])));
        assert_eq!(hear(opened()), Ok((1, vec![])));
        assert_eq!(hear(append(7, 2)), Ok((7, vec![2])), "the older ones are not told");
    }
}
