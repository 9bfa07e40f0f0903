//! The simulated world: the ports of `quorate-core` on machines that exist only in memory, and the
//! scenarios that whole nodes live through there.
//!
//! One seed fixes a run: who is delayed, what is lost, which order tasks run in. Whatever is left
//! to chance is a choice at a site with a name ([`choices`]), so that one of them can be changed
//! and all others stay. A scenario chooses like this:
//!
//! ```
//! use quorate_sim::cluster::Cluster;
//!
//! quorate_sim::run_isolated(|| {
//!     let mut cluster = Cluster::of(3).seed(7);
//!     let pause_ms = cluster.choose("example.pause_ms", 1).between(10, 500);
//!     cluster.run_for_ms(pause_ms);
//!     let name = format!("n{}", cluster.choose("example.node", 1).between(1, 3));
//!     cluster.crash(&[&name]);
//!     cluster.run_for_ms(1_000);
//!     cluster.restart(&[&name]);
//!     cluster.within_ms(10_000).one_leader_and_equal_logs();
//!     cluster.check_invariants();
//! });
//! ```
//!
//! Read next: [`scenarios`], [`cluster`], [`checkers`], [`choices`], then [`world`] below them.

pub mod checkers;
pub mod choices;
pub mod cluster;
pub mod scenarios;
pub mod world;

pub use world::run_isolated;
