//! One simulated machine: power, a process, clocks, a disk, and its place on the network.
//!
//! Invariants
//! - A machine runs a process only while it has power.
//! - Each boot has its own `LocalSet`, waker and `Env`; nothing of a boot reaches the next.
//!
//! Read next: `kernel.rs`, which polls, crashes and starts machines.

use std::collections::VecDeque;
use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::task::{Wake, Waker};

use futures_util::future::LocalBoxFuture;
use futures_util::task::AtomicWaker;
use quorate_core::ports::{Clock, Env};
use tokio::task::LocalSet;
use turmoil_net::{HostId, Packet};

use super::clock::MachineClock;
use super::disk::{DiskState, MachineDisk, Medium, Strike};
use super::net::MachineNet;
use crate::choices::{BootEntropy, Choices, Dice, number};

/// What a machine runs at each start.
pub(super) type Boot = Rc<dyn Fn(Env) -> LocalBoxFuture<'static, ()>>;

/// How a machine stands still.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Freeze {
    /// The process is stopped (SIGSTOP); its system still acknowledges what arrives, and the
    /// clocks go on.
    Process,
    /// The whole machine is suspended; nothing arrives, and its clocks show the pause afterwards.
    Machine,
    /// As [`Freeze::Machine`], but hidden by the hypervisor: its clocks stood still as well.
    MachineUnseen,
}

/// How a machine fares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    /// It has no power.
    Dark,
    /// It has power and runs no process.
    Down,
    /// It stands still.
    Frozen,
    /// It runs.
    Running,
}

/// Wakes the root future, which polls the machines.
#[derive(Debug, Default)]
pub(super) struct RootWake {
    pub(super) waker: AtomicWaker,
    /// While the root polls it looks at all machines anyway.
    pub(super) is_polling: AtomicBool,
}

/// Says that one boot of one machine wants to be polled.
#[derive(Debug)]
pub(super) struct MachineWake {
    pub(super) is_ready: AtomicBool,
    root: Arc<RootWake>,
}

impl Wake for MachineWake {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.is_ready.store(true, Relaxed);
        if !self.root.is_polling.load(Relaxed) {
            self.root.waker.wake();
        }
    }
}

/// A process that runs: its tasks and how they are woken.
pub(super) struct Process {
    pub(super) tasks: Pin<Box<LocalSet>>,
    pub(super) wake: Arc<MachineWake>,
    pub(super) waker: Waker,
    pub(super) env: Env,
}

impl Process {
    pub(super) fn new(root: &Arc<RootWake>, boot: Boot, env: Env) -> Process {
        let wake = Arc::new(MachineWake { is_ready: AtomicBool::new(true), root: root.clone() });
        let tasks = Box::pin(LocalSet::new());
        let given = env.clone();
        tasks.spawn_local(async move { boot(given).await });
        Process { tasks, waker: Waker::from(wake.clone()), wake, env }
    }

    /// Adds a task, as if the process had spawned it.
    pub(super) fn spawn(&self, task: impl Future<Output = ()> + 'static) {
        self.tasks.spawn_local(task);
        self.wake.is_ready.store(true, Relaxed);
    }
}

/// What a machine has sent, and what strikes it in the middle of that.
#[derive(Debug)]
pub(super) struct Sends {
    /// Packets that carry something.
    pub(super) count: u64,
    plan: Option<(u64, Strike)>,
    /// Nothing leaves the machine any more; the kernel ends it.
    pub(super) struck: Option<Strike>,
    /// Whether the packet that is struck still leaves.
    takes_effect: Dice,
}

impl Sends {
    pub(super) fn new(choices: &Choices, machine: usize) -> Sends {
        let takes_effect = choices.site("send.struck_takes_effect", number(machine));
        Sends { count: 0, plan: None, struck: None, takes_effect }
    }

    /// The `k`-th send from here on meets this strike; the next one is 1.
    pub(super) fn strike_at(&mut self, k: u64, how: Strike) {
        self.plan = Some((self.count.saturating_add(k.max(1)), how));
    }

    /// Counts a packet and says whether it leaves.
    pub(super) fn pass(&mut self) -> bool {
        if self.struck.is_some() {
            return false;
        }
        self.count += 1;
        match self.plan {
            Some((at, how)) if self.count >= at => {
                self.struck = Some(how);
                self.takes_effect.chance(0.5)
            }
            Some(_) | None => true,
        }
    }

    pub(super) fn forget_plan(&mut self) {
        self.plan = None;
    }

    /// The machine's process has ended: a plan was for it.
    pub(super) fn end_boot(&mut self) {
        (self.plan, self.struck) = (None, None);
    }
}

/// Everything about one machine that outlives its process.
pub(super) struct Machine {
    pub(super) index: usize,
    pub(super) ip: IpAddr,
    pub(super) host: HostId,
    pub(super) boot: Boot,
    pub(super) boots_count: u64,
    pub(super) has_power: bool,
    pub(super) process: Option<Process>,
    pub(super) frozen: Option<Freeze>,
    /// Time in which it does nothing after each poll; 0 unless it is slow.
    pub(super) poll_cost_us: u64,
    pub(super) rests_until_us: u64,
    pub(super) rests_count: u64,
    pub(super) sends: Sends,
    /// Without faults: the drift of its clocks in ppm, and the latency of its disk in ms.
    pub(super) usual: (i64, (u64, u64)),
    /// What arrived while the machine was suspended.
    pub(super) arrived: VecDeque<Packet>,
    pub(super) clock: Arc<MachineClock>,
    pub(super) port_clock: Arc<dyn Clock>,
    pub(super) disk: Arc<DiskState>,
    pub(super) medium: Medium,
}

impl Machine {
    /// Whether it would do something if it were polled.
    pub(super) fn is_ready(&self, now_us: u64) -> bool {
        self.rests_until_us <= now_us && self.wants_poll()
    }

    /// When a slow machine that has something to do may do it.
    pub(super) fn next_poll_us(&self, now_us: u64) -> Option<u64> {
        (self.rests_until_us > now_us && self.wants_poll()).then_some(self.rests_until_us)
    }

    fn wants_poll(&self) -> bool {
        self.frozen.is_none()
            && self.process.as_ref().is_some_and(|process| process.wake.is_ready.load(Relaxed))
    }

    /// Whether it would do something if it did not stand still.
    pub(super) fn is_awaited(&self) -> bool {
        let is_woken = |process: &Process| process.wake.is_ready.load(Relaxed);
        self.process.as_ref().is_some_and(is_woken) || !self.arrived.is_empty()
    }

    pub(super) fn condition(&self) -> Condition {
        match (&self.process, self.frozen) {
            (None, _) if !self.has_power => Condition::Dark,
            (None, _) => Condition::Down,
            (Some(_), Some(_)) => Condition::Frozen,
            (Some(_), None) => Condition::Running,
        }
    }

    /// Whether packets reach its system, and not only its doorstep.
    pub(super) fn hears(&self) -> bool {
        match self.frozen {
            None | Some(Freeze::Process) => true,
            Some(Freeze::Machine | Freeze::MachineUnseen) => false,
        }
    }

    /// The world as the present boot sees it.
    pub(super) fn env(&self, choices: &Choices) -> Env {
        let entropy = BootEntropy::new(choices.clone(), number(self.index), self.boots_count);
        let disk = MachineDisk {
            medium: self.medium.clone(),
            state: self.disk.clone(),
            boot: Some(self.boots_count),
        };
        Env {
            clock: self.port_clock.clone(),
            net: Arc::new(MachineNet { host: self.host, ip: self.ip }),
            disk: Arc::new(disk),
            entropy: Arc::new(entropy),
        }
    }
}
