//! A member leaves, its disk is wiped, and another joins.

use quorate_core::ids::NodeId;

use crate::cluster::{Cluster, Report, Workload};

/// One joins and leaves again, and its machine is wiped. The next joiner is another node with an id
/// of its own: that of the one that left is never given again, so nobody takes it for a voter that
/// remembers its votes.
pub(super) fn a_joiner_never_gets_the_id_of_one_that_left(seed: u64) -> Report {
    let mut cluster = Cluster::of(5).tune(|shared| shared.founders_count = Some(3)).seed(seed);
    let blue = cluster.write("colour", "blue").via("n1").acked_within_ms(2_000);
    cluster.start_writers(Workload::default());
    let left = cluster.add_member("n4");
    cluster.run_for_ms(cluster.choose("hunt_reused_id.stays_ms", 1).between(100, 500));
    cluster.remove_members(&[left]);
    cluster.cut_power(&["n4"]);
    cluster.world().wipe_disk(cluster.machine("n4"));

    let joined = cluster.add_member("n5");
    assert_eq!((left, joined), (NodeId(4), NodeId(5)), "an id is given once");
    cluster.promote(&[joined]);
    cluster.write("size", "small").acked_within_ms(5_000);
    cluster.stop_writers();
    cluster.within_ms(10_000).one_leader_and_equal_logs_without(&["n4"]);
    cluster.read("colour").sees(&blue);
    cluster.check_invariants()
}
