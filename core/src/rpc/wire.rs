//! Frames on a stream: buffered reading, and the handshake.

use std::io;

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::Hello;
use crate::codec::{
    Channel, CodecError, FRAME_HEADER_SIZE_BYTES, Frame, HANDSHAKE_PROTOCOL, Identity, Protocols,
    check_opening, decode, decode_header_in, encode, encode_frame, encode_frame_in, negotiate,
};
use crate::ids::NodeId;
use crate::ports::Stream;

const READ_SIZE_BYTES: usize = 64 << 10;

/// Collects bytes until they are frames, of one protocol: that of handshakes, and after the
/// handshake the one that it chose.
pub(super) struct FrameBuffer {
    this: Identity,
    protocol: u16,
    bytes: BytesMut,
}

impl FrameBuffer {
    pub(super) fn new(this: Identity) -> FrameBuffer {
        FrameBuffer { this, protocol: HANDSHAKE_PROTOCOL, bytes: BytesMut::new() }
    }

    /// The protocol that every frame of this connection is written in.
    pub(super) fn protocol(&self) -> u16 {
        self.protocol
    }

    /// Reads what is there. Cancelling it loses nothing. `UnexpectedEof` at the stream's end.
    pub(super) async fn fill(&mut self, from: &mut (impl AsyncRead + Unpin)) -> io::Result<()> {
        self.bytes.reserve(READ_SIZE_BYTES);
        match from.read_buf(&mut self.bytes).await {
            Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(_) => Ok(()),
            // A protected stream explains at length that its end was not announced.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Err(error.kind().into()),
            Err(error) => Err(error),
        }
    }

    /// The next whole frame, if it has arrived; an error if it is not for us, as soon as that can
    /// be seen.
    pub(super) fn next(&mut self) -> io::Result<Option<Frame>> {
        let accepted = Protocols::only(self.protocol);
        let Some(head) = self.bytes.get(..FRAME_HEADER_SIZE_BYTES) else {
            check_opening(&self.bytes, accepted).map_err(io::Error::other)?;
            return Ok(None);
        };
        let header = decode_header_in(head, accepted).map_err(io::Error::other)?;
        header.check_sender(&self.this).map_err(io::Error::other)?;
        let size_bytes = header.size_bytes as usize;
        if self.bytes.len() < FRAME_HEADER_SIZE_BYTES + size_bytes {
            return Ok(None);
        }
        self.bytes.advance(FRAME_HEADER_SIZE_BYTES);
        let payload = self.bytes.split_to(size_bytes).freeze();
        header.check_payload(&payload).map_err(io::Error::other)?;
        Ok(Some(Frame { header, payload }))
    }
}

/// Says who we are and hears who they are; both sides call it. Returns the sender's identity.
///
/// From here on `frames` carry the newest protocol that both speak. The caller bounds it in time.
pub(super) async fn shake_hands(
    stream: &mut Box<dyn Stream>,
    frames: &mut FrameBuffer,
    to: NodeId,
    ours: Protocols,
) -> io::Result<Identity> {
    let hello = Hello { oldest: ours.oldest, newest: ours.newest };
    let bytes = encode_frame(&frames.this, to, Channel::Handshake, &encode(&hello));
    stream.write_all(&bytes).await?;
    stream.flush().await?;
    let frame = loop {
        match frames.next()? {
            Some(frame) => break frame,
            None => frames.fill(stream).await?,
        }
    };
    if frame.header.channel != Channel::Handshake {
        return Err(malformed("handshake", "the first frame is none"));
    }
    let Hello { oldest, newest } = decode("handshake", &frame.payload).map_err(io::Error::other)?;
    let theirs = Protocols { oldest, newest };
    frames.protocol = negotiate(ours, theirs).map_err(io::Error::other)?;
    if to != NodeId(0) && frame.header.from.node != to {
        let from = frame.header.from.node;
        return Err(io::Error::other(format!("{from} answers where {to} was called")));
    }
    Ok(frame.header.from)
}

fn malformed(what: &'static str, detail: &str) -> io::Error {
    io::Error::other(CodecError::Malformed { what, detail: detail.to_owned() })
}

/// What waits to be sent on one stream. A protected stream may hold back bytes that it has taken,
/// until it is flushed.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    bytes: BytesMut,
    is_held_back: bool,
}

impl Outbox {
    pub(super) fn size_bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Whether there is anything to do for [`Outbox::pass_on`].
    pub(super) fn has_more(&self) -> bool {
        self.is_held_back || !self.bytes.is_empty()
    }

    /// Sends some of it. Cancelling it loses nothing.
    pub(super) async fn pass_on(&mut self, to: &mut (impl AsyncWrite + Unpin)) -> io::Result<()> {
        if self.bytes.is_empty() {
            to.flush().await?;
            self.is_held_back = false;
            return Ok(());
        }
        match to.write(&self.bytes).await? {
            0 => Err(io::ErrorKind::WriteZero.into()),
            size_bytes => {
                self.bytes.advance(size_bytes);
                self.is_held_back = true;
                Ok(())
            }
        }
    }
}

/// Appends one call's frame to `out`: its number, then its bytes.
pub(super) fn put_frame(
    out: &mut Outbox,
    protocol: u16,
    from: &Identity,
    to: NodeId,
    channel: Channel,
    number: u64,
    bytes: &[u8],
) {
    let mut payload = Vec::with_capacity(8 + bytes.len());
    payload.extend(number.to_be_bytes());
    payload.extend(bytes);
    out.bytes.extend_from_slice(&encode_frame_in(protocol, from, to, channel, &payload));
}

/// The number and bytes of a frame made by [`put_frame`].
pub(super) fn take_number(frame: &Frame) -> io::Result<(u64, Bytes)> {
    let mut payload = frame.payload.clone();
    if payload.len() < 8 {
        return Err(malformed("call", "it has no number"));
    }
    let number = payload.get_u64();
    Ok((number, payload))
}
