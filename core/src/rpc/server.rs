//! The answering side: accepts connections, and answers each request as it gets ready.

use std::io;
use std::rc::Rc;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use futures_util::StreamExt;
use futures_util::future::LocalBoxFuture;
use futures_util::stream::FuturesUnordered;
use tokio::io::AsyncWriteExt;

use super::wire::{FrameBuffer, put_frame, shake_hands, take_number};
use crate::codec::{Channel, Identity};
use crate::ids::NodeId;
use crate::ports::{Env, Listener, Stream};

/// Requests of one connection that are worked on at once; further ones are not read meanwhile.
const WORKING_COUNT_MAX: usize = 1_024;
/// How long a peer may take to introduce itself.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(2);

/// Answers requests. A request that gets no answer ends its connection.
pub trait Answering {
    /// `from` is who sent it, as far as its frames say.
    fn answer(&self, from: NodeId, request: Bytes) -> LocalBoxFuture<'static, Option<Bytes>>;
}

/// Serves connections until the listener fails. Call it inside the node's `LocalSet`.
pub async fn serve(env: Env, this: Identity, listener: Box<dyn Listener>, with: Rc<dyn Answering>) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                tokio::task::spawn_local(serve_stream(this, stream, with.clone()));
            }
            Err(error) => {
                tracing::warn!(node = %this.node, %error, "a connection could not be accepted");
                let again = env.clock.now().plus_ms(50);
                crate::ports::sleep_until(&*env.clock, again).await;
            }
        }
    }
}

async fn serve_stream(this: Identity, mut stream: Box<dyn Stream>, with: Rc<dyn Answering>) {
    let mut frames = FrameBuffer::new(this);
    let shaken = shake_hands(&mut stream, &mut frames, NodeId(0));
    let from = match tokio::time::timeout(HANDSHAKE_TIMEOUT, shaken).await {
        Ok(Ok(from)) => from,
        Ok(Err(error)) => {
            tracing::warn!(node = %this.node, %error, "a connection was refused");
            return;
        }
        Err(_) => return,
    };
    // A connection that ends is ordinary; its peer opens another.
    let ended = exchange(this, from.node, stream, frames, with).await;
    tracing::debug!(node = %this.node, from = %from.node, ?ended, "a connection ended");
}

async fn exchange(
    this: Identity,
    from: NodeId,
    stream: Box<dyn Stream>,
    mut frames: FrameBuffer,
    with: Rc<dyn Answering>,
) -> io::Result<()> {
    let (mut reader, mut writer) = tokio::io::split(stream);
    let mut out = BytesMut::new();
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
                put_frame(&mut out, &this, from, Channel::Response, number, &answer);
            }
            written = writer.write(&out), if !out.is_empty() => out.advance(written?),
            filled = frames.fill(&mut reader), if working.len() < WORKING_COUNT_MAX => filled?,
        }
    }
}
