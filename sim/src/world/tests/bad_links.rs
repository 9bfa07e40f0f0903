//! Links that are very slow, overtake, corrupt or flap.
//!
//! Read next: `link.rs`, `faults/links.rs`.

use std::sync::{Arc, Mutex};

use super::super::{LinkFelt, LinkSettings};
use super::*;

/// Machine 1 sends numbered datagrams to machine 2, one each 10 ms, for five seconds. Returns the
/// delays in ms and the bytes, in the order of arrival, and the event hash.
fn five_hundred_datagrams(
    change: impl FnOnce(&World) + Send + 'static,
) -> (Vec<(u64, Vec<u8>)>, u64) {
    run_isolated(move || {
        let world = World::new(11);
        let heard = Rc::<RefCell<Vec<(u64, Vec<u8>)>>>::default();
        let hears = heard.clone();
        let sender = world.machine(
            "n1",
            ip(1),
            boot(|env: Env| async move {
                let socket = env.net.datagrams(at(1)).await.unwrap();
                for number in 0..500_u16 {
                    socket.try_send_to(&number.to_be_bytes(), at(2)).unwrap();
                    sleep_ms(10).await;
                }
            }),
        );
        let receiver = world.machine(
            "n2",
            ip(2),
            boot(move |env: Env| {
                let hears = hears.clone();
                async move {
                    let socket = env.net.datagrams(at(2)).await.unwrap();
                    let mut buffer = [0; 16];
                    while let Ok((size, _)) = socket.recv_from(&mut buffer).await {
                        let at_ms = super::super::context::now_us() / 1_000;
                        hears.borrow_mut().push((at_ms, buffer[..size].to_vec()));
                    }
                }
            }),
        );
        world.start(receiver);
        world.start(sender);
        change(&world);
        world.run_for(6_000);
        let heard = heard.borrow().clone();
        (heard, world.event_hash())
    })
}

fn number(datagram: &(u64, Vec<u8>)) -> u64 {
    u64::from(u16::from_be_bytes([datagram.1[0], datagram.1[1]]))
}

fn all_links(settings: LinkSettings) -> (Vec<(u64, Vec<u8>)>, u64) {
    let once = five_hundred_datagrams(move |world| world.set_links(settings));
    assert_eq!(five_hundred_datagrams(move |world| world.set_links(settings)), once);
    once
}

#[test]
fn a_heavy_tail_makes_a_few_packets_very_late() {
    let (heard, _) = all_links(LinkSettings { heavy_tail: 0.05, ..LinkSettings::default() });
    let late = heard.iter().filter(|datagram| datagram.0 - number(datagram) * 10 >= 4).count();
    assert_eq!(heard.len(), 500);
    assert!((10..50).contains(&late), "{late}");
    let longest_ms = heard.iter().map(|datagram| datagram.0 - number(datagram) * 10).max();
    assert!(longest_ms.is_some_and(|ms| (20..=120).contains(&ms)), "{longest_ms:?}");
}

#[test]
fn datagrams_are_overtaken() {
    let overtaken = |heard: &[(u64, Vec<u8>)]| {
        heard.windows(2).filter(|two| number(&two[0]) > number(&two[1])).count()
    };
    let (calm, _) = all_links(LinkSettings::default());
    let (heard, _) = all_links(LinkSettings { reordering: 0.5, ..LinkSettings::default() });
    assert_eq!((overtaken(&calm), heard.len()), (0, 500));
    assert!(overtaken(&heard) > 5, "{}", overtaken(&heard));
}

#[test]
fn a_corrupted_packet_differs_in_one_byte() {
    let (heard, _) = all_links(LinkSettings { corruption: 0.1, ..LinkSettings::default() });
    let is_wrong = |at: &usize| number(&heard[*at]) != *at as u64;
    let wrong: Vec<usize> = (0..500).filter(is_wrong).collect();
    assert!((20..90).contains(&wrong.len()), "{}", wrong.len());
    for at in wrong {
        let right = (at as u16).to_be_bytes();
        let same = heard[at].1.iter().zip(right).filter(|(byte, right)| **byte == *right).count();
        assert_eq!((heard[at].1.len(), same), (2, 1));
    }
}

#[test]
fn a_stream_delivers_the_wrong_byte_too() {
    run_isolated(|| {
        let (world, ..) = server_and_client(1);
        let corruption = 1.0;
        world.set_links(LinkSettings { corruption, ..LinkSettings::default() });
        world.run_for(100);
        let events = world.last_events(50);
        assert!(events.iter().any(|line| line.contains("byte 0 of 1 from")), "{events:?}");
    });
}

#[test]
fn a_flapping_link_is_cut_and_whole_in_turns_until_it_is_healed() {
    let (heard, _) = five_hundred_datagrams(|world| {
        let ids = world.machines();
        world.flap(&ids[..1], &ids[1..], 500);
        world.run_for(3_000);
        world.heal();
    });
    let in_second_half = |datagram: &(u64, Vec<u8>)| number(datagram) * 10 % 1_000 >= 490;
    let (flapping, healed): (Vec<_>, Vec<_>) =
        heard.iter().partition(|datagram| number(datagram) * 10 < 3_000);
    assert!((145..=155).contains(&flapping.len()), "{}", flapping.len());
    assert!(flapping.into_iter().all(in_second_half));
    // One is sent at the very instant at which the link is healed.
    assert!((199..=200).contains(&healed.len()), "{}", healed.len());
}

#[test]
fn calm_goes_back_to_what_is_usual() {
    let settings = LinkSettings { loss: 1.0, ..LinkSettings::default() };
    let (heard, _) = five_hundred_datagrams(move |world| {
        world.remember_usual();
        world.set_links(settings);
        world.flap(&world.machines()[..1], &world.machines()[1..], 10);
        world.run_for(1_000);
        world.calm(&world.machines());
    });
    // One is sent at the very instant at which calm begins.
    assert!((399..=400).contains(&heard.len()), "{}", heard.len());
}

/// What became of 400 datagrams on a link that behaves so from the first one on.
fn felt(settings: LinkSettings) -> LinkFelt {
    let felt = Arc::new(Mutex::new(LinkFelt::default()));
    let kept = felt.clone();
    five_hundred_datagrams(move |world| {
        world.set_links(settings);
        world.run_for(3_995);
        let ids = world.machines();
        assert_eq!(world.link_felt(ids[1], ids[0]), LinkFelt::default(), "nothing was sent there");
        *kept.lock().unwrap() = world.link_felt(ids[0], ids[1]);
    });
    *felt.lock().unwrap()
}

#[test]
fn what_a_link_does_to_packets_is_counted_and_what_it_would_have_done_is_not() {
    let usual = LinkSettings::default();
    assert_eq!(felt(usual), LinkFelt::default());
    let lost = felt(LinkSettings { loss: 1.0, ..usual });
    assert_eq!(lost, LinkFelt { lost_count: 400, ..LinkFelt::default() });
    let late = felt(LinkSettings { latency_us_min: 5_000, latency_us_max: 9_000, ..usual });
    assert_eq!(late, LinkFelt { late_count: 400, ..LinkFelt::default() });
    let overtaken = felt(LinkSettings { reordering: 1.0, ..usual });
    assert_eq!(overtaken, LinkFelt { overtaken_count: 400, ..LinkFelt::default() });
    let corrupted = felt(LinkSettings { corruption: 1.0, ..usual });
    assert_eq!(corrupted, LinkFelt { corrupted_count: 400, ..LinkFelt::default() });
}
