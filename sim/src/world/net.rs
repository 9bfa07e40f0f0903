//! `Net` for a simulated machine: in-memory sockets, each pinned to its own machine.
//!
//! The sockets below act on whichever machine is current, and close by number: dropping a stream
//! of one machine while another is current would close a stranger's. Hence [`OnHost`].
//!
//! Invariants
//! - A socket is used, polled and dropped only with its own machine current.
//! - A socket that outlives its world is leaked, never touched.
//!
//! Read next: `link.rs` for what happens to the packets.

use std::fmt::{self, Debug};
use std::future::Future;
use std::io;
use std::mem::ManuallyDrop;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::future::LocalBoxFuture;
use quorate_core::ports::{DATAGRAM_SIZE_BYTES_MAX, Datagrams, Listener, Net, Stream};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use turmoil_net::shim::tokio::net::{TcpListener, TcpStream, UdpSocket};
use turmoil_net::{HostId, NetstatState, Packet, TcpFlags, TcpSegment, Transport};

use super::context;

/// Bytes that one read takes at most.
const READ_SIZE_BYTES: usize = 2_048;

/// Makes a host current and puts the one before it back.
struct Turn {
    before: Option<HostId>,
}

impl Turn {
    fn of(host: HostId) -> Turn {
        let before = context::current_host().filter(|before| *before != host);
        turmoil_net::set_current(host);
        Turn { before }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if let Some(host) = self.before {
            turmoil_net::set_current(host);
        }
    }
}

/// Something of the sockets below that must meet only its own machine.
struct OnHost<T> {
    host: HostId,
    inner: ManuallyDrop<T>,
}

impl<T> OnHost<T> {
    fn new(host: HostId, inner: T) -> OnHost<T> {
        OnHost { host, inner: ManuallyDrop::new(inner) }
    }

    fn with<R>(&self, act: impl FnOnce(&T) -> R) -> R {
        let _turn = Turn::of(self.host);
        act(&self.inner)
    }

    fn with_mut<R>(&mut self, act: impl FnOnce(&mut T) -> R) -> R {
        let _turn = Turn::of(self.host);
        act(&mut self.inner)
    }
}

impl<T> Drop for OnHost<T> {
    fn drop(&mut self) {
        if context::is_up() {
            let _turn = Turn::of(self.host);
            // SAFETY: this is the only place that drops `inner`, and it runs once.
            unsafe { ManuallyDrop::drop(&mut self.inner) }
        }
    }
}

impl<T: Debug> Debug for OnHost<T> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{:?} on {:?}", &*self.inner, self.host)
    }
}

impl<F: Future + ?Sized> Future for OnHost<Pin<Box<F>>> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        self.with_mut(|future| future.as_mut().poll(context))
    }
}

impl AsyncRead for OnHost<TcpStream> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        // The sockets clear all of a buffer at each read, also when nothing has come: a large one
        // cost an eighth of a run.
        let mut bytes = [0; READ_SIZE_BYTES];
        let mut part = ReadBuf::new(&mut bytes[..buffer.remaining().min(READ_SIZE_BYTES)]);
        let polled = self.with_mut(|stream| Pin::new(stream).poll_read(context, &mut part));
        buffer.put_slice(part.filled());
        polled
    }
}

impl AsyncWrite for OnHost<TcpStream> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.with_mut(|stream| Pin::new(stream).poll_write(context, bytes))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.with_mut(|stream| Pin::new(stream).poll_flush(context))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.with_mut(|stream| Pin::new(stream).poll_shutdown(context))
    }
}

/// The network as one machine sees it.
#[derive(Debug)]
pub(super) struct MachineNet {
    pub(super) host: HostId,
    pub(super) ip: IpAddr,
}

impl MachineNet {
    /// Frees a port on which only connections linger that their owner has already dropped.
    ///
    /// An operating system with SO_REUSEADDR would not mind them; the sockets below do.
    fn drop_lingering(&self, port: u16) {
        for entry in turmoil_net::netstat(self.ip).entries {
            let lingers = match entry.state {
                Some(
                    NetstatState::FinWait1
                    | NetstatState::FinWait2
                    | NetstatState::LastAck
                    | NetstatState::Closing,
                ) => entry.local.port() == port,
                Some(
                    NetstatState::Listen
                    | NetstatState::SynSent
                    | NetstatState::SynReceived
                    | NetstatState::Established
                    | NetstatState::CloseWait
                    | NetstatState::Closed,
                )
                | None => false,
            };
            if let (true, Some(peer)) = (lingers, entry.peer) {
                context::reset_later(reset(peer, entry.local));
            }
        }
    }
}

/// A reset of the connection, as if `from` had sent it to `to`.
pub(super) fn reset(from: SocketAddr, to: SocketAddr) -> Packet {
    let segment = TcpSegment {
        src_port: from.port(),
        dst_port: to.port(),
        seq: 0,
        ack: 0,
        flags: TcpFlags { rst: true, ..TcpFlags::default() },
        window: 0,
        payload: bytes::Bytes::new(),
    };
    Packet { src: from.ip(), dst: to.ip(), ttl: 64, payload: Transport::Tcp(segment) }
}

impl Net for MachineNet {
    fn connect(&self, to: SocketAddr) -> LocalBoxFuture<'_, io::Result<Box<dyn Stream>>> {
        let connecting = OnHost::new(self.host, Box::pin(TcpStream::connect(to)));
        let host = self.host;
        Box::pin(async move {
            let stream = connecting.await?;
            Ok(Box::new(OnHost::new(host, stream)) as Box<dyn Stream>)
        })
    }

    fn listen(&self, at: SocketAddr) -> LocalBoxFuture<'_, io::Result<Box<dyn Listener>>> {
        let bind = move || OnHost::new(self.host, Box::pin(TcpListener::bind(at)));
        Box::pin(async move {
            let listener = match bind().await {
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                    self.drop_lingering(at.port());
                    // The kernel delivers the resets after this poll.
                    tokio::time::sleep(std::time::Duration::from_millis(1)).await;
                    bind().await?
                }
                bound => bound?,
            };
            Ok(Box::new(OnHost::new(self.host, listener)) as Box<dyn Listener>)
        })
    }

    fn datagrams(&self, at: SocketAddr) -> LocalBoxFuture<'_, io::Result<Arc<dyn Datagrams>>> {
        let binding = OnHost::new(self.host, Box::pin(UdpSocket::bind(at)));
        Box::pin(async move {
            let socket = binding.await?;
            Ok(Arc::new(OnHost::new(self.host, socket)) as Arc<dyn Datagrams>)
        })
    }
}

impl Listener for OnHost<TcpListener> {
    fn accept(&self) -> LocalBoxFuture<'_, io::Result<(Box<dyn Stream>, SocketAddr)>> {
        Box::pin(std::future::poll_fn(move |context| {
            let accepted = self.with(|listener| listener.poll_accept(context));
            accepted.map_ok(|(stream, from)| {
                (Box::new(OnHost::new(self.host, stream)) as Box<dyn Stream>, from)
            })
        }))
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.with(TcpListener::local_addr)
    }
}

impl Datagrams for OnHost<UdpSocket> {
    fn try_send_to(&self, bytes: &[u8], to: SocketAddr) -> io::Result<()> {
        if bytes.len() > DATAGRAM_SIZE_BYTES_MAX {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        self.with(|socket| socket.try_send_to(bytes, to)).map(|_| ())
    }

    fn recv_from<'a>(
        &'a self,
        buffer: &'a mut [u8],
    ) -> LocalBoxFuture<'a, io::Result<(usize, SocketAddr)>> {
        // Nothing of this future acts on a machine when it is dropped, so it needs no pin.
        Box::pin(async move {
            let mut receiving = Box::pin(self.inner.recv_from(buffer));
            std::future::poll_fn(|context| {
                let _turn = Turn::of(self.host);
                receiving.as_mut().poll(context)
            })
            .await
        })
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.with(UdpSocket::local_addr)
    }
}
