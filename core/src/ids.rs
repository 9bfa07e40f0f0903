//! Names and numbers that every part speaks, each with a type of its own.
//!
//! Invariants
//! - A [`NodeId`] is allocated from the log and never used again.
//! - A [`Term`] only grows; its high 16 bits are the generation, its low 48 the election.
//! - A [`FencingToken`] is the term of a leader that acts; an older one is refused everywhere.
//!
//! Read next: [`Term`], then `codec/frame.rs` for how they look on the wire.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A node of a cluster. The first is 1; 0 means "no node yet" and is never allocated.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct NodeId(pub u64);

impl fmt::Display for NodeId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "n{}", self.0)
    }
}

/// A cluster, unique in the world: 16 random bytes drawn once, or derived from settings.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ClusterId(pub [u8; 16]);

impl fmt::Display for ClusterId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(out, "{byte:02x}"))
    }
}

impl fmt::Debug for ClusterId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "ClusterId({self})")
    }
}

/// Which chain of recoveries a node belongs to; two of them never mix. 0 before any recovery.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Lineage(pub u64);

/// Number of recoveries. 0 until the first.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Generation(pub u16);

impl fmt::Display for Generation {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "g{}", self.0)
    }
}

/// Generation and election in one number, which only grows. One leader per term.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Term(u64);

impl Term {
    /// The highest election number within a generation.
    pub const ELECTION_MAX: u64 = (1 << 48) - 1;

    /// Panics if `election` does not fit 48 bits: it would count as a generation.
    pub const fn new(generation: Generation, election: u64) -> Term {
        assert!(election <= Term::ELECTION_MAX, "an election number never reaches the generation");
        Term((generation.0 as u64) << 48 | election)
    }

    /// The high 16 bits.
    pub const fn generation(self) -> Generation {
        Generation((self.0 >> 48) as u16)
    }

    /// The low 48 bits. 0 is never held.
    pub const fn election(self) -> u64 {
        self.0 & Term::ELECTION_MAX
    }

    /// The next election of the same generation.
    ///
    /// Panics instead of carrying into the generation, which only a recovery may raise.
    #[must_use]
    pub const fn next(self) -> Term {
        Term::new(self.generation(), self.election() + 1)
    }

    /// The number as it stands on disk and on the wire.
    pub const fn to_bits(self) -> u64 {
        self.0
    }

    /// The reverse of [`Term::to_bits`]; every number is a term.
    pub const fn from_bits(bits: u64) -> Term {
        Term(bits)
    }
}

impl fmt::Display for Term {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}.{}", self.generation().0, self.election())
    }
}

/// Position in the replicated log. The first entry is 1; 0 means "nothing yet".
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct LogIndex(pub u64);

impl fmt::Display for LogIndex {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}", self.0)
    }
}

/// The term of the leader that acts, sent with every privileged action.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct FencingToken(pub Term);

impl fmt::Display for FencingToken {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, out)
    }
}

/// The token of a lock or session: the entry that acquired it. Ordered as acquired.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct LockToken {
    /// Log indexes may go back at a recovery; the generation never does.
    pub generation: Generation,
    /// Index of the acquiring entry.
    pub index: LogIndex,
}

/// Names one write of one client, so that repeating it applies it once.
///
/// Drawn at random by the client, 128 bits. 0 means that the client gave none.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct RequestId(pub u128);

impl RequestId {
    /// The write has no id; it is applied as often as it is sent.
    pub const NONE: RequestId = RequestId(0);
}

impl fmt::Display for RequestId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{:032x}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// A term is its two parts, ordered by generation first.
        #[test]
        fn terms_order_by_generation_then_election(
            a in (any::<u16>(), 0..=Term::ELECTION_MAX),
            b in (any::<u16>(), 0..=Term::ELECTION_MAX),
        ) {
            let term = |(generation, election)| Term::new(Generation(generation), election);

            prop_assert_eq!(term(a).cmp(&term(b)), a.cmp(&b));
            prop_assert_eq!((term(a).generation().0, term(a).election()), a);
            prop_assert_eq!(Term::from_bits(term(a).to_bits()), term(a));
        }
    }

    #[test]
    fn the_next_term_stays_in_its_generation() {
        let term = Term::new(Generation(3), 41).next();
        assert_eq!((term.generation(), term.election()), (Generation(3), 42));
    }

    #[test]
    #[should_panic(expected = "never reaches the generation")]
    fn the_last_election_of_a_generation_has_no_successor() {
        let _ = Term::new(Generation(3), Term::ELECTION_MAX).next();
    }
}
