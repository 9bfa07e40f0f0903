//! Durable writes and linearizable reads per second, beside etcd and beside the machine's limits.
//!
//! `cargo run --release -p quorate-benches --example throughput`
//!
//! Three real daemons of each system on this machine, with default settings; closed loop, one value
//! of 256 bytes per request, clients at the leader. The systems are measured in turn in one run, so
//! that a noisy machine is noisy for both; while one is measured the other is idle. Quorate is
//! asked by its public client, over HTTP/1.1; etcd over gRPC, its own protocol, by the least client
//! that speaks it (`benches/grpc.rs`), so neither pays for a gateway. The clients share
//! the machine's cores with the daemons. etcd is left out when Debian's
//! `etcd-server` is not installed.
//!
//! Compare within one run only; machines are shared and noisy.

use std::error::Error;
use std::net::SocketAddr;

use quorate_benches::closed_loop::{Kind, Measured, System, VALUE_SIZE_BYTES, run};
use quorate_benches::etcd::{self, Etcd};
use quorate_benches::raw::{self, Room};
use quorate_tests::cluster::Cluster;

const CLIENTS_COUNTS: [usize; 4] = [1, 16, 64, 256];

/// A running system.
struct Runs {
    system: System,
    name: &'static str,
    leader: SocketAddr,
    pids: Vec<u32>,
}

fn main() -> Result<(), Box<dyn Error>> {
    print_raw_limits()?;
    let mut cluster = Cluster::of(3).started();
    let leader = cluster.wait_for_leader(10_000);
    let mut systems = vec![Runs {
        system: System::Quorate,
        name: "quorate",
        leader: cluster.api(leader),
        pids: (1..=3).filter_map(|node| cluster.node(node).pid()).collect(),
    }];
    let etcd = match etcd::version() {
        Some(version) => {
            println!("{version}, over gRPC, one connection per client");
            Some(Etcd::start()?)
        }
        None => {
            println!("etcd is not installed (apt-get install etcd-server): Quorate alone");
            None
        }
    };
    if let Some(etcd) = &etcd {
        let leader = quorate_net::block_on(etcd.leader())??;
        systems.push(Runs { system: System::Etcd, name: "etcd", leader, pids: etcd.pids() });
    }
    println!("kind   clients  system      per s   p50 ms   p99 ms  cpu s per 1000  quorate/etcd");
    for (kind, name) in [(Kind::Write, "write"), (Kind::Read, "read")] {
        for clients_count in CLIENTS_COUNTS {
            let mut quorate_per_second = 0.0;
            for runs in &systems {
                let measured = run(kind, clients_count, runs.system, runs.leader, &runs.pids)?;
                let ratio = match runs.system {
                    System::Quorate => {
                        quorate_per_second = measured.per_second;
                        String::new()
                    }
                    System::Etcd => format!("{:.2}", quorate_per_second / measured.per_second),
                };
                print_row(name, clients_count, runs.name, measured, &ratio);
            }
        }
    }
    cluster.stop_all(10_000);
    Ok(())
}

fn print_row(kind: &str, clients_count: usize, system: &str, measured: Measured, ratio: &str) {
    let Measured { per_second, p50_ms, p99_ms, cpu_seconds_per_1000 } = measured;
    println!(
        "{kind:6} {clients_count:7}  {system:8} {per_second:8.0} {p50_ms:8.2} {p99_ms:8.2} \
         {cpu_seconds_per_1000:15.3}  {ratio:>12}"
    );
}

fn print_raw_limits() -> Result<(), Box<dyn Error>> {
    let cores_count = std::thread::available_parallelism()?;
    println!("{cores_count} cores, values of {VALUE_SIZE_BYTES} bytes");
    for (room, what) in [(Room::Grows, "growing file"), (Room::IsThere, "file of fixed size")] {
        let per_second = raw::fdatasyncs_per_second(VALUE_SIZE_BYTES, room)?;
        println!("disk alone: {per_second:.0} fdatasync/s, {what}");
    }
    for connections_count in [1, 64] {
        let per_second = raw::round_trips_per_second(connections_count, VALUE_SIZE_BYTES)?;
        println!("loopback alone: {per_second:.0} round trips/s, {connections_count} connections");
    }
    Ok(())
}
