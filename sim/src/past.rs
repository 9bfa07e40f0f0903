//! Failures of the past: runs that once showed a bug, told first by every sweep and by the tests.
//!
//! They are in `seeds.toml`, which is part of the program. An entry is a run like any other: it
//! means something only as long as its scenario draws at the same sites, so an edit that meets no
//! choice makes the entry fail.
//!
//! Read next: [`all`], then `seeds.toml` for how an entry is written.

use serde::Deserialize;

use crate::choices::{Choices, Edit, Edits, Keep};
use crate::scenarios::{self, Scenario};

const TEXT: &str = include_str!("../seeds.toml");

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    failure: Vec<Failure>,
}

/// A run that failed once.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Failure {
    /// As in `quorate-sim run NAME`.
    pub scenario: String,
    /// The seed of all choices that are not forced.
    pub seed: u64,
    /// The choices that are forced, as in a choice file.
    #[serde(default)]
    pub edits: Vec<Edit>,
    /// What was wrong.
    pub found: String,
    /// The day on which it was found, as in `2026-11-23`.
    pub when: String,
}

/// Reads a list of failures; the error says what is wrong with it. An empty text is no failures.
pub fn parse(text: &str) -> Result<Vec<Failure>, String> {
    let file: File = toml::from_str(text).map_err(|error| error.to_string())?;
    match file.failure.iter().find(|failure| failure.scenario().is_none()) {
        Some(failure) => Err(format!("there is no scenario {}", failure.scenario)),
        None => Ok(file.failure),
    }
}

/// Every failure of `seeds.toml`.
pub fn all() -> Result<Vec<Failure>, String> {
    parse(TEXT).map_err(|error| format!("sim/seeds.toml: {error}"))
}

impl Failure {
    /// Its scenario; [`parse`] lets no other failure through.
    pub fn scenario(&self) -> Option<Scenario> {
        scenarios::by_name(&self.scenario)
    }

    /// Its choices, of which none was made yet.
    pub fn choices(&self) -> Choices {
        let edits: Edits = self.edits.iter().cloned().collect();
        Choices::trial(self.seed, edits, Keep::Chosen)
    }

    /// Why a run with these choices is not the run that once failed, if it is not.
    pub fn objection(&self, choices: &Choices) -> Option<String> {
        let unmet = choices.unmet_edits();
        let edit = unmet.first()?;
        let Failure { scenario, seed, when, .. } = self;
        let entry = format!("sim/seeds.toml: {scenario}, seed {seed}, of {when}");
        Some(format!("{entry}: {edit:?} met no choice; find the run again, or drop the entry"))
    }
}
