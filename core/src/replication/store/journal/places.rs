//! Where on the disk each entry of the log stands.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::sync::Arc;

use super::super::StoredEntry;
use super::format::{self, Record};
use crate::ports::Blocks;

/// Where one entry's record stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// The segment, by its name's number.
    pub(super) segment: u32,
    /// The group's number, which is part of the record's checksum.
    pub(super) number: u64,
    pub(super) offset: u64,
    pub(super) size_bytes: u32,
}

/// The places of all entries in the log, which follow each other without a gap, and the files.
#[derive(Debug, Default)]
pub(super) struct Places {
    first_index: u64,
    places: VecDeque<Place>,
    pub(super) files: BTreeMap<u32, Arc<dyn Blocks>>,
}

/// Entries whose records stand one after the other in a file, to be read together.
#[derive(Debug)]
pub(super) struct Run {
    file: Arc<dyn Blocks>,
    /// Index of the first, and the place of each.
    pub(super) first_index: u64,
    places: Vec<Place>,
}

/// Bytes of records that are read together, at most; a larger record is read alone.
const RUN_SIZE_BYTES_MAX: u64 = 1 << 20;

impl Places {
    /// The index that the next entry will have; `None` while there is none.
    pub(super) fn next_index(&self) -> Option<u64> {
        (!self.places.is_empty()).then(|| self.first_index + self.places.len() as u64)
    }

    /// No entry below this index is there.
    pub(super) fn first_index(&self) -> u64 {
        self.first_index
    }

    /// Notes the place of the next entry.
    pub(super) fn push(&mut self, index: u64, place: Place) {
        assert!(self.next_index().is_none_or(|next| next == index), "entry {index} is out of turn");
        if self.places.is_empty() {
            self.first_index = index;
        }
        self.places.push_back(place);
    }

    /// Drops the places of the entries after `index`.
    pub(super) fn truncate_after(&mut self, index: u64) {
        let kept_count = (index + 1).saturating_sub(self.first_index) as usize;
        self.places.truncate(kept_count);
    }

    pub(super) fn compact(&mut self, upto: u64) {
        let gone_count = (upto + 1).saturating_sub(self.first_index) as usize;
        self.places.drain(..gone_count.min(self.places.len()));
        self.first_index = self.first_index.max(upto + 1);
    }

    /// Where the record of that entry stands.
    #[cfg(feature = "observed")]
    pub(super) fn place(&self, index: u64) -> Option<Place> {
        let at = index.checked_sub(self.first_index)?;
        self.places.get(usize::try_from(at).ok()?).copied()
    }

    /// The segment of the first entry after `index`.
    pub(super) fn segment_after(&self, index: u64) -> Option<u32> {
        let at = (index + 1).saturating_sub(self.first_index) as usize;
        self.places.get(at).map(|place| place.segment)
    }

    /// What to read for the entries in `[start, end)` that exist.
    pub(super) fn runs(&self, start: u64, end: u64) -> Vec<Run> {
        let mut runs: Vec<Run> = Vec::new();
        let from = start.max(self.first_index);
        let skipped_count = (from - self.first_index) as usize;
        let count = end.saturating_sub(from) as usize;
        let wanted = self.places.iter().skip(skipped_count).take(count);
        for (index, place) in (from..).zip(wanted) {
            match runs.last_mut() {
                Some(run) if run.takes(place) => run.places.push(*place),
                Some(_) | None => runs.push(Run {
                    file: self.files[&place.segment].clone(),
                    first_index: index,
                    places: vec![*place],
                }),
            }
        }
        runs
    }
}

impl Place {
    fn end(&self) -> u64 {
        self.offset + u64::from(self.size_bytes)
    }
}

impl Run {
    fn takes(&self, place: &Place) -> bool {
        let (first, last) = (&self.places[0], &self.places[self.places.len() - 1]);
        let is_next = place.number == last.number && place.offset == last.end();
        is_next && place.end() - first.offset <= RUN_SIZE_BYTES_MAX
    }

    /// Reads the entries, each checked. Blocks.
    pub(super) fn read(&self) -> io::Result<Vec<StoredEntry>> {
        let (first, last) = (&self.places[0], &self.places[self.places.len() - 1]);
        let mut bytes = vec![0; (last.end() - first.offset) as usize];
        self.file.read_at(first.offset, &mut bytes)?;
        let read = |(index, place): (u64, &Place)| {
            let at = (place.offset - first.offset) as usize;
            let record = format::record(place.number, &bytes[at..]);
            match record.map_err(|detail| io::Error::other(format!("entry {index}: {detail}")))? {
                (Record::Entry(entry), _) if entry.id.index.0 == index => Ok(entry),
                _ => Err(io::Error::other(format!("entry {index} holds another record"))),
            }
        };
        (self.first_index..).zip(&self.places).map(read).collect()
    }
}
