//! `Net` on the sockets of the library as they are, which know no addresses but "all of this host".
//!
//! Invariants
//! - A socket is bound to the machine's own address in our words, to all addresses in theirs.
//! - A listener accepts as soon as somebody dials, whether or not it is asked to: a system has a
//!   queue for that, the library has none.
//!
//! Read next: [`StockNet`].

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::future::LocalBoxFuture;
use quorate_core::ports::{DATAGRAM_SIZE_BYTES_MAX, Datagrams, Listener, Net, Stream};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::{Mutex, mpsc};
use tokio::task::AbortHandle;
use turmoil::net::{TcpListener, TcpStream, UdpSocket};

/// The network as one machine sees it.
#[derive(Debug)]
pub(super) struct StockNet {
    pub(super) ip: IpAddr,
}

impl StockNet {
    /// What the library calls an address of this machine.
    fn theirs(&self, at: SocketAddr) -> io::Result<SocketAddr> {
        if at.ip() != self.ip {
            return Err(io::ErrorKind::AddrNotAvailable.into());
        }
        Ok(SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), at.port()))
    }
}

impl Net for StockNet {
    fn connect(&self, to: SocketAddr) -> LocalBoxFuture<'_, io::Result<Box<dyn Stream>>> {
        Box::pin(async move { Ok(stream(TcpStream::connect(to).await?)) })
    }

    fn listen(&self, at: SocketAddr) -> LocalBoxFuture<'_, io::Result<Box<dyn Listener>>> {
        Box::pin(async move {
            let listener = TcpListener::bind(self.theirs(at)?).await?;
            let at = SocketAddr::new(self.ip, listener.local_addr()?.port());
            let (accepted, queue) = mpsc::unbounded_channel();
            let accepting = async move { while accepted.send(listener.accept().await).is_ok() {} };
            let task = tokio::task::spawn_local(accepting).abort_handle();
            Ok(Box::new(StockListener { at, queue: Mutex::new(queue), task }) as Box<dyn Listener>)
        })
    }

    fn datagrams(&self, at: SocketAddr) -> LocalBoxFuture<'_, io::Result<Arc<dyn Datagrams>>> {
        Box::pin(async move {
            let socket = UdpSocket::bind(self.theirs(at)?).await?;
            let at = SocketAddr::new(self.ip, socket.local_addr()?.port());
            Ok(Arc::new(StockDatagrams { at, socket }) as Arc<dyn Datagrams>)
        })
    }
}

type Accepted = io::Result<(TcpStream, SocketAddr)>;

struct StockListener {
    at: SocketAddr,
    queue: Mutex<mpsc::UnboundedReceiver<Accepted>>,
    task: AbortHandle,
}

impl Drop for StockListener {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl fmt::Debug for StockListener {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "listener at {}", self.at)
    }
}

impl Listener for StockListener {
    fn accept(&self) -> LocalBoxFuture<'_, io::Result<(Box<dyn Stream>, SocketAddr)>> {
        Box::pin(async move {
            let next = self.queue.lock().await.recv().await;
            let (accepted, from) = next.unwrap_or(Err(io::ErrorKind::BrokenPipe.into()))?;
            Ok((stream(accepted), from))
        })
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.at)
    }
}

#[derive(Debug)]
struct StockDatagrams {
    at: SocketAddr,
    socket: UdpSocket,
}

impl Datagrams for StockDatagrams {
    fn try_send_to(&self, bytes: &[u8], to: SocketAddr) -> io::Result<()> {
        if bytes.len() > DATAGRAM_SIZE_BYTES_MAX {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        self.socket.try_send_to(bytes, to).map(drop)
    }

    fn recv_from<'a>(
        &'a self,
        buffer: &'a mut [u8],
    ) -> LocalBoxFuture<'a, io::Result<(usize, SocketAddr)>> {
        Box::pin(self.socket.recv_from(buffer))
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.at)
    }
}

fn stream(inner: TcpStream) -> Box<dyn Stream> {
    Box::new(StockStream { inner, is_shut_down: false })
}

/// A stream that may be shut down twice, as a system's may.
#[derive(Debug)]
struct StockStream {
    inner: TcpStream,
    is_shut_down: bool,
}

impl AsyncRead for StockStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(context, buffer)
    }
}

impl AsyncWrite for StockStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if std::mem::replace(&mut self.is_shut_down, true) {
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.inner).poll_shutdown(context)
    }
}
