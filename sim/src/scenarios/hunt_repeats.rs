//! Requests that come twice.

use crate::cluster::{Cluster, Report, Sent, Workload};

/// Entries between two snapshots: few, so that a node starts from one.
const SNAPSHOT_ENTRIES_COUNT: u64 = 100;
/// Requests that are repeated.
const REPEATED_COUNT: u64 = 6;

/// Clients that are not sure send the same again, at once and much later: after nodes have started
/// from a snapshot, and another leads. Whoever acknowledges a repeat says what was said the first
/// time, and no node executes it again.
pub(super) fn a_repeated_request_is_answered_and_not_executed(seed: u64) -> Report {
    let setup =
        Cluster::of(3).tune(|shared| shared.snapshot_entries_count = SNAPSHOT_ENTRIES_COUNT);
    let mut cluster = setup.seed(seed);
    let mut sent: Vec<Sent> = Vec::new();
    for number in 1..=REPEATED_COUNT {
        sent.extend(cluster.send_once(&format!("once{number}"), "yes"));
    }
    let mut repeated_count = sent.iter().filter(|one| cluster.send_again(one)).count();
    cluster.start_writers(Workload { pause_ms: 5, ..Workload::default() });
    cluster.run_for_ms(cluster.choose("hunt_repeats.begins_ms", 1).between(1_500, 1_596));

    let names = cluster.names();
    let place = cluster.choose("hunt_repeats.node", 1).between(0, 2) as usize;
    for at in [place, (place + 1) % 3] {
        let name = names[at].as_str();
        cluster.crash(&[name]);
        cluster.run_for_ms(cluster.choose("hunt_repeats.away_ms", at as u64 + 1).between(10, 400));
        cluster.restart(&[name]);
        cluster.within_ms(5_000).one_leads();
        cluster.run_for_ms(300);
    }
    repeated_count += sent.iter().filter(|one| cluster.send_again(one)).count();

    cluster.stop_writers();
    cluster.within_ms(10_000).one_leader_and_equal_logs();
    let report = cluster.check_invariants();
    assert!(repeated_count >= 6, "{repeated_count} repeats were answered: {report:?}");
    report
}
