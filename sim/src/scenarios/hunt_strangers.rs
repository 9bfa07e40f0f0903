//! A leader that hears nobody for long, and strangers that talk to the rest.

use std::net::SocketAddr;

use quorate_core::config::MEMBERSHIP_PORT;

use crate::cluster::{Cluster, Report, Workload};

/// Longer than a leader keeps its term without a quorum.
const ALONE_MS: u64 = 6_500;
/// The port from which the stranger sends.
const STRANGE_PORT: u16 = 9_999;
const DATAGRAMS_COUNT: u64 = 5;

/// The leader is cut off for so long that it gives up its term. Meanwhile somebody sends what no
/// node can read to the port of heartbeat and gossip. Nobody minds either: one leads all the time
/// that there is a majority, and after the heal all agree.
pub(super) fn a_leader_is_alone_for_long_and_strangers_talk(seed: u64) -> Report {
    let mut cluster = Cluster::of(3).seed(seed);
    let blue = cluster.write("colour", "blue").acked_within_ms(2_000);
    cluster.start_writers(Workload::default());
    cluster.run_for_ms(cluster.choose("hunt_strangers.begins_ms", 1).between(300, 396));
    let leader = cluster.leader();
    cluster.partition(&[&leader]);
    cluster.within_ms(3_000).another_leads(&[&leader]);
    for number in 1..=DATAGRAMS_COUNT {
        send_what_nobody_reads(&cluster, number);
        cluster.run_for_ms(ALONE_MS / DATAGRAMS_COUNT);
    }
    cluster.heal();
    cluster.run_for_ms(1_000);
    cluster.stop_writers();
    cluster.within_ms(10_000).one_leader_and_equal_logs();
    cluster.read("colour").sees(&blue);
    cluster.check_invariants()
}

/// From a program beside the first node to every other.
fn send_what_nobody_reads(cluster: &Cluster, number: u64) {
    let size_bytes = cluster.choose("hunt_strangers.size_bytes", number).between(1, 200) as usize;
    let first = cluster.choose("hunt_strangers.byte", number).between(0, 255) as u8;
    let bytes: Vec<u8> = (0..size_bytes).map(|at| first.wrapping_mul(at as u8 | 1)).collect();
    let address = |last| SocketAddr::from(([10, 0, 0, last], MEMBERSHIP_PORT));
    cluster.world().spawn(cluster.machine("n1"), move |env| async move {
        let from = SocketAddr::from(([10, 0, 0, 1], STRANGE_PORT));
        let socket = env.net.datagrams(from).await.expect("nobody else has this port");
        for last in 2..=3 {
            // What does not arrive is not missed.
            let _ = socket.try_send_to(&bytes, address(last));
        }
    });
}
