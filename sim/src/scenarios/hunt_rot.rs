//! A bit of the log turns over while its node is down.

use std::path::{Path, PathBuf};

use crate::cluster::{Cluster, Report};

/// Where the store keeps the segments of its log.
const LOG: &str = "log";
/// Where in the entry the bit is: in the value of the command.
const COMMAND: &[u8] = b"colour=blue";

/// One bit of an entry turns over on one node while that is down. It refuses to start and says what
/// is damaged, instead of executing another command than the rest; the others go on without it.
pub(super) fn a_node_with_a_damaged_entry_does_not_start(seed: u64) -> Report {
    let mut cluster = Cluster::of(3).seed(seed);
    let blue = cluster.write("colour", "blue").acked_within_ms(2_000);
    for number in 1..=5 {
        let _acked = cluster.write(&format!("later{number}"), "yes").acked_within_ms(2_000);
    }
    cluster.within_ms(5_000).one_leader_and_equal_logs();
    // A slow disk may still be writing what the node has applied, because others hold it.
    cluster.run_for_ms(200);

    let names = cluster.names();
    let victim = names[cluster.choose("hunt_rot.node", 1).between(0, 2) as usize].as_str();
    cluster.crash(&[victim]);
    let machine = cluster.machine(victim);
    let disk = cluster.world().disk(machine);
    let place = |segment: PathBuf| {
        let log = disk.read(&segment).ok().flatten()?;
        let at = log.windows(COMMAND.len()).position(|bytes| bytes == COMMAND)?;
        Some((segment, at as u64))
    };
    let segments = disk.list(Path::new(LOG)).expect("the disk can be read");
    let (segment, at) = segments.into_iter().find_map(place).expect("the entry is in the log");
    let byte = cluster.choose("hunt_rot.byte", 1).between(7, 10);
    let bit = cluster.choose("hunt_rot.bit", 1).between(0, 2);
    cluster.world().rot_byte(machine, &segment, at + byte, 1 << bit);
    cluster.restart(&[victim]);
    let reason = cluster.ends_within_ms(victim, 300);

    cluster.within_ms(5_000).one_leads();
    cluster.write("size", "large").acked_within_ms(5_000);
    cluster.within_ms(10_000).one_leader_and_equal_logs_without(&[victim]);
    let is_refused = reason.as_ref().is_some_and(|reason| reason.starts_with("Q1404"));
    assert!(is_refused, "{victim} reads a damaged entry as data: {reason:?}");
    cluster.read("colour").sees(&blue);
    cluster.check_invariants()
}
