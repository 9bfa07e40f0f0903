//! Reads a data directory whose node has ended, without a cluster and without consensus; and
//! rewrites one, for tests and repair.
//!
//! For whoever does not want to take a node's word for what is on its disk: the demo's verdict, and
//! an operator with a directory from a dead machine.
//!
//! Invariants
//! - Reading appends, votes and compacts nothing. (Opening repairs snapshots that were not closed
//!   and writes the newest records of the log once more, as the node would at its next start.)
//! - Rewriting leaves every entry its name and the log its length, unless a crash ends it half-way,
//!   which leaves a shorter log: what it makes is a store that no checksum tells from an honest
//!   one. Only a comparison with ledgers or other stores does.
//! - The whole durable log is applied, also past the last entry that the node knew to be
//!   committed: it notes that only now and then. So a node that ended while it was behind, or led
//!   alone, may show entries here that its cluster later gave up.

use std::io;
use std::sync::Arc;

use bytes::Bytes;

use super::Applied;
use super::machine::StateMachine;
use super::store::{LogStore, SnapshotStore, StoreError, StoredEntry, StoredPayload, check_fits};
use crate::codec::{CodecError, Entry, EntryKind};
use crate::ids::LogIndex;
use crate::ports::Disk;

/// Entries read at once.
const CHUNK_ENTRIES_COUNT: u64 = 1_000;

/// Why a data directory cannot be read. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum OfflineError {
    /// The store cannot be opened.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The log cannot be read, or a record of it is damaged.
    #[error("Q1407 the log cannot be read: {0}; nothing was changed; check the disk")]
    Log(#[from] io::Error),
    /// The snapshot is that of another program or release.
    #[error("Q1406 the snapshot cannot be read: {0}; nothing was changed; use the node's program")]
    Snapshot(#[from] CodecError),
}

/// What lies in a data directory.
pub struct Offline {
    applied: Applied,
}

impl Offline {
    /// Index of the last entry in it.
    pub fn index(&self) -> LogIndex {
        self.applied.index()
    }

    /// Asks the state machine.
    pub fn query(&self, query: &[u8]) -> Bytes {
        self.applied.query(query)
    }
}

/// Restores the newest snapshot into `machine` and applies every entry after it.
pub async fn read(
    disk: Arc<dyn Disk>,
    machine: Box<dyn StateMachine>,
) -> Result<Offline, OfflineError> {
    let log = LogStore::open_existing(disk.clone()).await?;
    let snapshots = SnapshotStore::open(disk).await?;
    let mut applied = Applied::new(machine);
    if let Some((meta, bytes)) = snapshots.newest().await? {
        applied.restore(meta, &bytes)?;
    }
    check_fits(&log, applied.index())?;
    loop {
        let next = applied.index().0 + 1;
        let entries = log.read(next, next + CHUNK_ENTRIES_COUNT).await?;
        if entries.is_empty() {
            return Ok(Offline { applied });
        }
        for StoredEntry { id, payload } in entries {
            match payload {
                StoredPayload::Blank => applied.apply_blank(id),
                StoredPayload::Voters(voters) => applied.apply_voters(id, voters),
                StoredPayload::Command(bytes) => applied.apply_command(id, &bytes),
            };
        }
    }
}

/// What becomes of one command of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rewritten {
    /// It stays as it is.
    Kept,
    /// Its entry says nothing, as if it had never been proposed.
    Removed,
    /// It has another payload, under the same request id.
    Replaced(Bytes),
}

/// Shows `rewrite` every command of the application in the log, with its index and in order, and
/// makes of it what is answered. Returns how many entries are others than before.
///
/// For tests, which tamper with a store so that it is no mere corruption, and for repair tools. A
/// directory that was rewritten must not go back into its cluster: its log differs from the others
/// under the same names, which consensus takes for equal. What a snapshot covers is not shown.
pub async fn rewrite(
    disk: Arc<dyn Disk>,
    mut rewrite: impl FnMut(LogIndex, &Bytes) -> Rewritten,
) -> Result<usize, OfflineError> {
    let log = LogStore::open_existing(disk).await?;
    let mut before = log.state().compacted;
    let mut next = before.map_or(0, |id| id.index.0) + 1;
    // The first entry that is another, and all that follow it: they are written anew.
    let (mut rewritten, mut changed_count) = (Vec::new(), 0);
    loop {
        let entries = log.read(next, next + CHUNK_ENTRIES_COUNT).await?;
        let Some(last) = entries.last() else { break };
        next = last.id.index.0 + 1;
        for entry in entries {
            let changed = rewrite_one(&entry, &mut rewrite)?;
            changed_count += usize::from(changed.is_some());
            if changed.is_none() && rewritten.is_empty() {
                before = Some(entry.id);
                continue;
            }
            rewritten.push(StoredEntry { payload: changed.unwrap_or(entry.payload), id: entry.id });
        }
    }
    if changed_count > 0 {
        let (done, durable) = tokio::sync::oneshot::channel();
        log.truncate_after(before, Box::new(|_| ()));
        log.append(rewritten, Box::new(move |result| drop(done.send(result))));
        let written = durable.await;
        written.map_err(|_| io::Error::other("the writer of the log ended"))??;
    }
    Ok(changed_count)
}

/// What `entry` carries instead; `None`: it stays as it is.
fn rewrite_one(
    entry: &StoredEntry,
    rewrite: &mut impl FnMut(LogIndex, &Bytes) -> Rewritten,
) -> Result<Option<StoredPayload>, OfflineError> {
    let StoredPayload::Command(bytes) = &entry.payload else { return Ok(None) };
    let command = Entry::from_bytes(bytes).map_err(io::Error::other)?;
    if command.kind != EntryKind::Application {
        return Ok(None);
    }
    Ok(match rewrite(entry.id.index, &command.payload) {
        Rewritten::Kept => None,
        Rewritten::Removed => Some(StoredPayload::Blank),
        Rewritten::Replaced(payload) => {
            Some(StoredPayload::Command(Entry { payload, ..command }.to_bytes()))
        }
    })
}
