//! One call of a client: attempts at one address after the other, until the deadline.

use std::cell::Cell;
use std::net::SocketAddr;
use std::time::Duration;

use axum::http::header::HOST;
use axum::http::{HeaderMap, Method, Request, StatusCode};
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use tokio::task::JoinHandle;

use super::client::ClientError;
use super::{INDEX_HEADER, Problem, REQUEST_ID_HEADER};
use crate::ids::RequestId;
use crate::ports::{Env, Now};

/// Pause before the next address: longer than a refusal takes, shorter than an election.
const RETRY_PAUSE_MS: u64 = 20;
/// The largest answer that is read: a full list as base64, and its keys.
const ANSWER_SIZE_BYTES_MAX: usize = 16 << 20;

/// When a call may be sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Repeat {
    /// It changes nothing.
    Read,
    /// It is applied once, however often it is sent.
    Write(RequestId),
    /// Only if it cannot have taken effect.
    IfRefused,
}

pub(super) struct Call {
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) body: Bytes,
    pub(super) repeat: Repeat,
}

impl Call {
    pub(super) fn read(path: String) -> Call {
        Call { method: Method::GET, path, body: Bytes::new(), repeat: Repeat::Read }
    }
}

#[derive(Clone, Debug)]
pub(super) struct Reply {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

/// How a call ended: with a success, or an error and the reply that gave it.
pub(super) type Ended = Result<Reply, (ClientError, Option<Reply>)>;

/// Addresses, and the connection to one of them.
pub(super) struct Calls {
    env: Env,
    addresses: Vec<SocketAddr>,
    /// Position in `addresses` of the one in use, from 0.
    at: usize,
    connection: Option<Connection>,
    call_ms: u64,
    attempt_ms: u64,
}

struct Connection {
    requests: SendRequest<Full<Bytes>>,
    driver: JoinHandle<()>,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

/// What is known after some attempts without a final answer.
#[derive(Default)]
struct Tried {
    may_have_written: bool,
    problem: Option<Problem>,
    last: String,
}

impl Calls {
    pub(super) fn new(env: Env, addresses: Vec<SocketAddr>) -> Calls {
        assert!(!addresses.is_empty(), "a client has somebody to ask");
        Calls { env, addresses, at: 0, connection: None, call_ms: 10_000, attempt_ms: 2_000 }
    }

    pub(super) fn limit_ms(&mut self, call_ms: u64, attempt_ms: u64) {
        (self.call_ms, self.attempt_ms) = (call_ms, attempt_ms);
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.addresses[self.at]
    }

    /// Tries until something settles the call, or its time is over.
    pub(super) async fn perform(&mut self, call: Call) -> Ended {
        let deadline = self.env.clock.now().plus_ms(self.call_ms);
        let mut tried = Tried::default();
        loop {
            let left_ms = deadline.ms_since(self.env.clock.now());
            if left_ms == 0 {
                return Err((tried.give_up(self.call_ms), None));
            }
            let was_sent = Cell::new(false);
            let limit = Duration::from_millis(left_ms.min(self.attempt_ms));
            let attempt = self.attempt(&call, &was_sent);
            let failure = match tokio::time::timeout(limit, attempt).await {
                Ok(Ok(reply)) => match tried.judge(&call, reply) {
                    Some(ended) => return ended,
                    None => None,
                },
                Ok(Err(detail)) => Some(detail),
                Err(_) => Some(format!("no answer in {} ms", limit.as_millis())),
            };
            if let Some(detail) = failure {
                tried.last = format!("{}: {detail}", self.address());
                tried.may_have_written |= was_sent.get() && call.repeat != Repeat::Read;
            }
            if tried.may_have_written && call.repeat == Repeat::IfRefused {
                return Err((tried.give_up(self.call_ms - left_ms), None));
            }
            self.turn(deadline).await;
        }
    }

    /// Leaves this address for the next.
    async fn turn(&mut self, deadline: Now) {
        self.connection = None;
        self.at = (self.at + 1) % self.addresses.len();
        let left = deadline.since(self.env.clock.now());
        tokio::time::sleep(left.min(Duration::from_millis(RETRY_PAUSE_MS))).await;
    }

    /// Sends once. `was_sent` is true from the moment that the far end may have seen it.
    async fn attempt(&mut self, call: &Call, was_sent: &Cell<bool>) -> Result<Reply, String> {
        let at = self.address();
        // Taken out: an attempt that is dropped or breaks leaves no half-used connection behind.
        let mut connection = match self.kept().await {
            Some(connection) => connection,
            None => self.connect(at).await?,
        };
        let mut request = Request::builder().method(call.method.clone()).uri(&call.path);
        request = request.header(HOST, at.to_string());
        if let Repeat::Write(id) = call.repeat {
            request = request.header(REQUEST_ID_HEADER, id.to_string());
        }
        let request = request.body(Full::new(call.body.clone())).map_err(|e| e.to_string())?;
        was_sent.set(true);
        let response =
            connection.requests.send_request(request).await.map_err(|e| e.to_string())?;
        let (parts, body) = response.into_parts();
        let body = Limited::new(body, ANSWER_SIZE_BYTES_MAX).collect().await;
        let body = body.map_err(|error| error.to_string())?.to_bytes();
        self.connection = Some(connection);
        Ok(Reply { status: parts.status, headers: parts.headers, body })
    }

    /// The open connection, unless the far end has closed it since.
    async fn kept(&mut self) -> Option<Connection> {
        let mut connection = self.connection.take()?;
        connection.requests.ready().await.ok()?;
        Some(connection)
    }

    async fn connect(&self, at: SocketAddr) -> Result<Connection, String> {
        let stream = self.env.net.connect(at).await.map_err(|error| error.to_string())?;
        let (mut requests, driver) =
            handshake(TokioIo::new(stream)).await.map_err(|error| error.to_string())?;
        let driver = tokio::task::spawn_local(async move {
            // Whatever breaks the connection also fails the request that waits on it.
            let _ = driver.await;
        });
        let is_ready = requests.ready().await.map_err(|error| error.to_string());
        let connection = Connection { requests, driver };
        is_ready.map(|()| connection)
    }
}

impl Tried {
    /// How a reply settles the call. `None`, and noted, if another attempt may tell more.
    fn judge(&mut self, call: &Call, reply: Reply) -> Option<Ended> {
        if reply.status.is_success() {
            return Some(Ok(reply));
        }
        let Ok(problem) = serde_json::from_slice::<Problem>(&reply.body) else {
            let detail = format!("status {} without a code of ours", reply.status);
            if call.repeat == Repeat::Read {
                return Some(Err((ClientError::NotQuorate { detail }, Some(reply))));
            }
            // Something stands between; whether it passed the write on is anyone's guess.
            (self.may_have_written, self.last) = (true, detail);
            return None;
        };
        self.last = problem.to_string();
        // With an index the log itself refused: had an earlier attempt been applied, its reply
        // would have been repeated.
        let is_applied = reply.headers.contains_key(INDEX_HEADER);
        if reply.status == StatusCode::SERVICE_UNAVAILABLE {
            self.problem = Some(problem);
            return None;
        }
        if reply.status.is_server_error() {
            self.may_have_written |= call.repeat != Repeat::Read;
            self.problem = Some(problem);
            return None;
        }
        if self.may_have_written && !is_applied {
            self.problem = Some(problem);
            return None;
        }
        Some(Err((ClientError::Refused(problem), Some(reply))))
    }

    fn give_up(self, waited_ms: u64) -> ClientError {
        let Tried { may_have_written, problem, last } = self;
        match (may_have_written, problem) {
            (true, _) => ClientError::OutcomeUnknown { waited_ms, last },
            (false, Some(problem)) => ClientError::Refused(problem),
            (false, None) => ClientError::Unreachable { waited_ms, last },
        }
    }
}
