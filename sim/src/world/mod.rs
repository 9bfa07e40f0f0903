//! The simulated world: machines, their network and disks, and time, from one seed.
//!
//! Event-driven: one paused runtime, one `LocalSet` per machine, all polled by one root future.
//! Time jumps to the next thing that is due, so what nobody waits for costs nothing.
//!
//! Invariants
//! - The same seed and the same calls give the same [`World::event_hash`].
//! - Code of a machine runs with its own clock, sockets and disk, and only while it is neither
//!   frozen nor crashed.
//! - A panic on a machine fails the run, with seed, time, machine and the last events.
//! - No file outside this folder names the libraries below.
//!
//! Read next: [`World`], `faults/mod.rs` for what can go wrong, `kernel.rs` for how it runs.
//! Source: the design of FoundationDB's simulator (Zhou et al. 2021, section 4).

mod clock;
mod context;
mod disk;
mod faults;
mod felt;
mod isolated;
mod kernel;
mod lane;
mod link;
mod look;
mod machine;
mod net;
mod notes;
mod recording;
pub mod stock;
mod stop;
mod tape;
mod trace;
mod watchdog;

#[cfg(test)]
mod tests;

pub use disk::Strike;
pub use felt::{LinkFelt, MachineFelt};
pub use isolated::{run_isolated, strike_everywhere};
pub use link::LinkSettings;
pub use machine::{Condition, Freeze};
pub use recording::{Fate, Mark, Message, Recording};

use std::cell::RefCell;
use std::fmt;
use std::future::{Future, poll_fn};
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::Poll;
use std::time::Duration;

use futures_util::future::LocalBoxFuture;
use quorate_core::ports::Env;
use tokio::runtime::Runtime;
use tokio::time::Instant;

use crate::choices::{Choices, Extent};
use kernel::Kernel;
use trace::Kind;
use watchdog::{Watch, Watchdog};

/// How long one poll may take in real time.
const POLL_LIMIT: Duration = Duration::from_secs(60);
const US_PER_MS: u64 = 1_000;

/// A machine of one world, by the order in which they were declared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MachineId(usize);

/// Machines that run real code in simulated time. One per thread at a time.
pub struct World {
    kernel: RefCell<Kernel>,
    runtime: Runtime,
    began: Instant,
    _notes: tracing::subscriber::DefaultGuard,
    _watchdog: Watchdog,
}

impl World {
    /// An empty world; the seed decides everything that is left to chance.
    ///
    /// Panics if this thread has a world already: see [`run_isolated`].
    pub fn new(seed: u64) -> World {
        World::of(Choices::of(seed))
    }

    /// The same with the choices of a run, which may be edited.
    pub fn of(choices: Choices) -> World {
        let (seed, is_trial) = (choices.seed(), choices.is_trial());
        isolated::watch_panics();
        context::open();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .expect("a runtime without I/O needs nothing of the system");
        let began = runtime.block_on(async { Instant::now() });
        let watch = Arc::<Watch>::default();
        let watchdog = Watchdog::new(watch.clone(), POLL_LIMIT, move |machine, now_ms| {
            eprintln!("seed {seed:#x}, {now_ms} ms, machine {machine}: a poll hangs; giving up");
            if !is_trial {
                std::process::abort();
            }
        });
        World {
            kernel: RefCell::new(Kernel::new(choices, watch)),
            runtime,
            began,
            _notes: tracing::subscriber::set_default(notes::Notes),
            _watchdog: watchdog,
        }
    }

    /// Declares a machine, without power. At each start it runs `boot` with a fresh [`Env`].
    ///
    /// The end of `boot`'s future does not end the process: its other tasks go on.
    /// Panics after the first start, or if the address is taken.
    pub fn machine(
        &self,
        name: &str,
        ip: IpAddr,
        boot: impl Fn(Env) -> LocalBoxFuture<'static, ()> + 'static,
    ) -> MachineId {
        MachineId(self.kernel.borrow_mut().add_machine(name, ip, Rc::new(boot)))
    }

    /// Every machine, in the order of their declaration.
    pub fn machines(&self) -> Vec<MachineId> {
        (0..self.kernel.borrow().machines.len()).map(MachineId).collect()
    }

    /// The name a machine was declared with.
    pub fn name(&self, id: MachineId) -> String {
        context::with_trace(|trace| trace.name(id.0).to_owned())
    }

    /// Gives power if there is none, and starts the process. Panics if it runs.
    pub fn start(&self, id: MachineId) {
        let _runtime = self.runtime.enter();
        self.kernel.borrow_mut().start(id.0);
    }

    /// Crashes the process if it runs, and starts it.
    pub fn restart(&self, id: MachineId) {
        self.crash(id);
        self.start(id);
    }

    /// Whether its process runs (frozen counts as running).
    pub fn is_running(&self, id: MachineId) -> bool {
        self.kernel.borrow().machines[id.0].process.is_some()
    }

    /// How many sockets its system has: listeners, streams in any state, datagram sockets.
    pub fn sockets_count(&self, id: MachineId) -> usize {
        let kernel = self.kernel.borrow();
        let ip = kernel.machines[id.0].ip;
        kernel.sockets().map_or(0, |_| turmoil_net::netstat(ip).entries.len())
    }

    /// How many files its processes hold open, those of earlier boots that are not closed included.
    pub fn handles_count(&self, id: MachineId) -> usize {
        self.kernel.borrow().machines[id.0].disk.handles_count.load(Relaxed)
    }

    /// Runs a task on a machine, as if its process had spawned it. It dies with the process.
    ///
    /// This is how a scenario asks a node something. Panics if no process runs there.
    pub fn spawn<F: Future<Output = ()> + 'static>(
        &self,
        id: MachineId,
        task: impl FnOnce(Env) -> F,
    ) {
        let kernel = self.kernel.borrow();
        let process = kernel.machines[id.0].process.as_ref().expect("a task needs a process");
        process.spawn(task(process.env.clone()));
    }

    /// Lets this much simulated time pass.
    pub fn run_for(&self, ms: u64) {
        self.run_until(self.now_ms() + ms);
    }

    /// Runs until the world's time is `at_ms`; does nothing if it is already.
    pub fn run_until(&self, at_ms: u64) {
        self.drive(at_ms, &mut |_| false);
    }

    /// Runs until `is_true`, asked after every instant, says so; false if `limit_ms` passed first.
    pub fn run_until_true(&self, limit_ms: u64, mut is_true: impl FnMut(&World) -> bool) -> bool {
        self.drive(self.now_ms() + limit_ms, &mut is_true)
    }

    /// Simulated milliseconds since the world began.
    pub fn now_ms(&self) -> u64 {
        context::now_us() / US_PER_MS
    }

    /// One number for everything that happened; equal exactly if two runs were equal.
    pub fn event_hash(&self) -> u64 {
        context::with_trace(|trace| trace.hash())
    }

    /// How many events the hash contains.
    pub fn events_count(&self) -> u64 {
        context::with_trace(|trace| trace.events_count())
    }

    /// The latest events, oldest first, one line each; at most 4096 are kept.
    pub fn last_events(&self, count: usize) -> Vec<String> {
        context::with_trace(|trace| trace.last(count))
    }

    /// From here on the whole run is kept, for [`World::recording`].
    pub fn keep_all(&self) {
        context::with_trace(|trace| trace.recording = Some(Recording::default()));
    }

    /// What was kept since [`World::keep_all`]; nothing if that was never called.
    pub fn recording(&self) -> Recording {
        context::with_trace(|trace| {
            let kept = trace.recording.clone().unwrap_or_default();
            Recording { names: trace.names().to_vec(), ..kept }
        })
    }

    /// How a machine fares at this moment.
    pub fn condition(&self, id: MachineId) -> Condition {
        self.kernel.borrow().machines[id.0].condition()
    }

    /// Simulated microseconds since the world began.
    pub fn now_us(&self) -> u64 {
        context::now_us()
    }

    /// Adds a line about a machine to the events.
    pub fn note(&self, id: MachineId, text: &str) {
        context::record_text(Some(id.0), Kind::Note, text);
    }

    /// Names the function that says whether a panic is expected here and caught by whoever asked
    /// for it. All others fail the run.
    pub fn exempt_panics(&self, is_guarded: fn() -> bool) {
        context::exempt_panics(is_guarded);
    }

    fn now_us_of_runtime(&self) -> u64 {
        let elapsed = Instant::now().duration_since(self.began);
        u64::try_from(elapsed.as_micros()).expect("a run is shorter than 500 000 years")
    }

    /// The root future: steps at every instant until the time or the observer says stop.
    fn drive(&self, end_ms: u64, is_true: &mut dyn FnMut(&World) -> bool) -> bool {
        let end_us = end_ms * US_PER_MS;
        self.runtime.block_on(async {
            let mut sleep = Box::pin(tokio::time::sleep_until(self.began));
            poll_fn(|task| {
                loop {
                    let now_us = self.now_us_of_runtime();
                    context::set_now_us(now_us);
                    let mut kernel = self.kernel.borrow_mut();
                    kernel.root.waker.register(task.waker());
                    kernel.step();
                    let next_us = kernel.next_due_us().unwrap_or(end_us).min(end_us);
                    drop(kernel);
                    if is_true(self) {
                        return Poll::Ready(true);
                    }
                    if now_us >= end_us {
                        return Poll::Ready(false);
                    }
                    let next = self.began + Duration::from_micros(next_us);
                    sleep.as_mut().reset(next);
                    if sleep.as_mut().poll(task).is_pending() {
                        return Poll::Pending;
                    }
                }
            })
            .await
        })
    }
}

impl fmt::Debug for World {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "world at {} ms", self.now_ms())
    }
}

impl Drop for World {
    fn drop(&mut self) {
        // Processes hold sockets, and sockets may be touched only while the network is there.
        let _runtime = self.runtime.enter();
        if let Ok(mut kernel) = self.kernel.try_borrow_mut() {
            kernel.choices.note_extent(Extent {
                machines_count: kernel.machines.len() as u64,
                simulated_ms: self.now_ms(),
                events_count: self.events_count(),
                event_hash: self.event_hash(),
            });
            for index in 0..kernel.machines.len() {
                kernel.end_process(index);
            }
        }
        context::close();
    }
}
