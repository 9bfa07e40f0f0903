//! What somebody felt of a fault: what a link did to packets, and a machine to its process.
//!
//! A fault that nobody meets changes nothing: a link on which nothing is sent may be as bad as it
//! likes. Counters tell the one from the other; nothing in the world depends on them.
//!
//! Read next: `link.rs`, `clock.rs` and `lane.rs`, which count; `plan/end.rs`, which asks.

use std::cell::Cell;

use super::{MachineId, World};

/// What became of the packets of one direction, in all its time. A packet may count in several.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LinkFelt {
    /// Did not pass: the link was cut, refused datagrams, or lost them. A segment of a stream
    /// counts when it is held, and not again at each try.
    pub lost_count: u64,
    /// Were under way for longer than the link takes without faults.
    pub late_count: u64,
    /// Were overtaken.
    pub overtaken_count: u64,
    /// Arrived with a wrong byte.
    pub corrupted_count: u64,
}

/// What a machine felt, in all its time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MachineFelt {
    /// Times that its process read the wall clock.
    pub wall_reads_count: u64,
    /// Times that it read the monotonic clock.
    pub clock_reads_count: u64,
    /// Polls after which it had to rest, because it is slow.
    pub rests_count: u64,
    /// Jobs of its disk that stalled.
    pub stalls_count: u64,
    /// Changes of its disk.
    pub operations_count: u64,
}

/// Counts what one direction does.
#[derive(Debug, Default)]
pub(super) struct LinkCounts(Cell<LinkFelt>);

impl LinkCounts {
    pub(super) fn note(&self, note: impl FnOnce(&mut LinkFelt)) {
        let mut felt = self.0.get();
        note(&mut felt);
        self.0.set(felt);
    }

    pub(super) fn get(&self) -> LinkFelt {
        self.0.get()
    }
}

impl World {
    /// What became of the packets from one machine to the other so far.
    pub fn link_felt(&self, from: MachineId, to: MachineId) -> LinkFelt {
        let mut kernel = self.kernel.borrow_mut();
        kernel.links.link_mut(from.0, to.0).map(|link| link.counts.get()).unwrap_or_default()
    }

    /// What the machine has felt so far.
    pub fn machine_felt(&self, id: MachineId) -> MachineFelt {
        let kernel = self.kernel.borrow();
        let machine = &kernel.machines[id.0];
        let (clock_reads_count, wall_reads_count) = machine.clock.reads_counts();
        let (operations_count, stalls_count) = machine.disk.felt_counts();
        MachineFelt {
            wall_reads_count,
            clock_reads_count,
            rests_count: machine.rests_count,
            stalls_count,
            operations_count,
        }
    }

    /// Whether the machine has something to do: a process that was woken, or packets that wait at
    /// its door. While it stands still, that is what it misses.
    pub fn is_awaited(&self, id: MachineId) -> bool {
        self.kernel.borrow().machines[id.0].is_awaited()
    }
}
