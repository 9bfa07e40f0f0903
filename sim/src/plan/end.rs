//! How each kind of fault ends, and whether it bit.
//!
//! To end a gust is to release all of its nodes; the core of a quorum is released first, and the
//! rest later (`calm.rs`).
//!
//! Read next: [`Storm::release`], then [`Storm::bites`].

use std::collections::BTreeSet;

use quorate_core::config::ClusterSettings;

use super::Kind;
use super::storm::{Active, GRACE_MS, Holds, How, Storm};
use super::strike::clock_jump_ms;

impl Storm<'_> {
    /// The gust is over, everywhere.
    pub(super) fn end(&mut self, mut active: Active) {
        let everywhere = (0..self.names.len()).collect();
        self.release(&mut active, &everywhere);
        if self.bites(&active) {
            self.cluster.note_faults(|coverage| coverage.bit(active.gust.kind));
        }
    }

    /// Ends the gust on these nodes and between them; on all others it stays.
    pub(super) fn release(&mut self, active: &mut Active, nodes: &BTreeSet<usize>) {
        active.steps.retain(|(_, step)| !nodes.contains(&step.at()));
        let released: Vec<usize> = active.targets.intersection(nodes).copied().collect();
        active.targets.retain(|at| !nodes.contains(at));
        if !released.is_empty() {
            active.until_ms = active.until_ms.min(self.now_ms());
        }
        match &mut active.holds {
            Holds::Process | Holds::Frozen | Holds::Armed => {
                for at in released {
                    let has_struck = self.release_process(&active.holds, at);
                    active.noted.came_true |= has_struck;
                }
            }
            Holds::Links { pairs, how } => {
                let is_inside =
                    |(from, to): &(usize, usize)| nodes.contains(from) && nodes.contains(to);
                let (ended, rest) = std::mem::take(pairs).into_iter().partition(is_inside);
                self.restore_links(ended, *how);
                self.apply_to_links(&rest, *how);
                *pairs = rest;
            }
            Holds::Drift => {
                for at in released {
                    self.cluster.drift_clock(&self.names[at], self.before.drift_ppm[at]);
                }
            }
            Holds::Wall => {
                for at in released {
                    self.cluster.set_wall_clock_offset(&self.names[at], 0);
                }
            }
            Holds::Nothing => {}
            Holds::Disk => {
                for at in released {
                    active.noted.came_true |= self.release_disk(at);
                }
            }
            Holds::Lost => {
                for at in released {
                    active.noted.came_true |= self.take_away(active.gust.kind, at);
                }
            }
            Holds::Speed => {
                for at in released {
                    self.cluster.slow_down(&self.names[at], 0);
                }
            }
            Holds::Members(changing) => {
                let done = changing.done();
                active.noted.came_true |= done.is_some();
                self.note_change(active.gust.kind, done);
            }
            Holds::Load => {
                let acknowledged_count = self.cluster.end_burst(active.gust.number);
                active.noted.came_true |= acknowledged_count > 0;
            }
        }
    }

    /// Returns whether the node has ended by itself.
    fn release_disk(&mut self, at: usize) -> bool {
        let (machine, world) = (self.machine(at), self.cluster.world());
        let (ms_min, ms_max) = self.before.disk_latency_ms[at];
        world.set_disk_full(machine, false);
        world.set_syncs_fail(machine, false);
        world.set_disk_stalls(machine, 0.0, 0);
        world.set_disk_latency(machine, ms_min, ms_max);
        if self.fragile.contains_key(&at) {
            self.fragile.insert(at, self.now_ms() + GRACE_MS);
        }
        self.cluster.ended(&self.names[at]).is_some()
    }

    /// Returns whether what an armed gust waited for has happened.
    fn release_process(&mut self, holds: &Holds, at: usize) -> bool {
        let is_running = self.is_running(at);
        self.cluster.thaw(&[&self.names[at]]);
        // To start it anew is what lifts a strike that has not come.
        if matches!(holds, Holds::Armed) && is_running {
            self.cluster.crash(&[&self.names[at]]);
        }
        self.start(at);
        !is_running
    }

    /// Does this to pairs, on top of what others do.
    pub(super) fn apply_to_links(&mut self, pairs: &BTreeSet<(usize, usize)>, how: How) {
        let world = self.cluster.world();
        for from in 0..self.names.len() {
            let to: Vec<_> =
                pairs.iter().filter(|pair| pair.0 == from).map(|pair| pair.1).collect();
            let (one, others) = (self.machine(from), to.iter().map(|at| self.machine(*at)));
            let others: Vec<_> = others.collect();
            match how {
                _ if others.is_empty() => {}
                How::Cut => world.partition_one_way(&[one], &others),
                How::DatagramsBlocked => world.block_datagrams(&[one], &others),
                How::Flaps(period_ms) => world.flap(&[one], &others, period_ms),
                How::Behaves(settings) => {
                    others.iter().for_each(|to| world.set_link_one_way(one, *to, settings));
                }
            }
        }
    }

    /// Ends this on pairs, as far as no other gust does the same to them.
    fn restore_links(&mut self, ended: BTreeSet<(usize, usize)>, how: How) {
        match how {
            How::Cut | How::DatagramsBlocked | How::Flaps(_) => self.cluster.heal(),
            How::Behaves(_) => {
                for pair in ended {
                    let settings = How::Behaves(self.before.links[&pair]);
                    self.apply_to_links(&[pair].into(), settings);
                }
            }
        }
        // One verb heals all links: what others hold is cut anew, at the same instant.
        let held = self.active.iter().filter_map(|active| match &active.holds {
            Holds::Links { pairs, how } => Some((pairs.clone(), *how)),
            Holds::Process | Holds::Frozen | Holds::Armed | Holds::Disk | Holds::Lost => None,
            Holds::Drift | Holds::Wall | Holds::Nothing | Holds::Speed => None,
            Holds::Members(_) | Holds::Load => None,
        });
        for (pairs, how) in held.collect::<Vec<_>>() {
            self.apply_to_links(&pairs, how);
        }
    }

    /// Whether the gust, which is over, has changed something.
    fn bites(&self, active: &Active) -> bool {
        let Active { gust, noted, began_ms, until_ms, .. } = active;
        let lease_ms = ClusterSettings::of(Vec::new()).lease_ms;
        let outlasts_lease = self.now_ms().min(*until_ms) >= began_ms + lease_ms;
        match gust.kind {
            Kind::Crash | Kind::Restart | Kind::CrashLoop => noted.downs_count > 0,
            Kind::PowerCut | Kind::PowerCutEverywhere => noted.lost_bytes,
            Kind::PowerCutInOperation | Kind::CrashInSend => noted.came_true,
            Kind::FreezeProcess | Kind::FreezeMachine | Kind::FreezeUnseen => outlasts_lease,
            Kind::Partition | Kind::OneWayPartition | Kind::RandomPartition => noted.met_leader,
            Kind::DatagramsBlocked | Kind::Ring | Kind::Bridge => noted.met_leader,
            Kind::LinkLoss | Kind::LinkDelay | Kind::OneWayDelay | Kind::Flapping => {
                noted.met_leader && outlasts_lease
            }
            Kind::HeavyTail | Kind::Reordering | Kind::Corruption => {
                noted.met_leader && outlasts_lease
            }
            Kind::ClockDrift | Kind::SlowNode => outlasts_lease,
            // The clock of a process that ran shows another time at once.
            Kind::WallJump | Kind::WallOffset => true,
            Kind::ClockJump => clock_jump_ms(gust) >= lease_ms,
            Kind::DiskFull | Kind::SyncsFail => noted.came_true,
            Kind::DiskSlow | Kind::DiskStalls => {
                let machine = self.machine(gust.node);
                self.cluster.world().disk_operations_count(machine) > noted.count_before
            }
            Kind::HalfOutage | Kind::StaggeredOutage => {
                noted.down_at_once_count >= self.half_count() && outlasts_lease
            }
            Kind::AlternatingHalves => noted.downs_count > self.half_count(),
            Kind::MemberAdded | Kind::MembersPromoted | Kind::MemberRemoved => noted.came_true,
            Kind::DiskWiped | Kind::DiskLies | Kind::DiskRots => noted.came_true,
            Kind::Overload => noted.came_true,
        }
    }
}

impl Holds {
    /// Whether it is the process of a node.
    pub(super) fn is_of_process(&self) -> bool {
        matches!(self, Holds::Process | Holds::Frozen | Holds::Armed | Holds::Lost)
    }

    /// Whether it is a clock of a node.
    pub(super) fn is_of_clock(&self) -> bool {
        matches!(self, Holds::Drift | Holds::Wall)
    }

    /// Whether a node that is held so may be down.
    pub(super) fn is_of_node(&self) -> bool {
        self.is_of_process() || matches!(self, Holds::Disk)
    }
}
