//! What an idle cluster costs: CPU, wake-ups and memory of each of three real daemons.
//!
//! `cargo run --release -p quorate-benches --example idle [SECONDS]` (60 unless given)
//!
//! Nobody writes, reads or asks. The goal is below 0.5 % of a core and 40 MiB per node.

use std::error::Error;
use std::time::Duration;

use quorate_tests::cluster::Cluster;
use quorate_tests::processes::{cpu_seconds, resident_size_bytes, wakeups_count};

/// Until the connections of a young cluster are made.
const SETTLED: Duration = Duration::from_secs(3);

fn main() -> Result<(), Box<dyn Error>> {
    let seconds: u64 = match std::env::args().nth(1) {
        Some(text) => text.parse().map_err(|_| format!("{text:?} is no number of seconds"))?,
        None => 60,
    };
    let mut cluster = Cluster::of(3).started();
    let leader = cluster.wait_for_leader(10_000);
    let pids: Vec<u32> = (1..=3).filter_map(|node| cluster.node(node).pid()).collect();
    std::thread::sleep(SETTLED);
    let used = || -> std::io::Result<Vec<(f64, u64)>> {
        pids.iter().map(|pid| Ok((cpu_seconds(*pid)?, wakeups_count(*pid)?))).collect()
    };
    let before = used()?;
    std::thread::sleep(Duration::from_secs(seconds));
    let after = used()?;
    println!("node  role     cpu %  wake-ups/s  memory MiB   over {seconds} s");
    for (at, pid) in pids.iter().enumerate() {
        let role = if at + 1 == leader { "leader" } else { "replica" };
        let cpu_percent = (after[at].0 - before[at].0) / seconds as f64 * 100.0;
        let wakeups = (after[at].1 - before[at].1) as f64 / seconds as f64;
        let memory_mib = resident_size_bytes(*pid)? as f64 / f64::from(1 << 20);
        println!("n{}    {role:8} {cpu_percent:5.2} {wakeups:11.0} {memory_mib:11.1}", at + 1);
    }
    cluster.stop_all(10_000);
    Ok(())
}
