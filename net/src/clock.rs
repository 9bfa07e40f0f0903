//! The machine's clocks: CLOCK_BOOTTIME for decisions, the system clock for display.
//!
//! CLOCK_BOOTTIME is taken because it also counts the time a machine was suspended: after a
//! suspension every lease must look as old as it is to the rest of the cluster.
//!
//! Read next: [`quorate_core::ports::Clock`] for what is promised.

use std::time::{SystemTime, UNIX_EPOCH};

use quorate_core::ports::{Clock, Now, UnixMs};

/// Reads the machine's clocks. All nodes of one machine see the same monotonic time.
#[derive(Clone, Copy, Debug)]
pub struct BootClock;

impl Clock for BootClock {
    fn now(&self) -> Now {
        let mut read = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: the pointer is to a live timespec of this frame, and the call only writes it.
        let status = unsafe { libc::clock_gettime(libc::CLOCK_BOOTTIME, &mut read) };
        assert_eq!(status, 0, "Linux has CLOCK_BOOTTIME since 2.6.39");
        let seconds = u64::try_from(read.tv_sec).expect("time since boot is not negative");
        let rest_ns = u64::try_from(read.tv_nsec).expect("the kernel gives 0..1e9 nanoseconds");
        Now { ns: seconds.saturating_mul(1_000_000_000).saturating_add(rest_ns) }
    }

    fn wall(&self) -> UnixMs {
        // A clock set before 1970 is shown as 1970: the value is for people, and no reason to stop.
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        UnixMs(u64::try_from(since_1970.as_millis()).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn monotonic_time_advances_at_the_rate_of_sleep_and_never_goes_back() {
        let before = BootClock.now();
        std::thread::sleep(Duration::from_millis(20));
        let after = BootClock.now();

        assert!(after.ms_since(before) >= 20, "slept 20 ms, saw {:?}", after.since(before));
        assert!(after.ms_since(before) < 10_000, "nanoseconds and milliseconds are mixed up");
        assert!(BootClock.now() >= after);
    }

    #[test]
    fn wall_time_is_milliseconds_since_1970() {
        let year_2020_ms = 1_577_836_800_000;
        let year_2200_ms = 7_258_118_400_000;
        assert!((year_2020_ms..year_2200_ms).contains(&BootClock.wall().0));
    }
}
