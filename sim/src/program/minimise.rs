//! How a failing run is made smaller, for every command that meets one.
//!
//! Read next: [`Shrinking::shrink`].

use std::path::Path;
use std::time::Duration;

use clap::Args;
use quorate_sim::choices::ChoiceFile;
use quorate_sim::plan::TOO_LITTLE;
use quorate_sim::scenarios::Scenario;
use quorate_sim::shrink::{Limits, Runner, Shrunk};

use super::leave_as;

/// A run that takes longer hangs: the slowest takes seconds.
pub(super) const RUN_WALL: Duration = Duration::from_secs(120);
/// No limit in practice; the time is what ends a search.
const RUNS_COUNT_MAX: u64 = 100_000;

/// Whether failing runs are made smaller.
#[derive(Clone, Copy, Debug, Args)]
pub(super) struct Shrinking {
    /// Leaves a failing run as it is, instead of searching a smaller one.
    #[arg(long)]
    no_shrink: bool,
    /// Longest search for a smaller run, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    shrink_seconds: u64,
}

impl Shrinking {
    #[cfg(test)]
    pub(super) fn of(no_shrink: bool, shrink_seconds: u64) -> Shrinking {
        Shrinking { no_shrink, shrink_seconds }
    }

    /// Searches a smaller run than this failed one, unless told not to; says what came of it.
    ///
    /// `stem`: the start of the name of the file that the smaller run is left in. True unless that
    /// file could not be written.
    pub(super) fn shrink(
        self,
        scenario: Scenario,
        file: &ChoiceFile,
        (dir, stem): (&Path, &str),
        is_loud: bool,
    ) -> bool {
        if self.no_shrink {
            return true;
        }
        if file.failure.as_deref().is_some_and(|failure| failure.starts_with(TOO_LITTLE)) {
            eprintln!("shrink: {TOO_LITTLE}, so a smaller run would explain nothing");
            return true;
        }
        let wall = Duration::from_secs(self.shrink_seconds);
        shrink_for(wall, scenario, file, (dir, stem), is_loud) != Shrank::NotWritten
    }
}

/// What a search came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shrank {
    /// The file of the smaller run is there.
    Written,
    /// It could not be written.
    NotWritten,
    /// The run did not fail, or not as its file says.
    NothingFailed,
}

/// Searches for so long, and leaves the smaller run as `STEM.small.choices.json` in `dir`.
pub(super) fn shrink_for(
    wall: Duration,
    scenario: Scenario,
    file: &ChoiceFile,
    (dir, stem): (&Path, &str),
    is_loud: bool,
) -> Shrank {
    let limits = Limits { runs_count_max: RUNS_COUNT_MAX, wall, run_wall: RUN_WALL };
    let mut runner = Runner::new(scenario, file.seed, limits, is_loud);
    let shrunk = match runner.shrink(file) {
        Ok(shrunk) => shrunk,
        Err(ended) => {
            let ended = match ended {
                None => "was not told in time".to_owned(),
                Some(told) => told.failure.unwrap_or_else(|| "ended well, or hangs".to_owned()),
            };
            eprintln!("shrink: the run does not fail as it did: {ended}");
            return Shrank::NothingFailed;
        }
    };
    tell_what_was_found(&runner, &shrunk);
    let name = format!("{stem}.small.choices.json");
    let Shrunk { edits, told, is_finished: _ } = shrunk;
    let smaller = ChoiceFile {
        scenario: scenario.name.to_owned(),
        seed: file.seed,
        edits: edits.list(),
        event_hash: None,
        failure: told.failure,
        choices: told.choices,
    };
    match leave_as(&smaller, dir, &name) {
        true => Shrank::Written,
        false => Shrank::NotWritten,
    }
}

/// The smaller run in words, and why it fails.
fn tell_what_was_found(runner: &Runner, shrunk: &Shrunk) {
    let (count, seconds) = (runner.runs_count(), runner.wall().as_secs());
    let end = if shrunk.is_finished { "" } else { ", and was not through" };
    eprintln!("smaller: {}", shrunk.text());
    eprintln!("reason: {}", shrunk.told.failure.as_deref().unwrap_or("none"));
    eprintln!("the search told {count} runs in {seconds} s{end}");
}

/// The name of a choice file without its endings.
pub(super) fn stem(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let name = name.trim_end_matches(".json").trim_end_matches(".choices");
    name.to_owned()
}
