//! Hand-overs that are cut in the middle.

use crate::cluster::{Cluster, Report, Workload};

/// Hand-overs in one run.
const ROUNDS_COUNT: u64 = 6;
/// The last millisecond of a hand-over at which it is cut: by then it is through.
const MOMENT_MS_MAX: u64 = 30;

/// The leader is cut off at some moment of each hand-over: before its right has ended, before the
/// record of that is anywhere else, before its target has heard. Each time somebody leads soon, at
/// no moment two do, and nothing that was acknowledged is lost.
pub(super) fn a_hand_over_is_cut_in_the_middle(seed: u64) -> Report {
    let mut cluster = Cluster::of(3).seed(seed);
    let blue = cluster.write("colour", "blue").acked_within_ms(2_000);
    cluster.start_writers(Workload { pause_ms: 10, ..Workload::default() });
    for round in 1..=ROUNDS_COUNT {
        cluster.run_for_ms(cluster.choose("hunt_handover.pause_ms", round).between(300, 700));
        let moment = cluster.choose("hunt_handover.moment_ms", round).between(0, MOMENT_MS_MAX);
        let leader = cluster.switch_over_for_ms(moment);
        cluster.partition(&[&leader]);
        cluster.run_for_ms(cluster.choose("hunt_handover.lasts_ms", round).between(100, 900));
        cluster.heal();
        cluster.within_ms(5_000).one_leads();
    }
    cluster.run_for_ms(500);
    cluster.stop_writers();
    cluster.within_ms(10_000).one_leader_and_equal_logs();
    cluster.read("colour").sees(&blue);
    cluster.check_invariants()
}
