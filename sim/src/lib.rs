//! The simulated world: the ports of `quorate-core` on machines that exist only in memory.
//!
//! One seed fixes a run: who is delayed, what is lost, which order tasks run in.
//!
//! Read next: [`world`].

pub mod world;

pub use world::run_isolated;
