//! The commands of `quorate-sim`.
//!
//! Read next: [`Program`], then the file of a command.

mod bench;
mod bugbank;
mod marks;
mod minimise;
mod run;
mod shrink;
mod soak;
mod sweep;
mod tally;
mod trace;
mod tree;
mod workers;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use quorate_sim::choices::{ChoiceFile, Keep};
use quorate_sim::scenarios::{self, Scenario};

/// Runs whole clusters in a simulated world: every run can be repeated from one number.
#[derive(Debug, Parser)]
#[command(name = "quorate-sim", version)]
pub struct Program {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Names every scenario.
    List,
    /// Tells one scenario with one seed. A failure leaves a choice file, and a smaller one.
    Run(run::Run),
    /// Tells the run of a choice file, with its edits.
    Replay(run::Replay),
    /// Draws the diagram of a choice file's run as a page for a browser.
    Trace(trace::Trace),
    /// Tells the failures of the past, then scenarios with fresh seeds, one in ten of them twice.
    Sweep(sweep::Sweep),
    /// Searches a smaller run that fails in the same way as that of a choice file.
    Shrink(shrink::Shrink),
    /// Ten writes per second for so long, with the size of everything printed.
    Soak(soak::Soak),
    /// Orders every planted bug, and looks whether it is found. Needs a build with them.
    Bugbank(bugbank::Bugbank),
    /// Counts which telling places of the nodes' code the scenarios meet. Each must be met.
    Marks(marks::MarksOf),
    /// How fast all of this is, beside the goals. Build it with --release.
    Bench(bench::Bench),
}

impl Program {
    /// Does what the command line says.
    pub fn obey(self) -> ExitCode {
        let is_good = match self.command {
            Command::List => {
                let mut out = std::io::stdout().lock();
                // Who has read enough closes the pipe.
                scenarios::ALL.iter().all(|scenario| writeln!(out, "{}", scenario.name).is_ok())
            }
            Command::Run(run) => run.obey(),
            Command::Replay(replay) => replay.obey(),
            Command::Trace(trace) => trace.obey(),
            Command::Sweep(sweep) => sweep.obey(),
            Command::Shrink(shrink) => shrink.obey(),
            Command::Soak(soak) => soak.obey(),
            Command::Bugbank(bugbank) => bugbank.obey(),
            Command::Marks(marks) => marks.obey(),
            Command::Bench(bench) => bench.obey(),
        };
        if is_good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }
}

/// What of a run is kept, and where.
#[derive(Debug, Args)]
struct Kept {
    /// What clients asked and were told, one line of JSON each; also of a failed run.
    #[arg(long, value_name = "FILE")]
    history: Option<PathBuf>,
    /// The diagram, as a page for a browser: who fared how, who led, what was on the way.
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// The run as a choice file, with what scenario, clients and weather chose.
    #[arg(long, value_name = "FILE", conflicts_with = "every_choice")]
    choices: Option<PathBuf>,
    /// The run as a choice file, with every delay as well.
    #[arg(long, value_name = "FILE")]
    every_choice: Option<PathBuf>,
}

impl Kept {
    fn keep(&self) -> Keep {
        if self.every_choice.is_some() { Keep::Everything } else { Keep::Chosen }
    }

    fn in_files(&self) -> scenarios::Kept {
        let (history, diagram) = (self.history.clone(), self.html.clone());
        scenarios::Kept { history, diagram }
    }

    fn path(&self) -> Option<&Path> {
        self.choices.as_deref().or(self.every_choice.as_deref())
    }
}

/// The scenario of that name, for the command line.
fn scenario(name: &str) -> Result<Scenario, String> {
    scenarios::by_name(name).ok_or_else(|| {
        let names: Vec<&str> = scenarios::ALL.iter().map(|scenario| scenario.name).collect();
        format!("there is no scenario of this name; there are {}", names.join(", "))
    })
}

/// Reads a choice file and finds its scenario; says what is wrong otherwise.
fn read(path: &Path) -> Option<(Scenario, ChoiceFile)> {
    let read = ChoiceFile::read(path).and_then(|file| {
        let no_scenario = format!("{}: there is no scenario {}", path.display(), file.scenario);
        Ok((scenarios::by_name(&file.scenario).ok_or(no_scenario)?, file))
    });
    read.map_err(|text| eprintln!("{text}")).ok()
}

/// A seed in decimal or, after `0x`, in hexadecimal.
fn seed(text: &str) -> Result<u64, String> {
    let seed = match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16),
        None => text.parse(),
    };
    seed.map_err(|error| error.to_string())
}

/// Leaves the file of a failed run in a folder; says whether that worked.
fn leave(kept: &ChoiceFile, dir: &Path) -> bool {
    leave_as(kept, dir, &kept.name())
}

/// The same under another name.
fn leave_as(kept: &ChoiceFile, dir: &Path, name: &str) -> bool {
    if let Err(error) = std::fs::create_dir_all(dir) {
        eprintln!("choices: {} cannot be made: {error}", dir.display());
        return false;
    }
    write(kept, &dir.join(name))
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
