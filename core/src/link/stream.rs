//! The TCP side of a link: one stream out per peer, any number of streams in.
//!
//! A stream carries frames one way only, from the node that opened it. So a pong over TCP proves
//! that both directions are open.

use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::{ERROR_WAIT, Inner, LINK_PAYLOAD_SIZE_BYTES_MAX, Path, Receivers};
use crate::codec::{
    CodecError, FRAME_HEADER_SIZE_BYTES, Frame, Protocols, check_opening, decode_header,
};
use crate::ids::NodeId;
use crate::ports::{Listener, Stream};
use crate::security::{check_peer, refusal_in};

/// Frames that wait for one stream. More would only arrive too late.
const QUEUE_COUNT_MAX: usize = 32;
/// Streams served at once; the roster is far smaller.
const READERS_COUNT_MAX: usize = 256;
/// A stream that is not open by then is given up; the next frame tries again.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// A frame that the system does not take by then ends its stream.
const WRITE_TIMEOUT: Duration = Duration::from_secs(1);
/// Without a frame for so long, the sender closes the stream.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);
/// A stream is opened for a frame, so its first one comes at once or not at all.
const FIRST_FRAME_TIMEOUT: Duration = Duration::from_secs(2);
/// Between frames the receiver is more patient, so that the sender's rule is the one that decides.
const READ_TIMEOUT: Duration = Duration::from_secs(90);

/// The stream to one peer, open or on its way. Dropping it ends its task.
#[derive(Debug)]
pub(super) struct Outgoing {
    address: SocketAddr,
    queue: mpsc::Sender<Vec<u8>>,
}

/// Queues a frame for the stream to `to`, opening one if there is none to that address. False if
/// the frame was dropped.
pub(super) fn send(inner: &Rc<Inner>, to: NodeId, address: SocketAddr, bytes: Vec<u8>) -> bool {
    if inner.is_closed.get() {
        return false;
    }
    let mut streams = inner.streams.borrow_mut();
    if streams.get(&to).is_some_and(|known| known.queue.is_closed() || known.address != address) {
        streams.remove(&to);
    }
    let outgoing = streams.entry(to).or_insert_with(|| {
        let (queue, frames) = mpsc::channel(QUEUE_COUNT_MAX);
        tokio::task::spawn_local(write_frames(inner.clone(), to, address, frames));
        Outgoing { address, queue }
    });
    outgoing.queue.try_send(bytes).is_ok()
}

/// The life of one stream out. Its end closes the queue, and the next frame opens another.
async fn write_frames(
    inner: Rc<Inner>,
    to: NodeId,
    address: SocketAddr,
    mut frames: mpsc::Receiver<Vec<u8>>,
) {
    let opening = async {
        let stream = inner.env.net.connect(address).await?;
        inner.protection.open(stream, to).await
    };
    let mut stream = match timeout(CONNECT_TIMEOUT, opening).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => {
            if let Some(error) = refusal_in(&error) {
                inner.refuse(&error);
            }
            return inner.counts.borrow_mut().note_failed();
        }
        Err(_) => return inner.counts.borrow_mut().note_failed(),
    };
    loop {
        let frame = match timeout(IDLE_TIMEOUT, next_frame(&mut *stream, &mut frames)).await {
            Ok(Ok(Some(frame))) => frame,
            Ok(Err(error)) => {
                // The other side looks at certificates after this one has begun to write.
                if let Some(error) = refusal_in(&error) {
                    inner.refuse(&error);
                }
                return;
            }
            Ok(Ok(None)) | Err(_) => return, // closed by the peer, or idle
        };
        let writing = async {
            stream.write_all(&frame).await?;
            stream.flush().await
        };
        let written = timeout(WRITE_TIMEOUT, writing).await;
        if !matches!(written, Ok(Ok(()))) {
            return inner.counts.borrow_mut().note_failed();
        }
    }
}

/// The next frame to write; `None` once nobody sends any more, or the peer has closed the stream:
/// without looking, a frame would vanish in it before a write fails.
async fn next_frame(
    stream: &mut dyn Stream,
    frames: &mut mpsc::Receiver<Vec<u8>>,
) -> io::Result<Option<Vec<u8>>> {
    tokio::select! {
        biased;
        frame = frames.recv() => Ok(frame),
        closed = stream.read_u8() => closed.map(|_| None),
    }
}

/// Serves every stream in, until the link is closed.
pub(super) async fn accept(inner: Rc<Inner>, listener: Box<dyn Listener>, to: Receivers) {
    // Dropping the set with this task ends the readers too.
    let mut readers = JoinSet::new();
    loop {
        let Ok((stream, address)) = listener.accept().await else {
            inner.counts.borrow_mut().note_failed();
            tokio::time::sleep(ERROR_WAIT).await;
            continue;
        };
        while readers.try_join_next().is_some() {}
        if readers.len() >= READERS_COUNT_MAX {
            inner.counts.borrow_mut().note_failed();
            continue;
        }
        readers.spawn_local(read_frames(inner.clone(), stream, address, to.clone()));
    }
}

/// A stream in, until it ends or carries something that is no frame of ours: after that nobody
/// knows where the next one begins, or what its sender takes this port for.
async fn read_frames(
    inner: Rc<Inner>,
    stream: Box<dyn Stream>,
    address: SocketAddr,
    to: Receivers,
) {
    let ended = deliver_frames(&inner, stream, address, &to).await;
    if let Some(error) = ended.as_ref().err().and_then(refusal_in) {
        inner.refuse(&error);
    }
}

async fn deliver_frames(
    inner: &Inner,
    stream: Box<dyn Stream>,
    address: SocketAddr,
    to: &Receivers,
) -> io::Result<()> {
    let opening = async {
        let (mut stream, peer) = inner.protection.accept(stream).await?;
        let frame = read_frame(inner, &mut *stream).await?;
        Ok::<_, io::Error>((stream, peer, frame))
    };
    let waited_ms = FIRST_FRAME_TIMEOUT.as_millis() as u64;
    let silent = |_| io::Error::other(CodecError::Silent { waited_ms });
    let opened = timeout(FIRST_FRAME_TIMEOUT, opening).await;
    let (mut stream, peer, mut frame) = opened.map_err(silent)??;
    loop {
        check_peer(peer, frame.header.from.node).map_err(io::Error::other)?;
        inner.deliver(frame, address, Path::Tcp, to).map_err(io::Error::other)?;
        // From now on silence is the sender's right, and its end is nobody's fault.
        let Ok(next) = timeout(READ_TIMEOUT, read_frame(inner, &mut *stream)).await else {
            return Ok(());
        };
        frame = next?;
    }
}

/// One frame. Memory is taken only after the announced size was checked.
async fn read_frame(inner: &Inner, stream: &mut dyn Stream) -> io::Result<Frame> {
    let (mut head, mut size_bytes) = ([0; FRAME_HEADER_SIZE_BYTES], 0);
    while size_bytes < head.len() {
        size_bytes += match stream.read(&mut head[size_bytes..]).await? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            more_bytes => more_bytes,
        };
        check_opening(&head[..size_bytes], Protocols::OURS).map_err(io::Error::other)?;
    }
    let header = decode_header(&head).map_err(io::Error::other)?;
    header.check_sender(&inner.identity).map_err(io::Error::other)?;
    let (size_bytes, limit_bytes) =
        (u64::from(header.size_bytes), LINK_PAYLOAD_SIZE_BYTES_MAX as u64);
    if size_bytes > limit_bytes {
        return Err(io::Error::other(CodecError::TooLarge { size_bytes, limit_bytes }));
    }
    let mut payload = vec![0; header.size_bytes as usize];
    stream.read_exact(&mut payload).await?;
    let payload = Bytes::from(payload);
    header.check_payload(&payload).map_err(io::Error::other)?;
    Ok(Frame { header, payload })
}
