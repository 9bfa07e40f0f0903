//! `quorate-sim`: runs scenarios by name and seed.
//!
//! Exit codes: 0 all is well, 1 a run failed or a file cannot be used, 2 the command line is wrong.
//!
//! Read next: `program/`, a file for each command.

mod program;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    program::Program::parse().obey()
}
