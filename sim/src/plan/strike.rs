//! How each kind of fault begins: the one place that says whom it meets and what it does.
//!
//! A gust that finds what it needs taken passes by, and is not counted.
//!
//! Read next: [`Storm::strike`], then `end.rs`.

use std::collections::{BTreeSet, VecDeque};

use super::storm::{Active, Holds, How, Noted, Step, Storm};
use super::{Gust, Kind, Side};
use crate::cluster::Cluster;
use crate::world::{Freeze, LinkSettings, MachineId, World};

/// Rates of two clocks differ by 1 percent at most: that is what the lease is made for.
const DRIFT_PPM_MAX: u64 = 4_500;
const HOUR_MS: u64 = 3_600_000;
/// How long a process in a loop is down each time.
const DOWN_MS: u64 = 10;
/// Clients of an overload, for each time of the usual load.
const CLIENTS_COUNT: u64 = 4;

/// What a gust does once it has found what it needs.
pub(super) struct Struck {
    pub(super) targets: BTreeSet<usize>,
    pub(super) holds: Holds,
    pub(super) lasts_ms: u64,
    pub(super) steps: Vec<(u64, Step)>,
    pub(super) noted: Noted,
}

impl Struck {
    pub(super) fn of(targets: BTreeSet<usize>, holds: Holds, lasts_ms: u64) -> Struck {
        Struck { targets, holds, lasts_ms, steps: Vec::new(), noted: Noted::default() }
    }
}

impl Storm<'_> {
    /// A gust strikes, or passes by.
    pub(super) fn strike(&mut self, gust: Gust) {
        if let Some(struck) = self.begin(&gust) {
            self.cluster.note_faults(|coverage| coverage.struck(gust.kind));
            self.begun(gust, struck);
        }
    }

    /// It has begun, and is active from here on.
    pub(super) fn begun(&mut self, gust: Gust, struck: Struck) {
        let Struck { targets, holds, lasts_ms, steps, noted } = struck;
        let began_ms = self.now_ms();
        let mut steps: VecDeque<(u64, Step)> =
            steps.into_iter().map(|(after_ms, step)| (began_ms + after_ms, step)).collect();
        steps.make_contiguous().sort_by_key(|(at_ms, _)| *at_ms);
        let until_ms = began_ms + lasts_ms;
        let mut active = Active { gust, began_ms, until_ms, targets, holds, steps, noted };
        active.noted.count_before = self.felt_count(&active);
        self.active.push(active);
        self.do_what_is_due();
    }

    /// Begins it; `None` if it passes by.
    fn begin(&mut self, gust: &Gust) -> Option<Struck> {
        match gust.kind {
            Kind::Crash => self.goes_down(gust, Step::Crash, gust.lasts_ms),
            Kind::Restart => self.goes_down(gust, Step::Crash, 0),
            Kind::CrashLoop => self.crash_loop(gust),
            Kind::PowerCut => self.goes_down(gust, Step::PowerCut, gust.lasts_ms),
            Kind::PowerCutInOperation => self.armed(gust, cut_power_in_operation),
            Kind::CrashInSend => self.armed(gust, crash_in_send),
            Kind::FreezeProcess => self.freeze(gust, Freeze::Process),
            Kind::FreezeMachine => self.freeze(gust, Freeze::Machine),
            Kind::FreezeUnseen => self.freeze(gust, Freeze::MachineUnseen),
            Kind::SlowNode => self.slow_node(gust),
            Kind::DiskWiped | Kind::DiskLies | Kind::DiskRots => self.lose_disk(gust),
            Kind::Partition => self.both_ways(gust, How::Cut),
            Kind::OneWayPartition => self.one_way(gust, How::Cut),
            Kind::RandomPartition => self.links(gust, self.random_group(gust), true, How::Cut),
            Kind::Ring => self.pairs(gust, self.ring(), How::Cut),
            Kind::Bridge => self.pairs(gust, self.bridge(gust), How::Cut),
            Kind::Flapping => self.both_ways(gust, How::Flaps(gust.scaled(20, 600))),
            Kind::DatagramsBlocked => self.both_ways(gust, How::DatagramsBlocked),
            Kind::LinkLoss => self.both_ways(gust, loss(gust)),
            Kind::LinkDelay => self.both_ways(gust, delay(gust)),
            Kind::OneWayDelay => self.one_way(gust, delay(gust)),
            Kind::HeavyTail => self.both_ways(gust, heavy_tail(gust)),
            Kind::Reordering => self.both_ways(gust, reordering(gust)),
            Kind::Corruption => self.both_ways(gust, corruption(gust)),
            Kind::ClockDrift => self.clock(gust, Holds::Drift, gust.lasts_ms, drift),
            Kind::WallOffset => self.clock(gust, Holds::Wall, gust.lasts_ms, offset_wall),
            Kind::WallJump => self.clock(gust, Holds::Nothing, gust.lasts_ms, jump_wall),
            Kind::ClockJump => self.clock(gust, Holds::Nothing, gust.lasts_ms, jump_clock),
            Kind::DiskFull => self.disk(gust, Storm::fill_disk),
            Kind::DiskSlow => self.disk(gust, Storm::slow_disk_down),
            Kind::SyncsFail => self.disk(gust, Storm::fail_syncs),
            Kind::DiskStalls => self.disk(gust, Storm::stall_disk),
            Kind::HalfOutage => self.outage(gust, 0),
            Kind::StaggeredOutage => self.outage(gust, gust.scaled(20, 500)),
            Kind::AlternatingHalves => self.alternating(gust),
            Kind::PowerCutEverywhere => self.power_cut_everywhere(gust),
            Kind::MemberAdded => self.add_member(gust),
            Kind::MembersPromoted => self.promote_members(gust),
            Kind::MemberRemoved => self.remove_member(gust),
            Kind::Overload => self.overload(gust),
        }
    }

    /// Whether no gust holds the process of a member that runs.
    pub(super) fn is_process_free(&self, at: usize) -> bool {
        self.standings[at].is_member()
            && self.is_running(at)
            && !self.holds(at, Holds::is_of_process)
    }

    fn holds(&self, at: usize, what: impl Fn(&Holds) -> bool) -> bool {
        self.active.iter().any(|gust| what(&gust.holds) && gust.targets.contains(&at))
    }

    /// The members from the gust's node on, in a circle.
    pub(super) fn circle(&self, gust: &Gust) -> Vec<usize> {
        let count = self.names.len();
        let places = (0..count).map(|after| (gust.node + after) % count);
        places.filter(|at| self.standings[*at].is_member()).collect()
    }

    pub(super) fn half_count(&self) -> usize {
        self.standings.iter().filter(|standing| standing.is_member()).count().div_ceil(2)
    }

    /// Who is on the gust's side.
    fn group(&self, gust: &Gust) -> BTreeSet<usize> {
        let (circle, half_count) = (self.circle(gust), self.half_count());
        let leader = self.cluster.acting();
        let zone = |at: &usize| self.plan.zones[&self.names[*at]];
        let half = || circle.iter().copied().take(half_count);
        match (gust.side, leader) {
            (Side::Alone, _) => circle.iter().copied().take(1).collect(),
            (Side::Half, _) | (Side::WithLeader | Side::WithoutLeader, None) => half().collect(),
            (Side::WithLeader, Some(leader)) => {
                let others = circle.iter().copied().filter(|at| *at != leader);
                std::iter::once(leader).chain(others).take(half_count).collect()
            }
            (Side::WithoutLeader, Some(leader)) => {
                circle.iter().copied().filter(|at| *at != leader).take(half_count).collect()
            }
            (Side::Zone, _) => {
                circle.iter().copied().filter(|at| zone(at) == zone(&gust.node)).collect()
            }
        }
    }

    fn random_group(&self, gust: &Gust) -> BTreeSet<usize> {
        (0..self.names.len()).filter(|at| gust.set >> at & 1 == 1).collect()
    }

    /// The same, of an outage: at least half of the members, and those whom nobody holds.
    fn outage_group(&self, gust: &Gust) -> Option<BTreeSet<usize>> {
        let gust = match gust.side {
            Side::Alone => Gust { side: Side::Half, ..*gust },
            Side::Half | Side::WithLeader | Side::WithoutLeader | Side::Zone => *gust,
        };
        let group: BTreeSet<usize> =
            self.group(&gust).into_iter().filter(|at| self.is_process_free(*at)).collect();
        (!group.is_empty()).then_some(group)
    }

    fn goes_down(&self, gust: &Gust, how: impl Fn(usize) -> Step, lasts_ms: u64) -> Option<Struck> {
        let at = gust.node;
        self.is_process_free(at).then(|| Struck {
            steps: vec![(0, how(at))],
            ..Struck::of([at].into(), Holds::Process, lasts_ms)
        })
    }

    pub(super) fn crash_loop(&self, gust: &Gust) -> Option<Struck> {
        let at = gust.node;
        let (rounds_count, round_ms) = (2 + gust.set % 4, loop_ms(gust));
        let steps = (0..rounds_count).flat_map(|round| crash_and_start(round * round_ms, at));
        self.is_process_free(at).then(|| Struck {
            steps: steps.collect(),
            ..Struck::of([at].into(), Holds::Process, rounds_count * round_ms)
        })
    }

    /// What strikes once the node has done so much more.
    fn armed(&mut self, gust: &Gust, arm: fn(&mut Cluster, &str, &Gust)) -> Option<Struck> {
        let at = gust.node;
        self.is_process_free(at).then(|| {
            arm(self.cluster, &self.names[at], gust);
            Struck::of([at].into(), Holds::Armed, gust.lasts_ms)
        })
    }

    fn freeze(&mut self, gust: &Gust, how: Freeze) -> Option<Struck> {
        let at = gust.node;
        self.is_process_free(at).then(|| {
            self.cluster.freeze_as(&[&self.names[at]], how);
            Struck::of([at].into(), Holds::Frozen, gust.lasts_ms)
        })
    }

    /// What passes between the group and all others; only from the group, or only to it, unless it
    /// is both ways.
    fn links(
        &mut self,
        gust: &Gust,
        group: BTreeSet<usize>,
        is_both_ways: bool,
        how: How,
    ) -> Option<Struck> {
        let others: Vec<usize> = (0..self.names.len()).filter(|at| !group.contains(at)).collect();
        let (out, back) = match (is_both_ways, gust.is_reversed()) {
            (true, _) => (true, true),
            (false, is_back) => (!is_back, is_back),
        };
        let mut pairs = BTreeSet::new();
        for one in &group {
            for other in &others {
                pairs.extend(out.then_some((*one, *other)));
                pairs.extend(back.then_some((*other, *one)));
            }
        }
        self.pairs(gust, pairs, how)
    }

    /// Each node hears only the one before and the one after it.
    fn ring(&self) -> BTreeSet<(usize, usize)> {
        let count = self.names.len();
        let all = (0..count).flat_map(|from| (0..count).map(move |to| (from, to)));
        all.filter(|(from, to)| from.abs_diff(*to).min(count - from.abs_diff(*to)) > 1).collect()
    }

    /// The gust's node is the bridge between those before it and those after it.
    fn bridge(&self, gust: &Gust) -> BTreeSet<(usize, usize)> {
        let count = self.names.len();
        let place = |at: usize| (at + count - gust.node) % count;
        let side = |at: usize| place(at) <= count / 2;
        let all = (0..count).flat_map(|from| (0..count).map(move |to| (from, to)));
        let others = all.filter(|(from, to)| *from != gust.node && *to != gust.node);
        others.filter(|(from, to)| side(*from) != side(*to)).collect()
    }

    /// Does this to every pair.
    fn pairs(&mut self, gust: &Gust, pairs: BTreeSet<(usize, usize)>, how: How) -> Option<Struck> {
        let leader = self.cluster.acting();
        let meets = |(from, to): &(usize, usize)| {
            let both_are_members =
                self.standings[*from].is_member() && self.standings[*to].is_member();
            both_are_members && [Some(*from), Some(*to)].contains(&leader)
        };
        let noted = Noted { met_leader: pairs.iter().any(meets), ..Noted::default() };
        if pairs.is_empty() {
            return None;
        }
        self.apply_to_links(&pairs, how);
        let holds = Holds::Links { pairs, how };
        Some(Struck { noted, ..Struck::of(BTreeSet::new(), holds, gust.lasts_ms) })
    }

    /// Between the gust's side and all others.
    fn both_ways(&mut self, gust: &Gust, how: How) -> Option<Struck> {
        self.links(gust, self.group(gust), true, how)
    }

    /// From the gust's side to all others, or back.
    fn one_way(&mut self, gust: &Gust, how: How) -> Option<Struck> {
        self.links(gust, self.group(gust), false, how)
    }

    fn overload(&mut self, gust: &Gust) -> Option<Struck> {
        self.cluster.start_burst(gust.number, CLIENTS_COUNT * gust.scaled(1, 9));
        Some(Struck::of(BTreeSet::new(), Holds::Load, gust.lasts_ms))
    }

    fn slow_node(&mut self, gust: &Gust) -> Option<Struck> {
        let at = gust.node;
        self.is_part_free(at, |holds| matches!(holds, Holds::Speed)).then(|| {
            self.cluster.slow_down(&self.names[at], gust.scaled(1, 4));
            Struck::of([at].into(), Holds::Speed, gust.lasts_ms)
        })
    }

    /// Whether a gust may take the clock or the disk of a node.
    pub(super) fn is_part_free(&self, at: usize, part: impl Fn(&Holds) -> bool) -> bool {
        self.standings[at].is_member() && self.is_running(at) && !self.holds(at, part)
    }

    fn clock(
        &self,
        gust: &Gust,
        holds: Holds,
        lasts_ms: u64,
        change: fn(&World, MachineId, &Gust),
    ) -> Option<Struck> {
        let at = gust.node;
        self.is_part_free(at, Holds::is_of_clock).then(|| {
            change(self.cluster.world(), self.machine(at), gust);
            Struck::of([at].into(), holds, lasts_ms)
        })
    }

    fn disk(&mut self, gust: &Gust, change: impl FnOnce(&mut Self, &Gust)) -> Option<Struck> {
        let at = gust.node;
        self.is_part_free(at, |holds| matches!(holds, Holds::Disk)).then(|| {
            change(self, gust);
            Struck::of([at].into(), Holds::Disk, gust.lasts_ms)
        })
    }

    /// The node may end by itself: that is what it does when it cannot write.
    fn fill_disk(&mut self, gust: &Gust) {
        self.fragile.insert(gust.node, u64::MAX);
        self.cluster.fill_disk(&self.names[gust.node], true);
    }

    /// The node must end by itself: what it has written may be on the disk or not.
    fn fail_syncs(&mut self, gust: &Gust) {
        self.fragile.insert(gust.node, u64::MAX);
        self.cluster.fail_syncs(&self.names[gust.node], true);
    }

    fn stall_disk(&mut self, gust: &Gust) {
        self.cluster.stall_disk(&self.names[gust.node], 0.1, gust.scaled(50, 500));
    }

    fn slow_disk_down(&mut self, gust: &Gust) {
        let (machine, ms_max) = (self.machine(gust.node), gust.scaled(5, 200));
        self.cluster.world().set_disk_latency(machine, ms_max / 4, ms_max);
    }

    /// Half of the members go down, each so long after the one before.
    fn outage(&self, gust: &Gust, gap_ms: u64) -> Option<Struck> {
        Some(outage_of(self.outage_group(gust)?, gust, gap_ms))
    }

    /// One half, then the other, which may be before the first has caught up.
    fn alternating(&self, gust: &Gust) -> Option<Struck> {
        let first = self.outage_group(gust)?;
        let is_other = |at: &usize| !first.contains(at) && self.is_process_free(*at);
        let second: Vec<usize> = (0..self.names.len()).filter(is_other).collect();
        let (down_ms, between_ms) = (gust.lasts_ms / 2, gust.scaled(0, 400));
        let turn_ms = down_ms + between_ms;
        let mut steps = Vec::new();
        for at in &first {
            steps.extend([(0, down(gust, *at)), (down_ms, Step::Start(*at))]);
        }
        for at in &second {
            steps.extend([(turn_ms, down(gust, *at)), (turn_ms + down_ms, Step::Start(*at))]);
        }
        let targets = first.into_iter().chain(second).collect();
        Some(Struck { steps, ..Struck::of(targets, Holds::Process, turn_ms + down_ms) })
    }

    fn power_cut_everywhere(&self, gust: &Gust) -> Option<Struck> {
        let all: BTreeSet<usize> =
            (0..self.names.len()).filter(|at| self.is_process_free(*at)).collect();
        let steps = all.iter().map(|at| (0, Step::PowerCut(*at))).collect();
        (!all.is_empty())
            .then(|| Struck { steps, ..Struck::of(all, Holds::Process, gust.lasts_ms) })
    }
}

/// These go down, each so long after the one before.
pub(super) fn outage_of(group: BTreeSet<usize>, gust: &Gust, gap_ms: u64) -> Struck {
    let steps = (0..).zip(&group).map(|(nth, at)| (nth * gap_ms, down(gust, *at))).collect();
    let lasts_ms = group.len() as u64 * gap_ms + gust.lasts_ms;
    Struck { steps, ..Struck::of(group, Holds::Process, lasts_ms) }
}

/// From one crash of a loop to the next.
pub(super) fn loop_ms(gust: &Gust) -> u64 {
    gust.scaled(10, 300) + DOWN_MS
}

/// One round of a loop.
pub(super) fn crash_and_start(at_ms: u64, at: usize) -> [(u64, Step); 2] {
    [(at_ms, Step::Crash(at)), (at_ms + DOWN_MS, Step::Start(at))]
}

/// A gust that goes the second way takes the power, else the process.
fn down(gust: &Gust, at: usize) -> Step {
    if gust.is_reversed() { Step::PowerCut(at) } else { Step::Crash(at) }
}

fn cut_power_in_operation(cluster: &mut Cluster, name: &str, gust: &Gust) {
    cluster.cut_power_at_disk_operation(name, gust.scaled(1, 40));
}

fn crash_in_send(cluster: &mut Cluster, name: &str, gust: &Gust) {
    cluster.crash_at_send(name, gust.scaled(1, 200));
}

/// A share of at most so many in a thousand.
fn share(gust: &Gust, per_mille_max: u64) -> f64 {
    gust.scaled(5, per_mille_max) as f64 / 1_000.0
}

fn loss(gust: &Gust) -> How {
    let (loss, duplication) = (share(gust, 600), share(gust, 300));
    How::Behaves(LinkSettings { loss, duplication, ..LinkSettings::default() })
}

fn delay(gust: &Gust) -> How {
    let latency_us_max = gust.scaled(2_000, 150_000);
    How::Behaves(LinkSettings { latency_us_max, ..LinkSettings::default() })
}

fn heavy_tail(gust: &Gust) -> How {
    How::Behaves(LinkSettings { heavy_tail: share(gust, 300), ..LinkSettings::default() })
}

fn reordering(gust: &Gust) -> How {
    How::Behaves(LinkSettings { reordering: share(gust, 300), ..LinkSettings::default() })
}

fn corruption(gust: &Gust) -> How {
    How::Behaves(LinkSettings { corruption: share(gust, 30), ..LinkSettings::default() })
}

fn drift(world: &World, id: MachineId, gust: &Gust) {
    world.set_clock_drift_ppm(id, gust.signed(gust.scaled(100, DRIFT_PPM_MAX)));
}

fn offset_wall(world: &World, id: MachineId, gust: &Gust) {
    world.set_wall_clock_offset(id, gust.signed(gust.scaled(1_000, HOUR_MS)));
}

fn jump_wall(world: &World, id: MachineId, gust: &Gust) {
    world.jump_wall_clock(id, gust.signed(gust.scaled(1_000, HOUR_MS)));
}

fn jump_clock(world: &World, id: MachineId, gust: &Gust) {
    world.jump_clock(id, clock_jump_ms(gust));
}

/// How far a gust moves a monotonic clock ahead.
pub(super) fn clock_jump_ms(gust: &Gust) -> u64 {
    gust.scaled(10, 3_000)
}
