//! Which telling places of the nodes' code each scenario is there to bring about.
//!
//! Not every seed meets them all; the fixed seeds of `tests/tests/simulation.rs` together do. A
//! scenario that stops to meet one of its own has become another story, however green it is.
//!
//! Read next: `core/src/observe/marks.rs` for what each of them means.

/// By scenario.
const REQUIRED: [(&str, &[&str]); 21] = [
    ("leader_crash", &["heartbeat.peer_silent", "vote.granted_after_restart", "write.forwarded"]),
    ("half_partition", &["leader.lease_ran_out", "read.index_from_leader"]),
    ("growth", &["heartbeat.pause_noticed", "leader.fenced_by_pause"]),
    ("members_change", &["write.bounced"]),
    (
        "join_by_token",
        &[
            "api.tls",
            "membership.joined_by_token",
            "membership.join_repeated",
            "membership.learners_promoted",
        ],
    ),
    ("power_cut_in_commit", &["leader.old_lease_waited_out", "vote.refused_leader_heard"]),
    ("storm", &["snapshot.restored_at_start", "snapshot.taken"]),
    ("hunt_failed_sync", &["leader.old_lease_waited_out", "read.waited_for_apply"]),
    ("hunt_handover", &["handover.not_taken", "vote.refused_log_behind"]),
    (
        "hunt_intruders",
        &[
            "link.frame_refused",
            "security.certificate_renewed",
            "security.clock_ignored",
            "security.greeted",
            "security.unknown_key_certified",
        ],
    ),
    ("hunt_joint", &["membership.joint_change_finished"]),
    ("hunt_lease", &["leader.old_lease_waited_out", "log.truncated"]),
    ("hunt_left_behind", &["log.compacted", "log.read_from_disk", "snapshot.installed"]),
    ("hunt_old_store", &["snapshot.restored_at_start"]),
    ("hunt_poor_links", &["heartbeat.peer_lossy"]),
    ("hunt_reads", &["leader.lease_ran_out", "read.not_confirmed"]),
    ("hunt_repeats", &["request.repeated", "snapshot.restored_at_start"]),
    ("hunt_rot", &["log.torn_group_dropped"]),
    ("hunt_slow_disks", &["handover.aborted", "leader.older_record_refused"]),
    ("hunt_strangers", &["leader.deposed", "link.frame_refused", "write.outcome_unknown"]),
    ("hunt_switchover", &["handover.taken", "write.refused_in_handover"]),
];

/// The places that a sweep of this scenario must meet, by name.
pub fn required_marks(scenario: &str) -> &'static [&'static str] {
    let found = REQUIRED.iter().find(|(name, _)| *name == scenario);
    found.map_or(&[], |(_, marks)| marks)
}
