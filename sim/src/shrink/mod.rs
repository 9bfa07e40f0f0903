//! Shrink: finds a smaller run that fails in the same way as a given one.
//!
//! The search changes a run only by edits of its recorded choices, and knows no scenario: a small
//! table of site names says what is a fault, what is a count, and what is left alone. It is pure;
//! `runner.rs` tells the runs, each with a limit in real time.
//!
//! Invariants
//! - What is returned has been told, and failed in the same way ([`kind_of`]).
//! - A run that ends well, fails in another way, or hangs is never taken for a smaller one.
//! - The search ends: each step makes the run smaller ([`Size`]), and its caller may end it.
//!
//! Read next: [`shrink`], `ddmin.rs` for its engine, `size.rs` for what smaller means.
//! Source: Zeller & Hildebrandt 2002, "Simplifying and Isolating Failure-Inducing Input";
//! MacIver & Donaldson 2020 (choices as what a failure is reduced by).

mod ddmin;
mod reason;
mod runner;
mod search;
mod size;

#[cfg(test)]
mod tests;

pub use ddmin::ddmin;
pub use reason::kind_of;
pub use runner::{Hung, Limits, Runner, TWO_RUNS_DIFFER, tell_within};
pub use search::{Shrunk, Stage, Teller, Told, shrink};
pub use size::Size;
