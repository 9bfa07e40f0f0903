//! Nodes that end by themselves, where that is what a story wants.

use super::Cluster;

impl Cluster {
    /// Waits until the node has ended by itself, for whatever reason, and returns that; `None` if
    /// it still runs after this time.
    pub fn ends_within_ms(&mut self, name: &str, ms: u64) -> Option<String> {
        let at = self.place(name);
        self.nodes[at].set_may_end(true);
        let end_ms = self.world.now_ms() + ms;
        while self.nodes[at].ended().is_none() && self.world.now_ms() < end_ms {
            self.run_for_ms(1);
        }
        self.nodes[at].set_may_end(false);
        self.nodes[at].ended()
    }
}
