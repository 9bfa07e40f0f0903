//! As much of gRPC as a fair client of etcd needs: one call, one answer, over HTTP/2.
//!
//! etcd's own protocol, spoken directly: its JSON gateway would put a second server between the
//! client and etcd and be measured with it. One connection per client, as Quorate's clients have.
//!
//! Read next: [`Channel::call`]; `etcd.rs` for the messages.
//! Source: grpc/doc/PROTOCOL-HTTP2.md; protobuf.dev, "Encoding".

use std::error::Error;
use std::future::poll_fn;
use std::net::SocketAddr;

use bytes::{BufMut, Bytes, BytesMut};
use h2::client::SendRequest;
use tokio::net::TcpStream;

/// A byte that says "not compressed", and the size of the message in four.
const PREFIX_SIZE_BYTES: usize = 5;

/// What goes wrong here goes wrong with the measurement: nobody tells the cases apart.
pub type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// One connection, with one call under way at a time.
#[derive(Debug)]
pub struct Channel {
    requests: SendRequest<Bytes>,
    address: SocketAddr,
}

impl Channel {
    /// Connects. The connection is driven by a local task of this runtime.
    pub async fn open(address: SocketAddr) -> Result<Channel> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let (requests, connection) = h2::client::handshake(stream).await?;
        tokio::task::spawn_local(async move {
            // The call that is under way fails with the same error, and tells it.
            let _ = connection.await;
        });
        Ok(Channel { requests, address })
    }

    /// Sends one message to `path` (`/package.Service/Method`) and returns the one that answers.
    pub async fn call(&mut self, path: &str, message: &[u8]) -> Result<Bytes> {
        let request = http::Request::post(format!("http://{}{path}", self.address))
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .body(())?;
        poll_fn(|context| self.requests.poll_ready(context)).await?;
        let (response, mut stream) = self.requests.send_request(request, false)?;
        stream.send_data(with_prefix(message), true)?;
        let (head, mut body) = response.await?.into_parts();
        let mut answer = BytesMut::new();
        while let Some(part) = body.data().await {
            let part = part?;
            body.flow_control().release_capacity(part.len())?;
            answer.extend_from_slice(&part);
        }
        // A call that is refused at once has its status in the head.
        let trailers = body.trailers().await?.unwrap_or(head.headers);
        let status = trailers.get("grpc-status").map(|status| status.as_bytes());
        if status != Some(b"0") {
            return Err(format!("{path} was refused: {trailers:?}").into());
        }
        without_prefix(answer.freeze())
    }
}

fn with_prefix(message: &[u8]) -> Bytes {
    let mut framed = BytesMut::with_capacity(PREFIX_SIZE_BYTES + message.len());
    framed.put_u8(0);
    framed.put_u32(u32::try_from(message.len()).expect("messages of a benchmark are small"));
    framed.put_slice(message);
    framed.freeze()
}

fn without_prefix(framed: Bytes) -> Result<Bytes> {
    let size_bytes =
        framed.get(1..PREFIX_SIZE_BYTES).map(|size| size.try_into().map(u32::from_be_bytes));
    match size_bytes {
        Some(Ok(size)) if framed[0] == 0 && framed.len() == PREFIX_SIZE_BYTES + size as usize => {
            Ok(framed.slice(PREFIX_SIZE_BYTES..))
        }
        _ => Err("the answer is not one whole message".into()),
    }
}

/// Appends a field of bytes to a protobuf message. Field numbers above 15 are not needed here.
pub fn put_bytes(message: &mut Vec<u8>, field: u8, bytes: &[u8]) {
    message.push(field << 3 | 2);
    let mut rest = bytes.len();
    while rest >= 0x80 {
        message.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    message.push(rest as u8);
    message.extend_from_slice(bytes);
}

/// The value of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value<'a> {
    /// Any kind of integer or truth value.
    Number(u64),
    /// A string, bytes, or a message within this one.
    Bytes(&'a [u8]),
}

/// The fields of a protobuf message, in order; `None` if it is broken or has kinds not used here.
pub fn fields(mut message: &[u8]) -> Option<Vec<(u64, Value<'_>)>> {
    let mut fields = Vec::new();
    while !message.is_empty() {
        let key = take_number(&mut message)?;
        let value = match key & 7 {
            0 => Value::Number(take_number(&mut message)?),
            2 => {
                let size_bytes = usize::try_from(take_number(&mut message)?).ok()?;
                let (bytes, rest) = message.split_at_checked(size_bytes)?;
                message = rest;
                Value::Bytes(bytes)
            }
            _ => return None,
        };
        fields.push((key >> 3, value));
    }
    Some(fields)
}

fn take_number(message: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for place in 0..10 {
        let (byte, rest) = message.split_first()?;
        *message = rest;
        number |= u64::from(byte & 0x7f) << (7 * place);
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_specification_examples_are_read_and_written() {
        // Of "Encoding": field 1 is 150; field 2 is the string "testing".
        assert_eq!(fields(&[0x08, 0x96, 0x01]), Some(vec![(1, Value::Number(150))]));
        let mut message = Vec::new();
        put_bytes(&mut message, 2, b"testing");
        assert_eq!(message, [&[0x12, 7], &b"testing"[..]].concat());

        let long = vec![7; 300];
        put_bytes(&mut message, 1, &long);
        let expected = vec![(2, Value::Bytes(b"testing")), (1, Value::Bytes(&long))];
        assert_eq!(fields(&message), Some(expected));
        assert_eq!(fields(&message[..message.len() - 1]), None);
        assert_eq!(fields(&[0x80]), None);
    }

    #[test]
    fn a_prefix_frames_exactly_one_message() {
        let framed = with_prefix(b"abc");
        assert_eq!(framed[..], [0, 0, 0, 0, 3, b'a', b'b', b'c']);
        assert_eq!(without_prefix(framed.clone()).expect("it is whole")[..], b"abc"[..]);
        assert!(without_prefix(framed.slice(..7)).is_err());
        assert!(without_prefix(Bytes::new()).is_err());
    }
}
