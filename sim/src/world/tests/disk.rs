//! What a disk keeps, and what it forgets.
//!
//! Read next: `disk.rs` beside the parent of this file.

use std::cell::Cell;
use std::io;
use std::path::Path;

use quorate_core::ports::{Disk, OpenHow};

use super::*;

/// Runs `write` once on a machine, cuts its power, and hands its disk to `check`.
fn after_a_power_cut(
    seed: u64,
    write: fn(&dyn Disk) -> io::Result<()>,
    check: impl FnOnce(&dyn Disk) + Send + 'static,
) {
    run_isolated(move || {
        let world = World::new(seed);
        let id = world.machine(
            "n1",
            ip(1),
            boot(move |env: Env| async move { write(&*env.disk).expect("the disk works") }),
        );
        world.start(id);
        world.run_for(10);
        world.cut_power(id);
        check(&*world.disk(id));
    });
}

#[test]
fn what_was_synced_survives_and_what_was_not_may_be_lost_or_torn() {
    let (mut kept_count, mut lost_count, mut torn_count) = (0, 0, 0);
    for seed in 0..40 {
        let (sent, outcome) = std::sync::mpsc::channel();
        let write = |disk: &dyn Disk| {
            let file = disk.open(Path::new("data/log"), OpenHow::CreateIfMissing)?;
            file.write_at(0, &[1; 4_096])?;
            file.sync_data()?;
            file.write_at(4_096, &[2; 4_096])
        };
        after_a_power_cut(seed, write, move |disk| {
            let bytes = disk.read(Path::new("data/log")).unwrap().expect("its folder was synced");
            assert_eq!(bytes[..4_096], [1; 4_096], "synced bytes changed");
            assert!(bytes[4_096..].iter().all(|byte| *byte == 2));
            sent.send(bytes.len()).unwrap();
        });
        match outcome.recv().unwrap() {
            4_096 => lost_count += 1,
            8_192 => kept_count += 1,
            _ => torn_count += 1,
        }
    }
    assert!(
        kept_count > 0 && lost_count > 0 && torn_count > 0,
        "{kept_count} {lost_count} {torn_count}"
    );
}

#[test]
fn a_replaced_or_renamed_file_is_the_new_one_after_a_power_cut() {
    let write = |disk: &dyn Disk| {
        disk.replace(Path::new("vote"), b"old")?;
        disk.replace(Path::new("vote"), b"new")?;
        disk.replace(Path::new("snapshot.part"), b"bytes")?;
        disk.rename(Path::new("snapshot.part"), Path::new("snapshots/7"))
    };
    after_a_power_cut(1, write, |disk| {
        assert_eq!(disk.read(Path::new("vote")).unwrap().unwrap(), b"new");
        assert_eq!(disk.read(Path::new("snapshots/7")).unwrap().unwrap(), b"bytes");
        assert_eq!(disk.read(Path::new("snapshot.part")).unwrap(), None);
        assert_eq!(disk.list(Path::new("")).unwrap(), [Path::new("vote")]);
        assert_eq!(disk.list(Path::new("snapshots")).unwrap(), [Path::new("snapshots/7")]);
        assert!(disk.list(Path::new("nowhere")).unwrap().is_empty());
        assert!(disk.read(Path::new("../vote")).is_err(), "left the data directory");
    });
}

#[test]
fn a_file_whose_folder_was_not_synced_is_gone_after_a_power_cut() {
    // Through the port every new name is durable; the disk below must be stricter than the port,
    // or the port's syncs would prove nothing.
    let fs = turmoil_fs::Fs::builder().block_size(512).build();
    let _entered = fs.enter();
    let file = turmoil_fs::shim::std::fs::File::create("/new").unwrap();
    file.sync_all().unwrap();
    fs.crash();
    assert!(!turmoil_fs::shim::std::fs::exists("/new"));
}

#[test]
fn a_crash_of_the_process_keeps_what_was_written_without_a_sync() {
    run_isolated(|| {
        let world = World::new(1);
        let id = world.machine(
            "n1",
            ip(1),
            boot(|env: Env| async move {
                let path = Path::new("log");
                let file = env.disk.open(path, OpenHow::CreateIfMissing).unwrap();
                file.write_at(0, b"written").unwrap();
                sleep_ms(1_000).await;
            }),
        );
        world.start(id);
        world.run_for(10);
        world.crash(id);
        assert_eq!(world.disk(id).read(Path::new("log")).unwrap().unwrap(), b"written");
    });
}

/// Writes numbered records, each acknowledged in the journal after its sync, over and over.
async fn write_records(env: Env, journal: Journal) {
    let file = env.disk.open(Path::new("log"), OpenHow::CreateIfMissing).expect("the disk works");
    let file: std::sync::Arc<dyn quorate_core::ports::Blocks> = file.into();
    let lane = env.disk.lane("log");
    for record in 1..=100_u64 {
        let file = file.clone();
        let job = move || {
            file.write_at((record - 1) * 8, &record.to_le_bytes())?;
            file.sync_data()
        };
        if lane.run(Box::new(job)).await.is_err() {
            return;
        }
        journal.write(format!("{record}"));
    }
}

#[test]
fn power_fails_at_the_planned_operation_and_no_acknowledged_record_is_missing() {
    for k in 1..=40 {
        run_isolated(move || {
            let world = World::new(k);
            let journal = Journal::default();
            let told = journal.clone();
            let main = move |env| write_records(env, told.clone());
            let id = world.machine("n1", ip(1), boot(main));
            world.start(id);
            world.cut_power_at_disk_operation(id, k);
            world.run_for(1_000);

            assert!(!world.is_running(id), "the power did not fail");
            assert_eq!(world.disk_operations_count(id), k);
            let acked_count = journal.0.borrow().len();
            // Two operations make the file, two each record.
            assert_eq!(acked_count as u64, k.saturating_sub(3) / 2);
            let bytes = world.disk(id).read(Path::new("log")).unwrap().unwrap_or_default();
            for record in 1..=acked_count {
                let stored = &bytes[(record - 1) * 8..record * 8];
                assert_eq!(stored, (record as u64).to_le_bytes(), "acknowledged, then lost");
            }

            journal.0.borrow_mut().clear();
            world.start(id);
            world.run_for(1_000);
            assert_eq!(journal.count("100"), 1, "the machine does not come back");
        });
    }
}

#[test]
fn a_handle_of_a_dead_process_reaches_neither_disk_nor_network() {
    /// Writes and sends in its destructor, as a clean shutdown would.
    struct Farewell(Env, std::sync::Arc<dyn quorate_core::ports::Datagrams>);

    impl Drop for Farewell {
        fn drop(&mut self) {
            let _ = self.0.disk.replace(Path::new("farewell"), b"bye");
            let _ = self.1.try_send_to(b"bye", at(2));
        }
    }

    run_isolated(|| {
        let world = World::new(1);
        let journal = Journal::default();
        let told = journal.clone();
        let dying = world.machine(
            "n1",
            ip(1),
            boot(|env: Env| async move {
                let socket = env.net.datagrams(at(1)).await.unwrap();
                let farewell = Farewell(env, socket);
                sleep_ms(1_000_000).await;
                drop(farewell);
            }),
        );
        let hearing = world.machine(
            "n2",
            ip(2),
            boot(move |env: Env| {
                let told = told.clone();
                async move {
                    let socket = env.net.datagrams(at(2)).await.unwrap();
                    let mut buffer = [0; 16];
                    socket.recv_from(&mut buffer).await.unwrap();
                    told.write("heard");
                }
            }),
        );
        world.start(hearing);
        world.start(dying);
        world.run_for(10);
        world.crash(dying);
        world.run_for(10);
        world.start(dying);
        world.run_for(10);
        world.cut_power(dying);
        world.run_for(100);
        assert_eq!(world.disk(dying).read(Path::new("farewell")).unwrap(), None);
        assert_eq!(journal.count("heard"), 0, "a destructor was heard");
    });
}

#[test]
fn a_full_disk_a_failing_sync_and_a_rotten_byte_are_seen() {
    thread_local! {
        static ERRORS: Cell<Option<(io::ErrorKind, Option<i32>)>> = const { Cell::new(None) };
    }
    run_isolated(|| {
        let world = World::new(1);
        let id = world.machine(
            "n1",
            ip(1),
            boot(|env: Env| async move {
                let file = env.disk.open(Path::new("log"), OpenHow::CreateIfMissing).unwrap();
                file.write_at(0, b"abc").unwrap();
                file.sync_data().unwrap();
                sleep_ms(100).await;
                let full = file.write_at(3, b"d").unwrap_err().kind();
                let sync = file.sync_data().unwrap_err().raw_os_error();
                assert!(file.read_at(0, &mut [0]).is_err(), "a failed sync was forgotten");
                ERRORS.set(Some((full, sync)));
            }),
        );
        world.start(id);
        world.run_for(50);
        world.set_disk_full(id, true);
        world.set_syncs_fail(id, true);
        world.rot_byte(id, Path::new("log"), 1, 0x20);
        world.run_for(100);
        assert_eq!(ERRORS.get(), Some((io::ErrorKind::StorageFull, Some(5))));
        assert_eq!(world.disk(id).read(Path::new("log")).unwrap().unwrap(), b"aBc");
    });
}
