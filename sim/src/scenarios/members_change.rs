//! Two members join, both become voters in one joint change, and one leaves.

use quorate_core::ids::NodeId;

use crate::cluster::{Cluster, Report, Workload};

/// Three nodes take in two more while clients write. As voters the newcomers count: with two of
/// five without power the others still acknowledge. A member that leaves is missed by nobody, and
/// ids are given in the order of joining.
pub(super) fn two_members_join_and_one_leaves(seed: u64) -> Report {
    let mut cluster = Cluster::of(5).tune(|shared| shared.founders_count = Some(3)).seed(seed);
    let blue = cluster.write("colour", "blue").via("n1").acked_within_ms(2_000);
    cluster.start_writers(Workload::default());
    let joined = [cluster.add_member("n4"), cluster.add_member("n5")];
    assert_eq!(joined, [NodeId(4), NodeId(5)], "ids follow the order of joining");
    cluster.promote(&joined);

    let leader = cluster.leader();
    let names = cluster.names();
    let other = names[..3].iter().find(|name| **name != leader).expect("three founders").clone();
    cluster.cut_power(&[&leader, &other]);
    cluster.within_ms(10_000).another_leads(&[&leader, &other]);
    cluster.write("shape", "round").acked_within_ms(5_000);
    cluster.restore_power(&[&leader, &other]);
    cluster.within_ms(15_000).one_leader_and_equal_logs();

    let leader = cluster.leader();
    let leaves = if leader == "n5" { NodeId(4) } else { NodeId(5) };
    let left = leaves.to_string();
    cluster.remove_members(&[leaves]);
    cluster.cut_power(&[&left]);
    cluster.write("size", "small").acked_within_ms(5_000);
    cluster.run_for_ms(1_000);
    cluster.stop_writers();
    cluster.within_ms(10_000).one_leader_and_equal_logs_without(&[&left]);
    cluster.read("colour").sees(&blue);
    cluster.check_invariants()
}
