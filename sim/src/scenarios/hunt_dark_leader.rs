//! A leader whose machine goes dark: nothing answers, and nothing refuses either.

use crate::cluster::{Cluster, Report, Workload};

/// A client knows after so long what became of its write, or that nobody can say. The shortest wait
/// of a client that asked the dark leader through a replica would be its write timeout, of seconds.
const KNOWN_WITHIN_MS: u64 = 2_500;

/// The machine of the leader of three loses power while clients write through the other two, which
/// have sent it their writes. Each client is told soon, and goes on with the next leader.
pub(super) fn the_leaders_machine_goes_dark_while_replicas_wait_for_it(seed: u64) -> Report {
    let mut cluster = Cluster::of(3).seed(seed);
    let blue = cluster.write("colour", "blue").acked_within_ms(2_000);
    cluster.start_writers(Workload { writers_count: 6, pause_ms: 10, ..Workload::default() });
    for round in 1..=2 {
        cluster.run_for_ms(cluster.choose("hunt_dark_leader.begins_ms", round).between(300, 396));
        let leader = cluster.leader();
        cluster.cut_power(&[&leader]);
        cluster.within_ms(5_000).another_leads(&[&leader]);
        cluster.run_for_ms(3_000);
        cluster.restart(&[&leader]);
        cluster.run_for_ms(1_000);
    }
    cluster.stop_writers();
    cluster.within_ms(10_000).one_leader_and_equal_logs();
    cluster.read("colour").sees(&blue);
    let report = cluster.check_invariants();
    for asked in cluster.ledger().operations() {
        let waited_ms = (asked.end_ns - asked.start_ns) / 1_000_000;
        assert!(waited_ms <= KNOWN_WITHIN_MS, "a client waited for {waited_ms} ms; {asked:?}");
    }
    assert!(report.tokens_count >= 3, "the outages did not bite: {report:?}");
    report
}
