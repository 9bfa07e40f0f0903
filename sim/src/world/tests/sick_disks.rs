//! Disks that fail, lie, fill up or stall, and the view of what is durable.
//!
//! Read next: `disk/image.rs`, `faults/disks.rs`.

use std::path::Path;
use std::sync::Arc;

use quorate_core::ports::{Blocks, Disk, OpenHow};

use super::*;

const LOG: &str = "data/log";

/// A machine on which nothing runs of itself, and the tests act as its process.
fn idle(seed: u64) -> (World, MachineId) {
    let world = World::new(seed);
    let id = world.machine("n1", ip(1), boot(|_| async {}));
    world.start(id);
    (world, id)
}

/// Does something as the machine's process, with its disk.
fn on_disk(world: &World, id: MachineId, act: impl FnOnce(&dyn Disk) + 'static) {
    world.spawn(id, |env| async move { act(&*env.disk) });
    world.run_for(1);
}

fn open(disk: &dyn Disk) -> Box<dyn Blocks> {
    disk.open(Path::new(LOG), OpenHow::CreateIfMissing).unwrap()
}

/// What the file holds for whoever looks, and what it holds durably.
fn seen_and_synced(world: &World, id: MachineId) -> (Vec<u8>, Vec<u8>) {
    let read = |disk: Arc<dyn Disk>| disk.read(Path::new(LOG)).unwrap().unwrap_or_default();
    (read(world.disk(id)), read(world.synced_disk(id)))
}

#[test]
fn the_synced_view_shows_what_a_power_cut_leaves_for_certain() {
    run_isolated(|| {
        let (world, id) = idle(1);
        on_disk(&world, id, |disk| {
            let file = open(disk);
            file.write_at(0, b"synced").unwrap();
            file.sync_data().unwrap();
            file.write_at(0, b"UN").unwrap();
            file.write_at(6, b"more").unwrap();
        });
        // `disk` makes durable what it reads, as every look through the port does: it comes last.
        let synced = world.synced_disk(id);
        assert_eq!(synced.read(Path::new(LOG)).unwrap().unwrap(), b"synced");
        assert_eq!(synced.list(Path::new("data")).unwrap(), [Path::new(LOG)]);
        let file = synced.open(Path::new(LOG), OpenHow::Existing).unwrap();
        assert_eq!(file.len().unwrap(), 6);
        assert!(file.write_at(0, b"x").is_err() && synced.remove(Path::new(LOG)).is_err());
        assert_eq!(world.synced_files(id), [Path::new(LOG)]);
        assert_eq!(world.disk_used_bytes(id), 10);

        world.cut_power(id);
        // What luck kept is on the disk, and durable as all that is there.
        let (seen, synced) = seen_and_synced(&world, id);
        assert_eq!(seen, synced);
        assert!(seen.len() >= 6, "{seen:?}");
    });
}

#[test]
fn the_synced_view_never_shows_more_than_a_power_cut_leaves() {
    for seed in 0..40 {
        run_isolated(move || {
            let (world, id) = idle(seed);
            let dice = crate::choices::Choices::of(seed).site("test.operation", 0);
            on_disk(&world, id, move |disk| {
                for number in 0..30 {
                    let path = format!("data/{}", dice.between(1, 3));
                    let path = Path::new(&path);
                    let Ok(file) = disk.open(path, OpenHow::CreateIfMissing) else { continue };
                    file.write_at(dice.between(0, 2_000), &[number; 700]).unwrap();
                    match dice.between(0, 5) {
                        0 => file.sync_data().unwrap(),
                        1 => file.set_len(dice.between(0, 1_500)).unwrap(),
                        2 => disk.rename(path, Path::new("data/renamed")).unwrap(),
                        3 => disk.replace(path, &[number; 50]).unwrap(),
                        4 => disk.remove(path).unwrap(),
                        _ => {}
                    }
                }
            });
            let synced = world.synced_disk(id);
            let before: Vec<_> = world.synced_files(id);
            let held: Vec<_> = before.iter().map(|path| synced.read(path).unwrap()).collect();
            // Two looks at once: a process crash keeps every write, so what differs was not synced.
            world.cut_power(id);
            assert_eq!(world.synced_files(id), before, "names came or went");
            for (path, held) in before.iter().zip(held) {
                let left = world.disk(id).read(path).unwrap();
                let (held, left) = (held.unwrap(), left.unwrap());
                let survives = |at: usize| left.get(at).is_some();
                assert!((0..held.len()).all(survives), "{path:?} became shorter");
            }
        });
    }
}

#[test]
fn a_failed_sync_loses_what_was_written_and_the_next_one_says_ok() {
    run_isolated(|| {
        let (world, id) = idle(1);
        on_disk(&world, id, |disk| {
            let file = open(disk);
            file.write_at(0, b"good").unwrap();
            file.sync_data().unwrap();
        });
        world.set_syncs_fail(id, true);
        on_disk(&world, id, |disk| {
            let file = disk.open(Path::new(LOG), OpenHow::Existing);
            assert_eq!(file.unwrap_err().raw_os_error(), Some(5), "to open is to sync");
        });
        world.set_syncs_fail(id, false);
        world.fail_sync_at(id, 3); // the next two are those of opening a file and its folder
        on_disk(&world, id, |disk| {
            let file = disk.open(Path::new(LOG), OpenHow::Existing).unwrap();
            file.write_at(2, b"unlucky").unwrap();
            assert_eq!(file.sync_data().unwrap_err().raw_os_error(), Some(5));
            assert!(file.sync_data().is_err(), "the handle is of no use any more");
            let again = disk.open(Path::new(LOG), OpenHow::Existing).unwrap();
            again.sync_data().unwrap();
            assert_eq!(again.len().unwrap(), 4, "the next sync is fine, and the bytes are gone");
        });
        assert_eq!(seen_and_synced(&world, id), (b"good".to_vec(), b"good".to_vec()));
    });
}

#[test]
fn a_lying_disk_bites_at_a_power_cut_and_only_then() {
    for cuts_power in [false, true] {
        run_isolated(move || {
            let (world, id) = idle(3);
            world.set_syncs_lie(id, true);
            on_disk(&world, id, |disk| {
                let file = open(disk);
                file.write_at(0, b"acknowledged").unwrap();
                file.sync_data().unwrap();
            });
            assert_eq!(world.synced_disk(id).read(Path::new(LOG)).unwrap(), None);
            if cuts_power {
                world.cut_power(id);
            }
            world.set_syncs_lie(id, false);
            let left = world.disk(id).read(Path::new(LOG)).unwrap();
            assert_eq!(left.is_none(), cuts_power, "{left:?}");
            assert_eq!(world.has_forgotten(id), cuts_power);
            let synced = world.synced_disk(id).read(Path::new(LOG)).unwrap();
            assert_eq!(synced, left, "once it is honest it does what it said");
        });
    }
}

#[test]
fn a_disk_fills_up_by_itself_takes_what_needs_no_room_and_recovers() {
    run_isolated(|| {
        let (world, id) = idle(1);
        world.set_disk_capacity(id, Some(1_000));
        on_disk(&world, id, |disk| {
            let file = open(disk);
            file.write_at(0, &[1; 900]).unwrap();
            let full = file.write_at(900, &[1; 101]).unwrap_err().kind();
            assert_eq!(full, std::io::ErrorKind::StorageFull);
            file.write_at(100, &[2; 800]).unwrap();
            file.sync_data().unwrap();
            assert!(disk.replace(Path::new("vote"), &[3; 200]).is_err());
            assert!(file.set_len(2_000).is_err());
        });
        world.set_disk_capacity(id, None);
        on_disk(&world, id, |disk| disk.replace(Path::new("vote"), &[3; 200]).unwrap());
        assert_eq!(world.disk(id).read(Path::new("vote")).unwrap(), Some(vec![3; 200]));
    });
}

#[test]
fn some_jobs_stall_and_the_run_repeats() {
    let run = |share: f64| {
        run_isolated(move || {
            let world = World::new(5);
            let journal = Journal::default();
            let told = journal.clone();
            let main = move |env: Env| {
                let told = told.clone();
                async move {
                    let lane = env.disk.lane("log");
                    loop {
                        lane.run(Box::new(|| Ok(()))).await.unwrap();
                        told.write("done");
                    }
                }
            };
            let id = world.machine("n1", ip(1), boot(main));
            world.start(id);
            world.set_disk_stalls(id, share, 2_000);
            world.run_for(20_000);
            let lines = journal.0.borrow();
            let longest_ms = lines.windows(2).map(|two| two[1].0 - two[0].0).max().unwrap();
            (world.event_hash(), lines.len(), longest_ms)
        })
    };
    let stalled = run(0.01);
    assert_eq!(run(0.01), stalled);
    assert!((200..=4_002).contains(&stalled.2), "{stalled:?}");
    assert!(run(0.0).2 <= 2 && run(0.0).1 > stalled.1);
}
