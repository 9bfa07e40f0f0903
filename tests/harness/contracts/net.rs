//! The network contract: streams and datagrams between two machines, and on one alone.
//!
//! `net_client` needs `net_server` running elsewhere; `net_alone` needs nobody.

use std::future::Future;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use quorate_core::ports::{DATAGRAM_SIZE_BYTES_MAX, Datagrams, Env, Listener, Net, Stream};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::net_server::{COUNT, DROP, ECHO, WHO_AM_I};
use super::soon;

/// Larger than every socket buffer on the way, so that flow control takes part.
const BULK_SIZE_BYTES: usize = 1024 * 1024;

/// Asserts what the machine `own_ip` may expect of a peer that runs `net_server` at `server`.
///
/// The server may start later than this. Nobody may use the port after the server's.
pub async fn net_client(env: Env, own_ip: IpAddr, server: SocketAddr) {
    let net = env.net.as_ref();
    wait_until_served(net, server).await;
    nobody_listens_on_the_next_port(net, server).await;
    a_stream_comes_from_the_own_address(net, own_ip, server).await;
    bulk_arrives_whole_and_in_order_both_ways(net, server).await;
    several_streams_are_served_at_once(net, server).await;
    a_shut_down_stream_can_still_be_answered(net, server).await;
    a_stream_the_peer_drops_ends(net, server).await;
    datagrams_come_from_the_bound_address(net, own_ip, server).await;
    datagrams_arrive_whole_up_to_the_limit(net, own_ip, server).await;
}

/// Asserts what the machine `own_ip` may expect when it talks to itself.
pub async fn net_alone(env: Env, own_ip: IpAddr) {
    let net = env.net.as_ref();
    an_address_is_listened_at_once_only(net, own_ip).await;
    an_address_is_bound_for_datagrams_once_only(net, own_ip).await;
    an_abandoned_wait_loses_no_peer(net, own_ip).await;
    an_abandoned_wait_loses_no_datagram(net, own_ip).await;
    a_dropped_listener_refuses_and_frees_its_address(net, own_ip).await;
}

async fn wait_until_served(net: &dyn Net, server: SocketAddr) {
    soon("the server listens", async {
        while net.connect(server).await.is_err() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
}

async fn asked(net: &dyn Net, server: SocketAddr, what: u8) -> Box<dyn Stream> {
    let mut stream = soon("a listening peer is reached", net.connect(server))
        .await
        .expect("a listening peer is reached");
    stream.write_all(&[what]).await.expect("an open stream takes a byte");
    stream
}

async fn read_to_end(promise: &str, stream: &mut (impl AsyncReadExt + Unpin)) -> Vec<u8> {
    let mut received = Vec::new();
    soon(promise, stream.read_to_end(&mut received)).await.expect(promise);
    received
}

async fn nobody_listens_on_the_next_port(net: &dyn Net, server: SocketAddr) {
    let unused = SocketAddr::new(server.ip(), server.port() + 1);
    assert_refused(net, unused, "nobody listens on the server's next port").await;
}

async fn assert_refused(net: &dyn Net, at: SocketAddr, why: &str) {
    let refused = soon("a refusal comes at once", net.connect(at)).await;
    assert_eq!(refused.map(|_| ()).map_err(|error| error.kind()), refused_kind(), "{why}");
}

fn refused_kind() -> Result<(), ErrorKind> {
    Err(ErrorKind::ConnectionRefused)
}

async fn a_stream_comes_from_the_own_address(net: &dyn Net, own_ip: IpAddr, server: SocketAddr) {
    let mut stream = asked(net, server, WHO_AM_I).await;
    let seen = read_to_end("the server says whom it sees", &mut stream).await;
    assert_eq!(address(&seen).ip(), own_ip, "a stream leaves from the node's own address");
}

fn address(text: &[u8]) -> SocketAddr {
    let text = std::str::from_utf8(text).expect("the server answers with text");
    text.parse().expect("the server answers with an address")
}

/// Bytes in which no stretch repeats within the length, so that a lost or swapped part shows.
fn bulk() -> Vec<u8> {
    (0..BULK_SIZE_BYTES as u32 / 4).flat_map(u32::to_be_bytes).collect()
}

async fn bulk_arrives_whole_and_in_order_both_ways(net: &dyn Net, server: SocketAddr) {
    let stream = asked(net, server, ECHO).await;
    let (mut reader, mut writer) = tokio::io::split(stream);
    let sent = bulk();
    let send = async {
        writer.write_all(&sent).await.expect("an open stream takes all bytes");
        writer.shutdown().await.expect("an open stream can be shut down");
    };
    let ((), echoed) = tokio::join!(
        soon("the server takes the bulk", send),
        read_to_end("the bulk comes back and ends", &mut reader),
    );
    assert!(echoed == sent, "bytes were lost, added or moved on the way");
}

async fn several_streams_are_served_at_once(net: &dyn Net, server: SocketAddr) {
    let mut streams = Vec::new();
    for _ in 0..8 {
        streams.push(asked(net, server, ECHO).await);
    }
    // Twice around, in both orders: each stream stays open while the others are used.
    for number in (0..8_u8).chain((0..8).rev()) {
        let stream = &mut streams[usize::from(number)];
        stream.write_all(&[number; 3]).await.expect("an open stream takes bytes");
        let mut answer = [0; 3];
        soon("every open stream is answered", stream.read_exact(&mut answer))
            .await
            .expect("every open stream is answered");
        assert_eq!(answer, [number; 3], "an answer came on another stream");
    }
}

async fn a_shut_down_stream_can_still_be_answered(net: &dyn Net, server: SocketAddr) {
    let mut stream = asked(net, server, COUNT).await;
    stream.write_all(&[7; 1000]).await.expect("an open stream takes bytes");
    stream.shutdown().await.expect("an open stream can be shut down");
    let counted = read_to_end("the peer reads the end and still answers", &mut stream).await;
    assert_eq!(counted, 1000_u64.to_be_bytes());
}

async fn a_stream_the_peer_drops_ends(net: &dyn Net, server: SocketAddr) {
    let mut stream = asked(net, server, DROP).await;
    let rest = read_to_end("a stream ends when the peer drops it", &mut stream).await;
    assert_eq!(rest, b"", "a dropped stream carried bytes");
}

async fn bound(net: &dyn Net, at: SocketAddr) -> Arc<dyn Datagrams> {
    net.datagrams(at).await.expect("a free address can be bound")
}

/// Sends until an answer comes, because a datagram may be lost in any world.
async fn exchanged(socket: &dyn Datagrams, bytes: &[u8], to: SocketAddr) -> Vec<u8> {
    let mut buffer = [0; DATAGRAM_SIZE_BYTES_MAX + 1];
    for _ in 0..20 {
        socket.try_send_to(bytes, to).expect("an idle socket sends at once");
        let answer = socket.recv_from(&mut buffer);
        if let Ok(received) = tokio::time::timeout(Duration::from_millis(500), answer).await {
            let (size_bytes, from) = received.expect("a bound socket receives");
            assert_eq!(from, to, "an answer shows the address it was sent from");
            return buffer[..size_bytes].to_vec();
        }
    }
    panic!("20 datagrams of {} bytes, and no answer", bytes.len());
}

async fn datagrams_come_from_the_bound_address(net: &dyn Net, own_ip: IpAddr, to: SocketAddr) {
    let socket = bound(net, SocketAddr::new(own_ip, 0)).await;
    let own = socket.local_addr().expect("a bound socket has an address");
    assert_ne!(own.port(), 0, "the real port is shown");
    let seen = exchanged(socket.as_ref(), &[WHO_AM_I], to).await;
    assert_eq!(address(&seen), own);
}

async fn datagrams_arrive_whole_up_to_the_limit(net: &dyn Net, own_ip: IpAddr, to: SocketAddr) {
    for size_bytes in [1, 512, DATAGRAM_SIZE_BYTES_MAX] {
        // A socket for each size, so that a late second answer cannot be taken for the next.
        let socket = bound(net, SocketAddr::new(own_ip, 0)).await;
        let sent = vec![ECHO; size_bytes];
        assert_eq!(exchanged(socket.as_ref(), &sent, to).await, sent);
    }
    let socket = bound(net, SocketAddr::new(own_ip, 0)).await;
    let refused = socket.try_send_to(&[ECHO; DATAGRAM_SIZE_BYTES_MAX + 1], to);
    assert_eq!(refused.map_err(|error| error.kind()), Err(ErrorKind::InvalidInput));
}

async fn listening(net: &dyn Net, at: SocketAddr) -> (Box<dyn Listener>, SocketAddr) {
    let listener = net.listen(at).await.expect("a free address can be listened at");
    let own = listener.local_addr().expect("a listener has an address");
    assert_ne!(own.port(), 0, "the real port is shown");
    (listener, own)
}

async fn an_address_is_listened_at_once_only(net: &dyn Net, own_ip: IpAddr) {
    let (_listener, at) = listening(net, SocketAddr::new(own_ip, 0)).await;
    let second = net.listen(at).await.map(|_| ()).map_err(|error| error.kind());
    assert_eq!(second, Err(ErrorKind::AddrInUse));
}

async fn an_address_is_bound_for_datagrams_once_only(net: &dyn Net, own_ip: IpAddr) {
    let first = bound(net, SocketAddr::new(own_ip, 0)).await;
    let at = first.local_addr().expect("a bound socket has an address");
    let second = net.datagrams(at).await.map(|_| ()).map_err(|error| error.kind());
    assert_eq!(second, Err(ErrorKind::AddrInUse));
    drop(first);
    bound(net, at).await;
}

/// Polls a wait that cannot be over yet, and gives it up.
async fn abandon<T>(wait: impl Future<Output = io::Result<T>>) {
    let early = tokio::time::timeout(Duration::from_millis(5), wait).await;
    assert!(early.is_err(), "nothing was sent, and something arrived");
}

async fn an_abandoned_wait_loses_no_peer(net: &dyn Net, own_ip: IpAddr) {
    let (listener, at) = listening(net, SocketAddr::new(own_ip, 0)).await;
    abandon(listener.accept()).await;
    // Connecting succeeds before anyone accepts: the peer waits in the listener's queue.
    let mut dialed =
        soon("a listener is reached", net.connect(at)).await.expect("a listener is reached");
    dialed.write_all(b"x").await.expect("an open stream takes a byte");
    let (mut accepted, from) =
        soon("the peer is accepted", listener.accept()).await.expect("the peer is accepted");
    assert_eq!(from.ip(), own_ip);
    assert_eq!(soon("its byte arrives", accepted.read_u8()).await.ok(), Some(b'x'));
}

async fn an_abandoned_wait_loses_no_datagram(net: &dyn Net, own_ip: IpAddr) {
    let receiver = bound(net, SocketAddr::new(own_ip, 0)).await;
    let to = receiver.local_addr().expect("a bound socket has an address");
    let sender = bound(net, SocketAddr::new(own_ip, 0)).await;
    let mut buffer = [0; 4];
    abandon(receiver.recv_from(&mut buffer)).await;
    sender.try_send_to(b"longer than the buffer", to).expect("an idle socket sends at once");
    let (size_bytes, from) = soon("a machine hears itself", receiver.recv_from(&mut buffer))
        .await
        .expect("a bound socket receives");
    assert_eq!(&buffer[..size_bytes], b"long", "a longer datagram is cut to the buffer");
    assert_eq!(from, sender.local_addr().expect("a bound socket has an address"));
}

async fn a_dropped_listener_refuses_and_frees_its_address(net: &dyn Net, own_ip: IpAddr) {
    let (listener, at) = listening(net, SocketAddr::new(own_ip, 0)).await;
    let mut dialed =
        soon("a listener is reached", net.connect(at)).await.expect("a listener is reached");
    let (mut accepted, _) =
        soon("the peer is accepted", listener.accept()).await.expect("the peer is accepted");
    drop(listener);

    assert_refused(net, at, "the listener was dropped").await;
    accepted.write_all(b"x").await.expect("accepted streams outlive their listener");
    assert_eq!(soon("its byte arrives", dialed.read_u8()).await.ok(), Some(b'x'));

    // This side closes first and so keeps the trace of the stream, as a stopping daemon does.
    drop(accepted);
    assert_eq!(read_to_end("the stream ends", &mut dialed).await, b"");
    drop(dialed);
    soon("the address is free once its streams are closed", async {
        while let Err(error) = net.listen(at).await {
            assert_eq!(error.kind(), ErrorKind::AddrInUse);
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
}
