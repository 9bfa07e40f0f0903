//! The log, the vote and the commit index: one table each, one writer.

use std::collections::BTreeMap;
use std::io;
use std::ops::Bound;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};

use redb::{Database, ReadableDatabase, Table, TableDefinition};
use tokio::sync::mpsc;

use super::backend::{disk_error, open, reading_error, seal, unseal};
use super::{LogId, StoreError, StoredEntry, StoredVote};
use crate::codec::{decode, encode};
use crate::ports::{Disk, Lane};

const FILE: &str = "log.redb";
const LOG: TableDefinition<u64, &[u8]> = TableDefinition::new("log");
const META: TableDefinition<&str, &[u8]> = TableDefinition::new("meta");
const VOTE: &str = "vote";
const COMMITTED: &str = "committed";
const PURGED: &str = "purged";

/// Durable entries kept in memory for replication; older ones are read from the disk.
const CACHED_COUNT_MAX: usize = 4_096;
/// Bytes of commands kept in memory with them.
const CACHED_SIZE_BYTES_MAX: usize = 8 << 20;
/// Operations committed with one sync.
const GROUP_COUNT_MAX: usize = 4_096;

/// Told once its write is durable, or never will be.
pub(crate) type Done = Box<dyn FnOnce(io::Result<()>) + Send>;

/// What the store holds when it is opened.
#[derive(Debug, Default)]
pub(crate) struct Opened {
    pub(crate) vote: Option<StoredVote>,
    pub(crate) committed: Option<LogId>,
    pub(crate) purged: Option<LogId>,
    pub(crate) last: Option<LogId>,
}

/// Reads and writes the log. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct LogStore {
    shared: Arc<Shared>,
    writes: mpsc::UnboundedSender<Write>,
}

#[derive(Debug)]
struct Shared {
    database: Arc<Database>,
    read_lane: Arc<dyn Lane>,
    tail: Mutex<Tail>,
}

/// The newest entries, and what was not yet written: visible at once, durable later.
#[derive(Debug, Default)]
struct Tail {
    entries: BTreeMap<u64, StoredEntry>,
    opened: Opened,
    /// Entries up to here are durable, so they may leave the memory.
    durable_index: u64,
    /// Size of the commands in `entries`.
    size_bytes: usize,
}

/// One write, in the order of asking.
enum Write {
    Entries(Vec<StoredEntry>, Done),
    Vote(StoredVote, Done),
    Committed(Option<LogId>),
    TruncateFrom(u64, Done),
    Purge(LogId, Done),
    Flush(Done),
}

impl LogStore {
    /// Opens the log, checks every record, and starts the writer as a local task.
    pub(crate) async fn open(disk: Arc<dyn Disk>) -> Result<LogStore, StoreError> {
        let lane = disk.lane("log");
        let slot = Arc::new(Mutex::new(None));
        let (into, from) = (slot.clone(), disk.clone());
        let job = Box::new(move || {
            *lock(&into) = Some(open(&*from, Path::new(FILE)).and_then(|database| {
                let tail = read_all(&database)?;
                Ok((database, tail))
            }));
            Ok(())
        });
        lane.run(job).await.map_err(|error| StoreError::Io { path: FILE.into(), error })?;
        let (database, tail) = lock(&slot).take().expect("the job has run")?;
        let (writes, asked) = mpsc::unbounded_channel();
        let read_lane = disk.lane("log-read");
        tokio::task::spawn_local(write_all(database.clone(), lane, asked));
        let shared = Shared { database, read_lane, tail: Mutex::new(tail) };
        Ok(LogStore { shared: Arc::new(shared), writes })
    }

    /// What the store holds, including writes that are not durable yet.
    pub(crate) fn state(&self) -> Opened {
        let opened = &lock(&self.shared.tail).opened;
        Opened { ..*opened }
    }

    /// Appends entries that follow the last one. Readable at once; `done` when durable.
    pub(crate) fn append(&self, entries: Vec<StoredEntry>, done: Done) {
        let mut tail = lock(&self.shared.tail);
        if let Some(last) = entries.last() {
            tail.opened.last = Some(last.id);
        }
        entries.iter().for_each(|entry| tail.insert(entry.clone()));
        drop(tail);
        let last_index = entries.last().map_or(0, |entry| entry.id.index.0);
        let shared = self.shared.clone();
        let done: Done = Box::new(move |result| {
            if result.is_ok() {
                lock(&shared.tail).note_durable(last_index);
            }
            done(result);
        });
        self.write(Write::Entries(entries, done));
    }

    /// Puts entries in the place of those that have their indexes; `done` when durable. What is
    /// in memory stays as it was: only for a store that is closed afterwards.
    pub(crate) fn overwrite(&self, entries: Vec<StoredEntry>, done: Done) {
        self.write(Write::Entries(entries, done));
    }

    /// Stores the vote; `done` when durable.
    pub(crate) fn save_vote(&self, vote: StoredVote, done: Done) {
        lock(&self.shared.tail).opened.vote = Some(vote);
        self.write(Write::Vote(vote, done));
    }

    /// Notes the commit index. It becomes durable with the next write, or with [`Self::flush`].
    pub(crate) fn save_committed(&self, committed: Option<LogId>) {
        lock(&self.shared.tail).opened.committed = committed;
        self.write(Write::Committed(committed));
    }

    /// Drops all entries after `last`, which never were committed.
    pub(crate) fn truncate_after(&self, last: Option<LogId>, done: Done) {
        let first_index = last.map_or(0, |id| id.index.0 + 1);
        let mut tail = lock(&self.shared.tail);
        tail.entries.split_off(&first_index);
        tail.measure();
        tail.opened.last = last.or(tail.opened.purged);
        tail.durable_index = tail.durable_index.min(first_index.saturating_sub(1));
        drop(tail);
        self.write(Write::TruncateFrom(first_index, done));
    }

    /// Drops entries up to `upto`, which a snapshot covers.
    pub(crate) fn purge(&self, upto: LogId, done: Done) {
        let mut tail = lock(&self.shared.tail);
        tail.entries = tail.entries.split_off(&(upto.index.0 + 1));
        tail.measure();
        tail.opened.purged = Some(upto);
        tail.opened.last = tail.opened.last.max(Some(upto));
        drop(tail);
        self.write(Write::Purge(upto, done));
    }

    /// Makes everything asked for so far durable.
    pub(crate) fn flush(&self, done: Done) {
        self.write(Write::Flush(done));
    }

    /// The entries in `[start, end)` that exist, in order.
    pub(crate) async fn read(&self, start: u64, end: u64) -> io::Result<Vec<StoredEntry>> {
        let cached: Vec<StoredEntry> = {
            let tail = lock(&self.shared.tail);
            let last_index = tail.opened.last.map_or(0, |id| id.index.0);
            let end = end.min(last_index + 1);
            if start >= end {
                return Ok(Vec::new());
            }
            tail.entries.range(start..end).map(|(_, entry)| entry.clone()).collect()
        };
        let cached_from = cached.first().map_or(end, |entry| entry.id.index.0);
        if cached_from <= start {
            return Ok(cached);
        }
        let mut entries = self.read_disk(start, cached_from).await?;
        entries.extend(cached);
        Ok(entries)
    }

    async fn read_disk(&self, start: u64, end: u64) -> io::Result<Vec<StoredEntry>> {
        let slot = Arc::new(Mutex::new(Vec::new()));
        let (into, database) = (slot.clone(), self.shared.database.clone());
        let job = Box::new(move || {
            *lock(&into) = read_range(&database, start, end)?;
            Ok(())
        });
        self.shared.read_lane.run(job).await?;
        let entries = std::mem::take(&mut *lock(&slot));
        Ok(entries)
    }

    fn write(&self, write: Write) {
        // The writer ends only after all senders; a send fails only while the node ends.
        let _ = self.writes.send(write);
    }
}

impl Tail {
    fn insert(&mut self, entry: StoredEntry) {
        self.size_bytes += entry.payload.size_bytes();
        self.entries.insert(entry.id.index.0, entry);
    }

    fn measure(&mut self) {
        self.size_bytes = self.entries.values().map(|entry| entry.payload.size_bytes()).sum();
    }

    fn note_durable(&mut self, index: u64) {
        self.durable_index = self.durable_index.max(index);
        while self.entries.len() > CACHED_COUNT_MAX || self.size_bytes > CACHED_SIZE_BYTES_MAX {
            let Some(oldest) = self.entries.first_entry() else { return };
            if *oldest.key() > self.durable_index {
                return;
            }
            self.size_bytes -= oldest.remove().payload.size_bytes();
        }
    }
}

/// The writer: gathers what is asked for, commits it with one sync, tells everyone.
async fn write_all(
    database: Arc<Database>,
    lane: Arc<dyn Lane>,
    mut asked: mpsc::UnboundedReceiver<Write>,
) {
    let mut group = Vec::new();
    loop {
        if asked.recv_many(&mut group, GROUP_COUNT_MAX).await == 0 {
            return;
        }
        // A commit index alone is worth no sync: it waits in the group for the next write.
        if group.iter().all(|write| matches!(write, Write::Committed(_))) {
            group.drain(..group.len() - 1);
            continue;
        }
        let (writes, done): (Vec<_>, Vec<_>) = group.drain(..).map(Write::parts).unzip();
        let database = database.clone();
        let result = lane.run(Box::new(move || commit(&database, writes))).await;
        for done in done.into_iter().flatten() {
            done(copy_result(&result));
        }
        if let Err(error) = result {
            tracing::error!(
                %error,
                "Q1405 the log cannot be written; the node stops; check the disk"
            );
            fail_rest(asked).await;
            return;
        }
    }
}

/// After a failed sync nothing is known of earlier writes, so no further one may succeed.
async fn fail_rest(mut asked: mpsc::UnboundedReceiver<Write>) {
    while let Some(write) = asked.recv().await {
        if let (_, Some(done)) = write.parts() {
            done(Err(io::Error::other("an earlier write of the log failed")));
        }
    }
}

fn copy_result(result: &io::Result<()>) -> io::Result<()> {
    match result {
        Ok(()) => Ok(()),
        Err(error) => Err(io::Error::new(error.kind(), error.to_string())),
    }
}

impl Write {
    fn parts(self) -> (WriteJob, Option<Done>) {
        match self {
            Write::Entries(entries, done) => (WriteJob::Entries(entries), Some(done)),
            Write::Vote(vote, done) => (WriteJob::Meta(VOTE, encode(&vote)), Some(done)),
            Write::Committed(id) => (WriteJob::Meta(COMMITTED, encode(&id)), None),
            Write::TruncateFrom(index, done) => (WriteJob::TruncateFrom(index), Some(done)),
            Write::Purge(upto, done) => (WriteJob::Purge(upto), Some(done)),
            Write::Flush(done) => (WriteJob::Nothing, Some(done)),
        }
    }
}

/// A write without its completion, as it goes to the lane.
enum WriteJob {
    Entries(Vec<StoredEntry>),
    Meta(&'static str, Vec<u8>),
    TruncateFrom(u64),
    Purge(LogId),
    Nothing,
}

fn commit(database: &Database, writes: Vec<WriteJob>) -> io::Result<()> {
    let transaction = database.begin_write().map_err(disk_error)?;
    {
        let mut log = transaction.open_table(LOG).map_err(disk_error)?;
        let mut meta = transaction.open_table(META).map_err(disk_error)?;
        for write in writes {
            apply(write, &mut log, &mut meta).map_err(disk_error)?;
        }
    }
    transaction.commit().map_err(disk_error)
}

fn apply(
    write: WriteJob,
    log: &mut Table<'_, u64, &'static [u8]>,
    meta: &mut Table<'_, &'static str, &'static [u8]>,
) -> Result<(), redb::StorageError> {
    match write {
        WriteJob::Entries(entries) => {
            for entry in entries {
                log.insert(entry.id.index.0, seal(&encode(&entry)).as_slice())?;
            }
        }
        WriteJob::Meta(key, value) => {
            meta.insert(key, seal(&value).as_slice())?;
        }
        WriteJob::TruncateFrom(index) => log.retain_in(index.., |_, _| false)?,
        WriteJob::Purge(upto) => {
            log.retain_in(..=upto.index.0, |_, _| false)?;
            meta.insert(PURGED, seal(&encode(&Some(upto))).as_slice())?;
        }
        WriteJob::Nothing => {}
    }
    Ok(())
}

fn read_all(database: &Database) -> Result<Tail, StoreError> {
    let failed = |error: io::Error| reading_error(FILE, error);
    let damaged = |detail: String| StoreError::Damaged { path: FILE.into(), detail };
    // Makes the tables of a fresh database, so that later reads find them.
    commit(database, Vec::new()).map_err(failed)?;
    let reading = database.begin_read().map_err(|error| failed(disk_error(error)))?;
    let meta = reading.open_table(META).map_err(|error| failed(disk_error(error)))?;
    let field = |key: &'static str| -> Result<Option<Vec<u8>>, StoreError> {
        let found = meta.get(key).map_err(|error| failed(disk_error(error)))?;
        let Some(found) = found else { return Ok(None) };
        let bytes = unseal(found.value()).ok_or_else(|| damaged(format!("checksum of {key}")))?;
        Ok(Some(bytes.to_vec()))
    };
    let log_id = |key: &'static str| -> Result<Option<LogId>, StoreError> {
        let Some(bytes) = field(key)? else { return Ok(None) };
        decode(key, &bytes).map_err(|error| damaged(error.to_string()))
    };
    let (committed, purged) = (log_id(COMMITTED)?, log_id(PURGED)?);
    let vote = match field(VOTE)? {
        Some(bytes) => Some(decode(VOTE, &bytes).map_err(|error| damaged(error.to_string()))?),
        None => None,
    };
    let mut tail =
        Tail { opened: Opened { vote, committed, purged, last: purged }, ..Tail::default() };
    let mut expected = purged.map(|id| id.index.0 + 1);
    let reading = for_each(database, 0, u64::MAX, |entry| {
        let index = entry.id.index.0;
        if expected.is_some_and(|expected| expected != index) {
            return Err(io::Error::other(format!("entry {index} does not follow the one before")));
        }
        expected = Some(index + 1);
        tail.opened.last = Some(entry.id);
        tail.insert(entry);
        tail.note_durable(index);
        Ok(())
    });
    reading.map_err(failed)?;
    Ok(tail)
}

fn read_range(database: &Database, start: u64, end: u64) -> io::Result<Vec<StoredEntry>> {
    let mut entries = Vec::new();
    for_each(database, start, end, |entry| {
        entries.push(entry);
        Ok(())
    })?;
    Ok(entries)
}

/// Visits the entries in `[start, end)` in order, each checked.
fn for_each(
    database: &Database,
    start: u64,
    end: u64,
    mut visit: impl FnMut(StoredEntry) -> io::Result<()>,
) -> io::Result<()> {
    let reading = database.begin_read().map_err(disk_error)?;
    let log = reading.open_table(LOG).map_err(disk_error)?;
    let range = (Bound::Included(start), Bound::Excluded(end));
    for found in log.range::<u64>(range).map_err(disk_error)? {
        let (index, record) = found.map_err(disk_error)?;
        let index = index.value();
        let bytes = unseal(record.value())
            .ok_or_else(|| io::Error::other(format!("checksum of entry {index}")))?;
        let entry: StoredEntry = decode("stored entry", bytes).map_err(io::Error::other)?;
        if entry.id.index.0 != index {
            return Err(io::Error::other(format!("entry {index} holds another one")));
        }
        visit(entry)?;
    }
    Ok(())
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("no thread panics while it holds the store")
}
