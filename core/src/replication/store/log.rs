//! The log, the vote and the commit index: one journal, one writer.

#[cfg(feature = "observed")]
pub(in super::super) mod told;

use std::io;
use std::sync::{Arc, Mutex, MutexGuard};

use tokio::sync::mpsc;

use super::journal::{Journal, JournalReader, Record, SEGMENT_SIZE_BYTES, Spares};
use super::tail::{Opened, Tail};
use super::{LogId, StoreError, StoredEntry, StoredVote};
use crate::observe::{depth, mark, planted};
use crate::ports::{Disk, Lane};

/// Writes that are handed to the journal together; as a rule one sync makes them durable.
const GROUP_COUNT_MAX: usize = 4_096;
/// Writes that wait at most. Nobody is refused here: who asks waits for what was asked before.
const WAITING_WRITES_COUNT_MAX: u64 = GROUP_COUNT_MAX as u64;

/// Told once its write is durable, or never will be.
pub(crate) type Done = Box<dyn FnOnce(io::Result<()>) + Send>;

/// Reads and writes the log. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct LogStore {
    shared: Arc<Shared>,
    writes: mpsc::UnboundedSender<Write>,
}

#[derive(Debug)]
struct Shared {
    reader: JournalReader,
    read_lane: Arc<dyn Lane>,
    tail: Mutex<Tail>,
}

/// What becomes durable together, in the order of asking; and who is told, if anyone waits.
struct Write {
    records: Vec<Record>,
    done: Option<Done>,
}

impl LogStore {
    /// Opens the log and checks every record. A log that is not there is made; `salt` is a number
    /// that nobody else knows, for the log's checksums.
    pub(crate) async fn open(disk: Arc<dyn Disk>, salt: u64) -> Result<LogStore, StoreError> {
        LogStore::open_or_make(disk, Some(salt)).await
    }

    /// Opens a log that must be there.
    pub(crate) async fn open_existing(disk: Arc<dyn Disk>) -> Result<LogStore, StoreError> {
        LogStore::open_or_make(disk, None).await
    }

    async fn open_or_make(disk: Arc<dyn Disk>, new: Option<u64>) -> Result<LogStore, StoreError> {
        let lane = disk.lane("log");
        let slot = Arc::new(Mutex::new(None));
        let (into, from) = (slot.clone(), disk.clone());
        let job = Box::new(move || {
            *lock(&into) = Some(Journal::open(from, SEGMENT_SIZE_BYTES, new));
            Ok(())
        });
        lane.run(job).await.map_err(|error| StoreError::Io { path: "log".into(), error })?;
        let (journal, tail) = lock(&slot).take().expect("the job has run")?;
        let (writes, asked) = mpsc::unbounded_channel();
        let read_lane = disk.lane("log-read");
        let reader = journal.reader();
        // Who only reads or mends needs no spare segments, and leaves no work behind that would
        // hold the data directory after the store is dropped.
        let aside = new.is_some().then(|| read_lane.clone());
        tokio::task::spawn_local(write_all(journal, lane, aside, asked));
        let shared = Shared { reader, read_lane, tail: Mutex::new(tail) };
        Ok(LogStore { shared: Arc::new(shared), writes })
    }

    /// What the store holds, including writes that are not durable yet.
    pub(crate) fn state(&self) -> Opened {
        lock(&self.shared.tail).opened
    }

    /// Appends entries that follow the last one. Readable at once; `done` when durable.
    pub(crate) fn append(&self, entries: Vec<StoredEntry>, done: Done) {
        let mut tail = lock(&self.shared.tail);
        entries.iter().for_each(|entry| tail.insert(entry.clone()));
        let truncations_count = tail.truncations_count;
        drop(tail);
        let last_index = entries.last().map_or(0, |entry| entry.id.index.0);
        let shared = self.shared.clone();
        let done: Done = Box::new(move |result| {
            if result.is_ok() {
                lock(&shared.tail).note_durable(last_index, truncations_count);
            }
            done(result);
        });
        self.write(entries.into_iter().map(Record::Entry).collect(), Some(done));
    }

    /// Stores the vote; `done` when durable.
    pub(crate) fn save_vote(&self, vote: StoredVote, done: Done) {
        lock(&self.shared.tail).opened.vote = Some(vote);
        if planted("vote_not_persisted") {
            return done(Ok(()));
        }
        self.write(vec![Record::Vote(vote)], Some(done));
    }

    /// Notes the commit index. It becomes durable with the next write, or with [`Self::flush`].
    pub(crate) fn save_committed(&self, committed: Option<LogId>) {
        lock(&self.shared.tail).opened.committed = committed;
        self.write(vec![Record::Committed(committed)], None);
    }

    /// Drops all entries after `last`, which never were committed.
    pub(crate) fn truncate_after(&self, last: Option<LogId>, done: Done) {
        lock(&self.shared.tail).truncate_after(last);
        self.write(vec![Record::TruncateAfter(last)], Some(done));
    }

    /// Drops entries up to `upto`, which a snapshot covers.
    pub(crate) fn compact(&self, upto: LogId, done: Done) {
        lock(&self.shared.tail).compact(upto);
        self.write(vec![Record::Compact(upto)], Some(done));
    }

    /// Makes everything asked for so far durable.
    pub(crate) fn flush(&self, done: Done) {
        self.write(Vec::new(), Some(done));
    }

    /// The entries in `[start, end)` that exist, in order and without a gap.
    pub(crate) async fn read(&self, start: u64, end: u64) -> io::Result<Vec<StoredEntry>> {
        loop {
            let (cached, end, truncations_count) = {
                let tail = lock(&self.shared.tail);
                // What was truncated may still be on the disk: nothing after the last is read.
                let last_index = tail.opened.last.map_or(0, |id| id.index.0);
                let end = end.min(last_index + 1);
                if start >= end {
                    return Ok(Vec::new());
                }
                let cached = tail.entries.range(start..end).map(|(_, entry)| entry.clone());
                (cached.collect::<Vec<_>>(), end, tail.truncations_count)
            };
            let cached_from = cached.first().map_or(end, |entry| entry.id.index.0);
            if cached_from <= start {
                return Ok(cached);
            }
            let read = self.read_disk(start, cached_from).await;
            if lock(&self.shared.tail).truncations_count != truncations_count {
                continue; // what was read may be another leader's than what was cached
            }
            let mut entries = read?;
            entries.extend(cached);
            return without_gap(entries);
        }
    }

    async fn read_disk(&self, start: u64, end: u64) -> io::Result<Vec<StoredEntry>> {
        mark("log.read_from_disk");
        let slot = Arc::new(Mutex::new(Vec::new()));
        let (into, reader) = (slot.clone(), self.shared.reader.clone());
        let job = Box::new(move || {
            *lock(&into) = reader.read(start, end)?;
            Ok(())
        });
        self.shared.read_lane.run(job).await?;
        let entries = std::mem::take(&mut *lock(&slot));
        Ok(entries)
    }

    fn write(&self, records: Vec<Record>, done: Option<Done>) {
        // The writer ends only after all senders; a send fails only while the node ends.
        let _ = self.writes.send(Write { records, done });
    }
}

/// Whoever gets a part of a log must not take it for the whole.
fn without_gap(entries: Vec<StoredEntry>) -> io::Result<Vec<StoredEntry>> {
    match entries.windows(2).find(|pair| pair[0].id.index.0 + 1 != pair[1].id.index.0) {
        Some(pair) => {
            let text =
                format!("no entry between {} and {}", pair[0].id.index.0, pair[1].id.index.0);
            Err(io::Error::other(text))
        }
        None => Ok(entries),
    }
}

/// The writer: gathers what is asked for, has it made durable, tells everyone.
async fn write_all(
    journal: Journal,
    lane: Arc<dyn Lane>,
    aside: Option<Arc<dyn Lane>>,
    mut asked: mpsc::UnboundedReceiver<Write>,
) {
    let spares = journal.spares();
    let journal = Arc::new(Mutex::new(journal));
    let mut group: Vec<Write> = Vec::new();
    loop {
        if asked.recv_many(&mut group, GROUP_COUNT_MAX).await == 0 {
            return;
        }
        depth("log.writes", || (group.len() + asked.len()) as u64, WAITING_WRITES_COUNT_MAX);
        // A commit index alone is worth no sync: it waits in the group for the next write.
        if group.iter().all(|write| write.done.is_none()) {
            group.drain(..group.len() - 1);
            continue;
        }
        let (records, mut done): (Vec<_>, Vec<_>) =
            group.drain(..).map(|write| (write.records, write.done)).unzip();
        let records = records.into_iter().flatten().collect();
        if planted("ack_before_fsync") {
            done.drain(..).flatten().for_each(|done| done(Ok(())));
        }
        let writer = journal.clone();
        let result = lane.run(Box::new(move || lock(&writer).commit(records))).await;
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
        if let Some(aside) = &aside {
            tend(&spares, &**aside);
        }
    }
}

/// Has the spare segments looked after, beside the writer, when they need it.
fn tend(spares: &Arc<Spares>, aside: &dyn Lane) {
    if !spares.want_tending() {
        return;
    }
    let spares = spares.clone();
    let tended = aside.run(Box::new(move || spares.tend()));
    tokio::task::spawn_local(async move {
        if let Err(error) = tended.await {
            // The writer makes a segment itself when it needs one, and has an error of its own.
            tracing::debug!(%error, "no spare segment could be made or removed");
        }
    });
}

/// After a failed sync nothing is known of earlier writes, so no further one may succeed.
async fn fail_rest(mut asked: mpsc::UnboundedReceiver<Write>) {
    while let Some(write) = asked.recv().await {
        if let Some(done) = write.done {
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

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("no thread panics while it holds the store")
}
