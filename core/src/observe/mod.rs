//! Observe: what a tester sees of production code, and the bugs that it can order.
//!
//! [`mark`] says that a telling place was reached, [`tell`] that something has happened, and
//! [`planted`] asks whether a known bug is to happen here. A daemon has none of it: without the
//! features `observed` and `planted-bugs` all three are empty, and compiled to nothing.
//!
//! Invariants
//! - Nothing that a node does depends on who observes it; only a planted bug changes it.
//! - All of it belongs to one thread: simulations side by side do not see each other. Only the bug
//!   of a real process belongs to all of its threads.
//! - What is told has happened: a vote is told once it is durable, not when it is asked for.
//!
//! Read next: [`Told`], `marks.rs` for the places, `sim/src/bank/mod.rs` for the planted bugs.

mod marks;
#[cfg(feature = "observed")]
mod sink;

#[cfg(feature = "planted-bugs")]
use std::cell::Cell;
use std::collections::BTreeSet;
use std::net::IpAddr;
#[cfg(feature = "planted-bugs")]
use std::sync::OnceLock;

pub use marks::{MARKS, Mark, Marks};
#[cfg(feature = "observed")]
pub(crate) use sink::is_observed;
#[cfg(feature = "observed")]
pub use sink::{begin, depths, inputs_digest, marks, most_inputs, take_told};

use crate::ids::{FencingToken, LogIndex, NodeId, Term};
use crate::last_inputs::ActorName;
use crate::membership::Liveness;
use crate::ports::Now;

/// How many things waited in a place at most, of all nodes of a thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Depth {
    /// Room and things.
    pub place: &'static str,
    /// How many waited.
    pub count: u64,
    /// How many may wait.
    pub count_max: u64,
}

/// How many inputs one actor of a node has handled at one reading of its clock, at most.
///
/// That is a bound of the depth of its mailbox, which actix tells nobody: an actor handles all that
/// waits in one turn, and in the simulator a clock stands still during a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MostInputs {
    /// Which actor.
    pub actor: ActorName,
    /// Of which node.
    pub node: NodeId,
    /// How many.
    pub count: u64,
}

/// Where the record of an entry stands on a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The segment of the journal, by its name's number.
    pub segment: u32,
    /// The number of the record's group, which is part of its checksum.
    pub group: u64,
    /// From the beginning of the segment.
    pub offset: u64,
    /// Size of the record.
    pub size_bytes: u32,
}

/// Something that happened, told at the moment at which it did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    /// A quorum has granted the term, as `by` has learned.
    Elected {
        /// Who says so: the elected node itself, or one that follows it.
        by: NodeId,
        /// Who has won.
        node: NodeId,
        /// The term.
        term: Term,
    },
    /// A vote is durable, and may be answered from here on.
    VoteGranted {
        /// Who has voted.
        by: NodeId,
        /// For whom; a candidate votes for itself.
        to: NodeId,
        /// The term.
        term: Term,
    },
    /// A node knows more entries to be committed than before.
    Committed {
        /// Which node.
        by: NodeId,
        /// The last of them.
        index: LogIndex,
        /// The term in which that one was proposed.
        term: Term,
    },
    /// A node applies the entry that makes somebody a member. Every node tells it, again at each
    /// start.
    IdGiven {
        /// The id.
        id: NodeId,
        /// Whose it is.
        address: IpAddr,
    },
    /// A protected datagram is authentic, was made for this session, and is handed on.
    DatagramTaken {
        /// Who takes it.
        by: NodeId,
        /// Who has made it.
        from: NodeId,
        /// In which session.
        session: [u8; 16],
        /// Its number there.
        number: u64,
    },
    /// From here on a node may act while it holds its lease.
    ActingBegan {
        /// Which node.
        node: NodeId,
        /// With which token.
        token: FencingToken,
    },
    /// It has seen that it may act no more; its lease may have ended earlier.
    ActingEnded {
        /// Which node.
        node: NodeId,
        /// With which token it had acted.
        token: FencingToken,
    },
    /// A node has opened its log. What it told of it before counts no more; what it holds follows.
    LogOpened {
        /// Which node.
        by: NodeId,
        /// Where it runs.
        address: IpAddr,
    },
    /// An entry stands at the end of a log, and can be read there. It may not be durable.
    Appended {
        /// Whose log.
        by: NodeId,
        /// Its position.
        index: LogIndex,
        /// The term in which it was proposed.
        term: Term,
        /// Checksum of its content.
        digest: u32,
    },
    /// The entry that was appended last says who votes: in one set, or in two during a change.
    VotersAppended {
        /// Whose log.
        by: NodeId,
        /// The position of the entry.
        index: LogIndex,
        /// The term in which it was proposed.
        term: Term,
        /// A quorum has a majority of each.
        sets: Vec<BTreeSet<NodeId>>,
    },
    /// A node counts an entry as durable from here on.
    Durable {
        /// Whose log.
        by: NodeId,
        /// The position of the entry.
        index: LogIndex,
        /// Where its record stands, as far as the node knows.
        place: Option<Place>,
    },
    /// The entries after this one are gone: they never were committed.
    Truncated {
        /// Whose log.
        by: NodeId,
        /// The last that stays; 0 if none does.
        after: LogIndex,
    },
    /// The entries up to this one are gone: a snapshot covers them.
    Compacted {
        /// Whose log.
        by: NodeId,
        /// The last that is gone.
        upto: LogIndex,
        /// The term in which that one was proposed.
        term: Term,
    },
    /// A node follows another roster than before, or its first.
    RosterFollowed {
        /// Which node.
        by: NodeId,
        /// Who is in it.
        members: BTreeSet<NodeId>,
        /// The entry that has changed it last.
        changed_at: LogIndex,
    },
    /// A node sees a member differently than before.
    MemberSeen {
        /// Which node.
        by: NodeId,
        /// Which member.
        member: NodeId,
        /// How.
        liveness: Liveness,
    },
}

/// A telling place was reached. The name is one of [`MARKS`].
#[inline(always)]
pub(crate) fn mark(name: &'static str) {
    #[cfg(feature = "observed")]
    sink::mark(name);
    #[cfg(not(feature = "observed"))]
    let _ = name;
}

/// The same, if `is_met`.
#[inline(always)]
pub(crate) fn mark_if(is_met: bool, name: &'static str) {
    if is_met {
        mark(name);
    }
}

/// Something has happened.
#[inline(always)]
pub(crate) fn tell(told: Told) {
    tell_with(|| told);
}

/// The same, where it costs something to say what: nobody does it unless somebody listens.
#[inline(always)]
pub(crate) fn tell_with(told: impl FnOnce() -> Told) {
    #[cfg(feature = "observed")]
    sink::tell_with(told);
    #[cfg(not(feature = "observed"))]
    let _ = told;
}

/// So many things wait in a place that is to hold at most `count_max`.
#[inline(always)]
pub(crate) fn depth(place: &'static str, count: impl FnOnce() -> u64, count_max: u64) {
    #[cfg(feature = "observed")]
    sink::depth(Depth { place, count: count(), count_max });
    #[cfg(not(feature = "observed"))]
    let _ = (place, count, count_max);
}

/// An actor is about to handle an input of which this is the digest.
#[inline(always)]
pub(crate) fn handles(actor: ActorName, node: NodeId, now: Now, digest: impl FnOnce() -> u64) {
    #[cfg(feature = "observed")]
    sink::handles(actor, node, now, digest);
    #[cfg(not(feature = "observed"))]
    let _ = (actor, node, now, digest);
}

#[cfg(feature = "planted-bugs")]
thread_local! {
    /// The bug that is to happen on this thread.
    static PLANTED: Cell<Option<&'static str>> = const { Cell::new(None) };
}

/// The bug that is to happen on every thread: that of a real process.
#[cfg(feature = "planted-bugs")]
static PLANTED_EVERYWHERE: OnceLock<String> = OnceLock::new();

/// Whether this bug is to happen on this thread. Never, without the feature `planted-bugs`.
#[cfg(not(feature = "planted-bugs"))]
#[inline(always)]
pub const fn planted(_bug: &str) -> bool {
    false
}

/// Whether this bug is to happen on this thread.
#[cfg(feature = "planted-bugs")]
pub fn planted(bug: &str) -> bool {
    // A thread at its end has no order of its own any more, and still cleans up.
    let is_ordered_here = PLANTED.try_with(Cell::get).is_ok_and(|name| name == Some(bug));
    is_ordered_here || PLANTED_EVERYWHERE.get().is_some_and(|name| name == bug)
}

/// From here on this bug is to happen in the whole process. Only the first order counts.
#[cfg(feature = "planted-bugs")]
pub fn plant_everywhere(bug: String) {
    PLANTED_EVERYWHERE.get_or_init(|| bug);
}

/// From here on this bug, or none, is to happen on this thread.
#[cfg(feature = "planted-bugs")]
pub fn plant(bug: Option<&'static str>) {
    PLANTED.set(bug);
}

/// The bug that is to happen on this thread, for a thread that works for this one.
#[cfg(feature = "planted-bugs")]
pub fn plant_of_this_thread() -> Option<&'static str> {
    PLANTED.get()
}
