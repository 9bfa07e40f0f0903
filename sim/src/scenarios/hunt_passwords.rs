//! The password of the cluster's admin is changed while machines fail.

use super::WRITTEN_BY_MS;
use crate::cluster::{Cluster, FIRST_PASSWORD, Report, Workload};

const SECOND_PASSWORD: &str = "second password";
const NAMES: [&str; 3] = ["n1", "n2", "n3"];

/// The first leader's local admin becomes the cluster's, and every node has looked at the password
/// once. While it is changed, one machine loses power in the middle of some packet or some change
/// of its disk. Once the change is acknowledged the new password lets in everywhere, and the old
/// one nowhere, also where it was remembered, and also after all have started again.
pub(super) fn a_password_is_changed_while_machines_fail(seed: u64) -> Report {
    let mut cluster = Cluster::of(3).guarded().seed(seed);
    let site = |cluster: &Cluster, name: &str| cluster.choose(&format!("hunt_passwords.{name}"), 1);
    let blue = cluster.write("colour", "blue").acked_within_ms(2_000);
    cluster.start_writers(Workload::default());
    for name in NAMES {
        cluster.lets_in(name, FIRST_PASSWORD);
    }
    let victim = NAMES[site(&cluster, "victim").between(0, 2) as usize];
    let via = NAMES[site(&cluster, "via").between(0, 2) as usize];
    match site(&cluster, "dies_in").between(0, 1) {
        0 => {
            let k = site(&cluster, "send").between(1, 120);
            cluster.cut_power_at_send(victim, k);
        }
        _ => {
            let k = site(&cluster, "disk_operation").between(1, 30);
            cluster.cut_power_at_disk_operation(victim, k);
        }
    }
    cluster.set_password(via, FIRST_PASSWORD, SECOND_PASSWORD);
    // What has not struck so far strikes now.
    cluster.cut_power(&[victim]);
    cluster.run_for_ms(100);
    cluster.restore_power(&[victim]);
    check_passwords(&mut cluster);

    cluster.crash(&NAMES);
    cluster.restart(&NAMES);
    check_passwords(&mut cluster);
    cluster.within_ms(WRITTEN_BY_MS).acknowledged(10);
    cluster.stop_writers();
    cluster.within_ms(15_000).one_leader_and_equal_logs();
    cluster.read("colour").sees(&blue);
    cluster.check_invariants()
}

/// Who knows the new password has seen that the old one is gone.
fn check_passwords(cluster: &mut Cluster) {
    for name in NAMES {
        cluster.lets_in(name, SECOND_PASSWORD);
        cluster.keeps_out(name, FIRST_PASSWORD);
    }
}
