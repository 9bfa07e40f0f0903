//! The journal: every change of the log, one after the other, in files of a fixed size.
//!
//! A change is written behind the one before and made durable with one sync, into a place that the
//! file system has long given out. What older segments said and still counts is carried over into
//! each new one, so that a segment whose entries are all covered by a snapshot can be used again.
//!
//! Invariants
//! - A group is written only after the one before is durable, so at most one is there in part.
//! - The newest group is not only whole: a mark in a file beside says that it was durable, so that
//!   one that is damaged later is not taken for a write that the power cut.
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
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};

pub(super) use format::Record;
pub(super) use segments::Spares;

use format::Carried;
use places::{Place, Places, Run};
use segments::{DIR, MARK, Segment};

use super::tail::{Opened, Tail};
use super::{StoreError, StoredEntry, snapshots};
use crate::ports::{Blocks, Disk, OpenHow};

/// Size of a segment. A group that is larger makes the segment that it begins larger. Small, because
/// a start reads whole segments, and the allocator keeps the memory for them.
pub(super) const SEGMENT_SIZE_BYTES: usize = 1 << 20;
const FIRST_NAME: u32 = 1;
const FIRST_NUMBER: u64 = 1;
/// Records that are made durable together, in bytes, not counting the last of them.
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
    Purged { upto: u64 },
}

impl Journal {
    /// Reads the journal, making it if there is none, and checks every record. Segments that are
    /// made from here on have the given size; [`SEGMENT_SIZE_BYTES`] outside of tests.
    pub(super) fn open(
        disk: Arc<dyn Disk>,
        segment_size_bytes: usize,
    ) -> Result<(Journal, Tail), StoreError> {
        let failed = |error| StoreError::Io { path: DIR.into(), error };
        let mut names = segments::names(&*disk).map_err(failed)?;
        if names.is_empty() {
            make_first(&*disk, segment_size_bytes)?;
            names.push(FIRST_NAME);
        }
        let open = |name: &u32| {
            let opened = Segment::open(&*disk, *name);
            opened.map_err(|error| StoreError::Io { path: segments::path(*name), error })
        };
        let segments = names.iter().map(open).collect::<Result<Vec<_>, _>>()?;
        let (mark, synced) =
            open_mark(&*disk).map_err(|error| StoreError::Io { path: MARK.into(), error })?;
        let replayed = replay::replay(segments, synced)?;
        let next_name = names.iter().max().map_or(FIRST_NAME, |name| name + 1);
        let Opened { vote, committed, purged, .. } = replayed.tail.opened;
        let floor = replayed.used.front().map_or(FIRST_NUMBER, |used| used.first_number);
        let carried = Carried { vote, committed, purged, floor };
        let journal = Journal {
            places: Arc::new(Mutex::new(replayed.places)),
            spares: Arc::new(Spares::new(disk, segment_size_bytes, replayed.spares, next_name)),
            used: replayed.used,
            carried,
            mark,
            segment_size_bytes,
            end: replayed.end,
            next_number: replayed.last_number + 1,
            gathered: Gathered { carried, ..Gathered::default() },
        };
        Ok((journal, replayed.tail))
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
            Record::Purge(upto) => {
                gathered.carried.purged = Some(upto);
                gathered.effects.push(Effect::Purged { upto: upto.index.0 });
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
        let bytes = format::group(number, &records);
        segment.file.write_at(self.end as u64, &bytes)?;
        segment.file.sync_data()?;

        self.carried = carried;
        self.take_effect(segment.name, effects, format::records_at(self.end) + shift);
        self.release();
        self.end += bytes.len();
        self.next_number += 1;
        // Without a sync of its own: the mark is for damage that comes later than the system writes
        // it out, and tells it from a write that the power cut.
        self.mark.write_at(0, &format::synced_mark(number))
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
                Effect::Purged { upto } => places.purge(upto),
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
}

/// Opens the mark, and reads it.
fn open_mark(disk: &dyn Disk) -> io::Result<(Box<dyn Blocks>, Option<u64>)> {
    let mark = disk.open(Path::new(MARK), OpenHow::CreateIfMissing)?;
    let mut bytes = vec![0; mark.len()? as usize];
    mark.read_at(0, &mut bytes)?;
    Ok((mark, format::synced(&bytes)))
}

/// Makes the journal of a new node. One that has snapshots has had a journal, and acknowledged
/// things in it that a new one would deny.
fn make_first(disk: &dyn Disk, segment_size_bytes: usize) -> Result<(), StoreError> {
    let failed = |error| StoreError::Io { path: DIR.into(), error };
    let files = disk.list(Path::new("")).map_err(failed)?;
    if files.iter().any(|file| file == Path::new(snapshots::FILE)) {
        let detail = format!("it is missing, although there is {}", snapshots::FILE);
        return Err(StoreError::Damaged { path: DIR.into(), detail });
    }
    let carried = Carried { floor: FIRST_NUMBER, ..Carried::default() };
    let mut records = Vec::new();
    format::push_record(&mut records, FIRST_NUMBER, &Record::Carried(carried));
    let group = format::group(FIRST_NUMBER, &records);
    Segment::make(disk, FIRST_NAME, segment_size_bytes, &group).map_err(failed).map(drop)
}

/// Reads entries beside the writer. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct JournalReader(Arc<Mutex<Places>>);

impl JournalReader {
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
            // What was purged meanwhile may be overwritten; what was not is damaged.
            let first_index = lock(&self.0).start_index();
            if first_index <= start {
                return Err(error);
            }
            start = first_index;
        }
    }
}

fn lock(places: &Mutex<Places>) -> MutexGuard<'_, Places> {
    places.lock().expect("no thread panics while it holds the places")
}
