//! Handing leadership over, as an operator would.

use quorate_core::ids::NodeId;

use super::Cluster;
use super::ask::Asked;

/// How long an operator waits for the answer.
const ANSWER_MS: u64 = 5_000;

impl Cluster {
    /// Asks the leader to hand over to whichever voter is fit; returns who leads then, or `None` if
    /// the hand-over was refused or not taken.
    pub fn switch_over(&mut self) -> Option<NodeId> {
        let leader = self.leader();
        let at = self.place(&leader);
        let asked =
            Asked::ask(
                &self.world,
                &self.nodes[at],
                |node| async move { node.switchover(None).await },
            );
        self.wait_for(&asked, ANSWER_MS)?.ok()
    }

    /// Asks for the same, goes on after so long whatever has become of it, and returns who was
    /// asked.
    pub fn switch_over_for_ms(&mut self, ms: u64) -> String {
        let leader = self.leader();
        let at = self.place(&leader);
        let _asked =
            Asked::ask(
                &self.world,
                &self.nodes[at],
                |node| async move { node.switchover(None).await },
            );
        self.run_for_ms(ms);
        leader
    }
}
