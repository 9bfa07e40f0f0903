//! A lease that still holds while the other voters have forgotten it.

use crate::cluster::{Cluster, Report, Workload};
use crate::world::LinkSettings;

/// By so much the leader's clock is slow, and those of the others are fast. Together it is all that
/// the settings allow.
const SLOW_PPM: i64 = -95_000;
const FAST_PPM: i64 = 80_000;

/// The leader of three is cut off, and at that moment the other two start anew. They remember no
/// leader, so nothing keeps them from electing one while the old lease holds; and its holder's
/// clock is slow. Who is elected waits until nobody can act on that lease any more.
pub(super) fn the_others_start_anew_while_a_lease_holds(seed: u64) -> Report {
    let fast = LinkSettings { latency_us_min: 20, latency_us_max: 60, ..LinkSettings::default() };
    let setup = Cluster::of(3).links(fast).tune(|shared| {
        shared.clock_drift_percent_max = 20;
        shared.election_timeout_ms_max = 600;
        shared.lease_ms = 480;
    });
    let mut cluster = setup.seed(seed);
    let blue = cluster.write("colour", "blue").acked_within_ms(2_000);
    // Whoever writes all the time keeps the lease as long as it can be.
    cluster.start_writers(Workload { pause_ms: 5, ..Workload::default() });
    let leader = cluster.leader();
    let names = cluster.names();
    let others: Vec<&str> =
        names.iter().map(String::as_str).filter(|name| *name != leader).collect();
    cluster.world().set_clock_drift_ppm(cluster.machine(&leader), SLOW_PPM);
    for other in &others {
        cluster.world().set_clock_drift_ppm(cluster.machine(other), FAST_PPM);
    }
    cluster.run_for_ms(cluster.choose("hunt_lease.begins_ms", 1).between(1_000, 1_096));

    let leader = cluster.leader();
    let others: Vec<&str> =
        names.iter().map(String::as_str).filter(|name| *name != leader).collect();
    cluster.partition(&[&leader]);
    cluster.crash(&others);
    cluster.restart(&others);
    cluster.within_ms(5_000).another_leads(&[&leader]);
    cluster.write("shape", "round").acked_within_ms(5_000);

    cluster.heal();
    cluster.stop_writers();
    cluster.within_ms(10_000).one_leader_and_equal_logs();
    cluster.read("colour").sees(&blue);
    cluster.check_invariants()
}
