//! The clocks of a simulated machine: simulated time, with an offset, a rate and jumps of its own.
//!
//! Invariants
//! - The monotonic clock never runs backwards while the machine has power.
//! - Clocks stand still inside one poll: simulated time moves only between polls.
//! - Timers run on simulated time, not on these clocks: a machine whose clock is fast or was
//!   stopped wakes at another reading than it asked for (`ports::sleep_until` copes with it).
//!
//! Read next: [`MachineClock`], `faults/clocks.rs` for who changes it.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};

use quorate_core::ports::{Clock, Now, UnixMs};

use super::context;

/// 2026-01-01T00:00:00Z. The wall time of every machine when the world begins.
const WALL_START_MS: u64 = 1_767_225_600_000;
const NORMAL_RATE_PPM: u64 = 1_000_000;
const NS_PER_MS: u64 = 1_000_000;

/// The state behind a machine's two clocks. Atomics, because ports are `Sync`; only one thread.
#[derive(Debug)]
pub(super) struct MachineClock {
    /// Simulated time at which the two readings below were true.
    base_us: AtomicU64,
    mono_base_ns: AtomicU64,
    wall_base_ns: AtomicU64,
    drift_ppm: AtomicI64,
    /// 0 while the machine is stopped and its clocks do not show it, else 1.
    runs: AtomicU64,
    /// How often its machine has read each of the two.
    mono_reads_count: AtomicU64,
    wall_reads_count: AtomicU64,
}

impl MachineClock {
    /// `start_ms` is what the monotonic clock shows first; it differs between machines so that
    /// comparing readings of two nodes cannot work by accident.
    pub(super) fn new(start_ms: u64) -> MachineClock {
        MachineClock {
            base_us: AtomicU64::new(context::now_us()),
            mono_base_ns: AtomicU64::new(start_ms * NS_PER_MS),
            wall_base_ns: AtomicU64::new(WALL_START_MS * NS_PER_MS),
            drift_ppm: AtomicI64::new(0),
            runs: AtomicU64::new(1),
            mono_reads_count: AtomicU64::new(0),
            wall_reads_count: AtomicU64::new(0),
        }
    }

    fn elapsed_ns(&self) -> u64 {
        let real_ns = context::now_us().saturating_sub(self.base_us.load(Relaxed)) * 1_000;
        let rate_ppm = NORMAL_RATE_PPM.saturating_add_signed(self.drift_ppm.load(Relaxed));
        let ns = u128::from(real_ns) * u128::from(rate_ppm * self.runs.load(Relaxed))
            / u128::from(NORMAL_RATE_PPM);
        u64::try_from(ns).expect("a run is shorter than 500 years")
    }

    fn mono_ns(&self) -> u64 {
        self.mono_base_ns.load(Relaxed) + self.elapsed_ns()
    }

    fn wall_ns(&self) -> u64 {
        self.wall_base_ns.load(Relaxed) + self.elapsed_ns()
    }

    /// Keeps both readings and lets what follows start from here.
    fn rebase(&self) {
        let (mono_ns, wall_ns) = (self.mono_ns(), self.wall_ns());
        self.base_us.store(context::now_us(), Relaxed);
        self.mono_base_ns.store(mono_ns, Relaxed);
        self.wall_base_ns.store(wall_ns, Relaxed);
    }

    /// From here on both clocks gain `drift_ppm` microseconds per second.
    pub(super) fn set_drift_ppm(&self, drift_ppm: i64) {
        self.rebase();
        self.drift_ppm.store(drift_ppm, Relaxed);
    }

    pub(super) fn drift_ppm(&self) -> i64 {
        self.drift_ppm.load(Relaxed)
    }

    /// The wall clock shows the world's time, and this much more.
    pub(super) fn set_wall_offset_ms(&self, offset_ms: i64) {
        self.rebase();
        let right_ns = WALL_START_MS * NS_PER_MS + context::now_us() * 1_000;
        self.wall_base_ns.store(right_ns, Relaxed);
        self.jump_wall_ms(offset_ms);
    }

    pub(super) fn jump_wall_ms(&self, by_ms: i64) {
        self.rebase();
        let by_ns = by_ms.saturating_mul(NS_PER_MS as i64);
        self.wall_base_ns
            .store(self.wall_base_ns.load(Relaxed).saturating_add_signed(by_ns), Relaxed);
    }

    /// As after a suspension that only the clock shows.
    pub(super) fn jump_mono_ms(&self, by_ms: u64) {
        self.rebase();
        self.mono_base_ns.fetch_add(by_ms.saturating_mul(NS_PER_MS), Relaxed);
    }

    /// Both clocks stand still until [`MachineClock::resume`]: a pause that nobody can see.
    pub(super) fn pause(&self) {
        self.rebase();
        self.runs.store(0, Relaxed);
    }

    pub(super) fn resume(&self) {
        self.rebase();
        self.runs.store(1, Relaxed);
    }

    /// What both show, for a look that is not the machine's.
    pub(super) fn shows(&self) -> (Now, UnixMs) {
        (Now { ns: self.mono_ns() }, UnixMs(self.wall_ns() / NS_PER_MS))
    }

    /// How often the machine has read its monotonic clock, and its wall clock.
    pub(super) fn reads_counts(&self) -> (u64, u64) {
        (self.mono_reads_count.load(Relaxed), self.wall_reads_count.load(Relaxed))
    }

    /// The machine was without power: its monotonic clock starts anew.
    pub(super) fn power_on(&self, start_ms: u64) {
        self.rebase();
        self.mono_base_ns.store(start_ms * NS_PER_MS, Relaxed);
    }
}

impl Clock for MachineClock {
    fn now(&self) -> Now {
        self.mono_reads_count.fetch_add(1, Relaxed);
        self.shows().0
    }

    fn wall(&self) -> UnixMs {
        self.wall_reads_count.fetch_add(1, Relaxed);
        self.shows().1
    }
}
