//! `quorate-sim`: runs scenarios by name and seed.
//!
//! - `list`
//! - `run NAME --seed N`, with `--history FILE`: what clients asked and were told, one line of JSON
//!   each, also of a failed run; with `--choices FILE`: the run as a choice file, with what
//!   scenario, clients and weather chose; with `--every-choice FILE`: with every delay as well
//! - `replay FILE`: tells the run of a choice file, with its edits; options as above
//! - `sweep NAME|all --seeds COUNT`: each seed two times, which must be told the same way
//! - `soak NODES MINUTES`: ten writes per second for so long, with the size of everything printed
//!
//! A run or seed that fails leaves a choice file in the current directory, or in `--out DIR`. A
//! replay leaves one only where it is told to.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use quorate_sim::choices::{ChoiceFile, Choices, Edits, Keep};
use quorate_sim::cluster::Report;
use quorate_sim::scenarios::{self, Scenario};

const USAGE: &str = "usage: quorate-sim list\n\
    | run NAME --seed N [--history FILE] [--choices FILE | --every-choice FILE] [--out DIR]\n\
    | replay FILE [--history FILE] [--choices FILE | --every-choice FILE] [--out DIR]\n\
    | sweep NAME|all --seeds COUNT [--out DIR]\n\
    | soak NODES MINUTES";

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let ended = match words.as_slice() {
        ["list"] => {
            scenarios::ALL.iter().for_each(|scenario| println!("{}", scenario.name));
            Some(ExitCode::SUCCESS)
        }
        ["run", name, rest @ ..] => run(name, rest),
        ["replay", file, rest @ ..] => replay(Path::new(file), rest),
        ["sweep", name, rest @ ..] => sweep(name, rest),
        ["soak", nodes_count, minutes] => soak(nodes_count, minutes),
        _ => None,
    };
    ended.unwrap_or_else(|| {
        eprintln!("{USAGE}");
        ExitCode::from(2)
    })
}

/// What follows a command, by option.
type Options<'a> = BTreeMap<&'a str, &'a str>;

/// Pairs of a known option and its value, each at most once.
fn options<'a>(words: &[&'a str], known: &[&str]) -> Option<Options<'a>> {
    let mut options = BTreeMap::new();
    for pair in words.chunks(2) {
        let [name, value] = *pair else { return None };
        if !known.contains(&name) || options.insert(name, value).is_some() {
            return None;
        }
    }
    Some(options)
}

fn number(text: &str) -> Option<u64> {
    match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    }
}

fn run(name: &str, rest: &[&str]) -> Option<ExitCode> {
    let known = ["--seed", "--history", "--choices", "--every-choice", "--out"];
    let options = options(rest, &known)?;
    let (scenario, seed) = (scenarios::by_name(name)?, number(options.get("--seed")?)?);
    let choices = Choices::new(seed, Edits::default(), keep(&options)?);
    let told = scenario.run_with(&choices, options.get("--history").map(PathBuf::from));
    let dir = options.get("--out").copied().unwrap_or(".");
    Some(end(scenario, &choices, &told, (&options, Some(dir))))
}

fn replay(path: &Path, rest: &[&str]) -> Option<ExitCode> {
    let options = options(rest, &["--history", "--choices", "--every-choice", "--out"])?;
    let keep = keep(&options)?;
    let read = ChoiceFile::read(path).and_then(|file| {
        let no_scenario = format!("{}: there is no scenario {}", path.display(), file.scenario);
        Ok((scenarios::by_name(&file.scenario).ok_or(no_scenario)?, file))
    });
    let (scenario, file) = match read {
        Ok(read) => read,
        Err(text) => {
            eprintln!("{text}");
            return Some(ExitCode::FAILURE);
        }
    };
    let choices = Choices::new(file.seed, file.edits.into_iter().collect(), keep);
    let told = scenario.run_with(&choices, options.get("--history").map(PathBuf::from));
    for edit in choices.unmet_edits() {
        eprintln!("this edit met no choice: {edit:?}");
    }
    if let (Some(event_hash), Ok(report)) = (file.event_hash, &told) {
        let is_same = if report.event_hash == event_hash { "the same" } else { "another" };
        println!("{is_same} event hash as in the file");
    }
    // A failure has its file already.
    let dir = options.get("--out").copied();
    Some(end(scenario, &choices, &told, (&options, dir)))
}

/// What a run records; `None` if it is asked for two things.
fn keep(options: &Options<'_>) -> Option<Keep> {
    match (options.get("--choices"), options.get("--every-choice")) {
        (Some(_), Some(_)) => None,
        (None, Some(_)) => Some(Keep::Everything),
        (_, None) => Some(Keep::Chosen),
    }
}

/// Prints how a run ended, and writes the choice file that was asked for, or that of a failure into
/// `dir`.
fn end(
    scenario: Scenario,
    choices: &Choices,
    told: &Result<Report, String>,
    (options, dir): (&Options<'_>, Option<&str>),
) -> ExitCode {
    match told {
        Ok(report) => println!("{report:#?}"),
        Err(text) => eprintln!("{text}"),
    }
    let kept = scenario.choice_file(choices, told);
    let is_written = match (options.get("--choices").or(options.get("--every-choice")), dir) {
        (Some(path), _) => write(&kept, Path::new(path)),
        (None, Some(dir)) if told.is_err() => leave(&kept, Path::new(dir)),
        (None, _) => true,
    };
    if told.is_ok() && is_written { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Leaves the file of a failed run in a folder.
fn leave(kept: &ChoiceFile, dir: &Path) -> bool {
    if let Err(error) = std::fs::create_dir_all(dir) {
        eprintln!("choices: {} cannot be made: {error}", dir.display());
        return false;
    }
    write(kept, &dir.join(kept.name()))
}

/// Writes a choice file and says how to use it.
fn write(kept: &ChoiceFile, path: &Path) -> bool {
    match kept.write(path) {
        Ok(()) => eprintln!("choices: cargo run -p quorate-sim -- replay {}", path.display()),
        Err(error) => {
            eprintln!("choices: {} cannot be written: {error}", path.display());
            return false;
        }
    }
    true
}

fn sweep(name: &str, rest: &[&str]) -> Option<ExitCode> {
    let options = options(rest, &["--seeds", "--out"])?;
    let count = number(options.get("--seeds")?)?;
    let chosen = match name {
        "all" => scenarios::ALL.to_vec(),
        _ => vec![scenarios::by_name(name)?],
    };
    let dir = Path::new(options.get("--out").copied().unwrap_or("."));
    let sweep = |scenario| sweep_one(scenario, count, dir);
    let failed_count = chosen.into_iter().map(sweep).sum::<u64>();
    Some(if failed_count == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
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

fn soak(nodes_count: &str, minutes: &str) -> Option<ExitCode> {
    let (nodes_count, minutes) = (nodes_count.parse().ok()?, number(minutes)?);
    let soaked = scenarios::soak(nodes_count, minutes * 60_000, 1);
    soaked.sizes.iter().for_each(|size| println!("{size:?}"));
    println!("{:?}", soaked.report);
    println!("{:.0} simulated seconds per wall second", soaked.rate);
    Some(ExitCode::SUCCESS)
}
