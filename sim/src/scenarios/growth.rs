//! The first node stands still while two more become voters.

use crate::cluster::{Cluster, Report, Workload};
use crate::world::LinkSettings;

/// The last millisecond after its begin at which a promotion may be met: all of its steps are.
const MOMENT_MS_MAX: u64 = 12;

/// Alone, a node needs nobody to confirm its lease. It freezes at some moment of the change that
/// ends this: the others may elect one of themselves as soon as they are a majority, and nothing
/// that the frozen node has promised itself may last so long.
///
/// What consensus reports gathers for some milliseconds after a write. With one just before, and
/// fast links and disks, the change may be through while the leader in the frozen node has not
/// heard of it: with a lease without end, about one run in ten shows two that act.
pub(super) fn the_first_node_freezes_while_the_cluster_grows(seed: u64) -> Report {
    let mut cluster = Cluster::of(3).tune(|shared| shared.founders_count = Some(1)).seed(seed);
    let blue = cluster.write("colour", "blue").via("n1").acked_within_ms(2_000);
    cluster.start_writers(Workload::default());
    let joined = [cluster.add_member("n2"), cluster.add_member("n3")];

    let fast = LinkSettings { latency_us_min: 20, latency_us_max: 60, ..LinkSettings::default() };
    cluster.world().set_links(fast);
    for name in cluster.names() {
        cluster.world().set_disk_latency(cluster.machine(&name), 0, 0);
    }
    cluster.write("size", "small").via("n1").acked_within_ms(2_000);
    let moment_ms = cluster.choose("growth.freezes_after_ms", 1).between(0, MOMENT_MS_MAX);
    cluster.promote_for_ms(&joined, moment_ms);
    cluster.freeze(&["n1"]);
    cluster.run_for_ms(3_000);
    cluster.thaw(&["n1"]);

    cluster.within_ms(5_000).one_leads();
    cluster.promote(&joined);
    cluster.cut_power(&["n1"]);
    cluster.within_ms(10_000).another_leads(&["n1"]);
    cluster.write("shape", "round").acked_within_ms(5_000);
    cluster.restore_power(&["n1"]);
    cluster.stop_writers();
    cluster.within_ms(15_000).one_leader_and_equal_logs();
    cluster.read("colour").sees(&blue);
    cluster.check_invariants()
}
