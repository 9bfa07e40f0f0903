//! Leadership is handed over again and again.

use crate::cluster::{Cluster, Report, Workload};

/// Hand-overs that an operator asks for.
const ROUNDS_COUNT: u64 = 4;

/// An operator hands leadership on while clients write. At no moment two nodes act, nothing that
/// was acknowledged is lost, and most hand-overs are taken.
pub(super) fn leadership_is_handed_on_while_clients_write(seed: u64) -> Report {
    let mut cluster = Cluster::of(3).seed(seed);
    let blue = cluster.write("colour", "blue").acked_within_ms(2_000);
    cluster.start_writers(Workload { pause_ms: 10, ..Workload::default() });
    let mut taken_count = 0;
    for round in 1..=ROUNDS_COUNT {
        cluster.run_for_ms(cluster.choose("hunt_switchover.pause_ms", round).between(300, 700));
        let before = cluster.leader();
        if cluster.switch_over().is_some() {
            taken_count += 1;
            cluster.within_ms(3_000).another_leads(&[&before]);
        }
    }
    cluster.run_for_ms(500);
    cluster.stop_writers();
    cluster.within_ms(10_000).one_leader_and_equal_logs();
    cluster.read("colour").sees(&blue);
    let report = cluster.check_invariants();
    assert!(taken_count * 2 >= ROUNDS_COUNT, "{taken_count} hand-overs were taken: {report:?}");
    report
}
