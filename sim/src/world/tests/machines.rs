//! Clocks, randomness, lanes, panics: what a machine's process sees of its machine.
//!
//! Read next: `clock.rs`, `lane.rs`, `isolated.rs`.

use std::panic::catch_unwind;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::Instant;

use quorate_core::ports::{Entropy, node_now};
use rand::Rng;

use super::super::Freeze;
use super::super::watchdog::{Watch, Watchdog};
use super::*;
use crate::choices::{BootEntropy, Choices};

/// A world with one machine that does nothing.
fn idle_machine() -> (World, MachineId) {
    let world = World::new(1);
    let id = world.machine("n1", ip(1), boot(|_| async {}));
    world.start(id);
    (world, id)
}

#[test]
fn clocks_drift_jump_and_show_a_freeze_unless_it_is_hidden() {
    run_isolated(|| {
        let (world, id) = idle_machine();
        let passed_ms = |act: &dyn Fn()| {
            let before = (world.clock_now(id), world.clock_wall(id).0);
            act();
            let mono_ms = world.clock_now(id).ms_since(before.0);
            (mono_ms, world.clock_wall(id).0 as i64 - before.1 as i64)
        };
        let pass = || world.run_for(1_000);
        let frozen = |how| {
            world.freeze(id, how);
            pass();
            world.thaw(id);
        };
        assert_eq!(passed_ms(&pass), (1_000, 1_000));
        assert_eq!(passed_ms(&|| world.jump_wall_clock(id, -5_000)), (0, -5_000));
        assert_eq!(passed_ms(&|| world.jump_clock(id, 7_000)), (7_000, 0));
        assert_eq!(passed_ms(&|| frozen(Freeze::Process)), (1_000, 1_000));
        assert_eq!(passed_ms(&|| frozen(Freeze::Machine)), (1_000, 1_000));
        assert_eq!(passed_ms(&|| frozen(Freeze::MachineUnseen)), (0, 0));
        world.set_clock_drift_ppm(id, 20_000);
        assert_eq!(passed_ms(&pass), (1_020, 1_020));
        world.set_clock_drift_ppm(id, -20_000);
        assert_eq!(passed_ms(&pass), (980, 980));
    });
}

#[test]
fn a_machine_reads_its_own_clock_and_a_power_cut_starts_it_anew() {
    run_isolated(|| {
        let world = World::new(1);
        let journal = Journal::default();
        let main = |journal: &Journal| {
            let journal = journal.clone();
            boot(move |env: Env| {
                let journal = journal.clone();
                async move {
                    assert_eq!(env.clock.now(), node_now());
                    journal.write(format!("{}", node_now().ms()));
                }
            })
        };
        let one = world.machine("n1", ip(1), main(&journal));
        let two = world.machine("n2", ip(2), main(&journal));
        world.start(one);
        world.start(two);
        world.run_for(10);
        world.cut_power(one);
        world.start(one);
        world.run_for(10);
        let mut readings: Vec<String> =
            journal.0.borrow().iter().map(|(_, line)| line.clone()).collect();
        readings.sort();
        readings.dedup();
        assert_eq!(readings.len(), 3, "two machines or boots show the same time: {readings:?}");
    });
}

#[test]
fn a_frozen_machine_does_nothing_and_catches_up_at_once() {
    run_isolated(|| {
        let world = World::new(1);
        let journal = Journal::default();
        let told = journal.clone();
        let id = world.machine(
            "n1",
            ip(1),
            boot(move |_| {
                let told = told.clone();
                async move {
                    loop {
                        sleep_ms(100).await;
                        told.write("tick");
                    }
                }
            }),
        );
        world.start(id);
        world.run_until(550);
        assert_eq!(journal.count("tick"), 5);
        world.freeze(id, Freeze::Machine);
        world.run_until(2_000);
        assert_eq!(journal.count("tick"), 5);
        world.thaw(id);
        world.run_until(2_000);
        assert!(journal.count("tick") <= 6);
        world.run_until(2_001);
        assert_eq!(journal.first_since(551, "tick"), Some(2_000));
    });
}

#[test]
fn entropy_differs_between_seeds_machines_boots_purposes_and_forks_and_repeats_otherwise() {
    let draws = |seed, machine, boot| {
        let entropy = BootEntropy::new(Choices::of(seed), machine, boot);
        let mut bytes = [0; 8];
        entropy.fill("ids", &mut bytes);
        let fork = |purpose| entropy.fork(purpose).next_u64();
        vec![fork("gossip"), fork("gossip"), fork("elections"), u64::from_le_bytes(bytes)]
    };
    let mut all = [draws(1, 1, 1), draws(2, 1, 1), draws(1, 2, 1), draws(1, 1, 2)].concat();
    assert_eq!(draws(1, 1, 1), all[..4]);
    let count = all.len();
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), count, "two streams are the same");
}

#[test]
fn a_lane_runs_jobs_in_order_also_those_nobody_waits_for() {
    run_isolated(|| {
        let world = World::new(1);
        let (sent, ran) = channel();
        let id = world.machine(
            "n1",
            ip(1),
            boot(move |env: Env| {
                let sent = sent.clone();
                async move {
                    let lane = env.disk.lane("log");
                    for number in 0..10 {
                        let sent = sent.clone();
                        let job = move || sent.send(number).map_err(std::io::Error::other);
                        drop(lane.run(Box::new(job)));
                    }
                    let failed = lane.run(Box::new(|| Err(std::io::Error::other("job")))).await;
                    assert_eq!(failed.unwrap_err().to_string(), "job");
                    sent.send(10).unwrap();
                }
            }),
        );
        world.set_disk_latency(id, 1, 5);
        world.start(id);
        world.run_for(20);
        assert!(ran.try_iter().count() < 10, "a job takes no time");
        world.run_for(200);
        assert_eq!(ran.try_iter().last(), Some(10));
    });
}

/// The message of the panic that `simulation` must end in.
fn failure_of(simulation: fn()) -> String {
    let panicked = catch_unwind(|| run_isolated(simulation)).expect_err("the run must fail");
    panicked.downcast_ref::<String>().expect("a failure has a text").clone()
}

#[test]
fn a_panic_in_any_task_of_a_machine_fails_the_run_and_says_where() {
    let message = failure_of(|| {
        let world = World::new(0xbad);
        let id = world.machine(
            "n1",
            ip(1),
            boot(|_| async {
                tokio::task::spawn_local(async {
                    sleep_ms(30).await;
                    tracing::info!(term = 7, "role changed");
                    panic!("boom");
                });
            }),
        );
        world.start(id);
        world.run_for(100);
    });
    for part in ["seed 0xbad", "30 ms", "n1", "boom", "machines.rs", "INFO role changed term=7"] {
        assert!(message.contains(part), "no {part:?} in {message}");
    }
}

#[test]
fn a_task_outside_of_the_machine_fails_the_run() {
    let message = failure_of(|| {
        let world = World::new(1);
        let main = |_| async {
            tokio::spawn(std::future::pending::<()>());
        };
        let id = world.machine("n1", ip(1), boot(main));
        world.start(id);
        world.run_for(100);
    });
    assert!(message.contains("outside the machine"), "{message}");
}

#[test]
fn tasks_that_run_in_circles_fail_the_run() {
    let message = failure_of(|| {
        let world = World::new(1);
        let main = |_| async {
            loop {
                tokio::task::yield_now().await;
            }
        };
        let id = world.machine("n1", ip(1), boot(main));
        world.start(id);
        world.run_for(100);
    });
    assert!(message.contains("in circles"), "{message}");
}

#[test]
fn a_panic_that_is_caught_where_it_was_expected_does_not_fail_the_run() {
    run_isolated(|| {
        let world = World::new(1);
        world.exempt_panics(|| true);
        let id = world.machine(
            "n1",
            ip(1),
            boot(|_| async {
                assert!(catch_unwind(|| panic!("a corrupt store")).is_err());
            }),
        );
        world.start(id);
        world.run_for(100);
        assert!(world.is_running(id));
    });
}

#[test]
fn the_watchdog_barks_when_a_poll_hangs_and_only_then() {
    let watch = Arc::<Watch>::default();
    let (sent, heard) = channel();
    let limit = std::time::Duration::from_millis(80);
    let watchdog = Watchdog::new(watch.clone(), limit, move |machine, now_ms| {
        sent.send((machine, now_ms)).unwrap();
    });
    let began = Instant::now();
    while began.elapsed() < 3 * limit {
        watch.begin(1, 5_000);
        watch.end();
        std::thread::sleep(limit / 20);
    }
    assert!(heard.try_recv().is_err(), "it barks at short polls");
    watch.begin(2, 7_000);
    assert_eq!(heard.recv().unwrap(), (2, 7));
    drop(watchdog);
}

#[test]
fn an_observer_stops_the_run_at_the_instant_it_waits_for() {
    run_isolated(|| {
        let world = World::new(1);
        let journal = Journal::default();
        let told = journal.clone();
        let id = world.machine(
            "n1",
            ip(1),
            boot(move |_| {
                let told = told.clone();
                async move {
                    sleep_ms(123).await;
                    told.write("done");
                }
            }),
        );
        world.start(id);
        assert!(world.run_until_true(1_000, |_| journal.count("done") == 1));
        assert_eq!(world.now_ms(), 123);
        assert!(!world.run_until_true(1_000, |_| journal.count("done") == 2));
        assert_eq!(world.now_ms(), 1_123);
    });
}
