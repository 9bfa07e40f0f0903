//! The hunt for one bug: seed after seed, until a run fails for its reason.

use quorate_core::observe::plant;

use super::{Bug, Finder};
use crate::scenarios;

/// How a bug was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The first seed with which the scenario fails for the bug's reason.
    pub seed: u64,
    /// Seeds before it with which it failed for another.
    pub otherwise_count: u64,
    /// What the failure says, in one line.
    pub said: String,
}

/// Runs the bug's scenario with seed after seed. The error says why the bug does not count as
/// found.
pub fn hunt(bug: Bug) -> Result<Found, String> {
    let (name, seeds_count_max) = match bug.found_by {
        Finder::Scenario { name, seeds_count_max } => (name, seeds_count_max),
        Finder::Test { suite, name } => {
            return Err(format!("{name} in tests/tests/{suite}.rs finds it, and no scenario"));
        }
    };
    let scenario =
        scenarios::by_name(name).ok_or_else(|| format!("there is no scenario {name}"))?;
    let (mut otherwise_count, mut otherwise) = (0, String::new());
    for seed in 1..=seeds_count_max {
        plant(Some(bug.name));
        let told = scenario.run(seed);
        plant(None);
        let Err(text) = told else { continue };
        // The line that repeats it comes first, the reason next.
        let said = text.lines().nth(1).unwrap_or(&text).to_owned();
        if !said.contains(bug.says) {
            (otherwise_count, otherwise) = (otherwise_count + 1, said);
            continue;
        }
        return match scenario.run(seed) {
            Ok(_) => Ok(Found { seed, otherwise_count, said }),
            Err(text) => Err(format!("seed {seed} fails without the bug as well: {text}")),
        };
    }
    let count = seeds_count_max;
    Err(match otherwise_count {
        0 => format!("all of {count} seeds pass"),
        _ => format!("{otherwise_count} of {count} seeds fail, the last with: {otherwise}"),
    })
}
