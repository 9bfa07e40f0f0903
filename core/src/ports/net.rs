//! Streams and datagrams. Addresses are the node's own and its peers'; names are not resolved here.

use std::fmt::Debug;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use futures_util::future::LocalBoxFuture;
use tokio::io::{AsyncRead, AsyncWrite};

/// The largest datagram that fits an Ethernet frame without fragments, in bytes.
pub const DATAGRAM_SIZE_BYTES_MAX: usize = 1472;

/// A connected byte stream.
///
/// Shutting it down ends this side's bytes only: the peer reads to the end and may still answer.
/// Dropping it closes both directions; the peer reads the end, or `ConnectionReset` if the dropped
/// side had not read everything it was sent.
pub trait Stream: AsyncRead + AsyncWrite + Unpin + Debug {}

impl<T: AsyncRead + AsyncWrite + Unpin + Debug> Stream for T {}

/// Accepts streams on one local address. Dropping it stops listening, and leaves the streams it
/// accepted open; once these are closed at both ends, the address may be listened at again.
pub trait Listener: Debug {
    /// Waits for the next peer; returns its stream and remote address. A future dropped before it
    /// is done loses no peer. After an error the listener stays usable; pause before the next call,
    /// because a process without free file handles gets the same error at once.
    fn accept(&self) -> LocalBoxFuture<'_, io::Result<(Box<dyn Stream>, SocketAddr)>>;
    /// Where this listens, with the real port if 0 was asked for.
    fn local_addr(&self) -> io::Result<SocketAddr>;
}

/// A bound datagram socket. Delivery is neither certain, nor ordered, nor once.
pub trait Datagrams: Debug {
    /// Sends now or fails with `WouldBlock`; more than [`DATAGRAM_SIZE_BYTES_MAX`] bytes are
    /// refused with `InvalidInput`.
    fn try_send_to(&self, bytes: &[u8], to: SocketAddr) -> io::Result<()>;
    /// Waits for the next datagram; returns its size and sender. A longer one is cut to `buffer`.
    /// A future dropped before it is done loses no datagram.
    fn recv_from<'a>(
        &'a self,
        buffer: &'a mut [u8],
    ) -> LocalBoxFuture<'a, io::Result<(usize, SocketAddr)>>;
    /// Where this is bound, with the real port if 0 was asked for.
    fn local_addr(&self) -> io::Result<SocketAddr>;
}

/// The network as one node sees it. Streams leave from the node's own address, without delay
/// (TCP_NODELAY). No call has a timeout of its own: the caller bounds it.
pub trait Net: Debug + Send + Sync {
    /// Opens a stream; `ConnectionRefused` if nobody listens there.
    fn connect(&self, to: SocketAddr) -> LocalBoxFuture<'_, io::Result<Box<dyn Stream>>>;
    /// Starts to listen; `AddrInUse` if anyone does, this node included. Port 0 asks for any free
    /// one. Peers can connect from then on, before the first accept.
    fn listen(&self, at: SocketAddr) -> LocalBoxFuture<'_, io::Result<Box<dyn Listener>>>;
    /// Binds a datagram socket; `AddrInUse` if anyone has it, this node included. Port 0 asks for
    /// any free one. Streams and datagrams of one port do not disturb each other.
    fn datagrams(&self, at: SocketAddr) -> LocalBoxFuture<'_, io::Result<Arc<dyn Datagrams>>>;
}
