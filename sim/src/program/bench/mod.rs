//! `bench`: how fast the simulator and its judges are, as a table or as JSON.
//!
//! Each figure is measured several times in a row, and told as the median with the lowest and the
//! highest. Nothing is asserted about speed: the goals stand beside the figures.
//!
//! Read next: [`Bench::obey`], `worlds.rs` for what runs, `judges.rs` for what is judged,
//! `stopwatch.rs` for what a second is.

mod judges;
mod stopwatch;
mod worlds;

use clap::Args;
use quorate_core::history::Operation;
use quorate_sim::cluster::Report;
use serde::Serialize;

use super::workers::work;
use stopwatch::{Elapsed, Stopwatch};
use worlds::{Kind, Load};

const SCENARIO: &str = "storm";

#[derive(Debug, Args)]
pub(super) struct Bench {
    /// One short run of each figure: shows that all of it works, and says little about speed.
    #[arg(long)]
    quick: bool,
    /// JSON instead of a table.
    #[arg(long)]
    json: bool,
    /// Only the figures whose names begin with this.
    #[arg(long, value_name = "TEXT", default_value = "")]
    only: String,
    /// Threads that tell seeds at the same time, for the figure about seeds.
    #[arg(long, value_name = "J", default_value_t = 2)]
    #[arg(value_parser = clap::value_parser!(u16).range(1..))]
    jobs: u16,
}

/// How much is measured.
#[derive(Clone, Copy)]
struct Extent {
    runs_count: usize,
    simulated_ms: u64,
    seeds_count: u64,
    operations_count: usize,
}

const FULL: Extent =
    Extent { runs_count: 3, simulated_ms: 60_000, seeds_count: 12, operations_count: 200_000 };
const QUICK: Extent =
    Extent { runs_count: 1, simulated_ms: 1_000, seeds_count: 1, operations_count: 2_000 };

/// What one run of a figure came to, and how long it took.
struct Run {
    value: f64,
    elapsed: Elapsed,
}

/// One line of the table.
#[derive(Debug, Serialize)]
struct Figure {
    name: String,
    unit: &'static str,
    /// What it should be at least.
    goal: Option<f64>,
    median: f64,
    lowest: f64,
    highest: f64,
    runs_count: usize,
    /// All runs together.
    wall_seconds: f64,
    /// How many cores this process had meanwhile: a thread has less than 1 if others took it.
    cores_used: f64,
    /// The median, had this process had a core for each of its threads: reckoned, not measured.
    on_whole_cores: f64,
    /// What was run.
    what: String,
}

/// Everything that was measured, and on what.
#[derive(Debug, Serialize)]
struct Table {
    /// False: built without optimisation, so the figures say nothing.
    is_release: bool,
    cores_count: usize,
    figures: Vec<Figure>,
}

/// Below this the time of processors is not divided by.
const COARSE_SECONDS: f64 = 0.1;
const RATE: &str = "simulated seconds per second";

impl Bench {
    pub(super) fn obey(self) -> bool {
        let extent = if self.quick { QUICK } else { FULL };
        let mut measuring = Measuring { extent, only: self.only, figures: Vec::new() };
        measuring.first_world();
        measuring.second_world();
        measuring.judges();
        if let Err(text) = measuring.seeds(self.jobs.into()) {
            eprintln!("{text}");
            return false;
        }
        let table = Table {
            is_release: !cfg!(debug_assertions),
            cores_count: std::thread::available_parallelism().map_or(1, usize::from),
            figures: measuring.figures,
        };
        if table.figures.is_empty() {
            eprintln!("bench: no figure has a name that begins with {:?}", measuring.only);
        } else if self.json {
            let text = serde_json::to_string_pretty(&table);
            println!("{}", text.expect("figures are plain numbers and texts"));
        } else {
            table.print();
        }
        !table.figures.is_empty()
    }
}

impl Figure {
    /// Panics without a run.
    fn of(name: String, unit: &'static str, goal: Option<f64>, measured: Measured) -> Figure {
        let Measured { mut runs, threads_count, what } = measured;
        runs.sort_by(|a, b| a.value.total_cmp(&b.value));
        let wall_seconds: f64 = runs.iter().map(|run| run.elapsed.wall_seconds).sum();
        let processor_seconds: f64 = runs.iter().map(|run| run.elapsed.processor_seconds).sum();
        let (median, cores_used) = (runs[runs.len() / 2].value, processor_seconds / wall_seconds);
        // Times of processors come in hundredths of a second: too coarse for short runs.
        let is_told = (COARSE_SECONDS..).contains(&processor_seconds);
        let share = if is_told { (cores_used / threads_count as f64).min(1.0) } else { 1.0 };
        Figure {
            name,
            unit,
            goal,
            median,
            lowest: runs[0].value,
            highest: runs[runs.len() - 1].value,
            runs_count: runs.len(),
            wall_seconds,
            cores_used,
            on_whole_cores: median / share,
            what,
        }
    }
}

impl Table {
    fn print(&self) {
        let built = if self.is_release { "release build" } else { "debug build: measure nothing" };
        println!("{} cores, {built}. Median of the runs, lowest to highest;", self.cores_count);
        println!("in brackets what it would be with a whole core for each thread: reckoned.");
        let mut unit = "";
        for figure in &self.figures {
            if figure.unit != unit {
                unit = figure.unit;
                println!("\n{unit}");
            }
            let goal = figure.goal.map_or(String::new(), |goal| format!("goal {goal:.0}"));
            let Figure { name, median, lowest, highest, on_whole_cores, .. } = figure;
            let Figure { runs_count, wall_seconds, cores_used, what, .. } = figure;
            let spread = format!("{lowest:.0} to {highest:.0}");
            let reckoned = format!("[{on_whole_cores:.0}]");
            println!(
                "  {name:<36} {median:>9.0}  {spread:<21} {reckoned:<10} {goal:<12} \
                 {runs_count} runs, {wall_seconds:.1} s on {cores_used:.2} cores: {what}"
            );
        }
    }
}

/// The runs of one figure, and what was run.
struct Measured {
    runs: Vec<Run>,
    threads_count: usize,
    what: String,
}

/// A table that grows.
struct Measuring {
    extent: Extent,
    only: String,
    figures: Vec<Figure>,
}

impl Measuring {
    /// Measures a figure if it is wanted.
    fn figure(
        &mut self,
        (name, unit): (String, &'static str),
        goal: Option<f64>,
        measure: impl FnOnce() -> Measured,
    ) {
        if name.starts_with(&self.only) {
            self.figures.push(Figure::of(name, unit, goal, measure()));
        }
    }

    fn first_world(&mut self) {
        for (nodes_count, load, goal) in [
            (3, Load::TenWritesPerSecond, None),
            (5, Load::TenWritesPerSecond, Some(200.0)),
            (9, Load::TenWritesPerSecond, None),
            (5, Load::None, None),
        ] {
            self.nodes(Kind::First, (nodes_count, load), goal);
        }
        self.members(Kind::First, Some(1_000.0), self.extent);
    }

    fn second_world(&mut self) {
        for nodes_count in [3, 5, 9] {
            self.nodes(Kind::Stock, (nodes_count, Load::TenWritesPerSecond), None);
        }
        // Fifty of them are hardly faster than life there: a minute would take one.
        let simulated_ms = self.extent.simulated_ms / 6;
        self.members(Kind::Stock, None, Extent { simulated_ms, ..self.extent });
    }

    fn nodes(&mut self, kind: Kind, nodes: (u8, Load), goal: Option<f64>) {
        let (extent, (nodes_count, load)) = (self.extent, nodes);
        let name = format!("{}{nodes_count} nodes, {}", kind.prefix(), load.text());
        self.figure((name, RATE), goal, || Measured {
            threads_count: 1,
            runs: rates(extent, |ms, seed| worlds::time_nodes(kind, nodes, ms, seed)),
            what: format!("{} simulated seconds each, all checkers", extent.simulated_ms / 1_000),
        });
    }

    fn members(&mut self, kind: Kind, goal: Option<f64>, extent: Extent) {
        let name = format!("{}{} gossip members", kind.prefix(), worlds::MEMBERS_COUNT);
        let seconds = extent.simulated_ms as f64 / 1_000.0;
        self.figure((name, RATE), goal, || Measured {
            threads_count: 1,
            runs: rates(extent, |ms, seed| worlds::time_members(kind, ms, seed)),
            what: format!("link and membership actor alone, {seconds:.1} simulated seconds each"),
        });
    }

    fn judges(&mut self) {
        let history = judges::history(self.extent.operations_count, 1);
        self.judge("version order", Some(100_000.0), &history, judges::by_version_order);
        self.judge("second opinion (Wing, Gong, Lowe)", None, &history, judges::by_search);
    }

    fn judge(
        &mut self,
        name: &str,
        goal: Option<f64>,
        history: &[Operation],
        judge: fn(&[Operation]) -> String,
    ) {
        let runs_count = self.extent.runs_count;
        self.figure((name.to_owned(), "operations judged in 10 s"), goal, || {
            let (mut told, count) = (String::new(), history.len());
            let run = |_| {
                let watch = Stopwatch::start();
                told = judge(history);
                let elapsed = watch.stop();
                Run { value: count as f64 * 10.0 / elapsed.wall_seconds, elapsed }
            };
            let runs = (0..runs_count).map(run).collect();
            let threads_count = 1;
            Measured {
                runs,
                threads_count,
                what: format!("{count} operations of {}, {told}", judges::WHAT),
            }
        });
    }

    /// Whole runs, told by several threads at the same time as a sweep does.
    fn seeds(&mut self, jobs: usize) -> Result<(), String> {
        let (storm, ms) = (super::scenario(SCENARIO)?, self.extent.simulated_ms);
        let what = "5 nodes and 3 clients, the leader crashes every 10 s";
        let tell = move |seed| Ok(worlds::tell_minute(ms, seed));
        self.told((jobs, "seeds of 60 s"), Some(100.0), what, tell)?;
        let what = "every fault, with bursts of clients";
        self.told((jobs, "seeds of `storm`"), None, what, move |seed| storm.run(seed))
    }

    fn told(
        &mut self,
        (jobs, name): (usize, &str),
        goal: Option<f64>,
        what: &str,
        tell: impl Fn(u64) -> Result<Report, String> + Sync,
    ) -> Result<(), String> {
        let Extent { seeds_count, runs_count, .. } = self.extent;
        let mut failure = None;
        self.figure((format!("{name} on {jobs} threads"), "seeds per minute"), goal, || {
            let (mut runs, mut simulated_ms) = (Vec::new(), 0);
            for run in 0..runs_count as u64 {
                let watch = Stopwatch::start();
                let first = run * seeds_count + 1;
                work(
                    jobs,
                    |number| number < seeds_count,
                    |number| tell(first + number),
                    |told| match told {
                        Ok(report) => simulated_ms += report.simulated_ms,
                        Err(text) => failure = Some(text),
                    },
                );
                let elapsed = watch.stop();
                runs.push(Run { value: seeds_count as f64 * 60.0 / elapsed.wall_seconds, elapsed });
            }
            let mean_s = simulated_ms as f64 / 1_000.0 / (runs_count as u64 * seeds_count) as f64;
            let of = format!("{seeds_count} seeds each, {mean_s:.0} simulated seconds on average");
            Measured { runs, threads_count: jobs, what: format!("{of}: {what}") }
        });
        failure.map_or(Ok(()), Err)
    }
}

/// Simulated seconds per wall second of as many runs as asked for.
fn rates(extent: Extent, run: impl Fn(u64, u64) -> Elapsed) -> Vec<Run> {
    let rate = |seed: usize| {
        let elapsed = run(extent.simulated_ms, seed as u64);
        Run { value: extent.simulated_ms as f64 / 1_000.0 / elapsed.wall_seconds, elapsed }
    };
    (1..=extent.runs_count).map(rate).collect()
}
