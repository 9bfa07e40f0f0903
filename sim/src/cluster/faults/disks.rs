//! What goes wrong with the disks of nodes.
//!
//! Read next: `atlas.rs` for how many of them may be spoiled.

use std::path::PathBuf;

use super::super::Cluster;
use super::atlas::Spoiled;

/// One rotten byte.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rot {
    /// Relative to the data directory.
    pub path: PathBuf,
    /// From 0.
    pub offset: u64,
    /// The bits that were flipped.
    pub mask: u8,
}

impl Cluster {
    /// From here on also the last good copy may rot, be wiped or lied about: the scenario is about
    /// the loss.
    pub fn even_the_last_good_copy(&mut self) {
        self.atlas.spare_nothing();
    }

    /// Every sync of the node fails and loses what it was to save, or they work again. The node
    /// must end by itself.
    pub fn fail_syncs(&mut self, name: &str, fail: bool) {
        let at = self.may_end(name);
        self.world.set_syncs_fail(self.nodes[at].machine, fail);
    }

    /// The `k`-th sync of the node from here on fails and loses what it was to save.
    pub fn fail_sync_at(&mut self, name: &str, k: u64) {
        let at = self.may_end(name);
        self.world.fail_sync_at(self.nodes[at].machine, k);
    }

    /// The disk says that it is full, or it has room again.
    pub fn fill_disk(&mut self, name: &str, is_full: bool) {
        let at = self.may_end(name);
        self.world.set_disk_full(self.nodes[at].machine, is_full);
    }

    /// The disk has room for so many bytes more than its files take at this moment; `None`: for as
    /// many as they like.
    pub fn limit_disk(&mut self, name: &str, more_bytes: Option<u64>) {
        let at = self.may_end(name);
        let machine = self.nodes[at].machine;
        let used_bytes = self.world.disk_used_bytes(machine);
        self.world.set_disk_capacity(machine, more_bytes.map(|more_bytes| used_bytes + more_bytes));
    }

    /// The disk takes so long for each job, twice.
    pub fn slow_disk(&mut self, name: &str, ms_min: u64, ms_max: u64) {
        self.world.set_disk_latency(self.machine(name), ms_min, ms_max);
    }

    /// This share of the disk's waits takes up to so long.
    pub fn stall_disk(&mut self, name: &str, share: f64, ms_max: u64) {
        self.world.set_disk_stalls(self.machine(name), share, ms_max);
    }

    /// Syncs of the node say `Ok` and make nothing durable, or they are honest again, and what they
    /// had said becomes true. With a power cut in between, consensus promises nothing: the node has
    /// forgotten what it acknowledged.
    ///
    /// Panics if this disk is one too many: see [`Cluster::even_the_last_good_copy`].
    pub fn lie_about_syncs(&mut self, name: &str, lie: bool) {
        let at = self.may_end(name);
        if lie {
            self.spoil(at, Spoiled::Lying);
        }
        self.world.set_syncs_lie(self.nodes[at].machine, lie);
        if !lie {
            self.note_honest(at);
        }
    }

    /// One byte rots in the durable part of the node's disk, where the run chooses; says which one.
    ///
    /// Panics if this disk is one too many: see [`Cluster::even_the_last_good_copy`].
    pub fn rot(&mut self, name: &str) -> Rot {
        self.rot_if_written(name)
            .unwrap_or_else(|| self.fail(&format!("the disk of {name} has nothing that could rot")))
    }

    /// The same; `None` if nothing is written that could rot.
    pub(crate) fn rot_if_written(&mut self, name: &str) -> Option<Rot> {
        let at = self.place(name);
        let (machine, instance) = (self.nodes[at].machine, at as u64 + 1);
        let disk = self.world.synced_disk(machine);
        let mut written = Vec::new();
        for path in self.world.synced_files(machine) {
            let bytes = disk.read(&path).ok().flatten().unwrap_or_default();
            // Behind the last byte that is not zero is room that nobody has used.
            let used = bytes.iter().rposition(|byte| *byte != 0);
            written.extend(used.map(|last| (path, last as u64)));
        }
        let last_file = written.len().checked_sub(1)?;
        self.may_end(name);
        self.spoil(at, Spoiled::Rotten);
        let file = self.choose("fault.rot.file", instance).between(0, last_file as u64);
        let (path, last) = written.swap_remove(file as usize);
        let offset = self.choose("fault.rot.offset", instance).between(0, last);
        let mask = self.choose("fault.rot.mask", instance).between(1, 255) as u8;
        self.world.rot_byte(machine, &path, offset, mask);
        Some(Rot { path, offset, mask })
    }

    /// An empty disk takes the place of the node's. Panics while the node runs, or if this disk is
    /// one too many: see [`Cluster::even_the_last_good_copy`].
    pub fn wipe(&mut self, name: &str) {
        let at = self.may_end(name);
        self.spoil(at, Spoiled::Wiped);
        self.world.wipe_disk(self.nodes[at].machine);
    }

    /// The node has a reason to end by itself from here on.
    fn may_end(&mut self, name: &str) -> usize {
        let at = self.place(name);
        self.nodes[at].set_may_end(true);
        at
    }

    fn spoil(&mut self, at: usize, how: Spoiled) {
        if let Err(refused) = self.atlas.spoil(at, self.nodes.len(), how) {
            panic!("{}: {refused}", self.nodes[at].name);
        }
    }

    /// The disk lies no longer; what it lost before stays lost.
    pub(super) fn note_honest(&mut self, at: usize) {
        let has_forgotten = self.world.has_forgotten(self.nodes[at].machine);
        self.atlas.note_honest(at, has_forgotten);
    }
}
