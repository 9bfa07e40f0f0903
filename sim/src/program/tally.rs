//! What a sweep came to, by scenario.

use std::time::Duration;

use quorate_sim::checkers::Margins;

/// Counts runs while a sweep goes on.
#[derive(Debug)]
pub(super) struct Tally {
    jobs: usize,
    lines: Vec<Line>,
    margins: Margins,
    /// Place and seed of the run with the smallest margin.
    smallest: Option<(usize, u64)>,
}

#[derive(Clone, Debug)]
struct Line {
    name: &'static str,
    seeds_count: u64,
    failed_count: u64,
    simulated_ms: u64,
    /// Real time that its runs took, each by itself.
    wall: Duration,
}

impl Tally {
    /// Nothing was told yet.
    pub(super) fn new(names: Vec<&'static str>, jobs: usize) -> Tally {
        let line = |name| Line {
            name,
            seeds_count: 0,
            failed_count: 0,
            simulated_ms: 0,
            wall: Duration::ZERO,
        };
        let lines = names.into_iter().map(line).collect();
        Tally { jobs, lines, margins: Margins::default(), smallest: None }
    }

    /// The margins of a run that ended well.
    pub(super) fn add_margins(&mut self, at: usize, seed: u64, margins: &Margins) {
        let before = self.margins.smallest_us();
        self.margins.add(margins);
        if self.margins.smallest_us() != before {
            self.smallest = Some((at, seed));
        }
    }

    /// A seed of the scenario at this place was told, once or twice.
    pub(super) fn add(
        &mut self,
        at: usize,
        (wall, simulated_ms): (Duration, u64),
        is_failed: bool,
    ) {
        let line = &mut self.lines[at];
        line.seeds_count += 1;
        line.failed_count += u64::from(is_failed);
        line.simulated_ms += simulated_ms;
        line.wall += wall;
    }

    /// Whether nothing failed.
    pub(super) fn is_good(&self) -> bool {
        self.lines.iter().all(|line| line.failed_count == 0)
    }

    /// One line for each scenario, and one for all, which `tests/run` reads: a scenario without a
    /// failed seed has passed.
    pub(super) fn print(&self, wall: Duration) {
        for line in &self.lines {
            let Line { name, seeds_count, failed_count, simulated_ms, .. } = line;
            let busy = line.wall.as_secs_f64().max(f64::MIN_POSITIVE);
            let per_minute = *seeds_count as f64 * 60.0 * self.jobs as f64 / busy;
            let rate = *simulated_ms as f64 / 1_000.0 / busy;
            println!(
                "{name}: {seeds_count} seeds, {failed_count} failed, {per_minute:.0} seeds per \
                 minute with {} jobs, {rate:.0} simulated seconds per wall second of one job",
                self.jobs
            );
        }
        let smallest = self.smallest.map_or_else(String::new, |(at, seed)| {
            format!("; the smallest by {} with seed {seed}", self.lines[at].name)
        });
        println!("margins when another acts: {:?}{smallest}", self.margins);
        let failed_count = self.lines.iter().filter(|line| line.failed_count > 0).count();
        let verdict = if failed_count == 0 { "ok" } else { "FAILED" };
        let passed_count = self.lines.len() - failed_count;
        let seeds_count: u64 = self.lines.iter().map(|line| line.seeds_count).sum();
        println!(
            "swept: {verdict}. {passed_count} passed; {failed_count} failed; {seeds_count} seeds \
             in {:.0} s",
            wall.as_secs_f64()
        );
    }
}
