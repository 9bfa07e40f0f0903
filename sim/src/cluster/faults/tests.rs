//! What whole nodes make of each fault: nothing but refusals, reconnects, and an orderly end.

use std::panic::catch_unwind;

use super::*;
use crate::choices::{self, Choices, Edits, Keep};
use crate::cluster::Workload;
use crate::cluster::ask::Asked;
use crate::world::{run_isolated, strike_everywhere};

/// Three nodes without weather, and a leader among them; clients write all the time.
fn busy(seed: u64) -> (Cluster, String, Vec<String>) {
    let setup = Cluster::of(3).links(Default::default());
    let mut cluster = setup.tune(|settings| settings.snapshot_entries_count = 100).seed(seed);
    cluster.start_writers(Workload::default());
    cluster.run_for_ms(500);
    let leader = cluster.leader();
    let replicas = cluster.names().into_iter().filter(|name| *name != leader).collect();
    (cluster, leader, replicas)
}

/// All is over: everybody runs, agrees, and has what was acknowledged. Returns the event hash.
fn ends_well(mut cluster: Cluster) -> u64 {
    cluster.calm();
    cluster.restart_all();
    let calm = cluster.write("weather", "calm").acked_within_ms(20_000);
    cluster.stop_writers();
    cluster.within_ms(20_000).one_leader_and_equal_logs();
    cluster.read("weather").sees(&calm);
    cluster.check_invariants().event_hash
}

/// Tells the story twice, each on a thread of its own; it is the same both times.
fn repeats(story: fn() -> u64) {
    assert_eq!(run_isolated(story), run_isolated(story));
}

/// What the nodes have counted under this name, in all.
fn counted(cluster: &mut Cluster, name: &'static str) -> u64 {
    let mut total = 0;
    for at in 0..cluster.nodes.len() {
        let node = &cluster.nodes[at];
        let asked = Asked::ask(&cluster.world, node, |node| async move {
            node.status().await.map_or(0, |status| {
                let found = status.counters.iter().find(|figure| figure.name == name);
                found.map_or(0, |figure| figure.value)
            })
        });
        total += cluster.wait_for(&asked, 1_000).unwrap_or(0);
    }
    total
}

/// Four writes to three nodes of which the leader is struck by what `plan` says. They are
/// acknowledged, and all is there afterwards. Returns whether it was struck in the meantime.
fn is_struck_in_four_writes(plan: impl Fn(&mut Cluster, &str)) -> bool {
    let mut cluster = Cluster::of(3).links(Default::default()).seed(1);
    let leader = cluster.leader();
    plan(&mut cluster, &leader);
    let mut last = None;
    for number in 1..=4 {
        let write = cluster.write("colour", &number.to_string());
        last = Some(write.acked_within_ms(5_000));
    }
    let is_struck = !cluster.is_running(&leader);
    cluster.calm();
    cluster.restart_all();
    cluster.within_ms(10_000).one_leader_and_equal_logs();
    cluster.read("colour").sees(&last.expect("four were written"));
    cluster.check_invariants();
    is_struck
}

#[test]
fn a_leader_goes_down_at_every_disk_operation_and_nothing_acknowledged_is_lost() {
    for verb in [Cluster::crash_at_disk_operation, Cluster::cut_power_at_disk_operation] {
        let struck_count = strike_everywhere(400, move |k| {
            is_struck_in_four_writes(|cluster, leader| verb(cluster, leader, k))
        });
        assert!(struck_count >= 12, "{struck_count}: four writes are at least so many operations");
    }
}

/// Of each send both is told: the packet that is struck leaves, and it does not.
#[test]
fn a_leader_goes_down_at_every_send_and_nothing_acknowledged_is_lost() {
    for verb in [Cluster::crash_at_send, Cluster::cut_power_at_send] {
        for leaves in [0, 1] {
            let struck_count = strike_everywhere(400, move |k| {
                let machine =
                    |edits: Edits, n| edits.with("send.struck_takes_effect", n, 1, leaves);
                let edits = (1..=3).fold(Edits::default(), machine);
                choices::tell(Choices::new(1, edits, Keep::Nothing));
                is_struck_in_four_writes(|cluster, leader| verb(cluster, leader, k))
            });
            assert!(struck_count >= 12, "{struck_count}: four writes are at least so many sends");
        }
    }
}

/// Of every operation two disks are told, which keep different parts of what was not synced.
#[test]
fn a_first_start_that_is_cut_off_anywhere_is_made_good_by_the_next() {
    let verbs = [Cluster::crash_at_disk_operation, Cluster::cut_power_at_disk_operation];
    for (verb, seed) in verbs.into_iter().flat_map(|verb| [(verb, 1), (verb, 2)]) {
        let struck_count = strike_everywhere(400, move |k| {
            let mut cluster = Cluster::of(3).links(Default::default()).stopped().seed(seed);
            verb(&mut cluster, "n1", k);
            cluster.restart(&["n1"]);
            cluster.run_for_ms(100);
            let is_struck = !cluster.is_running("n1");
            cluster.calm();
            cluster.restart_all();
            let blue = cluster.write("colour", "blue").acked_within_ms(5_000);
            cluster.within_ms(5_000).one_leader_and_equal_logs();
            cluster.read("colour").sees(&blue);
            cluster.check_invariants();
            is_struck
        });
        assert!(struck_count >= 12, "{struck_count}: a first start is at least so many operations");
    }
}

#[test]
fn corrupted_packets_cost_reconnects_and_nothing_else() {
    repeats(|| {
        let (mut cluster, ..) = busy(2);
        assert_eq!(counted(&mut cluster, "link_refused"), 0);
        cluster.corrupt_packets(&["n1", "n2", "n3"], 0.02);
        cluster.run_for_ms(8_000);
        let refused_count = counted(&mut cluster, "link_refused");
        assert!(refused_count > 5, "{refused_count} frames were refused");
        ends_well(cluster)
    });
}

#[test]
fn late_overtaken_slow_and_flapping_links_lose_nothing() {
    repeats(|| {
        let (mut cluster, leader, replicas) = busy(3);
        let all = ["n1", "n2", "n3"];
        cluster.delay_some_packets(&all, 0.05);
        cluster.reorder_datagrams(&all, 0.2);
        cluster.lose_packets(&all, 0.01);
        cluster.duplicate_datagrams(&all, 0.05);
        cluster.run_for_ms(2_000);
        cluster.slow_one_way(&[&leader], &[&replicas[0]], 50, 90);
        cluster.run_for_ms(2_000);
        cluster.flap(&[&leader], 250);
        cluster.run_for_ms(3_000);
        cluster.partition_one_way(&[&replicas[0]], &[&replicas[1]]);
        cluster.run_for_ms(1_000);
        ends_well(cluster)
    });
}

#[test]
fn a_ring_and_a_bridge_of_five_go_on() {
    run_isolated(|| {
        let mut cluster = Cluster::of(5).links(Default::default()).seed(4);
        cluster.start_writers(Workload::default());
        cluster.ring();
        cluster.run_for_ms(3_000);
        cluster.heal();
        cluster.bridge(&["n1", "n2"], &["n4", "n5"]);
        cluster.run_for_ms(3_000);
        ends_well(cluster);
    });
}

#[test]
fn a_node_whose_sync_fails_ends_and_comes_back_with_what_it_had() {
    repeats(|| {
        let (mut cluster, leader, _) = busy(5);
        cluster.fail_sync_at(&leader, 3);
        cluster.run_for_ms(3_000);
        let reason = cluster.ended(&leader);
        assert!(reason.is_some() && !cluster.is_running(&leader), "it goes on after EIO");
        cluster.restart(&[&leader]);
        assert_eq!(cluster.ended(&leader), None);
        ends_well(cluster)
    });
}

#[test]
fn a_node_whose_disk_fills_up_ends_and_comes_back_once_there_is_room() {
    repeats(|| {
        let (mut cluster, _, replicas) = busy(6);
        cluster.limit_disk(&replicas[0], Some(100 << 10));
        cluster.run_for_ms(20_000);
        let is_over = cluster.ended(&replicas[0]).is_some();
        assert!(is_over, "a segment of the log takes more than there is room for");
        ends_well(cluster)
    });
}

#[test]
fn a_full_disk_ends_its_node() {
    run_isolated(|| {
        let (mut cluster, leader, _) = busy(6);
        cluster.fill_disk(&leader, true);
        cluster.run_for_ms(3_000);
        assert!(cluster.ended(&leader).is_some());
        ends_well(cluster);
    });
}

#[test]
fn slow_frozen_drifting_and_looping_nodes_lose_nothing() {
    repeats(|| {
        let (mut cluster, leader, replicas) = busy(7);
        cluster.slow_disk(&replicas[0], 20, 60);
        cluster.stall_disk(&leader, 0.05, 900);
        cluster.run_for_ms(2_000);
        cluster.slow_down(&leader, 30);
        cluster.run_for_ms(2_000);
        cluster.freeze_unseen(&[&replicas[1]]);
        cluster.run_for_ms(1_500);
        cluster.thaw(&[&replicas[1]]);
        cluster.freeze_processes(&[&replicas[1]]);
        cluster.drift_clock(&replicas[0], 4_000);
        cluster.jump_wall_clock(&replicas[0], -60_000);
        cluster.run_for_ms(1_500);
        cluster.calm();
        cluster.jump_clock(&replicas[0], 700);
        cluster.crash_loop(&replicas[0], 300, 4);
        ends_well(cluster)
    });
}

#[test]
fn the_last_good_copy_is_spared_unless_the_scenario_says_otherwise() {
    let refused = catch_unwind(|| {
        run_isolated(|| {
            let (mut cluster, _, replicas) = busy(8);
            cluster.crash(&[&replicas[0]]);
            cluster.wipe(&replicas[0]);
            cluster.lie_about_syncs(&replicas[1], true);
        })
    });
    let text = refused.expect_err("two of three").downcast::<String>().unwrap();
    assert!(text.contains("even_the_last_good_copy"), "{text}");
    run_isolated(|| {
        let (mut cluster, leader, replicas) = busy(8);
        cluster.lie_about_syncs(&replicas[0], true);
        cluster.run_for_ms(1_000);
        cluster.lie_about_syncs(&replicas[0], false); // it keeps its word, and counts no more
        cluster.rot(&replicas[1]);
        cluster.even_the_last_good_copy();
        cluster.rot(&leader);
    });
}

#[test]
fn a_rotten_byte_is_noticed_or_harmless() {
    let (mut ended_count, seeds_count) = (0, 12);
    for seed in 0..seeds_count {
        ended_count += run_isolated(move || {
            let (mut cluster, _, replicas) = busy(100 + seed);
            let rotten = replicas[0].clone();
            cluster.crash(&[&rotten]);
            cluster.rot(&rotten);
            cluster.restart(&[&rotten]);
            cluster.run_for_ms(2_000);
            let has_ended = cluster.ended(&rotten).is_some();
            cluster.stop_writers();
            let without: Vec<&str> = has_ended.then_some(rotten.as_str()).into_iter().collect();
            cluster.within_ms(10_000).one_leader_and_equal_logs_without(&without);
            cluster.check_invariants();
            u64::from(has_ended)
        });
    }
    assert!(ended_count > 0, "of {seeds_count} rotten disks none was noticed");
}

#[test]
fn a_process_that_dies_in_a_disk_operation_is_no_node_that_ended_by_itself() {
    run_isolated(|| {
        // With this seed the node hears of its last operation before its process is gone.
        let (mut cluster, leader, replicas) = busy(4_004);
        cluster.cut_power_at_send(&leader, 13);
        cluster.crash_at_send(&replicas[0], 22);
        cluster.crash_at_disk_operation(&replicas[1], 9);
        cluster.run_for_ms(3_000);
        assert!(!cluster.is_running(&leader) && !cluster.is_running(&replicas[1]));
        assert_eq!(cluster.ended(&replicas[1]), None);
        ends_well(cluster);
    });
}
