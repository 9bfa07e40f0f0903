//! What clients note: each request with its outcome, as a line of the history.
//!
//! A line is noted when its outcome is seen, which is never before it was known.

use std::cell::RefCell;
use std::path::PathBuf;

use quorate_core::error::WriteError;
use quorate_core::history::Outcome;
use quorate_core::replication::{Answer, Proposed};

use super::books::Known;
use super::{Acked, Cluster};
use crate::checkers;

thread_local! {
    /// Where the history of a run on this thread is kept.
    static HISTORY: RefCell<Option<PathBuf>> = const { RefCell::new(None) };
}

/// Says where runs on this thread keep their history, however they end.
pub(crate) fn keep_history(path: Option<PathBuf>) {
    HISTORY.set(path);
}

/// A request that a client has sent.
#[derive(Clone, Debug)]
pub(super) struct Request {
    pub(super) name: String,
    pub(super) value: String,
    pub(super) start_ms: u64,
    /// The node that was asked last.
    pub(super) at: usize,
}

impl Cluster {
    /// The request is over: `None` if no answer came.
    pub(super) fn note_write(
        &mut self,
        request: &Request,
        answer: Option<&Result<Proposed, WriteError>>,
    ) {
        let asked = asked(request, self.world.now_ms(), &self.nodes[request.at].name);
        match answer {
            Some(Ok(proposed)) => self.ledger.acknowledged(&asked, proposed.index.0),
            Some(Err(WriteError::OutcomeUnknown { .. })) | None => self.ledger.unknown(&asked),
            Some(Err(_)) => self.ledger.refused(&asked),
        }
    }

    /// A write that was acknowledged before this run began, at this index of the log.
    pub(crate) fn remember(&mut self, name: &str, value: &str, index: u64) -> Acked {
        let (name, value) = (name.to_owned(), value.to_owned());
        let request = Request { name, value, start_ms: 0, at: 0 };
        self.ledger.acknowledged(&asked(&request, 0, "n1"), index);
        Acked { value: request.value }
    }

    /// The put of a client in a workload is over.
    pub(super) fn note_put(&mut self, request: &Request, known: &Known) {
        let asked = asked(request, self.world.now_ms(), &self.nodes[request.at].name);
        match known {
            Known::Answered { index, .. } => self.ledger.acknowledged(&asked, index.0),
            Known::Refused => self.ledger.refused(&asked),
            Known::Unknown => self.ledger.unknown(&asked),
        }
    }

    /// Its compare-and-set is over.
    pub(super) fn note_swap(&mut self, request: &Request, known: &Known) {
        let asked = asked(request, self.world.now_ms(), &self.nodes[request.at].name);
        let (outcome, index) = match known {
            Known::Answered { index, .. } if known.outcome() == Outcome::Acknowledged => {
                (Outcome::Acknowledged, Some(index.0))
            }
            Known::Answered { .. } | Known::Refused | Known::Unknown => (known.outcome(), None),
        };
        self.ledger.swap(&asked, outcome, index);
    }

    /// Its read is over; one without an answer has no line.
    pub(super) fn note_read_of(&mut self, request: &Request, known: &Known) {
        if let Known::Answered { index, reply } = known {
            let read = Request { value: reply.clone(), ..request.clone() };
            let asked = asked(&read, self.world.now_ms(), &self.nodes[request.at].name);
            self.ledger.read(&asked, index.0);
        }
    }

    /// The read is answered; returns what it shows, which is judged when the run ends.
    pub(super) fn note_read(&mut self, request: &Request, answer: &Answer) -> String {
        let seen = String::from_utf8_lossy(&answer.reply).into_owned();
        let read = Request { value: seen.clone(), ..request.clone() };
        let asked = asked(&read, self.world.now_ms(), &self.nodes[request.at].name);
        self.ledger.read(&asked, answer.index.0);
        seen
    }
}

pub(super) fn asked<'a>(request: &'a Request, end_ms: u64, node: &'a str) -> checkers::Asked<'a> {
    let Request { name, value, start_ms, at: _ } = request;
    checkers::Asked { name, value, start_ms: *start_ms, end_ms, node }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let title = super::again(super::SCENARIO.get(), &self.choices);
        self.draw_diagram(title);
        let Some(path) = HISTORY.take() else { return };
        // A run that fails must fail for its own reason, so this one is only told.
        match std::fs::write(&path, self.ledger.lines()) {
            Ok(()) => eprintln!("history: {}", path.display()),
            Err(error) => eprintln!("history: {} cannot be written: {error}", path.display()),
        }
    }
}
