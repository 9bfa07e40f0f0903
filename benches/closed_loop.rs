//! Clients that ask again as soon as they are answered, for a fixed time, and how long they waited.
//!
//! Invariants
//! - Both systems are asked alike: by one thread of this process, one connection per client, the
//!   same keys in the same order, values of the same size, at the leader.
//! - Only a request that began after the warm-up counts for rate and latency.
//!
//! Read next: [`run`].

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use quorate_core::replication::Consistency;
use quorate_node::nodes::Nodes;
use quorate_tests::percentiles::percentile;
use quorate_tests::processes::cpu_seconds_of_all;
use tokio::task::JoinSet;

use crate::etcd;

/// Size of each value.
pub const VALUE_SIZE_BYTES: usize = 256;
const KEYS_COUNT: usize = 10_000;
const WARM: Duration = Duration::from_secs(1);
const MEASURED: Duration = Duration::from_secs(4);

/// What one kind of request is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Durable at a quorum when it is answered.
    Write,
    /// Linearizable.
    Read,
}

/// Who is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum System {
    /// Through its public client, over HTTP/1.1.
    Quorate,
    /// Through gRPC over HTTP/2.
    Etcd,
}

/// What one run came to.
#[derive(Clone, Copy, Debug)]
pub struct Measured {
    /// Requests answered per second.
    pub per_second: f64,
    /// Half of the requests took no longer.
    pub p50_ms: f64,
    /// 99 of 100 requests took no longer.
    pub p99_ms: f64,
    /// CPU seconds of all daemons of the system for 1,000 requests.
    pub cpu_seconds_per_1000: f64,
}

/// One client's connection.
enum Session {
    Quorate(Box<Nodes>),
    Etcd(etcd::Client),
}

impl Session {
    async fn open(system: System, at: SocketAddr) -> Session {
        match system {
            System::Quorate => {
                Session::Quorate(Box::new(Nodes::new(&[at], quorate_tests::binary::login())))
            }
            System::Etcd => Session::Etcd(etcd::Client::open(at).await.expect("etcd listens")),
        }
    }

    /// Panics if the request fails: a figure with failures in it would compare nothing.
    async fn ask(&mut self, kind: Kind, key: &str, value: &Bytes) {
        match (self, kind) {
            (Session::Quorate(nodes), Kind::Write) => {
                nodes.put(key, value.clone()).await.expect("acknowledged");
            }
            (Session::Quorate(nodes), Kind::Read) => {
                nodes.get(key, Consistency::Linearizable).await.expect("answered");
            }
            (Session::Etcd(client), Kind::Write) => {
                client.put(key, value).await.expect("acknowledged");
            }
            (Session::Etcd(client), Kind::Read) => {
                client.get(key).await.expect("answered");
            }
        }
    }
}

/// What one client saw.
#[derive(Default)]
struct Seen {
    took: Vec<Duration>,
    /// The warm-up's requests too: the daemons paid for them.
    requests_count: usize,
}

/// Asks the node at `leader` for the time of warm-up and measurement, with this many clients.
pub fn run(
    kind: Kind,
    clients_count: usize,
    system: System,
    leader: SocketAddr,
    pids: &[u32],
) -> io::Result<Measured> {
    let cpu_before = cpu_seconds_of_all(pids)?;
    let seen = quorate_net::block_on(ask_with_all(kind, clients_count, system, leader))?;
    let cpu = cpu_seconds_of_all(pids)? - cpu_before;
    let requests_count: usize = seen.iter().map(|seen| seen.requests_count).sum();
    let mut took: Vec<Duration> = seen.into_iter().flat_map(|seen| seen.took).collect();
    took.sort_unstable();
    let percentile_ms = |percent| {
        let took = percentile(&took, percent, 100).ok_or(io::ErrorKind::TimedOut)?;
        Ok::<_, io::Error>(took.as_secs_f64() * 1_000.0)
    };
    Ok(Measured {
        per_second: took.len() as f64 / MEASURED.as_secs_f64(),
        p50_ms: percentile_ms(50)?,
        p99_ms: percentile_ms(99)?,
        cpu_seconds_per_1000: cpu / requests_count as f64 * 1_000.0,
    })
}

async fn ask_with_all(
    kind: Kind,
    clients_count: usize,
    system: System,
    leader: SocketAddr,
) -> Vec<Seen> {
    let began = Instant::now();
    let mut clients = JoinSet::new();
    for client in 0..clients_count {
        clients.spawn_local(async move {
            let mut session = Session::open(system, leader).await;
            let value = Bytes::from(vec![client as u8; VALUE_SIZE_BYTES]);
            let (mut seen, mut number) = (Seen::default(), client);
            while began.elapsed() < WARM + MEASURED {
                number = (number * 31 + 7) % KEYS_COUNT;
                let key = format!("bench/{number}");
                let asked = Instant::now();
                session.ask(kind, &key, &value).await;
                seen.requests_count += 1;
                if asked.duration_since(began) > WARM {
                    seen.took.push(asked.elapsed());
                }
            }
            seen
        });
    }
    clients.join_all().await
}
