//! Tells the runs of a search: on threads of their own, with a limit in real time and in number.
//!
//! Invariants
//! - A run that hangs is left behind after its limit, and the search goes on without it.
//! - The search is over at its deadline, also in the middle of a run.
//!
//! Read next: [`Runner`].

use std::sync::mpsc;
use std::time::{Duration, Instant};

use super::search::{Shrunk, Stage, Teller, Told, shrink};
use crate::choices::{ChoiceFile, Choices, Edits, Keep};
use crate::cluster::Report;
use crate::scenarios::Scenario;

/// How many runs may be left behind before the search is ended: each goes on taking its share of
/// the machine.
const HUNG_COUNT_MAX: u64 = 2;
/// What a difference between two runs of one seed says.
pub const TWO_RUNS_DIFFER: &str = "two runs differ";

/// When a search ends at the latest.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Runs that it may tell.
    pub runs_count_max: u64,
    /// Real time that it may take.
    pub wall: Duration,
    /// Real time after which one run counts as one that hangs.
    pub run_wall: Duration,
}

/// A run did not end in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hung;

/// Tells a run, or tells it twice, for at most so long. What hangs is left behind.
///
/// The choices should be those of a [`Choices::trial`]: otherwise a poll that hangs ends the
/// process.
pub fn tell_within(
    scenario: Scenario,
    choices: &Choices,
    (wall, is_twice): (Duration, bool),
) -> Result<Result<Report, String>, Hung> {
    let (sender, receiver) = mpsc::sync_channel(1);
    let choices = choices.clone();
    let tell = move || {
        let told = match is_twice {
            true => scenario.run_twice_with(&choices),
            false => scenario.run_with(&choices, None),
        };
        // Nobody waits any more if it took too long.
        let _ = sender.send(told);
    };
    let thread = std::thread::Builder::new().name("teller".to_owned()).spawn(tell);
    thread.expect("the system gives a thread");
    receiver.recv_timeout(wall).map_err(|_| Hung)
}

/// Tells the runs of a search about one scenario and seed, and says on stderr how far it is.
#[derive(Debug)]
pub struct Runner {
    scenario: Scenario,
    seed: u64,
    limits: Limits,
    is_twice: bool,
    is_loud: bool,
    began: Instant,
    runs_count: u64,
    hung_count: u64,
}

impl Runner {
    /// The time counts from here on. `is_loud`: every stage is told on stderr.
    pub fn new(scenario: Scenario, seed: u64, limits: Limits, is_loud: bool) -> Runner {
        let (is_twice, began, runs_count, hung_count) = (false, Instant::now(), 0, 0);
        Runner { scenario, seed, limits, is_twice, is_loud, began, runs_count, hung_count }
    }

    /// Searches a smaller run than the one of this file, as [`shrink`] does.
    pub fn shrink(&mut self, file: &ChoiceFile) -> Result<Shrunk, Option<Told>> {
        let reason = file.failure.as_deref();
        self.is_twice = reason.is_some_and(|reason| reason.contains(TWO_RUNS_DIFFER));
        shrink(file.edits.iter().cloned().collect(), reason, self)
    }

    /// How many runs were told.
    pub fn runs_count(&self) -> u64 {
        self.runs_count
    }

    /// Real time since it was made.
    pub fn wall(&self) -> Duration {
        self.began.elapsed()
    }
}

impl Teller for Runner {
    fn tell(&mut self, edits: &Edits) -> Option<Told> {
        let left = self.limits.wall.checked_sub(self.began.elapsed())?;
        let is_over = self.runs_count >= self.limits.runs_count_max;
        if is_over || self.hung_count >= HUNG_COUNT_MAX {
            return None;
        }
        self.runs_count += 1;
        let choices = Choices::trial(self.seed, edits.clone(), Keep::Chosen);
        let wall = self.limits.run_wall.min(left);
        match tell_within(self.scenario, &choices, (wall, self.is_twice)) {
            Ok(told) => Some(Told {
                failure: self.scenario.choice_file(&choices, &told).failure,
                choices: choices.recorded(),
                unmet: choices.unmet_edits(),
                extent: choices.extent(),
            }),
            Err(Hung) if wall < self.limits.run_wall => None,
            Err(Hung) => {
                self.hung_count += 1;
                let (failure, choices, unmet, extent) = Default::default();
                Some(Told { failure, choices, unmet, extent })
            }
        }
    }

    fn show(&mut self, stage: Stage, smallest: &Shrunk) {
        if self.is_loud {
            let what = match stage {
                Stage::Faults => "faults",
                Stage::Nodes => "nodes",
                Stage::Counts => "counts",
                Stage::Values => "values",
                Stage::Edits => "edits",
            };
            let (count, seconds) = (self.runs_count, self.began.elapsed().as_secs());
            let text = smallest.text();
            eprintln!("shrink: {what} after {count} runs, {seconds} s; smallest: {text}");
        }
    }
}
