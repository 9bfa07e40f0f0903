//! A member that is away for long, while clients write.

use super::WRITTEN_BY_MS;
use crate::checkers::Bounded;
use crate::cluster::{Cluster, Report, Workload};

const SNAPSHOT_ENTRIES_COUNT: u64 = 100;
/// Long enough for the others to write twice what a log may keep, 300 entries each second; longer
/// where links or disks are slow.
const AWAY_MS: u64 = 10_000;
/// What is written in four seconds, while consensus may still mean to send it to a dark machine.
const KEPT_ENTRIES_COUNT: u64 = 1_200;

/// A replica loses power and stays away, then the leader does and another leads. What the log keeps
/// for those who are away has a bound: they get a snapshot when they are back.
pub(super) fn a_log_does_not_grow_for_a_member_that_is_away(seed: u64) -> Report {
    let setup =
        Cluster::of(5).tune(|shared| shared.snapshot_entries_count = SNAPSHOT_ENTRIES_COUNT);
    let mut cluster = setup.seed(seed);
    let few = Bounded::keeping(SNAPSHOT_ENTRIES_COUNT, KEPT_ENTRIES_COUNT);
    cluster.check_with(Box::new(few));
    let blue = cluster.write("colour", "blue").acked_within_ms(2_000);
    cluster.start_writers(Workload { writers_count: 10, pause_ms: 10, ..Workload::default() });
    cluster.run_for_ms(cluster.choose("hunt_long_dark.begins_ms", 1).between(300, 396));
    let leader = cluster.leader();
    let names = cluster.names();
    let away = names.iter().find(|name| **name != leader).expect("there are five").clone();
    cluster.cut_power(&[&away]);
    write_more_than_is_kept(&mut cluster);
    cluster.cut_power(&[&leader]);
    cluster.within_ms(10_000).another_leads(&[&leader]);
    write_more_than_is_kept(&mut cluster);
    cluster.restore_power(&[&away, &leader]);
    cluster.run_for_ms(2_000);
    cluster.stop_writers();
    cluster.within_ms(20_000).one_leader_and_equal_logs();
    cluster.read("colour").sees(&blue);
    cluster.check_invariants()
}

fn write_more_than_is_kept(cluster: &mut Cluster) {
    let before_count = cluster.report().acknowledged_count;
    cluster.run_for_ms(AWAY_MS);
    let more_count = 2 * SNAPSHOT_ENTRIES_COUNT + KEPT_ENTRIES_COUNT + 1;
    cluster.within_ms(WRITTEN_BY_MS).acknowledged(before_count + more_count);
}
