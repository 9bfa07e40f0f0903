//! The answering side: accepts connections, and answers each request as it gets ready.

use std::cell::RefCell;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::future::LocalBoxFuture;
use futures_util::stream::FuturesUnordered;

use super::wire::{FrameBuffer, Outbox, put_frame, shake_hands, take_number};
use crate::codec::{Channel, CodecError, Identity, Protocols, Refusals};
use crate::ids::NodeId;
use crate::ports::{Env, Listener, Stream};
use crate::security::{Protection, check_peer, refusal_in};

/// Requests of one connection that are worked on at once; further ones are not read meanwhile.
const WORKING_COUNT_MAX: usize = 1_024;
/// How long a peer may take to introduce itself.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(2);

/// Answers requests. A request that gets no answer ends its connection.
pub trait Answering {
    /// `from` is who sent it: as its key says, or, without protection, as its frames do.
    fn answer(&self, from: NodeId, request: Bytes) -> LocalBoxFuture<'static, Option<Bytes>>;
}

/// Frames that were refused on all connections of one node. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Refused(Rc<RefCell<Refusals>>);

impl Refused {
    /// How many since the node started.
    pub fn count(&self) -> u64 {
        self.0.borrow().counts().values().sum()
    }

    /// How many of each code.
    #[cfg(test)]
    pub(super) fn counts(&self) -> Vec<(&'static str, u64)> {
        self.0.borrow().counts().iter().map(|(code, count)| (*code, *count)).collect()
    }
}

/// One node's answering side. Clones share it.
#[derive(Clone)]
pub struct Server {
    /// The node's world.
    pub env: Env,
    /// Who answers.
    pub this: Identity,
    /// Who is let in.
    pub protection: Protection,
    /// Finds the answers.
    pub with: Rc<dyn Answering>,
    /// Counts what was refused.
    pub refused: Refused,
    /// What is spoken here: `Protocols::OURS`, but for tests.
    pub speaks: Protocols,
}

impl Server {
    /// Serves connections until the listener fails. Call it inside the node's `LocalSet`.
    pub async fn serve(self, listener: Box<dyn Listener>) {
        loop {
            match listener.accept().await {
                Ok((stream, address)) => {
                    let server = self.clone();
                    tokio::task::spawn_local(async move {
                        let ended = server.serve_stream(stream).await;
                        server.note_end(address, ended);
                    });
                }
                Err(error) => {
                    tracing::warn!(
                        node = %self.this.node,
                        %error,
                        "a connection could not be accepted"
                    );
                    let again = self.env.clock.now().plus_ms(50);
                    crate::ports::sleep_until(&*self.env.clock, again).await;
                }
            }
        }
    }

    async fn serve_stream(&self, stream: Box<dyn Stream>) -> io::Result<()> {
        let mut frames = FrameBuffer::new(self.this);
        let shaking = async {
            let (mut stream, peer) = self.protection.accept(stream).await?;
            let from = shake_hands(&mut stream, &mut frames, NodeId(0), self.speaks).await?.node;
            check_peer(peer, from).map_err(io::Error::other)?;
            Ok::<_, io::Error>((stream, from))
        };
        let waited_ms = HANDSHAKE_TIMEOUT.as_millis() as u64;
        let silent = |_| io::Error::other(CodecError::Silent { waited_ms });
        let shaken = tokio::time::timeout(HANDSHAKE_TIMEOUT, shaking).await;
        let (stream, from) = shaken.map_err(silent)??;
        exchange(self.this, from, stream, frames, self.with.clone()).await
    }

    /// A connection that ends is ordinary, its peer opens another; one that carried something else
    /// than frames of this cluster is counted, and logged at most once per minute and code.
    fn note_end(&self, address: SocketAddr, ended: io::Result<()>) {
        let node = self.this.node;
        let refused = ended.as_ref().err().and_then(refusal_in);
        let Some(error) = refused else {
            return tracing::debug!(%node, %address, ?ended, "a connection ended");
        };
        if self.refused.0.borrow_mut().note(self.env.clock.now(), &error) {
            tracing::warn!(%node, %address, %error, "a connection was refused");
        }
    }
}

async fn exchange(
    this: Identity,
    from: NodeId,
    stream: Box<dyn Stream>,
    mut frames: FrameBuffer,
    with: Rc<dyn Answering>,
) -> io::Result<()> {
    let (mut reader, mut writer) = tokio::io::split(stream);
    let protocol = frames.protocol();
    let mut out = Outbox::default();
    let mut working = FuturesUnordered::new();
    loop {
        while working.len() < WORKING_COUNT_MAX
            && let Some(frame) = frames.next()?
        {
            let (number, request) = take_number(&frame)?;
            let answering = with.answer(from, request);
            working.push(async move { (number, answering.await) });
        }
        tokio::select! {
            biased;
            Some((number, answer)) = working.next(), if !working.is_empty() => {
                let Some(answer) = answer else { return Err(io::Error::other("no answer")) };
                put_frame(&mut out, protocol, &this, from, Channel::Response, number, &answer);
            }
            passed = out.pass_on(&mut writer), if out.has_more() => passed?,
            filled = frames.fill(&mut reader), if working.len() < WORKING_COUNT_MAX => filled?,
        }
    }
}
