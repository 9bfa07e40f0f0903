//! A leader that does not know that it leads no more is asked for values.

use crate::cluster::{Cluster, Report, Workload};

/// Few names, so that a value which is read late has been replaced.
const NAMES_COUNT: u64 = 4;

/// The leader of three is cut off alone while clients go on at every node, those beside it
/// included. The others elect another and write; nobody may read what was replaced before the read
/// began.
pub(super) fn a_leader_that_was_cut_off_is_asked_for_values(seed: u64) -> Report {
    let mut cluster = Cluster::of(3).seed(seed);
    let load =
        Workload { pause_ms: 10, names_count: NAMES_COUNT, reads: 0.5, ..Workload::default() };
    cluster.start_writers(load);
    for round in 1..=2 {
        cluster.run_for_ms(cluster.choose("hunt_reads.begins_ms", round).between(300, 396));
        let leader = cluster.leader();
        cluster.partition(&[&leader]);
        cluster.within_ms(3_000).another_leads(&[&leader]);
        cluster.run_for_ms(cluster.choose("hunt_reads.lasts_ms", round).between(500, 2_000));
        cluster.heal();
        cluster.within_ms(5_000).one_leads();
    }
    cluster.run_for_ms(500);
    cluster.stop_writers();
    cluster.within_ms(10_000).one_leader_and_equal_logs();
    cluster.check_invariants()
}
