//! Election safety: at most one node is elected in a term, and nobody votes for two in one.
//!
//! Told by the nodes at the moment when it happens, so that an election which is over before
//! anyone looks counts as well. A vote is told once it is durable; a node that votes in an earlier
//! term than before, or for another in the same term, has forgotten one.
//!
//! Source: Ongaro & Ousterhout 2014, figure 3 and section 5.2.

use std::collections::BTreeMap;

use quorate_core::ids::{NodeId, Term};
use quorate_core::observe::Told;

use super::{Checker, Seen};

/// Who was elected in each term so far, and whom each node voted for last.
#[derive(Debug, Default)]
pub struct OneElectedPerTerm {
    elected: BTreeMap<Term, NodeId>,
    voted: BTreeMap<NodeId, (Term, NodeId)>,
}

impl Checker for OneElectedPerTerm {
    fn check(&mut self, _seen: &[Seen]) -> Result<(), String> {
        Ok(())
    }

    fn hear(&mut self, told: &Told) -> Result<(), String> {
        match *told {
            Told::Elected { by, node, term } => {
                let first = *self.elected.entry(term).or_insert(node);
                if first != node {
                    return Err(format!("term {term} elected {first} and, as {by} says, {node}"));
                }
            }
            Told::VoteGranted { by, to, term } => {
                let (last_term, last_to) = *self.voted.entry(by).or_insert((term, to));
                if term < last_term || (term == last_term && to != last_to) {
                    return Err(format!(
                        "{by} votes for {to} in term {term}, after {last_to} in {last_term}"
                    ));
                }
                self.voted.insert(by, (term, to));
            }
            Told::Committed { .. } | Told::IdGiven { .. } => {}
            Told::ActingBegan { .. } | Told::ActingEnded { .. } => {}
            Told::LogOpened { .. } | Told::Appended { .. } | Told::VotersAppended { .. } => {}
            Told::Durable { .. } | Told::Truncated { .. } | Told::Compacted { .. } => {}
            Told::RosterFollowed { .. } | Told::MemberSeen { .. } => {}
            Told::DatagramTaken { .. } => {}
        }
        Ok(())
    }
}
