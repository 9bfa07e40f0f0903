//! Whether a gust bit: whether somebody noticed that it was there.
//!
//! That a fault was on is not enough. A link is bad for somebody once a packet is lost or late on
//! it, a wrong clock once its machine reads it, a disk once an operation fails or waits, a pause
//! once there is something that the process would have done.
//!
//! Read next: [`Storm::bites`]; `world/felt.rs` for the counters.
//! Source: the rule that a test whose fault had no effect has tested nothing (Zhou et al. 2021,
//! section 4.2).

use quorate_core::config::ClusterSettings;

use super::Kind;
use super::storm::{Active, Holds, Storm};
use super::strike::clock_jump_ms;
use crate::world::{LinkFelt, MachineFelt};

impl Storm<'_> {
    /// Notes whether a gust that is still on was felt, before any of it is released.
    pub(super) fn note_felt(&self, active: &mut Active) {
        let is_on = match &active.holds {
            Holds::Links { pairs, .. } => !pairs.is_empty(),
            Holds::Process | Holds::Frozen | Holds::Armed | Holds::Disk | Holds::Lost => {
                !active.targets.is_empty()
            }
            Holds::Drift | Holds::Wall | Holds::Nothing | Holds::Speed => {
                !active.targets.is_empty()
            }
            Holds::Members(_) | Holds::Load => false,
        };
        let is_felt = if matches!(active.holds, Holds::Frozen) {
            self.cluster.world().is_awaited(self.machine(active.gust.node))
        } else {
            self.felt_count(active) > active.noted.count_before
        };
        active.noted.is_felt |= is_on && is_felt;
    }

    /// How often somebody felt such a thing where the gust is; 0 of a kind that needs no counter.
    pub(super) fn felt_count(&self, active: &Active) -> u64 {
        let on_links = |count: fn(LinkFelt) -> u64| self.felt_on_links(&active.holds, count);
        let machine = self.machine(active.gust.node);
        let on_machine =
            |count: fn(MachineFelt) -> u64| count(self.cluster.world().machine_felt(machine));
        match active.gust.kind {
            Kind::Partition | Kind::OneWayPartition | Kind::RandomPartition | Kind::Ring => {
                on_links(|felt| felt.lost_count)
            }
            Kind::DatagramsBlocked | Kind::Bridge | Kind::LinkLoss | Kind::Flapping => {
                on_links(|felt| felt.lost_count)
            }
            Kind::LinkDelay | Kind::OneWayDelay | Kind::HeavyTail => {
                on_links(|felt| felt.late_count)
            }
            Kind::Reordering => on_links(|felt| felt.overtaken_count),
            Kind::Corruption => on_links(|felt| felt.corrupted_count),
            Kind::WallJump | Kind::WallOffset => on_machine(|felt| felt.wall_reads_count),
            Kind::ClockDrift | Kind::ClockJump => on_machine(|felt| felt.clock_reads_count),
            Kind::SlowNode => on_machine(|felt| felt.rests_count),
            Kind::DiskSlow => on_machine(|felt| felt.operations_count),
            Kind::DiskStalls => on_machine(|felt| felt.stalls_count),
            Kind::FreezeProcess | Kind::FreezeMachine | Kind::FreezeUnseen => 0,
            Kind::Crash | Kind::Restart | Kind::CrashLoop | Kind::PowerCut => 0,
            Kind::PowerCutInOperation | Kind::CrashInSend | Kind::PowerCutEverywhere => 0,
            Kind::DiskFull | Kind::SyncsFail => 0,
            Kind::DiskWiped | Kind::DiskLies | Kind::DiskRots => 0,
            Kind::HalfOutage | Kind::StaggeredOutage | Kind::AlternatingHalves => 0,
            Kind::MemberAdded | Kind::MembersPromoted | Kind::MemberRemoved => 0,
            Kind::Overload => 0,
        }
    }

    fn felt_on_links(&self, holds: &Holds, count: fn(LinkFelt) -> u64) -> u64 {
        let Holds::Links { pairs, .. } = holds else { return 0 };
        let world = self.cluster.world();
        let felt = |(from, to): &(usize, usize)| {
            count(world.link_felt(self.machine(*from), self.machine(*to)))
        };
        pairs.iter().map(felt).sum()
    }

    /// Whether the gust, which is over, was noticed by somebody, and by somebody who matters.
    pub(super) fn bites(&self, active: &Active) -> bool {
        let Active { gust, noted, began_ms, until_ms, .. } = active;
        let lease_ms = ClusterSettings::of(Vec::new()).lease_ms;
        let outlasts_lease = self.now_ms().min(*until_ms) >= began_ms + lease_ms;
        match gust.kind {
            Kind::Crash | Kind::Restart | Kind::CrashLoop => noted.downs_count > 0,
            Kind::PowerCut | Kind::PowerCutEverywhere => noted.lost_bytes,
            Kind::PowerCutInOperation | Kind::CrashInSend => noted.came_true,
            Kind::FreezeProcess | Kind::FreezeMachine | Kind::FreezeUnseen => {
                noted.is_felt && outlasts_lease
            }
            Kind::Partition | Kind::OneWayPartition | Kind::RandomPartition => {
                noted.is_felt && noted.met_leader
            }
            Kind::DatagramsBlocked | Kind::Ring | Kind::Bridge => noted.is_felt && noted.met_leader,
            Kind::LinkLoss | Kind::LinkDelay | Kind::OneWayDelay | Kind::Flapping => {
                noted.is_felt && noted.met_leader && outlasts_lease
            }
            Kind::HeavyTail | Kind::Reordering | Kind::Corruption => {
                noted.is_felt && noted.met_leader && outlasts_lease
            }
            Kind::ClockDrift | Kind::SlowNode => noted.is_felt && outlasts_lease,
            Kind::WallJump | Kind::WallOffset => noted.is_felt,
            Kind::ClockJump => noted.is_felt && clock_jump_ms(gust) >= lease_ms,
            Kind::DiskFull | Kind::SyncsFail => noted.came_true,
            Kind::DiskSlow | Kind::DiskStalls => noted.is_felt,
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
