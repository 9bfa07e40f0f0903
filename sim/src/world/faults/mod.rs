//! What can go wrong, as verbs of the [`World`]: crashes, power, freezes, links, clocks, disks.
//!
//! Every verb leaves an event, so that a trace tells the whole story.
//!
//! Read next: `links.rs`, `disks.rs`, `clocks.rs`, `calm.rs`; `../stop.rs` for what a crash does.

mod calm;
mod clocks;
mod disks;
mod links;

use super::machine::{Freeze, Machine};
use super::trace::Kind;
use super::{MachineId, Strike, US_PER_MS, World, context};

impl World {
    /// The process dies at once (SIGKILL); peers get resets, the disk keeps every write.
    pub fn crash(&self, id: MachineId) {
        let _runtime = self.runtime.enter();
        self.kernel.borrow_mut().crash(id.0);
    }

    /// The machine loses power: silence to peers; what was not synced is lost or torn.
    pub fn cut_power(&self, id: MachineId) {
        let _runtime = self.runtime.enter();
        self.kernel.borrow_mut().cut_power(id.0);
    }

    /// The machine stands still until [`World::thaw`], a crash or a power cut.
    pub fn freeze(&self, id: MachineId, how: Freeze) {
        self.kernel.borrow_mut().freeze(id.0, how);
    }

    /// A frozen machine goes on; what had arrived is delivered, late timers fire.
    pub fn thaw(&self, id: MachineId) {
        let _runtime = self.runtime.enter();
        self.kernel.borrow_mut().thaw(id.0);
    }

    /// Whether the machine stands still, and how.
    pub fn frozen(&self, id: MachineId) -> Option<Freeze> {
        self.kernel.borrow().machines[id.0].frozen
    }

    /// Every poll of the machine's process costs this much time, in which it does nothing else; 0
    /// makes it as fast as all others. A poll is a handful of its tasks: 5 ms is a crawl.
    pub fn set_poll_cost(&self, id: MachineId, ms: u64) {
        self.on(id, &format!("each poll costs {ms} ms"), |machine| {
            machine.poll_cost_us = ms * US_PER_MS;
            if ms == 0 {
                machine.rests_until_us = 0;
            }
        });
    }

    /// The process dies in the `k`-th send of the machine from here on (1 is the next): that packet
    /// may still leave, and none after it does. Acknowledgements without data do not count.
    ///
    /// A crash or a restart before it lifts the plan.
    pub fn crash_at_send(&self, id: MachineId, k: u64) {
        self.strike_at_send(id, k, Strike::Crash);
    }

    /// The power fails in the `k`-th send of the machine from here on, as with
    /// [`World::crash_at_send`].
    pub fn cut_power_at_send(&self, id: MachineId, k: u64) {
        self.strike_at_send(id, k, Strike::PowerCut);
    }

    fn strike_at_send(&self, id: MachineId, k: u64, how: Strike) {
        self.on(id, &format!("{how:?} in send {k} from here"), |machine| {
            machine.sends.strike_at(k, how);
        });
    }

    /// How many packets that carry something the machine has sent, in all boots.
    pub fn sends_count(&self, id: MachineId) -> u64 {
        self.kernel.borrow().machines[id.0].sends.count
    }

    /// Does something to a machine, with an event that says so.
    fn on(&self, id: MachineId, text: &str, act: impl FnOnce(&mut Machine)) {
        context::record_text(Some(id.0), Kind::World, text);
        act(&mut self.kernel.borrow_mut().machines[id.0]);
    }
}
