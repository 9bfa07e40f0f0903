//! A node that is started with settings that cannot be meant.

use quorate_core::config::Settings;

use crate::cluster::{Cluster, Report, Workload};

/// The code that must refuse what is made of the settings of a node.
type Spoiled = (&'static str, fn(&mut Settings));

const TABLE: [Spoiled; 9] = [
    ("Q1303", |settings| settings.cluster.lease_ms = settings.cluster.election_timeout_ms_max),
    ("Q1304", |settings| settings.cluster.election_timeout_ms_min = 1),
    ("Q1304", |settings| settings.cluster.heartbeat_interval_ms = 0),
    ("Q1304", |settings| settings.cluster.snapshot_entries_count = 1),
    ("Q1304", |settings| settings.cluster.write_timeout_ms = 1),
    ("Q1305", |settings| settings.cluster.members[1].consensus_port = 0),
    ("Q1306", |settings| settings.node.name = "stranger".to_owned()),
    ("Q1306", |settings| settings.cluster.members.clear()),
    ("Q1306", |settings| settings.cluster.is_network_private = false),
];
/// How many of them a run tries.
const TRIES_COUNT: u64 = 4;

/// A node goes down, and somebody spoils its settings before it is started again, a few times. Each
/// start is refused with its code and touches neither disk nor network, while the others serve.
/// With its own settings the node comes back.
pub(super) fn bad_settings_are_refused_and_start_nothing(seed: u64) -> Report {
    let mut cluster = Cluster::of(3).seed(seed);
    let blue = cluster.write("colour", "blue").acked_within_ms(2_000);
    cluster.start_writers(Workload::default());
    let victim = cluster.choose("hunt_bad_settings.victim", 1).between(1, 3);
    let victim = format!("n{victim}");
    cluster.cut_power(&[&victim]);
    for number in 1..=TRIES_COUNT {
        let last = TABLE.len() as u64 - 1;
        let which = cluster.choose("hunt_bad_settings.which", number).between(0, last);
        let (code, spoil) = TABLE[which as usize];
        cluster.is_refused_a_start(&victim, code, spoil);
        let pause_ms = cluster.choose("hunt_bad_settings.pause_ms", number).between(0, 300);
        cluster.run_for_ms(pause_ms);
    }
    cluster.write("size", "small").acked_within_ms(5_000);
    cluster.restore_power(&[&victim]);
    cluster.stop_writers();
    cluster.within_ms(10_000).one_leader_and_equal_logs();
    cluster.read("colour").sees(&blue);
    cluster.check_invariants()
}
