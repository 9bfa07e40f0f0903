//! Looks at a [`World`] that change nothing and leave no event: what a fault plan restores, and
//! how it knows that a fault changed something.

use super::link::LinkSettings;
use super::{MachineId, World};

impl World {
    /// How the direction from one machine to another behaves while it is not cut.
    pub fn link(&self, from: MachineId, to: MachineId) -> LinkSettings {
        let mut kernel = self.kernel.borrow_mut();
        kernel.links.link_mut(from.0, to.0).map(|link| link.settings).unwrap_or_default()
    }

    /// What both clocks of the machine gain, in microseconds per second.
    pub fn clock_drift_ppm(&self, id: MachineId) -> i64 {
        self.kernel.borrow().machines[id.0].clock.drift_ppm()
    }

    /// The shortest and the longest wait of a job on a lane.
    pub fn disk_latency_ms(&self, id: MachineId) -> (u64, u64) {
        self.kernel.borrow().machines[id.0].disk.faults().latency_ms
    }

    /// One number over every file of the machine as its processes see it, what was not synced
    /// included: another one after a power cut says that bytes were lost.
    pub fn disk_digest(&self, id: MachineId) -> u64 {
        self.kernel.borrow().machines[id.0].medium.digest()
    }
}
