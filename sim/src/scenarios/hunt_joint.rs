//! The leader dies in the middle of a joint change.

use crate::cluster::{Cluster, Report, Workload};

/// In which millisecond of a promotion the leader dies. Earlier the change has not begun as a rule,
/// later it is through.
const MOMENT_MS: (u64, u64) = (12, 18);

/// Two of five are made voters, and the leader dies at some moment of that. Whoever leads next
/// finishes what it finds, and the newcomers count: with two of five away the rest acknowledges.
pub(super) fn the_leader_dies_in_a_joint_change(seed: u64) -> Report {
    let mut cluster = Cluster::of(5).tune(|shared| shared.founders_count = Some(3)).seed(seed);
    let blue = cluster.write("colour", "blue").via("n1").acked_within_ms(2_000);
    cluster.start_writers(Workload::default());
    let joined = [cluster.add_member("n4"), cluster.add_member("n5")];
    cluster.run_for_ms(cluster.choose("hunt_joint.begins_ms", 1).between(500, 596));

    let moment_ms = cluster.choose("hunt_joint.dies_after_ms", 1).between(MOMENT_MS.0, MOMENT_MS.1);
    let leader = cluster.leader();
    cluster.promote_for_ms(&joined, moment_ms);
    cluster.crash(&[&leader]);
    cluster.within_ms(5_000).another_leads(&[&leader]);
    cluster.run_for_ms(2_000);
    cluster.promote(&joined);
    let next = cluster.leader();
    cluster.cut_power(&[&next]);
    cluster.within_ms(10_000).another_leads(&[&leader, &next]);
    cluster.write("shape", "round").acked_within_ms(5_000);

    cluster.restore_power(&[&leader, &next]);
    cluster.stop_writers();
    cluster.within_ms(15_000).one_leader_and_equal_logs();
    cluster.read("colour").sees(&blue);
    cluster.check_invariants()
}
