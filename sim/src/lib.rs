//! The simulated world: the ports of `quorate-core` on machines that exist only in memory, and the
//! scenarios that whole nodes live through there.
//!
//! `sim/README.md` is the way in: what goes wrong, what is checked, how a failure is told again.
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
//! # For software of your own
//!
//! Anything that takes an [`Env`](quorate_core::ports::Env), and asks nobody else for time,
//! network, disk and chance, runs on the same machines and meets the same faults. Its start
//! returns a handle, through which the scenario asks it:
//!
//! ```
//! use std::cell::Cell;
//! use std::rc::Rc;
//! use quorate_core::ports::Env;
//! use quorate_sim::cluster::Cluster;
//!
//! /// Counts its own starts on its disk.
//! async fn count_starts(env: Env) -> Rc<Cell<u64>> {
//!     let file = "starts".as_ref();
//!     let before = env.disk.read(file).expect("the disk works").unwrap_or_default();
//!     let starts = [before, vec![b'|']].concat();
//!     env.disk.replace(file, &starts).expect("the disk works");
//!     Rc::new(Cell::new(starts.len() as u64))
//! }
//!
//! quorate_sim::run_isolated(|| {
//!     let mut cluster = Cluster::of(2).software(count_starts).seed(7);
//!     cluster.run_for_ms(10);
//!     cluster.cut_power(&["n2"]);
//!     cluster.restore_power(&["n2"]);
//!     cluster.run_for_ms(10);
//!     let starts = |handle: Rc<Cell<u64>>| async move { handle.get() };
//!     assert_eq!(cluster.ask("n1", 100, starts), Some(1));
//!     assert_eq!(cluster.ask("n2", 100, starts), Some(2));
//! });
//! ```
//!
//! `sim/examples/own_software.rs` is an actor with a bug that only a power cut shows, and
//! `sim/examples/counter.rs` a replicated state machine of one's own.
//!
//! Read next: [`scenarios`], [`plan`], [`cluster`], [`checkers`], [`choices`], [`shrink`], then
//! [`world`] below them.

pub mod bank;
pub mod checkers;
pub mod choices;
pub mod cluster;
pub mod past;
pub mod plan;
pub mod scenarios;
pub mod shrink;
pub mod world;

pub use world::run_isolated;
