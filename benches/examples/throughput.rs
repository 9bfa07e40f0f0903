//! Durable writes and linearizable reads per second: three real daemons, clients at the leader.
//!
//! `cargo run --release -p quorate-benches --example throughput`
//!
//! Closed loop, one value of 256 bytes per request, one connection per client, the public client.
//! Beside it the machine's own limit: appends of 256 bytes, each with its fdatasync. Compare within
//! one run only; machines are shared and noisy.

use std::error::Error;
use std::fs::{self, File};
use std::io::Write;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use quorate_benches::processes::cpu_seconds_of_all;
use quorate_core::replication::Consistency;
use quorate_node::nodes::Nodes;
use quorate_tests::cluster::Cluster;
use tokio::task::JoinSet;

const CLIENTS_COUNTS: [usize; 4] = [1, 16, 64, 256];
const VALUE_SIZE_BYTES: usize = 256;
const KEYS_COUNT: usize = 10_000;
const WARM: Duration = Duration::from_secs(1);
const MEASURED: Duration = Duration::from_secs(4);

/// What one kind of request is.
#[derive(Clone, Copy)]
enum Kind {
    Write,
    Read,
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut cluster = Cluster::of(3).started();
    let leader = cluster.wait_for_leader(10_000);
    let pids: Vec<u32> = (1..=3).filter_map(|node| cluster.node(node).pid()).collect();
    println!("disk alone: {:.0} fdatasync/s", fdatasyncs_per_second()?);
    println!("kind    clients     per s   p50 ms   p99 ms   cpu s per 1000");
    for (kind, name) in [(Kind::Write, "write"), (Kind::Read, "read")] {
        for clients_count in CLIENTS_COUNTS {
            let cpu_before = cpu_seconds_of_all(&pids)?;
            let api = cluster.api(leader);
            let mut took = quorate_net::block_on(run(kind, clients_count, api))?;
            let cpu = cpu_seconds_of_all(&pids)? - cpu_before;
            took.sort_unstable();
            let count = took.len();
            let per_second = count as f64 / MEASURED.as_secs_f64();
            let at = |percent: usize| took[(count - 1) * percent / 100].as_secs_f64() * 1_000.0;
            // The CPU also paid for the warm-up, which is a part of the whole time.
            let share = MEASURED.as_secs_f64() / (WARM + MEASURED).as_secs_f64();
            let cpu_per_1000 = cpu * share / count as f64 * 1_000.0;
            let (p50, p99) = (at(50), at(99));
            println!(
                "{name:6} {clients_count:8} {per_second:9.0} {p50:8.2} {p99:8.2} \
                 {cpu_per_1000:16.3}"
            );
        }
    }
    cluster.stop_all(10_000);
    Ok(())
}

/// How long each request took that began after the warm-up.
async fn run(kind: Kind, clients_count: usize, api: SocketAddr) -> Vec<Duration> {
    let began = Rc::new(Instant::now());
    let mut clients = JoinSet::new();
    for client in 0..clients_count {
        let began = began.clone();
        clients.spawn_local(async move {
            let mut nodes = Nodes::new(&[api]);
            let value = Bytes::from(vec![client as u8; VALUE_SIZE_BYTES]);
            let (mut took, mut number) = (Vec::new(), client);
            while began.elapsed() < WARM + MEASURED {
                number = (number * 31 + 7) % KEYS_COUNT;
                let key = format!("bench/{number}");
                let asked = Instant::now();
                match kind {
                    Kind::Write => {
                        drop(nodes.put(&key, value.clone()).await.expect("acknowledged"))
                    }
                    Kind::Read => {
                        let how = Consistency::Linearizable;
                        drop(nodes.get(&key, how).await.expect("answered"));
                    }
                }
                if asked.duration_since(*began) > WARM {
                    took.push(asked.elapsed());
                }
            }
            took
        });
    }
    clients.join_all().await.concat()
}

/// Appends of one value, each made durable, for a second.
fn fdatasyncs_per_second() -> Result<f64, Box<dyn Error>> {
    let dir = std::env::temp_dir().join(format!("quorate-bench-{}", std::process::id()));
    fs::create_dir_all(&dir)?;
    let mut file = File::create(dir.join("appends"))?;
    let (began, mut count) = (Instant::now(), 0);
    while began.elapsed() < Duration::from_secs(1) {
        file.write_all(&[7; VALUE_SIZE_BYTES])?;
        file.sync_data()?;
        count += 1;
    }
    let per_second = f64::from(count) / began.elapsed().as_secs_f64();
    fs::remove_dir_all(&dir)?;
    Ok(per_second)
}
