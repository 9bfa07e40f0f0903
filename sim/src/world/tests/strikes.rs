//! Machines that die in the middle of something, or hardly get on.
//!
//! Read next: `disk/state.rs`, `machine.rs`.

use super::*;
use std::path::Path;

/// Sends numbered datagrams to machine 2 as fast as it is polled, after each a write to its disk.
fn sender_and_receiver(seed: u64) -> (World, MachineId, Journal) {
    let world = World::new(seed);
    let journal = Journal::default();
    let told = journal.clone();
    let sender = world.machine(
        "n1",
        ip(1),
        boot(|env: Env| async move {
            let socket = env.net.datagrams(at(1)).await.unwrap();
            for number in 1..=20_u8 {
                if env.disk.replace(Path::new("sent"), &[number]).is_err() {
                    return;
                }
                socket.try_send_to(&[number], at(2)).unwrap();
                sleep_ms(10).await;
            }
        }),
    );
    let receiver = world.machine(
        "n2",
        ip(2),
        boot(move |env: Env| {
            let told = told.clone();
            async move {
                let socket = env.net.datagrams(at(2)).await.unwrap();
                let mut buffer = [0; 4];
                while socket.recv_from(&mut buffer).await.is_ok() {
                    told.write(buffer[0].to_string());
                }
            }
        }),
    );
    world.start(receiver);
    world.start(sender);
    (world, sender, journal)
}

#[test]
fn a_machine_dies_in_its_kth_send_and_sends_nothing_more() {
    let mut left_count = 0;
    for (k, cuts_power) in (1..=20).flat_map(|k| [(k, false), (k, true)]) {
        left_count += run_isolated(move || {
            let (world, sender, journal) = sender_and_receiver(k);
            match cuts_power {
                true => world.cut_power_at_send(sender, k),
                false => world.crash_at_send(sender, k),
            }
            world.run_for(1_000);
            assert!(!world.is_running(sender), "it lives");
            assert_eq!(world.sends_count(sender), k);
            let heard_count = journal.0.borrow().len() as u64;
            assert!(heard_count == k || heard_count == k - 1, "{heard_count} of {k}");
            world.start(sender);
            world.run_for(1_000);
            assert_eq!(journal.last().1, "20", "the plan outlived its boot");
            heard_count + 1 - k
        });
    }
    assert!((5..=35).contains(&left_count), "the packet that is struck leaves now and then");
}

#[test]
fn a_process_dies_in_its_kth_disk_operation_and_the_disk_keeps_every_write() {
    let struck_count = super::super::strike_everywhere(200, |k| {
        let (world, sender, journal) = sender_and_receiver(k);
        world.crash_at_disk_operation(sender, k);
        world.run_for(1_000);
        let is_struck = !world.is_running(sender);
        let sent: u8 = journal.last().1.parse().unwrap_or(0);
        let stored =
            world.disk(sender).read(Path::new("sent")).unwrap().map_or(0, |bytes| bytes[0]);
        assert!(stored == sent || stored == sent + 1, "{stored} stored, {sent} sent");
        assert_eq!(is_struck, world.disk_operations_count(sender) >= k);
        is_struck
    });
    // A `replace` creates, writes, syncs, renames, and syncs the folder.
    assert_eq!(struck_count, 100);
}

#[test]
fn a_slow_machine_gets_on_slowly_and_the_run_repeats() {
    let run = |poll_cost_ms: u64| {
        run_isolated(move || {
            let (world, _, client, journal) = server_and_client(1);
            let replies_count = journal.count("reply");
            world.set_poll_cost(client, poll_cost_ms);
            world.run_for(5_000);
            let slow_count = journal.count("reply") - replies_count;
            world.calm(&world.machines());
            world.run_for(5_000);
            (world.event_hash(), slow_count, journal.count("reply") - replies_count - slow_count)
        })
    };
    let (hash, slow_count, calm_count) = run(400);
    assert_eq!(run(400), (hash, slow_count, calm_count));
    assert!((2..=14).contains(&slow_count), "{slow_count} replies");
    assert!(calm_count > 80 && run(0).1 > 80, "{calm_count}");
}

#[test]
fn calm_ends_a_freeze_a_drift_an_offset_and_a_plan() {
    run_isolated(|| {
        let (world, sender, journal) = sender_and_receiver(1);
        world.freeze(sender, super::super::Freeze::MachineUnseen);
        world.set_clock_drift_ppm(sender, 100_000);
        world.set_wall_clock_offset(sender, -3_600_000);
        world.crash_at_send(sender, 1);
        world.set_disk_full(sender, true);
        world.run_for(100);
        let others = world.machines()[1];
        assert!(world.clock_wall(sender).0 + 3_600_000 <= world.clock_wall(others).0);
        world.calm(&world.machines());
        assert_eq!(world.clock_wall(sender), world.clock_wall(others));
        world.run_for(1_000);
        assert_eq!(world.clock_wall(sender), world.clock_wall(others));
        assert_eq!((journal.last().1.as_str(), world.frozen(sender)), ("20", None));
    });
}

#[test]
fn every_fault_leaves_an_event() {
    let hash = |act: fn(&World, MachineId)| {
        run_isolated(move || {
            let (world, sender, _) = sender_and_receiver(1);
            act(&world, sender);
            world.event_hash()
        })
    };
    let acts: [fn(&World, MachineId); 15] = [
        |_, _| (),
        |world, id| world.set_poll_cost(id, 1),
        |world, id| world.crash_at_send(id, 1_000),
        |world, id| world.cut_power_at_send(id, 1_000),
        |world, id| world.crash_at_disk_operation(id, 1_000),
        |world, id| world.cut_power_at_disk_operation(id, 1_000),
        |world, id| world.set_wall_clock_offset(id, 1),
        |world, id| world.set_disk_stalls(id, 0.1, 1),
        |world, id| world.set_disk_capacity(id, Some(1)),
        |world, id| world.fail_sync_at(id, 1_000),
        |world, id| world.set_syncs_lie(id, true),
        |world, id| world.flap(&[id], &world.machines(), 1_000),
        |world, id| world.change_links((&[id], &world.machines()), "as before", |_| ()),
        |world, id| world.heal_among(&[id]),
        |world, id| world.calm(&[id]),
    ];
    let hashes: std::collections::BTreeSet<u64> = acts.into_iter().map(hash).collect();
    assert_eq!(hashes.len(), acts.len());
}
