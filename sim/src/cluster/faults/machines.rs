//! What goes wrong with whole machines and their clocks.

use super::super::Cluster;
use crate::world::Freeze;

impl Cluster {
    /// The machines are suspended: they stand still, and their clocks show the pause afterwards.
    pub fn freeze(&mut self, names: &[&str]) {
        self.freeze_as(names, Freeze::Machine);
    }

    /// The machines are suspended by their hypervisor: their clocks stand still as well, and show
    /// nothing afterwards.
    pub fn freeze_unseen(&mut self, names: &[&str]) {
        self.freeze_as(names, Freeze::MachineUnseen);
    }

    /// The processes are stopped (SIGSTOP): their systems go on to acknowledge what arrives.
    pub fn freeze_processes(&mut self, names: &[&str]) {
        self.freeze_as(names, Freeze::Process);
    }

    /// The machines stand still. Panics if one does already.
    pub fn freeze_as(&mut self, names: &[&str], how: Freeze) {
        for at in self.places(names) {
            match how {
                Freeze::MachineUnseen => self.hide_pause(at),
                Freeze::Process | Freeze::Machine => {}
            }
            self.world.freeze(self.nodes[at].machine, how);
        }
    }

    /// What stands still goes on.
    pub fn thaw(&mut self, names: &[&str]) {
        for at in self.places(names) {
            self.world.thaw(self.nodes[at].machine);
        }
    }

    /// Each poll of the node costs so much time, in which it does nothing else; 0 ends it.
    pub fn slow_down(&mut self, name: &str, poll_cost_ms: u64) {
        self.world.set_poll_cost(self.machine(name), poll_cost_ms);
    }

    /// Both clocks of the node's machine gain so much per second; negative: lose. The settings name
    /// the worst that the cluster promises to survive.
    pub fn drift_clock(&mut self, name: &str, drift_ppm: i64) {
        self.world.set_clock_drift_ppm(self.machine(name), drift_ppm);
    }

    /// The clock that decides jumps forward, as after a pause that nothing else shows.
    pub fn jump_clock(&mut self, name: &str, by_ms: u64) {
        self.world.jump_clock(self.machine(name), by_ms);
    }

    /// The wall clock jumps.
    pub fn jump_wall_clock(&mut self, name: &str, by_ms: i64) {
        self.world.jump_wall_clock(self.machine(name), by_ms);
    }

    /// The wall clock is wrong by so much from here on; 0 sets it right.
    pub fn set_wall_clock_offset(&mut self, name: &str, offset_ms: i64) {
        self.world.set_wall_clock_offset(self.machine(name), offset_ms);
    }
}
