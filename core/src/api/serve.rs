//! The accept loop: connections of one listener, each a local task of the node.
//!
//! One port speaks HTTP with TLS and without: the first byte tells. Without TLS only this machine
//! is served in full; others are told what needs no credentials.
//!
//! axum's own loop spawns tasks outside the node and stamps answers with the real date; both would
//! make two runs of the simulator differ.

use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use axum::Router;
use axum::http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::sync::Semaphore;
use tokio::task::{JoinError, JoinSet};
use tower::ServiceExt;

use crate::observe::mark;
use crate::ports::{Listener, Stream};
use crate::security::Edge;
use crate::watch;

/// How long the head of a request may take, and how long an unused connection stays open.
const HEAD_TIMEOUT_MS: u64 = 30_000;
/// The largest head of a request in bytes: a path with the longest key, escaped, and headers.
const HEAD_SIZE_BYTES_MAX: usize = 64 << 10;
const HEADERS_COUNT_MAX: usize = 64;
/// How long requests that were begun may take once the end was ordered.
const DRAIN_MS: u64 = 2_000;
/// Pause after a failed accept; out of file handles, say, it would fail again at once.
const ACCEPT_PAUSE_MS: u64 = 100;
/// How long the first byte of a connection may take, and a handshake.
const HANDSHAKE_TIMEOUT_MS: u64 = 5_000;
/// The first byte of every TLS connection, and of no HTTP request. Source: RFC 8446, section 5.1.
const TLS_HANDSHAKE: u8 = 22;

/// So many handshakes at once: each takes from the time that the node has to keep its lease.
const HANDSHAKES_COUNT_MAX: usize = 8;

/// How connections come in. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    edge: Edge,
    is_network_private: bool,
    shaking: Rc<Semaphore>,
}

/// Who is at the other end of a connection; every request carries it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Peer {
    pub(super) at: SocketAddr,
    /// Whether others can neither read nor change what is said.
    pub(super) is_protected: bool,
}

impl Entry {
    /// `edge` is what the node shows to those who speak TLS, which is not asked for where nobody
    /// else can enter the network.
    pub(crate) fn new(edge: Edge, is_network_private: bool) -> Entry {
        Entry { edge, is_network_private, shaking: Rc::new(Semaphore::new(HANDSHAKES_COUNT_MAX)) }
    }

    /// Makes the answering side of a stream. `None` if it ended, or did not begin in time.
    async fn open(
        &self,
        stream: Box<dyn Stream>,
        from: SocketAddr,
    ) -> Option<(Box<dyn Stream>, Peer)> {
        // One byte, so that what follows is read without a second copy.
        let mut stream = BufReader::with_capacity(1, stream);
        let limit = Duration::from_millis(HANDSHAKE_TIMEOUT_MS);
        let first = tokio::time::timeout(limit, stream.fill_buf());
        let is_tls = *first.await.ok()?.ok()?.first()? == TLS_HANDSHAKE;
        if !is_tls {
            let is_protected = self.is_network_private || from.ip().is_loopback();
            return Some((Box::new(stream), Peer { at: from, is_protected }));
        }
        let accepting = async {
            let _permit = self.shaking.acquire().await.map_err(io::Error::other)?;
            self.edge.accept(Box::new(stream)).await
        };
        match tokio::time::timeout(Duration::from_millis(HANDSHAKE_TIMEOUT_MS), accepting).await {
            Ok(Ok(stream)) => {
                mark("api.tls");
                Some((stream, Peer { at: from, is_protected: true }))
            }
            Ok(Err(error)) => {
                tracing::debug!(%from, %error, "no TLS handshake");
                None
            }
            Err(_) => None,
        }
    }
}

/// Serves `router` on `listener`, as `entry` lets people in, until `stop` becomes true or its
/// sender is gone.
///
/// At most `connections_count_max` connections are open at once; more wait in the listener's
/// queue. At the end nothing more is accepted, requests that were begun are answered for up to
/// 2 s, and then everything is closed. Run it in the node's `LocalSet`.
pub(crate) async fn serve(
    listener: Box<dyn Listener>,
    entry: Entry,
    router: Router,
    connections_count_max: usize,
    stop: watch::Receiver<bool>,
) {
    // Dropping the set ends its tasks, so nothing outlives this future.
    let mut connections = JoinSet::new();
    let mut stopping = pin!(stopped(stop.clone()));
    loop {
        let has_room = connections.len() < connections_count_max;
        tokio::select! {
            biased;
            () = &mut stopping => break,
            Some(ended) = connections.join_next() => pass_panic_on(ended),
            accepted = listener.accept(), if has_room => match accepted {
                Ok((stream, peer)) => {
                    let (entry, router, stop) = (entry.clone(), router.clone(), stop.clone());
                    connections.spawn_local(connection(stream, peer, entry, router, stop));
                }
                Err(error) => {
                    tracing::warn!(%error, "connection not accepted");
                    tokio::time::sleep(Duration::from_millis(ACCEPT_PAUSE_MS)).await;
                }
            },
        }
    }
    drop(listener);
    let drained = async {
        while let Some(ended) = connections.join_next().await {
            pass_panic_on(ended);
        }
    };
    if tokio::time::timeout(Duration::from_millis(DRAIN_MS), drained).await.is_err() {
        tracing::warn!(left_count = connections.len(), "requests cut off at the end");
    }
}

async fn connection(
    stream: Box<dyn Stream>,
    from: SocketAddr,
    entry: Entry,
    router: Router,
    stop: watch::Receiver<bool>,
) {
    let opened = tokio::select! {
        biased;
        () = stopped(stop.clone()) => None,
        opened = entry.open(stream, from) => opened,
    };
    let Some((stream, peer)) = opened else { return };
    let router = router.map_request(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(peer);
        request
    });
    let connection = http1::Builder::new()
        .auto_date_header(false)
        .timer(TokioTimer::new())
        .header_read_timeout(Duration::from_millis(HEAD_TIMEOUT_MS))
        .max_headers(HEADERS_COUNT_MAX)
        .max_header_size(HEAD_SIZE_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    let mut connection = pin!(connection);
    let ended = tokio::select! {
        biased;
        () = stopped(stop) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
        ended = connection.as_mut() => ended,
    };
    if let Err(error) = ended {
        // A client that goes away is its own business; it is no transition of this node.
        tracing::debug!(%from, %error, "connection ended early");
    }
}

async fn stopped(mut stop: watch::Receiver<bool>) {
    // An error means that nobody is left who could order the end: then it has come.
    let _ = stop.wait_for(|is_stopping| *is_stopping).await;
}

/// A panic in a handler is one of the node, and ends it like any other.
fn pass_panic_on(ended: Result<(), JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        std::panic::resume_unwind(error.into_panic());
    }
}
