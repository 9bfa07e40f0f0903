//! What must hold at every instant, and at the end: one file per property, with its source.
//!
//! A checker sees the cluster from outside, all nodes at one true time. It never acts.
//!
//! Read next: [`Checker`], then any of them.

mod bounded;
mod datagrams_taken_once;
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
mod members_agree;
mod no_lost_update;
mod nothing_lost;
mod one_acts;
mod one_elected;
mod tokens_grow;
mod unique_names;

#[cfg(test)]
mod tests;

pub use bounded::Bounded;
pub use datagrams_taken_once::DatagramsTakenOnce;
pub use durable_on_quorum::DurableOnQuorum;
pub use equal_state::{History, Recorded};
pub use exactly_once::Lists;
pub use ids_given_once::IdsGivenOnce;
pub use leader_completeness::LeaderCompleteness;
pub use locks_by_token::Locks;
pub use log_matching::LogMatching;
pub use margins::{MarginWatch, Margins};
pub use members_agree::MembersAgree;
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

    /// The same about machines, at the end of an instant, after what happened in it.
    fn look(&mut self, _machines: &dyn Machines) -> Result<(), String> {
        Ok(())
    }
}

/// What a machine holds open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// The machine's name.
    pub name: String,
    /// Files, those of earlier boots that are not closed included.
    pub handles_count: usize,
    /// Listeners, streams in any state, datagram sockets.
    pub sockets_count: usize,
}

/// What a checker may see of all machines, those without power included.
pub trait Machines {
    /// The entry of the log whose whole record a power cut would for certain leave in this place.
    fn synced(&self, machine: IpAddr, place: &Place) -> Option<LogId>;

    /// Whether the scenario has made the disk lie or rot, or has wiped it.
    fn spoiled(&self, machine: IpAddr) -> bool;

    /// Milliseconds of the world.
    fn now_ms(&self) -> u64;

    /// What each machine holds open.
    fn held(&self) -> Vec<Held>;
}

/// The checkers that fit every cluster, whose nodes take a snapshot after so many entries.
pub fn all(snapshot_entries_count: u64) -> Vec<Box<dyn Checker>> {
    vec![
        Box::new(OneActs),
        Box::new(OneElectedPerTerm::default()),
        Box::new(TokensGrow::default()),
        Box::new(IdsGivenOnce::default()),
        Box::new(DatagramsTakenOnce::default()),
        Box::new(LogMatching::default()),
        Box::new(LeaderCompleteness::default()),
        Box::new(DurableOnQuorum::default()),
        Box::new(Bounded::new(snapshot_entries_count)),
    ]
}
