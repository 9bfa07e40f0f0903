//! Link: small frames between members on 8301, over UDP and, where that is blocked, over TCP.
//!
//! It carries pings and gossip and understands neither. A frame is sent at once or lost: nothing
//! is repeated, and what waits for a stream waits in a short queue. Which path to take is decided
//! by `heartbeat/state.rs`.
//!
//! Invariants
//! - Sending never blocks; what finds no room is dropped and counted.
//! - A frame that is not ours, damaged or misrouted reaches nobody; it is counted by its code and
//!   logged at most once per minute.
//! - At most one stream leads to a peer; it is made by the first frame that needs it.
//!
//! Read next: [`Link::send`], then `stream.rs` for the life of a stream.

mod counts;
#[cfg(test)]
pub(crate) mod fake;
mod stream;
#[cfg(test)]
mod tests;

pub use counts::LinkCounts;

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tokio::task::AbortHandle;

use crate::codec::{
    Channel, CodecError, FRAME_HEADER_SIZE_BYTES, Frame, Identity, decode_frame, encode_frame,
};
use crate::ids::NodeId;
use crate::observe::mark;
use crate::ports::{DATAGRAM_SIZE_BYTES_MAX, Datagrams, Env, Listener};
use crate::security::datagrams::{self, PROTECTION_SIZE_BYTES, Revealed};
use crate::security::{Protection, check_peer};
use counts::Counts;
use stream::Outgoing;

/// The largest payload in bytes, on both paths: what goes over TCP today goes over UDP tomorrow.
pub const LINK_PAYLOAD_SIZE_BYTES_MAX: usize =
    DATAGRAM_SIZE_BYTES_MAX - PROTECTION_SIZE_BYTES - FRAME_HEADER_SIZE_BYTES;

/// How long a receive loop waits after an error, so that a broken socket costs no processor time.
const ERROR_WAIT: Duration = Duration::from_millis(50);

/// How a frame travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Path {
    /// One datagram per frame.
    Udp,
    /// A stream, where UDP is blocked.
    Tcp,
}

/// A frame for this node arrived. Sent by the link, after every check of its header.
#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[rtype(result = "()")]
pub struct Received {
    /// Who has sent it: as its key says over a protected stream, else as the frame says.
    pub from: NodeId,
    /// Where it came from; over TCP the port is one of the system's choice.
    pub address: SocketAddr,
    /// How it came.
    pub path: Path,
    /// Its bytes, not decoded yet.
    pub payload: Bytes,
}

/// One node's end of all links. Clones share it; [`Link::close`] ends them all.
#[derive(Clone, Debug)]
pub struct Link {
    inner: Rc<Inner>,
}

#[derive(Debug)]
struct Inner {
    env: Env,
    identity: Identity,
    at: SocketAddr,
    /// `None` once closed, so that another link of this process may have the port.
    datagrams: RefCell<Option<Arc<dyn Datagrams>>>,
    protection: Protection,
    /// What protects the datagrams; `None` if nothing does.
    protected: RefCell<Option<datagrams::Datagrams>>,
    listener: RefCell<Option<Box<dyn Listener>>>,
    streams: RefCell<BTreeMap<NodeId, Outgoing>>,
    counts: RefCell<Counts>,
    tasks: RefCell<Vec<AbortHandle>>,
    is_closed: Cell<bool>,
}

/// Who gets the frames of which channel.
#[derive(Clone)]
struct Receivers {
    heartbeat: Recipient<Received>,
    gossip: Recipient<Received>,
}

impl Link {
    /// Binds the UDP socket and the TCP listener of `at`. Nothing is received before
    /// [`Link::deliver_to`], so that the receivers can be made with the link in hand.
    ///
    /// Fails with `AddrInUse` if another process has either of them.
    pub(crate) async fn open(
        env: &Env,
        identity: Identity,
        at: SocketAddr,
        protection: Protection,
    ) -> io::Result<Link> {
        let datagrams = env.net.datagrams(at).await?;
        let listener = env.net.listen(at).await?;
        let inner = Inner {
            env: env.clone(),
            identity,
            at,
            datagrams: RefCell::new(Some(datagrams)),
            protected: RefCell::new(protection.datagrams(env)),
            protection,
            listener: RefCell::new(Some(listener)),
            streams: RefCell::default(),
            counts: RefCell::default(),
            tasks: RefCell::default(),
            is_closed: Cell::new(false),
        };
        Ok(Link { inner: Rc::new(inner) })
    }

    /// Where this link listens, and where the others find it.
    pub fn address(&self) -> SocketAddr {
        self.inner.at
    }

    /// Starts to receive: pings and pongs for `heartbeat`, gossip for `gossip`.
    ///
    /// Panics if it is called twice: two receivers would share the frames at random.
    pub fn deliver_to(&self, heartbeat: Recipient<Received>, gossip: Recipient<Received>) {
        let listener = self.inner.listener.take().expect("frames are delivered to one receiver");
        let to = Receivers { heartbeat, gossip };
        let socket = self.inner.datagrams.borrow().clone().expect("an open link has its socket");
        let datagrams = receive_datagrams(self.inner.clone(), socket, to.clone());
        let streams = stream::accept(self.inner.clone(), listener, to);
        let tasks = [
            tokio::task::spawn_local(datagrams).abort_handle(),
            tokio::task::spawn_local(streams).abort_handle(),
        ];
        self.inner.tasks.borrow_mut().extend(tasks);
    }

    /// Sends one frame at once, or drops and counts it. Over TCP the first frame opens the stream
    /// and waits for it with a few others.
    ///
    /// Panics if `payload` exceeds [`LINK_PAYLOAD_SIZE_BYTES_MAX`]: its maker keeps below.
    pub fn send(
        &self,
        to: NodeId,
        address: SocketAddr,
        path: Path,
        channel: Channel,
        payload: &[u8],
    ) {
        assert!(payload.len() <= LINK_PAYLOAD_SIZE_BYTES_MAX, "a frame fits a datagram");
        let bytes = encode_frame(&self.inner.identity, to, channel, payload);
        let is_sent = match path {
            Path::Udp => {
                let mut protected = self.inner.protected.borrow_mut();
                let bytes = match protected.as_mut() {
                    None => bytes,
                    Some(own) => own.protect(to, &bytes),
                };
                self.inner.send_datagram(&bytes, address)
            }
            Path::Tcp => stream::send(&self.inner, to, address, bytes),
        };
        self.inner.counts.borrow_mut().note_sent(path, is_sent);
    }

    /// Gives up the stream to a peer that does not answer over it: after a long partition the old
    /// one may hang for minutes, while a fresh one works at once.
    pub fn reset(&self, peer: NodeId) {
        self.inner.streams.borrow_mut().remove(&peer);
    }

    /// Everything counted since the link was opened.
    pub fn counts(&self) -> LinkCounts {
        self.inner.counts.borrow().totals()
    }

    /// Ends every task and stream of this link and gives the port back. Sends are dropped from then
    /// on.
    pub fn close(&self) {
        self.inner.is_closed.set(true);
        self.inner.listener.take();
        self.inner.datagrams.take();
        self.inner.tasks.take().iter().for_each(AbortHandle::abort);
        self.inner.streams.borrow_mut().clear();
    }
}

impl Inner {
    fn send_datagram(&self, bytes: &[u8], to: SocketAddr) -> bool {
        let socket = self.datagrams.borrow();
        socket.as_ref().is_some_and(|socket| socket.try_send_to(bytes, to).is_ok())
    }

    /// A datagram: reads it, and hands on the frame that is in it, if any is.
    fn take_datagram(
        &self,
        bytes: &[u8],
        address: SocketAddr,
        to: &Receivers,
    ) -> Result<(), CodecError> {
        let revealed = match self.protected.borrow_mut().as_mut() {
            None => None,
            Some(own) => Some(own.reveal(bytes)?),
        };
        let frame = match revealed {
            None => decode_frame(bytes, &self.identity)?,
            Some(Revealed::Greeted) => return Ok(()),
            Some(Revealed::Greet(greeting)) => {
                self.send_datagram(&greeting, address); // if it is lost, the next one is answered
                return Ok(());
            }
            Some(Revealed::Frame(peer, bytes)) => {
                let frame = decode_frame(&bytes, &self.identity)?;
                check_peer(Some(peer), frame.header.from.node)?;
                frame
            }
        };
        self.deliver(frame, address, Path::Udp, to)
    }

    /// Hands a good frame to its receiver. A receiver with a full mailbox loses it, as a network
    /// would. A frame that no receiver wants is an error.
    fn deliver(
        &self,
        frame: Frame,
        address: SocketAddr,
        path: Path,
        to: &Receivers,
    ) -> Result<(), CodecError> {
        let from = frame.header.from.node;
        if from == self.identity.node {
            let detail = format!("{address} sends as this node, {from}");
            return Err(CodecError::Malformed { what: "link frame", detail });
        }
        let received = Received { from, address, path, payload: frame.payload };
        let outcome = match frame.header.channel {
            Channel::Heartbeat => to.heartbeat.try_send(received),
            Channel::Gossip => to.gossip.try_send(received),
            channel @ (Channel::Handshake | Channel::Request | Channel::Response) => {
                let detail = format!("{channel:?} does not belong on this port");
                return Err(CodecError::Malformed { what: "link frame", detail });
            }
        };
        self.counts.borrow_mut().note_received(path, outcome.is_ok());
        Ok(())
    }

    fn refuse(&self, error: &CodecError) {
        mark("link.frame_refused");
        let now = self.env.clock.now();
        if self.counts.borrow_mut().note_refused(now, error) {
            tracing::warn!(node = %self.identity.node, %error, "link frame refused");
        }
    }
}

async fn receive_datagrams(inner: Rc<Inner>, socket: Arc<dyn Datagrams>, to: Receivers) {
    // One byte more than allowed, so that a longer datagram is seen as such and not cut to fit.
    let mut buffer = vec![0; DATAGRAM_SIZE_BYTES_MAX + 1];
    loop {
        let Ok((size_bytes, address)) = socket.recv_from(&mut buffer).await else {
            inner.counts.borrow_mut().note_failed();
            tokio::time::sleep(ERROR_WAIT).await;
            continue;
        };
        if let Err(error) = inner.take_datagram(&buffer[..size_bytes], address, &to) {
            inner.refuse(&error);
        }
    }
}
