//! The store: log, vote and snapshots on the node's disk.
//!
//! The log is a journal of our own, the snapshots are in redb: the log must not wait while a large
//! snapshot is written. All log writes go through one writer task, which makes whatever has
//! gathered durable together, with one sync as a rule (group commit).
//!
//! Invariants
//! - What a completion reported is durable; writes become durable in the order they were asked for.
//! - A record whose checksum does not hold is never returned as data.
//! - After a failed write nothing more is written: what the disk holds is not known any more.
//!
//! Read next: `log.rs`, `journal/`, `snapshots.rs`; `backend.rs` is how redb reaches the disk.

mod backend;
mod journal;
mod log;
mod snapshots;
mod tail;
#[cfg(test)]
mod tests;

pub use backend::is_panic_guarded;
#[cfg(feature = "observed")]
pub use log::told::{entry_at, file_at};
pub(crate) use log::{Done, LogStore};
pub(crate) use snapshots::{SnapshotMeta, SnapshotStore};

use std::collections::BTreeSet;
use std::io;
use std::path::PathBuf;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::ids::{LogIndex, NodeId, Term};

/// Why the store cannot be used. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The file system refuses.
    #[error(
        "Q1403 {path} cannot be opened: {error}; nothing was changed; check disk and rights",
        path = path.display()
    )]
    Io {
        /// The file, relative to the data directory.
        path: PathBuf,
        /// What it says.
        error: io::Error,
    },
    /// The content is damaged.
    #[error(
        "Q1404 {path} is damaged: {detail}; nothing was changed; keep this node stopped and its \
         data as it is, the others go on without it",
        path = path.display()
    )]
    Damaged {
        /// The file, relative to the data directory.
        path: PathBuf,
        /// What is wrong with it.
        detail: String,
    },
}

impl StoreError {
    /// The system refuses to read the content of `path`, which says nothing about the content.
    fn reading(path: impl Into<PathBuf>, error: io::Error) -> StoreError {
        let detail = format!("its records cannot be read: {error}");
        StoreError::Io { path: path.into(), error: io::Error::new(error.kind(), detail) }
    }
}

/// Refuses a log that begins behind `index`, up to where the newest snapshot reaches: the entries
/// between are nowhere.
pub(crate) fn check_fits(log: &LogStore, index: LogIndex) -> Result<(), StoreError> {
    match log.state().compacted {
        Some(upto) if upto.index > index => {
            let (first, last) = (index.0 + 1, upto.index.0);
            let detail = format!("entries {first} to {last} are neither in it nor in the log");
            Err(StoreError::Damaged { path: snapshots::FILE.into(), detail })
        }
        Some(_) | None => Ok(()),
    }
}

/// Name of one entry: the term it was proposed in, and its position.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct LogId {
    /// The leader's term.
    pub term: Term,
    /// The position.
    pub index: LogIndex,
}

/// A vote as it is stored: for whom, and whether a quorum granted it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredVote {
    /// The term.
    pub term: Term,
    /// For whom.
    pub node: NodeId,
    /// Whether that node is known to have won.
    pub committed: bool,
}

/// One entry as it is stored and sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredEntry {
    /// Its name.
    pub id: LogId,
    /// Its content.
    pub payload: StoredPayload,
}

/// What an entry carries.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum StoredPayload {
    /// Nothing: the first entry of a term.
    Blank,
    /// The bytes of a [`crate::codec::Entry`].
    Command(Bytes),
    /// Who votes from here on.
    Voters(StoredVoters),
}

/// Voters and learners. Two voter sets are a joint membership.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredVoters {
    /// One set, or two while a change is under way.
    pub sets: Vec<BTreeSet<NodeId>>,
    /// Everyone who receives the log, voters included.
    pub nodes: BTreeSet<NodeId>,
}

impl StoredPayload {
    /// About how much memory it takes, in bytes.
    pub(crate) fn size_bytes(&self) -> usize {
        match self {
            StoredPayload::Blank | StoredPayload::Voters(_) => 64,
            StoredPayload::Command(bytes) => 64 + bytes.len(),
        }
    }
}
