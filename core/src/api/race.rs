//! Many addresses asked at once: the first valid answer wins.
//!
//! An address can be dead in many ways: it refuses, drops what comes, accepts and stays silent, or
//! speaks for a leader that is gone. So nobody waits for one of them to make up its mind.
//!
//! Invariants
//! - What may change something is sent only over a connection on which a node has answered before:
//!   a node that is silent cannot carry it out later, when nobody expects it any more.
//!
//! Read next: [`Race`], then `call.rs`, which judges the answers.

use std::cell::Cell;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use axum::http::header::{AUTHORIZATION, HOST};
use axum::http::{HeaderMap, HeaderValue, Request};
use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::future::LocalBoxFuture;
use futures_util::stream::FuturesUnordered;
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use tokio::task::JoinHandle;

use super::call::{Call, Repeat, Reply};
use super::{CLUSTER_HEADER, MEMBERS_HEADER, MemberList, REQUEST_ID_HEADER};
use crate::ports::Env;
use crate::security::{Fingerprint, Trust};

/// The largest answer that is read: a full list as base64, and its keys.
const ANSWER_SIZE_BYTES_MAX: usize = 16 << 20;

/// Where the nodes of a cluster may be, as a client knows it.
#[derive(Clone, Debug)]
pub(super) struct Places {
    given: Vec<SocketAddr>,
    list: Option<MemberList>,
    /// Who answered last; before that, the first that was given.
    last: SocketAddr,
}

impl Places {
    /// Panics if `given` is empty.
    pub(super) fn of(given: Vec<SocketAddr>) -> Places {
        let last = *given.first().expect("a client has somebody to ask");
        Places { given, list: None, last }
    }

    pub(super) fn list(&self) -> Option<&MemberList> {
        self.list.as_ref()
    }

    pub(super) fn last(&self) -> SocketAddr {
        self.last
    }

    pub(super) fn set_last(&mut self, at: SocketAddr) {
        self.last = at;
    }

    /// Takes the list if it is newer, and of the same cluster.
    pub(super) fn learn(&mut self, list: MemberList) {
        if self.list.as_ref().is_none_or(|known| list.is_newer_than(known)) {
            self.list = Some(list);
        }
    }

    fn learn_from(&mut self, headers: &HeaderMap) {
        let told = headers.get(MEMBERS_HEADER).map(|value| value.as_bytes());
        if let Some(list) = told.and_then(|told| serde_json::from_slice(told).ok()) {
            self.learn(list);
        }
    }

    /// The next address that is not among `asked`: who answered last, then members, then those
    /// that were given.
    fn next(&self, asked: &[SocketAddr]) -> Option<SocketAddr> {
        let members = self.list.iter().flat_map(|list| &list.members).map(|member| member.api);
        let mut all = [self.last].into_iter().chain(members).chain(self.given.iter().copied());
        all.find(|at| !asked.contains(at))
    }
}

/// A connection to one node, kept open between calls.
pub(super) struct Connection {
    pub(super) at: SocketAddr,
    requests: SendRequest<Full<Bytes>>,
    driver: JoinHandle<()>,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

/// How one attempt ended: with an answer, whatever it says, or with what went wrong.
pub(super) struct Attempted {
    pub(super) at: SocketAddr,
    /// Whether the far end may have seen the request.
    pub(super) was_sent: bool,
    pub(super) outcome: Result<(Reply, Connection), Failure>,
}

/// Why an attempt has no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// Nothing was sent to who answers there.
    NotTrusted(String),
    /// It was never reached, or went silent.
    Broken(String),
}

impl Failure {
    fn of(error: &impl ToString) -> Failure {
        Failure::Broken(error.to_string())
    }
}

/// Whom each request is for, and who asks.
struct Credentials {
    /// The id of the cluster, once it is known.
    cluster: Option<String>,
    authorization: Option<HeaderValue>,
}

/// How a client asks, whomever it asks.
#[derive(Clone, Debug, Default)]
pub(super) struct Asking {
    /// Whom it takes for a member.
    pub(super) trust: Trust,
    /// Says who asks.
    pub(super) authorization: Option<HeaderValue>,
}

/// One call under way to several addresses.
pub(super) struct Race {
    env: Env,
    asking: Asking,
    call: Rc<Call>,
    limit_ms: u64,
    asked: Vec<SocketAddr>,
    were_sent: Vec<(SocketAddr, Rc<Cell<bool>>)>,
    running: FuturesUnordered<LocalBoxFuture<'static, Attempted>>,
}

impl Race {
    /// Nobody is asked yet. Each attempt ends after `limit_ms`.
    pub(super) fn new(env: &Env, asking: &Asking, call: &Rc<Call>, limit_ms: u64) -> Race {
        Race {
            env: env.clone(),
            asking: asking.clone(),
            call: call.clone(),
            limit_ms,
            asked: Vec::new(),
            were_sent: Vec::new(),
            running: FuturesUnordered::new(),
        }
    }

    /// Asks one more, unless all that `places` knows are asked. Returns whether it did.
    pub(super) fn ask_next(&mut self, places: &Places) -> bool {
        let Some(at) = places.next(&self.asked) else { return false };
        self.ask(places, at, None);
        true
    }

    /// Asks the node at `at`, over the open connection if there is one.
    pub(super) fn ask(&mut self, places: &Places, at: SocketAddr, kept: Option<Connection>) {
        let cluster = places.list().map(|list| list.cluster_id.clone());
        let authority = places.list().and_then(|list| list.authority);
        let Asking { trust, authorization } = self.asking.clone();
        let line = Line { env: self.env.clone(), trust, at, authority };
        let credentials = Credentials { cluster, authorization };
        let (call, limit_ms) = (self.call.clone(), self.limit_ms);
        let flag = Rc::new(Cell::new(false));
        self.asked.push(at);
        self.were_sent.push((at, flag.clone()));
        self.running.push(Box::pin(async move {
            let sending = send(&line, kept, &call, &credentials, &flag);
            let outcome = match tokio::time::timeout(Duration::from_millis(limit_ms), sending).await
            {
                Ok(outcome) => outcome,
                Err(_) => Err(Failure::Broken(format!("no answer in {limit_ms} ms"))),
            };
            Attempted { at, was_sent: flag.get(), outcome }
        }));
    }

    /// The next attempt to end; `None` if none is under way, or `wait_ms` pass first.
    pub(super) async fn first(
        &mut self,
        wait_ms: Option<u64>,
        places: &mut Places,
    ) -> Option<Attempted> {
        let first = self.running.next();
        let attempted = match wait_ms {
            Some(ms) => tokio::time::timeout(Duration::from_millis(ms), first).await.ok()??,
            None => first.await?,
        };
        self.were_sent.retain(|(at, _)| *at != attempted.at);
        if let Ok((reply, _)) = &attempted.outcome {
            places.learn_from(&reply.headers);
        }
        Some(attempted)
    }

    /// Whether nobody is asked at the moment.
    pub(super) fn is_idle(&self) -> bool {
        self.running.is_empty()
    }

    /// Whether one of those who have not answered may have seen the request.
    pub(super) fn is_in_doubt(&self) -> bool {
        self.were_sent.iter().any(|(_, was_sent)| was_sent.get())
    }
}

/// Sends once. `was_sent` is true from the moment that the far end may have seen it; if it stays
/// false, the reply is that of somebody who is no node of this cluster.
async fn send(
    line: &Line,
    kept: Option<Connection>,
    call: &Call,
    credentials: &Credentials,
    was_sent: &Cell<bool>,
) -> Result<(Reply, Connection), Failure> {
    // A connection is lent to one attempt: one that is dropped or breaks leaves no half behind.
    let mut connection = match still_open(kept).await {
        Some(connection) => connection,
        None => {
            let mut connection = line.connect().await?;
            if call.repeat.may_write() {
                let told = connection.ask(&Call::read("/readyz".to_owned()), credentials).await?;
                if !is_node(&told) {
                    return Ok((told, connection));
                }
                connection.requests.ready().await.map_err(|error| Failure::of(&error))?;
            }
            connection
        }
    };
    was_sent.set(true);
    let reply = connection.ask(call, credentials).await?;
    Ok((reply, connection))
}

/// Whether this answer to `/readyz` is that of a node, of the cluster that was asked for.
fn is_node(told: &Reply) -> bool {
    matches!(&told.body[..], b"ready\n" | b"not ready\n")
}

impl Connection {
    async fn ask(&mut self, call: &Call, credentials: &Credentials) -> Result<Reply, Failure> {
        let mut request = Request::builder().method(call.method.clone()).uri(&call.path);
        request = request.header(HOST, self.at.to_string());
        if let Some(cluster) = &credentials.cluster {
            request = request.header(CLUSTER_HEADER, cluster);
        }
        if let Some(authorization) = &credentials.authorization {
            request = request.header(AUTHORIZATION, authorization);
        }
        if let Repeat::Write(id) = call.repeat {
            request = request.header(REQUEST_ID_HEADER, id.to_string());
        }
        let body = Full::new(call.body.clone());
        let request = request.body(body).map_err(|error| Failure::of(&error))?;
        let response = self.requests.send_request(request).await;
        let response = response.map_err(|error| Failure::of(&error))?;
        let (parts, body) = response.into_parts();
        let body = Limited::new(body, ANSWER_SIZE_BYTES_MAX).collect().await;
        let body = body.map_err(|error| Failure::of(&error))?.to_bytes();
        Ok(Reply { status: parts.status, headers: parts.headers, body })
    }
}

/// The connection, unless the far end has closed it since.
async fn still_open(kept: Option<Connection>) -> Option<Connection> {
    let mut connection = kept?;
    connection.requests.ready().await.ok()?;
    Some(connection)
}

/// The way to one address.
struct Line {
    env: Env,
    trust: Trust,
    at: SocketAddr,
    /// What the member list says that its certificates lead to.
    authority: Option<Fingerprint>,
}

impl Line {
    async fn connect(&self) -> Result<Connection, Failure> {
        let Line { env, trust, at, authority } = self;
        let stream = env.net.connect(*at).await.map_err(|error| Failure::of(&error))?;
        let opened = trust.open(stream, *at, *authority, env).await;
        let stream = opened.map_err(|error| match error.kind() {
            io::ErrorKind::PermissionDenied => Failure::NotTrusted(error.to_string()),
            _ => Failure::of(&error),
        })?;
        let shaken = handshake(TokioIo::new(stream)).await;
        let (mut requests, driver) = shaken.map_err(|error| Failure::of(&error))?;
        let driver = tokio::task::spawn_local(async move {
            // Whatever breaks the connection also fails the request that waits on it.
            let _ = driver.await;
        });
        let is_ready = requests.ready().await.map_err(|error| Failure::of(&error));
        let connection = Connection { at: *at, requests, driver };
        is_ready.map(|()| connection)
    }
}
