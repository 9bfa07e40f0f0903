//! Election safety: at most one node is elected in a term, whenever it says so.
//!
//! Source: Ongaro & Ousterhout 2014, figure 3.

use std::collections::BTreeMap;

use quorate_core::ids::{NodeId, Term};
use quorate_core::replication::RaftRole;

use super::{Checker, Seen};

/// Who was elected in each term so far.
#[derive(Debug, Default)]
pub struct OneElectedPerTerm {
    elected: BTreeMap<Term, NodeId>,
}

impl Checker for OneElectedPerTerm {
    fn check(&mut self, seen: &[Seen]) -> Result<(), String> {
        for node in seen {
            match node.leadership.role {
                RaftRole::Elected => {}
                RaftRole::Learner | RaftRole::Follower | RaftRole::Candidate => continue,
            }
            let (term, this) = (node.leadership.term, node.leadership.node);
            let first = *self.elected.entry(term).or_insert(this);
            if first != this {
                return Err(format!("term {term} elected {first} and {this}"));
            }
        }
        Ok(())
    }
}
