//! What an idle cluster costs: CPU, wake-ups and memory of each of three real daemons, beside etcd.
//!
//! `cargo run --release -p quorate-benches --example idle [SECONDS]` (60 unless given)
//!
//! Nobody writes, reads or asks. The goal is below 0.5 % of a core and 40 MiB per node. Both
//! systems run with their default settings, at the same time, so that a machine on which each
//! wake-up is dear is so for both. etcd is left out when `etcd-server` is not installed.

use std::error::Error;
use std::time::Duration;

use quorate_benches::etcd::{self, Etcd};
use quorate_tests::cluster::Cluster;
use quorate_tests::processes::{cpu_seconds, resident_size_bytes, wakeups_count};

/// Until the connections of a young cluster are made.
const SETTLED: Duration = Duration::from_secs(3);

/// A daemon that has nothing to do.
struct Idle {
    name: String,
    role: &'static str,
    pid: u32,
}

fn main() -> Result<(), Box<dyn Error>> {
    let seconds: u64 = match std::env::args().nth(1) {
        Some(text) => text.parse().map_err(|_| format!("{text:?} is no number of seconds"))?,
        None => 60,
    };
    let mut cluster = Cluster::of(3).started();
    let leader = cluster.wait_for_leader(10_000);
    let role = |is_leader: bool| if is_leader { "leader" } else { "replica" };
    let mut daemons: Vec<Idle> = (1..=3)
        .filter_map(|node| {
            let pid = cluster.node(node).pid()?;
            Some(Idle { name: format!("n{node}"), role: role(node == leader), pid })
        })
        .collect();
    let etcd = match etcd::version() {
        Some(_) => Some(Etcd::start()?),
        None => None,
    };
    if let Some(etcd) = &etcd {
        quorate_net::block_on(etcd.leader())??;
        daemons.extend(etcd.pids().into_iter().map(|pid| Idle {
            name: "etcd".to_owned(),
            role: "",
            pid,
        }));
    }
    std::thread::sleep(SETTLED);
    let used = || -> std::io::Result<Vec<(f64, u64)>> {
        let used = |idle: &Idle| Ok((cpu_seconds(idle.pid)?, wakeups_count(idle.pid)?));
        daemons.iter().map(used).collect()
    };
    let before = used()?;
    std::thread::sleep(Duration::from_secs(seconds));
    let after = used()?;
    println!("node  role     cpu %  wake-ups/s  memory MiB   over {seconds} s");
    for (idle, (before, after)) in daemons.iter().zip(before.iter().zip(after)) {
        let cpu_percent = (after.0 - before.0) / seconds as f64 * 100.0;
        let wakeups = (after.1 - before.1) as f64 / seconds as f64;
        let memory_mib = resident_size_bytes(idle.pid)? as f64 / f64::from(1 << 20);
        let Idle { name, role, .. } = idle;
        println!("{name:5} {role:8} {cpu_percent:5.2} {wakeups:11.0} {memory_mib:11.1}");
    }
    cluster.stop_all(10_000);
    Ok(())
}
