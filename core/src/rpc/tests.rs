//! Client and server over streams in memory: which protocol they speak, and what ends a connection.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::LocalBoxFuture;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::client::Lookup;
use super::wire::{FrameBuffer, shake_hands};
use super::*;
use crate::codec::{Channel, Identity, Protocols, decode_header_in, encode_frame, encode_frame_in};
use crate::ids::NodeId;
use crate::link::fake::{World, address, identity, run};
use crate::ports::{Env, Stream};
use crate::security::tests::protection;
use crate::security::{Protection, refusal_in};

const ONE: Protocols = Protocols::only(1);
const ONE_AND_TWO: Protocols = Protocols { oldest: 1, newest: 2 };
const THREE_AND_FOUR: Protocols = Protocols { oldest: 3, newest: 4 };

/// Answers every request with itself, and keeps it.
#[derive(Default)]
struct Echo(RefCell<Vec<Bytes>>);

impl Answering for Echo {
    fn answer(&self, _from: NodeId, request: Bytes) -> LocalBoxFuture<'static, Option<Bytes>> {
        self.0.borrow_mut().push(request.clone());
        Box::pin(async move { Some(request) })
    }
}

/// Takes every request, and answers none.
struct Mute;

impl Answering for Mute {
    fn answer(&self, _from: NodeId, _request: Bytes) -> LocalBoxFuture<'static, Option<Bytes>> {
        Box::pin(std::future::pending())
    }
}

/// Node 2 answers in `world`; returns what it has refused, and what reached it.
async fn serve(world: &World, speaks: Protocols) -> (Refused, Rc<Echo>) {
    serve_as(world, speaks, Protection::none()).await
}

async fn serve_as(world: &World, speaks: Protocols, protection: Protection) -> (Refused, Rc<Echo>) {
    let (env, refused, echo) = (world.env(2), Refused::default(), Rc::<Echo>::default());
    let listener = env.net.listen(address(2)).await.unwrap();
    let (with, this) = (echo.clone(), identity(2));
    let refused_here = refused.clone();
    let server = Server { env, this, protection, with, refused: refused_here, speaks };
    tokio::task::spawn_local(server.serve(listener));
    (refused, echo)
}

/// How node 1 calls.
fn calling(env: Env, speaks: Protocols, connect_ms_max: u64) -> Calling {
    let lookup: Lookup = Arc::new(|node| Some(address(node.0)));
    let protection = Protection::none();
    Calling { env, this: identity(1), lookup, connect_ms_max, protection, speaks }
}

async fn call(world: &World, speaks: Protocols) -> Result<Bytes, CallError> {
    let env = world.env(1);
    let deadline = env.clock.now().plus_ms(500);
    let client = Client::start(calling(env, speaks, 500), NodeId(2));
    client.call(Bytes::from_static(b"question"), deadline).await
}

async fn connect(world: &World) -> Box<dyn Stream> {
    world.env(1).net.connect(address(2)).await.unwrap()
}

/// Shakes hands with node 2 by hand, as node 1.
async fn shaken(world: &World, speaks: Protocols) -> io::Result<(Box<dyn Stream>, FrameBuffer)> {
    let (mut stream, mut frames) = (connect(world).await, FrameBuffer::new(identity(1)));
    shake_hands(&mut stream, &mut frames, NodeId(2), speaks).await?;
    Ok((stream, frames))
}

#[test]
fn neighbours_speak_the_older_ones_newest_protocol_and_every_frame_carries_it() {
    for (client, server, expected) in [
        (ONE_AND_TWO, ONE, 1),
        (ONE, ONE_AND_TWO, 1),
        (ONE_AND_TWO, ONE_AND_TWO, 2),
        (Protocols::OURS, Protocols::OURS, 1),
    ] {
        run(async {
            let world = World::new();
            let (refused, echo) = serve(&world, server).await;
            assert_eq!(call(&world, client).await.unwrap(), "question");
            assert_eq!((refused.count(), echo.0.borrow().len()), (0, 1));

            let (mut stream, frames) = shaken(&world, client).await.unwrap();
            assert_eq!(frames.protocol(), expected);
            let request = [&0_u64.to_be_bytes()[..], b"by hand"].concat();
            let (from, to) = (identity(1), NodeId(2));
            let frame = encode_frame_in(expected, &from, to, Channel::Request, &request);
            stream.write_all(&frame).await.unwrap();
            let mut head = [0; crate::codec::FRAME_HEADER_SIZE_BYTES];
            stream.read_exact(&mut head).await.unwrap();
            let header = decode_header_in(&head, Protocols::only(expected)).unwrap();
            assert_eq!(header.channel, Channel::Response);
        });
    }
}

#[test]
fn a_frame_of_another_protocol_than_the_negotiated_one_ends_its_connection() {
    run(async {
        let world = World::new();
        let (refused, echo) = serve(&world, ONE_AND_TWO).await;
        // 1 is spoken by both, and yet not on this connection.
        let (mut stream, frames) = shaken(&world, ONE_AND_TWO).await.unwrap();
        assert_eq!(frames.protocol(), 2);
        let (from, to) = (identity(1), NodeId(2));
        let frame = encode_frame_in(1, &from, to, Channel::Request, b"12345678");
        stream.write_all(&frame).await.unwrap();
        assert_eq!(stream.read_to_end(&mut Vec::new()).await.unwrap(), 0);
        assert_eq!(refused.counts(), [("Q1202", 1)]);
        assert!(echo.0.borrow().is_empty());
    });
}

#[test]
fn a_pair_without_a_common_protocol_is_refused_on_both_sides_naming_both_ranges() {
    for (client, server) in [(ONE_AND_TWO, THREE_AND_FOUR), (THREE_AND_FOUR, ONE_AND_TWO)] {
        run(async {
            let world = World::new();
            let (refused, echo) = serve(&world, server).await;
            let text = format!("Q1202 protocol {server} is not spoken here (only {client});");

            let error = call(&world, client).await.expect_err("they have none in common");
            assert!(matches!(error, CallError::Unreachable { .. }), "{error}");
            assert!(error.to_string().contains(&text), "{error}");
            let error = shaken(&world, client).await.map(drop).expect_err("refused");
            assert!(refusal_in(&error).unwrap().to_string().starts_with(&text), "{error}");

            tokio::time::sleep(Duration::from_millis(1)).await;
            assert_eq!(refused.counts(), [("Q1202", 2)]);
            assert!(echo.0.borrow().is_empty());
        });
    }
}

#[test]
fn the_side_that_answers_names_both_ranges_too() {
    run(async {
        let world = World::new();
        let listener = world.env(2).net.listen(address(2)).await.unwrap();
        let calling = connect(&world);
        let (mut ours, accepted) = tokio::join!(calling, listener.accept());
        let mut theirs = accepted.unwrap().0;
        let (mut one, mut two) = (FrameBuffer::new(identity(1)), FrameBuffer::new(identity(2)));
        let (caller, answerer) = tokio::join!(
            shake_hands(&mut ours, &mut one, NodeId(2), ONE_AND_TWO),
            shake_hands(&mut theirs, &mut two, NodeId(0), THREE_AND_FOUR),
        );
        let texts = [caller, answerer].map(|side| side.expect_err("refused").to_string());
        assert!(texts[0].contains("protocol 3 to 4 is not spoken here (only 1 to 2)"), "{texts:?}");
        assert!(texts[1].contains("protocol 1 to 2 is not spoken here (only 3 to 4)"), "{texts:?}");
    });
}

#[test]
fn calls_do_not_wait_for_a_connection_longer_than_it_may_take() {
    run(async {
        let world = World::new();
        // The peer is there, as far as the network knows, and never says a word.
        let _silent = world.env(2).net.listen(address(2)).await.unwrap();
        let env = world.env(1);
        let clock = env.clock.clone();
        let client = Client::start(calling(env, Protocols::OURS, 300), NodeId(2));
        let deadline = clock.now().plus_ms(5_000);
        let call = || client.call(Bytes::from_static(b"question"), deadline);
        let (first, second) = tokio::join!(call(), call());
        for refused in [first, second] {
            assert!(matches!(refused, Err(CallError::Unreachable { .. })), "{refused:?}");
        }
        let waited_ms = clock.now().ms();
        assert!((300..400).contains(&waited_ms), "after {waited_ms} ms");
    });
}

#[test]
fn a_connection_ends_with_its_client_although_a_call_waits_for_its_answer() {
    run(async {
        let world = World::new();
        let env = world.env(2);
        let listener = env.net.listen(address(2)).await.unwrap();
        let (refused, speaks) = (Refused::default(), Protocols::OURS);
        let (this, with, protection) = (identity(2), Rc::new(Mute), Protection::none());
        let server = Server { env, this, protection, with, refused, speaks };
        tokio::task::spawn_local(server.serve(listener));
        let env = world.env(1);
        let clock = env.clock.clone();
        let client = Client::start(calling(env, Protocols::OURS, 300), NodeId(2));
        let calling = client.call(Bytes::from_static(b"question"), clock.now().plus_ms(5_000));
        let gives_up = async {
            tokio::time::sleep(Duration::from_millis(100)).await;
            drop(client);
        };
        let (answer, ()) = tokio::join!(calling, gives_up);
        assert!(matches!(answer, Err(CallError::NoAnswer { .. })), "{answer:?}");
        let waited_ms = clock.now().ms();
        assert!((100..200).contains(&waited_ms), "after {waited_ms} ms");
    });
}

#[test]
fn a_connection_that_does_not_begin_like_one_of_ours_ends_at_once_and_a_silent_one_soon() {
    let half =
        |from: &Identity| encode_frame(from, NodeId(2), Channel::Handshake, b"")[..40].to_vec();
    let table: [(&[u8], &str, bool); 5] = [
        (b"GET ", "Q1201", true),
        (b"QRT1\0\x09", "Q1202", true),
        (b"QRT", "Q1208", false), // too little to tell
        (&half(&identity(1)), "Q1208", false),
        (b"", "Q1208", false),
    ];
    for (bytes, code, is_at_once) in table {
        run(async {
            let world = World::new();
            let (refused, _) = serve(&world, Protocols::OURS).await;
            let mut stream = connect(&world).await;
            let clock = world.env(1).clock; // counts from here
            stream.write_all(bytes).await.unwrap();
            stream.read_to_end(&mut Vec::new()).await.unwrap(); // its own handshake, and the end
            let ended_ms = clock.now().ms();
            assert_eq!(refused.counts(), [(code, 1)], "{bytes:?}");
            assert_eq!(ended_ms < 100, is_at_once, "{bytes:?}: after {ended_ms} ms");
            assert!(ended_ms <= 2_100, "{bytes:?}: after {ended_ms} ms");
        });
    }
}

#[test]
fn large_requests_and_answers_pass_a_protected_stream_whole() {
    run(async {
        let world = World::new();
        let (refused, _) = serve_as(&world, Protocols::OURS, protection(&world, 2)).await;
        let protected = Calling {
            protection: protection(&world, 1),
            ..calling(world.env(1), Protocols::OURS, 500)
        };
        let clock = protected.env.clock.clone();
        let client = Client::start(protected, NodeId(2));
        // Both ways at once, and each much more than a stream takes at a time.
        let requests = (0..8_u8).map(|letter| Bytes::from(vec![letter; 1 << 20]));
        let deadline = clock.now().plus_ms(60_000);
        let calls = requests.clone().map(|request| client.call(request, deadline));
        let answers = futures_util::future::join_all(calls).await;
        for (request, answer) in requests.zip(answers) {
            assert!(answer.as_ref() == Ok(&request), "{:?}", answer.map(|bytes| bytes.len()));
        }
        assert_eq!(refused.count(), 0);
    });
}

#[test]
fn who_sends_as_another_than_its_key_says_is_refused() {
    run(async {
        let world = World::new();
        let (refused, echo) = serve_as(&world, Protocols::OURS, protection(&world, 2)).await;
        // Node 3 has the secret, and says to be node 1.
        let impostor = Calling {
            protection: protection(&world, 3),
            ..calling(world.env(1), Protocols::OURS, 500)
        };
        let deadline = impostor.env.clock.now().plus_ms(500);
        let client = Client::start(impostor, NodeId(2));
        let answer = client.call(Bytes::from_static(b"question"), deadline).await;
        assert!(answer.is_err(), "{answer:?}");
        assert_eq!(refused.counts(), [("Q1213", 1)]);
        assert!(echo.0.borrow().is_empty(), "nothing of it was looked at");
    });
}
