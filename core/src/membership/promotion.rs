//! Promotion: which learners the leader lets vote by itself, and when.
//!
//! Pure. It concerns only members that have joined by a token; whoever was added in another way is
//! promoted in that way. A change of voters is one joint change, planned in `change.rs`.
//!
//! Invariants
//! - The number of voters stays odd, or becomes odd, unless a member asked for its vote: two voters
//!   survive no loss more than one, and stop at the loss of either.
//! - Nobody is promoted who is not seen alive.

use std::collections::BTreeSet;

use crate::ids::NodeId;

/// A learner that has joined by a token and is a learner of consensus, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Candidate {
    pub(super) id: NodeId,
    /// Whether it is to vote even if that makes the number of voters even.
    pub(super) wants_vote: bool,
    pub(super) is_alive: bool,
}

/// Who is to vote from now on: candidates, ascending. `voters_count` is that of the present voters.
///
/// Who asked for a vote has one as soon as it is alive. Of the others, in the order of their ids,
/// as many as leave the number of voters odd.
pub(super) fn promoted(voters_count: usize, candidates: &[Candidate]) -> Vec<NodeId> {
    let alive = || candidates.iter().filter(|candidate| candidate.is_alive);
    let asked = alive().filter(|candidate| candidate.wants_vote).map(|candidate| candidate.id);
    let mut promoted: BTreeSet<NodeId> = asked.collect();
    let others = alive().filter(|candidate| !candidate.wants_vote).map(|candidate| candidate.id);
    let others: BTreeSet<NodeId> = others.collect();
    let all_count = voters_count + promoted.len() + others.len();
    let is_odd = all_count % 2 == 1;
    let taken_count = if is_odd { others.len() } else { others.len().saturating_sub(1) };
    promoted.extend(others.into_iter().take(taken_count));
    promoted.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    /// `2` is learner n2, `2!` has asked for a vote, `(2)` is not alive.
    fn candidates(text: &str) -> Vec<Candidate> {
        let candidate = |word: &str| {
            let id = word.trim_matches(['(', ')', '!']).parse().map(NodeId).expect("a number");
            Candidate { id, wants_vote: word.contains('!'), is_alive: !word.starts_with('(') }
        };
        text.split_whitespace().map(candidate).collect()
    }

    #[test]
    fn a_second_node_waits_for_a_third_unless_it_asks_for_a_vote() {
        // Voters, learners, and who is to vote.
        let table: [(usize, &str, &[u64]); 14] = [
            (1, "", &[]),
            (1, "2", &[]),
            (1, "2 3", &[2, 3]),
            (1, "2 (3)", &[]),
            (1, "2!", &[2]),
            (1, "(2!)", &[]),
            (1, "2! 3", &[2, 3]),
            (1, "2! 3 4", &[2, 3]),
            (1, "2! 3!", &[2, 3]),
            (2, "3", &[3]),
            (2, "3 4", &[3]),
            (3, "4", &[]),
            (3, "4 5", &[4, 5]),
            (3, "4! 5! 6!", &[4, 5, 6]),
        ];
        for (voters_count, text, expected) in table {
            let expected: Vec<NodeId> = expected.iter().copied().map(NodeId).collect();
            assert_eq!(
                promoted(voters_count, &candidates(text)),
                expected,
                "{voters_count} {text}"
            );
        }
    }

    proptest! {
        /// Voters are odd in number or nobody was promoted, unless somebody asked; who is promoted
        /// is alive; and who asked and is alive is promoted.
        #[test]
        fn voters_stay_odd_unless_asked_and_nobody_dead_is_promoted(
            voters_count in 1..8_usize,
            learners in vec((any::<bool>(), any::<bool>()), 0..8),
        ) {
            let candidate = |(id, (wants_vote, is_alive)): (u64, (bool, bool))| {
                Candidate { id: NodeId(id), wants_vote, is_alive }
            };
            let candidates: Vec<Candidate> = (10..).zip(learners).map(candidate).collect();
            let chosen = promoted(voters_count, &candidates);

            let has_asked = candidates.iter().any(|one| one.is_alive && one.wants_vote);
            let is_odd = (voters_count + chosen.len()) % 2 == 1;
            prop_assert!(is_odd || chosen.is_empty() || has_asked);
            for one in &candidates {
                prop_assert!(one.is_alive || !chosen.contains(&one.id));
                prop_assert!(!(one.is_alive && one.wants_vote) || chosen.contains(&one.id));
            }
        }
    }
}
