//! Contradictions: operations that cannot all be true together, and the law that they break.
//!
//! Pure. A contradiction names its operations by their places in the history, so that whoever
//! found it needs no copy of them, and whoever reads it sees all of them in one line.
//!
//! Read next: `version_order.rs`, which finds most of them.

use std::fmt;

use super::{Operation, OperationKind, Outcome};

/// What no history of a sound cluster breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Law {
    /// An operation ends after it began.
    TimesInOrder,
    /// An acknowledged write names the entry that applied it.
    WriteHasIndex,
    /// One entry is one write.
    OneWritePerEntry,
    /// What began after another operation had ended has no smaller index; a write a greater one.
    RealTime,
    /// A read shows the newest write at or below its index.
    NewestWrite,
    /// A read shows nothing that began, or was given its index, later.
    NotFromLater,
    /// A read shows what somebody wrote.
    SomebodyWrote,
    /// A refused write has no effect.
    RefusedNever,
    /// A write of unknown outcome takes effect at most once, at an entry of its own.
    UnknownOnce,
    /// Some order of the operations explains every answer.
    SomeOrder,
}

/// Operations that break a law together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contradiction {
    /// The law.
    pub law: Law,
    /// Places in the history, from 0. The first is the one whose answer cannot be.
    pub operations: Vec<usize>,
}

impl Contradiction {
    /// One line for people: what is wrong, and each operation with value, index, node and times.
    ///
    /// Panics if `history` is not the one that it was found in.
    pub fn text(&self, history: &[Operation]) -> String {
        let told: Vec<String> =
            self.operations.iter().map(|at| Told(*at, &history[*at]).to_string()).collect();
        let key = self.operations.first().map_or("", |at| &history[*at].key);
        format!("history: {key:?}: {}: {}", self.law, told.join("; against "))
    }
}

impl fmt::Display for Law {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Law::TimesInOrder => "it ended before it began",
            Law::WriteHasIndex => "a write was acknowledged without an index",
            Law::OneWritePerEntry => "two writes name one entry",
            Law::RealTime => "it began after the other had ended, and is not behind it in the log",
            Law::NewestWrite => "a read shows what was no longer, or not yet, the newest write",
            Law::NotFromLater => "a read shows a write that came later",
            Law::SomebodyWrote => "a read shows what nobody wrote",
            Law::RefusedNever => "a read shows a refused write",
            Law::UnknownOnce => {
                "a write of unknown outcome took effect twice, or where no entry is"
            }
            Law::SomeOrder => "no order of the operations explains the answer",
        })
    }
}

/// An operation as people are told of it: its line of the history, counted from 1, first.
struct Told<'a>(usize, &'a Operation);

impl fmt::Display for Told<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Told(at, operation) = self;
        let what = match operation.op {
            OperationKind::Get => "read",
            OperationKind::Put => "put",
            OperationKind::Delete => "delete",
            OperationKind::Cas => "cas",
            OperationKind::List => "list",
        };
        write!(out, "line {}, {what} {:?}", at + 1, operation.key)?;
        match operation.value_hash {
            Some(value_hash) => write!(out, " of {value_hash}")?,
            None => write!(out, " of nothing")?,
        }
        match (operation.outcome, operation.log_index) {
            (Outcome::Acknowledged, Some(index)) => write!(out, " at index {index}")?,
            (Outcome::Acknowledged, None) => write!(out, " without index")?,
            (Outcome::Refused, _) => write!(out, ", refused,")?,
            (Outcome::Unknown, _) => write!(out, ", outcome unknown,")?,
        }
        let Operation { node, start_ns, end_ns, .. } = operation;
        write!(out, " by {node} from {start_ns} to {end_ns} ns")
    }
}
