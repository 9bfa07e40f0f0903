//! Disks that are slow just when leadership changes.

use std::cell::Cell;
use std::rc::Rc;

use quorate_core::observe::Told;

use crate::checkers::{Checker, Seen};
use crate::cluster::{Cluster, Report, Workload};

/// A job of a slow disk waits so long, and again as long before it is acknowledged: together longer
/// than an elected node waits before it proposes its record once more.
const SLOW_MS: (u64, u64) = (550, 650);

/// Counts elections.
struct Elections(Rc<Cell<u64>>);

impl Checker for Elections {
    fn check(&mut self, _seen: &[Seen]) -> Result<(), String> {
        Ok(())
    }

    fn hear(&mut self, told: &Told) -> Result<(), String> {
        if let Told::Elected { by, node, term: _ } = told
            && by == node
        {
            self.0.set(self.0.get() + 1);
        }
        Ok(())
    }
}

/// Every disk turns slow in the moment in which one is elected. Its record takes so long that it
/// proposes it again; the second one is refused. A hand-over meanwhile is given up, and whoever
/// leads goes on.
pub(super) fn disks_are_slow_when_leadership_changes(seed: u64) -> Report {
    let mut cluster = Cluster::of(3).seed(seed);
    let blue = cluster.write("colour", "blue").acked_within_ms(2_000);
    let elections = Rc::new(Cell::new(0));
    cluster.check_with(Box::new(Elections(elections.clone())));
    cluster.run_for_ms(cluster.choose("hunt_slow_disks.begins_ms", 1).between(300, 396));

    let leader = cluster.leader();
    let before_count = elections.get();
    cluster.crash(&[&leader]);
    for _ in 0..5_000 {
        if elections.get() > before_count {
            break;
        }
        cluster.run_for_ms(1);
    }
    let set_disks = |cluster: &Cluster, (min, max): (u64, u64)| {
        for name in cluster.names() {
            cluster.world().set_disk_latency(cluster.machine(&name), min, max);
        }
    };
    set_disks(&cluster, SLOW_MS);
    cluster.within_ms(20_000).another_leads(&[&leader]);
    cluster.start_writers(Workload { pause_ms: 200, ..Workload::default() });
    cluster.run_for_ms(cluster.choose("hunt_slow_disks.hands_over_ms", 1).between(300, 900));
    let _refused = cluster.switch_over();

    set_disks(&cluster, (0, 1));
    cluster.restart(&[&leader]);
    cluster.run_for_ms(3_000);
    cluster.within_ms(10_000).one_leads();
    cluster.stop_writers();
    cluster.within_ms(10_000).one_leader_and_equal_logs();
    cluster.read("colour").sees(&blue);
    cluster.check_invariants()
}
