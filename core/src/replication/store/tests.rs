//! The life of a log and of snapshots, over a disk in memory.

use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;

use bytes::Bytes;
use tokio::task::LocalSet;

use super::*;
use crate::ids::Generation;
use crate::ports::testing::MemoryDisk;

fn id(election: u64, index: u64) -> LogId {
    LogId { term: Term::new(Generation(0), election), index: LogIndex(index) }
}

fn entry(election: u64, index: u64) -> StoredEntry {
    let payload = StoredPayload::Command(Bytes::from(format!("entry {index}")));
    StoredEntry { id: id(election, index), payload }
}

/// Runs a test in a `LocalSet`, as a node does.
fn local<T>(test: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    LocalSet::new().block_on(&runtime, test)
}

/// A completion, and the wait for it.
fn done() -> (Done, impl Future<Output = io::Result<()>>) {
    let (sender, receiver) = tokio::sync::oneshot::channel();
    (
        Box::new(move |result| drop(sender.send(result))),
        async move { receiver.await.expect("told") },
    )
}

async fn append(log: &LogStore, entries: Vec<StoredEntry>) {
    let (told, durable) = done();
    log.append(entries, told);
    durable.await.expect("durable");
}

async fn reopen(disk: &MemoryDisk) -> Result<LogStore, StoreError> {
    LogStore::open(Arc::new(disk.clone()), 7).await
}

/// Lets the writer end, as by an ordinary stop.
async fn close(log: LogStore) {
    drop(log);
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
}

#[test]
fn what_was_reported_durable_is_there_after_a_restart() {
    local(async {
        let disk = MemoryDisk::default();
        let log = reopen(&disk).await.expect("opens");
        append(&log, vec![entry(1, 1), entry(1, 2), entry(2, 3)]).await;
        let vote = StoredVote { term: id(2, 0).term, node: NodeId(3), committed: true };
        let (told, durable) = done();
        log.save_committed(Some(id(1, 2))); // durable with the next write
        log.save_vote(vote, told);
        durable.await.expect("durable");

        let log = reopen(&disk).await.expect("opens again");
        let state = log.state();
        assert_eq!(state.vote, Some(vote));
        assert_eq!(state.committed, Some(id(1, 2)));
        assert_eq!((state.compacted, state.last), (None, Some(id(2, 3))));
        assert_eq!(log.read(2, 9).await.expect("reads"), [entry(1, 2), entry(2, 3)]);
    });
}

#[test]
fn entries_are_readable_before_they_are_durable_and_gone_once_truncated() {
    local(async {
        let disk = MemoryDisk::default();
        let log = reopen(&disk).await.expect("opens");
        log.append(vec![entry(1, 1), entry(1, 2)], Box::new(|_| ()));
        assert_eq!(log.read(1, 3).await.expect("reads").len(), 2);
        log.truncate_after(Some(id(1, 1)), Box::new(|_| ()));
        assert_eq!(log.read(1, 3).await.expect("reads"), [entry(1, 1)]);
        append(&log, vec![entry(2, 2)]).await; // another leader's entry takes the place
        let log = reopen(&disk).await.expect("opens again");
        assert_eq!(log.read(1, 9).await.expect("reads"), [entry(1, 1), entry(2, 2)]);
    });
}

#[test]
fn a_compacted_log_begins_after_what_the_snapshot_covers() {
    local(async {
        let disk = MemoryDisk::default();
        let log = reopen(&disk).await.expect("opens");
        append(&log, (1..=5).map(|index| entry(1, index)).collect()).await;
        let (told, durable) = done();
        log.compact(id(1, 3), told);
        durable.await.expect("durable");

        let log = reopen(&disk).await.expect("opens again");
        assert_eq!(log.state().compacted, Some(id(1, 3)));
        assert_eq!(log.read(1, 9).await.expect("reads"), [entry(1, 4), entry(1, 5)]);

        let (told, durable) = done();
        log.compact(id(1, 9), told); // a snapshot from the leader covers more than the log held
        durable.await.expect("durable");
        let log = reopen(&disk).await.expect("opens again");
        assert_eq!((log.state().compacted, log.state().last), (Some(id(1, 9)), Some(id(1, 9))));
    });
}

#[test]
fn a_truncated_entry_is_not_read_from_the_disk_while_it_is_still_there() {
    local(async {
        let large = |index| StoredEntry {
            id: id(1, index),
            payload: StoredPayload::Command(Bytes::from(vec![0; 1 << 20])),
        };
        let log = reopen(&MemoryDisk::default()).await.expect("opens");
        append(&log, (1..=30).map(large).collect()).await;
        log.truncate_after(Some(id(1, 5)), Box::new(|_| ())); // the writer has not run yet
        let entries = log.read(1, u64::MAX).await.expect("reads");
        assert_eq!(entries.last().map(|entry| entry.id), Some(id(1, 5)));
    });
}

#[test]
fn a_log_that_begins_behind_its_snapshot_is_refused() {
    local(async {
        let log = reopen(&MemoryDisk::default()).await.expect("opens");
        check_fits(&log, LogIndex(0)).expect("a new log begins with entry 1");
        let (told, durable) = done();
        log.compact(id(1, 9), told);
        durable.await.expect("durable");
        check_fits(&log, LogIndex(9)).expect("they meet");
        let refusal = check_fits(&log, LogIndex(6)).expect_err("a gap").to_string();
        let expected =
            "Q1404 state.redb is damaged: entries 7 to 9 are neither in it nor in the log";
        assert!(refusal.starts_with(expected), "{refusal}");
    });
}

#[test]
fn entries_older_than_the_memory_are_read_from_the_disk() {
    local(async {
        let disk = MemoryDisk::default();
        let log = reopen(&disk).await.expect("opens");
        for first in (1..=10_000).step_by(1_000) {
            append(&log, (first..first + 1_000).map(|index| entry(1, index)).collect()).await;
        }
        let entries = log.read(1, 10_001).await.expect("reads");
        let indexes: Vec<u64> = entries.iter().map(|entry| entry.id.index.0).collect();
        assert_eq!(indexes, (1..=10_000).collect::<Vec<_>>());
    });
}

#[test]
fn a_damaged_record_is_refused_with_its_code_and_nothing_is_changed() {
    local(async {
        let disk = MemoryDisk::default();
        let log = reopen(&disk).await.expect("opens");
        append(&log, vec![entry(1, 1), entry(1, 2)]).await;
        close(log).await;
        let needle = b"entry 2";
        disk.damage("log/0001.segment", |bytes| {
            let at = bytes.windows(needle.len()).position(|window| window == needle);
            bytes[at.expect("the record is in the file")] ^= 1;
        });
        let refusal = reopen(&disk).await.expect_err("damaged").to_string();
        let expected =
            "Q1404 log/0001.segment is damaged: group 2 of its records is missing or not";
        assert!(refusal.starts_with(expected), "{refusal}");
        assert!(refusal.contains("nothing was changed"), "{refusal}");
    });
}

#[test]
fn a_file_that_is_something_else_is_an_error_and_not_a_panic() {
    local(async {
        let disk = MemoryDisk::default();
        close(reopen(&disk).await.expect("opens")).await;
        let opened = SnapshotStore::open(Arc::new(disk.clone())).await;
        drop(opened.expect("opens"));
        for path in ["state.redb", "log/0001.segment"] {
            disk.damage(path, |bytes| bytes.iter_mut().for_each(|byte| *byte ^= 0x5a));
        }
        let log = reopen(&disk).await.expect_err("damaged").to_string();
        assert!(log.starts_with("Q1404 log is damaged: nothing in it is readable"), "{log}");
        let snapshots = SnapshotStore::open(Arc::new(disk)).await.expect_err("damaged").to_string();
        assert!(snapshots.starts_with("Q1404 state.redb is damaged"), "{snapshots}");
    });
}

#[test]
fn the_newest_snapshot_replaces_the_one_before_and_comes_back_whole() {
    local(async {
        let disk = MemoryDisk::default();
        let snapshots = SnapshotStore::open(Arc::new(disk.clone())).await.expect("opens");
        assert!(snapshots.newest().await.expect("reads").is_none());
        let nodes = BTreeSet::from([NodeId(1), NodeId(2)]);
        let meta = |index| SnapshotMeta {
            last: Some(id(1, index)),
            voters: StoredVoters { sets: vec![nodes.clone()], nodes: nodes.clone() },
            voters_at: Some(id(1, 1)),
        };
        let large = Bytes::from(vec![7; 1_000_000]);
        let small = Bytes::from_static(b"small");
        for (index, bytes) in [(5, large.clone()), (9, small.clone())] {
            let kept = bytes.clone();
            let saved = snapshots.save(meta(index), move || kept).await.expect("saves");
            assert_eq!(saved, bytes);
            let again = SnapshotStore::open(Arc::new(disk.clone())).await.expect("opens");
            assert_eq!(again.newest().await.expect("reads"), Some((meta(index), bytes)));
        }
    });
}

#[test]
fn a_failed_write_fails_everything_after_it() {
    local(async {
        let disk = MemoryDisk::default();
        let log = reopen(&disk).await.expect("opens");
        append(&log, vec![entry(1, 1)]).await;
        disk.fail_changes_after(1); // the write goes well, its sync does not
        let (told, durable) = done();
        log.append(vec![entry(1, 2)], told);
        assert!(durable.await.is_err(), "entry 2 is not durable");
        disk.fail_changes_after(0);
        for index in 3..=5 {
            let (told, durable) = done();
            log.append(vec![entry(1, index)], told);
            assert!(durable.await.is_err(), "entry {index} is not durable");
        }
    });
}

#[test]
fn a_full_disk_is_no_damaged_store() {
    local(async {
        let disk = MemoryDisk::default();
        disk.set_full(true);
        let refused = reopen(&disk).await.expect_err("a new node's log takes space");
        let text = refused.to_string();
        assert!(text.starts_with("Q1403 log cannot be opened: No space left"), "{text}");

        disk.set_full(false);
        let log = reopen(&disk).await.expect("opens, once there is room");
        append(&log, vec![entry(1, 1)]).await;
        close(log).await;

        disk.set_full(true);
        let refused = reopen(&disk).await.expect_err("the opening of a log writes");
        let text = refused.to_string();
        let expected = "Q1403 log/0001.segment cannot be opened: No space left";
        assert!(text.starts_with(expected), "{text}");

        disk.set_full(false);
        let log = reopen(&disk).await.expect("opens, once there is room");
        assert_eq!(log.state().last, Some(id(1, 1)));
    });
}

/// What is said when reads fail from the last one of an undisturbed opening on, then from earlier
/// ones, about 50 in all.
async fn failing_reads<T, Opening>(
    disk: &MemoryDisk,
    open: impl Fn(MemoryDisk) -> Opening,
) -> Vec<String>
where
    Opening: Future<Output = Result<T, StoreError>>,
{
    disk.fail_reads_after(0);
    open(disk.clone()).await.map(drop).expect("an undisturbed disk");
    let whole_count = disk.reads_count();
    let mut refusals = Vec::new();
    for count in (1..whole_count).rev().step_by(1 + whole_count as usize / 50) {
        disk.fail_reads_after(count);
        let refusal = open(disk.clone()).await.map(drop).expect_err("a read failed");
        refusals.push(refusal.to_string());
    }
    disk.fail_reads_after(0);
    open(disk.clone()).await.map(drop).expect("nothing was changed");
    refusals
}

#[test]
fn a_sector_that_cannot_be_read_is_no_damaged_record() {
    local(async {
        let disk = MemoryDisk::default();
        let log = reopen(&disk).await.expect("opens");
        append(&log, (1..=200).map(|index| entry(1, index)).collect()).await;
        close(log).await;
        let snapshots = SnapshotStore::open(Arc::new(disk.clone())).await.expect("opens");
        let bytes = Bytes::from(vec![7; 8_000_000]); // more than redb keeps in memory
        snapshots.save(SnapshotMeta::default(), move || bytes).await.expect("saves");
        drop(snapshots);

        let of_log = failing_reads(&disk, |disk| async move { reopen(&disk).await }).await;
        let of_snapshot = failing_reads(&disk, |disk| async move {
            SnapshotStore::open(Arc::new(disk)).await?.newest().await
        });
        for (file, refusals) in [("log/", of_log), ("state.redb", of_snapshot.await)] {
            let while_reading = " cannot be opened: its records cannot be read: Input/output error";
            assert!(refusals.iter().any(|text| text.contains(while_reading)), "{refusals:#?}");
            for refusal in refusals {
                assert!(refusal.starts_with(&format!("Q1403 {file}")), "{refusal}");
            }
        }
    });
}
