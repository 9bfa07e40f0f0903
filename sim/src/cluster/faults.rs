//! The verbs of what goes wrong, by the names of nodes.

use super::{Cluster, DEFAULT_BOUND_MS};
use crate::world::Freeze;

impl Cluster {
    /// The machines lose power: what was not synced is lost.
    pub fn cut_power(&mut self, names: &[&str]) {
        for at in self.places(names) {
            self.world.cut_power(self.nodes[at].machine);
            self.nodes[at].forget();
        }
    }

    /// The machines get power and start their nodes.
    pub fn restore_power(&mut self, names: &[&str]) {
        self.restart(names);
    }

    /// The processes die (SIGKILL); their disks keep every write.
    pub fn crash(&mut self, names: &[&str]) {
        for at in self.places(names) {
            self.world.crash(self.nodes[at].machine);
            self.nodes[at].forget();
        }
    }

    /// Starts nodes that do not run. Panics if one runs.
    pub fn restart(&mut self, names: &[&str]) {
        for at in self.places(names) {
            self.nodes[at].start(&self.world);
        }
    }

    /// Cuts every link between these nodes and all others, both ways.
    pub fn partition(&mut self, names: &[&str]) {
        let inside = self.places(names);
        let outside: Vec<usize> = (0..self.nodes.len()).filter(|at| !inside.contains(at)).collect();
        self.world.partition(&self.machines_of(&inside), &self.machines_of(&outside));
    }

    /// Ends every partition.
    pub fn heal(&mut self) {
        self.world.heal();
    }

    /// The machines stand still, with their clocks going on.
    pub fn freeze(&mut self, names: &[&str]) {
        for at in self.places(names) {
            self.world.freeze(self.nodes[at].machine, Freeze::Machine);
        }
    }

    /// The frozen machines go on.
    pub fn thaw(&mut self, names: &[&str]) {
        for at in self.places(names) {
            self.world.thaw(self.nodes[at].machine);
        }
    }

    /// The machine loses power in the `k`-th change of its disk from here on, in the middle of what
    /// the clients write; waits until it has happened. Without clients that write nothing happens,
    /// and the run fails.
    pub fn cut_power_in_commit(&mut self, name: &str, k: u64) {
        let at = self.place(name);
        let machine = self.nodes[at].machine;
        self.world.cut_power_at_disk_operation(machine, k);
        let end_ms = self.world.now_ms() + DEFAULT_BOUND_MS;
        if !self.drive(end_ms, &mut |_, world| !world.is_running(machine)) {
            self.fail(&format!("the disk of {name} saw fewer than {k} changes"));
        }
        self.nodes[at].forget();
    }
}
