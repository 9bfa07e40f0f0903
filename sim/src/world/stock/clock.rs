//! The one clock of the second world: simulated time, without offset and drift.
//!
//! Inside a step time passes on each machine by itself, so the machine is asked; outside of it all
//! stand at the same moment.

use std::cell::Cell;
use std::time::Duration;

use quorate_core::ports::{Clock, Now, UnixMs};

/// 2026-01-01T00:00:00Z, as in the first world.
pub(super) const WALL_START: Duration = Duration::from_millis(1_767_225_600_000);
/// What the monotonic clock shows when the world begins: not 0, which nobody may rely on.
const MONO_START: Duration = Duration::from_secs(5);

thread_local! {
    static OUTSIDE: Cell<Duration> = const { Cell::new(Duration::ZERO) };
    static IS_INSIDE: Cell<bool> = const { Cell::new(false) };
}

/// Says how late it is between two steps.
pub(super) fn set_outside(elapsed: Duration) {
    OUTSIDE.set(elapsed);
}

/// While it lives, a step is made.
pub(super) struct Inside(());

pub(super) fn inside() -> Inside {
    IS_INSIDE.set(true);
    Inside(())
}

impl Drop for Inside {
    fn drop(&mut self) {
        IS_INSIDE.set(false);
    }
}

fn elapsed() -> Duration {
    let told = if IS_INSIDE.get() { turmoil::sim_elapsed() } else { None };
    told.unwrap_or(OUTSIDE.get())
}

#[derive(Debug)]
pub(super) struct StockClock;

impl Clock for StockClock {
    fn now(&self) -> Now {
        let ns = (MONO_START + elapsed()).as_nanos();
        Now { ns: u64::try_from(ns).expect("a run is shorter than 500 years") }
    }

    fn wall(&self) -> UnixMs {
        let ms = (WALL_START + elapsed()).as_millis();
        UnixMs(u64::try_from(ms).expect("a run is shorter than 500 years"))
    }
}
