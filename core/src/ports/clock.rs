//! Time: monotonic for every decision, wall time for display, and for the dates of certificates.
//!
//! Production reads CLOCK_BOOTTIME, which also counts the time a machine was suspended; the
//! simulator gives each node an offset, a drift and jumps of its own.

use std::cell::RefCell;
use std::fmt::{self, Debug};
use std::sync::Arc;
use std::time::Duration;

/// A reading of the node's monotonic clock, in nanoseconds since an arbitrary start.
///
/// Comparable only with readings of the same node since the same boot of its machine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Now {
    /// Nanoseconds since the clock's start.
    pub ns: u64,
}

impl Now {
    /// The reading `ms` milliseconds after the clock's start.
    pub const fn from_ms(ms: u64) -> Now {
        Now { ns: ms.saturating_mul(1_000_000) }
    }

    /// Whole milliseconds since the clock's start, rounded down.
    pub const fn ms(self) -> u64 {
        self.ns / 1_000_000
    }

    /// The reading `ms` milliseconds later; the end of time if that overflows.
    #[must_use]
    pub const fn plus_ms(self, ms: u64) -> Now {
        Now { ns: self.ns.saturating_add(ms.saturating_mul(1_000_000)) }
    }

    /// Time since `earlier`, zero if that lies in the future.
    pub const fn since(self, earlier: Now) -> Duration {
        Duration::from_nanos(self.ns.saturating_sub(earlier.ns))
    }

    /// Whole milliseconds since `earlier`, rounded down; zero if that lies in the future.
    pub const fn ms_since(self, earlier: Now) -> u64 {
        self.ns.saturating_sub(earlier.ns) / 1_000_000
    }
}

/// Milliseconds since 1970-01-01 UTC. For people, and for the dates of certificates of nodes that
/// the roster does not know yet: no other decision reads it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct UnixMs(pub u64);

impl fmt::Display for UnixMs {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}", self.0)
    }
}

/// The node's clocks.
pub trait Clock: Debug + Send + Sync {
    /// Monotonic time that also advances while the machine is suspended.
    fn now(&self) -> Now;
    /// Wall time, for display and for certificates. It may jump in both directions.
    fn wall(&self) -> UnixMs;
}

thread_local! {
    static CURRENT: RefCell<Option<Arc<dyn Clock>>> = const { RefCell::new(None) };
}

/// Makes `clock` the one that [`node_now`] reads on this thread.
///
/// The daemon calls it once, through `node::start`; the simulator before it polls a node, because
/// there the nodes share a thread and each has its own clock.
pub fn enter_clock(clock: &Arc<dyn Clock>) {
    CURRENT.with_borrow_mut(|current| *current = Some(clock.clone()));
}

/// The monotonic time of the node that this thread currently runs.
///
/// For the consensus library, which asks for the time without saying for whom; everything else
/// reads its `Env`. Panics if no clock was entered: a node was made without `node::start`.
pub fn node_now() -> Now {
    CURRENT.with_borrow(|current| current.as_ref().expect("a node runs on this thread").now())
}

/// Sleeps until the node's clock shows `deadline` or later; returns at once if it already does.
///
/// Timers run on the machine's rate, the deadline on the node's clock: where the two drift apart,
/// the rest is slept again, so this never returns early.
pub async fn sleep_until(clock: &dyn Clock, deadline: Now) {
    loop {
        let left = deadline.since(clock.now());
        if left.is_zero() {
            return;
        }
        tokio::time::sleep(left).await;
    }
}
