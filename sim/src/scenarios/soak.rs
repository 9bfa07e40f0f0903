//! A long quiet run: what must stay bounded stays bounded.

use std::path::Path;
use std::time::{Duration, Instant};

use quorate_core::ports::OpenHow;

use crate::cluster::{Cluster, Report, Workload};
use crate::world::run_isolated;

/// Entries between two snapshots, so that compaction happens often.
const SNAPSHOT_ENTRIES_COUNT: u64 = 2_000;
const LOOKS_COUNT: u64 = 20;
/// Where the store keeps the log.
const LOG: &str = "log";

/// How large things are at one moment of a long run.
#[derive(Clone, Copy, Debug, Default)]
pub struct Size {
    /// Bytes in the data directory of the fullest node.
    pub disk_bytes: u64,
    /// Bytes in the longest log of a node; its snapshots are not in it.
    pub log_bytes: u64,
    /// Open files of the node with the most.
    pub handles_count: usize,
    /// Sockets of the node with the most.
    pub sockets_count: usize,
    /// Resident memory of this process in KiB; 0 where the system does not tell.
    pub memory_kib: u64,
}

/// What a long run came to.
#[derive(Clone, Debug)]
pub struct Soaked {
    /// As of any run.
    pub report: Report,
    /// Looks at the same distance from each other.
    pub sizes: Vec<Size>,
    /// Simulated seconds per wall second.
    pub rate: f64,
}

/// Whole nodes and about ten writes per second for this long, without faults.
pub fn soak(nodes_count: u8, simulated_ms: u64, seed: u64) -> Soaked {
    run_isolated(move || {
        let setup = Cluster::of(nodes_count).links(Default::default());
        let tuned = setup.tune(|cluster| cluster.snapshot_entries_count = SNAPSHOT_ENTRIES_COUNT);
        let mut cluster = tuned.seed(seed);
        let names_count = 1_000;
        cluster.start_writers(Workload {
            writers_count: 1,
            pause_ms: 95,
            names_count,
            reads: 0.0,
            ..Workload::default()
        });
        let began = Instant::now();
        let mut sizes = Vec::new();
        for _ in 0..LOOKS_COUNT {
            cluster.run_for_ms(simulated_ms / LOOKS_COUNT);
            sizes.push(size(&cluster));
        }
        let wall = began.elapsed().max(Duration::from_millis(1));
        cluster.stop_writers();
        cluster.within_ms(10_000).one_leader_and_equal_logs();
        cluster.nobody_was_called_down();
        let report = cluster.check_invariants();
        Soaked { report, sizes, rate: simulated_ms as f64 / 1_000.0 / wall.as_secs_f64() }
    })
}

fn size(cluster: &Cluster) -> Size {
    let mut size = Size { memory_kib: memory_kib(), ..Size::default() };
    for name in cluster.names() {
        let machine = cluster.machine(&name);
        let disk = cluster.world().disk(machine);
        let bytes_in = |dir: &str| -> u64 {
            let files = disk.list(Path::new(dir)).unwrap_or_default();
            let sizes_bytes = files.iter().filter_map(|path| {
                disk.open(path, OpenHow::Existing).and_then(|file| file.len()).ok()
            });
            sizes_bytes.sum()
        };
        let log_bytes = bytes_in(LOG);
        size.disk_bytes = size.disk_bytes.max(bytes_in("") + log_bytes);
        size.log_bytes = size.log_bytes.max(log_bytes);
        size.handles_count = size.handles_count.max(cluster.world().handles_count(machine));
        size.sockets_count = size.sockets_count.max(cluster.world().sockets_count(machine));
    }
    size
}

fn memory_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}
