//! `quorate-sim`: runs scenarios by name and seed.
//!
//! `quorate-sim list`, `run NAME --seed N [--history FILE]`, `sweep NAME|all --seeds COUNT` (each
//! seed two times, which must be told the same way), and `soak NODES MINUTES`: ten writes per
//! second for so long, with the size of everything printed.
//! The history is what clients asked and were told, one line of JSON each, also of a failed run.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use quorate_sim::scenarios::{self, Scenario};

const USAGE: &str = "usage: quorate-sim list | run NAME --seed N [--history FILE] | \
                     sweep NAME|all --seeds COUNT | soak NODES MINUTES";

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words[..] {
        ["list"] => {
            scenarios::ALL.iter().for_each(|scenario| println!("{}", scenario.name));
            ExitCode::SUCCESS
        }
        ["run", name, "--seed", seed] => run_named(name, seed, None),
        ["run", name, "--seed", seed, "--history", path] => {
            run_named(name, seed, Some(PathBuf::from(path)))
        }
        ["sweep", name, "--seeds", count] => match (named(name), number(count)) {
            (chosen, Some(count)) if !chosen.is_empty() => {
                let worst = chosen.into_iter().map(|scenario| sweep(scenario, count)).sum::<u64>();
                if worst == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
            }
            _ => usage(),
        },
        ["soak", nodes_count, minutes] => match (nodes_count.parse(), number(minutes)) {
            (Ok(nodes_count), Some(minutes)) => soak(nodes_count, minutes),
            (Err(_), _) | (_, None) => usage(),
        },
        _ => usage(),
    }
}

fn soak(nodes_count: u8, minutes: u64) -> ExitCode {
    let soaked = scenarios::soak(nodes_count, minutes * 60_000, 1);
    soaked.sizes.iter().for_each(|size| println!("{size:?}"));
    println!("{:?}", soaked.report);
    println!("{:.0} simulated seconds per wall second", soaked.rate);
    ExitCode::SUCCESS
}

fn usage() -> ExitCode {
    eprintln!("{USAGE}");
    ExitCode::from(2)
}

fn number(text: &str) -> Option<u64> {
    match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    }
}

fn named(name: &str) -> Vec<Scenario> {
    match name {
        "all" => scenarios::ALL.to_vec(),
        _ => scenarios::by_name(name).into_iter().collect(),
    }
}

fn run_named(name: &str, seed: &str, history: Option<PathBuf>) -> ExitCode {
    let (Some(scenario), Some(seed)) = (scenarios::by_name(name), number(seed)) else {
        return usage();
    };
    match scenario.run_and_keep(seed, history) {
        Ok(report) => {
            println!("{report:#?}");
            ExitCode::SUCCESS
        }
        Err(text) => {
            eprintln!("{text}");
            ExitCode::FAILURE
        }
    }
}

/// Runs seeds 1 to `count`, each two times; returns how many failed.
fn sweep(scenario: Scenario, count: u64) -> u64 {
    let began = Instant::now();
    let mut failed_count = 0;
    for seed in 1..=count {
        if let Err(text) = scenario.run_twice(seed) {
            failed_count += 1;
            let lines: Vec<&str> = text.lines().take(3).collect();
            println!("seed {seed}: {}", lines.join(" | "));
        }
    }
    let per_minute = count as f64 * 60.0 / began.elapsed().as_secs_f64();
    let name = scenario.name;
    println!("{name}: {count} seeds, {failed_count} failed, {per_minute:.0} seeds per minute");
    failed_count
}
