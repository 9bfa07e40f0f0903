//! What must hold at every instant, and at the end: one file per property, with its source.
//!
//! A checker sees the cluster from outside, all nodes at one true time. It never acts.
//!
//! Read next: [`Checker`], then any of them.

mod equal_state;
mod linearizable;
mod nothing_lost;
mod one_acts;
mod one_elected;
mod tokens_grow;

#[cfg(test)]
mod tests;

pub use equal_state::{History, Recorded};
pub use nothing_lost::{Asked, Ledger};
pub use one_acts::OneActs;
pub use one_elected::OneElectedPerTerm;
pub use tokens_grow::TokensGrow;

use quorate_core::leader::Leadership;

/// One running node at one instant.
#[derive(Clone, Debug)]
pub struct Seen {
    /// Its place in the cluster.
    pub at: usize,
    /// What it knows of leadership.
    pub leadership: Leadership,
    /// Whether it may act at this moment, by its own clock.
    pub may_act: bool,
}

/// A property that is looked at after every instant.
pub trait Checker {
    /// Says what is wrong with what is seen, if anything is.
    fn check(&mut self, seen: &[Seen]) -> Result<(), String>;
}

/// The checkers that fit every cluster.
pub fn all() -> Vec<Box<dyn Checker>> {
    vec![Box::new(OneActs), Box::new(OneElectedPerTerm::default()), Box::new(TokensGrow::default())]
}
