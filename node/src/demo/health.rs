//! One question over HTTP, asked without any of the cluster's own code: who is ready, who leads.
//!
//! The demo and the tests judge the daemons from outside, so they do not ask with the client that
//! is itself under test.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// The status that `GET path` answers, and its body. An answer that takes longer than `limit` is
/// an error.
pub fn get(api: SocketAddr, path: &str, limit: Duration) -> io::Result<(u16, String)> {
    ask(api, path, "", limit)
}

/// The same with a header `authorization` of this value.
pub fn get_as(
    api: SocketAddr,
    path: &str,
    authorization: &str,
    limit: Duration,
) -> io::Result<(u16, String)> {
    ask(api, path, &format!("authorization: {authorization}\r\n"), limit)
}

fn ask(api: SocketAddr, path: &str, headers: &str, limit: Duration) -> io::Result<(u16, String)> {
    let mut stream = TcpStream::connect_timeout(&api, limit)?;
    stream.set_read_timeout(Some(limit))?;
    stream.set_write_timeout(Some(limit))?;
    let head = format!("GET {path} HTTP/1.1\r\nhost: {api}\r\nconnection: close\r\n");
    let request = format!("{head}{headers}\r\n");
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let answer = String::from_utf8_lossy(&answer);
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    let status = head.split_whitespace().nth(1).and_then(|status| status.parse().ok());
    let status = status.ok_or(io::ErrorKind::InvalidData)?;
    Ok((status, body.to_owned()))
}

/// Whether the node at `api` says within `limit` that it leads.
pub fn is_leader(api: SocketAddr, limit: Duration) -> bool {
    get(api, "/leader", limit).is_ok_and(|(status, _)| status == 200)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn only_an_answer_of_200_makes_a_leader() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let api = listener.local_addr().unwrap();
        let answers = ["200 OK", "503 Service Unavailable"];
        let server = std::thread::spawn(move || {
            for answer in answers {
                let (mut stream, _) = listener.accept().unwrap();
                let mut request = [0; 512];
                let size_bytes = stream.read(&mut request).unwrap();
                assert!(request[..size_bytes].starts_with(b"GET /leader HTTP/1.1\r\n"));
                write!(stream, "HTTP/1.1 {answer}\r\n\r\n{{}}").unwrap();
            }
        });
        let limit = Duration::from_secs(10);
        assert!(is_leader(api, limit));
        assert!(!is_leader(api, limit));
        server.join().unwrap();
        assert!(!is_leader(api, limit), "nobody listens");
    }
}
