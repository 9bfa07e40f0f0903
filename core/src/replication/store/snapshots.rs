//! Snapshots: the newest one, in pieces, in a database of its own.

use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use redb::{Database, ReadableDatabase, TableDefinition};
use serde::{Deserialize, Serialize};

use super::backend::{disk_error, open, reading_error, seal, unseal};
use super::{LogId, StoreError, StoredVoters};
use crate::codec::{decode, encode};
use crate::ports::{Disk, Job, Lane};

/// The file, in the data directory.
pub(super) const FILE: &str = "state.redb";
const PIECES: TableDefinition<u64, &[u8]> = TableDefinition::new("pieces");
const META: TableDefinition<&str, &[u8]> = TableDefinition::new("meta");
const NEWEST: &str = "newest";
const PIECE_SIZE_BYTES: usize = 256 << 10;

/// What a snapshot covers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SnapshotMeta {
    /// The last entry in it.
    pub(crate) last: Option<LogId>,
    /// Who votes as of that entry.
    pub(crate) voters: StoredVoters,
    /// The entry that says so.
    pub(crate) voters_at: Option<LogId>,
}

/// Keeps the newest snapshot. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct SnapshotStore {
    lane: Arc<dyn Lane>,
    database: Arc<Database>,
}

impl SnapshotStore {
    /// Opens the store.
    pub(crate) async fn open(disk: Arc<dyn Disk>) -> Result<SnapshotStore, StoreError> {
        let lane = disk.lane("snapshot");
        let opening = run(&lane, move || Ok(open(&*disk, Path::new(FILE)))).await;
        let database = opening.map_err(|error| StoreError::Io { path: FILE.into(), error })??;
        Ok(SnapshotStore { lane, database })
    }

    /// Runs `build` on the snapshot lane and keeps its bytes as the newest snapshot. After an error
    /// the one before is still the newest, and consensus ends: the log could not be compacted.
    pub(crate) async fn save(
        &self,
        meta: SnapshotMeta,
        build: impl FnOnce() -> Bytes + Send + 'static,
    ) -> io::Result<Bytes> {
        let database = self.database.clone();
        let job = run(&self.lane, move || {
            let bytes = build();
            write(&database, &meta, &bytes)?;
            Ok(bytes)
        });
        job.await.inspect_err(|error| {
            tracing::error!(
                %error,
                "Q1408 the snapshot cannot be written; the node stops; check the disk"
            );
        })
    }

    /// The newest snapshot, if there is one.
    pub(crate) async fn newest(&self) -> Result<Option<(SnapshotMeta, Bytes)>, StoreError> {
        let database = self.database.clone();
        // What the lane itself says is no finding about the file.
        let reading = run(&self.lane, move || Ok(read(&database))).await;
        let read = reading.map_err(|error| StoreError::Io { path: FILE.into(), error })?;
        read.map_err(|error| reading_error(FILE, error))
    }
}

/// Runs `job` on the lane and brings its value back.
async fn run<T: Send + 'static>(
    lane: &Arc<dyn Lane>,
    job: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    let slot = Arc::new(Mutex::new(None));
    let into = slot.clone();
    let job: Job = Box::new(move || {
        *into.lock().expect("only this job writes it") = Some(job()?);
        Ok(())
    });
    lane.run(job).await?;
    let value = slot.lock().expect("the job has ended").take();
    Ok(value.expect("the job has run"))
}

fn write(database: &Database, meta: &SnapshotMeta, bytes: &[u8]) -> io::Result<()> {
    let transaction = database.begin_write().map_err(disk_error)?;
    transaction.delete_table(PIECES).map_err(disk_error)?;
    {
        let mut pieces = transaction.open_table(PIECES).map_err(disk_error)?;
        for (number, piece) in bytes.chunks(PIECE_SIZE_BYTES).enumerate() {
            pieces.insert(number as u64, seal(piece).as_slice()).map_err(disk_error)?;
        }
        let mut newest = transaction.open_table(META).map_err(disk_error)?;
        let header = seal(&encode(&(meta, bytes.len() as u64)));
        newest.insert(NEWEST, header.as_slice()).map_err(disk_error)?;
    }
    transaction.commit().map_err(disk_error)
}

fn read(database: &Database) -> io::Result<Option<(SnapshotMeta, Bytes)>> {
    let reading = database.begin_read().map_err(disk_error)?;
    let newest = match reading.open_table(META) {
        Ok(table) => table,
        Err(redb::TableError::TableDoesNotExist(_)) => return Ok(None),
        Err(error) => return Err(disk_error(error)),
    };
    let Some(header) = newest.get(NEWEST).map_err(disk_error)? else { return Ok(None) };
    let damaged = |what: String| io::Error::other(format!("checksum of {what}"));
    let header = unseal(header.value()).ok_or_else(|| damaged("the snapshot's header".into()))?;
    let (meta, size_bytes): (SnapshotMeta, u64) =
        decode("snapshot header", header).map_err(io::Error::other)?;
    let pieces = reading.open_table(PIECES).map_err(disk_error)?;
    let mut bytes = Vec::new();
    for found in pieces.range::<u64>(..).map_err(disk_error)? {
        let (number, piece) = found.map_err(disk_error)?;
        let piece = unseal(piece.value());
        bytes.extend(piece.ok_or_else(|| damaged(format!("piece {}", number.value())))?);
    }
    if bytes.len() as u64 != size_bytes {
        return Err(io::Error::other(format!("{} bytes of {size_bytes}", bytes.len())));
    }
    Ok(Some((meta, bytes.into())))
}
