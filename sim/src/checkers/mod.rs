//! What must hold at every instant, and at the end: one file per property, with its source.
//!
//! A checker sees the cluster from outside, all nodes at one true time. It never acts.
//!
//! Read next: [`Checker`], then any of them.

mod durable_on_quorum;
mod equal_state;
mod exactly_once;
mod ids_given_once;
mod leader_completeness;
mod linearizable;
mod locks_by_token;
mod log_matching;
mod logs;
mod margins;
mod no_lost_update;
mod nothing_lost;
mod one_acts;
mod one_elected;
mod tokens_grow;
mod unique_names;

#[cfg(test)]
mod tests;

pub use durable_on_quorum::DurableOnQuorum;
pub use equal_state::{History, Recorded};
pub use exactly_once::Lists;
pub use ids_given_once::IdsGivenOnce;
pub use leader_completeness::LeaderCompleteness;
pub use locks_by_token::Locks;
pub use log_matching::LogMatching;
pub use margins::{MarginWatch, Margins};
pub use no_lost_update::Swaps;
pub use nothing_lost::{Asked, Ledger};
pub use one_acts::OneActs;
pub use one_elected::OneElectedPerTerm;
pub use tokens_grow::TokensGrow;
pub use unique_names::Names;

use std::net::IpAddr;
use std::time::Duration;

use quorate_core::leader::Leadership;
use quorate_core::observe::{Place, Told};
use quorate_core::replication::LogId;

/// One running node at one instant.
#[derive(Clone, Debug)]
pub struct Seen {
    /// Its place in the cluster.
    pub at: usize,
    /// What it knows of leadership.
    pub leadership: Leadership,
    /// Whether it may act at this moment, by its own clock.
    pub may_act: bool,
    /// For how long, if nothing else happens; by its own clock, too.
    pub left: Duration,
}

/// When a request was first sent, and when its outcome was noted; milliseconds of the world.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// Sent.
    pub start_ms: u64,
    /// Over.
    pub end_ms: u64,
}

/// A property that is looked at after every instant.
pub trait Checker {
    /// Says what is wrong with what is seen, if anything is.
    fn check(&mut self, seen: &[Seen]) -> Result<(), String>;

    /// The same about something that happened since, in the order in which it did.
    fn hear(&mut self, _told: &Told) -> Result<(), String> {
        Ok(())
    }

    /// The same about the disks, at the end of an instant, after what happened in it.
    fn look(&mut self, _disks: &dyn Disks) -> Result<(), String> {
        Ok(())
    }
}

/// What a checker may see of the disks of all machines, those without power included.
pub trait Disks {
    /// The entry of the log whose whole record a power cut would for certain leave in this place.
    fn synced(&self, machine: IpAddr, place: &Place) -> Option<LogId>;

    /// Whether the scenario has made the disk lie or rot, or has wiped it.
    fn spoiled(&self, machine: IpAddr) -> bool;
}

/// The checkers that fit every cluster.
pub fn all() -> Vec<Box<dyn Checker>> {
    vec![
        Box::new(OneActs),
        Box::new(OneElectedPerTerm::default()),
        Box::new(TokensGrow::default()),
        Box::new(IdsGivenOnce::default()),
        Box::new(LogMatching::default()),
        Box::new(LeaderCompleteness::default()),
        Box::new(DurableOnQuorum::default()),
    ]
}
