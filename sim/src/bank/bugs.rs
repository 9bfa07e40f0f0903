//! Every planted bug, with the scenario that finds it.

use super::{Bug, Finder};

const fn scenario(name: &'static str, seeds_count_max: u64) -> Finder {
    Finder::Scenario { name, seeds_count_max }
}

const fn test(suite: &'static str, name: &'static str) -> Finder {
    Finder::Test { suite, name }
}

/// The bank, in the order of the promises.
pub const BUGS: [Bug; 31] = [
    Bug {
        name: "vote_not_persisted",
        what: "a voter answers before its vote is on the disk, and forgets it with the next crash",
        promises: &[1],
        found_by: scenario("power_cut_in_commit", 20),
        says: "votes for",
    },
    Bug {
        name: "vote_without_log_check",
        what: "a voter grants its vote to whoever asks, however short the other's log is",
        promises: &[1],
        found_by: scenario("leader_crash", 20),
        says: "without entry",
    },
    Bug {
        name: "frame_checksum_not_checked",
        what: "a frame whose checksum does not hold is read like any other",
        promises: &[1],
        found_by: scenario("storm", 40),
        says: "has another than",
    },
    Bug {
        name: "act_before_old_lease_ended",
        what: "a new leader acts as soon as it is elected, whatever the old one may still do",
        promises: &[2],
        found_by: scenario("hunt_lease", 20),
        says: "may act at once",
    },
    Bug {
        name: "hand_over_before_demotion",
        what: "the term is handed over while whoever acts has not been told to stop",
        promises: &[2],
        found_by: scenario("hunt_switchover", 20),
        says: "may act at once",
    },
    Bug {
        name: "lease_ignores_drift",
        what: "a new leader waits for the old lease by its own clock, as if all ran alike",
        promises: &[2],
        found_by: scenario("hunt_lease", 20),
        says: "may act at once",
    },
    Bug {
        name: "restarted_voter_votes_at_once",
        what: "a voter that has just started votes as if no leader had been heard for ever",
        promises: &[2],
        found_by: scenario("hunt_lease", 20),
        says: "may act at once",
    },
    Bug {
        name: "read_without_barrier",
        what: "an elected node answers reads without asking a quorum whether it still leads",
        promises: &[3],
        found_by: scenario("hunt_reads", 20),
        says: "history:",
    },
    Bug {
        name: "ack_without_quorum",
        what: "a replica that gives no answer counts as one that has the entry",
        promises: &[4, 9],
        found_by: scenario("half_partition", 5),
        says: "as committed, which of the voters",
    },
    Bug {
        name: "rename_without_directory_fsync",
        what: "a file gets its name, and the folder that says so is not synced",
        promises: &[5],
        found_by: scenario("power_cut_in_commit", 5),
        says: "as committed, which of the voters",
    },
    Bug {
        name: "transaction_despite_failed_check",
        what: "a transaction goes on after a condition that does not hold",
        promises: &[6],
        found_by: scenario("hunt_transactions", 20),
        says: "condition did not hold",
    },
    Bug {
        name: "lease_not_checked",
        what: "a lease that outlives an election is not refused among the settings",
        promises: &[7],
        found_by: scenario("hunt_bad_settings", 20),
        says: "was to refuse its settings",
    },
    Bug {
        name: "layout_changed_quietly",
        what: "the request id of a log entry has its bytes in another order, for writer and reader",
        promises: &[8],
        found_by: scenario("hunt_old_store", 5),
        says: "entry 101 cannot be read",
    },
    Bug {
        name: "ack_before_fsync",
        what: "entries count as durable before they are synced",
        promises: &[10],
        found_by: scenario("power_cut_in_commit", 5),
        says: "as committed, which of the voters",
    },
    Bug {
        name: "retry_after_failed_fsync",
        what: "a sync that failed is tried again, and believed, though the system has forgotten",
        promises: &[10],
        found_by: scenario("hunt_failed_sync", 40),
        says: "of its records is missing",
    },
    Bug {
        name: "joint_change_left_unfinished",
        what: "a successor leaves a joint change as it has found it",
        promises: &[11],
        found_by: scenario("hunt_joint", 100),
        says: "has no end",
    },
    Bug {
        name: "id_reused_after_wipe",
        what: "a joiner gets the smallest free id, which another had before it left",
        promises: &[11],
        found_by: scenario("hunt_reused_id", 5),
        says: "the id n4 is given",
    },
    Bug {
        name: "effects_in_any_order",
        what: "what an actor is to do is done in the order of a hash table",
        promises: &[12],
        found_by: scenario("hunt_chance", 5),
        says: "the same seed gives two runs",
    },
    Bug {
        name: "panic_ends_its_actor_only",
        what: "a panic is told, and the process lives on without the actor that had it",
        promises: &[13],
        found_by: test("panics", "a_panic_of_any_actor_ends_the_process_and_another_node_leads"),
        says: "did not end its process",
    },
    Bug {
        name: "verdict_trusts_the_stores",
        what: "stores that agree with each other are believed, whatever clients were told",
        promises: &[14],
        found_by: test("demo", "a_tampered_store_and_a_ledger_line_too_many_turn_the_verdict_red"),
        says: "an old value everywhere",
    },
    Bug {
        name: "interrupted_demo_leaves_its_files",
        what: "the files of the demo are deleted at its end, and only there",
        promises: &[15],
        found_by: test("demo", "an_interrupted_demo_leaves_nothing"),
        says: "files of the demo are left",
    },
    Bug {
        name: "checksum_not_checked",
        what: "a record of the log is read although its checksum does not hold",
        promises: &[16],
        found_by: scenario("hunt_rot", 20),
        says: "cannot be read",
    },
    Bug {
        name: "duplicate_frame_applied_twice",
        what: "a write that comes again is executed again",
        promises: &[17],
        found_by: scenario("hunt_repeats", 20),
        says: "executed again",
    },
    Bug {
        name: "snapshot_without_request_table",
        what: "a snapshot forgets which requests were executed",
        promises: &[17],
        found_by: scenario("hunt_repeats", 20),
        says: "another state",
    },
    Bug {
        name: "forward_waits_for_the_old_leader",
        what: "a replica waits for the leader it has sent a write to, though another leads by now",
        promises: &[18],
        found_by: scenario("hunt_dark_leader", 20),
        says: "a client waited for",
    },
    Bug {
        name: "poor_links_are_forgiven",
        what: "a leader that its links cost its lease, again and again, shows itself all the time",
        promises: &[19],
        found_by: scenario("hunt_poor_links", 200),
        says: "was not acknowledged within",
    },
    Bug {
        name: "log_never_compacted",
        what: "the log keeps every entry, whatever a snapshot covers",
        promises: &[20],
        found_by: scenario("hunt_long_dark", 5),
        says: "the log of n",
    },
    Bug {
        name: "called_down_for_good",
        what: "who was called down does not come back under a higher incarnation",
        promises: &[21],
        found_by: scenario("hunt_called_down", 5),
        says: "the members do not agree",
    },
    Bug {
        name: "doors_open_before_founding",
        what: "a founder can be asked for its vote before it has written down who the voters are",
        promises: &[22],
        found_by: scenario("hunt_founding", 200),
        says: "nobody else may act",
    },
    Bug {
        name: "database_made_in_place",
        what: "the database of snapshots is made where it belongs, in several writes",
        promises: &[22],
        found_by: scenario("hunt_founding", 200),
        says: "state.redb is damaged",
    },
    Bug {
        name: "addresses_asked_in_turn",
        what: "a client waits for one address to make up its mind before it asks the next",
        promises: &[23],
        found_by: scenario("hunt_dead_addresses", 20),
        says: "has no answer within 1000 ms",
    },
];
