//! What can go wrong, as verbs of the [`World`]: crashes, power, freezes, links, clocks, disks.
//!
//! Every verb leaves an event, so that a trace tells the whole story.
//!
//! Read next: `stop.rs` for what a crash does, `link.rs` for what a link does.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use quorate_core::ports::{Clock, Disk, Now, UnixMs};

use super::disk::MachineDisk;
use super::link::{Link, LinkSettings};
use super::machine::{Freeze, Machine};
use super::trace::Kind;
use super::{MachineId, World, context};

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

    /// The power fails in the `k`-th change of the machine's disk from here on (1 is the next).
    ///
    /// That change may still take effect. A crash or a restart before it lifts the plan.
    pub fn cut_power_at_disk_operation(&self, id: MachineId, k: u64) {
        self.on(id, &format!("power will fail in disk operation {k} from here"), |machine| {
            machine.disk.cut_power_at(k);
        });
    }

    /// How many changes the machine's disk has seen, in all boots.
    pub fn disk_operations_count(&self, id: MachineId) -> u64 {
        self.kernel.borrow().machines[id.0].disk.operations_count.load(Relaxed)
    }

    /// The machine stands still until [`World::thaw`], a crash or a power cut.
    pub fn freeze(&self, id: MachineId, how: Freeze) {
        self.kernel.borrow_mut().freeze(id.0, how);
    }

    /// A frozen machine goes on; what had arrived is delivered, late timers fire.
    pub fn thaw(&self, id: MachineId) {
        self.kernel.borrow_mut().thaw(id.0);
    }

    /// Cuts every link between the two groups, both ways.
    pub fn partition(&self, one: &[MachineId], other: &[MachineId]) {
        self.partition_one_way(one, other);
        self.partition_one_way(other, one);
    }

    /// Cuts every link from one group to the other; the way back stays.
    pub fn partition_one_way(&self, from: &[MachineId], to: &[MachineId]) {
        self.links_event("cut", from, to);
        self.each_link(from, to, |link| link.is_cut = true);
    }

    /// Drops all datagrams between the two groups, both ways; streams pass.
    pub fn block_datagrams(&self, one: &[MachineId], other: &[MachineId]) {
        self.links_event("block datagrams", one, other);
        self.each_link(one, other, |link| link.drops_datagrams = true);
        self.each_link(other, one, |link| link.drops_datagrams = true);
    }

    /// Ends every partition and every block of datagrams. Streams go on at their next retry.
    pub fn heal(&self) {
        context::record_text(None, Kind::World, "heal all links");
        for link in self.kernel.borrow_mut().links.all_links_mut() {
            link.is_cut = false;
            link.drops_datagrams = false;
        }
    }

    /// Sets how all links behave.
    pub fn set_links(&self, settings: LinkSettings) {
        context::record_text(None, Kind::World, &format!("all links: {settings:?}"));
        for link in self.kernel.borrow_mut().links.all_links_mut() {
            link.settings = settings;
        }
    }

    /// Sets how the link between two machines behaves, both ways.
    pub fn set_link(&self, one: MachineId, other: MachineId, settings: LinkSettings) {
        self.set_link_one_way(one, other, settings);
        self.set_link_one_way(other, one, settings);
    }

    /// Sets how one direction behaves.
    pub fn set_link_one_way(&self, from: MachineId, to: MachineId, settings: LinkSettings) {
        self.links_event(&format!("{settings:?}"), &[from], &[to]);
        self.each_link(&[from], &[to], |link| link.settings = settings);
    }

    /// Both clocks of the machine gain this many microseconds per second; negative: lose.
    pub fn set_clock_drift_ppm(&self, id: MachineId, drift_ppm: i64) {
        self.on(id, &format!("clock drift {drift_ppm} ppm"), |machine| {
            machine.clock.set_drift_ppm(drift_ppm);
        });
    }

    /// Moves the machine's wall clock.
    pub fn jump_wall_clock(&self, id: MachineId, by_ms: i64) {
        self.on(id, &format!("wall clock jumps {by_ms} ms"), |machine| {
            machine.clock.jump_wall_ms(by_ms);
        });
    }

    /// Moves the machine's monotonic clock forward, as a suspension does that nothing else shows.
    pub fn jump_clock(&self, id: MachineId, by_ms: u64) {
        self.on(id, &format!("clock jumps {by_ms} ms"), |machine| {
            machine.clock.jump_mono_ms(by_ms)
        });
    }

    /// What the machine's monotonic clock shows.
    pub fn clock_now(&self, id: MachineId) -> Now {
        self.kernel.borrow().machines[id.0].clock.now()
    }

    /// What the machine's wall clock shows.
    pub fn clock_wall(&self, id: MachineId) -> UnixMs {
        self.kernel.borrow().machines[id.0].clock.wall()
    }

    /// Each job on a lane waits this long before it runs, and again before it is acknowledged.
    /// Default 0 to 1.
    pub fn set_disk_latency(&self, id: MachineId, ms_min: u64, ms_max: u64) {
        self.on(id, &format!("disk latency {ms_min} to {ms_max} ms"), |machine| {
            machine.disk.latency_ms_min.store(ms_min, Relaxed);
            machine.disk.latency_ms_max.store(ms_max, Relaxed);
        });
    }

    /// While full, the disk refuses new files and every write with ENOSPC; syncs work.
    pub fn set_disk_full(&self, id: MachineId, is_full: bool) {
        self.on(id, &format!("disk full: {is_full}"), |machine| {
            machine.disk.is_full.store(is_full, Relaxed);
        });
    }

    /// While set, every sync fails with EIO and makes nothing durable.
    pub fn set_syncs_fail(&self, id: MachineId, fail: bool) {
        self.on(id, &format!("syncs fail: {fail}"), |machine| {
            machine.disk.syncs_fail.store(fail, Relaxed);
        });
    }

    /// Flips the bits of `mask` in one byte of a file, durably. Panics if there is no such byte.
    pub fn rot_byte(&self, id: MachineId, path: &Path, offset: u64, mask: u8) {
        let text = format!("byte {offset} of {} rots", path.display());
        self.on(id, &text, |machine| {
            outside(machine)
                .rot(path, offset, mask)
                .expect("the scenario names a byte that exists");
        });
    }

    /// Puts an empty disk in place of the machine's. Panics while it runs.
    pub fn wipe_disk(&self, id: MachineId) {
        self.on(id, "wipe disk", |machine| {
            assert!(machine.process.is_none(), "a disk in use cannot be replaced");
            machine.fs = machine.disk.empty();
        });
    }

    /// Exchanges the disks of two machines: nodes come back at other addresses. Panics if one runs.
    pub fn swap_disks(&self, one: MachineId, other: MachineId) {
        let other_fs = self.kernel.borrow().machines[other.0].fs.clone();
        let mut one_fs = other_fs.clone();
        self.on(one, "gets another disk", |machine| {
            assert!(machine.process.is_none(), "a disk in use cannot be replaced");
            one_fs = std::mem::replace(&mut machine.fs, other_fs);
        });
        self.on(other, "gets another disk", |machine| {
            assert!(machine.process.is_none(), "a disk in use cannot be replaced");
            machine.fs = one_fs;
        });
    }

    /// The machine's disk for a look from outside: no faults, no events, lanes run jobs at once.
    pub fn disk(&self, id: MachineId) -> Arc<dyn Disk> {
        Arc::new(outside(&self.kernel.borrow().machines[id.0]))
    }

    /// Does something to a machine, with an event that says so.
    fn on(&self, id: MachineId, text: &str, act: impl FnOnce(&mut Machine)) {
        context::record_text(Some(id.0), Kind::World, text);
        act(&mut self.kernel.borrow_mut().machines[id.0]);
    }

    fn each_link(&self, from: &[MachineId], to: &[MachineId], act: impl Fn(&mut Link)) {
        let mut kernel = self.kernel.borrow_mut();
        for from in from {
            for to in to {
                if let Some(link) = kernel.links.link_mut(from.0, to.0) {
                    act(link);
                }
            }
        }
    }

    fn links_event(&self, text: &str, from: &[MachineId], to: &[MachineId]) {
        let names =
            |ids: &[MachineId]| ids.iter().map(|id| self.name(*id)).collect::<Vec<_>>().join(" ");
        let text = format!("{} -> {}: {text}", names(from), names(to));
        context::record_text(None, Kind::World, &text);
    }
}

/// The machine's disk as somebody sees it who takes it out of the machine.
fn outside(machine: &Machine) -> MachineDisk {
    MachineDisk { fs: machine.fs.clone(), state: machine.disk.clone(), boot: None }
}
