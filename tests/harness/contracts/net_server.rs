//! The serving half of the network contract: it does what the first byte of a stream asks for.
//!
//! It runs on a machine of its own in the simulator, and until it is dropped in both worlds. All
//! claims about it are made by the client, in `net.rs`.

use std::io;
use std::net::SocketAddr;

use quorate_core::ports::{DATAGRAM_SIZE_BYTES_MAX, Env, Stream};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Send back every byte, and the end when the end is read.
pub(super) const ECHO: u8 = b'e';
/// Read to the end, then answer with the number of bytes read, eight bytes big-endian.
pub(super) const COUNT: u8 = b'c';
/// Answer with the client's address as text: of a stream, then its end; of a datagram, alone.
pub(super) const WHO_AM_I: u8 = b'w';
/// Drop the stream without a word.
pub(super) const DROP: u8 = b'd';

/// Serves the client of the network contract on `at`, streams and datagrams, until dropped.
///
/// Panics if the address cannot be taken, or if a port breaks a promise on this side.
pub async fn net_server(env: Env, at: SocketAddr) {
    let listener = env.net.listen(at).await.expect("a free address can be listened at");
    let datagrams = env.net.datagrams(at).await.expect("datagrams have ports of their own");
    assert_eq!(listener.local_addr().expect("a listener has an address"), at);
    assert_eq!(datagrams.local_addr().expect("a bound socket has an address"), at);

    tokio::task::spawn_local(async move {
        let mut buffer = [0; DATAGRAM_SIZE_BYTES_MAX];
        loop {
            let (size_bytes, from) =
                datagrams.recv_from(&mut buffer).await.expect("a bound socket receives");
            let answer = match buffer.first() {
                Some(&WHO_AM_I) => from.to_string().into_bytes(),
                Some(_) | None => buffer[..size_bytes].to_vec(),
            };
            datagrams.try_send_to(&answer, from).expect("an idle socket sends at once");
        }
    });
    loop {
        let (stream, from) = listener.accept().await.expect("a listener accepts");
        tokio::task::spawn_local(async move {
            // A stream that the client drops early ends its service, not the server.
            let _ = serve(stream, from).await;
        });
    }
}

async fn serve(mut stream: Box<dyn Stream>, from: SocketAddr) -> io::Result<()> {
    match stream.read_u8().await? {
        ECHO => {
            let (mut reader, mut writer) = tokio::io::split(stream);
            tokio::io::copy(&mut reader, &mut writer).await?;
            writer.shutdown().await
        }
        COUNT => {
            let mut received = Vec::new();
            stream.read_to_end(&mut received).await?;
            stream.write_all(&(received.len() as u64).to_be_bytes()).await?;
            stream.shutdown().await
        }
        WHO_AM_I => {
            stream.write_all(from.to_string().as_bytes()).await?;
            stream.shutdown().await
        }
        DROP => Ok(()),
        other => panic!("the client asked for {other}"),
    }
}
