//! `sweep`: many seeds.

use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::Args;
use quorate_sim::choices::{Choices, Edits, Keep};
use quorate_sim::scenarios::{self, Scenario};

use super::{leave, scenario};

#[derive(Debug, Args)]
pub(super) struct Sweep {
    /// As `list` names it, or `all`.
    #[arg(value_name = "NAME|all", value_parser = chosen)]
    scenarios: Chosen,
    /// Seeds of each scenario, from 1.
    #[arg(long, value_name = "COUNT")]
    seeds: u64,
    /// Where failed seeds leave their choice files.
    #[arg(long, value_name = "DIR", default_value = ".")]
    out: PathBuf,
}

/// The scenarios of a sweep.
#[derive(Clone, Debug)]
struct Chosen(Vec<Scenario>);

fn chosen(name: &str) -> Result<Chosen, String> {
    match name {
        "all" => Ok(Chosen(scenarios::ALL.to_vec())),
        _ => scenario(name).map(|one| Chosen(vec![one])),
    }
}

impl Sweep {
    pub(super) fn obey(self) -> bool {
        let sweep = |scenario| sweep_one(scenario, self.seeds, &self.out);
        self.scenarios.0.into_iter().map(sweep).sum::<u64>() == 0
    }
}

/// Runs seeds 1 to `count`, each two times; returns how many failed.
fn sweep_one(scenario: Scenario, count: u64, dir: &Path) -> u64 {
    let began = Instant::now();
    let mut failed_count = 0;
    for seed in 1..=count {
        let choices = Choices::new(seed, Edits::default(), Keep::Chosen);
        let told = scenario.run_twice_with(&choices);
        if let Err(text) = &told {
            failed_count += 1;
            let lines: Vec<&str> = text.lines().take(3).collect();
            println!("seed {seed}: {}", lines.join(" | "));
            leave(&scenario.choice_file(&choices, &told), dir);
        }
    }
    let per_minute = count as f64 * 60.0 / began.elapsed().as_secs_f64();
    let name = scenario.name;
    println!("{name}: {count} seeds, {failed_count} failed, {per_minute:.0} seeds per minute");
    failed_count
}
