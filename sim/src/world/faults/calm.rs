//! The end of every fault: things are as usual again.
//!
//! Invariants
//! - A fault with a verb in this folder ends here; what is down stays down, and what is lost lost.
//!
//! Read next: the other files of this folder, each of whose verbs this undoes.

use super::super::link::Link;
use super::super::trace::Kind;
use super::super::{MachineId, World, context};

impl World {
    /// How links, disks and clock rates are at this moment is what [`World::calm`] goes back to.
    pub fn remember_usual(&self) {
        let mut kernel = self.kernel.borrow_mut();
        kernel.links.all_links_mut().for_each(|link| link.usual = link.settings);
        for machine in &mut kernel.machines {
            machine.usual = (machine.clock.drift_ppm(), machine.disk.faults().latency_ms);
        }
    }

    /// Ends every fault of these machines and of the links among them: partitions and bad links,
    /// sick disks, wrong clock rates, slowness, freezes, strikes that wait for their operation.
    pub fn calm(&self, ids: &[MachineId]) {
        context::record_text(None, Kind::World, "calm");
        for id in ids {
            self.thaw(*id);
            self.on(*id, "calm", |machine| {
                let (drift_ppm, latency_ms) = machine.usual;
                machine.clock.set_drift_ppm(drift_ppm);
                if machine.disk.calm(latency_ms) {
                    machine.medium.drain().expect("no fault meets a disk that empties its cache");
                }
                machine.sends.forget_plan();
                (machine.poll_cost_us, machine.rests_until_us) = (0, 0);
            });
            self.set_wall_clock_offset(*id, 0);
        }
        self.each_link(ids, ids, Link::heal);
        self.each_link(ids, ids, |link| link.settings = link.usual);
    }
}
