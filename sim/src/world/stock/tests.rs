//! What the header of the second world says of it, so that the words stay true.

use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;

use quorate_core::ports::OpenHow;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use super::*;
use crate::world::run_isolated;

const PORT: u16 = 28_300;

fn ip(last: u8) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(10, 79, 0, last))
}

fn at(last: u8) -> SocketAddr {
    SocketAddr::new(ip(last), PORT)
}

fn idle(_env: Env) -> Task {
    Box::pin(async {})
}

/// Runs a task on a machine to its end, and returns what it came to.
fn told<T: 'static, F: Future<Output = T> + 'static>(
    world: &StockWorld,
    machine: MachineId,
    task: impl FnOnce(Env) -> F,
) -> T {
    let told = Rc::new(RefCell::new(None));
    let into = told.clone();
    world.spawn(machine, |env| {
        let task = task(env);
        async move {
            let ended = task.await;
            *into.borrow_mut() = Some(ended);
        }
    });
    assert!(world.run_until_true(60_000, |_| told.borrow().is_some()), "the task has no end");
    told.take().expect("it was waited for")
}

/// Echoes on every stream.
fn echo(env: Env) -> Task {
    Box::pin(async move {
        let own = env.net.listen(at(1)).await.expect("nobody listens there");
        loop {
            let (stream, _) = own.accept().await.expect("a listener accepts");
            tokio::task::spawn_local(async move {
                let (mut reader, mut writer) = tokio::io::split(stream);
                let _ = tokio::io::copy(&mut reader, &mut writer).await;
            });
        }
    })
}

#[test]
fn a_panic_of_any_task_on_a_machine_fails_the_run() {
    let failed = std::panic::catch_unwind(|| {
        run_isolated(|| {
            let world = StockWorld::new(1);
            let machine = world.machine("n1", ip(1), idle);
            world.spawn(machine, |_| async {
                tokio::task::spawn_local(async { panic!("deep inside") });
            });
            world.run_for(10);
        });
    });
    let text = failed.expect_err("the task has panicked");
    let text = text.downcast_ref::<String>().expect("it is told as text");
    assert!(text.contains("seed 0x1, ") && text.contains("deep inside"), "{text}");
}

#[test]
fn a_crash_keeps_what_was_written_and_ends_what_ran() {
    run_isolated(|| {
        let world = StockWorld::new(1);
        let machine = world.machine("n1", ip(1), idle);
        let path = Path::new("a");
        let file = told(&world, machine, |env| async move {
            let file = env.disk.open(path, OpenHow::CreateIfMissing).expect("it can be made");
            file.write_at(0, b"words").expect("it can be written");
            file
        });
        world.spawn(machine, |_| async {
            tokio::time::sleep(Duration::from_millis(20)).await;
            panic!("a dead process does nothing");
        });
        world.run_for(5);
        world.crash(machine);
        assert!(!world.is_running(machine) && file.write_at(0, b"WORDS").is_err());
        world.run_for(50);
        world.restart(machine);
        let read = told(&world, machine, |env| async move { env.disk.read(path) });
        assert_eq!(read.expect("the disk works").as_deref(), Some(&b"words"[..]));
    });
}

#[test]
fn a_stream_that_lived_through_a_cut_is_dead_and_a_fresh_one_works() {
    run_isolated(|| {
        let world = StockWorld::new(1);
        let server = world.machine("n1", ip(1), echo);
        let client = world.machine("n2", ip(2), idle);
        let mut stream = told(&world, client, |env| async move {
            let mut stream = env.net.connect(at(1)).await.expect("the server listens");
            stream.write_all(b"a").await.expect("it is open");
            assert_eq!(stream.read_u8().await.ok(), Some(b'a'));
            stream
        });
        world.cut(server, client);
        let (dialed, mut stream) = told(&world, client, |env| async move {
            stream.write_all(b"b").await.expect("nobody knows of the cut");
            (env.net.connect(at(1)).await.map(drop), stream)
        });
        assert_eq!(dialed.map_err(|error| error.kind()), Err(ErrorKind::ConnectionRefused));

        world.mend(server, client);
        told(&world, client, |env| async move {
            stream.write_all(b"c").await.expect("nobody knows that a segment is missing");
            let answer = timeout(Duration::from_secs(20), stream.read_u8()).await;
            assert!(answer.is_err(), "the missing segment was sent again: {answer:?}");
            let mut fresh = env.net.connect(at(1)).await.expect("the links are right");
            fresh.write_all(b"d").await.expect("it is open");
            assert_eq!(fresh.read_u8().await.ok(), Some(b'd'));
        });
    });
}

#[test]
fn all_machines_read_one_clock_also_between_two_steps() {
    run_isolated(|| {
        let world = StockWorld::new(1);
        let machines = [1, 2].map(|last| world.machine(&format!("n{last}"), ip(last), idle));
        world.run_for(100);
        let read = machines.map(|machine| {
            told(&world, machine, |env| async move {
                let before = env.clock.now();
                tokio::time::sleep(Duration::from_millis(30)).await;
                (before, env.clock.now(), env.clock)
            })
        });
        for (before, after, clock) in &read {
            assert!((30..=31).contains(&after.ms_since(*before)), "{before:?}, {after:?}");
            assert_eq!(clock.now(), read[0].2.now());
        }
        assert_eq!(read[0].2.now().ms(), 5_000 + world.now_ms());
    });
}
