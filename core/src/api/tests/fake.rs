//! A node of one actor over a local store, and a network of pipes in memory.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use actix::prelude::*;
use bytes::Bytes;
use futures_util::future::LocalBoxFuture;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use tokio::sync::mpsc;

use crate::config::MemberSettings;
use crate::error::{MembershipError, ReadError, SwitchoverError, WriteError};
use crate::ids::{ClusterId, FencingToken, Generation, LogIndex, NodeId, RequestId, Term};
use crate::key_value::KeyValue;
use crate::leader::{Leadership, Switchover};
use crate::membership::{ChangeMembers, Roster};
use crate::node::identity::first_of;
use crate::node::{Inner, NodeHandle};
use crate::ports::{
    Blocks, Clock, Datagrams, Disk, Entropy, Env, Lane, Listener, Net, Now, OpenHow, Stream, UnixMs,
};
use crate::replication::machine::StateMachine;
use crate::replication::{Answer, Propose, Proposed, RaftRole, Read, Stop, Write};
use crate::status::{AskStatus, Fact, Figure, MemberStatus, Status};
use crate::watch;

/// What the fake node is to do next.
#[derive(Default)]
pub(crate) struct Plan {
    pub(crate) write_error: Option<WriteError>,
    /// The write is applied although `write_error` is answered.
    pub(crate) applies_anyway: bool,
    pub(crate) read_error: Option<ReadError>,
    pub(crate) switchover: Option<Result<NodeId, SwitchoverError>>,
    pub(crate) asked_to: Option<Option<NodeId>>,
    pub(crate) read_delay_ms: u64,
    pub(crate) has_no_leader: bool,
    /// What every change of the roster is answered; without it, its outcome is not known.
    pub(crate) roster_reply: Option<Bytes>,
    /// How often the status was asked for.
    pub(crate) status_asked_count: usize,
}

struct FakeNode {
    plan: Rc<RefCell<Plan>>,
    store: KeyValue,
    index: u64,
    applied: BTreeMap<RequestId, Proposed>,
}

impl Actor for FakeNode {
    type Context = Context<Self>;
}

impl Handler<Propose> for FakeNode {
    type Result = Result<Proposed, WriteError>;

    fn handle(&mut self, propose: Propose, _: &mut Context<Self>) -> Self::Result {
        let plan = self.plan.borrow();
        if let (Some(error), false) = (&plan.write_error, plan.applies_anyway) {
            return Err(error.clone());
        }
        let proposed = match self.applied.get(&propose.request_id) {
            Some(proposed) => proposed.clone(),
            None => {
                self.index += 1;
                let index = LogIndex(self.index);
                let reply = self.store.apply(index, &propose.command);
                Proposed { index, reply, leader: NodeId(2) }
            }
        };
        if propose.request_id != RequestId::NONE {
            self.applied.insert(propose.request_id, proposed.clone());
        }
        plan.write_error.clone().map_or(Ok(proposed), Err)
    }
}

impl Handler<Read> for FakeNode {
    type Result = ResponseFuture<Result<Answer, ReadError>>;

    fn handle(&mut self, read: Read, _: &mut Context<Self>) -> Self::Result {
        let plan = self.plan.borrow();
        let (index, leader) = (LogIndex(self.index), Some(NodeId(2)));
        let reply = self.store.query(&read.query);
        let answer = plan.read_error.clone().map_or(Ok(()), Err);
        let answer = answer.map(|()| Answer { index, age_ms: 7, reply, leader });
        let delay = Duration::from_millis(plan.read_delay_ms);
        Box::pin(async move {
            tokio::time::sleep(delay).await;
            answer
        })
    }
}

impl Handler<Switchover> for FakeNode {
    type Result = Result<NodeId, SwitchoverError>;

    fn handle(&mut self, switchover: Switchover, _: &mut Context<Self>) -> Self::Result {
        let mut plan = self.plan.borrow_mut();
        plan.asked_to = Some(switchover.to);
        plan.switchover.clone().unwrap_or(Ok(NodeId(2)))
    }
}

impl Handler<AskStatus> for FakeNode {
    type Result = MessageResult<AskStatus>;

    fn handle(&mut self, AskStatus: AskStatus, _: &mut Context<Self>) -> Self::Result {
        let mut plan = self.plan.borrow_mut();
        plan.status_asked_count += 1;
        let leader = (!plan.has_no_leader).then_some(NodeId(2));
        MessageResult(Status {
            node: NodeId(1),
            name: "alpha".to_owned(),
            cluster: "quorate".to_owned(),
            cluster_id: "00".repeat(16),
            term: "0.3".to_owned(),
            role: RaftRole::Follower,
            leader,
            acting: false,
            token: None,
            leader_age_ms: Some(12),
            commit_index: LogIndex(self.index),
            applied_index: LogIndex(self.index),
            last_index: LogIndex(self.index),
            voters: vec![NodeId(1), NodeId(2)],
            learners: vec![],
            is_joint: false,
            members: vec![member(1, "alpha"), member(2, "beta")],
            queues: vec![Figure { name: "writes".to_owned(), value: 4 }],
            counters: vec![Figure { name: "elections".to_owned(), value: 3 }],
        })
    }
}

fn member(id: u64, name: &str) -> MemberStatus {
    let at = |port| SocketAddr::from(([127, 0, 0, id as u8], port));
    let source = "gossip".to_owned();
    MemberStatus {
        id: NodeId(id),
        name: name.to_owned(),
        consensus: at(8300),
        membership: at(8301),
        api: at(8500),
        roster_address: at(0).ip(),
        role: "full".to_owned(),
        view: Some(Fact { value: "alive".to_owned(), age_ms: 40, source }),
        health: None,
        path: None,
        rtt_us: None,
        matching_index: None,
    }
}

/// The handle of a fake node, and the strings it hangs on.
pub(crate) struct Fake {
    pub(crate) handle: NodeHandle,
    pub(crate) plan: Rc<RefCell<Plan>>,
    pub(crate) clock: Arc<TestClock>,
    pub(crate) leadership: watch::Sender<Leadership>,
    pub(crate) roster: watch::Sender<Roster>,
}

impl Fake {
    /// n1, which follows n2.
    pub(crate) fn start(net: Arc<Pipes>) -> Fake {
        let plan = Rc::new(RefCell::new(Plan::default()));
        let clock = Arc::new(TestClock::default());
        let env = env(clock.clone(), net);
        let (leadership, changes) = watch::channel(follows(Some(NodeId(2))));
        let (roster, members) = watch::channel(Roster::default());
        let (store, applied) = (KeyValue::new(), BTreeMap::new());
        let node = FakeNode { plan: plan.clone(), store, index: 0, applied }.start();
        let inner = Inner {
            identity: first_of(ClusterId([0; 16])),
            order: RequestId::NONE,
            place: MemberSettings::at("n1", [127, 0, 0, 1].into()),
            secret: None,
            env,
            local_admin: None,
            propose: node.clone().recipient(),
            read: node.clone().recipient(),
            switchover: node.clone().recipient(),
            members: node.clone().recipient(),
            roster_write: node.clone().recipient(),
            status: node.clone().recipient(),
            stop: node.recipient(),
            leadership: changes,
            roster: members,
            ended: watch::channel(None).1,
        };
        Fake { handle: NodeHandle { inner: Arc::new(inner) }, plan, clock, leadership, roster }
    }
}

pub(crate) fn follows(elected: Option<NodeId>) -> Leadership {
    let term = Term::new(Generation(0), 3);
    let role = RaftRole::Follower;
    let (lease_until, since) = (Now::default(), Now::default());
    Leadership { node: NodeId(1), term, role, elected, token: None, lease_until, since }
}

pub(crate) fn leads_until(lease_until: Now) -> Leadership {
    let follower = follows(Some(NodeId(1)));
    let token = Some(FencingToken(follower.term));
    Leadership { role: RaftRole::Elected, token, lease_until, ..follower }
}

/// An `Env` of which only clock, streams and unique names work.
pub(crate) fn env(clock: Arc<dyn Clock>, net: Arc<dyn Net>) -> Env {
    Env { clock, net, disk: Arc::new(Absent), entropy: Arc::new(Absent) }
}

#[derive(Debug, Default)]
pub(crate) struct TestClock(AtomicU64);

impl TestClock {
    pub(crate) fn set_ms(&self, ms: u64) {
        self.0.store(ms, Ordering::Relaxed);
    }
}

impl Clock for TestClock {
    fn now(&self) -> Now {
        Now::from_ms(self.0.load(Ordering::Relaxed))
    }
    fn wall(&self) -> UnixMs {
        UnixMs(1_795_000_000_000) // some day in 2026
    }
}

type Accepted = (Box<dyn Stream>, SocketAddr);

/// Streams between addresses of one process.
#[derive(Debug, Default)]
pub(crate) struct Pipes {
    listeners: Mutex<BTreeMap<SocketAddr, mpsc::UnboundedSender<SendBox>>>,
}

/// The far end of a pipe on its way to the listener; both ends are on one thread.
#[derive(Debug)]
struct SendBox(tokio::io::DuplexStream);

#[derive(Debug)]
struct PipeListener {
    at: SocketAddr,
    incoming: tokio::sync::Mutex<mpsc::UnboundedReceiver<SendBox>>,
}

impl Listener for PipeListener {
    fn accept(&self) -> LocalBoxFuture<'_, io::Result<Accepted>> {
        Box::pin(async {
            match self.incoming.lock().await.recv().await {
                Some(SendBox(stream)) => Ok((Box::new(stream) as Box<dyn Stream>, self.at)),
                None => std::future::pending().await,
            }
        })
    }
    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.at)
    }
}

impl Net for Pipes {
    fn connect(&self, to: SocketAddr) -> LocalBoxFuture<'_, io::Result<Box<dyn Stream>>> {
        Box::pin(async move {
            let (near, far) = tokio::io::duplex(64 << 10);
            let listeners = self.listeners.lock().expect("no test panics with it");
            let listener = listeners.get(&to).ok_or(io::ErrorKind::ConnectionRefused)?;
            listener.send(SendBox(far)).map_err(|_| io::ErrorKind::ConnectionRefused)?;
            Ok(Box::new(near) as Box<dyn Stream>)
        })
    }
    fn listen(&self, at: SocketAddr) -> LocalBoxFuture<'_, io::Result<Box<dyn Listener>>> {
        let (sender, incoming) = mpsc::unbounded_channel();
        self.listeners.lock().expect("no test panics with it").insert(at, sender);
        let listener = PipeListener { at, incoming: incoming.into() };
        Box::pin(async move { Ok(Box::new(listener) as Box<dyn Listener>) })
    }
    fn datagrams(&self, _: SocketAddr) -> LocalBoxFuture<'_, io::Result<Arc<dyn Datagrams>>> {
        unreachable!("the API sends none")
    }
}

/// Ports that the API does not use, but for names that differ.
#[derive(Debug)]
struct Absent;

impl Disk for Absent {
    fn open(&self, _: &Path, _: OpenHow) -> io::Result<Box<dyn Blocks>> {
        unreachable!("the API opens no file")
    }
    fn read(&self, _: &Path) -> io::Result<Option<Vec<u8>>> {
        unreachable!("the API reads no file")
    }
    fn replace(&self, _: &Path, _: &[u8]) -> io::Result<()> {
        unreachable!("the API writes no file")
    }
    fn list(&self, _: &Path) -> io::Result<Vec<PathBuf>> {
        unreachable!("the API lists no files")
    }
    fn rename(&self, _: &Path, _: &Path) -> io::Result<()> {
        unreachable!("the API renames no file")
    }
    fn remove(&self, _: &Path) -> io::Result<()> {
        unreachable!("the API removes no file")
    }
    fn lane(&self, _: &'static str) -> Arc<dyn Lane> {
        unreachable!("the API does not block")
    }
}

impl Entropy for Absent {
    fn fork(&self, _: &'static str) -> SmallRng {
        unreachable!("the API draws names only")
    }
    fn fill(&self, _: &'static str, bytes: &mut [u8]) {
        static DRAWN: AtomicU64 = AtomicU64::new(1);
        SmallRng::seed_from_u64(DRAWN.fetch_add(1, Ordering::Relaxed)).fill_bytes(bytes);
    }
}

impl Handler<Stop> for FakeNode {
    type Result = ();

    fn handle(&mut self, _: Stop, _: &mut Context<Self>) {}
}

impl Handler<Write> for FakeNode {
    type Result = ();

    fn handle(&mut self, write: Write, _: &mut Context<Self>) {
        let (Write::New(write) | Write::Bounced(write)) = write;
        if let Some(reply) = self.plan.borrow().roster_reply.clone() {
            write.answer(Proposed { index: LogIndex(9), reply, leader: NodeId(2) });
        }
    }
}

impl Handler<ChangeMembers> for FakeNode {
    type Result = Result<Vec<NodeId>, MembershipError>;

    fn handle(&mut self, _: ChangeMembers, _: &mut Context<Self>) -> Self::Result {
        Err(MembershipError::NotLeader { this: NodeId(1) })
    }
}
