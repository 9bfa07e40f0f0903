//! What is run to see how fast a world is: whole nodes, and gossip among many.
//!
//! Invariants
//! - The clock starts when the work does: after the first election, or when all members are seen.
//! - A run that has not done its work panics instead of being fast.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use futures_util::future::LocalBoxFuture;
use quorate_core::config::{ClusterSettings, MemberSettings};
use quorate_core::membership::alone::Alone;
use quorate_core::ports::Env;
use quorate_sim::cluster::{Cluster, Report, SecondCluster, Workload, address};
use quorate_sim::run_isolated;
use quorate_sim::world::stock::StockWorld;
use quorate_sim::world::{MachineId, World};

use super::stopwatch::{Elapsed, Stopwatch};

pub(super) const MEMBERS_COUNT: u8 = 50;
/// Pause of the one client after each write. A write takes some milliseconds.
const PAUSE_MS: u64 = 95;
/// Until then every member must have seen every other.
const SEEN_MS: u64 = 60_000;

/// Which world.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    First,
    Stock,
}

impl Kind {
    pub(super) fn prefix(self) -> &'static str {
        match self {
            Kind::First => "",
            Kind::Stock => "second world: ",
        }
    }
}

/// What clients do meanwhile.
#[derive(Clone, Copy)]
pub(super) enum Load {
    None,
    TenWritesPerSecond,
}

impl Load {
    pub(super) fn text(self) -> &'static str {
        match self {
            Load::None => "no client",
            Load::TenWritesPerSecond => "10 writes/s",
        }
    }
}

/// How long so much simulated time of whole nodes takes.
pub(super) fn time_nodes(kind: Kind, nodes: (u8, Load), ms: u64, seed: u64) -> Elapsed {
    run_isolated(move || match kind {
        Kind::First => time_first(nodes, ms, seed),
        Kind::Stock => time_second(nodes, ms, seed),
    })
}

fn time_first((nodes_count, load): (u8, Load), ms: u64, seed: u64) -> Elapsed {
    let mut cluster = Cluster::of(nodes_count).links(Default::default()).seed(seed);
    match load {
        Load::None => {}
        Load::TenWritesPerSecond => cluster.start_writers(Workload {
            writers_count: 1,
            pause_ms: PAUSE_MS,
            names_count: 1_000,
            reads: 0.0,
            ..Workload::default()
        }),
    }
    let watch = Stopwatch::start();
    cluster.run_for_ms(ms);
    let elapsed = watch.stop();
    cluster.stop_writers();
    check_written(load, ms, cluster.ledger().acknowledged_count);
    elapsed
}

fn time_second((nodes_count, load): (u8, Load), ms: u64, seed: u64) -> Elapsed {
    let mut cluster = SecondCluster::of(nodes_count, seed);
    let watch = Stopwatch::start();
    let written_count = match load {
        Load::None => {
            cluster.run_for_ms(ms);
            0
        }
        Load::TenWritesPerSecond => cluster.write_for_ms(ms, PAUSE_MS),
    };
    let elapsed = watch.stop();
    check_written(load, ms, written_count);
    elapsed
}

fn check_written(load: Load, ms: u64, written_count: u64) {
    let least = match load {
        Load::None => 0,
        Load::TenWritesPerSecond => ms * 8 / 1_000,
    };
    assert!(written_count >= least, "{written_count} writes in {ms} ms is not the load");
}

/// How long so much simulated time of gossip takes.
pub(super) fn time_members(kind: Kind, ms: u64, seed: u64) -> Elapsed {
    run_isolated(move || match kind {
        Kind::First => time_gossip(&World::new(seed), ms),
        Kind::Stock => time_gossip(&StockWorld::new(seed), ms),
    })
}

/// A minute of five nodes and three clients, with the weather of the seed; every ten seconds the
/// leader's process dies and comes back. Shorter ones have as many crashes.
pub(super) fn tell_minute(ms: u64, seed: u64) -> Report {
    run_isolated(move || {
        let mut cluster = Cluster::of(5).seed(seed);
        cluster.start_writers(Workload::default());
        for _ in 0..6 {
            cluster.run_for_ms(ms / 9);
            let leader = cluster.leader();
            cluster.crash(&[&leader]);
            cluster.run_for_ms(ms / 18);
            cluster.restart(&[&leader]);
        }
        cluster.stop_writers();
        cluster.within_ms(20_000).one_leader_and_equal_logs();
        cluster.check_invariants()
    })
}

type Task = LocalBoxFuture<'static, ()>;

/// What both worlds can do.
trait Kernel {
    fn machine(&self, at: u8, boot: Box<dyn Fn(Env) -> Task>) -> MachineId;
    fn switch_on(&self, machines: &[MachineId]);
    fn spawn(&self, machine: MachineId, task: Task);
    fn pass(&self, ms: u64);
}

impl Kernel for World {
    fn machine(&self, at: u8, boot: Box<dyn Fn(Env) -> Task>) -> MachineId {
        World::machine(self, &format!("n{at}"), address(at), boot)
    }

    fn switch_on(&self, machines: &[MachineId]) {
        machines.iter().for_each(|machine| self.start(*machine));
    }

    fn spawn(&self, machine: MachineId, task: Task) {
        World::spawn(self, machine, |_| task);
    }

    fn pass(&self, ms: u64) {
        self.run_for(ms);
    }
}

impl Kernel for StockWorld {
    fn machine(&self, at: u8, boot: Box<dyn Fn(Env) -> Task>) -> MachineId {
        StockWorld::machine(self, &format!("n{at}"), address(at), boot)
    }

    /// A machine of this world runs from its declaration on.
    fn switch_on(&self, _machines: &[MachineId]) {}

    fn spawn(&self, machine: MachineId, task: Task) {
        StockWorld::spawn(self, machine, |_| task);
    }

    fn pass(&self, ms: u64) {
        self.run_for(ms);
    }
}

type Slot = Rc<RefCell<Option<Rc<Alone>>>>;

fn time_gossip(world: &impl Kernel, ms: u64) -> Elapsed {
    let member = |number| MemberSettings::at(&format!("n{number}"), address(number));
    let settings = Rc::new(ClusterSettings::of((1..=MEMBERS_COUNT).map(member).collect()));
    let mut members: Vec<(MachineId, Slot)> = Vec::new();
    for at in 0..MEMBERS_COUNT {
        let slot = Slot::default();
        let (settings, into) = (settings.clone(), slot.clone());
        let boot = move |env: Env| {
            let (settings, into) = (settings.clone(), into.clone());
            let starting = async move {
                let alone = Alone::start(&env, &settings, usize::from(at)).await;
                into.replace(Some(Rc::new(alone.expect("nobody else has its port"))));
            };
            Box::pin(starting) as Task
        };
        members.push((world.machine(at + 1, Box::new(boot)), slot));
    }
    let machines: Vec<MachineId> = members.iter().map(|(machine, _)| *machine).collect();
    world.switch_on(&machines);
    let mut waited_ms = 0;
    while !all_see_all(world, &members) {
        assert!(waited_ms < SEEN_MS, "not every member sees every other after {waited_ms} ms");
        waited_ms += 500;
        world.pass(500);
    }
    let watch = Stopwatch::start();
    world.pass(ms);
    let elapsed = watch.stop();
    assert!(all_see_all(world, &members), "a member is called down that runs");
    elapsed
}

fn all_see_all(world: &impl Kernel, members: &[(MachineId, Slot)]) -> bool {
    let seen_count = Rc::new(Cell::new(0));
    for (machine, slot) in members {
        let Some(alone) = slot.borrow().clone() else { return false };
        let counts = seen_count.clone();
        world.spawn(
            *machine,
            Box::pin(async move {
                counts.set(counts.get() + alone.alive_count().await);
            }),
        );
    }
    world.pass(2);
    seen_count.get() == members.len() * (members.len() - 1)
}
