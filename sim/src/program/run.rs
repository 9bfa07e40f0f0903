//! `run` and `replay`: one run, told and kept.

use std::path::{Path, PathBuf};

use clap::Args;
use quorate_sim::choices::{Choices, Edits};
use quorate_sim::cluster::Report;
use quorate_sim::scenarios::Scenario;

use super::minimise::{Shrinking, stem};
use super::{Kept, leave, read, scenario, seed, write};

#[derive(Debug, Args)]
pub(super) struct Run {
    /// As `list` names it.
    #[arg(value_name = "NAME", value_parser = scenario)]
    scenario: Scenario,
    /// Decides everything that is left to chance.
    #[arg(long, value_name = "N", value_parser = seed)]
    seed: u64,
    #[command(flatten)]
    kept: Kept,
    /// Where the choice file of a failed run is left.
    #[arg(long, value_name = "DIR", default_value = ".")]
    out: PathBuf,
    #[command(flatten)]
    shrinking: Shrinking,
}

impl Run {
    pub(super) fn obey(self) -> bool {
        let choices = Choices::new(self.seed, Edits::default(), self.kept.keep());
        let told = self.scenario.run_keeping(&choices, self.kept.in_files());
        let is_good = end(self.scenario, &choices, &told, (&self.kept, Some(&self.out)));
        if told.is_err() {
            let file = self.scenario.choice_file(&choices, &told);
            let stem = stem(Path::new(&file.name()));
            self.shrinking.shrink(self.scenario, &file, (&self.out, &stem), true);
        }
        is_good
    }
}

#[derive(Debug, Args)]
pub(super) struct Replay {
    /// A choice file.
    file: PathBuf,
    #[command(flatten)]
    kept: Kept,
    /// Where the choice file of a failed run is left; nowhere, unless this is given. A smaller
    /// run is left beside the file then.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    #[command(flatten)]
    shrinking: Shrinking,
}

impl Replay {
    pub(super) fn obey(self) -> bool {
        let path = &self.file;
        let Some((scenario, file)) = read(path) else { return false };
        let edits = file.edits.into_iter().collect();
        let choices = Choices::new(file.seed, edits, self.kept.keep());
        let told = scenario.run_keeping(&choices, self.kept.in_files());
        for edit in choices.unmet_edits() {
            eprintln!("this edit met no choice: {edit:?}");
        }
        if let (Some(event_hash), Ok(report)) = (file.event_hash, &told) {
            let is_same = if report.event_hash == event_hash { "the same" } else { "another" };
            println!("{is_same} event hash as in the file");
        }
        let is_good = end(scenario, &choices, &told, (&self.kept, self.out.as_deref()));
        if told.is_err() {
            let dir = self.out.as_deref().or(path.parent()).unwrap_or(Path::new("."));
            let failed = scenario.choice_file(&choices, &told);
            self.shrinking.shrink(scenario, &failed, (dir, &stem(path)), true);
        }
        is_good
    }
}

/// Prints how a run ended, and writes the choice file that was asked for, or that of a failure into
/// `dir`.
fn end(
    scenario: Scenario,
    choices: &Choices,
    told: &Result<Report, String>,
    (kept, dir): (&Kept, Option<&Path>),
) -> bool {
    match told {
        Ok(report) => println!("{report:#?}"),
        Err(text) => eprintln!("{text}"),
    }
    let file = scenario.choice_file(choices, told);
    let is_written = match (kept.path(), dir) {
        (Some(path), _) => write(&file, path),
        (None, Some(dir)) if told.is_err() => leave(&file, dir),
        (None, _) => true,
    };
    told.is_ok() && is_written
}
