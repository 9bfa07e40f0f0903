//! The bytes of the journal: records, gathered in groups that are written with one sync.
//!
//! | group | bytes | meaning |
//! | --- | --- | --- |
//! | magic | 4 | `QLG1` |
//! | checksum | 4 | CRC-32 of the rest of the header, and of segment and offset of the group |
//! | salt | 8 | drawn once for each journal |
//! | number | 8 | one more than that of the group before |
//! | size | 4 | of the records, in bytes |
//! | checksum of the records | 4 | CRC-32 of all of them |
//! | records | size | each: size (4), checksum (4), kind (1), content |
//!
//! Numbers are big-endian. A record's own checksum covers the number of its group, its kind and its
//! content; it is for records that are read alone. Groups begin at multiples of 8 bytes.
//!
//! Invariants
//! - [`groups`] finds every whole group, whatever stands between them.
//! - Nothing else is taken for a group: not what a client stored, who does not know the salt; not
//!   a group of ours that was copied to another place; not parts of two groups.

use std::ops::Range;

use super::super::{LogId, StoredEntry, StoredVote};
use crate::codec::{decode, encode};
use crate::observe::{mark_if, planted};

/// Begins a group of records; the digit is the version of the format.
const GROUP: [u8; 4] = *b"QLG1";
/// Begins a mark, which is a header alone: the group of this number is durable.
const SYNCED: [u8; 4] = *b"QLS1";
pub(super) const HEADER_SIZE_BYTES: usize = 32;
const RECORD_HEADER_SIZE_BYTES: usize = 9;
const CARRIED_KIND: u8 = 1;
const FLOOR_KIND: u8 = 7;
const ALIGNMENT_BYTES: usize = 8;

/// What a segment begins with: everything that older segments said and that still counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(in super::super) struct Carried {
    pub(super) vote: Option<StoredVote>,
    pub(super) committed: Option<LogId>,
    pub(super) compacted: Option<LogId>,
    /// Groups with smaller numbers are not needed any more.
    pub(super) floor: u64,
}

/// One change of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) enum Record {
    /// Begins a segment. Written by the journal itself.
    Carried(Carried),
    /// Follows the entry before.
    Entry(StoredEntry),
    /// Takes the place of the vote before.
    Vote(StoredVote),
    /// Everything up to here is committed.
    Committed(Option<LogId>),
    /// The entries after this one never were committed, and are gone.
    TruncateAfter(Option<LogId>),
    /// A snapshot covers the entries up to here.
    Compact(LogId),
    /// Groups with smaller numbers are not needed any more. Written by the journal itself.
    Floor(u64),
}

impl Record {
    fn kind(&self) -> u8 {
        match self {
            Record::Carried(_) => CARRIED_KIND,
            Record::Entry(_) => 2,
            Record::Vote(_) => 3,
            Record::Committed(_) => 4,
            Record::TruncateAfter(_) => 5,
            Record::Compact(_) => 6,
            Record::Floor(_) => FLOOR_KIND,
        }
    }

    fn content(&self) -> Vec<u8> {
        match self {
            Record::Carried(carried) => encode(carried),
            Record::Entry(entry) => encode(entry),
            Record::Vote(vote) => encode(vote),
            Record::Committed(committed) => encode(committed),
            Record::TruncateAfter(last) => encode(last),
            Record::Compact(upto) => encode(upto),
            Record::Floor(floor) => encode(floor),
        }
    }

    fn decode(kind: u8, content: &[u8]) -> Result<Record, String> {
        let what = "record of the journal";
        let record = match kind {
            CARRIED_KIND => decode(what, content).map(Record::Carried),
            2 => decode(what, content).map(Record::Entry),
            3 => decode(what, content).map(Record::Vote),
            4 => decode(what, content).map(Record::Committed),
            5 => decode(what, content).map(Record::TruncateAfter),
            6 => decode(what, content).map(Record::Compact),
            FLOOR_KIND => decode(what, content).map(Record::Floor),
            _ => return Err(format!("a record of the unknown kind {kind}")),
        };
        record.map_err(|error| error.to_string())
    }
}

/// Puts `record` at the end of the records of group `number`; where it then stands in them.
pub(super) fn push_record(records: &mut Vec<u8>, number: u64, record: &Record) -> Range<usize> {
    let start = records.len();
    let (kind, content) = (record.kind(), record.content());
    records.extend((content.len() as u32).to_be_bytes());
    records.extend(checksum(number, kind, &content).to_be_bytes());
    records.push(kind);
    records.extend(content);
    start..records.len()
}

fn checksum(number: u64, kind: u8, content: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&number.to_be_bytes());
    hasher.update(&[kind]);
    hasher.update(content);
    hasher.finalize()
}

/// The record of group `number` that `bytes` begin with, and its size; an error says what does not
/// hold.
pub(super) fn record(number: u64, bytes: &[u8]) -> Result<(Record, usize), String> {
    let (kind, content) = checked(number, bytes).ok_or("a checksum that does not hold")?;
    Ok((Record::decode(kind, content)?, RECORD_HEADER_SIZE_BYTES + content.len()))
}

/// Kind and content of the record that `bytes` begin with, if its checksum holds.
fn checked(number: u64, bytes: &[u8]) -> Option<(u8, &[u8])> {
    let (size, rest) = bytes.split_first_chunk::<4>()?;
    let (expected, rest) = rest.split_first_chunk::<4>()?;
    let (&kind, rest) = rest.split_first()?;
    let content = rest.get(..u32::from_be_bytes(*size) as usize)?;
    let holds = checksum(number, kind, content) == u32::from_be_bytes(*expected)
        || planted("checksum_not_checked");
    holds.then_some((kind, content))
}

/// The largest floor in these records of group `number`, which are whole.
pub(super) fn floor(number: u64, mut records: &[u8]) -> Option<u64> {
    let mut floor = None;
    while let Some((kind, content)) = checked(number, records) {
        if matches!(kind, CARRIED_KIND | FLOOR_KIND) {
            floor = floor.max(match Record::decode(kind, content) {
                Ok(Record::Carried(carried)) => Some(carried.floor),
                Ok(Record::Floor(floor)) => Some(floor),
                Ok(_) | Err(_) => None,
            });
        }
        records = &records[RECORD_HEADER_SIZE_BYTES + content.len()..];
    }
    floor
}

/// Size of the whole group with these records, up to where the next one begins.
pub(super) fn group_size_bytes(records_size_bytes: usize) -> usize {
    (HEADER_SIZE_BYTES + records_size_bytes).next_multiple_of(ALIGNMENT_BYTES)
}

/// Where the records of the group that begins at `at` begin.
pub(super) fn records_at(at: usize) -> usize {
    at + HEADER_SIZE_BYTES
}

/// Where a group stands. It is in the group's checksum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Spot {
    pub(super) salt: u64,
    /// The segment, by its name's number.
    pub(super) segment: u32,
    pub(super) offset: usize,
}

/// The bytes of a whole group.
pub(super) fn group(spot: Spot, number: u64, records: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(group_size_bytes(records.len()));
    bytes.extend(header(GROUP, spot, number, records));
    bytes.extend(records);
    bytes.resize(group_size_bytes(records.len()), 0);
    bytes
}

/// The bytes of the mark that group `number` is durable. It always has the same size.
pub(super) fn synced_mark(salt: u64, number: u64) -> Vec<u8> {
    header(SYNCED, Spot { salt, segment: 0, offset: 0 }, number, &[]).to_vec()
}

fn header(magic: [u8; 4], spot: Spot, number: u64, records: &[u8]) -> [u8; HEADER_SIZE_BYTES] {
    let mut header = [0; HEADER_SIZE_BYTES];
    header[..4].copy_from_slice(&magic);
    header[8..16].copy_from_slice(&spot.salt.to_be_bytes());
    header[16..24].copy_from_slice(&number.to_be_bytes());
    header[24..28].copy_from_slice(&(records.len() as u32).to_be_bytes());
    header[28..].copy_from_slice(&crc32fast::hash(records).to_be_bytes());
    let checksum = header_checksum(&header, spot);
    header[4..8].copy_from_slice(&checksum.to_be_bytes());
    header
}

fn header_checksum(header: &[u8; HEADER_SIZE_BYTES], spot: Spot) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&header[..4]);
    hasher.update(&header[8..]);
    hasher.update(&spot.segment.to_be_bytes());
    hasher.update(&(spot.offset as u64).to_be_bytes());
    hasher.finalize()
}

/// A whole group in the bytes of a segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Group {
    pub(super) number: u64,
    /// Where its records stand.
    pub(super) records: Range<usize>,
}

impl Group {
    /// Where it begins.
    pub(super) fn start(&self) -> usize {
        self.records.start - HEADER_SIZE_BYTES
    }

    /// Where the next group begins, or would.
    pub(super) fn end(&self) -> usize {
        self.records.end.next_multiple_of(ALIGNMENT_BYTES)
    }
}

/// Every whole group in the bytes of a segment, in the order in which they stand there: also behind
/// damaged ones and of earlier lives.
pub(super) fn groups(salt: u64, segment: u32, bytes: &[u8]) -> Vec<Group> {
    let mut groups = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let spot = Spot { salt, segment, offset: at };
        let group = Read::header(GROUP, &bytes[at..])
            .filter(|read| read.salt == salt && read.holds(spot))
            .and_then(|read| read.group(at, bytes));
        at = group.as_ref().map_or(at + ALIGNMENT_BYTES, Group::end);
        groups.extend(group);
    }
    groups
}

/// The salt of the group that a segment with this head begins with; `None` if it begins with none.
pub(super) fn salt(segment: u32, head: &[u8]) -> Option<u64> {
    let read = Read::header(GROUP, head)?;
    let spot = Spot { salt: read.salt, segment, offset: 0 };
    read.holds(spot).then_some(read.salt)
}

/// The number of the group that the mark in `bytes` calls durable; `None` if there is no mark.
pub(super) fn synced(salt: u64, bytes: &[u8]) -> Option<u64> {
    let read = Read::header(SYNCED, bytes)?;
    let is_ours = read.salt == salt && read.holds(Spot { salt, segment: 0, offset: 0 });
    is_ours.then_some(read.number)
}

/// A header as it was found, with nothing checked but its magic.
struct Read<'a> {
    bytes: &'a [u8; HEADER_SIZE_BYTES],
    checksum: u32,
    salt: u64,
    number: u64,
    size_bytes: usize,
    records_checksum: u32,
}

impl<'a> Read<'a> {
    fn header(magic: [u8; 4], bytes: &'a [u8]) -> Option<Read<'a>> {
        if !bytes.starts_with(&magic) {
            return None;
        }
        let bytes = bytes.first_chunk::<HEADER_SIZE_BYTES>()?;
        let word = |at: usize| bytes[at..].first_chunk::<4>().map(|word| u32::from_be_bytes(*word));
        let long = |at: usize| bytes[at..].first_chunk::<8>().map(|long| u64::from_be_bytes(*long));
        Some(Read {
            bytes,
            checksum: word(4)?,
            salt: long(8)?,
            number: long(16)?,
            size_bytes: word(24)? as usize,
            records_checksum: word(28)?,
        })
    }

    /// Whether this is the header of a group that was written here.
    fn holds(&self, spot: Spot) -> bool {
        header_checksum(self.bytes, spot) == self.checksum
    }

    /// The group that begins at `at` in `bytes`, if its records are whole.
    fn group(&self, at: usize, bytes: &[u8]) -> Option<Group> {
        let start = at + HEADER_SIZE_BYTES;
        let records = start..start.checked_add(self.size_bytes)?;
        let checksum = crc32fast::hash(bytes.get(records.clone())?);
        let is_whole = !records.is_empty()
            && (checksum == self.records_checksum || planted("checksum_not_checked"));
        mark_if(!is_whole, "log.torn_group_dropped");
        is_whole.then_some(Group { number: self.number, records })
    }
}
