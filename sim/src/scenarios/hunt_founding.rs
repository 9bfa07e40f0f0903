//! Founders that die while the cluster is founded.

use super::WRITTEN_BY_MS;
use crate::cluster::{Cluster, Report, Workload};

/// Three founders start for the first time, one of them earlier than the others, and the power of
/// one of the three fails in the middle of some packet that it sends or some change of its disk,
/// whatever it has asked the others for by then. The two others, a majority, found the cluster and
/// serve; the third finds its place in it when it comes back.
pub(super) fn a_founder_dies_while_the_cluster_is_founded(seed: u64) -> Report {
    let mut cluster = Cluster::of(3).stopped().seed(seed);
    let mut order = ["n1", "n2", "n3"];
    order.rotate_left(cluster.choose("hunt_founding.first", 1).between(0, 2) as usize);
    let [first, others @ ..] = order;
    let victim = order[cluster.choose("hunt_founding.victim", 1).between(0, 2) as usize];
    let at_once = cluster.choose("hunt_founding.is_armed_at_once", 1).between(0, 1) == 1;
    if at_once {
        strike_in_passing(&mut cluster, victim);
    }
    cluster.restart(&[first]);
    cluster.run_for_ms(cluster.choose("hunt_founding.is_earlier_by_ms", 1).between(0, 1_000));
    if !at_once {
        strike_in_passing(&mut cluster, victim);
    }
    cluster.restart(&others);
    cluster.run_for_ms(2_000);
    cluster.cut_power(&[victim]); // if it has not come so far

    cluster.within_ms(5_000).another_leads(&[victim]);
    let blue = cluster.write("colour", "blue").acked_within_ms(3_000);
    cluster.start_writers(Workload::default());
    cluster.run_for_ms(500);
    cluster.restart(&[victim]);
    cluster.run_for_ms(500);
    cluster.within_ms(WRITTEN_BY_MS).acknowledged(11);
    cluster.stop_writers();
    cluster.within_ms(10_000).one_leader_and_equal_logs();
    cluster.read("colour").sees(&blue);
    cluster.check_invariants()
}

fn strike_in_passing(cluster: &mut Cluster, victim: &str) {
    match cluster.choose("hunt_founding.dies_in", 1).between(0, 1) {
        0 => {
            let k = cluster.choose("hunt_founding.send", 1).between(1, 150);
            cluster.cut_power_at_send(victim, k);
        }
        _ => {
            let k = cluster.choose("hunt_founding.disk_operation", 1).between(1, 40);
            cluster.cut_power_at_disk_operation(victim, k);
        }
    }
}
