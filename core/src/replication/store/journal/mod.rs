//! The journal: every change of the log, one after the other, in files of a fixed size.
//!
//! A change is written behind the one before and made durable with one sync, into a place that the
//! file system has long given out. What older segments said and still counts is carried over into
//! each new one, so that a segment whose entries are all covered by a snapshot can be used again.
//!
//! Invariants
//! - A group is written only after the one before is durable, so at most one is there in part.
//! - A newest group that is damaged after the system wrote out the mark beside is not taken for a
//!   write that the power cut.
//! - A segment is used again only after the record that lets it go is durable.
//! - After a failed write nothing more is written.
//!
//! Read next: `format.rs` for the bytes, `replay.rs` for what a start makes of them, `segments.rs`.

mod format;
mod places;
mod replay;
mod segments;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

pub(super) use format::Record;
pub(super) use segments::Spares;

use format::{Carried, Spot};
use places::{Place, Places, Run};
use segments::{DIR, MARK, Segment};

use super::tail::{Opened, Tail};
use super::{StoreError, StoredEntry, snapshots};
use crate::observe::planted;
use crate::ports::{Blocks, Disk, OpenHow};

/// Size of a segment. A group that is larger makes the segment that it begins larger. Small,
/// because a start reads whole segments, and the allocator keeps the memory for them.
pub(super) const SEGMENT_SIZE_BYTES: usize = 1 << 20;
const FIRST_NAME: u32 = 1;
const FIRST_NUMBER: u64 = 1;
/// Records that are made durable together, in bytes, not counting the last of them. More are cut
/// into groups with a sync each.
const GROUP_SIZE_BYTES_MAX: usize = 256 << 10;

/// A segment that counts.
#[derive(Debug)]
struct Used {
    segment: Segment,
    /// The number of its first group.
    first_number: u64,
}

/// Writes the journal. All calls block, and belong on one lane.
#[derive(Debug)]
pub(super) struct Journal {
    places: Arc<Mutex<Places>>,
    spares: Arc<Spares>,
    /// The segments that count, in the order in which they were begun; never empty.
    used: VecDeque<Used>,
    /// What all durable groups say.
    carried: Carried,
    /// In every group of this journal, and in no other.
    salt: u64,
    /// The file that says which groups are durable.
    mark: Box<dyn Blocks>,
    segment_size_bytes: usize,
    /// Where the next group goes in the newest segment.
    end: usize,
    next_number: u64,
    gathered: Gathered,
}

/// The group that is being put together.
#[derive(Debug, Default)]
struct Gathered {
    records: Vec<u8>,
    effects: Vec<Effect>,
    /// What is carried once it is durable.
    carried: Carried,
}

/// What a record changes once it is durable.
#[derive(Debug)]
enum Effect {
    Placed { index: u64, at: Range<usize> },
    Truncated { after: u64 },
    Compacted { upto: u64 },
}

impl Journal {
    /// Reads the journal and checks every record. What it says is durable; a damaged one is left as
    /// it is. If there is none, one with the salt `new` is made, or `None` refuses that.
    ///
    /// Segments that are made from here on have the given size.
    pub(super) fn open(
        disk: Arc<dyn Disk>,
        segment_size_bytes: usize,
        new: Option<u64>,
    ) -> Result<(Journal, Tail), StoreError> {
        let mut names = segments::names(&*disk).map_err(|error| io_error(DIR, error))?;
        if names.is_empty() {
            check_is_new(&*disk)?;
            let salt = new.ok_or_else(|| missing("there is none"))?;
            make_first(&*disk, segment_size_bytes, salt).map_err(|error| io_error(DIR, error))?;
            names.push(FIRST_NAME);
        }
        let open = |name: &u32| {
            let opened = Segment::open(&*disk, *name);
            opened.map_err(|error| io_error(segments::path(*name), error))
        };
        let segments = names.iter().map(open).collect::<Result<Vec<_>, _>>()?;
        let mark = disk.read(Path::new(MARK)).map_err(|error| io_error(MARK, error))?;
        let replayed = replay::replay(segments, &mark.unwrap_or_default())?;

        let next_name = names.iter().max().map_or(FIRST_NAME, |name| name + 1);
        let Opened { vote, committed, compacted, .. } = replayed.tail.opened;
        let floor = replayed.used.front().map_or(FIRST_NUMBER, |used| used.first_number);
        let carried = Carried { vote, committed, compacted, floor };
        let spares = Spares::new(disk.clone(), segment_size_bytes, replayed.spares, next_name);
        let journal = Journal {
            places: Arc::new(Mutex::new(replayed.places)),
            spares: Arc::new(spares),
            used: replayed.used,
            carried,
            salt: replayed.salt,
            mark: open_mark(&*disk, replayed.salt).map_err(|error| io_error(MARK, error))?,
            segment_size_bytes,
            end: replayed.newest_at + replayed.newest_bytes.len(),
            next_number: replayed.last_number + 1,
            gathered: Gathered { carried, ..Gathered::default() },
        };
        let newest = segments::path(journal.newest().segment.name);
        let rewritten = journal.rewrite(replayed.newest_at, &replayed.newest_bytes);
        rewritten.map_err(|error| io_error(newest, error))?;
        Ok((journal, replayed.tail))
    }

    /// Writes the newest group once more as it was read, and makes it durable. Where a sync failed
    /// in an earlier life, the system may have shown at this start what never reached the disk, and
    /// a sync alone would not bring it there.
    fn rewrite(&self, at: usize, bytes: &[u8]) -> io::Result<()> {
        let file = &self.newest().segment.file;
        file.write_at(at as u64, bytes)?;
        file.sync_data()?;
        self.mark_synced(self.next_number - 1)
    }

    pub(super) fn reader(&self) -> JournalReader {
        JournalReader(self.places.clone())
    }

    pub(super) fn spares(&self) -> Arc<Spares> {
        self.spares.clone()
    }

    /// Makes the records durable, in their order. After an error the journal is of no use any more.
    pub(super) fn commit(&mut self, records: Vec<Record>) -> io::Result<()> {
        for record in records {
            self.gather(record);
            if self.gathered.records.len() >= GROUP_SIZE_BYTES_MAX {
                self.write_group()?;
            }
        }
        self.write_group()
    }

    fn gather(&mut self, record: Record) {
        let gathered = &mut self.gathered;
        let at = format::push_record(&mut gathered.records, self.next_number, &record);
        match record {
            Record::Entry(entry) => {
                gathered.effects.push(Effect::Placed { index: entry.id.index.0, at });
            }
            Record::TruncateAfter(last) => {
                let after = last.map_or(0, |id| id.index.0);
                gathered.effects.push(Effect::Truncated { after });
            }
            Record::Vote(vote) => gathered.carried.vote = Some(vote),
            Record::Committed(committed) => gathered.carried.committed = committed,
            Record::Compact(upto) => {
                gathered.carried.compacted = Some(upto);
                gathered.effects.push(Effect::Compacted { upto: upto.index.0 });
                let floor = self.floor_after(upto.index.0);
                if floor > self.gathered.carried.floor {
                    self.gather(Record::Floor(floor));
                }
            }
            Record::Floor(floor) => gathered.carried.floor = floor,
            Record::Carried(carried) => gathered.carried = carried,
        }
    }

    /// The number of the first group that is needed once the entries up to `index` are gone. It
    /// begins a segment.
    fn floor_after(&self, index: u64) -> u64 {
        let needed = lock(&self.places).segment_after(index);
        let is_needed = |used: &&Used| needed.is_none_or(|name| used.segment.name == name);
        // Without a durable entry after `index` only the newest segment is needed.
        let oldest = self.used.iter().rev().find(is_needed);
        oldest.expect("an entry's segment counts").first_number
    }

    /// Writes the group that was put together, as one.
    fn write_group(&mut self) -> io::Result<()> {
        let Gathered { mut records, effects, carried } = std::mem::take(&mut self.gathered);
        self.gathered.carried = carried;
        if records.is_empty() {
            return Ok(());
        }
        let number = self.next_number;
        let mut shift = 0;
        if self.end + format::group_size_bytes(records.len()) > self.segment_size_bytes {
            self.begin_segment()?;
            let mut all = Vec::with_capacity(records.len() + 128);
            shift = format::push_record(&mut all, number, &Record::Carried(self.carried)).end;
            all.append(&mut records);
            records = all;
        }
        let segment = self.newest().segment.clone();
        let spot = Spot { salt: self.salt, segment: segment.name, offset: self.end };
        let bytes = format::group(spot, number, &records);
        segment.file.write_at(self.end as u64, &bytes)?;
        let mut synced = segment.file.sync_data();
        if synced.is_err() && planted("retry_after_failed_fsync") {
            synced = segment.file.sync_data();
        }
        synced?;

        self.carried = carried;
        self.take_effect(segment.name, effects, format::records_at(self.end) + shift);
        self.release();
        self.end += bytes.len();
        self.next_number += 1;
        self.mark_synced(number)
    }

    /// Goes on in a segment that holds nothing which counts.
    fn begin_segment(&mut self) -> io::Result<()> {
        let segment = self.spares.take()?;
        lock(&self.places).files.insert(segment.name, segment.file.clone());
        self.used.push_back(Used { segment, first_number: self.next_number });
        self.end = 0;
        Ok(())
    }

    fn newest(&self) -> &Used {
        self.used.back().expect("one segment always counts")
    }

    /// The records of a group are durable; the first byte of theirs stands at `records_at`.
    fn take_effect(&self, segment: u32, effects: Vec<Effect>, records_at: usize) {
        let mut places = lock(&self.places);
        for effect in effects {
            match effect {
                Effect::Placed { index, at } => {
                    let offset = (records_at + at.start) as u64;
                    let size_bytes = at.len() as u32;
                    let number = self.next_number;
                    places.push(index, Place { segment, number, offset, size_bytes });
                }
                Effect::Truncated { after } => places.truncate_after(after),
                Effect::Compacted { upto } => places.compact(upto),
            }
        }
    }

    /// Lets go of the segments below the floor, which is durable.
    fn release(&mut self) {
        while let Some(oldest) = self.used.front()
            && oldest.first_number < self.carried.floor
        {
            let Some(Used { segment, .. }) = self.used.pop_front() else { return };
            lock(&self.places).files.remove(&segment.name);
            self.spares.give_back(segment);
        }
    }

    /// Notes that the group is durable. The mark has no sync of its own: it is for damage that
    /// comes later than the system writes it out, and tells it from a write that the power cut.
    fn mark_synced(&self, number: u64) -> io::Result<()> {
        self.mark.write_at(0, &format::synced_mark(self.salt, number))
    }
}

/// Refuses to begin anew where a journal was: it acknowledged things that a new one would deny.
/// The mark is made only after the first segment, and snapshots later still.
fn check_is_new(disk: &dyn Disk) -> Result<(), StoreError> {
    for (dir, trace) in [("", snapshots::FILE), (DIR, MARK)] {
        let files = disk.list(Path::new(dir)).map_err(|error| io_error(DIR, error))?;
        if files.iter().any(|file| file == Path::new(trace)) {
            return Err(missing(&format!("its segments are missing, although there is {trace}")));
        }
    }
    Ok(())
}

/// Makes the journal of a new node.
fn make_first(disk: &dyn Disk, segment_size_bytes: usize, salt: u64) -> io::Result<()> {
    let carried = Carried { floor: FIRST_NUMBER, ..Carried::default() };
    let mut records = Vec::new();
    format::push_record(&mut records, FIRST_NUMBER, &Record::Carried(carried));
    let spot = Spot { salt, segment: FIRST_NAME, offset: 0 };
    let group = format::group(spot, FIRST_NUMBER, &records);
    Segment::make(disk, FIRST_NAME, segment_size_bytes, &group).map(drop)
}

/// Opens the file with the mark. It is made whole, if need be, so that a mark takes no space.
fn open_mark(disk: &dyn Disk, salt: u64) -> io::Result<Box<dyn Blocks>> {
    let path = Path::new(MARK);
    match disk.open(path, OpenHow::Existing) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            disk.replace(path, &format::synced_mark(salt, FIRST_NUMBER))?;
            disk.open(path, OpenHow::Existing)
        }
        opened => opened,
    }
}

fn io_error(path: impl Into<PathBuf>, error: io::Error) -> StoreError {
    StoreError::Io { path: path.into(), error }
}

fn missing(detail: &str) -> StoreError {
    StoreError::Damaged { path: DIR.into(), detail: detail.to_owned() }
}

/// Reads entries beside the writer. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct JournalReader(Arc<Mutex<Places>>);

impl JournalReader {
    /// Where the record of a durable entry stands.
    #[cfg(feature = "observed")]
    pub(super) fn place(&self, index: u64) -> Option<crate::observe::Place> {
        let Place { segment, number: group, offset, size_bytes } = lock(&self.0).place(index)?;
        Some(crate::observe::Place { segment, group, offset, size_bytes })
    }

    /// The durable entries in `[start, end)` that exist, in order. Blocks.
    pub(super) fn read(&self, start: u64, end: u64) -> io::Result<Vec<StoredEntry>> {
        let mut start = start;
        loop {
            let runs = lock(&self.0).runs(start, end);
            let read = runs.iter().map(Run::read).collect::<io::Result<Vec<_>>>();
            let error = match read {
                Ok(entries) => return Ok(entries.into_iter().flatten().collect()),
                Err(error) => error,
            };
            // What was compacted meanwhile may be overwritten; what was not is damaged.
            let first_index = lock(&self.0).first_index();
            if first_index <= start {
                return Err(error);
            }
            start = first_index;
        }
    }
}

/// The entry whose record these bytes are, if they are one; found in a group of that number.
#[cfg(feature = "observed")]
pub(super) fn entry_of(group: u64, bytes: &[u8]) -> Option<StoredEntry> {
    match format::record(group, bytes) {
        Ok((Record::Entry(entry), _)) => Some(entry),
        Ok(_) | Err(_) => None,
    }
}

/// The file of a segment, relative to the data directory.
#[cfg(feature = "observed")]
pub(super) fn file_of(segment: u32) -> PathBuf {
    segments::path(segment)
}

fn lock(places: &Mutex<Places>) -> MutexGuard<'_, Places> {
    places.lock().expect("no thread panics while it holds the places")
}
