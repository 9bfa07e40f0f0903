//! A leader whose links lose a good part of what they carry.

use crate::cluster::{Cluster, Report, Workload};
use crate::world::LinkSettings;

/// Shares that get lost on the way out and on the way back. A stream over such a link stands still
/// for a good part of the time.
const LOSSES: [(f64, f64); 4] = [(0.4, 0.4), (0.4, 0.4), (0.6, 0.0), (0.0, 0.6)];
/// By then the three whose links are well have a leader, and its answer. The one beside the leader
/// may be elected before one of them is.
const BOUND_MS: u64 = 20_000;

/// The leader of five and one beside it lose half of what passes between them and the other three,
/// one way or both, for good. The leader is still heard, and confirmed now and then, but too seldom
/// to act. It gives way: the other three serve.
pub(super) fn a_leader_with_poor_links_gives_way(seed: u64) -> Report {
    let mut cluster = Cluster::of(5).seed(seed);
    let blue = cluster.write("colour", "blue").acked_within_ms(2_000);
    cluster.start_writers(Workload::default());
    cluster.run_for_ms(cluster.choose("hunt_poor_links.begins_ms", 1).between(300, 396));
    let leader = cluster.leader();
    let names = cluster.names();
    let (lossy, well): (Vec<String>, Vec<String>) = {
        let beside = names.iter().find(|name| **name != leader).expect("there are five").clone();
        names.into_iter().partition(|name| *name == leader || *name == beside)
    };
    let (out, back) = LOSSES[cluster.choose("hunt_poor_links.losses", 1).between(0, 3) as usize];
    let losing = |loss| LinkSettings { loss, ..LinkSettings::default() };
    for one in &lossy {
        for other in &well {
            let (one, other) = (cluster.machine(one), cluster.machine(other));
            cluster.world().set_link_one_way(one, other, losing(out));
            cluster.world().set_link_one_way(other, one, losing(back));
        }
    }
    let well: Vec<&str> = well.iter().map(String::as_str).collect();
    for shape in ["round", "square", "flat"] {
        cluster.write("shape", shape).via_any_of(&well).acked_within_ms(BOUND_MS);
    }
    cluster.calm();
    cluster.stop_writers();
    cluster.within_ms(10_000).one_leader_and_equal_logs();
    cluster.read("colour").sees(&blue);
    cluster.check_invariants()
}
