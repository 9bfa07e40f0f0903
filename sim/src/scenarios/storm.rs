//! Crashes, power cuts, freezes and partitions in any order, then calm.
//!
//! The plan is a list of gusts, drawn before the first of them strikes. Gust 7 chooses at sites
//! with instance 7, so a gust that is edited away leaves the others as they were.

use crate::choices::Choices;
use crate::cluster::{Cluster, Report, Workload};

/// How a node fares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fares {
    Well,
    Down,
    Frozen,
}

/// What strikes a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    Crash,
    PowerCut,
    Freeze,
    /// Cut off, alone or with another; or every link is healed.
    Links,
}

/// The kinds of faults, and the site that says whether the storm has them.
const FAULTS: [(&str, (Fault, &str)); 4] = [
    ("crash", (Fault::Crash, "storm.has_crashes")),
    ("power cut", (Fault::PowerCut, "storm.has_power_cuts")),
    ("freeze", (Fault::Freeze, "storm.has_freezes")),
    ("links", (Fault::Links, "storm.has_partitions")),
];

/// One gust: whom it meets, and with what.
#[derive(Clone, Copy, Debug)]
struct Gust {
    /// Calm before it.
    pause_ms: u64,
    /// False for a gust that passes by: it is a pause and nothing else.
    strikes: bool,
    at: usize,
    fault: Fault,
    /// Where the fault is one of the links: who else is cut off, or `None` to heal all.
    cut_with: Option<usize>,
}

impl Gust {
    /// The gust with this number, which counts from 1.
    fn draw(choices: &Choices, number: u64, nodes_count: u64) -> Gust {
        let site = |name| choices.chosen(name, number);
        let node = |name| site(name).between(1, nodes_count) as usize - 1;
        let pause_ms = site("storm.gust.pause_ms").between(20, 799);
        let strikes = site("storm.gust.strikes").chance(0.97);
        let (at, fault) = (node("storm.gust.node"), site("storm.gust.fault").one_of(&FAULTS).0);
        let cut_with = match fault {
            Fault::Links if site("storm.gust.heals").chance(0.5) => None,
            Fault::Links => Some(node("storm.gust.other_node")),
            Fault::Crash | Fault::PowerCut | Fault::Freeze => None,
        };
        Gust { pause_ms, strikes, at, fault, cut_with }
    }
}

/// A third of the acknowledged writes in the poorest of 30 storms: with fewer, something kept the
/// clients out.
const ACKNOWLEDGED_COUNT_MIN: u64 = 40;

/// Three or five nodes crash, lose power, freeze and are cut off, as the seed wills, while clients
/// write; its last gust is the death of whoever leads then. When the storm is over they agree, and
/// nothing that was acknowledged is missing.
pub(super) fn a_storm_of_every_fault_passes(seed: u64) -> Report {
    let choices = Choices::of(seed);
    let nodes_count = *choices.chosen("storm.nodes", 0).one_of(&[("three", 3), ("five", 5)]);
    // Each run switches some kinds off.
    let has = |site| choices.chosen(site, 0).chance(0.7);
    let kinds: Vec<Fault> =
        FAULTS.iter().filter(|(_, (_, site))| has(site)).map(|(_, (fault, _))| *fault).collect();
    let gusts_count = choices.chosen("storm.gusts_count", 0).between(10, 29);
    let draw = |number| Gust::draw(&choices, number, u64::from(nodes_count));
    let gusts: Vec<Gust> = (1..=gusts_count).map(draw).collect();

    // Few entries between snapshots, so that nodes come back by snapshot, too.
    let setup = Cluster::of(nodes_count).tune(|cluster| cluster.snapshot_entries_count = 100);
    let mut cluster = setup.seed(seed);
    let every = Workload::of_every_kind();
    cluster.start_writers(Workload { writers_count: 10, pause_ms: 20, ..every });
    let names = cluster.names();
    let mut fares = vec![Fares::Well; names.len()];
    for gust in gusts {
        cluster.run_for_ms(gust.pause_ms);
        if gust.strikes {
            let is_on = kinds.contains(&gust.fault);
            fares[gust.at] = strike(&mut cluster, &names, gust, fares[gust.at], is_on);
        }
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

/// Whoever is down or frozen comes back; anyone else suffers the fault, if the storm has its kind.
fn strike(cluster: &mut Cluster, names: &[String], gust: Gust, fares: Fares, is_on: bool) -> Fares {
    let name = names[gust.at].as_str();
    match (fares, gust.fault) {
        (Fares::Down, _) => {
            cluster.restart(&[name]);
            Fares::Well
        }
        (Fares::Frozen, _) => {
            cluster.thaw(&[name]);
            Fares::Well
        }
        (Fares::Well, _) if !is_on => Fares::Well,
        (Fares::Well, Fault::Crash) => {
            cluster.crash(&[name]);
            Fares::Down
        }
        (Fares::Well, Fault::PowerCut) => {
            cluster.cut_power(&[name]);
            Fares::Down
        }
        (Fares::Well, Fault::Freeze) => {
            cluster.freeze(&[name]);
            Fares::Frozen
        }
        (Fares::Well, Fault::Links) => {
            match gust.cut_with {
                Some(other) => cluster.partition(&[name, &names[other]]),
                None => cluster.heal(),
            }
            Fares::Well
        }
    }
}
