//! What somebody does to a node's ports who is no member.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// Sends bytes over a connection of its own and waits until the other side ends it.
///
/// Panics if nobody listens there, or if the connection is still open after 10 s.
pub fn closes_after(to: SocketAddr, bytes: &[u8]) {
    let mut stream = TcpStream::connect(to).expect("the port listens");
    stream.set_read_timeout(Some(Duration::from_secs(10))).expect("a timeout can be set");
    stream.write_all(bytes).expect("the system takes a few bytes");
    // Its own handshake may come first; a reset is an end too.
    if let Err(error) = stream.read_to_end(&mut Vec::new()) {
        assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{to} keeps the connection: {error}");
    }
}
