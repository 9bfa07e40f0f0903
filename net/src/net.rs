//! Streams and datagrams on tokio sockets.
//!
//! Invariants
//! - An outgoing stream's source is the node's own address, chosen before it connects. Nodes that
//!   share a machine (127.0.0.11, .12, ...) are told apart by it, and so are their link faults.
//! - No stream waits to fill a segment: TCP_NODELAY is set on both sides.
//!
//! Read next: [`quorate_core::ports::Net`] for what is promised.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::LocalBoxFuture;
use quorate_core::ports::{DATAGRAM_SIZE_BYTES_MAX, Datagrams, Listener, Net, Stream};
use tokio::net::{TcpListener, TcpSocket, TcpStream, UdpSocket};

/// Peers that may wait to be accepted; more are told to try again by the kernel.
const LISTEN_BACKLOG: u32 = 1024;

/// The network of one node, seen from its own address.
#[derive(Clone, Copy, Debug)]
pub struct TokioNet {
    bind_ip: IpAddr,
}

impl TokioNet {
    /// The network of the node whose own address is `bind_ip`.
    pub fn new(bind_ip: IpAddr) -> TokioNet {
        TokioNet { bind_ip }
    }
}

impl Net for TokioNet {
    fn connect(&self, to: SocketAddr) -> LocalBoxFuture<'_, io::Result<Box<dyn Stream>>> {
        async move { Ok(Box::new(connect(self.bind_ip, to).await?) as Box<dyn Stream>) }
            .boxed_local()
    }

    fn listen(&self, at: SocketAddr) -> LocalBoxFuture<'_, io::Result<Box<dyn Listener>>> {
        async move { Ok(Box::new(TokioListener(listen(at)?)) as Box<dyn Listener>) }.boxed_local()
    }

    fn datagrams(&self, at: SocketAddr) -> LocalBoxFuture<'_, io::Result<Arc<dyn Datagrams>>> {
        async move {
            let socket = UdpSocket::bind(at).await?;
            // tokio answers `WouldBlock` until it has once seen the socket writable; the first
            // datagram of a node is not to be lost to that.
            socket.writable().await?;
            Ok(Arc::new(TokioDatagrams(socket)) as Arc<dyn Datagrams>)
        }
        .boxed_local()
    }
}

fn socket_for(address: SocketAddr) -> io::Result<TcpSocket> {
    if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }
}

async fn connect(from: IpAddr, to: SocketAddr) -> io::Result<TcpStream> {
    let socket = socket_for(to)?;
    // An unspecified address of one family fits no target of the other; the system chooses anyway.
    if !from.is_unspecified() {
        socket.bind(SocketAddr::new(from, 0))?;
    }
    ready(socket.connect(to).await?, to)
}

/// A stream that has just reached `to`, made ready for use.
fn ready(stream: TcpStream, to: SocketAddr) -> io::Result<TcpStream> {
    // TCP lets a socket connect to itself when the source port it was given is the one it dials
    // on its own address. Nobody listens there, and this node would talk to itself.
    if stream.local_addr()? == to {
        return Err(io::ErrorKind::ConnectionRefused.into());
    }
    stream.set_nodelay(true)?;
    Ok(stream)
}

fn listen(at: SocketAddr) -> io::Result<TcpListener> {
    let socket = socket_for(at)?;
    // A restarted daemon must not wait until the streams of its predecessor have left TIME_WAIT.
    socket.set_reuseaddr(true)?;
    socket.bind(at)?;
    socket.listen(LISTEN_BACKLOG)
}

async fn accept(listener: &TcpListener) -> io::Result<(TcpStream, SocketAddr)> {
    let (stream, from) = listener.accept().await?;
    stream.set_nodelay(true)?;
    Ok((stream, from))
}

#[derive(Debug)]
struct TokioListener(TcpListener);

impl Listener for TokioListener {
    fn accept(&self) -> LocalBoxFuture<'_, io::Result<(Box<dyn Stream>, SocketAddr)>> {
        async move {
            let (stream, from) = accept(&self.0).await?;
            Ok((Box::new(stream) as Box<dyn Stream>, from))
        }
        .boxed_local()
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }
}

#[derive(Debug)]
struct TokioDatagrams(UdpSocket);

impl Datagrams for TokioDatagrams {
    fn try_send_to(&self, bytes: &[u8], to: SocketAddr) -> io::Result<()> {
        if bytes.len() > DATAGRAM_SIZE_BYTES_MAX {
            let text = format!("a datagram of {} bytes would be fragmented", bytes.len());
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        }
        // A datagram leaves whole or not at all, so its size says nothing.
        self.0.try_send_to(bytes, to).map(|_size_bytes| ())
    }

    fn recv_from<'a>(
        &'a self,
        buffer: &'a mut [u8],
    ) -> LocalBoxFuture<'a, io::Result<(usize, SocketAddr)>> {
        self.0.recv_from(buffer).boxed_local()
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANY_PORT: SocketAddr = SocketAddr::new(OWN, 0);
    const OWN: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(127, 76, 0, 1));

    fn on_runtime<T>(future: impl Future<Output = io::Result<T>>) -> io::Result<T> {
        crate::block_on(future).unwrap()
    }

    #[test]
    fn both_ends_send_without_delay() {
        on_runtime(async {
            let listener = listen(ANY_PORT)?;
            let dialed = connect(OWN, listener.local_addr()?).await?;
            let (accepted, _) = accept(&listener).await?;
            assert!(dialed.nodelay()?);
            assert!(accepted.nodelay()?);
            Ok(())
        })
        .unwrap();
    }

    #[test]
    fn the_first_datagram_of_a_socket_leaves_at_once() {
        on_runtime(async {
            let net = TokioNet::new(OWN);
            let socket = net.datagrams(ANY_PORT).await?;
            socket.try_send_to(b"ping", socket.local_addr()?)
        })
        .unwrap();
    }

    #[test]
    fn a_socket_that_reached_only_itself_is_refused() {
        on_runtime(async {
            let socket = TcpSocket::new_v4()?;
            socket.bind(ANY_PORT)?;
            let itself = socket.local_addr()?;
            let stream = socket.connect(itself).await?;
            let refused = ready(stream, itself).map(|_| ()).map_err(|error| error.kind());
            assert_eq!(refused, Err(io::ErrorKind::ConnectionRefused));
            Ok(())
        })
        .unwrap();
    }

    #[test]
    fn many_peers_may_wait_to_be_accepted() {
        on_runtime(async {
            let listener = listen(ANY_PORT)?;
            let mut waiting = Vec::new();
            for _ in 0..200 {
                waiting.push(connect(OWN, listener.local_addr()?).await?);
            }
            for _ in &waiting {
                accept(&listener).await?;
            }
            Ok(())
        })
        .unwrap();
    }

    #[test]
    fn an_address_of_another_machine_cannot_be_the_source() {
        let elsewhere = IpAddr::from([192, 0, 2, 1]); // reserved for documentation
        let refused = on_runtime(async { connect(elsewhere, ANY_PORT).await });
        assert_eq!(refused.unwrap_err().kind(), io::ErrorKind::AddrNotAvailable);
    }
}
