//! Streams and datagrams under cuts, loss and crashes.
//!
//! Read next: `link.rs`.

use std::io::ErrorKind;

use quorate_core::ports::DATAGRAM_SIZE_BYTES_MAX;

use super::super::{Freeze, LinkSettings};
use super::*;

#[test]
fn a_stream_goes_on_after_a_partition_without_an_error() {
    run_isolated(|| {
        let (world, server, client, journal) = server_and_client(1);
        world.partition(&[server], &[client]);
        world.run_for(3_000);
        let replies_count = journal.count("reply");
        assert!(journal.last().0 <= 510, "a reply crossed the cut: {:?}", journal.last());

        world.heal();
        world.run_for(5_000);

        assert!(journal.count("reply") > replies_count + 20);
        assert_eq!(journal.count("connected"), 1, "the stream was given up");
    });
}

#[test]
fn a_cut_of_one_direction_stops_only_that_direction() {
    run_isolated(|| {
        let world = World::new(2);
        let journal = Journal::default();
        let talk = |me: u8, peer: u8| {
            let journal = journal.clone();
            boot(move |env: Env| {
                let journal = journal.clone();
                async move {
                    let socket = env.net.datagrams(at(me)).await.unwrap();
                    let sender = socket.clone();
                    tokio::task::spawn_local(async move {
                        loop {
                            sender.try_send_to(b"hello", at(peer)).unwrap();
                            sleep_ms(10).await;
                        }
                    });
                    loop {
                        let mut buffer = [0; 16];
                        let (size, from) = socket.recv_from(&mut buffer).await.unwrap();
                        assert_eq!((&buffer[..size], from), (&b"hello"[..], at(peer)));
                        journal.write(format!("n{me} hears"));
                    }
                }
            })
        };
        let one = world.machine("n1", ip(1), talk(1, 2));
        let two = world.machine("n2", ip(2), talk(2, 1));
        world.start(one);
        world.start(two);
        world.run_until(100);
        world.partition_one_way(&[one], &[two]);
        world.run_until(1_000);

        assert!(journal.count("n1 hears") > 80, "the open direction is cut");
        assert!(journal.count("n2 hears") < 15, "the cut direction is open");
        world.heal();
        world.run_until(1_100);
        assert!(journal.first_since(1_000, "n2 hears").is_some(), "the cut outlives its end");
    });
}

#[test]
fn loss_stalls_a_stream_and_breaks_nothing() {
    run_isolated(|| {
        let (world, _, _, journal) = server_and_client(3);
        world.set_links(LinkSettings { loss: 0.2, ..LinkSettings::default() });
        let before_count = journal.count("reply");
        world.run_for(20_000);

        let replies_count = journal.count("reply") - before_count;
        assert!((40..250).contains(&replies_count), "{replies_count} replies");
        assert_eq!(journal.count("connected"), 1, "loss broke the stream");
    });
}

#[test]
fn a_crash_resets_the_peers_streams_and_frees_the_port() {
    run_isolated(|| {
        let (world, server, _, journal) = server_and_client(4);
        world.crash(server);
        world.run_for(1_000);
        let broken = journal.count("read ConnectionReset") + journal.count("write ConnectionReset");
        assert_eq!(broken, 1, "{:?}", journal.0);
        assert!(journal.count("connect ConnectionRefused") > 10, "a live system refuses at once");

        world.start(server);
        world.run_for(200);
        assert_eq!(journal.count("connected"), 2);
        assert_eq!(journal.last().1, "reply");
    });
}

#[test]
fn a_peer_that_only_listens_learns_of_a_crash_at_once() {
    run_isolated(|| {
        let (world, server, client, _) = server_and_client(13);
        let journal = Journal::default();
        let told = journal.clone();
        world.spawn(client, |env| async move {
            let mut stream = env.net.connect(at(1)).await.unwrap();
            told.write("waits");
            told.write(format!("{:?}", stream.read(&mut [0]).await.unwrap_err().kind()));
        });
        world.run_for(1_000);
        assert_eq!(journal.last().1, "waits");
        world.crash(server);
        world.run_for(5);
        assert_eq!(journal.last().1, "ConnectionReset");
    });
}

#[test]
fn a_power_cut_is_silent_until_the_machine_is_back_and_answers_with_a_reset() {
    run_isolated(|| {
        let (world, server, _, journal) = server_and_client(5);
        let before = journal.0.borrow().len();
        world.cut_power(server);
        world.run_for(2_000);
        assert!(journal.0.borrow().len() <= before + 1, "somebody answered without power");

        world.start(server);
        world.run_for(4_000);
        assert_eq!(journal.count("read ConnectionReset"), 1, "{:?}", journal.last());
        assert_eq!(journal.last().1, "reply");
    });
}

#[test]
fn a_frozen_peer_answers_late_and_the_stream_survives() {
    for how in [Freeze::Process, Freeze::Machine, Freeze::MachineUnseen] {
        run_isolated(move || {
            let (world, server, _, journal) = server_and_client(6);
            world.freeze(server, how);
            world.run_for(2_000);
            let replies_count = journal.count("reply");
            assert!(journal.last().0 <= 510, "a frozen machine answered");

            world.thaw(server);
            world.run_for(100);
            assert!(journal.count("reply") > replies_count, "{how:?}: no reply after the thaw");
            assert_eq!(journal.count("connected"), 1);
        });
    }
}

#[test]
fn a_datagram_longer_than_a_frame_is_refused_and_duplicates_are_delivered() {
    run_isolated(|| {
        let world = World::new(7);
        let journal = Journal::default();
        let told = journal.clone();
        let receiver = world.machine(
            "n1",
            ip(1),
            boot(move |env: Env| {
                let told = told.clone();
                async move {
                    let socket = env.net.datagrams(at(1)).await.unwrap();
                    let mut buffer = [0; 2_000];
                    loop {
                        let (size, _) = socket.recv_from(&mut buffer).await.unwrap();
                        told.write(format!("{size} bytes"));
                    }
                }
            }),
        );
        let sender = world.machine(
            "n2",
            ip(2),
            boot(|env: Env| async move {
                let socket = env.net.datagrams(at(2)).await.unwrap();
                let bytes = [0; DATAGRAM_SIZE_BYTES_MAX + 1];
                assert!(socket.try_send_to(&bytes, at(1)).is_err());
                socket.try_send_to(&bytes[1..], at(1)).unwrap();
                let again = env.net.datagrams(at(2)).await.unwrap_err();
                assert_eq!(again.kind(), ErrorKind::AddrInUse);
            }),
        );
        world.set_link_one_way(
            sender,
            receiver,
            LinkSettings { duplication: 1.0, ..LinkSettings::default() },
        );
        world.start(receiver);
        world.start(sender);
        world.run_for(100);
        assert_eq!(journal.count("1472 bytes"), 2);
        assert_eq!(journal.0.borrow().len(), 2);
    });
}

#[test]
fn a_stream_passes_much_more_than_a_window_and_ends_cleanly() {
    const SIZE_BYTES: usize = 400_000;
    run_isolated(|| {
        let world = World::new(8);
        let journal = Journal::default();
        let told = journal.clone();
        let receiver = world.machine(
            "n1",
            ip(1),
            boot(move |env: Env| {
                let told = told.clone();
                async move {
                    let listener = env.net.listen(at(1)).await.unwrap();
                    let (mut stream, from) = listener.accept().await.unwrap();
                    assert_eq!(from.ip(), ip(2));
                    let (mut total, mut buffer) = (0, [0; 8_192]);
                    while let size @ 1.. = stream.read(&mut buffer).await.unwrap() {
                        total += size;
                    }
                    told.write(format!("{total} bytes"));
                }
            }),
        );
        let sender = world.machine(
            "n2",
            ip(2),
            boot(|env: Env| async move {
                let mut stream = env.net.connect(at(1)).await.unwrap();
                stream.write_all(&vec![1; SIZE_BYTES]).await.unwrap();
                stream.shutdown().await.unwrap();
            }),
        );
        world.start(receiver);
        world.start(sender);
        world.run_for(1_000);
        assert_eq!(journal.last().1, format!("{SIZE_BYTES} bytes"));
    });
}

#[test]
fn a_stream_dropped_by_another_machine_closes_nothing_of_that_machine() {
    run_isolated(|| {
        let world = World::new(9);
        let journal = Journal::default();
        let stray: Rc<RefCell<Option<Box<dyn Stream>>>> = Rc::default();
        let found = stray.clone();
        let server = world.machine(
            "n1",
            ip(1),
            boot(move |env| {
                let found = found.clone();
                async move {
                    tokio::task::spawn_local(echo_server(env));
                    sleep_ms(200).await;
                    // The number of this stream is also that of a socket here.
                    drop(found.take().expect("the client left one"));
                }
            }),
        );
        let told = journal.clone();
        let client = world.machine(
            "n2",
            ip(2),
            boot(move |env| {
                let (stray, told) = (stray.clone(), told.clone());
                async move {
                    sleep_ms(10).await;
                    *stray.borrow_mut() = Some(env.net.connect(at(1)).await.unwrap());
                    sleep_ms(300).await;
                    echo_client(env, told).await;
                }
            }),
        );
        world.start(server);
        world.start(client);
        world.run_for(1_000);
        assert_eq!(journal.count("connected"), 1, "{:?}", journal.last());
        assert!(journal.count("reply") > 5);
    });
}

#[test]
fn a_port_can_be_bound_again_while_a_closed_stream_of_it_lingers() {
    run_isolated(|| {
        let world = World::new(10);
        let journal = Journal::default();
        let told = journal.clone();
        let server = world.machine(
            "n1",
            ip(1),
            boot(move |env: Env| {
                let told = told.clone();
                async move {
                    let listener = env.net.listen(at(1)).await.unwrap();
                    let taken = env.net.listen(at(1)).await.unwrap_err();
                    assert_eq!(taken.kind(), ErrorKind::AddrInUse);
                    drop(listener.accept().await.unwrap());
                    drop(listener);
                    sleep_ms(100).await;
                    env.net.listen(at(1)).await.unwrap();
                    told.write("bound again");
                }
            }),
        );
        let client = world.machine(
            "n2",
            ip(2),
            boot(|env: Env| async move {
                sleep_ms(10).await;
                let stream = env.net.connect(at(1)).await.unwrap();
                sleep_ms(1_000_000).await;
                drop(stream);
            }),
        );
        world.start(server);
        world.start(client);
        world.run_for(1_000);
        assert_eq!(journal.last().1, "bound again");
    });
}

#[test]
fn a_stream_is_given_up_after_a_quarter_of_an_hour_of_silence() {
    run_isolated(|| {
        let (world, server, client, journal) = server_and_client(11);
        world.partition(&[server], &[client]);
        world.run_until(900_000);
        assert_eq!(journal.count("read ConnectionReset"), 0);
        world.run_until(1_100_000);
        assert_eq!(journal.count("read ConnectionReset"), 1);
    });
}

#[test]
fn blocked_datagrams_let_streams_pass() {
    run_isolated(|| {
        let (world, server, client, journal) = server_and_client(12);
        world.block_datagrams(&[server], &[client]);
        let (heard, replies_count) = (Journal::default(), journal.count("reply"));
        let told = heard.clone();
        world.spawn(server, |env| async move {
            let socket = env.net.datagrams(at(1)).await.unwrap();
            let mut buffer = [0; 16];
            socket.recv_from(&mut buffer).await.unwrap();
            told.write("heard");
        });
        world.spawn(client, |env| async move {
            let socket = env.net.datagrams(at(2)).await.unwrap();
            loop {
                socket.try_send_to(b"ping", at(1)).unwrap();
                sleep_ms(10).await;
            }
        });
        world.run_for(500);
        assert_eq!(heard.count("heard"), 0);
        assert!(journal.count("reply") > replies_count + 5);
        world.heal();
        world.run_for(100);
        assert_eq!(heard.count("heard"), 1);
    });
}
