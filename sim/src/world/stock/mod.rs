//! A second world: the same ports on the simulator of the turmoil project as it stands, to check
//! our kernel against another that we have not written.
//!
//! Its network, its runtimes and its steps of one millisecond are its own; disks, lanes and entropy
//! are those of our machines, without faults. What it cannot do is left to the first world:
//! - A segment that a cut link has swallowed is never sent again, and no error tells it: a stream
//!   that lived through a partition is dead. Its users must drop it after a deadline of their own.
//! - A connection is made when it is accepted, not before; here a task accepts for each listener.
//! - A dial over a cut link is refused at once instead of hanging.
//! - A message to oneself takes a step; latencies are whole milliseconds.
//! - Only a process can die: power, frozen machines, clocks of their own, duplicated or damaged
//!   packets are not there. All machines read one clock.
//!
//! Invariants
//! - Code of a machine runs only inside a step of this world, with its machine current.
//! - A panic on a machine fails the run at the end of the step.
//! - Two runs need not be equal: outcomes are compared, never hashes.
//!
//! Read next: [`StockWorld`], `net.rs`, then `cluster/second/mod.rs` for what runs here.

mod clock;
mod net;
mod panics;
#[cfg(test)]
mod tests;

use std::cell::{Cell, RefCell};
use std::fmt;
use std::future::Future;
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::LocalBoxFuture;
use quorate_core::ports::{Clock, Env, enter_clock};
use tokio::sync::mpsc;

use super::disk::{DiskState, MachineDisk};
use super::{MachineId, context};
use crate::choices::{BootEntropy, Choices, number};
use clock::StockClock;
use net::StockNet;

/// One step. Shorter ones make it slower, longer ones no other world.
const STEP: Duration = Duration::from_millis(1);
/// Longer than any run.
const DURATION: Duration = Duration::from_secs(1 << 30);
/// Segments and datagrams that wait at a socket. Its default of 64 loses datagrams in a burst.
const QUEUE_COUNT: usize = 1_024;

type Task = LocalBoxFuture<'static, ()>;
type Boot = Rc<dyn Fn(Env) -> Task>;

/// What the present boot of a machine is reached by.
type Process = Rc<RefCell<Option<(mpsc::UnboundedSender<Task>, Env)>>>;

struct Machine {
    name: String,
    ip: IpAddr,
    process: Process,
    disk: Arc<DiskState>,
}

/// Machines in simulated time, without faults of disks and clocks. One per thread at a time.
pub struct StockWorld {
    sim: RefCell<turmoil::Sim<'static>>,
    machines: RefCell<Vec<Machine>>,
    choices: Choices,
    clock: Arc<dyn Clock>,
}

impl StockWorld {
    /// An empty world. Latencies follow the seed.
    ///
    /// Panics if this thread has a world of the first kind.
    pub fn new(seed: u64) -> StockWorld {
        assert!(!context::is_up(), "another world lives on this thread; use run_isolated");
        panics::watch();
        let sim = turmoil::Builder::new()
            .rng_seed(seed)
            .epoch(std::time::UNIX_EPOCH + clock::WALL_START)
            .tick_duration(STEP)
            .simulation_duration(DURATION)
            .min_message_latency(STEP)
            .max_message_latency(2 * STEP)
            .tcp_capacity(QUEUE_COUNT)
            .udp_capacity(QUEUE_COUNT)
            .build();
        clock::set_outside(Duration::ZERO);
        let clock: Arc<dyn Clock> = Arc::new(StockClock);
        enter_clock(&clock);
        let (choices, machines) = (Choices::of(seed), RefCell::default());
        StockWorld { sim: RefCell::new(sim), machines, choices, clock }
    }

    /// Names the function that says whether a panic is expected here and caught by whoever asked
    /// for it. All others fail the run.
    pub fn exempt_panics(&self, is_guarded: fn() -> bool) {
        panics::exempt(is_guarded);
    }

    /// Declares a machine and starts it. At each start it runs `boot` with a fresh [`Env`].
    ///
    /// Panics if the address is taken.
    pub fn machine(
        &self,
        name: &str,
        ip: IpAddr,
        boot: impl Fn(Env) -> Task + 'static,
    ) -> MachineId {
        let at = self.machines.borrow().len();
        let disk = Arc::new(DiskState::new(at, &self.choices));
        let process = Process::default();
        let (name, software) = (name.to_owned(), self.software(at, ip, &disk, Rc::new(boot)));
        let machine = Machine { name, ip, process: process.clone(), disk };
        self.machines.borrow_mut().push(machine);
        self.sim.borrow_mut().host(ip, move || software(process.clone()));
        MachineId(at)
    }

    /// What the library runs at each start of a machine: its tasks, until it is crashed.
    fn software(
        &self,
        at: usize,
        ip: IpAddr,
        disk: &Arc<DiskState>,
        boot: Boot,
    ) -> impl Fn(Process) -> LocalBoxFuture<'static, turmoil::Result> + use<> {
        let (medium, state, boots_count) = (disk.empty(), disk.clone(), Cell::new(0));
        let (choices, clock) = (self.choices.clone(), self.clock.clone());
        move |process| {
            boots_count.set(boots_count.get() + 1);
            let boot_number = boots_count.get();
            state.power_on(boot_number);
            let (medium, state) = (medium.clone(), state.clone());
            let env = Env {
                clock: clock.clone(),
                net: Arc::new(StockNet { ip }),
                disk: Arc::new(MachineDisk { medium, state, boot: Some(boot_number) }),
                entropy: Arc::new(BootEntropy::new(choices.clone(), number(at), boot_number)),
            };
            let (tasks, mut ordered) = mpsc::unbounded_channel();
            process.replace(Some((tasks, env.clone())));
            let first = boot(env);
            Box::pin(async move {
                tokio::task::spawn_local(first);
                while let Some(task) = ordered.recv().await {
                    tokio::task::spawn_local(task);
                }
                Ok(())
            })
        }
    }

    /// The process dies; its peers see their streams end. Files keep what was written.
    pub fn crash(&self, id: MachineId) {
        let machines = self.machines.borrow();
        let Machine { ip, process, disk, .. } = &machines[id.0];
        if process.take().is_some() {
            // Destructors run; they find no disk.
            disk.end_boot();
            let _silenced = panics::silence();
            self.sim.borrow_mut().crash(*ip);
        }
    }

    /// Crashes the process if it runs, and starts it.
    pub fn restart(&self, id: MachineId) {
        self.crash(id);
        let ip = self.machines.borrow()[id.0].ip;
        self.sim.borrow_mut().bounce(ip);
    }

    /// Whether its process runs.
    pub fn is_running(&self, id: MachineId) -> bool {
        self.machines.borrow()[id.0].process.borrow().is_some()
    }

    /// The name a machine was declared with.
    pub fn name(&self, id: MachineId) -> String {
        self.machines.borrow()[id.0].name.clone()
    }

    /// Runs a task on a machine, from the next step on. It dies with the process.
    ///
    /// Panics if no process runs there.
    pub fn spawn<F: Future<Output = ()> + 'static>(
        &self,
        id: MachineId,
        task: impl FnOnce(Env) -> F,
    ) {
        let machines = self.machines.borrow();
        let process = machines[id.0].process.borrow();
        let (tasks, env) = process.as_ref().expect("a task needs a process");
        tasks.send(Box::pin(task(env.clone()))).expect("a process takes tasks until it is crashed");
    }

    /// Cuts the links between these two in both directions. What is under way is lost.
    pub fn cut(&self, one: MachineId, other: MachineId) {
        let (one, other) = self.ips(one, other);
        self.sim.borrow().partition(one, other);
    }

    /// Sets the links between these two right. What was lost stays lost.
    pub fn mend(&self, one: MachineId, other: MachineId) {
        let (one, other) = self.ips(one, other);
        self.sim.borrow().repair(one, other);
    }

    fn ips(&self, one: MachineId, other: MachineId) -> (IpAddr, IpAddr) {
        let machines = self.machines.borrow();
        (machines[one.0].ip, machines[other.0].ip)
    }

    /// Simulated milliseconds since the world began.
    pub fn now_ms(&self) -> u64 {
        let elapsed = self.sim.borrow().elapsed();
        u64::try_from(elapsed.as_millis()).expect("a run is shorter than 500 million years")
    }

    /// Lets this much simulated time pass.
    pub fn run_for(&self, ms: u64) {
        self.run_until_true(ms, |_| false);
    }

    /// Runs until `is_true`, asked after every step, says so; false if `limit_ms` passed first.
    ///
    /// Panics if a machine has panicked.
    pub fn run_until_true(
        &self,
        limit_ms: u64,
        mut is_true: impl FnMut(&StockWorld) -> bool,
    ) -> bool {
        let end_ms = self.now_ms() + limit_ms;
        loop {
            if is_true(self) {
                return true;
            }
            if self.now_ms() >= end_ms {
                return false;
            }
            self.step();
        }
    }

    fn step(&self) {
        let stepped = {
            let _watched = panics::watched();
            let _inside = clock::inside();
            self.sim.borrow_mut().step()
        };
        clock::set_outside(self.sim.borrow().elapsed());
        let failed = panics::take().or(stepped.err().map(|error| error.to_string()));
        if let Some(text) = failed {
            panic!("seed {:#x}, {} ms: {text}", self.choices.seed(), self.now_ms());
        }
    }
}

impl fmt::Debug for StockWorld {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "stock world at {} ms", self.now_ms())
    }
}
