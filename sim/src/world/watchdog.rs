//! The watchdog: a real thread that speaks up when one poll of a machine never returns.
//!
//! A lock taken twice or an endless loop would hang the whole world without a word, because
//! everything runs on one thread. This is the only place here that reads a real clock.
//!
//! Read next: `kernel.rs`, which calls [`Watch::begin`] and [`Watch::end`].

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// What the watchdog can see of a world.
#[derive(Debug, Default)]
pub(super) struct Watch {
    /// Number of the poll that runs; 0 between polls.
    poll: AtomicU64,
    polls_count: AtomicU64,
    machine: AtomicU64,
    now_us: AtomicU64,
    is_over: AtomicBool,
}

impl Watch {
    pub(super) fn begin(&self, machine: usize, now_us: u64) {
        self.machine.store(machine as u64, Relaxed);
        self.now_us.store(now_us, Relaxed);
        self.poll.store(self.polls_count.fetch_add(1, Relaxed) + 1, Relaxed);
    }

    pub(super) fn end(&self) {
        self.poll.store(0, Relaxed);
    }
}

/// The thread that watches one world; it ends with it.
#[derive(Debug)]
pub(super) struct Watchdog {
    watch: Arc<Watch>,
    thread: Option<JoinHandle<()>>,
}

impl Watchdog {
    /// Calls `bark` once with (machine, simulated ms) when a poll lasts longer than `limit`.
    pub(super) fn new(
        watch: Arc<Watch>,
        limit: Duration,
        bark: impl FnOnce(u64, u64) + Send + 'static,
    ) -> Watchdog {
        let watched = watch.clone();
        let look = move || {
            let mut seen = (0, Instant::now());
            while !watched.is_over.load(Relaxed) {
                std::thread::park_timeout(limit / 8);
                let poll = watched.poll.load(Relaxed);
                if poll == 0 || poll != seen.0 {
                    seen = (poll, Instant::now());
                } else if seen.1.elapsed() > limit {
                    return bark(
                        watched.machine.load(Relaxed),
                        watched.now_us.load(Relaxed) / 1_000,
                    );
                }
            }
        };
        let thread = std::thread::Builder::new().name("watchdog".to_owned()).spawn(look);
        Watchdog { watch, thread: Some(thread.expect("the system gives a thread")) }
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        self.watch.is_over.store(true, Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            // A watchdog that panicked has said so itself.
            let _ = thread.join();
        }
    }
}
