//! Two links in one runtime, on sockets in memory.

use std::cell::RefCell;
use std::time::Duration;

use tokio::time::sleep;

use super::fake::{World, address, identity, run};
use super::*;
use crate::ids::ClusterId;
use crate::security::tests::protection;

/// Keeps what arrives.
struct Sink(Rc<RefCell<Vec<Received>>>);

impl Actor for Sink {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        ctx.set_mailbox_capacity(64); // the default of 16 would be the limit that a test meets
    }
}

impl Handler<Received> for Sink {
    type Result = ();

    fn handle(&mut self, received: Received, _ctx: &mut Context<Self>) {
        self.0.borrow_mut().push(received);
    }
}

/// An open link and all that it delivered, as `channel path from payload`.
struct End {
    link: Link,
    pings: Rc<RefCell<Vec<Received>>>,
    gossip: Rc<RefCell<Vec<Received>>>,
}

impl End {
    async fn open(world: &World, id: u64) -> End {
        End::open_as(world, id, Protection::none()).await
    }

    async fn open_as(world: &World, id: u64, protection: Protection) -> End {
        let env = world.env(id);
        let link = Link::open(&env, identity(id), address(id), protection).await.unwrap();
        let (pings, gossip): (Rc<RefCell<_>>, Rc<RefCell<_>>) = Default::default();
        let heartbeat = Sink(pings.clone()).start().recipient();
        link.deliver_to(heartbeat, Sink(gossip.clone()).start().recipient());
        End { link, pings, gossip }
    }

    fn send(&self, to: u64, path: Path, text: &str) {
        self.link.send(NodeId(to), address(to), path, Channel::Heartbeat, text.as_bytes());
    }

    fn pings(&self) -> String {
        let pings = self.pings.take();
        let text = |ping: &Received| {
            format!("{} {:?} {}", ping.from, ping.path, String::from_utf8_lossy(&ping.payload))
        };
        pings.iter().map(text).collect::<Vec<_>>().join(", ")
    }
}

async fn moment() {
    sleep(Duration::from_millis(20)).await;
}

#[test]
fn a_frame_reaches_the_receiver_of_its_channel_and_says_by_which_path_it_came() {
    run(async {
        let world = World::new();
        let (one, two) = (End::open(&world, 1).await, End::open(&world, 2).await);

        one.send(2, Path::Udp, "hello");
        moment().await;
        assert_eq!(two.pings(), "n1 Udp hello");

        one.send(2, Path::Tcp, "first");
        one.send(2, Path::Tcp, "second");
        moment().await;
        assert_eq!(two.pings(), "n1 Tcp first, n1 Tcp second");

        one.link.send(NodeId(2), address(2), Path::Udp, Channel::Gossip, b"rumour");
        moment().await;
        assert_eq!(two.gossip.borrow()[0].payload, "rumour");
        assert_eq!(two.pings(), "");
    });
}

#[test]
fn one_stream_serves_many_frames_closes_when_idle_and_is_made_again() {
    run(async {
        let world = World::new();
        let (one, two) = (End::open(&world, 1).await, End::open(&world, 2).await);
        for _ in 0..5 {
            one.send(2, Path::Tcp, "x");
            moment().await;
        }
        assert_eq!(world.streams_count(), 1);

        sleep(Duration::from_secs(31)).await;
        one.send(2, Path::Tcp, "later");
        moment().await;
        assert_eq!(world.streams_count(), 2);
        assert!(two.pings().ends_with("n1 Tcp later"));

        one.link.reset(NodeId(2));
        one.send(2, Path::Tcp, "again");
        moment().await;
        assert_eq!((world.streams_count(), two.pings().as_str()), (3, "n1 Tcp again"));
    });
}

#[test]
fn frames_for_a_peer_that_is_not_there_are_dropped_and_counted_and_it_is_tried_again() {
    run(async {
        let world = World::new();
        let one = End::open(&world, 1).await;
        one.send(2, Path::Tcp, "lost");
        moment().await;
        assert_eq!(one.link.counts().failed_count, 1);

        let two = End::open(&world, 2).await;
        one.send(2, Path::Tcp, "found");
        moment().await;
        assert_eq!(two.pings(), "n1 Tcp found");
    });
}

#[test]
fn a_full_queue_drops_frames_instead_of_growing() {
    run(async {
        let world = World::new();
        let (one, two) = (End::open(&world, 1).await, End::open(&world, 2).await);
        for _ in 0..100 {
            one.send(2, Path::Tcp, "x"); // the stream's task has had no turn yet
        }
        moment().await;
        assert_eq!(two.pings.borrow().len(), 32);
        assert_eq!(one.link.counts().dropped_count, 68);
    });
}

#[test]
fn each_frame_that_is_not_ours_is_counted_under_its_code_and_reaches_nobody() {
    run(async {
        let world = World::new();
        let two = End::open(&world, 2).await;
        let frame = |from: &Identity, to, channel| encode_frame(from, NodeId(to), channel, b"x");
        let good = frame(&identity(1), 2, Channel::Heartbeat);
        let stranger = Identity { cluster: ClusterId([8; 16]), ..identity(1) };
        let mut future = good.clone();
        future[5] = 9;
        let checksum = crc32fast::hash(&future[..60]).to_be_bytes();
        future[60..64].copy_from_slice(&checksum);
        let mut damaged = good.clone();
        damaged[64] ^= 1;
        let mut long = good.clone();
        long.push(0);

        let table: [(&str, Vec<u8>); 9] = [
            ("Q1201", b"GET / HTTP/1.1\r\n\r\n".to_vec()),
            ("Q1202", future),
            ("Q1203", frame(&stranger, 2, Channel::Heartbeat)),
            ("Q1205", damaged),
            ("Q1206", long),
            ("Q1206", good[..40].to_vec()),
            ("Q1206", frame(&identity(1), 2, Channel::Request)),
            ("Q1206", frame(&identity(2), 2, Channel::Heartbeat)), // our own id
            ("Q1207", frame(&identity(1), 3, Channel::Heartbeat)),
        ];
        for (code, bytes) in table {
            let before = two.link.counts().refused_count.get(code).copied().unwrap_or(0);
            world.inject(&bytes, address(1), address(2));
            moment().await;
            assert_eq!(two.link.counts().refused_count[code], before + 1, "{code}");
        }
        assert_eq!(two.pings(), "");

        world.inject(&good, address(1), address(2));
        moment().await;
        assert_eq!(two.pings(), "n1 Udp x");
    });
}

#[test]
fn a_stream_that_announces_too_much_is_closed_before_memory_is_taken() {
    run(async {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let world = World::new();
        let two = End::open(&world, 2).await;
        let mut stream = world.env(1).net.connect(address(2)).await.unwrap();
        let payload = vec![0; LINK_PAYLOAD_SIZE_BYTES_MAX + 1];
        let bytes = encode_frame(&identity(1), NodeId(2), Channel::Gossip, &payload);

        stream.write_all(&bytes[..FRAME_HEADER_SIZE_BYTES]).await.unwrap();
        assert_eq!(stream.read(&mut [0]).await.unwrap(), 0); // closed by the link
        assert_eq!(two.link.counts().refused_count["Q1204"], 1);
    });
}

#[test]
fn a_stream_that_begins_with_no_frame_of_ours_ends_at_once_and_a_silent_one_soon() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    for (bytes, code, ended_ms) in [
        (&b"GET "[..], "Q1201", 0),
        (b"QRT1\0\x09", "Q1202", 0),
        (b"QRT1\0\x01", "Q1208", 2_000),
        (b"", "Q1208", 2_000),
    ] {
        run(async {
            let world = World::new();
            let two = End::open(&world, 2).await;
            let clock = world.env(1).clock;
            let mut stream = world.env(1).net.connect(address(2)).await.unwrap();
            stream.write_all(bytes).await.unwrap();
            assert_eq!(stream.read(&mut [0]).await.unwrap(), 0);
            assert_eq!(two.link.counts().refused_count[code], 1);
            assert!((ended_ms..=ended_ms + 100).contains(&clock.now().ms()), "{bytes:?}");
        });
    }
}

#[test]
fn a_closed_link_sends_and_receives_nothing() {
    run(async {
        let world = World::new();
        let (one, two) = (End::open(&world, 1).await, End::open(&world, 2).await);
        one.send(2, Path::Tcp, "x");
        moment().await;
        two.pings();

        two.link.close();
        moment().await;
        one.send(2, Path::Udp, "y");
        one.send(2, Path::Tcp, "z");
        two.send(1, Path::Tcp, "w");
        moment().await;
        assert_eq!((two.pings().as_str(), one.pings().as_str()), ("", ""));
        assert_eq!(two.link.counts().dropped_count, 1);
        End::open(&world, 2).await; // the port is free again
    });
}

#[test]
fn protected_frames_arrive_on_both_paths_and_those_of_an_impostor_on_none() {
    run(async {
        let world = World::new();
        let protected = |id| End::open_as(&world, id, protection(&world, id));
        let (one, two) = (protected(1).await, protected(2).await);
        // It has the key of node 3, and says to be node 4.
        let impostor = End::open_as(&world, 4, protection(&world, 3)).await;
        for round in ["first", "second"] {
            for end in [&one, &impostor] {
                end.send(2, Path::Udp, round);
                end.send(2, Path::Tcp, round);
                moment().await;
            }
        }
        // The first datagram is answered by a greeting; the sender does not repeat it.
        assert_eq!(two.pings(), "n1 Tcp first, n1 Udp second, n1 Tcp second");
        let counts = two.link.counts();
        assert_eq!(counts.refused_count.get("Q1213"), Some(&3), "{counts:?}");
        let plain = End::open(&world, 5).await;
        plain.send(2, Path::Udp, "as it is");
        plain.send(2, Path::Tcp, "as it is");
        moment().await;
        assert_eq!(two.link.counts().refused_count.get("Q1209"), Some(&2));
        assert_eq!(two.pings(), "");
    });
}
