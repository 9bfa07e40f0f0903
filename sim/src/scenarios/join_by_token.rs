//! A cluster of one is started by an order, and two nodes join it by tokens.

use std::collections::BTreeSet;

use super::WRITTEN_BY_MS;
use crate::cluster::{Cluster, Report, Workload};

/// Clients write from the first moment on. While each of the two joins, its own machine or that of
/// the only voter loses power in the middle of some packet or some change of its disk, and an
/// operator gives the same order until it is carried out. A token lets in one node, however often
/// that node has to ask; ids are given once; the second node waits for the third, and both become
/// voters together. Then any one of the three can be lost.
pub(super) fn two_nodes_join_by_tokens_while_machines_fail(seed: u64) -> Report {
    let mut cluster = Cluster::of(3).enlisting().seed(seed);
    cluster.start_cluster("n1");
    let blue = cluster.write("colour", "blue").acked_within_ms(2_000);
    cluster.start_writers(Workload::default());

    let mut order = ["n2", "n3"];
    order.rotate_left(cluster.choose("join_by_token.first", 1).between(0, 1) as usize);
    let [second, third] = order;
    let token = cluster.create_token("n1", 1);
    strike_in_passing(&mut cluster, second, 1);
    let second_id = cluster.join(second, &token, &["n1"]);
    end_strikes(&mut cluster, &["n1", second]);
    cluster.join_is_refused(third, &token, &["n1"], "Q1042");
    cluster.within_ms(WRITTEN_BY_MS).one_leads();
    let voters = cluster.roster().voters;
    assert_eq!(voters, BTreeSet::from(["n1".to_owned()]), "two voters survive less than one");

    let token = cluster.create_token("n1", 1);
    strike_in_passing(&mut cluster, third, 2);
    let third_id = cluster.join(third, &token, &["n1", second]);
    end_strikes(&mut cluster, &["n1", third]);
    assert_eq!((second_id.0, third_id.0), (2, 3), "who is refused or asks again uses no id up");
    cluster.within_ms(WRITTEN_BY_MS).so_many_vote(3);

    let lost = ["n1", "n2", "n3"][cluster.choose("join_by_token.lost", 1).between(0, 2) as usize];
    cluster.cut_power(&[lost]);
    cluster.within_ms(10_000).another_leads(&[lost]);
    cluster.write("shape", "round").acked_within_ms(5_000);
    cluster.restore_power(&[lost]);
    cluster.within_ms(WRITTEN_BY_MS).acknowledged(11);
    cluster.stop_writers();
    cluster.within_ms(15_000).one_leader_and_equal_logs();
    cluster.read("colour").sees(&blue);
    cluster.check_invariants()
}

/// The joiner's machine, or that of the only voter, is to lose power soon: mostly the joiner's, and
/// about the time when it has been let in and does not know it, or has not written it down.
fn strike_in_passing(cluster: &mut Cluster, joiner: &str, instance: u64) {
    let victim = match cluster.choose("join_by_token.victim", instance).between(0, 2) {
        0 => "n1",
        _ => joiner,
    };
    match cluster.choose("join_by_token.dies_in", instance).between(0, 2) {
        0 => {
            let k = cluster.choose("join_by_token.send", instance).between(1, 40);
            cluster.cut_power_at_send(victim, k);
        }
        _ => {
            let k = cluster.choose("join_by_token.disk_operation", instance).between(1, 14);
            cluster.cut_power_at_disk_operation(victim, k);
        }
    }
}

/// What has not struck so far strikes now.
fn end_strikes(cluster: &mut Cluster, names: &[&str]) {
    for name in names {
        cluster.cut_power(&[name]);
        cluster.run_for_ms(100);
        cluster.restore_power(&[name]);
    }
}
