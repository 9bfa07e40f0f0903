//! The client against fake nodes behind the accept loop.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::spawn_local;

use super::fake::{Fake, Pipes, TestClock, env};
use super::in_node;
use crate::api::*;
use crate::error::{ReadError, SwitchoverError, WriteError};
use crate::ids::{LogIndex, NodeId};
use crate::ports::{Listener, Net, Stream};
use crate::replication::Consistency;
use crate::watch;

/// Two fake nodes with a store each, a node that hangs, and one that is gone.
pub(super) struct World {
    pub(super) net: Arc<Pipes>,
    pub(super) clock: Arc<TestClock>,
    pub(super) nodes: Vec<Fake>,
    _stops: Vec<watch::Sender<bool>>,
    _hung: Box<dyn Listener>,
}

pub(super) const HUNG: usize = 3;
pub(super) const GONE: usize = 4;

pub(super) fn at(node: usize) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, node as u8], 8500))
}

impl World {
    pub(super) async fn start() -> World {
        let (net, clock) = (Arc::new(Pipes::default()), Arc::new(TestClock::default()));
        let (mut nodes, mut stops) = (Vec::new(), Vec::new());
        for node in 1..HUNG {
            let fake = Fake::start(net.clone());
            let listener = net.listen(at(node)).await.expect("nobody listens there");
            let (stop, stopped) = watch::channel(false);
            let (entry, router) = (super::serving::entry(&fake), router(fake.handle.clone()));
            spawn_local(serve(listener, entry, router, 8, stopped));
            nodes.push(fake);
            stops.push(stop);
        }
        let hung = net.listen(at(HUNG)).await.expect("nobody listens there");
        let ticking = clock.clone();
        spawn_local(async move {
            for ms in 0.. {
                ticking.set_ms(ms);
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        });
        World { net, clock, nodes, _stops: stops, _hung: hung }
    }

    /// A client that gives up after 300 ms, and leaves a silent address after 30.
    pub(super) fn client(&self, nodes: &[usize]) -> Client {
        let env = env(self.clock.clone(), self.net.clone());
        let addresses = nodes.iter().map(|node| at(*node)).collect();
        Client::new(env, addresses).with_deadline_ms(300, 30)
    }

    fn fails_writes(&self, node: usize, error: Option<WriteError>, applies_anyway: bool) {
        let mut plan = self.nodes[node - 1].plan.borrow_mut();
        (plan.write_error, plan.applies_anyway) = (error, applies_anyway);
    }

    /// The write errors of node 1 are over in a while.
    fn mends_writes_later(&self) {
        let plan = self.nodes[0].plan.clone();
        spawn_local(async move {
            tokio::time::sleep(Duration::from_millis(60)).await;
            plan.borrow_mut().write_error = None;
        });
    }
}

pub(super) fn code<T: std::fmt::Debug>(outcome: Result<T, ClientError>) -> String {
    outcome.expect_err("no answer was expected").to_string()[..5].to_owned()
}

#[test]
fn each_call_has_its_answer() {
    in_node(async {
        let world = World::start().await;
        let mut client = world.client(&[1]);
        let fresh = Consistency::Linearizable;
        let key = "odd/ key?&=+%é";
        assert_eq!(client.get(key, fresh).await.expect("answered").value, None);
        let put = client.put(key, Bytes::from_static(b"one")).await.expect("acknowledged");
        assert_eq!((put.index, put.leader.as_deref()), (LogIndex(1), Some("n2")));
        let found = client.get(key, fresh).await.expect("answered").value.expect("found");
        assert_eq!((&found.value[..], found.create_index, found.modify_index), (&b"one"[..], 1, 1));
        let put = client.cas(key, LogIndex(1), Some(Bytes::from_static(b"two"))).await;
        assert_eq!(put.expect("acknowledged").value.modify_index, Some(2));
        assert_eq!(code(client.cas(key, LogIndex(1), None).await), "Q1105");

        let of = ListOf { prefix: "odd/ ".to_owned(), ..ListOf::default() };
        let listed = client.list(&of, Consistency::Stale).await.expect("answered");
        assert_eq!((listed.value.keys[0].key.as_str(), listed.age_ms), (key, Some(7)));
        let of = ListOf { after: Some(key.to_owned()), limit: Some(1), ..ListOf::default() };
        assert!(client.list(&of, fresh).await.expect("answered").value.keys.is_empty());

        let get = OperationBody::Get { key: key.to_owned() };
        let txn = TransactionBody { checks: vec![], operations: vec![get] };
        let results = client.txn(&txn).await.expect("acknowledged").value.results;
        assert!(matches!(&results[..], [OperationReplyBody::Get(Some(got))] if got.value == "two"));
        assert_eq!(client.delete(key).await.expect("acknowledged").value.existed, Some(true));
        assert_eq!(client.status().await.expect("answered").name, "alpha");
        assert_eq!(client.switchover(Some("beta")).await, Ok(NodeId(2)));
    });
}

#[test]
fn the_next_address_is_asked_where_one_is_gone_hung_or_refuses() {
    in_node(async {
        let world = World::start().await;
        let value = || Bytes::from_static(b"v");
        let mut client = world.client(&[GONE, HUNG, 1]);
        client.put("a", value()).await.expect("acknowledged");
        assert_eq!(client.address(), at(1)); // and stays there

        world.fails_writes(1, Some(WriteError::HandingOver), false);
        let mut client = world.client(&[1, 2]);
        client.put("a", value()).await.expect("acknowledged");
        assert_eq!(client.address(), at(2));

        let error = Some(ReadError::Overloaded { waiting_count: 9 });
        world.nodes[0].plan.borrow_mut().read_error = error;
        let mut client = world.client(&[1, 2]);
        let got = client.get("a", Consistency::Linearizable).await.expect("answered");
        assert_eq!(got.value.expect("was put").value, "v");
    });
}

#[test]
fn refused_is_said_only_if_nothing_can_have_been_written() {
    in_node(async {
        let world = World::start().await;
        let value = || Bytes::from_static(b"v");
        let unknown = || Some(WriteError::OutcomeUnknown { waited_ms: 5 });
        assert_eq!(code(world.client(&[GONE]).put("a", value()).await), "Q1611");
        assert_eq!(code(world.client(&[HUNG]).put("a", value()).await), "Q1611"); // not sent
        assert_eq!(code(world.client(&[HUNG]).status().await), "Q1611");
        assert_eq!(code(world.client(&[1]).put("", value()).await), "Q1101");
        world.fails_writes(1, Some(WriteError::NoLeader { this: NodeId(1) }), false);
        assert_eq!(code(world.client(&[1]).put("a", value()).await), "Q1003");
        assert_eq!(code(world.client(&[HUNG, 1]).put("a", value()).await), "Q1003");
        world.fails_writes(1, unknown(), true);
        assert_eq!(code(world.client(&[1]).put("a", value()).await), "Q1612");
        world.fails_writes(1, None, false);
        assert_eq!(code(world.client(&[HUNG, 1]).put("", value()).await), "Q1101"); // not sent
    });
}

#[test]
fn an_unknown_outcome_is_settled_by_repeating_the_same_id() {
    in_node(async {
        let world = World::start().await;
        let value = || Some(Bytes::from_static(b"v"));
        let unknown = || Some(WriteError::OutcomeUnknown { waited_ms: 5 });
        world.fails_writes(1, unknown(), true);
        world.mends_writes_later();
        let put = world.client(&[1]).cas("a", LogIndex(0), value()).await.expect("acknowledged");
        assert_eq!(put.value.modify_index, Some(1)); // applied once, at the first attempt
        world.fails_writes(1, unknown(), true);
        world.mends_writes_later();
        assert_eq!(code(world.client(&[1]).cas("a", LogIndex(9), value()).await), "Q1105");
    });
}

#[test]
fn a_switchover_is_repeated_only_where_nothing_was_changed() {
    in_node(async {
        let world = World::start().await;
        let to_n2 = |plan: SwitchoverError| {
            world.nodes[1].plan.borrow_mut().switchover = Some(Err(plan));
            world.client(&[HUNG, 1])
        };
        // Whoever answers says where the leader is: nobody else is asked for it.
        assert_eq!(world.client(&[HUNG, GONE, 1]).switchover(None).await, Ok(NodeId(2)));
        assert_eq!(world.nodes[0].plan.borrow().asked_to, None);
        let mut client = to_n2(SwitchoverError::NotLeader { this: NodeId(2) });
        let plan = world.nodes[1].plan.clone();
        spawn_local(async move {
            tokio::time::sleep(Duration::from_millis(60)).await;
            plan.borrow_mut().switchover = None;
        });
        assert_eq!(client.switchover(None).await, Ok(NodeId(2)));
        let mut client = to_n2(SwitchoverError::NotTaken { to: NodeId(2) });
        assert_eq!(code(client.switchover(None).await), "Q1612");
    });
}

/// A node that says that it is ready, takes what comes then, and says nothing more.
#[test]
fn of_a_write_that_somebody_has_taken_a_refusal_by_another_node_says_nothing() {
    in_node(async {
        let world = World::start().await;
        let swallows = world.net.listen(at(5)).await.expect("the place is free");
        spawn_local(async move {
            while let Ok((mut stream, _)) = swallows.accept().await {
                spawn_local(async move {
                    is_asked_whether_ready(&mut stream).await;
                    let ready = b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nready\n";
                    let _ = stream.write_all(ready).await;
                    stream.read_to_end(&mut Vec::new()).await
                });
            }
        });
        // In one round: the first is in doubt while the second refuses; then after it has ended.
        for attempt_ms in [250, 30] {
            let mut client = world.client(&[5, 1]).with_deadline_ms(600, attempt_ms);
            assert_eq!(code(client.put("", Bytes::new()).await), "Q1612", "{attempt_ms}");
        }
    });
}

/// Reads the head of a request.
async fn is_asked_whether_ready(stream: &mut Box<dyn Stream>) -> bool {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let Ok(byte) = stream.read_u8().await else { return false };
        head.push(byte);
    }
    head.starts_with(b"GET /readyz ")
}

#[test]
fn what_stands_between_may_have_passed_a_write_on() {
    in_node(async {
        let world = World::start().await;
        for (head, write, read) in [
            ("502 Bad Gateway", "Q1612", "Q1613"),
            ("200 OK", "Q1612", "Q1613"),
            ("404 Not Found", "Q1612", "Q1613"),
        ] {
            let proxy = world.net.listen(at(5)).await.expect("the last one is gone");
            spawn_local(async move {
                while let Ok((mut stream, _)) = proxy.accept().await {
                    let answer = format!("HTTP/1.1 {head}\r\ncontent-length: 2\r\n\r\nhi");
                    if is_asked_whether_ready(&mut stream).await {
                        let ready = b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nready\n";
                        let _ = stream.write_all(ready).await;
                        let _ = stream.read_u8().await;
                    }
                    let _ = stream.write_all(answer.as_bytes()).await;
                    // The rest of the request stays unread, as a hasty proxy leaves it.
                    spawn_local(async move { stream.read_to_end(&mut Vec::new()).await });
                }
            });
            let put = world.client(&[5]).put("a", Bytes::from_static(b"v")).await;
            assert_eq!(code(put), write, "{head}");
            assert_eq!(code(world.client(&[5]).status().await), read, "{head}");
        }
    });
}
