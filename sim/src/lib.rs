//! The simulated world: the ports of `quorate-core` on machines that exist only in memory, and the
//! scenarios that whole nodes live through there.
//!
//! One seed fixes a run: who is delayed, what is lost, which order tasks run in.
//!
//! Read next: [`scenarios`], [`cluster`], [`checkers`], then [`world`] below them.

pub mod checkers;
pub mod cluster;
pub mod scenarios;
pub mod world;

pub use world::run_isolated;
