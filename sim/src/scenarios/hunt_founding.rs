//! Founders that die while the cluster is founded.

use super::WRITTEN_BY_MS;
use crate::cluster::{Cluster, Report, Workload};

/// Three founders start for the first time, one of them earlier than the others, and the power of
/// that one fails in the middle of some packet that it sends, whatever it has asked the others for
/// by then. The others, a majority, found the cluster and serve; the first finds its place in it
/// when it comes back.
pub(super) fn the_first_founder_dies_while_the_cluster_is_founded(seed: u64) -> Report {
    let mut cluster = Cluster::of(3).stopped().seed(seed);
    let mut order = ["n1", "n2", "n3"];
    order.rotate_left(cluster.choose("hunt_founding.first", 1).between(0, 2) as usize);
    let [first, others @ ..] = order;
    cluster.restart(&[first]);
    cluster.run_for_ms(cluster.choose("hunt_founding.is_earlier_by_ms", 1).between(0, 1_000));
    cluster
        .cut_power_at_send(first, cluster.choose("hunt_founding.dies_in_send", 1).between(1, 150));
    cluster.restart(&others);
    cluster.run_for_ms(2_000);
    cluster.cut_power(&[first]); // if it has not sent so much

    cluster.within_ms(5_000).another_leads(&[first]);
    let blue = cluster.write("colour", "blue").acked_within_ms(3_000);
    cluster.start_writers(Workload::default());
    cluster.run_for_ms(500);
    cluster.restart(&[first]);
    cluster.run_for_ms(500);
    cluster.within_ms(WRITTEN_BY_MS).acknowledged(11);
    cluster.stop_writers();
    cluster.within_ms(10_000).one_leader_and_equal_logs();
    cluster.read("colour").sees(&blue);
    cluster.check_invariants()
}
