//! `sweep`: the failures of the past, then many fresh seeds.
//!
//! Invariants
//! - The seeds are `--from`, the one after it, and so on, of every scenario alike: a limit in time
//!   ends a sweep between two seeds, not between two scenarios, and after one seed at least. So the
//!   last line, `again: ...`, tells exactly the same runs.
//! - A failing seed is told twice; of the others one in ten is.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use clap::Args;
use quorate_sim::choices::{Choices, Edits, Keep};
use quorate_sim::cluster::Report;
use quorate_sim::past::{self, Failure};
use quorate_sim::scenarios::{self, Scenario};
use quorate_sim::shrink::{Hung, TWO_RUNS_DIFFER, kind_of, tell_within};

use super::minimise::{RUN_WALL, Shrinking, stem};
use super::tally::Tally;
use super::workers::work;
use super::{leave, scenario, seed, tree};

/// Of so many seeds one is told twice.
const TWICE_EVERY: u64 = 10;

#[derive(Debug, Args)]
pub(super) struct Sweep {
    /// As `list` names it, or `all`.
    #[arg(value_name = "NAME|all", value_parser = chosen)]
    scenarios: Chosen,
    #[command(flatten)]
    length: Length,
    /// Runs that are told at the same time; as many as the machine has cores unless given.
    #[arg(long, value_name = "J", value_parser = clap::value_parser!(u16).range(1..))]
    jobs: Option<u16>,
    /// The first seed; made of the tree hash of this repository's commit unless given.
    #[arg(long, value_name = "SEED", value_parser = seed)]
    from: Option<u64>,
    /// Where failed seeds leave their choice files.
    #[arg(long, value_name = "DIR", default_value = ".")]
    out: PathBuf,
    #[command(flatten)]
    shrinking: Shrinking,
}

/// How much is swept.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct Length {
    /// Seeds of each scenario.
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u64).range(1..))]
    seeds: Option<u64>,
    /// How long fresh seeds are told.
    #[arg(long, value_name = "M")]
    minutes: Option<u64>,
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

/// One run of the sweep.
#[derive(Clone, Debug)]
enum Task {
    Past(Failure),
    Fresh { seed: u64, is_twice: bool },
}

/// How a task ended.
struct Ended {
    /// Place of its scenario in the sweep.
    at: usize,
    told: Result<Report, String>,
    choices: Choices,
    /// Of all times that it was told.
    simulated_ms: u64,
    /// Real time, as well.
    wall: Duration,
}

impl Sweep {
    pub(super) fn obey(self) -> bool {
        let begin = || -> Result<(u64, Vec<(usize, Failure)>), String> {
            let from = self.from.map_or_else(tree::first_seed, Ok)?;
            let Chosen(scenarios) = &self.scenarios;
            let place = |name: &str| scenarios.iter().position(|one| one.name == name);
            let past = past::all()?.into_iter();
            Ok((from, past.filter_map(|one| Some((place(&one.scenario)?, one))).collect()))
        };
        match begin() {
            Ok((from, past)) => self.sweep(from, &past),
            Err(text) => {
                eprintln!("sweep: {text}");
                false
            }
        }
    }

    fn sweep(&self, from: u64, past: &[(usize, Failure)]) -> bool {
        let cores = || std::thread::available_parallelism().map_or(1, usize::from);
        let jobs = self.jobs.map_or_else(cores, usize::from);
        println!("sweep: {} failures of the past, then seeds from {from:#x}", past.len());
        let Chosen(scenarios) = &self.scenarios;
        let past_count = past.len() as u64;
        let (began, count) = (Instant::now(), scenarios.len() as u64);
        let minutes = self.length.minutes.unwrap_or_default();
        let time = Time::new(Duration::from_secs(minutes * 60));
        let goes_on = |number: u64| match (number.checked_sub(past_count), self.length.seeds) {
            (None, _) => true,
            (Some(fresh), Some(seeds)) => fresh / count < seeds,
            (Some(fresh), None) => time.is_left(fresh / count),
        };
        let task = |number: u64| {
            let Some(fresh) = number.checked_sub(past_count) else {
                let (at, failure) = &past[number as usize];
                return tell(*at, scenarios[*at], &Task::Past(failure.clone()));
            };
            let (at, turn) = ((fresh % count) as usize, fresh / count);
            let is_twice = turn.is_multiple_of(TWICE_EVERY);
            let seed = from.wrapping_add(turn);
            tell(at, scenarios[at], &Task::Fresh { seed, is_twice })
        };
        let mut tally = Tally::new(scenarios.iter().map(|scenario| scenario.name).collect(), jobs);
        let mut kinds = BTreeSet::new();
        work(jobs, goes_on, task, |ended| {
            tally.add(ended.at, (ended.wall, ended.simulated_ms), ended.told.is_err());
            if let Ok(report) = &ended.told {
                tally.add_margins(ended.at, ended.choices.seed(), &report.margins);
            }
            if ended.told.is_err() {
                self.report(scenarios[ended.at], &ended, &mut kinds);
            }
        });
        tally.print(began.elapsed());
        println!("{}", self.again(from, self.length.seeds.unwrap_or_else(|| time.turns_count())));
        tally.is_good()
    }

    /// The line that tells the same runs.
    fn again(&self, from: u64, seeds_count: u64) -> String {
        let Chosen(scenarios) = &self.scenarios;
        let name = match scenarios.as_slice() {
            [one] => one.name,
            _ => "all",
        };
        format!(
            "again: cargo run --release -p quorate-sim -- sweep {name} --from {from:#x} --seeds \
             {seeds_count}"
        )
    }

    /// Prints one failure and leaves its choice file. Of failures of one kind the first is made
    /// smaller. Meanwhile the other threads finish what they tell, and wait.
    fn report(&self, scenario: Scenario, ended: &Ended, kinds: &mut BTreeSet<(usize, String)>) {
        let Ended { at, choices, told, .. } = ended;
        let file = scenario.choice_file(choices, told);
        let kind = kind_of(file.failure.as_deref().unwrap_or(""));
        let text = told.as_ref().err().map_or("", String::as_str);
        if !kinds.insert((*at, kind)) {
            println!("again: {}", text.lines().take(2).collect::<Vec<_>>().join(" | "));
            leave(&file, &self.out);
            return;
        }
        println!("{text}");
        leave(&file, &self.out);
        let stem = stem(Path::new(&file.name()));
        self.shrinking.shrink(scenario, &file, (&self.out, &stem), false);
    }
}

/// A limit in time. A seed that was begun in time is told by every scenario.
struct Time {
    began: Instant,
    wall: Duration,
    turns_count: Mutex<u64>,
}

impl Time {
    fn new(wall: Duration) -> Time {
        Time { began: Instant::now(), wall, turns_count: Mutex::new(1) }
    }

    /// Whether the seed with this number, from 0, is told. Threads ask in any order.
    fn is_left(&self, turn: u64) -> bool {
        let mut turns_count = self.turns_count.lock().expect("nothing panics while it holds this");
        if self.began.elapsed() < self.wall {
            *turns_count = (*turns_count).max(turn + 1);
        }
        turn < *turns_count
    }

    fn turns_count(&self) -> u64 {
        *self.turns_count.lock().expect("nothing panics while it holds this")
    }
}

/// Does one task. What fails is told again, and must fail for the same reason.
fn tell(at: usize, scenario: Scenario, task: &Task) -> Ended {
    let began = Instant::now();
    let (choices, is_twice) = match task {
        Task::Past(failure) => (failure.choices(), true),
        Task::Fresh { seed, is_twice } => {
            (Choices::trial(*seed, Edits::default(), Keep::Chosen), *is_twice)
        }
    };
    let mut told = tell_once(scenario, &choices, is_twice);
    let is_failed = told.is_err();
    if is_failed {
        let again = choices.again();
        let reason = |told| scenario.choice_file(&choices, told).failure;
        let told_again = tell_once(scenario, &again, false);
        let (first, second) = (reason(&told), reason(&told_again));
        // Where two runs differ, this is a third one.
        let is_known = first.as_deref().is_some_and(|first| first.contains(TWO_RUNS_DIFFER));
        if first != second && !is_known {
            told = Err(format!("{TWO_RUNS_DIFFER}: {first:?}, then {second:?}"));
        }
    } else if let Task::Past(failure) = task {
        told = told.and_then(|report| failure.objection(&choices).map_or(Ok(report), Err));
    }
    let runs_count = 1 + u64::from(is_twice || is_failed);
    let simulated_ms = choices.extent().simulated_ms * runs_count;
    Ended { at, told, choices, simulated_ms, wall: began.elapsed() }
}

fn tell_once(scenario: Scenario, choices: &Choices, is_twice: bool) -> Result<Report, String> {
    tell_within(scenario, choices, (RUN_WALL, is_twice)).unwrap_or_else(|Hung| {
        let (name, seed) = (scenario.name, choices.seed());
        let line = format!("cargo run -p quorate-sim -- run {name} --seed {seed}");
        Err(format!("{line}\nit did not end within {} s", RUN_WALL.as_secs()))
    })
}

#[cfg(test)]
mod tests {
    use quorate_sim::choices::ChoiceFile;

    use super::*;

    /// Ends well with even seeds, and with odd ones fails as soon as the second of five strikes.
    fn odd(seed: u64) -> Report {
        let choices = Choices::of(seed);
        let strike = |number| choices.chosen("odd.gust.strikes", number).chance(0.999);
        let striking: Vec<u64> = (1..=5).filter(|number| strike(*number)).collect();
        assert!(seed.is_multiple_of(2) || !striking.contains(&2), "an odd one");
        Report {
            event_hash: seed,
            events_count: 0,
            simulated_ms: 0,
            acknowledged_count: 0,
            refused_count: 0,
            unknown_count: 0,
            tokens_count: 0,
            margins: Default::default(),
            false_downs_count: 0,
            coverage: Default::default(),
            marks: Default::default(),
        }
    }

    fn sweep(dir: &Path, (seeds, from): (u64, u64), no_shrink: bool) -> bool {
        of(dir, (seeds, from), no_shrink).sweep(from, &[])
    }

    fn of(dir: &Path, (seeds, from): (u64, u64), no_shrink: bool) -> Sweep {
        Sweep {
            scenarios: Chosen(vec![Scenario { name: "odd", tell: odd }]),
            length: Length { seeds: Some(seeds), minutes: None },
            jobs: Some(2),
            from: Some(from),
            out: dir.to_owned(),
            shrinking: Shrinking::of(no_shrink, 60),
        }
    }

    fn names(dir: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(dir).expect("the sweep has made it").flatten();
        let mut names: Vec<String> =
            entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    #[test]
    fn failing_seeds_leave_their_files_and_one_of_a_kind_a_smaller_run() {
        let place = tempfile::tempdir().expect("a temporary directory can be made");
        assert!(sweep(place.path(), (1, 2), false), "an even seed ends well");
        assert_eq!(names(place.path()), Vec::<String>::new());

        assert!(!sweep(place.path(), (4, 3), true));
        assert_eq!(names(place.path()), ["odd-3.choices.json", "odd-5.choices.json"]);

        assert!(!sweep(place.path(), (4, 3), false));
        let small: Vec<String> =
            names(place.path()).into_iter().filter(|name| name.contains(".small.")).collect();
        assert_eq!(small.len(), 1, "{small:?}");
        let small = ChoiceFile::read(&place.path().join(&small[0])).expect("it can be read");
        assert_eq!(small.failure.as_deref(), Some("an odd one"));
        let passing: Vec<u64> = small.edits.iter().map(|edit| edit.instance).collect();
        assert_eq!(passing, [1, 3, 4, 5]);
    }

    #[test]
    fn a_limit_in_time_ends_a_sweep_between_two_seeds_and_its_last_line_tells_them_again() {
        let over = Time::new(Duration::ZERO);
        assert_eq!([0, 1, 2].map(|turn| over.is_left(turn)), [true, false, false]);
        assert_eq!(over.turns_count(), 1);
        let mut time = Time::new(Duration::from_secs(3_600));
        // The thread that has taken a later one asks first.
        assert_eq!([3, 2].map(|turn| time.is_left(turn)), [true, true]);
        time.wall = Duration::ZERO;
        assert_eq!([3, 1, 4].map(|turn| time.is_left(turn)), [true, true, false]);
        assert_eq!(time.turns_count(), 4);

        let line = of(Path::new("."), (2, 0x10), true).again(0x10, time.turns_count());
        let words = "cargo run --release -p quorate-sim -- sweep odd --from 0x10 --seeds 4";
        assert_eq!(line, format!("again: {words}"));
    }

    #[test]
    fn a_past_failure_whose_edit_meets_no_choice_fails() {
        let text = r#"[[failure]]
            scenario = "leader_crash"
            seed = 4
            edits = [{ site = "gone", instance = 1, k = 1, value = 0 }]
            found = "nothing"
            when = "2026-11-23""#;
        let failure = past::parse(text).expect("it is a list").remove(0);
        let told =
            |failure| tell(0, Scenario { name: "odd", tell: odd }, &Task::Past(failure)).told;
        let objection = told(failure.clone()).expect_err("its edit is in vain");
        assert!(objection.contains("met no choice"), "{objection}");
        let plain = Failure { edits: Vec::new(), ..failure };
        assert_eq!(told(plain).expect("it ends well").event_hash, 4);
    }
}
