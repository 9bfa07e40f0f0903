//! Power cut in the middle of a commit.

use super::WRITTEN_BY_MS;
use crate::cluster::{Cluster, Report, Workload};

/// The leader's power fails in the middle of a write to its disk, then a replica's, then that of
/// all three at once. Each comes back with what it had synced, and nothing that was acknowledged
/// is missing.
pub(super) fn the_power_fails_in_the_middle_of_a_commit(seed: u64) -> Report {
    let mut cluster = Cluster::of(3).seed(seed);
    let blue = cluster.write("colour", "blue").acked_within_ms(2_000);
    cluster.start_writers(Workload::default());
    cluster.run_for_ms(cluster.choose("power_cut_in_commit.begins_ms", 1).between(1_000, 1_096));

    let leader = cluster.leader();
    let k = cluster.choose("power_cut_in_commit.operation", 1).between(1, 29);
    cluster.cut_power_in_commit(&leader, k);
    cluster.within_ms(3_000).another_leads(&[&leader]);
    cluster.write("while_away", "yes").acked_within_ms(3_000);
    cluster.restore_power(&[&leader]);
    cluster.run_for_ms(1_000);

    let leader = cluster.leader();
    let names = cluster.names();
    let replica = names.iter().find(|name| **name != leader).expect("three nodes have a replica");
    let k = cluster.choose("power_cut_in_commit.operation", 2).between(1, 31);
    cluster.cut_power_in_commit(replica, k);
    cluster.run_for_ms(700);
    cluster.restore_power(&[replica]);
    cluster.run_for_ms(1_000);

    let leader = cluster.leader();
    let k = cluster.choose("power_cut_in_commit.operation", 3).between(1, 37);
    cluster.cut_power_in_commit(&leader, k);
    let rest: Vec<&str> = names.iter().map(String::as_str).filter(|name| *name != leader).collect();
    cluster.cut_power(&rest);
    cluster.run_for_ms(300);
    let all: Vec<&str> = names.iter().map(String::as_str).collect();
    cluster.restore_power(&all);

    cluster.within_ms(5_000).one_leads();
    cluster.write("size", "large").acked_within_ms(5_000);
    cluster.run_for_ms(1_000);
    cluster.within_ms(WRITTEN_BY_MS).acknowledged(51);
    cluster.stop_writers();
    cluster.within_ms(10_000).one_leader_and_equal_logs();
    cluster.read("colour").sees(&blue);
    cluster.check_invariants()
}
