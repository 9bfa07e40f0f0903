//! The bank of planted bugs: what proves that the simulator finds what it is there to find.
//!
//! Each bug is one `if` in production code, at the place where the right code stands; it is asleep
//! unless its name is ordered, and not there at all without the feature `planted-bugs`. A bug is
//! found if a scenario fails for the reason that the bank names, while the same seed without the
//! bug passes. What only real processes can show is found by a test in the same way.
//!
//! Invariants
//! - Every bug of the code is in the bank, and every one of the bank in the code: the tidy test.
//! - A bug that is not found within its number of seeds is a red bank; so is a canary that lives.
//!
//! Read next: [`BUGS`], `canary.rs` with `lies.rs`, `hunt.rs`.

mod bugs;
pub mod canary;
#[cfg(feature = "planted-bugs")]
mod hunt;
mod lies;

#[cfg(test)]
mod tests;

pub use bugs::BUGS;
#[cfg(feature = "planted-bugs")]
pub use hunt::{Found, hunt};
pub use lies::{LIES, Lie};

/// A bug that can be ordered, and how it must be found.
#[derive(Clone, Copy, Debug)]
pub struct Bug {
    /// As in the code and on the command line.
    pub name: &'static str,
    /// What goes wrong.
    pub what: &'static str,
    /// The numbers of the promises of README that it breaks.
    pub promises: &'static [u32],
    /// What must find it.
    pub found_by: Finder,
    /// Part of what the failure says: one that fails for another reason has not found it.
    pub says: &'static str,
}

/// What turns red.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finder {
    /// A scenario, which the hunt runs.
    Scenario {
        /// As in `quorate-sim run NAME`.
        name: &'static str,
        /// Within so many seeds, from 1.
        seeds_count_max: u64,
    },
    /// A test of real processes, which `tests/run` runs against a daemon that has the bug.
    Test {
        /// Its file in `tests/tests`.
        suite: &'static str,
        /// Its name.
        name: &'static str,
    },
}

/// The bug of that name.
pub fn by_name(name: &str) -> Option<Bug> {
    BUGS.iter().copied().find(|bug| bug.name == name)
}
