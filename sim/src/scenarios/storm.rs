//! Crashes, power cuts, freezes and partitions in any order, then calm.

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use crate::cluster::{Cluster, Report, Workload};

/// How a node fares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fares {
    Well,
    Down,
    Frozen,
}

/// A third of the acknowledged writes in the poorest of 30 storms: with fewer, something kept the
/// clients out.
const ACKNOWLEDGED_COUNT_MIN: u64 = 40;

/// Three or five nodes crash, lose power, freeze and are cut off, as the seed wills, while clients
/// write; its last gust is the death of whoever leads then. When the storm is over they agree, and
/// nothing that was acknowledged is missing.
pub(super) fn a_storm_of_every_fault_passes(seed: u64) -> Report {
    let mut dice = SmallRng::seed_from_u64(seed ^ 0x0073_746f_726d);
    let nodes_count = if dice.random_bool(0.5) { 3 } else { 5 };
    // Few entries between snapshots, so that nodes come back by snapshot, too.
    let setup = Cluster::of(nodes_count).tune(|cluster| cluster.snapshot_entries_count = 100);
    let mut cluster = setup.seed(seed);
    cluster.start_writers(Workload { writers_count: 4, pause_ms: 20, ..Workload::default() });
    let names = cluster.names();
    let mut fares = vec![Fares::Well; names.len()];
    // Each run switches some kinds off.
    let kinds: Vec<u32> = (0..4).filter(|_| dice.random_bool(0.7)).collect();

    for _ in 0..dice.random_range(10..30) {
        cluster.run_for_ms(dice.random_range(20..800));
        let at = dice.random_range(0..names.len());
        let kind = kinds.get(dice.random_range(0..4)).copied();
        fares[at] = strike(&mut cluster, &mut dice, &names, at, fares[at], kind);
    }

    cluster.heal();
    for (name, fare) in names.iter().zip(fares) {
        match fare {
            Fares::Well => {}
            Fares::Down => cluster.restart(&[name]),
            Fares::Frozen => cluster.thaw(&[name]),
        }
    }
    // Many a storm spares the leader: this gust makes sure that each has an election.
    let leader = cluster.within_ms(10_000).one_leads();
    cluster.crash(&[&leader]);
    cluster.within_ms(10_000).another_leads(&[&leader]);
    cluster.restart(&[&leader]);
    let calm = cluster.write("weather", "calm").acked_within_ms(10_000);
    cluster.stop_writers();
    cluster.within_ms(15_000).one_leader_and_equal_logs();
    cluster.read("weather").sees(&calm);
    let report = cluster.check_invariants();
    let Report { acknowledged_count, tokens_count, .. } = report;
    assert!(tokens_count >= 2, "the storm did not bite: {report:?}");
    assert!(acknowledged_count >= ACKNOWLEDGED_COUNT_MIN, "the clients hardly wrote: {report:?}");
    report
}

/// One gust: whoever is down or frozen comes back, anyone else suffers a fault of this kind.
fn strike(
    cluster: &mut Cluster,
    dice: &mut SmallRng,
    names: &[String],
    at: usize,
    fares: Fares,
    kind: Option<u32>,
) -> Fares {
    let name = names[at].as_str();
    match (fares, kind) {
        (Fares::Down, _) => {
            cluster.restart(&[name]);
            Fares::Well
        }
        (Fares::Frozen, _) => {
            cluster.thaw(&[name]);
            Fares::Well
        }
        (Fares::Well, Some(0)) => {
            cluster.crash(&[name]);
            Fares::Down
        }
        (Fares::Well, Some(1)) => {
            cluster.cut_power(&[name]);
            Fares::Down
        }
        (Fares::Well, Some(2)) => {
            cluster.freeze(&[name]);
            Fares::Frozen
        }
        (Fares::Well, Some(_)) => {
            let other = names[dice.random_range(0..names.len())].as_str();
            if dice.random_bool(0.5) {
                cluster.partition(&[name, other]);
            } else {
                cluster.heal();
            }
            Fares::Well
        }
        (Fares::Well, None) => Fares::Well,
    }
}
