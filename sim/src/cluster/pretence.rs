//! Lies told to the checkers, for the canary: a checker that believes them sees nothing.

use quorate_core::ids::{Generation, NodeId, Term};
use quorate_core::observe::Told;

use super::{Cluster, Looked, Request, Seen};

impl Cluster {
    /// Tells the checkers of two nodes that were elected in one term.
    pub(crate) fn pretend_two_elected(&mut self) {
        let term = Term::new(Generation(0), 1_000_000);
        for node in [NodeId(1), NodeId(2)] {
            let told = Told::Elected { by: node, node, term };
            let heard = self.checkers.iter_mut().try_for_each(|checker| checker.hear(&told));
            if let Err(wrong) = heard {
                self.fail(&wrong);
            }
        }
    }

    /// Shows the checkers another node that acts, beside the one that does.
    pub(crate) fn pretend_two_act(&mut self) {
        self.leader();
        let mut seen = super::see(&self.nodes, &self.world, &self.excused, &self.tokens);
        let acting = seen.iter().find(|node| node.may_act).cloned();
        let other = acting.map(|node| Seen { at: node.at + 1, ..node });
        seen.extend(other);
        let looked = Looked { nodes: &self.nodes, world: &self.world, atlas: &self.atlas };
        let (checkers, members) = (&mut self.checkers, &self.members_agree);
        let wrong = super::look(&seen, &looked, (checkers, members), &self.history);
        if let Err(wrong) = wrong {
            self.fail(&wrong);
        }
    }

    /// Puts an acknowledged write into the ledger that nobody has made.
    pub(crate) fn pretend_acknowledged(&mut self, name: &str) {
        let value = "never written".to_owned();
        let start_ms = self.world.now_ms();
        let request = Request { name: name.to_owned(), value, start_ms, at: 0 };
        let asked = super::noted::asked(&request, start_ms, "n1");
        self.ledger.acknowledged(&asked, 1);
    }
}
