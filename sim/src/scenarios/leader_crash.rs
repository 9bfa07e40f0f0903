//! Leader crash and restart of three.

use super::WRITTEN_BY_MS;
use crate::cluster::{Cluster, Report, Workload};

/// The leader's process dies while clients write, three times over, and comes back. Each time
/// another node leads soon, and at the end nothing that was acknowledged is missing anywhere.
pub(super) fn the_leader_crashes_and_comes_back(seed: u64) -> Report {
    let mut cluster = Cluster::of(3).seed(seed);
    let blue = cluster.write("colour", "blue").acked_within_ms(2_000);
    cluster.start_writers(Workload::default());
    cluster.run_for_ms(cluster.choose("leader_crash.begins_ms", 1).between(1_000, 1_096));

    for round in ["first", "second", "third"] {
        let leader = cluster.leader();
        cluster.crash(&[&leader]);
        cluster.within_ms(3_000).another_leads(&[&leader]);
        cluster.write("while_away", round).acked_within_ms(3_000);
        cluster.run_for_ms(500);
        cluster.restart(&[&leader]);
        cluster.run_for_ms(1_000);
    }

    cluster.within_ms(WRITTEN_BY_MS).acknowledged(51);
    cluster.stop_writers();
    cluster.write("size", "large").acked_within_ms(3_000);
    cluster.within_ms(10_000).one_leader_and_equal_logs();
    cluster.read("colour").sees(&blue);
    let report = cluster.check_invariants();
    assert!(report.tokens_count >= 4, "the crashes did not bite: {report:?}");
    report
}
