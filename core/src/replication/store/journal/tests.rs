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
const SALT: u64 = 0x5a17_0000_0000_5a17;

fn id(election: u64, index: u64) -> LogId {
    LogId { term: Term::new(Generation(0), election), index: LogIndex(index) }
}

fn entry(election: u64, index: u64, size_bytes: usize) -> StoredEntry {
    let text = format!("entry {index} of {election} ");
    let bytes: Vec<u8> = text.bytes().cycle().take(size_bytes).collect();
    StoredEntry { id: id(election, index), payload: StoredPayload::Command(bytes.into()) }
}

fn open(disk: &MemoryDisk) -> Result<(Journal, Tail), StoreError> {
    Journal::open(Arc::new(disk.clone()), SMALL_BYTES, Some(SALT))
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
    CompactFirst { count: u64 },
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
        2 => (1..20_u64).prop_map(|count| Call::CompactFirst { count }),
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
                let last = after.entries.last().map(|entry| entry.id).or(self.opened.compacted);
                after.opened.last = last;
                vec![Record::TruncateAfter(last)]
            }
            Call::CompactFirst { count } => {
                let gone_count = self.entries.len().min(*count as usize);
                let gone: Vec<_> = after.entries.drain(..gone_count).collect();
                let Some(last) = gone.last() else { return (Vec::new(), after) };
                after.opened.compacted = Some(last.id);
                vec![Record::Compact(last.id)]
            }
            Call::InstallSnapshot { ahead } => {
                let upto = id(election, self.last_index() + ahead);
                after.entries.clear();
                (after.opened.compacted, after.opened.last) = (Some(upto), Some(upto));
                vec![Record::Compact(upto)]
            }
        };
        (records, after)
    }
}

/// What a history of calls on a disk came to: what is acknowledged, and what may be there instead.
fn live(disk: &MemoryDisk, before: Said, election: u64, calls: &[Call]) -> (Said, Said) {
    let mut journal = match open(disk) {
        Ok((journal, _)) => journal,
        Err(StoreError::Io { .. }) => return (before.clone(), before),
        Err(damaged) => panic!("{damaged}"),
    };
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
        lives in vec((vec(call(), 1..25), 1..60_u64, any::<u64>(), any::<bool>()), 1..6),
    ) {
        let disk = MemoryDisk::default();
        let mut before = Said::default();
        for (election, (calls, cut_after, mut dice, is_only_killed)) in (1..).zip(lives) {
            open(&disk).expect("opens");
            disk.fail_changes_after(cut_after);
            let (acknowledged, in_flight) = live(&disk, before, election, &calls);
            disk.fail_changes_after(0);
            if !is_only_killed {
                disk.cut_power(|| {
                    dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                    dice >> 63 == 1
                });
            }
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
    let newest = format::groups(SALT, FIRST_NAME, &bytes).pop().expect("a group");
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
fn what_a_failed_sync_left_in_memory_is_durable_once_a_start_has_shown_it() {
    let disk = MemoryDisk::default();
    let (mut journal, _) = open(&disk).expect("opens");
    journal.commit(vec![Record::Entry(entry(1, 1, 900))]).expect("commits");
    disk.fail_changes_after(1); // the write goes well, its sync does not
    journal.commit(vec![Record::Entry(entry(1, 2, 900))]).expect_err("the sync fails");
    disk.fail_changes_after(0);
    disk.forget_unsynced();

    let shown = said(&disk).expect("opens");
    assert_eq!(shown.entries.len(), 2, "the system's memory still has it");
    disk.cut_power(|| false);
    assert_eq!(said(&disk).expect("opens"), shown);
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
fn a_journal_that_is_gone_is_not_begun_anew() {
    for trace in [snapshots::FILE, MARK] {
        let disk = MemoryDisk::default();
        disk.replace(Path::new(trace), b"of an earlier life").expect("writes");
        let refusal = open(&disk).map(drop).expect_err("it is no new node").to_string();
        let expected = "Q1404 log is damaged: its segments are missing, although there is ";
        assert!(refusal.starts_with(&format!("{expected}{trace}")), "{refusal}");
        assert_eq!(files(&disk), Vec::<PathBuf>::new());
    }
    let refused = Journal::open(Arc::new(MemoryDisk::default()), SMALL_BYTES, None);
    let refusal = refused.map(drop).expect_err("who reads makes none").to_string();
    assert!(refusal.starts_with("Q1404 log is damaged: there is none"), "{refusal}");
}

#[test]
fn compacted_segments_are_used_again_and_those_too_many_removed() {
    let disk = MemoryDisk::default();
    let mut journal = filled(&disk);
    let most_count = files(&disk).len();
    journal.commit(vec![Record::Compact(id(1, 38))]).expect("commits");
    assert!(journal.spares().want_tending());
    journal.spares().tend().expect("removes");
    let few_count = files(&disk).len();
    assert!(few_count < most_count, "{few_count} files of {most_count}");
    for index in 41..400 {
        let records = vec![Record::Entry(entry(1, index, 400)), Record::Compact(id(1, index - 5))];
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
    journal.commit(vec![Record::Compact(id(1, 30))]).expect("commits");
    for index in 41..=60 {
        journal.commit(vec![Record::Entry(entry(1, index, 400))]).expect("commits");
    }
    let overwritten = runs.iter().map(Run::read).any(|read| read.is_err());
    assert!(overwritten, "what was compacted is another segment now, and its checksum tells");
    let indexes: Vec<u64> =
        reader.read(1, 41).expect("reads").iter().map(|entry| entry.id.index.0).collect();
    assert_eq!(indexes, (31..41).collect::<Vec<_>>());
}

#[test]
fn large_writes_are_cut_into_groups_and_large_entries_have_room() {
    let disk = MemoryDisk::default();
    let opened = Journal::open(Arc::new(disk.clone()), SEGMENT_SIZE_BYTES, Some(SALT));
    let (mut journal, _) = opened.expect("opens");
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
    let spot = Spot { salt: SALT, segment: 3, offset: 64 };
    let header = "514c473181139e5d5a17000000005a1700000000000000050000001cc0650759";
    let (entry, committed) = ("000000071097fe6e020207010370757400", "000003e6c073c804010206");
    let filling = "00000000";
    let expected = format!("{header}{entry}{committed}{filling}");
    assert_eq!(hex(&format::group(spot, 5, &records)), expected);
    assert_eq!(
        hex(&format::synced_mark(SALT, 5)),
        "514c53314ae16b3d5a17000000005a1700000000000000050000000000000000"
    );
}

/// A group of two entries of this election, always of the same size.
fn group_of_two(election: u64, spot: Spot, number: u64) -> Vec<u8> {
    let mut records = Vec::new();
    for index in [5, 6] {
        format::push_record(&mut records, number, &Record::Entry(entry(election, index, 40)));
    }
    format::group(spot, number, &records)
}

#[test]
fn parts_of_two_groups_are_none() {
    let spot = Spot { salt: SALT, segment: 1, offset: 0 };
    let (one, other) = (group_of_two(1, spot, 9), group_of_two(2, spot, 9));
    assert_eq!(one.len(), other.len());
    for border in 0..=one.len() {
        let mixed = [&one[..border], &other[border..]].concat();
        let is_one_of_them = mixed == one || mixed == other;
        let found = format::groups(SALT, 1, &mixed);
        assert_eq!(found.len(), usize::from(is_one_of_them), "up to byte {border}");
    }
}

#[test]
fn a_group_counts_only_where_it_was_written_and_in_its_journal() {
    let spot = Spot { salt: SALT, segment: 1, offset: 8 };
    let group = group_of_two(1, spot, 9);
    let at = |offset: usize| [vec![0; offset], group.clone()].concat();
    assert_eq!(format::groups(SALT, 1, &at(8)).len(), 1);
    assert_eq!(format::groups(SALT, 1, &at(16)), []);
    assert_eq!(format::groups(SALT, 2, &at(8)), []);
    assert_eq!(format::groups(SALT + 1, 1, &at(8)), []);
}

/// Groups as a client might send them, who knows everything but the salt, at every place.
fn forged(salt: u64, number: u64, size_bytes: usize) -> Vec<u8> {
    let carried = Carried { floor: number, ..Carried::default() };
    let mut records = Vec::new();
    format::push_record(&mut records, number, &Record::Carried(carried));
    let mut bytes = Vec::new();
    while bytes.len() < size_bytes {
        let spot = Spot { salt, segment: 2, offset: bytes.len() };
        bytes.extend(format::group(spot, number, &records));
    }
    bytes
}

#[test]
fn what_a_client_stores_is_never_taken_for_a_group() {
    let disk = MemoryDisk::default();
    let (mut journal, _) = open(&disk).expect("opens");
    let vote = StoredVote { term: id(3, 0).term, node: NodeId(1), committed: false };
    journal.commit(vec![Record::Vote(vote)]).expect("commits");
    let own_segment = disk.read(&segments::path(FIRST_NAME)).expect("reads").expect("is there");
    for (index, value) in (1..).zip([forged(0, 1 << 62, 3_000), own_segment]) {
        let payload = StoredPayload::Command(value.into());
        let entry = StoredEntry { id: id(1, index), payload };
        journal.commit(vec![Record::Entry(entry)]).expect("commits");
    }
    // Their segments are used again by groups that end in the middle of these values.
    journal.commit(vec![Record::Compact(id(1, 2))]).expect("commits");
    for index in 3..=9 {
        journal.commit(vec![Record::Entry(entry(1, index, 700))]).expect("commits");
    }
    journal.commit(vec![Record::Compact(id(1, 8))]).expect("commits");
    for index in 10..=14 {
        journal.commit(vec![Record::Entry(entry(1, index, 700))]).expect("commits");
        let said = said(&disk).expect("opens");
        assert_eq!((said.opened.vote, said.opened.last), (Some(vote), Some(id(1, index))));
    }
}

#[test]
fn a_reader_follows_a_truncation_and_tells_of_damage() {
    let disk = MemoryDisk::default();
    let mut journal = filled(&disk);
    let reader = journal.reader();
    journal.commit(vec![Record::TruncateAfter(Some(id(1, 38)))]).expect("commits");
    journal.commit(vec![Record::Entry(entry(2, 39, 400))]).expect("commits");
    let newest = reader.read(38, u64::MAX).expect("reads");
    assert_eq!(newest, [entry(1, 38, 400), entry(2, 39, 400)]);

    let path = segments::path(FIRST_NAME).to_string_lossy().into_owned();
    let needle = b"entry 2 of 1";
    disk.damage(&path, |bytes| {
        let at = bytes.windows(needle.len()).position(|window| window == needle);
        bytes[at.expect("the record is in the file")] ^= 1;
    });
    let refused = reader.read(1, 5).expect_err("damaged").to_string();
    assert_eq!(refused, "entry 2: a checksum that does not hold");
}

#[test]
fn records_that_contradict_each_other_are_refused() {
    let two = |first: Record, second: Record| {
        let carried = Record::Carried(Carried { floor: 1, ..Carried::default() });
        let mut bytes = Vec::new();
        for (number, record) in (1..).zip([carried, first, second]) {
            let mut records = Vec::new();
            format::push_record(&mut records, number, &record);
            let spot = Spot { salt: SALT, segment: FIRST_NAME, offset: bytes.len() };
            bytes.extend(format::group(spot, number, &records));
        }
        let disk = MemoryDisk::default();
        disk.replace(&segments::path(FIRST_NAME), &bytes).expect("writes");
        said(&disk).map_err(|refusal| refusal.to_string())
    };
    let at = |index| Record::Entry(entry(1, index, 9));
    assert_eq!(two(at(1), at(2)).expect("opens").entries.len(), 2);
    for (first, second, detail) in [
        (at(1), at(1), "entry 1 stands where entry 2 should"),
        (at(1), at(3), "entry 3 stands where entry 2 should"),
        (at(3), at(4), "entries 1 to 2 are missing"),
    ] {
        let refusal = two(first, second).expect_err(detail);
        let expected = format!("Q1404 log/0001.segment is damaged: {detail}");
        assert!(refusal.starts_with(&expected), "{refusal}");
    }
}

#[test]
fn a_disk_that_is_full_is_not_asked_for_a_spare_again_and_again() {
    let disk = MemoryDisk::default();
    let (mut journal, _) = open(&disk).expect("opens");
    let spares = journal.spares();
    assert!(spares.want_tending());
    disk.set_full(true);
    spares.tend().expect_err("no room");
    assert!(!spares.want_tending(), "not before the next segment is begun");
    disk.set_full(false);
    for index in 1..=5 {
        journal.commit(vec![Record::Entry(entry(1, index, 900))]).expect("commits");
    }
    assert!(spares.want_tending());
}
