//! The books of a run: what every client of a workload asked, was told, and must find in the end.
//!
//! Read next: [`Books::note`], then the checkers that keep each book.

use quorate_core::history::Outcome;
use quorate_core::ids::LogIndex;

use super::deeds::What;
use super::objects::{NOTHING, Objects};
use crate::checkers::{Lists, Locks, Names, Span, Swaps};

/// What was asked for other objects than plain registers.
#[derive(Clone, Debug, Default)]
pub(super) struct Books {
    pub(super) lists: Lists,
    pub(super) names: Names,
    pub(super) locks: Locks,
    swaps: Swaps,
    /// Requests that changed something else than registers, and were acknowledged.
    pub(super) acknowledged_count: u64,
}

/// What a client knows of its request in the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Known {
    /// It was answered, with this, by the entry at this index or after it.
    Answered { index: LogIndex, reply: String },
    /// It was refused each time it was asked.
    Refused,
    /// It was asked at least once without an answer.
    Unknown,
}

impl Known {
    /// As the history of registers has it: a swap that met another value has not happened.
    pub(super) fn outcome(&self) -> Outcome {
        match self {
            Known::Answered { reply, .. } if reply.starts_with("no ") => Outcome::Refused,
            Known::Answered { .. } | Known::Refused | Known::Unknown => self.executed(),
        }
    }

    /// Whether the request was executed, whatever that came to.
    fn executed(&self) -> Outcome {
        match self {
            Known::Answered { .. } => Outcome::Acknowledged,
            Known::Refused => Outcome::Refused,
            Known::Unknown => Outcome::Unknown,
        }
    }

    /// Who had a name before, if the request for it was executed and said so.
    fn holder(&self) -> Option<&str> {
        match self {
            Known::Answered { reply, .. } => reply.strip_prefix("there "),
            Known::Refused | Known::Unknown => None,
        }
    }
}

impl Books {
    /// A request is over, or was given up.
    pub(super) fn note(&mut self, what: &What, span: Span, known: &Known) {
        let (is_done, is_of_registers) =
            (known.executed() == Outcome::Acknowledged, what.is_of_registers());
        self.acknowledged_count += u64::from(is_done && what.is_repeated() && !is_of_registers);
        match (what, known) {
            (What::Put { .. } | What::Read { .. } | What::Unlock { .. }, _) => {}
            (What::Swap { name, expected, value }, Known::Answered { index, reply }) => {
                if reply == "ok" {
                    self.swaps.done(name, *index, expected, value);
                }
            }
            (What::Swap { name, expected, value }, Known::Unknown) => {
                self.swaps.unknown(name, expected, value);
            }
            (What::Append { list, element }, known) => {
                self.lists.appended(list, element, span, known.executed());
            }
            (What::ReadList { list }, Known::Answered { reply, .. }) => {
                let elements = reply.split_whitespace().map(str::to_owned).collect();
                self.lists.read(list, span, elements);
            }
            (What::Insert { name, owner }, known) => {
                self.names.asked((name, owner), known.executed(), known.holder());
            }
            (What::Lock { lock, owner }, Known::Answered { index, reply }) => {
                if reply == "granted" {
                    self.locks.granted(lock, owner, *index, span);
                }
            }
            (
                What::Swap { .. } | What::ReadList { .. } | What::Lock { .. },
                Known::Refused | Known::Unknown,
            ) => {}
        }
    }

    /// What is wrong with everything but plain registers, as it is in the end.
    pub(super) fn findings(&self, objects: &Objects) -> Vec<String> {
        let mut findings = self.swaps.findings(NOTHING);
        findings.extend(self.lists.findings(&objects.lists));
        findings.extend(self.names.findings(&objects.inserted));
        findings.extend(self.locks.findings());
        findings
    }
}
