//! From the segments that are found to what the log says.
//!
//! Invariants
//! - Of what was reported durable nothing is missing: the numbers of the groups that count follow
//!   each other without a gap, from the floor up to the newest, which the mark knows.
//! - Only the newest group may be there in part, and then not at all: its write was under way.
//! - Nothing is written.

use std::collections::{BTreeMap, VecDeque};
use std::path::Path;

use super::super::tail::Tail;
use super::super::{LogId, StoreError};
use super::Used;
use super::format::{self, Group, Record};
use super::places::{Place, Places};
use super::segments::{DIR, Segment, path};

/// What the segments say together.
#[derive(Debug, Default)]
pub(super) struct Replayed {
    pub(super) tail: Tail,
    pub(super) places: Places,
    /// The segments that count, in the order in which they were begun.
    pub(super) used: VecDeque<Used>,
    /// Those that do not.
    pub(super) spares: Vec<Segment>,
    pub(super) salt: u64,
    /// Where the newest group begins in the newest segment, its bytes, and its number.
    pub(super) newest_at: usize,
    pub(super) newest_bytes: Vec<u8>,
    pub(super) last_number: u64,
}

/// Reads all segments, of which there is at least one, and the file with the mark. Blocks.
pub(super) fn replay(segments: Vec<Segment>, mark: &[u8]) -> Result<Replayed, StoreError> {
    // One buffer for all: the memory of many large ones would stay with the process.
    let mut bytes = Vec::new();
    let salt = salt(&segments)?;
    let survey = Survey::of(&segments, salt, &mut bytes)?;
    survey.check(&segments, format::synced(salt, mark))?;
    let floor = survey.floor.unwrap_or(0);
    let mut replayed = Replayed { salt, ..Replayed::default() };
    for (position, group) in survey.groups.range(floor..).map(|(_, found)| found) {
        let segment = &segments[*position];
        if replayed.used.back().is_none_or(|used| used.segment.name != segment.name) {
            read(segment, &mut bytes)?;
            let segment = segment.clone();
            replayed.used.push_back(Used { segment, first_number: group.number });
        }
        let applied = replayed.apply_group(segment.name, group, &bytes);
        applied.map_err(|detail| damaged(segment, detail))?;
    }
    if let Some((_, (_, newest))) = survey.groups.last_key_value() {
        replayed.newest_at = newest.start();
        replayed.newest_bytes = bytes[newest.start()..newest.end()].to_vec();
        replayed.last_number = newest.number;
    }
    replayed.finish(segments)
}

/// The salt of the journal, which every segment that was ever used begins with.
fn salt(segments: &[Segment]) -> Result<u64, StoreError> {
    let mut salt = None;
    for segment in segments {
        let head = segment.read_head(format::HEADER_SIZE_BYTES);
        let head = head.map_err(|error| StoreError::reading(path(segment.name), error))?;
        let found = format::salt(segment.name, &head);
        if found.is_some() && salt.is_some() && found != salt {
            return Err(damaged(segment, "it belongs to another journal".to_owned()));
        }
        salt = salt.or(found);
    }
    salt.ok_or_else(|| StoreError::Damaged {
        path: DIR.into(),
        detail: "nothing in it is readable".to_owned(),
    })
}

fn read(segment: &Segment, bytes: &mut Vec<u8>) -> Result<(), StoreError> {
    segment.read_into(bytes).map_err(|error| StoreError::reading(path(segment.name), error))
}

fn damaged(segment: &Segment, detail: String) -> StoreError {
    StoreError::Damaged { path: path(segment.name), detail }
}

/// All groups that are whole, wherever they stand and whether or not they still count.
#[derive(Debug, Default)]
struct Survey {
    /// By number: the segment's position, and the group.
    groups: BTreeMap<u64, (usize, Group)>,
    /// Smaller numbers do not count any more.
    floor: Option<u64>,
}

impl Survey {
    fn of(segments: &[Segment], salt: u64, bytes: &mut Vec<u8>) -> Result<Survey, StoreError> {
        let mut survey = Survey::default();
        for (position, segment) in segments.iter().enumerate() {
            read(segment, bytes)?;
            for group in format::groups(salt, segment.name, bytes) {
                let floor = format::floor(group.number, &bytes[group.records.clone()]);
                survey.floor = survey.floor.max(floor);
                let number = group.number;
                if survey.groups.insert(number, (position, group)).is_some() {
                    let detail = format!("group {number} of its records is there twice");
                    return Err(damaged(segment, detail));
                }
            }
        }
        Ok(survey)
    }

    /// Refuses segments in which a group is missing that counts.
    fn check(&self, segments: &[Segment], synced: Option<u64>) -> Result<(), StoreError> {
        let Some(floor) = self.floor else {
            let detail = "nothing in it is readable".to_owned();
            return Err(StoreError::Damaged { path: DIR.into(), detail });
        };
        let newest = self.groups.keys().next_back().copied().max(synced).unwrap_or(floor);
        let Some(missing) = (floor..=newest).find(|number| !self.groups.contains_key(number))
        else {
            return Ok(());
        };
        let neighbour = self.groups.range(floor..missing).next_back();
        let neighbour = neighbour.or_else(|| self.groups.range(missing..).next());
        let path = neighbour.map_or(Path::new(DIR).into(), |(_, (at, _))| path(segments[*at].name));
        let detail = format!("group {missing} of its records is missing or not readable");
        Err(StoreError::Damaged { path, detail })
    }
}

impl Replayed {
    fn apply_group(&mut self, segment: u32, group: &Group, bytes: &[u8]) -> Result<(), String> {
        let mut at = group.records.start;
        while at < group.records.end {
            let (record, size_bytes) = format::record(group.number, &bytes[at..group.records.end])?;
            let (offset, size) = (at as u64, size_bytes as u32);
            let place = Place { segment, number: group.number, offset, size_bytes: size };
            self.apply(record, place)?;
            at += size_bytes;
        }
        Ok(())
    }

    fn apply(&mut self, record: Record, place: Place) -> Result<(), String> {
        match record {
            Record::Carried(carried) => {
                let opened = &mut self.tail.opened;
                (opened.vote, opened.committed) = (carried.vote, carried.committed);
                if let Some(upto) = carried.compacted {
                    self.compact(upto);
                }
            }
            Record::Entry(entry) => {
                let index = entry.id.index.0;
                if let Some(next) = self.places.next_index()
                    && index != next
                {
                    return Err(format!("entry {index} stands where entry {next} should"));
                }
                self.places.push(index, place);
                self.tail.insert(entry);
                self.tail.note_durable(index, self.tail.truncations_count);
            }
            Record::Vote(vote) => self.tail.opened.vote = Some(vote),
            Record::Committed(committed) => self.tail.opened.committed = committed,
            Record::TruncateAfter(last) => {
                self.places.truncate_after(last.map_or(0, |id| id.index.0));
                self.tail.truncate_after(last);
            }
            Record::Compact(upto) => self.compact(upto),
            Record::Floor(_) => {}
        }
        Ok(())
    }

    fn compact(&mut self, upto: LogId) {
        self.places.compact(upto.index.0);
        self.tail.compact(upto);
    }

    /// Puts the segments where they belong, and checks what only the end can tell.
    fn finish(mut self, segments: Vec<Segment>) -> Result<Replayed, StoreError> {
        let compacted_index = self.tail.opened.compacted.map_or(0, |id| id.index.0);
        let first = self.places.first_index();
        if self.places.next_index().is_some()
            && first > compacted_index + 1
            && let Some(newest) = self.used.back()
        {
            let detail = format!("entries {} to {} are missing", compacted_index + 1, first - 1);
            return Err(damaged(&newest.segment, detail));
        }
        let mut names: Vec<u32> = self.used.iter().map(|used| used.segment.name).collect();
        names.sort_unstable();
        if let Some(twice) = names.windows(2).find(|pair| pair[0] == pair[1]) {
            let detail = "its records stand between those of others".to_owned();
            return Err(StoreError::Damaged { path: path(twice[0]), detail });
        }
        for segment in segments {
            match names.binary_search(&segment.name) {
                Ok(_) => drop(self.places.files.insert(segment.name, segment.file)),
                Err(_) => self.spares.push(segment),
            }
        }
        Ok(self)
    }
}
