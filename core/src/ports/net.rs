//! Streams and datagrams. Addresses are the node's own and its peers'; names are not resolved here.

use std::fmt::Debug;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use futures_util::future::LocalBoxFuture;
use tokio::io::{AsyncRead, AsyncWrite};

/// The largest datagram that fits an Ethernet frame without fragments, in bytes.
pub const DATAGRAM_SIZE_BYTES_MAX: usize = 1472;

/// A connected byte stream. Dropping it closes both directions.
pub trait Stream: AsyncRead + AsyncWrite + Unpin + Debug {}

impl<T: AsyncRead + AsyncWrite + Unpin + Debug> Stream for T {}

/// Accepts streams on one local address. Dropping it stops listening.
pub trait Listener: Debug {
    /// Waits for the next peer; returns its stream and remote address.
    fn accept(&self) -> LocalBoxFuture<'_, io::Result<(Box<dyn Stream>, SocketAddr)>>;
    /// Where this listens, with the real port if 0 was asked for.
    fn local_addr(&self) -> io::Result<SocketAddr>;
}

/// A bound datagram socket. Delivery is neither certain, nor ordered, nor once.
pub trait Datagrams: Debug {
    /// Sends now or fails with `WouldBlock`; at most [`DATAGRAM_SIZE_BYTES_MAX`] bytes.
    fn try_send_to(&self, bytes: &[u8], to: SocketAddr) -> io::Result<()>;
    /// Waits for the next datagram; returns its size and sender. A longer one is cut to `buffer`.
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
    /// Opens a stream.
    fn connect(&self, to: SocketAddr) -> LocalBoxFuture<'_, io::Result<Box<dyn Stream>>>;
    /// Starts to listen; `AddrInUse` if another process does.
    fn listen(&self, at: SocketAddr) -> LocalBoxFuture<'_, io::Result<Box<dyn Listener>>>;
    /// Binds a datagram socket; `AddrInUse` if another process has it.
    fn datagrams(&self, at: SocketAddr) -> LocalBoxFuture<'_, io::Result<Arc<dyn Datagrams>>>;
}
