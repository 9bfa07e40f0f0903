//! Disks that fail for a moment, and then the power.

use crate::cluster::{Cluster, Report, Workload};

/// Every disk refuses to sync for some milliseconds under load, and soon after the power of all
/// machines fails. Nobody has acknowledged what a failed sync has left behind: nodes end instead of
/// trying again, and start with what they had synced.
pub(super) fn every_disk_fails_to_sync_and_the_power_goes(seed: u64) -> Report {
    let mut cluster = Cluster::of(3).seed(seed);
    let blue = cluster.write("colour", "blue").acked_within_ms(2_000);
    cluster.start_writers(Workload { writers_count: 6, pause_ms: 5, ..Workload::default() });
    cluster.run_for_ms(cluster.choose("hunt_failed_sync.begins_ms", 1).between(500, 596));

    let names = cluster.names();
    let all: Vec<&str> = names.iter().map(String::as_str).collect();
    let fail = |cluster: &Cluster, fail| {
        names.iter().for_each(|name| cluster.world().set_syncs_fail(cluster.machine(name), fail));
    };
    fail(&cluster, true);
    // Without the checkers: that a node whose disk fails ends by itself is what is wanted.
    cluster.world().run_for(cluster.choose("hunt_failed_sync.length_ms", 1).between(5, 30));
    fail(&cluster, false);
    cluster.world().run_for(cluster.choose("hunt_failed_sync.power_ms", 1).between(1, 30));
    cluster.cut_power(&all);
    cluster.run_for_ms(200);
    cluster.restore_power(&all);

    cluster.within_ms(10_000).one_leads();
    cluster.write("size", "large").acked_within_ms(5_000);
    cluster.stop_writers();
    cluster.within_ms(10_000).one_leader_and_equal_logs();
    cluster.read("colour").sees(&blue);
    cluster.check_invariants()
}
