//! The fault plan: what goes wrong in a run, drawn before the first fault strikes.
//!
//! A plan is a list of gusts. Gust 7 chooses at sites with instance 7, so a gust that is edited
//! away leaves the others as they were; with 0 at its site `strikes` it passes by. Each run
//! switches some kinds off, and its rates and lengths are drawn as well.
//!
//! Invariants
//! - The plan is drawn from choices alone; only whom "the leader's half" means is seen when the
//!   gust strikes.
//! - Every draw is arranged so that its smallest value is the simplest: no fault, fewer nodes,
//!   shorter, earlier.
//! - A gust ends what it began and nothing else; what it finds taken by another gust it leaves.
//! - A run of which nobody noticed a fault fails: it has tested nothing.
//!
//! Read next: [`Plan::draw`], `kind.rs` for what there is, `strike.rs` and `end.rs` for what each
//! does, `bites.rs` for who noticed, `calm.rs` for what must come after.
//! Source: Groce et al. 2012, "Swarm Testing".

mod bites;
mod calm;
mod coverage;
mod end;
mod gust;
mod kind;
mod lost;
mod members;
mod storm;
mod strike;

#[cfg(test)]
mod tests;

pub use coverage::{Count, Coverage};
pub use gust::{Gust, Side};
pub use kind::{ALL, Kind};

use std::collections::BTreeMap;

use crate::choices::Choices;
use crate::cluster::{Cluster, Report, Workload};
use storm::Storm;

/// The share of runs that have a kind of fault.
const HAS_PROBABILITY: f64 = 0.6;
/// Acknowledged requests. Most runs have hundreds; with fewer than this, something kept the clients
/// out.
const ACKNOWLEDGED_COUNT_MIN: u64 = 20;
/// Number of the first gust that strikes only if too little was tested, and how many there are.
const ENCORES_FROM: u64 = 101;
const ENCORES_COUNT: u64 = 40;

/// What the failure of a run says in which too little happened. A smaller run has even less in it,
/// and would explain nothing.
pub const TOO_LITTLE: &str = "too little was tested";

/// What kind of storm it is. Its name begins the names of its sites.
#[derive(Clone, Copy, Debug)]
pub struct Theme {
    /// As the scenario's.
    pub name: &'static str,
    /// Numbers of founders to choose from, the smallest first.
    pub founders: &'static [(&'static str, u8)],
    /// How many nodes may wait to be added.
    pub waiting_count_max: u64,
    /// The kinds of faults to choose from.
    pub kinds: &'static [(&'static str, Kind)],
}

/// What goes wrong in one run.
#[derive(Clone, Debug)]
pub struct Plan {
    theme: Theme,
    /// So many of the nodes found the cluster, the others wait.
    pub founders_count: usize,
    /// All nodes.
    pub nodes_count: usize,
    /// The kinds that this run has.
    pub kinds: Vec<Kind>,
    /// In the order in which they strike.
    pub gusts: Vec<Gust>,
    limits: gust::Limits,
    /// Zone by name of the node: what fails together.
    pub zones: BTreeMap<String, &'static str>,
}

impl Plan {
    /// Draws the plan of the run with these choices.
    pub fn draw(choices: &Choices, theme: Theme) -> Plan {
        let site =
            |name: &str, instance| choices.chosen(&format!("{}.{name}", theme.name), instance);
        let founders_count = usize::from(*site("nodes", 0).one_of(theme.founders));
        let waiting_count = site("waiting", 0).between(0, theme.waiting_count_max) as usize;
        let nodes_count = founders_count + waiting_count;
        // One kind is always there, so that no run is without any.
        let always = *site("always", 0).one_of(theme.kinds);
        let has = |kind: &Kind| {
            let is_on = site("has", kind.place() as u64).chance(HAS_PROBABILITY);
            is_on || *kind == always
        };
        let kinds = theme.kinds.iter().map(|(_, kind)| *kind).filter(has).collect();
        let pause_ms_max = site("pause_ms_max", 0).between(100, 900);
        let lasts_ms_max = site("lasts_ms_max", 0).between(400, 2_500);
        let gusts_count = site("gusts_count", 0).between(15, 45);
        let limits = gust::Limits { nodes_count, pause_ms_max, lasts_ms_max };
        let gust = |number| Gust::draw(choices, theme, number, limits);
        let zone = |at: usize| if at < founders_count.div_ceil(2) { "east" } else { "west" };
        Plan {
            theme,
            founders_count,
            nodes_count,
            kinds,
            gusts: (1..=gusts_count).map(gust).collect(),
            limits,
            zones: (0..nodes_count).map(|at| (format!("n{}", at + 1), zone(at))).collect(),
        }
    }

    /// What strikes while too little was tested, one after the other: every kind of the theme in
    /// turn, for a run may have drawn only kinds that find nothing to do.
    fn encore(&self, choices: &Choices, nth: u64) -> Option<Gust> {
        let (theme, limits) = (self.theme, self.limits);
        let (_, kind) = theme.kinds[nth as usize % theme.kinds.len()];
        let gust = || Gust { kind, ..Gust::draw(choices, theme, ENCORES_FROM + nth, limits) };
        (nth < ENCORES_COUNT).then(gust)
    }
}

/// What a storm that has come to this has not tested; `None` if it was enough.
fn lack_of(report: &Report) -> Option<&'static str> {
    if report.coverage.bit_count() == 0 {
        return Some("the faults did not bite");
    }
    (report.acknowledged_count < ACKNOWLEDGED_COUNT_MIN).then_some("the clients hardly wrote")
}

/// A storm of this theme over a cluster of registers, then the calm after it.
///
/// While it blows, clients write and read. When it is over, a majority of the voters is healed,
/// with all other faults still there: that core must serve. Then all is healed, all must agree,
/// and nothing that was acknowledged may be missing.
pub fn tell(seed: u64, theme: Theme) -> Report {
    let plan = Plan::draw(&Choices::of(seed), theme);
    let founders_count = plan.founders_count;
    let nodes_count = u8::try_from(plan.nodes_count).expect("a theme has few nodes");
    let setup = Cluster::of(nodes_count).tune(move |shared| {
        // Few entries between snapshots, so that nodes come back by snapshot, too.
        shared.snapshot_entries_count = 100;
        shared.founders_count = Some(founders_count);
    });
    let mut cluster = setup.seed(seed);
    let every = Workload::of_every_kind();
    cluster.start_writers(Workload { writers_count: 10, pause_ms: 20, ..every });
    let mut storm = Storm::new(&mut cluster, plan);
    storm.blow();
    storm.calm();
    let report = cluster.check_invariants();
    if let Some(lack) = lack_of(&report) {
        panic!("{TOO_LITTLE}: {lack}: {report:?}");
    }
    report
}
