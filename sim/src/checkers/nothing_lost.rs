//! Nothing acknowledged is lost, and nothing refused takes effect.
//!
//! The ledger is the history of the clients, in the lines that the demo writes too. It is judged by
//! the register model of core, which says what each outcome allows.
//!
//! Source: promise 1; core/src/history/register.rs. That the history itself is possible, reads
//! included, is for `linearizable.rs`.

use quorate_core::history::register::{Source, judge};
use quorate_core::history::{Operation, OperationKind, Outcome, ValueHash};

use super::linearizable;

/// What clients asked and were told.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    operations: Vec<Operation>,
    /// How many writes were acknowledged.
    pub acknowledged_count: u64,
    /// How many were refused: they must have no effect.
    pub refused_count: u64,
    /// Of how many the outcome is not known.
    pub unknown_count: u64,
}

/// One request of a client, over now.
#[derive(Clone, Debug)]
pub struct Asked<'a> {
    /// The name.
    pub name: &'a str,
    /// What was to be written, or was read; empty if there was nothing.
    pub value: &'a str,
    /// When it was first sent, in milliseconds of the world.
    pub start_ms: u64,
    /// When its outcome was noted.
    pub end_ms: u64,
    /// The node that was asked last.
    pub node: &'a str,
}

impl Asked<'_> {
    fn operation(&self, op: OperationKind, outcome: Outcome, log_index: Option<u64>) -> Operation {
        let Asked { name, value, start_ms, end_ms, node } = *self;
        Operation {
            op,
            key: name.to_owned(),
            value_hash: (!value.is_empty()).then(|| ValueHash::of(value.as_bytes())),
            start_ns: start_ms * 1_000_000,
            end_ns: end_ms * 1_000_000,
            outcome,
            log_index,
            node: node.to_owned(),
        }
    }
}

impl Ledger {
    /// The write was acknowledged, at this index of the log.
    pub fn acknowledged(&mut self, asked: &Asked<'_>, log_index: u64) {
        self.write(asked, Outcome::Acknowledged, Some(log_index));
    }

    /// The write was refused.
    pub fn refused(&mut self, asked: &Asked<'_>) {
        self.write(asked, Outcome::Refused, None);
    }

    /// Nobody knows what became of the write.
    pub fn unknown(&mut self, asked: &Asked<'_>) {
        self.write(asked, Outcome::Unknown, None);
    }

    /// A linearizable read was answered with the state after this index.
    pub fn read(&mut self, asked: &Asked<'_>, log_index: u64) {
        let read = asked.operation(OperationKind::Get, Outcome::Acknowledged, Some(log_index));
        self.operations.push(read);
    }

    /// A compare-and-set is over; for the register it is a write like any other.
    pub fn swap(&mut self, asked: &Asked<'_>, outcome: Outcome, log_index: Option<u64>) {
        self.count(outcome);
        self.operations.push(asked.operation(OperationKind::Cas, outcome, log_index));
    }

    fn write(&mut self, asked: &Asked<'_>, outcome: Outcome, log_index: Option<u64>) {
        self.count(outcome);
        self.operations.push(asked.operation(OperationKind::Put, outcome, log_index));
    }

    fn count(&mut self, outcome: Outcome) {
        match outcome {
            Outcome::Acknowledged => self.acknowledged_count += 1,
            Outcome::Refused => self.refused_count += 1,
            Outcome::Unknown => self.unknown_count += 1,
        }
    }

    /// The whole history, one operation for each request.
    pub fn operations(&self) -> &[Operation] {
        &self.operations
    }

    /// The whole history, one line for each request.
    pub fn lines(&self) -> String {
        self.operations.iter().map(Operation::to_line).collect()
    }

    /// Judges the history, and compares it with the whole state of all replicas; call it when each
    /// has applied everything.
    pub fn check(&self, replicas: &[Source]) -> Result<(), String> {
        let mut findings = linearizable::findings(&self.operations);
        for finding in judge(&self.operations, replicas).findings {
            // The verdict tells the contradictions of the history, too.
            if !findings.contains(&finding) {
                findings.push(finding);
            }
        }
        if findings.is_empty() { Ok(()) } else { Err(findings.join("; ")) }
    }
}
