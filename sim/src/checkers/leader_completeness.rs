//! Leader completeness: an entry that was committed in a term is in the log of every leader of a
//! later one.
//!
//! Looks at the log of a node at the moment when it is elected, and at what any node has said to be
//! committed before, in earlier terms. A node may learn late what was committed in an old term:
//! then the logs with which later leaders were elected are looked at again. The term in which an
//! entry is committed is that of the leader whom the node follows that says so, not that of the
//! entry, which may be older. What a leader has as a snapshot counts as held;
//! `equal_state.rs` judges those.
//!
//! Source: Ongaro & Ousterhout 2014, figure 3 and section 5.4.

use std::collections::BTreeMap;

use quorate_core::ids::{LogIndex, NodeId, Term};
use quorate_core::observe::Told;

use super::logs::{Log, Logs};
use super::{Checker, Seen};

/// How many of the latest leaders are remembered, for what is learnt late.
const LEADERS_COUNT_MAX: usize = 8;

/// Who was elected with which log, and what was committed.
#[derive(Debug, Default)]
pub struct LeaderCompleteness {
    logs: Logs,
    /// The newest term in which each node has known a leader.
    terms: BTreeMap<NodeId, Term>,
    leaders: BTreeMap<Term, (NodeId, Log)>,
    /// By the term in which it was committed: index of the last entry, and its own term.
    committed: BTreeMap<Term, (LogIndex, Term)>,
}

fn check_holds(
    (term, leader, log): (Term, NodeId, &Log),
    (committed_in, index, of): (Term, LogIndex, Term),
) -> Result<(), String> {
    if log.holds(index, of) {
        return Ok(());
    }
    Err(format!(
        "{leader} is elected in term {term} without entry {index} of term {of}, which was \
         committed in term {committed_in}"
    ))
}

impl LeaderCompleteness {
    fn elected(&mut self, node: NodeId, term: Term) -> Result<(), String> {
        let log = self.logs.of(node);
        for (committed_in, (index, of)) in self.committed.range(..term) {
            check_holds((term, node, &log), (*committed_in, *index, *of))?;
        }
        self.leaders.insert(term, (node, log));
        if self.leaders.len() > LEADERS_COUNT_MAX {
            self.leaders.pop_first();
        }
        Ok(())
    }

    fn committed(&mut self, by: NodeId, index: LogIndex, of: Term) -> Result<(), String> {
        // Before it has known any leader a node can only repeat what it has said in a former life.
        let Some(&committed_in) = self.terms.get(&by) else { return Ok(()) };
        let last = self.committed.entry(committed_in).or_default();
        if index <= last.0 {
            return Ok(());
        }
        *last = (index, of);
        for (term, (leader, log)) in self.leaders.range(committed_in..).rev() {
            if *term > committed_in {
                check_holds((*term, *leader, log), (committed_in, index, of))?;
            }
        }
        Ok(())
    }
}

impl Checker for LeaderCompleteness {
    fn check(&mut self, _seen: &[Seen]) -> Result<(), String> {
        Ok(())
    }

    fn hear(&mut self, told: &Told) -> Result<(), String> {
        if let Told::Elected { by, node, term } = *told {
            self.terms.insert(by, term);
            if by == node {
                self.elected(node, term)?;
            }
        }
        if let Told::Committed { by, index, term } = *told {
            self.committed(by, index, term)?;
        }
        // What no log can do is for log matching to tell.
        let _ = self.logs.hear(told);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use quorate_core::ids::Generation;

    use super::*;

    const N1: NodeId = NodeId(1);
    const N2: NodeId = NodeId(2);
    const N3: NodeId = NodeId(3);

    fn term(election: u64) -> Term {
        Term::new(Generation(0), election)
    }

    /// Entries of these terms stand at the end of the log of a node, the last at index `last`.
    fn appended(by: NodeId, last: u64, terms: &[u64]) -> Vec<Told> {
        let first = last + 1 - terms.len() as u64;
        let one = |(at, election): (usize, &u64)| Told::Appended {
            by,
            index: LogIndex(first + at as u64),
            term: term(*election),
            digest: 0,
        };
        terms.iter().enumerate().map(one).collect()
    }

    fn elected(by: NodeId, node: NodeId, election: u64) -> Vec<Told> {
        vec![Told::Elected { by, node, term: term(election) }]
    }

    fn committed(by: NodeId, index: u64, election: u64) -> Vec<Told> {
        vec![Told::Committed { by, index: LogIndex(index), term: term(election) }]
    }

    fn wrong(story: &[Vec<Told>]) -> String {
        let mut checker = LeaderCompleteness::default();
        let told = story.iter().flatten();
        told.filter_map(|told| checker.hear(told).err()).next().unwrap_or_default()
    }

    #[test]
    fn a_leader_without_a_committed_entry_is_seen() {
        let story = |last_log: &[u64]| {
            wrong(&[
                elected(N1, N1, 1),
                appended(N1, 2, &[0, 1]),
                committed(N1, 2, 1),
                appended(N2, last_log.len() as u64, last_log),
                elected(N2, N2, 2),
            ])
        };
        assert_eq!(story(&[0, 1]), "");
        assert_eq!(story(&[0, 1, 1]), "", "it has one more");
        let text = "n2 is elected in term 0.2 without entry 2 of term 0.1, which was committed in \
                    term 0.1";
        assert_eq!(story(&[0]), text);
        assert_eq!(story(&[0, 0]), text, "another stands there");
    }

    #[test]
    fn what_is_learnt_late_counts_for_the_leaders_since() {
        let story = |second_log: &[u64]| {
            wrong(&[
                elected(N3, N1, 1),
                appended(N2, second_log.len() as u64, second_log),
                elected(N2, N2, 2),
                committed(N3, 2, 1),
            ])
        };
        assert_eq!(story(&[0, 1]), "");
        assert_ne!(story(&[0]), "", "n3 has followed the first leader until now");
    }

    /// Figure 8: an entry of term 2 that is committed only in term 4 was not in the log of the
    /// leader of term 3, and need not be.
    #[test]
    fn an_entry_counts_from_the_term_in_which_it_was_committed() {
        let story = [
            elected(N1, N1, 2),
            appended(N1, 2, &[1, 2]),
            appended(N3, 1, &[1]),
            elected(N3, N3, 3),
            elected(N1, N1, 4),
            appended(N1, 3, &[4]),
            committed(N1, 3, 4),
            committed(N1, 2, 2),
        ];
        assert_eq!(wrong(&story), "");
        let later = [&story[..], &[appended(N3, 2, &[3]), elected(N3, N3, 5)]].concat();
        assert_ne!(wrong(&later), "", "after term 4 it must be there");
    }

    #[test]
    fn a_snapshot_holds_what_it_covers() {
        let snapshot = vec![Told::Compacted { by: N2, upto: LogIndex(2), term: term(1) }];
        let story = [elected(N1, N1, 1), committed(N1, 2, 1), snapshot.clone(), elected(N2, N2, 2)];
        assert_eq!(wrong(&story), "");
        let story = [elected(N1, N1, 1), committed(N1, 3, 1), snapshot, elected(N2, N2, 2)];
        assert_ne!(wrong(&story), "");
    }
}
