//! `bugbank`: every planted bug is found, and the canary dies.

use clap::Args;
use quorate_sim::bank::{self, Bug, Finder};

#[derive(Debug, Args)]
pub(super) struct Bugbank {
    /// Only this one.
    #[arg(long, value_name = "NAME", value_parser = bug)]
    bug: Option<Bug>,
    /// Hunts that go on at the same time.
    #[arg(long, value_name = "COUNT", default_value_t = 1)]
    jobs: usize,
    /// Runs nothing, and prints the bugs that tests of real processes find, one per line: name,
    /// suite, test, and part of what it must say, with tabs between them.
    #[arg(long)]
    by_tests: bool,
}

fn bug(name: &str) -> Result<Bug, String> {
    bank::by_name(name).ok_or_else(|| {
        let names: Vec<&str> = bank::BUGS.iter().map(|bug| bug.name).collect();
        format!("there is no bug of this name; there are {}", names.join(", "))
    })
}

impl Bugbank {
    pub(super) fn obey(self) -> bool {
        if !self.by_tests {
            return self.hunt();
        }
        for Bug { name: bug, found_by, says, .. } in bank::BUGS {
            if let Finder::Test { suite, name } = found_by {
                println!("{bug}\t{suite}\t{name}\t{says}");
            }
        }
        true
    }
}

#[cfg(not(feature = "planted-bugs"))]
impl Bugbank {
    fn hunt(self) -> bool {
        let Bugbank { bug, jobs, by_tests: _ } = self;
        let name = bug.map_or_else(String::new, |bug| format!(" --bug {}", bug.name));
        eprintln!(
            "this build has no planted bugs; one that has them: cargo run -p quorate-sim \
             --features planted-bugs -- bugbank --jobs {jobs}{name}"
        );
        false
    }
}

#[cfg(feature = "planted-bugs")]
impl Bugbank {
    fn hunt(self) -> bool {
        let by_scenarios = |bug: &Bug| matches!(bug.found_by, Finder::Scenario { .. });
        let all = || bank::BUGS.into_iter().filter(by_scenarios).collect();
        let bugs: Vec<Bug> = self.bug.map_or_else(all, |bug| vec![bug]);
        let mut passed_count = 0;
        match bank::canary::sing() {
            Ok(count) => println!("canary: {count} lies, none believed"),
            Err(text) => {
                println!("canary: {text}");
                return end(0, bugs.len() + 1);
            }
        }
        passed_count += 1;
        let (count, began) = (bugs.len(), std::time::Instant::now());
        passed_count += hunt_all(bugs, self.jobs);
        println!("{count} bugs in {:.0} s", began.elapsed().as_secs_f64());
        end(passed_count, count + 1)
    }
}

/// Hunts them, so many at a time; prints a line for each, and returns how many were found.
#[cfg(feature = "planted-bugs")]
fn hunt_all(bugs: Vec<Bug>, jobs: usize) -> usize {
    use std::sync::Mutex;

    let waiting = Mutex::new(bugs.into_iter());
    let found_count = Mutex::new(0);
    let work = || loop {
        let next = waiting.lock().expect("no hunt panics while it holds the list").next();
        let Some(bug) = next else { return };
        let began = std::time::Instant::now();
        let hunted = bank::hunt(bug);
        let Bug { name, promises, found_by, .. } = bug;
        let scenario = match found_by {
            Finder::Scenario { name, .. } | Finder::Test { name, .. } => name,
        };
        let took = began.elapsed().as_secs_f64();
        match hunted {
            Ok(found) => {
                *found_count.lock().expect("no hunt panics while it counts") += 1;
                let (seed, others) = (found.seed, found.otherwise_count);
                println!(
                    "found {name} (promises {promises:?}): {scenario}, seed {seed}, {took:.1} s"
                );
                if others > 0 {
                    println!("  {others} seeds before it failed for another reason");
                }
                println!("  {}", found.said);
            }
            Err(text) => println!("NOT FOUND {name} (promises {promises:?}): {scenario}: {text}"),
        }
    };
    std::thread::scope(|threads| {
        for _ in 0..jobs.max(1) {
            threads.spawn(work);
        }
    });
    found_count.into_inner().expect("no hunt panics while it counts")
}

/// The last line, in the form in which test programs tell how many passed: `tests/run` adds it up.
#[cfg(feature = "planted-bugs")]
fn end(passed_count: usize, count: usize) -> bool {
    let failed_count = count - passed_count;
    let result = if failed_count == 0 { "ok" } else { "FAILED" };
    println!("test result: {result}. {passed_count} passed; {failed_count} failed; 0 ignored;");
    failed_count == 0
}
