//! The calling side: one connection to one peer, made when it is needed.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};

use super::wire::{FrameBuffer, Outbox, put_frame, shake_hands, take_number};
use super::{CallError, CallNumber};
use crate::codec::{Channel, Identity, Protocols, Refusals};
use crate::ids::NodeId;
use crate::ports::{Env, Now, sleep_until};
use crate::security::{Protection, refusal_in};

/// Calls that may wait for the connection; more are refused at once.
const WAITING_COUNT_MAX: usize = 4_096;
/// Bytes that may wait to be written before further calls are taken from the queue.
const UNSENT_SIZE_BYTES_MAX: usize = 4 << 20;

/// Finds the present address of a peer; asked before each connection.
pub type Lookup = Arc<dyn Fn(NodeId) -> Option<SocketAddr> + Send + Sync>;

/// Calls one peer over a connection of its own. Cheap to clone; the connection ends with the last,
/// whatever calls still wait for an answer.
#[derive(Clone, Debug)]
pub struct Client {
    peer: NodeId,
    calls: mpsc::Sender<Call>,
}

struct Call {
    request: Bytes,
    deadline: Now,
    outcome: oneshot::Sender<Result<Bytes, CallError>>,
}

/// How a node calls others. Clones share nothing that changes.
#[derive(Clone)]
pub struct Calling {
    /// The node's world.
    pub env: Env,
    /// Who calls.
    pub this: Identity,
    /// Finds the peers.
    pub lookup: Lookup,
    /// How long a peer may take to open a connection and shake hands. Calls that wait for it have
    /// not been sent, and are refused then, whatever their deadlines.
    pub connect_ms_max: u64,
    /// Who is believed to be a peer.
    pub protection: Protection,
    /// What is spoken here: `Protocols::OURS`, but for tests.
    pub speaks: Protocols,
}

impl Client {
    /// Starts the local task that keeps the connection. Call it inside the node's `LocalSet`.
    pub fn start(by: Calling, peer: NodeId) -> Client {
        let (calls, waiting) = mpsc::channel(WAITING_COUNT_MAX);
        let caller = Caller { by, peer, refusals: Refusals::default(), waiting };
        tokio::task::spawn_local(caller.run());
        Client { peer, calls }
    }

    /// Sends one request; what it returns waits for the answer until `deadline`.
    pub fn call(
        &self,
        request: Bytes,
        deadline: Now,
    ) -> impl Future<Output = Result<Bytes, CallError>> + use<> {
        let (outcome, answer) = oneshot::channel();
        let peer = self.peer;
        let sent = self.calls.try_send(Call { request, deadline, outcome });
        async move {
            let detail = match sent {
                Ok(()) => match answer.await {
                    Ok(answered) => return answered,
                    Err(_) => "this node gave the connection up",
                },
                Err(mpsc::error::TrySendError::Full(_)) => "too many calls wait",
                Err(mpsc::error::TrySendError::Closed(_)) => "this node gave the connection up",
            };
            Err(CallError::Unreachable { peer, detail: detail.to_owned() })
        }
    }
}

struct Caller {
    by: Calling,
    peer: NodeId,
    /// What the peer answered that was refused here; for the log.
    refusals: Refusals,
    waiting: mpsc::Receiver<Call>,
}

/// A connection that has shaken hands.
struct Connection {
    stream: Box<dyn crate::ports::Stream>,
    frames: FrameBuffer,
}

/// A call whose request was written, or is about to be.
struct Pending {
    deadline: Now,
    outcome: oneshot::Sender<Result<Bytes, CallError>>,
}

impl Caller {
    async fn run(mut self) {
        while let Some(first) = self.waiting.recv().await {
            match self.connect(first.deadline).await {
                Ok(connection) => self.use_connection(connection, first).await,
                Err(error) => self.refuse_waiting(first, &error),
            }
        }
    }

    async fn connect(&self, deadline: Now) -> io::Result<Connection> {
        let connecting = async {
            let Some(address) = (self.by.lookup)(self.peer) else {
                return Err(io::Error::other("its address is not known"));
            };
            let stream = self.by.env.net.connect(address).await?;
            let mut stream = self.by.protection.open(stream, self.peer).await?;
            let mut frames = FrameBuffer::new(self.by.this);
            shake_hands(&mut stream, &mut frames, self.peer, self.by.speaks).await?;
            Ok(Connection { stream, frames })
        };
        let clock = &self.by.env.clock;
        let connect_by = clock.now().plus_ms(self.by.connect_ms_max).min(deadline);
        tokio::select! {
            biased;
            connected = connecting => connected,
            () = sleep_until(&**clock, connect_by) => Err(io::ErrorKind::TimedOut.into()),
        }
    }

    /// Nothing was sent for these: the caller may try elsewhere.
    fn refuse_waiting(&mut self, first: Call, error: &io::Error) {
        if let Some(error) = refusal_in(error)
            && self.refusals.note(self.by.env.clock.now(), &error)
        {
            let (node, peer) = (self.by.this.node, self.peer);
            tracing::warn!(%node, %peer, %error, "a peer was refused");
        }
        let refusal = || CallError::Unreachable { peer: self.peer, detail: error.to_string() };
        let _ = first.outcome.send(Err(refusal()));
        while let Ok(call) = self.waiting.try_recv() {
            let refusal = CallError::Unreachable { peer: self.peer, detail: error.to_string() };
            let _ = call.outcome.send(Err(refusal));
        }
    }

    async fn use_connection(&mut self, connection: Connection, first: Call) {
        let mut pending = BTreeMap::new();
        let ended = self.exchange(connection, first, &mut pending).await;
        let detail = match ended {
            Ok(()) => "this node gave the connection up".to_owned(),
            Err(error) => error.to_string(),
        };
        for Pending { outcome, .. } in pending.into_values() {
            let error = CallError::NoAnswer { peer: self.peer, detail: detail.clone() };
            let _ = outcome.send(Err(error));
        }
    }

    /// Writes requests and reads answers until something fails or nobody calls any more.
    async fn exchange(
        &mut self,
        connection: Connection,
        first: Call,
        pending: &mut BTreeMap<CallNumber, Pending>,
    ) -> io::Result<()> {
        let Connection { stream, mut frames } = connection;
        let (mut reader, mut writer) = tokio::io::split(stream);
        let (protocol, mut out) = (frames.protocol(), Outbox::default());
        let mut number: CallNumber = 0;
        let mut check_at = first.deadline;
        let mut timer = Box::pin(self.until(check_at));
        self.put_call(first, protocol, &mut number, &mut out, pending);
        loop {
            tokio::select! {
                biased;
                filled = frames.fill(&mut reader) => {
                    filled?;
                    while let Some(frame) = frames.next()? {
                        let (number, answer) = take_number(&frame)?;
                        if let Some(call) = pending.remove(&number) {
                            let _ = call.outcome.send(Ok(answer));
                        }
                    }
                }
                passed = out.pass_on(&mut writer), if out.has_more() => passed?,
                call = self.waiting.recv(), if out.size_bytes() < UNSENT_SIZE_BYTES_MAX => {
                    let Some(call) = call else { return Ok(()) };
                    if call.deadline < check_at || pending.is_empty() {
                        check_at = call.deadline;
                        timer = Box::pin(self.until(check_at));
                    }
                    self.put_call(call, protocol, &mut number, &mut out, pending);
                }
                () = &mut timer, if !pending.is_empty() => {
                    check_at = self.earliest_deadline(pending)?;
                    timer = Box::pin(self.until(check_at));
                }
            }
        }
    }

    fn put_call(
        &self,
        call: Call,
        protocol: u16,
        number: &mut CallNumber,
        out: &mut Outbox,
        pending: &mut BTreeMap<CallNumber, Pending>,
    ) {
        let (from, to, bytes) = (&self.by.this, self.peer, &call.request);
        put_frame(out, protocol, from, to, Channel::Request, *number, bytes);
        pending.insert(*number, Pending { deadline: call.deadline, outcome: call.outcome });
        *number += 1;
    }

    fn until(&self, deadline: Now) -> tokio::time::Sleep {
        tokio::time::sleep(deadline.since(self.by.env.clock.now()))
    }

    /// The next deadline to look at; `TimedOut` if one has passed, which ends the connection.
    fn earliest_deadline(&self, pending: &BTreeMap<CallNumber, Pending>) -> io::Result<Now> {
        let earliest = pending.values().map(|call| call.deadline).min().expect("not empty");
        if earliest > self.by.env.clock.now() {
            Ok(earliest)
        } else {
            Err(io::ErrorKind::TimedOut.into())
        }
    }
}
