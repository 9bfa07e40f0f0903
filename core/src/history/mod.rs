//! Histories: what clients asked and were answered, one operation per line of JSON.
//!
//! The simulator, the demo and the process tests write the same lines, so that one checker judges
//! all of them. A ledger is a history whose lines were written before the next request was sent.
//!
//! Invariants
//! - `Unknown` is not a failure: such an operation may take effect at any later time.
//! - A line never spans two lines, and a value stands in it only as its hash.
//!
//! Read next: [`Operation`], then `version_order.rs` for what a history must keep to,
//! `wing_gong.rs` for the second opinion on it, and `register.rs` for the verdict on stores.

mod chain;
pub mod contradiction;
pub mod register;
#[cfg(test)]
mod tests;
pub mod version_order;
pub mod wing_gong;

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// One operation of one client. Times are of the client's monotonic clock, comparable within one
/// machine since its last boot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Operation {
    /// What was asked.
    pub op: OperationKind,
    /// The key; the prefix of a list.
    pub key: String,
    /// What was written, or what a read returned; `None` where there is no value.
    pub value_hash: Option<ValueHash>,
    /// When the request was first sent.
    pub start_ns: u64,
    /// When the outcome was known, or given up.
    pub end_ns: u64,
    /// How it ended.
    pub outcome: Outcome,
    /// Of a write the index of its entry, of a read the index after which it saw the state; `None`
    /// if no answer named one.
    pub log_index: Option<u64>,
    /// The node that answered last, as the client addresses it.
    pub node: String,
}

/// A line that is no operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LineError {
    /// Counted from 1.
    pub line: usize,
    /// What the parser said.
    pub detail: String,
}

impl Operation {
    /// Its line, with the line end.
    pub fn to_line(&self) -> String {
        let mut line = serde_json::to_string(self).expect("an operation has only plain fields");
        line.push('\n');
        line
    }
}

/// Every operation of a text, in order.
///
/// A last line without its end is left out: its writer was stopped while it wrote, so it had sent
/// nothing after it. Any other line that cannot be read is an error, never skipped: a shorter
/// history would hide a loss.
pub fn parse_lines(text: &str) -> Result<Vec<Operation>, LineError> {
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    let parse = |(at, line): (usize, &str)| {
        serde_json::from_str(line)
            .map_err(|error| LineError { line: at + 1, detail: error.to_string() })
    };
    whole.lines().enumerate().map(parse).collect()
}

/// What an operation does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OperationKind {
    /// Reads one key, linearizably: a stale read has no line.
    Get,
    /// Writes one key.
    Put,
    /// Removes one key.
    Delete,
    /// Writes one key if it is as expected.
    Cas,
    /// Reads the keys of a prefix.
    List,
}

impl OperationKind {
    /// Whether it changes its key.
    pub fn is_write(self) -> bool {
        match self {
            OperationKind::Put | OperationKind::Delete | OperationKind::Cas => true,
            OperationKind::Get | OperationKind::List => false,
        }
    }
}

/// How an operation ended, as its client knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The client was told that it is done.
    Acknowledged,
    /// It has not happened and never will.
    Refused,
    /// It may have happened, or may yet happen.
    Unknown,
}

/// A fingerprint of a value: FNV-1a, 64 bits. It tells random values apart; it is no protection
/// against someone who chooses the values.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ValueHash(pub u64);

impl ValueHash {
    /// The fingerprint of `value`.
    ///
    /// Source: Fowler, Noll, Vo; draft-eastlake-fnv, section 2 (offset basis and prime).
    pub fn of(value: &[u8]) -> ValueHash {
        let offset_basis = 0xcbf2_9ce4_8422_2325;
        let step = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3);
        ValueHash(value.iter().fold(offset_basis, step))
    }
}

impl fmt::Display for ValueHash {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{:016x}", self.0)
    }
}

impl fmt::Debug for ValueHash {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "ValueHash({self})")
    }
}

// As text, because programs that read JSON numbers as floats would lose the low bits.
impl Serialize for ValueHash {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ValueHash {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<ValueHash, D::Error> {
        let text = String::deserialize(deserializer)?;
        u64::from_str_radix(&text, 16).map(ValueHash).map_err(serde::de::Error::custom)
    }
}
