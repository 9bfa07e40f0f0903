//! The verbs of what goes wrong, by the names of nodes: processes and power here, the rest beside.
//!
//! Invariants
//! - [`Cluster::calm`] ends every fault of this folder, but starts nothing that is down.
//! - A node may end by itself only after a verb that gives it a reason: a disk that fails.
//!
//! Read next: `links.rs`, `disks.rs`, `machines.rs`; `atlas.rs` for whose disk may fail how far.

mod atlas;
mod disks;
mod links;
mod machines;
#[cfg(test)]
mod tests;

pub(super) use atlas::Atlas;
pub use disks::Rot;

use super::{Cluster, DEFAULT_BOUND_MS};
use crate::world::MachineId;

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
            self.start(at);
        }
    }

    /// Crashes the process and starts it again after so long, so many times, while clients go on
    /// as before. Panics if it does not run.
    pub fn crash_loop(&mut self, name: &str, interval_ms: u64, times: u64) {
        for _ in 0..times {
            self.crash(&[name]);
            self.run_for_ms(interval_ms);
            self.restart(&[name]);
            self.run_for_ms(interval_ms);
        }
    }

    /// Ends every fault that is still on: of links, disks, clocks, machines that are slow or stand
    /// still. Restarts nothing that is down, and brings back nothing that is lost.
    pub fn calm(&mut self) {
        let names = self.names();
        let all: Vec<&str> = names.iter().map(String::as_str).collect();
        self.calm_among(&all);
    }

    /// The same of these nodes and the links among them; all other faults stay.
    pub fn calm_among(&mut self, names: &[&str]) {
        let places = self.places(names);
        let healthy = self.machines_of(&places);
        self.world.calm(&healthy);
        for at in places {
            self.note_honest(at);
        }
    }

    /// Starts every node that is down.
    pub fn restart_all(&mut self) {
        for at in 0..self.nodes.len() {
            if !self.world.is_running(self.nodes[at].machine) {
                self.start(at);
            }
        }
    }

    /// A node that starts on a good disk has no reason to end by itself any more.
    fn start(&self, at: usize) {
        let node = &self.nodes[at];
        let has_reason = self.atlas.is_spoiled(at) || self.world.is_disk_sick(node.machine);
        node.set_may_end(has_reason);
        node.start(&self.world);
    }

    /// Why the node has ended by itself, which only a sick disk allows; `None` since its next
    /// start.
    pub fn ended(&self, name: &str) -> Option<String> {
        self.nodes[self.place(name)].ended()
    }

    /// All other machines.
    fn others_than(&self, places: &[usize]) -> Vec<MachineId> {
        let others: Vec<usize> = (0..self.nodes.len()).filter(|at| !places.contains(at)).collect();
        self.machines_of(&others)
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

    /// The process dies in the `k`-th change of its disk from here on, if it comes so far.
    pub fn crash_at_disk_operation(&mut self, name: &str, k: u64) {
        self.world.crash_at_disk_operation(self.machine(name), k);
    }

    /// The power fails in the `k`-th change of the machine's disk from here on, if it comes so far.
    pub fn cut_power_at_disk_operation(&mut self, name: &str, k: u64) {
        self.world.cut_power_at_disk_operation(self.machine(name), k);
    }

    /// The process dies in the `k`-th packet that its machine sends from here on.
    pub fn crash_at_send(&mut self, name: &str, k: u64) {
        self.world.crash_at_send(self.machine(name), k);
    }

    /// The power fails in the `k`-th packet that the machine sends from here on.
    pub fn cut_power_at_send(&mut self, name: &str, k: u64) {
        self.world.cut_power_at_send(self.machine(name), k);
    }

    /// Whether the node's process runs (standing still counts as running).
    pub fn is_running(&self, name: &str) -> bool {
        self.world.is_running(self.machine(name))
    }
}
