//! What code must not use is seen when it uses it: the second run of a seed is another one.
//!
//! The world does not take the real clock or the system's randomness away from code that reaches
//! for them past its ports: clippy forbids that in `core`, and whoever gets around clippy is caught
//! because every seed is told two times. Here each leak is put into a machine, and caught so.
//! `rand::rng` itself is not compiled in: its feature is off. What it draws its seed from is here.
//!
//! Read next: `determinism.rs`; the event hash is tested there and here from both sides.

use std::collections::HashMap;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use quorate_core::ports::OpenHow;
use rand::TryRng;
use rand::rngs::SysRng;

use super::*;

/// What a machine says, made of its ports or of what lies beside them.
type Leak = fn(&Env) -> Vec<u8>;

/// Runs a machine that sends what `leak` gives it, and tells the event hash of the run.
fn hash_with(leak: Leak) -> u64 {
    run_isolated(move || {
        let world = World::new(1);
        let main = move |env: Env| async move {
            let socket = env.net.datagrams(at(1)).await.unwrap();
            for _ in 0..3 {
                socket.try_send_to(&leak(&env), at(2)).unwrap();
                sleep_ms(10).await;
            }
        };
        let sender = world.machine("n1", ip(1), boot(main));
        let receiver = world.machine(
            "n2",
            ip(2),
            boot(|env| async move {
                let _socket = env.net.datagrams(at(2)).await.unwrap();
                sleep_ms(1_000).await;
            }),
        );
        world.start(receiver);
        world.start(sender);
        world.run_for(100);
        world.event_hash()
    })
}

#[test]
fn what_a_machine_gets_from_its_ports_is_the_same_in_every_run() {
    let from_ports: Leak = |env| {
        let mut bytes = [0; 16];
        env.entropy.fill("guard", &mut bytes);
        let (now, wall) = (env.clock.now().ns, env.clock.wall().0);
        [&bytes[..], &now.to_be_bytes(), &wall.to_be_bytes()].concat()
    };
    assert_eq!(hash_with(from_ports), hash_with(from_ports));
}

#[test]
fn each_way_around_the_ports_gives_another_run() {
    let leaks: [(&str, Leak); 4] = [
        ("std::time::Instant::now", |_| format!("{:?}", Instant::now()).into_bytes()),
        ("SystemTime::now", |_| {
            let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
            since.as_nanos().to_be_bytes().to_vec()
        }),
        ("SysRng", |_| SysRng.try_next_u64().unwrap().to_be_bytes().to_vec()),
        ("the order of a HashMap", |_| {
            let map: HashMap<u8, ()> = (0..32).map(|key| (key, ())).collect();
            map.into_keys().collect()
        }),
    ];
    for (name, leak) in leaks {
        assert_ne!(hash_with(leak), hash_with(leak), "{name} is not seen");
    }
}

/// Two timers, a datagram from each, and a write to the disk: what is said, and when.
fn hash_of(first_ms: u64, second_ms: u64, sent: &'static [u8], written: &'static [u8]) -> u64 {
    run_isolated(move || {
        let world = World::new(1);
        let main = move |env: Env| async move {
            let socket = env.net.datagrams(at(1)).await.unwrap();
            for (ms, bytes) in [(first_ms, sent), (second_ms, &b"second"[..])] {
                let socket = socket.clone();
                tokio::task::spawn_local(async move {
                    sleep_ms(ms).await;
                    socket.try_send_to(bytes, at(2)).unwrap();
                });
            }
            let file = env.disk.open("file".as_ref(), OpenHow::CreateIfMissing).unwrap();
            file.write_at(0, written).unwrap();
            sleep_ms(1_000).await;
        };
        let machine = world.machine("n1", ip(1), boot(main));
        let receiver = world.machine(
            "n2",
            ip(2),
            boot(|env| async move {
                let _socket = env.net.datagrams(at(2)).await.unwrap();
                sleep_ms(1_000).await;
            }),
        );
        world.start(receiver);
        world.start(machine);
        world.run_for(200);
        world.event_hash()
    })
}

#[test]
fn the_event_hash_sees_a_flipped_byte_and_two_swapped_timers() {
    let hash = hash_of(10, 20, b"first", b"written");
    assert_eq!(hash_of(10, 20, b"first", b"written"), hash, "the same run");
    assert_ne!(hash_of(10, 20, b"firsu", b"written"), hash, "one bit of a frame");
    assert_ne!(hash_of(10, 20, b"first", b"writteo"), hash, "one byte on the disk");
    assert_ne!(hash_of(20, 10, b"first", b"written"), hash, "two timers swapped");
    assert_ne!(hash_of(10, 21, b"first", b"written"), hash, "a timer one millisecond later");
}
