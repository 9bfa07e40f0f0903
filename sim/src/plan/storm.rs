//! The storm as it blows: which gusts have struck and are not over, and what is due when.
//!
//! Invariants
//! - A process, a clock and a disk are each held by one gust at a time.
//! - Time passes only between gusts and their steps.
//!
//! Read next: [`Storm::blow`], then `strike.rs`.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::members::Standing;
use super::{Gust, Plan, lack_of};
use crate::cluster::{Changing, Cluster};
use crate::world::{LinkSettings, MachineId};

/// Time in which a node whose disk refused may still find out, and end.
pub(super) const GRACE_MS: u64 = 600;

/// A storm over a cluster.
pub(super) struct Storm<'a> {
    pub(super) cluster: &'a mut Cluster,
    pub(super) plan: Plan,
    pub(super) names: Vec<String>,
    /// By number of the gust, which is their order.
    pub(super) active: Vec<Active>,
    pub(super) before: Before,
    /// By place.
    pub(super) standings: Vec<Standing>,
    /// Nodes that may end by themselves, and until when.
    pub(super) fragile: BTreeMap<usize, u64>,
}

/// How things were before the first fault, by place: the run's weather.
#[derive(Debug)]
pub(super) struct Before {
    pub(super) links: BTreeMap<(usize, usize), LinkSettings>,
    pub(super) drift_ppm: Vec<i64>,
    pub(super) disk_latency_ms: Vec<(u64, u64)>,
}

/// A gust that has struck and is not over.
pub(super) struct Active {
    pub(super) gust: Gust,
    pub(super) began_ms: u64,
    pub(super) until_ms: u64,
    /// Nodes that it holds, until each is released.
    pub(super) targets: BTreeSet<usize>,
    pub(super) holds: Holds,
    /// What it still does, by time.
    pub(super) steps: VecDeque<(u64, Step)>,
    pub(super) noted: Noted,
}

/// What of its targets a gust holds.
pub(super) enum Holds {
    /// Its process, which it takes down and starts.
    Process,
    /// The same: it stands still.
    Frozen,
    /// The same: it goes down at some operation.
    Armed,
    /// The rate of its clocks.
    Drift,
    /// Its wall clock.
    Wall,
    /// What it did is done.
    Nothing,
    Disk,
    /// All of it: its disk is lost, and it is never started again.
    Lost,
    /// How fast its machine is.
    Speed,
    Links {
        pairs: BTreeSet<(usize, usize)>,
        how: How,
    },
    Members(Changing),
    Load,
}

/// What happens to a direction between two nodes.
#[derive(Clone, Copy, Debug)]
pub(super) enum How {
    Cut,
    DatagramsBlocked,
    /// Cut and whole in turns, each for so many milliseconds.
    Flaps(u64),
    Behaves(LinkSettings),
}

/// What a gust does while it lasts.
#[derive(Clone, Copy, Debug)]
pub(super) enum Step {
    Crash(usize),
    PowerCut(usize),
    Start(usize),
}

/// What is seen of a gust, to say whether it bit.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Noted {
    /// How many processes it took down, and how many of them were down at once.
    pub(super) downs_count: usize,
    pub(super) down_at_once_count: usize,
    /// A power cut took bytes that were not synced.
    pub(super) lost_bytes: bool,
    /// The leader was among those it met.
    pub(super) met_leader: bool,
    /// What it waited for has happened.
    pub(super) came_true: bool,
    /// The counter of its kind when it began, and whether it grew until the gust was over.
    pub(super) count_before: u64,
    pub(super) is_felt: bool,
}

impl Step {
    /// Whom it meets.
    pub(super) fn at(self) -> usize {
        match self {
            Step::Crash(at) | Step::PowerCut(at) | Step::Start(at) => at,
        }
    }
}

impl<'a> Storm<'a> {
    /// The storm of this plan; nothing has struck yet.
    pub(super) fn new(cluster: &'a mut Cluster, plan: Plan) -> Storm<'a> {
        let names = cluster.names();
        let machines: Vec<MachineId> = names.iter().map(|name| cluster.machine(name)).collect();
        let world = cluster.world();
        let mut links = BTreeMap::new();
        for (from, one) in machines.iter().enumerate() {
            for (to, other) in machines.iter().enumerate().filter(|(to, _)| *to != from) {
                links.insert((from, to), world.link(*one, *other));
            }
        }
        let before = Before {
            links,
            drift_ppm: machines.iter().map(|id| world.clock_drift_ppm(*id)).collect(),
            disk_latency_ms: machines.iter().map(|id| world.disk_latency_ms(*id)).collect(),
        };
        let standings = Standing::at_first(plan.founders_count, names.len());
        let (active, fragile) = Default::default();
        Storm { cluster, plan, names, active, before, standings, fragile }
    }

    /// Every gust, one after the other. If none has bitten, or the clients hardly wrote, some more
    /// strike until that has changed.
    pub(super) fn blow(&mut self) {
        for gust in self.plan.gusts.clone() {
            self.run_for_ms(gust.pause_ms);
            if gust.strikes && self.plan.kinds.contains(&gust.kind) {
                self.strike(gust);
            }
        }
        let mut nth = 0;
        while lack_of(&self.cluster.report()).is_some()
            && let Some(gust) = self.plan.encore(self.cluster.choices(), nth)
        {
            if gust.strikes {
                self.strike(gust);
            }
            self.run_for_ms(gust.pause_ms + gust.lasts_ms);
            nth += 1;
        }
    }

    pub(super) fn now_ms(&self) -> u64 {
        self.cluster.world().now_ms()
    }

    pub(super) fn machine(&self, at: usize) -> MachineId {
        self.cluster.machine(&self.names[at])
    }

    pub(super) fn is_running(&self, at: usize) -> bool {
        self.cluster.world().is_running(self.machine(at))
    }

    /// Lets this much time pass, with the steps and ends that fall into it.
    pub(super) fn run_for_ms(&mut self, ms: u64) {
        let end_ms = self.now_ms() + ms;
        loop {
            let now_ms = self.now_ms();
            let due_ms = self.next_due_ms().unwrap_or(end_ms).clamp(now_ms, end_ms);
            self.cluster.run_for_ms(due_ms - now_ms);
            self.do_what_is_due();
            if due_ms == end_ms {
                return;
            }
        }
    }

    fn next_due_ms(&self) -> Option<u64> {
        let step_ms = |active: &Active| active.steps.front().map(|(ms, _)| *ms);
        let of_gusts = self
            .active
            .iter()
            .flat_map(|active| step_ms(active).into_iter().chain(std::iter::once(active.until_ms)));
        // One that another gust holds down is late, and comes back when that ends.
        let now_ms = self.now_ms();
        let fragile = self.fragile.values().copied().filter(|due_ms| *due_ms > now_ms);
        of_gusts.chain(fragile).min()
    }

    /// Steps whose time has come, then ends.
    pub(super) fn do_what_is_due(&mut self) {
        let now_ms = self.now_ms();
        for at in 0..self.active.len() {
            while self.active[at].steps.front().is_some_and(|(due_ms, _)| *due_ms <= now_ms) {
                let (_, step) = self.active[at].steps.pop_front().expect("it was just seen");
                self.step(at, step);
            }
        }
        let (over, rest): (Vec<Active>, Vec<Active>) =
            std::mem::take(&mut self.active).into_iter().partition(|gust| gust.until_ms <= now_ms);
        self.active = rest;
        for active in over {
            self.end(active);
        }
        self.revive(now_ms);
    }

    fn step(&mut self, active: usize, step: Step) {
        match step {
            Step::Crash(at) if self.is_running(at) => {
                self.cluster.crash(&[&self.names[at]]);
                self.note_down(active);
            }
            Step::PowerCut(at) if self.is_running(at) => {
                let lost_bytes = self.cut_power(at);
                self.active[active].noted.lost_bytes |= lost_bytes;
                self.note_down(active);
            }
            Step::Start(at) => self.start(at),
            Step::Crash(_) | Step::PowerCut(_) => {}
        }
    }

    /// The machine loses power; returns whether bytes are gone that its system had.
    pub(super) fn cut_power(&mut self, at: usize) -> bool {
        let machine = self.machine(at);
        let digest = self.cluster.world().disk_digest(machine);
        self.cluster.cut_power(&[&self.names[at]]);
        self.cluster.world().disk_digest(machine) != digest
    }

    fn note_down(&mut self, active: usize) {
        let down = |at: &&usize| !self.is_running(**at);
        let down_count = self.active[active].targets.iter().filter(down).count();
        let noted = &mut self.active[active].noted;
        noted.downs_count += 1;
        noted.down_at_once_count = noted.down_at_once_count.max(down_count);
    }

    /// Starts a node that does not run.
    pub(super) fn start(&mut self, at: usize) {
        if !self.is_running(at) {
            self.cluster.restart(&[&self.names[at]]);
        }
    }

    /// Nodes that ended by themselves come back once their disk is well again and no other gust
    /// holds them; those for which it is too late to end lose their excuse.
    pub(super) fn revive(&mut self, now_ms: u64) {
        for (at, until_ms) in self.fragile.clone() {
            let is_held =
                |active: &Active| active.holds.is_of_node() && active.targets.contains(&at);
            if self.active.iter().any(is_held) || self.standings[at].stays_away() {
                continue;
            }
            if until_ms <= now_ms {
                self.start(at);
                self.cluster.let_end(&self.names[at], false);
                self.fragile.remove(&at);
            }
        }
    }
}
