//! Coverage: how often each kind of fault struck, and how often somebody noticed.
//!
//! Source: the rule that a test whose fault had no effect has tested nothing (Zhou et al. 2021,
//! section 4.2, on buggification that must be seen to fire).

use std::fmt;

use super::kind::{ALL, COUNT, Kind};

/// What one kind of fault did in a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// How often it struck.
    pub struck: u32,
    /// How often it bit: somebody noticed, as its kind says (`bites.rs`).
    pub bit: u32,
}

/// What each kind of fault did in a run, or in many.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Coverage([Count; COUNT]);

impl Default for Coverage {
    fn default() -> Coverage {
        Coverage([Count::default(); COUNT])
    }
}

impl Coverage {
    /// A fault of this kind begins.
    pub(crate) fn struck(&mut self, kind: Kind) {
        self.0[kind.place()].struck += 1;
    }

    /// Somebody noticed a fault of this kind. At most once for each that struck.
    pub(crate) fn bit(&mut self, kind: Kind) {
        self.0[kind.place()].bit += 1;
    }

    /// What one kind did.
    pub fn of(&self, kind: Kind) -> Count {
        self.0[kind.place()]
    }

    /// How many faults struck.
    pub fn struck_count(&self) -> u32 {
        self.0.iter().map(|count| count.struck).sum()
    }

    /// How many of them bit.
    pub fn bit_count(&self) -> u32 {
        self.0.iter().map(|count| count.bit).sum()
    }

    /// Adds what another run did.
    pub fn add(&mut self, other: &Coverage) {
        for (mine, Count { struck, bit }) in self.0.iter_mut().zip(other.0) {
            mine.struck += struck;
            mine.bit += bit;
        }
    }
}

impl fmt::Debug for Coverage {
    /// The kinds that struck, each with `bit/struck`.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts = ALL.iter().zip(self.0).filter(|(_, count)| count.struck > 0);
        let lines = counts.map(|((name, _), Count { struck, bit })| (name, (bit, struck)));
        out.debug_list()
            .entries(lines.map(|(name, (bit, all))| format!("{name} {bit}/{all}")))
            .finish()
    }
}
