//! The journal over a disk that loses, tears and rots what it can.

use std::path::{Path, PathBuf};

use bytes::Bytes;
use proptest::collection::vec;
use proptest::prelude::*;

use super::super::{LogId, StoredPayload, StoredVote};
use super::*;
use crate::ids::{Generation, LogIndex, NodeId, Term};
use crate::ports::testing::MemoryDisk;

/// Small, so that short histories fill and free many segments.
const SMALL_BYTES: usize = 4 << 10;

fn id(election: u64, index: u64) -> LogId {
    LogId { term: Term::new(Generation(0), election), index: LogIndex(index) }
}

fn entry(election: u64, index: u64, size_bytes: usize) -> StoredEntry {
    let text = format!("entry {index} of {election} ");
    let bytes: Vec<u8> = text.bytes().cycle().take(size_bytes).collect();
    StoredEntry { id: id(election, index), payload: StoredPayload::Command(bytes.into()) }
}

fn open(disk: &MemoryDisk) -> Result<(Journal, Tail), StoreError> {
    Journal::open(Arc::new(disk.clone()), SMALL_BYTES)
}

/// The segments.
fn files(disk: &MemoryDisk) -> Vec<PathBuf> {
    let names = segments::names(disk).expect("lists");
    names.into_iter().map(segments::path).collect()
}

/// What a log says, in full.
#[derive(Clone, Debug, Default, PartialEq)]
struct Said {
    opened: Opened,
    entries: Vec<StoredEntry>,
}

/// What the journal on this disk says to one who opens it.
fn said(disk: &MemoryDisk) -> Result<Said, StoreError> {
    let (journal, tail) = open(disk)?;
    let entries = journal.reader().read(0, u64::MAX).expect("the disk can be read");
    let first = entries.first().map_or(u64::MAX, |entry| entry.id.index.0);
    let cached: Vec<_> = tail.entries.range(first..).map(|(_, entry)| entry.clone()).collect();
    assert_eq!(cached, entries, "the memory and the disk say the same");
    Ok(Said { opened: tail.opened, entries })
}

/// One call of the store, before it is known what the log holds.
#[derive(Clone, Debug)]
enum Call {
    Append { count: u64, size_bytes: usize },
    Vote { node: u64 },
    Committed,
    TruncateLast { count: u64 },
    PurgeFirst { count: u64 },
    InstallSnapshot { ahead: u64 },
}

fn call() -> impl Strategy<Value = Call> {
    prop_oneof![
        6 => (1..5_u64, 0..900_usize).prop_map(|(count, size_bytes)| Call::Append {
            count,
            size_bytes
        }),
        1 => (0..1_u64, 4_000..6_000_usize).prop_map(|(extra, size_bytes)| Call::Append {
            count: 1 + extra,
            size_bytes
        }),
        1 => (1..4_u64).prop_map(|node| Call::Vote { node }),
        1 => Just(Call::Committed),
        1 => (1..6_u64).prop_map(|count| Call::TruncateLast { count }),
        2 => (1..20_u64).prop_map(|count| Call::PurgeFirst { count }),
        1 => (1..9_u64).prop_map(|ahead| Call::InstallSnapshot { ahead }),
    ]
}

impl Said {
    fn last_index(&self) -> u64 {
        self.opened.last.map_or(0, |id| id.index.0)
    }

    /// The records that the call asks for, and what the log says after it.
    fn after(&self, call: &Call, election: u64) -> (Vec<Record>, Said) {
        let mut after = self.clone();
        let records = match call {
            Call::Append { count, size_bytes } => {
                let indexes = self.last_index() + 1..=self.last_index() + count;
                let entries: Vec<_> =
                    indexes.map(|index| entry(election, index, *size_bytes)).collect();
                after.entries.extend(entries.clone());
                after.opened.last = after.entries.last().map(|entry| entry.id);
                entries.into_iter().map(Record::Entry).collect()
            }
            Call::Vote { node } => {
                let term = id(election, 0).term;
                let vote = StoredVote { term, node: NodeId(*node), committed: false };
                after.opened.vote = Some(vote);
                vec![Record::Vote(vote)]
            }
            Call::Committed => {
                after.opened.committed = self.opened.last;
                vec![Record::Committed(self.opened.last)]
            }
            Call::TruncateLast { count } => {
                let kept_count = self.entries.len().saturating_sub(*count as usize);
                after.entries.truncate(kept_count);
                let last = after.entries.last().map(|entry| entry.id).or(self.opened.purged);
                after.opened.last = last;
                vec![Record::TruncateAfter(last)]
            }
            Call::PurgeFirst { count } => {
                let gone_count = self.entries.len().min(*count as usize);
                let gone: Vec<_> = after.entries.drain(..gone_count).collect();
                let Some(last) = gone.last() else { return (Vec::new(), after) };
                after.opened.purged = Some(last.id);
                vec![Record::Purge(last.id)]
            }
            Call::InstallSnapshot { ahead } => {
                let upto = id(election, self.last_index() + ahead);
                after.entries.clear();
                (after.opened.purged, after.opened.last) = (Some(upto), Some(upto));
                vec![Record::Purge(upto)]
            }
        };
        (records, after)
    }
}

/// What a history of calls on a disk came to: what is acknowledged, and what may be there instead.
fn live(disk: &MemoryDisk, before: Said, election: u64, calls: &[Call]) -> (Said, Said) {
    let (mut journal, _) = open(disk).expect("a journal after a power cut opens");
    let mut acknowledged = before;
    for call in calls {
        let (records, after) = acknowledged.after(call, election);
        let committed = journal.commit(records);
        let spares = journal.spares();
        let tended = if spares.want_tending() { spares.tend() } else { Ok(()) };
        match committed.and(tended) {
            Ok(()) => acknowledged = after,
            Err(_) => return (acknowledged, after),
        }
    }
    (acknowledged.clone(), acknowledged)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn a_power_cut_takes_nothing_acknowledged_and_nothing_in_part(
        lives in vec((vec(call(), 1..25), 1..60_u64, any::<u64>()), 1..5),
    ) {
        let disk = MemoryDisk::default();
        let mut before = Said::default();
        for (election, (calls, cut_after, mut dice)) in (1..).zip(lives) {
            open(&disk).expect("opens");
            disk.fail_changes_after(cut_after);
            let (acknowledged, in_flight) = live(&disk, before, election, &calls);
            disk.fail_changes_after(0);
            disk.cut_power(|| {
                dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                dice >> 63 == 1
            });
            let found = said(&disk).expect("a journal after a power cut opens");
            prop_assert!(
                found == acknowledged || found == in_flight,
                "found {found:?}, acknowledged {acknowledged:?}, in flight {in_flight:?}"
            );
            before = found;
        }
    }

    #[test]
    fn one_flipped_bit_is_refused_or_hits_nothing_that_counts(
        calls in vec(call(), 1..30),
        at in any::<prop::sample::Index>(),
        bit in 0..8_u32,
    ) {
        let disk = MemoryDisk::default();
        let (acknowledged, _) = live(&disk, Said::default(), 1, &calls);
        let mut files = files(&disk);
        files.push(MARK.into());
        let bits = files.len() * SMALL_BYTES;
        let at = at.index(bits);
        disk.damage(&files[at / SMALL_BYTES].to_string_lossy(), |bytes| {
            let at = at % SMALL_BYTES % bytes.len();
            bytes[at] ^= 1 << bit;
        });
        match said(&disk) {
            Ok(found) => prop_assert_eq!(found, acknowledged),
            Err(StoreError::Damaged { .. }) => {}
            Err(other) => prop_assert!(false, "{other}"),
        }
    }
}

/// A journal with entries 1 to 40 in several segments.
fn filled(disk: &MemoryDisk) -> Journal {
    let (mut journal, _) = open(disk).expect("opens");
    for index in 1..=40 {
        journal.commit(vec![Record::Entry(entry(1, index, 400))]).expect("commits");
    }
    assert!(files(disk).len() > 3, "several segments");
    journal
}

#[test]
fn every_byte_of_the_newest_group_is_missed() {
    let disk = MemoryDisk::default();
    let (mut journal, _) = open(&disk).expect("opens");
    let before = journal.end;
    journal.commit(vec![Record::Entry(entry(1, 1, 3))]).expect("commits");
    let path = segments::path(FIRST_NAME).to_string_lossy().into_owned();
    let bytes = disk.read(Path::new(&path)).expect("reads").expect("is there");
    let newest = format::groups(&bytes).pop().expect("a group");
    for at in before..newest.records.end {
        disk.damage(&path, |bytes| bytes[at] ^= 1);
        let refusal = said(&disk).expect_err("damaged").to_string();
        let expected = "Q1404 log/0001.segment is damaged: group 2 of its records is missing";
        assert!(refusal.starts_with(expected), "byte {at}: {refusal}");
        disk.damage(&path, |bytes| bytes[at] ^= 1);
    }
    said(&disk).expect("nothing was changed");
}

#[test]
fn a_segment_that_is_gone_is_missed() {
    let disk = MemoryDisk::default();
    drop(filled(&disk));
    for path in files(&disk) {
        let copy = MemoryDisk::default();
        let marks = [PathBuf::from(MARK)];
        for kept in files(&disk).iter().chain(&marks).filter(|kept| **kept != path) {
            let bytes = disk.read(kept).expect("reads").expect("is there");
            copy.replace(kept, &bytes).expect("writes");
        }
        match said(&copy) {
            Err(StoreError::Damaged { .. }) => {}
            other => panic!("without {}: {other:?}", path.display()),
        }
    }
}

#[test]
fn a_journal_that_is_gone_is_not_begun_anew_beside_snapshots() {
    let disk = MemoryDisk::default();
    disk.replace(Path::new(snapshots::FILE), b"of an earlier life").expect("writes");
    let refusal = open(&disk).map(drop).expect_err("it is no new node").to_string();
    let expected = "Q1404 log is damaged: it is missing, although there is state.redb";
    assert!(refusal.starts_with(expected), "{refusal}");
    assert_eq!(files(&disk), Vec::<PathBuf>::new());
}

#[test]
fn purged_segments_are_used_again_and_those_too_many_removed() {
    let disk = MemoryDisk::default();
    let mut journal = filled(&disk);
    let most_count = files(&disk).len();
    journal.commit(vec![Record::Purge(id(1, 38))]).expect("commits");
    assert!(journal.spares().want_tending());
    journal.spares().tend().expect("removes");
    let few_count = files(&disk).len();
    assert!(few_count < most_count, "{few_count} files of {most_count}");
    for index in 41..400 {
        let records = vec![Record::Entry(entry(1, index, 400)), Record::Purge(id(1, index - 5))];
        journal.commit(records).expect("commits");
        if journal.spares().want_tending() {
            journal.spares().tend().expect("makes or removes");
        }
        assert!(files(&disk).len() <= few_count + 1, "{:?}", files(&disk));
    }
    let indexes: Vec<u64> =
        said(&disk).expect("opens").entries.iter().map(|entry| entry.id.index.0).collect();
    assert_eq!(indexes, (395..400).collect::<Vec<_>>());
}

#[test]
fn a_reader_gets_what_exists_while_segments_are_used_again() {
    let disk = MemoryDisk::default();
    let mut journal = filled(&disk);
    let reader = journal.reader();
    let runs = lock(&reader.0).runs(1, 41);
    journal.commit(vec![Record::Purge(id(1, 30))]).expect("commits");
    for index in 41..=60 {
        journal.commit(vec![Record::Entry(entry(1, index, 400))]).expect("commits");
    }
    let overwritten = runs.iter().map(Run::read).any(|read| read.is_err());
    assert!(overwritten, "what was purged is another segment now, and its checksum tells");
    let indexes: Vec<u64> =
        reader.read(1, 41).expect("reads").iter().map(|entry| entry.id.index.0).collect();
    assert_eq!(indexes, (31..41).collect::<Vec<_>>());
}

#[test]
fn large_writes_are_cut_into_groups_and_large_entries_have_room() {
    let disk = MemoryDisk::default();
    let (mut journal, _) =
        Journal::open(Arc::new(disk.clone()), SEGMENT_SIZE_BYTES).expect("opens");
    let sizes_bytes = [GROUP_SIZE_BYTES_MAX - 100, 200, 5 << 20, 1, GROUP_SIZE_BYTES_MAX, 7];
    let entries: Vec<StoredEntry> =
        (1..).zip(sizes_bytes).map(|(index, size_bytes)| entry(1, index, size_bytes)).collect();
    journal.commit(entries.iter().cloned().map(Record::Entry).collect()).expect("commits");
    assert_eq!(journal.next_number, 6, "the first group, and four for these entries");
    assert_eq!(said(&disk).expect("opens").entries, entries);
}

#[test]
fn the_bytes_of_a_group_stay() {
    let mut records = Vec::new();
    let payload = StoredPayload::Command(Bytes::from_static(b"put"));
    let entry = StoredEntry { id: id(2, 7), payload };
    format::push_record(&mut records, 5, &Record::Entry(entry));
    format::push_record(&mut records, 5, &Record::Committed(Some(id(2, 6))));
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let header = "514c473127fe7a9d00000000000000050000001c";
    let (entry, committed) = ("000000071097fe6e020207010370757400", "000003e6c073c804010206");
    assert_eq!(hex(&format::group(5, &records)), format!("{header}{entry}{committed}"));
    assert_eq!(hex(&format::synced_mark(5)), "514c53314ce195a5000000000000000500000000");
}
