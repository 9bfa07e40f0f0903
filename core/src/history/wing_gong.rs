//! The second opinion on a history: a search for an order that explains it, by times and values.
//!
//! Pure. It looks at no log index, so it sees what an argument from wrong indexes would hide. It is
//! slower than the version order, and may give up: that is counted, and its caller bounds it.
//!
//! The search is that of Wing & Gong, with the memory and the late choice of Lowe, for each key by
//! itself, which is enough because linearizability is local. It
//! goes from answer to answer and keeps every *possibility*: what the register may hold, and which
//! operations under way have had no effect so far. When an operation is answered, each possibility
//! in which it has had none is replaced by those in which it has; when none is left, no order
//! explains the answer. What is chosen as late as that need never be chosen earlier.
//!
//! Histories go through in windows of some thousand operations, each with a bound of steps. They
//! are cut where nothing is under way, if there is such a moment; possibilities cross a cut, so
//! that nothing is lost by it. A window that exceeds its bound is unknown up to the next moment
//! where nothing is under way; from there the register may hold anything that was written before.
//!
//! What a register allows to leave out, without losing an order:
//! - A read whose value is there takes effect at once: it changes nothing.
//! - A value that is written once and will be read again, later, is not replaced.
//! - Of a value that is written once and will not be read again, the write and its reads that are
//!   under way take effect just before the next write: whoever waits longer only has more to do.
//! - An unknown write that nobody reads is nothing to explain, and of ways that differ only in how
//!   many unknown writes they have used, the thriftiest is enough.
//!
//! Invariants
//! - `Contradiction` is certain: leniency after an unknown window only ever allows more.
//! - `Linearizable` is certain as well: no window was given up.
//!
//! Read next: [`judge`], then `search.rs` for one key.
//! Source: Wing & Gong 1993 (the search); Lowe 2017 (its memory, and choosing just in time);
//! Herlihy & Wing 1990, theorem 1 (locality).

mod search;

use std::collections::BTreeMap;

use super::contradiction::{Contradiction, Law};
use super::{Operation, OperationKind, Outcome};
use search::{Ended, Search};

/// How much is searched before a window is given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// A window ends at the first moment where nothing is under way after half as many operations,
    /// or after so many. Default 2,000.
    pub operations_count_max: usize,
    /// Possibilities that are looked at in one window. Default 200,000.
    pub steps_count_max: u64,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { operations_count_max: 2_000, steps_count_max: 200_000 }
    }
}

/// The verdict on a history, or on a part of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opinion {
    /// An order explains every answer.
    Linearizable,
    /// None does.
    Contradiction,
    /// The search was given up in some window, and found no contradiction elsewhere.
    Unknown,
}

/// What the search has found, over all keys.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SecondOpinion {
    /// At most one of each key: where its search ended. The first place is the answer that no order
    /// explains; the others are what may have been there instead, and what was under way.
    pub contradictions: Vec<Contradiction>,
    /// Operations that were looked at, or given up.
    pub operations_count: usize,
    /// Operations in windows that were given up.
    pub unknown_count: usize,
    /// How many windows there were.
    pub windows_count: usize,
    /// How many possibilities were looked at.
    pub steps_count: u64,
}

impl SecondOpinion {
    /// The verdict in one word.
    pub fn opinion(&self) -> Opinion {
        if !self.contradictions.is_empty() {
            Opinion::Contradiction
        } else if self.unknown_count > 0 {
            Opinion::Unknown
        } else {
            Opinion::Linearizable
        }
    }

    /// The share of operations about which it knows nothing, from 0 to 1; 0 without operations.
    pub fn unknown_share(&self) -> f64 {
        self.unknown_count as f64 / self.operations_count.max(1) as f64
    }
}

/// Searches an order for each key of a whole history that began with an empty store.
///
/// Lists, and what is known to have had no effect, are left out.
pub fn judge(history: &[Operation], limits: Limits) -> SecondOpinion {
    let mut by_key: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (at, operation) in history.iter().enumerate() {
        let counts = match (operation.outcome, operation.op) {
            (Outcome::Refused, _) | (_, OperationKind::List) => false,
            (Outcome::Unknown, op) => op.is_write(),
            (Outcome::Acknowledged, _) => true,
        };
        if counts {
            by_key.entry(&operation.key).or_default().push(at);
        }
    }
    let mut found = SecondOpinion::default();
    for places in by_key.values() {
        let mut search = Search::of(history, places, limits);
        let ended = search.run();
        found.operations_count += search.operations_count;
        found.unknown_count += search.unknown_count;
        found.windows_count += search.windows_count;
        found.steps_count += search.steps_count;
        match ended {
            Ended::Explained => {}
            Ended::Contradicted { operations } => {
                found.contradictions.push(Contradiction { law: Law::SomeOrder, operations });
            }
        }
    }
    found
}
