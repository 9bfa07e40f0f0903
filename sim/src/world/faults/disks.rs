//! What goes wrong with the disk of a machine, and how to look at it from outside.
//!
//! Read next: `../disk/mod.rs` for where the faults act, `../disk/image.rs` for what is durable.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use quorate_core::ports::Disk;

use super::super::disk::{MachineDisk, Strike, SyncedDisk};
use super::super::machine::Machine;
use super::super::{MachineId, World};

impl World {
    /// The power fails in the `k`-th change of the machine's disk from here on (1 is the next).
    ///
    /// That change may still take effect. A crash or a restart before it lifts the plan.
    pub fn cut_power_at_disk_operation(&self, id: MachineId, k: u64) {
        self.on(id, &format!("power will fail in disk operation {k} from here"), |machine| {
            machine.disk.strike_at(k, Strike::PowerCut);
        });
    }

    /// The process dies in the `k`-th change of the machine's disk from here on, as with
    /// [`World::cut_power_at_disk_operation`]; the disk keeps every write.
    pub fn crash_at_disk_operation(&self, id: MachineId, k: u64) {
        self.on(id, &format!("the process will die in disk operation {k} from here"), |machine| {
            machine.disk.strike_at(k, Strike::Crash);
        });
    }

    /// How many changes the machine's disk has seen, in all boots.
    pub fn disk_operations_count(&self, id: MachineId) -> u64 {
        self.kernel.borrow().machines[id.0].disk.operations_count.load(Relaxed)
    }

    /// Each job on a lane waits this long before it runs, and again before it is acknowledged.
    /// Default 0 to 1.
    pub fn set_disk_latency(&self, id: MachineId, ms_min: u64, ms_max: u64) {
        self.on(id, &format!("disk latency {ms_min} to {ms_max} ms"), |machine| {
            machine.disk.change_faults(|faults| faults.latency_ms = (ms_min, ms_max));
        });
    }

    /// This share of the waits of [`World::set_disk_latency`] takes up to so much longer, at least
    /// a tenth of it. Default 0.
    pub fn set_disk_stalls(&self, id: MachineId, share: f64, ms_max: u64) {
        self.on(id, &format!("disk stalls: {share}, up to {ms_max} ms"), |machine| {
            machine.disk.change_faults(|faults| faults.stalls = (share, ms_max));
        });
    }

    /// All files together hold at most so many bytes: what would grow one beyond is refused with
    /// ENOSPC, and what overwrites is not. `None`, the default: as many as they like.
    pub fn set_disk_capacity(&self, id: MachineId, bytes: Option<u64>) {
        self.on(id, &format!("disk capacity {bytes:?} bytes"), |machine| {
            machine.disk.change_faults(|faults| faults.capacity_bytes = bytes);
        });
    }

    /// Bytes in all files of the machine's disk, durable or not.
    pub fn disk_used_bytes(&self, id: MachineId) -> u64 {
        self.kernel.borrow().machines[id.0].medium.used_bytes()
    }

    /// While full, the disk refuses new files and every write with ENOSPC; syncs work.
    pub fn set_disk_full(&self, id: MachineId, is_full: bool) {
        self.on(id, &format!("disk full: {is_full}"), |machine| {
            machine.disk.change_faults(|faults| faults.is_full = is_full);
        });
    }

    /// While set, every sync fails with EIO and makes nothing durable. The file that was to be
    /// synced holds what it held at its last good sync: the next sync, of a new handle, says `Ok`
    /// and makes that durable.
    pub fn set_syncs_fail(&self, id: MachineId, fail: bool) {
        self.on(id, &format!("syncs fail: {fail}"), |machine| {
            machine.disk.change_faults(|faults| faults.syncs_fail = fail);
        });
    }

    /// The `k`-th sync of the machine's disk from here on (1 is the next) fails as with
    /// [`World::set_syncs_fail`]; those before and after it do not.
    pub fn fail_sync_at(&self, id: MachineId, k: u64) {
        self.on(id, &format!("sync {k} from here will fail"), |machine| {
            let number = machine.disk.syncs_count.load(Relaxed).saturating_add(k.max(1));
            machine.disk.change_faults(|faults| faults.failing_sync = Some(number));
        });
    }

    /// How many syncs the machine's disk was asked for, in all boots.
    pub fn syncs_count(&self, id: MachineId) -> u64 {
        self.kernel.borrow().machines[id.0].disk.syncs_count.load(Relaxed)
    }

    /// While set, every sync says `Ok` and makes nothing durable: what the disk said it had is lost
    /// or torn by the next power cut. Only after many writes to one file it keeps them by itself.
    /// Once it is set no longer the disk empties its cache, and everything is durable.
    pub fn set_syncs_lie(&self, id: MachineId, lie: bool) {
        self.on(id, &format!("syncs lie: {lie}"), |machine| {
            machine.disk.change_faults(|faults| faults.syncs_lie = lie);
            if !lie {
                machine.medium.drain().expect("no fault meets a disk that empties its cache");
            }
        });
    }

    /// Whether the disk fails its machine: it is full or has a limit, or its syncs fail or lie.
    pub fn is_disk_sick(&self, id: MachineId) -> bool {
        self.kernel.borrow().machines[id.0].disk.is_sick()
    }

    /// Whether the disk has lost power while its syncs lied: it may have forgotten what its machine
    /// counts on. A wiped disk has not: nobody counts on it.
    pub fn has_forgotten(&self, id: MachineId) -> bool {
        self.kernel.borrow().machines[id.0].medium.has_forgotten()
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
            machine.medium = machine.disk.empty();
        });
    }

    /// Exchanges the disks of two machines: nodes come back at other addresses. Panics if one runs.
    pub fn swap_disks(&self, one: MachineId, other: MachineId) {
        let other_medium = self.kernel.borrow().machines[other.0].medium.clone();
        let mut one_medium = other_medium.clone();
        self.on(one, "gets another disk", |machine| {
            assert!(machine.process.is_none(), "a disk in use cannot be replaced");
            one_medium = std::mem::replace(&mut machine.medium, other_medium);
        });
        self.on(other, "gets another disk", |machine| {
            assert!(machine.process.is_none(), "a disk in use cannot be replaced");
            machine.medium = one_medium;
        });
    }

    /// What a power cut would leave of the machine's disk for certain, read-only: each file as of
    /// its last honest sync. What is synced later is seen by the next call of `open` or `read`.
    pub fn synced_disk(&self, id: MachineId) -> Arc<dyn Disk> {
        Arc::new(self.synced(id))
    }

    /// The files that a power cut would leave, in order.
    pub fn synced_files(&self, id: MachineId) -> Vec<PathBuf> {
        self.synced(id).files()
    }

    /// These bytes of a file, by offset and size, as of its last honest sync; `None` if not all of
    /// them are there.
    pub fn synced_bytes(&self, id: MachineId, file: &Path, at: (u64, u32)) -> Option<Vec<u8>> {
        self.synced(id).bytes(file, at)
    }

    fn synced(&self, id: MachineId) -> SyncedDisk {
        SyncedDisk(self.kernel.borrow().machines[id.0].medium.clone())
    }

    /// The machine's disk for a look from outside: no faults, no events, lanes run jobs at once.
    pub fn disk(&self, id: MachineId) -> Arc<dyn Disk> {
        Arc::new(outside(&self.kernel.borrow().machines[id.0]))
    }
}

/// The machine's disk as somebody sees it who takes it out of the machine.
fn outside(machine: &Machine) -> MachineDisk {
    MachineDisk { medium: machine.medium.clone(), state: machine.disk.clone(), boot: None }
}
