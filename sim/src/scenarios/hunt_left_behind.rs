//! A node that was away for long comes back far behind.

use crate::cluster::{Cluster, Report, Workload};

/// Entries between two snapshots: few, so that the log before them is dropped.
const SNAPSHOT_ENTRIES_COUNT: u64 = 100;
/// Together more than a node keeps of its log in memory.
const LARGE_COUNT: u64 = 36;
const LARGE_SIZE_BYTES: usize = 256 << 10;

/// One of three is away while much is written. The first time the others still have it in their
/// logs, though not in memory; the second time only in a snapshot. Each time it ends with the state
/// of the others.
pub(super) fn a_node_comes_back_far_behind(seed: u64) -> Report {
    let setup =
        Cluster::of(3).tune(|shared| shared.snapshot_entries_count = SNAPSHOT_ENTRIES_COUNT);
    let mut cluster = setup.seed(seed);
    let leader = cluster.leader();
    let names = cluster.names();
    let away = cluster.choose("hunt_left_behind.node", 1).between(0, 1) as usize;
    let away = names.iter().filter(|name| **name != leader).nth(away).expect("two do not lead");

    cluster.crash(&[away]);
    let large = "x".repeat(LARGE_SIZE_BYTES);
    for number in 1..=LARGE_COUNT {
        let _acked = cluster.write("large", &format!("{number}{large}")).acked_within_ms(5_000);
    }
    cluster.restart(&[away]);
    cluster.within_ms(20_000).one_leader_and_equal_logs();

    let _acked = cluster.write("large", "no more").acked_within_ms(5_000);

    cluster.cut_power(&[away]);
    let load = Workload {
        writers_count: 8,
        pause_ms: 2,
        names_count: 50,
        reads: 0.05,
        ..Workload::default()
    };
    cluster.start_writers(load);
    cluster.run_for_ms(cluster.choose("hunt_left_behind.away_ms", 1).between(1_000, 1_200));
    // A leader keeps the entries that it still tries to send; whoever leads next has dropped them.
    let leader = cluster.leader();
    cluster.crash(&[&leader]);
    cluster.restart(&[&leader]);
    cluster.within_ms(5_000).one_leads();
    cluster.restore_power(&[away]);
    cluster.run_for_ms(500);
    cluster.stop_writers();
    cluster.within_ms(20_000).one_leader_and_equal_logs();
    cluster.check_invariants()
}
