//! What all boots of one machine share about its disk: what it counts, and what is wrong with it.
//!
//! Invariants
//! - A plan to strike in the middle of an operation belongs to one boot, and ends with it.
//!
//! Read next: [`DiskFaults`], `mod.rs` for where they act.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard};

use super::medium::Medium;
use crate::choices::{Choices, Dice, number};

const NO_BOOT: u64 = u64::MAX;

/// How a machine comes to an end in the middle of something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strike {
    /// Its process dies (SIGKILL); the disk keeps every write.
    Crash,
    /// It loses power: what was not synced is lost or torn.
    PowerCut,
}

/// What is wrong with a disk, until somebody sets it right.
#[derive(Clone, Copy, Debug)]
pub(in super::super) struct DiskFaults {
    pub(in super::super) is_full: bool,
    pub(in super::super) capacity_bytes: Option<u64>,
    pub(in super::super) syncs_fail: bool,
    /// The number of the one sync that fails; the first of the machine is 1.
    pub(in super::super) failing_sync: Option<u64>,
    pub(in super::super) syncs_lie: bool,
    pub(in super::super) latency_ms: (u64, u64),
    /// Share of jobs that stall, and how long they do at most.
    pub(in super::super) stalls: (f64, u64),
}

impl DiskFaults {
    fn none(latency_ms: (u64, u64)) -> DiskFaults {
        DiskFaults {
            is_full: false,
            capacity_bytes: None,
            syncs_fail: false,
            failing_sync: None,
            syncs_lie: false,
            latency_ms,
            stalls: (0.0, 0),
        }
    }
}

/// What an order to make something durable comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SyncOutcome {
    Durable,
    /// It says that it is, and it is not.
    Lie,
    Failed,
}

/// A strike that waits for its operation.
#[derive(Clone, Copy, Debug)]
struct Plan {
    at_operation: u64,
    how: Strike,
}

/// Counters and faults of one machine's disk.
#[derive(Debug)]
pub(in super::super) struct DiskState {
    pub(in super::super) machine: usize,
    /// Handles of other boots are dead.
    pub(super) boot: AtomicU64,
    pub(in super::super) operations_count: AtomicU64,
    pub(in super::super) syncs_count: AtomicU64,
    pub(in super::super) stalls_count: AtomicU64,
    /// Files that processes of this machine hold open.
    pub(in super::super) handles_count: AtomicUsize,
    plan: Mutex<Option<Plan>>,
    /// What has struck this boot, whose process learns of nothing any more.
    struck: Mutex<Option<Strike>>,
    faults: Mutex<DiskFaults>,
    pub(in super::super) choices: Choices,
    seeds: Dice,
    /// Whether the operation that is struck takes effect.
    pub(super) takes_effect: Dice,
}

fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().expect("no code panics while it holds this")
}

impl DiskState {
    pub(in super::super) fn new(machine: usize, choices: &Choices) -> DiskState {
        DiskState {
            machine,
            boot: AtomicU64::new(0),
            operations_count: AtomicU64::new(0),
            syncs_count: AtomicU64::new(0),
            stalls_count: AtomicU64::new(0),
            handles_count: AtomicUsize::new(0),
            plan: Mutex::default(),
            struck: Mutex::default(),
            faults: Mutex::new(DiskFaults::none((0, 1))),
            choices: choices.clone(),
            seeds: choices.site("disk.seed", number(machine)),
            takes_effect: choices.site("disk.struck_takes_effect", number(machine)),
        }
    }

    /// A new, empty disk for the machine.
    pub(in super::super) fn empty(&self) -> Medium {
        Medium::new(self.seeds.word())
    }

    pub(in super::super) fn faults(&self) -> DiskFaults {
        *lock(&self.faults)
    }

    pub(in super::super) fn change_faults(&self, change: impl FnOnce(&mut DiskFaults)) {
        change(&mut lock(&self.faults));
    }

    /// How many changes it has seen, and how many jobs stalled.
    pub(in super::super) fn felt_counts(&self) -> (u64, u64) {
        (self.operations_count.load(Relaxed), self.stalls_count.load(Relaxed))
    }

    pub(in super::super) fn is_sick(&self) -> bool {
        let DiskFaults { is_full, capacity_bytes, syncs_fail, failing_sync, syncs_lie, .. } =
            self.faults();
        let syncs_count = self.syncs_count.load(Relaxed);
        let will_fail = failing_sync.is_some_and(|number| number > syncs_count);
        is_full || capacity_bytes.is_some() || syncs_fail || will_fail || syncs_lie
    }

    /// Nothing is wrong any more. Says whether the disk lied: then it still has to do what it said.
    pub(in super::super) fn calm(&self, latency_ms: (u64, u64)) -> bool {
        *lock(&self.plan) = None;
        let before = std::mem::replace(&mut *lock(&self.faults), DiskFaults::none(latency_ms));
        before.syncs_lie
    }

    /// The `k`-th operation from here on meets this strike; the next one is 1.
    pub(in super::super) fn strike_at(&self, k: u64, how: Strike) {
        let at_operation = self.operations_count.load(Relaxed).saturating_add(k.max(1));
        *lock(&self.plan) = Some(Plan { at_operation, how });
    }

    /// What strikes the operation with this number.
    pub(super) fn strike_in(&self, operation: u64) -> Option<Strike> {
        lock(&self.plan).filter(|plan| operation >= plan.at_operation).map(|plan| plan.how)
    }

    pub(super) fn note_struck(&self, how: Strike) {
        *lock(&self.struck) = Some(how);
    }

    pub(in super::super) fn struck(&self) -> Option<Strike> {
        *lock(&self.struck)
    }

    /// Counts a sync and says what comes of it.
    pub(super) fn next_sync(&self) -> SyncOutcome {
        let number = self.syncs_count.fetch_add(1, Relaxed) + 1;
        let DiskFaults { syncs_fail, failing_sync, syncs_lie, .. } = self.faults();
        match (syncs_fail || failing_sync == Some(number), syncs_lie) {
            (true, _) => SyncOutcome::Failed,
            (false, true) => SyncOutcome::Lie,
            (false, false) => SyncOutcome::Durable,
        }
    }

    /// The machine starts anew, with power, under this boot number.
    pub(in super::super) fn power_on(&self, boot: u64) {
        self.boot.store(boot, Relaxed);
        *lock(&self.struck) = None;
    }

    /// The machine's process has ended: nothing that still holds a handle may use it.
    pub(in super::super) fn end_boot(&self) {
        self.boot.store(NO_BOOT, Relaxed);
        *lock(&self.plan) = None;
    }
}
