//! A member that the others rightly call down, and that is well again.

use crate::cluster::{Cluster, Report, Workload};

/// Longer than the others need to call somebody down whom nobody hears.
const AWAY_MS: (u64, u64) = (4_000, 6_000);
/// How long two halves may take to find each other after a partition, and gossip to go round.
const AGREED_WITHIN_MS: u64 = 12_000;

/// One of five is cut off until the others call it down, and it the others. Then the network is
/// whole again: nothing has to be started anew for everybody to see everybody alive.
pub(super) fn who_was_called_down_is_seen_alive_again(seed: u64) -> Report {
    let mut cluster = Cluster::of(5).seed(seed);
    let blue = cluster.write("colour", "blue").acked_within_ms(2_000);
    cluster.within_ms(5_000).members_agree();
    cluster.start_writers(Workload::default());
    let victim = cluster.choose("hunt_called_down.victim", 1).between(1, 5);
    cluster.partition(&[&format!("n{victim}")]);
    let (least_ms, most_ms) = AWAY_MS;
    cluster.run_for_ms(cluster.choose("hunt_called_down.away_ms", 1).between(least_ms, most_ms));
    let count = cluster.report().false_downs_count;
    assert!(count >= 4, "the others call it down, only {count} have");
    cluster.heal();
    cluster.within_ms(AGREED_WITHIN_MS).members_agree();
    cluster.stop_writers();
    cluster.within_ms(10_000).one_leader_and_equal_logs();
    cluster.read("colour").sees(&blue);
    cluster.check_invariants()
}
