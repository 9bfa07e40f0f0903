//! Nodes that come back at other addresses: all of them at once, and one while the others run.

use std::process::Output;
use std::time::{Duration, Instant};

use quorate_core::ports::Clock;
use quorate_net::BootClock;
use quorate_tests::binary::kv;
use quorate_tests::cluster::Cluster;
use quorate_tests::load::Load;

/// Runs `quorate kv` against node number `node`.
fn done(cluster: &Cluster, node: usize, arguments: &[&str]) -> Output {
    let output = kv(cluster.api(node), arguments);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output
}

/// Whether the committed roster, as every node has applied it, names the nodes where they are, and
/// every node looks for the others there.
fn roster_names_everyone(cluster: &Cluster) -> bool {
    let apis = cluster.apis();
    (1..=cluster.nodes_count()).all(|node| {
        cluster.status(node).is_some_and(|status| {
            let members = status.members.iter().zip(&apis);
            status.members.len() == apis.len()
                && members.clone().all(|(member, at)| member.roster_address == at.ip())
                && members.clone().all(|(member, at)| member.consensus.ip() == at.ip())
                && members.clone().all(|(member, at)| member.membership.ip() == at.ip())
        })
    })
}

#[test]
fn all_nodes_restarted_on_new_addresses_are_the_same_cluster() {
    const KEYS_COUNT: usize = 10;
    let mut cluster = Cluster::of(3).started();
    for key in 0..KEYS_COUNT {
        done(&cluster, key % 3 + 1, &["put", &format!("key {key}"), &format!("value {key}")]);
    }
    // A node may follow its leader before it has applied the roster.
    cluster.wait_ms("the roster names everyone", 10_000, || roster_names_everyone(&cluster));
    let before: Vec<_> = (1..=3).map(|node| cluster.status(node).expect("it answers")).collect();
    let old_apis = cluster.apis();
    // Half of them in order, half at once: what was acknowledged needs neither.
    cluster.node(1).terminate();
    cluster.node(1).ended_within_ms(10_000).expect("a child can be waited for").expect("it ends");
    (2..=3).for_each(|node| cluster.node(node).kill());

    cluster.move_all();
    let is_new = |api| !old_apis.contains(api);
    assert!(cluster.apis().iter().all(is_new), "every address is another one");
    let started = Instant::now();
    cluster.start_all();
    let leader = cluster.wait_for_leader(10_000);
    let led_ms = started.elapsed().as_millis();
    cluster.wait_ms("the roster names everyone", 10_000, || roster_names_everyone(&cluster));
    println!("a leader after {led_ms} ms, the roster after {} ms", started.elapsed().as_millis());

    for (node, before) in (1..).zip(before) {
        let after = cluster.status(node).expect("it answers");
        assert_eq!((after.node, after.cluster_id), (before.node, before.cluster_id));
        assert_eq!((after.name, after.voters), (before.name, before.voters));
        let ids = |members: &[quorate_core::status::MemberStatus]| {
            members.iter().map(|member| (member.id, member.name.clone())).collect::<Vec<_>>()
        };
        assert_eq!(ids(&after.members), ids(&before.members));
    }
    done(&cluster, leader, &["put", "later", "works"]);
    for node in 1..=3 {
        for key in 0..KEYS_COUNT {
            let output = done(&cluster, node, &["get", &format!("key {key}")]);
            assert_eq!(String::from_utf8_lossy(&output.stdout), format!("value {key}"));
        }
        assert_eq!(done(&cluster, node, &["get", "later"]).stdout, b"works");
    }
    cluster.wait_until_equal(10_000);
    // The roster stands: nobody writes it again and again.
    let index = cluster.status(leader).expect("it answers").last_index;
    std::thread::sleep(Duration::from_secs(1));
    assert_eq!(cluster.status(leader).expect("it answers").last_index, index);
}

#[test]
fn a_node_moved_alone_is_reached_again_by_those_whose_settings_name_its_old_address() {
    let mut cluster = Cluster::of(3).started();
    let leader = cluster.wait_for_leader(10_000);
    // First a replica; then the leader. The third is the one that everybody else finds.
    let (replica, stays) = (leader % 3 + 1, (leader + 1) % 3 + 1);
    let load = Load::start(&[cluster.api(stays)], 2);
    load.next_acknowledged_ms(0, 10_000);
    for moved in [replica, leader] {
        cluster.node(moved).kill();
        load.next_acknowledged_ms(BootClock.now().ns, 10_000);
        cluster.move_alone(moved);
        let started = Instant::now();
        cluster.start(moved);
        cluster.wait_ms("the roster names everyone", 20_000, || roster_names_everyone(&cluster));
        println!("n{moved} is found after {} ms", started.elapsed().as_millis());
        load.next_acknowledged_ms(BootClock.now().ns, 10_000);
    }
    // Reads all that was acknowledged through each node, and ends them.
    let verdict = load.verdict(&mut cluster);
    assert!(verdict.is_good(), "{verdict:#?}");

    // The settings of two nodes still name others where they were before.
    cluster.start_all();
    cluster.wait_for_leader(10_000);
    cluster.wait_ms("all are found again", 20_000, || roster_names_everyone(&cluster));
}
