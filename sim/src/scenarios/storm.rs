//! Storms: every run draws its own plan of faults.
//!
//! Read next: `plan/`, which draws and strikes them.

use crate::cluster::Report;
use crate::plan::{self, ALL, Kind, Theme};

const FOUNDERS: &[(&str, u8)] = &[("three", 3), ("four", 4), ("five", 5)];

fn theme(name: &'static str, kinds: &'static [(&'static str, Kind)]) -> Theme {
    Theme { name, founders: FOUNDERS, waiting_count_max: 0, kinds }
}

/// Three to five nodes suffer whatever has a name here, some of it at the same time, while clients
/// write. A core of the quorum that is healed serves alone; when all are, they agree, and nothing
/// that was acknowledged is missing.
pub(super) fn a_storm_of_every_fault_passes(seed: u64) -> Report {
    plan::tell(seed, Theme { waiting_count_max: 1, ..theme("storm", &ALL) })
}

/// Every machine loses power at once, again and again, also in the middle of a change of a disk.
/// What was acknowledged was on the disks of a majority, and is there when the power is back.
pub(super) fn the_power_fails_everywhere(seed: u64) -> Report {
    const KINDS: &[(&str, Kind)] = &[
        ("power cut everywhere", Kind::PowerCutEverywhere),
        ("power cut in an operation", Kind::PowerCutInOperation),
        ("power cut", Kind::PowerCut),
        ("overload", Kind::Overload),
    ];
    plan::tell(seed, theme("power_cut_everywhere", KINDS))
}

/// Disks fill up, slow down and lose what was not synced, while nodes crash; one may be wiped, lie
/// or rot. A node that cannot write ends and says so, and comes back with what it had when there is
/// room again; one whose disk is lost is removed, and nothing is lost with it.
pub(super) fn a_storm_of_disks_passes(seed: u64) -> Report {
    const KINDS: &[(&str, Kind)] = &[
        ("slow disk", Kind::DiskSlow),
        ("full disk", Kind::DiskFull),
        ("wiped disk", Kind::DiskWiped),
        ("lying disk", Kind::DiskLies),
        ("rotten disk", Kind::DiskRots),
        ("power cut in an operation", Kind::PowerCutInOperation),
        ("power cut", Kind::PowerCut),
        ("restart", Kind::Restart),
        ("overload", Kind::Overload),
    ];
    plan::tell(seed, theme("storm_of_disks", KINDS))
}

/// Links are cut, one way or both, in turns, as a ring or but for a bridge; they lose, delay,
/// reorder and corrupt what they carry. Whoever is on the wrong side stops acting in time, and a
/// majority that is connected serves.
pub(super) fn a_storm_of_links_passes(seed: u64) -> Report {
    const KINDS: &[(&str, Kind)] = &[
        ("partition", Kind::Partition),
        ("one-way partition", Kind::OneWayPartition),
        ("random partition", Kind::RandomPartition),
        ("datagrams blocked", Kind::DatagramsBlocked),
        ("link loss", Kind::LinkLoss),
        ("link delay", Kind::LinkDelay),
        ("crash", Kind::Crash),
        ("one-way delay", Kind::OneWayDelay),
        ("heavy tail", Kind::HeavyTail),
        ("reordering", Kind::Reordering),
        ("corruption", Kind::Corruption),
        ("flapping", Kind::Flapping),
        ("ring", Kind::Ring),
        ("bridge", Kind::Bridge),
    ];
    plan::tell(seed, theme("storm_of_links", KINDS))
}

/// Clocks drift as far apart as the lease allows, jump, and stand still while their machines are
/// frozen; leaders change. No two nodes act at once.
pub(super) fn a_storm_of_clocks_passes(seed: u64) -> Report {
    const KINDS: &[(&str, Kind)] = &[
        ("clock drift", Kind::ClockDrift),
        ("wall clock jump", Kind::WallJump),
        ("clock jump", Kind::ClockJump),
        ("freeze", Kind::FreezeMachine),
        ("freeze of a process", Kind::FreezeProcess),
        ("freeze unseen", Kind::FreezeUnseen),
        ("crash", Kind::Crash),
        ("partition", Kind::Partition),
    ];
    plan::tell(seed, theme("storm_of_clocks", KINDS))
}

/// Members are added, promoted and removed while nodes crash, freeze and are cut off. Whatever
/// becomes of a change, a majority of the members that it leaves serves, and all of them agree.
pub(super) fn the_members_change_in_a_storm(seed: u64) -> Report {
    const KINDS: &[(&str, Kind)] = &[
        ("member added", Kind::MemberAdded),
        ("members promoted", Kind::MembersPromoted),
        ("member removed", Kind::MemberRemoved),
        ("crash", Kind::Crash),
        ("power cut", Kind::PowerCut),
        ("freeze", Kind::FreezeMachine),
        ("partition", Kind::Partition),
        ("link loss", Kind::LinkLoss),
    ];
    plan::tell(seed, Theme { waiting_count_max: 3, ..theme("change_in_a_storm", KINDS) })
}
