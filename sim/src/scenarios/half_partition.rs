//! Half partition of four, the half with the leader known, and heal.

use super::WRITTEN_BY_MS;
use crate::cluster::{Cluster, Report, Workload};

/// The leader and one replica are cut off from the other two. Neither half has a majority, so the
/// leader stops acting within its lease and nobody acknowledges anything; after the heal one leads
/// again and nothing that was acknowledged is missing.
pub(super) fn half_of_the_cluster_is_cut_off(seed: u64) -> Report {
    let mut cluster = Cluster::of(4).seed(seed);
    let blue = cluster.write("colour", "blue").acked_within_ms(2_000);
    cluster.start_writers(Workload::default());
    cluster.run_for_ms(cluster.choose("half_partition.begins_ms", 1).between(1_000, 1_096));

    let leader = cluster.leader();
    let names = cluster.names();
    let mut others = names.iter().filter(|name| **name != leader);
    let companion = others.next().expect("a cluster of four has another node").clone();
    let outside = others.next().expect("a cluster of four has a third node").clone();
    cluster.partition(&[&leader, &companion]);
    cluster.within_ms(1_500).nobody_leads();
    cluster.run_for_ms(100); // what was committed before reaches its clients
    let acknowledged_count = cluster.ledger().acknowledged_count;
    cluster.write("size", "small").via(&outside).not_acked_within_ms(1_000);
    cluster.write("size", "medium").via(&leader).not_acked_within_ms(1_000);
    cluster.run_for_ms(2_000);
    let during_count = cluster.ledger().acknowledged_count - acknowledged_count;
    assert!(during_count == 0, "{during_count} writes were acknowledged without a majority");

    cluster.heal();
    cluster.within_ms(10_000).one_leads();
    cluster.write("shape", "round").acked_within_ms(5_000);
    cluster.run_for_ms(1_000);
    cluster.within_ms(WRITTEN_BY_MS).acknowledged(10);
    cluster.stop_writers();
    cluster.within_ms(10_000).one_leader_and_equal_logs();
    cluster.read("colour").sees(&blue);
    cluster.check_invariants()
}
