//! `quorate cluster`: what operators are told of the members, and who they may say is to lead.

use std::net::SocketAddr;
use std::process::Command;
use std::time::{Duration, Instant};

use quorate_tests::binary::{Ran, quorate};
use quorate_tests::cluster::Cluster;
use serde_json::Value;

/// A silent node is noticed long before.
const NOTICED: Duration = Duration::from_secs(10);

/// Runs `quorate cluster` with these arguments, which asks the nodes with these APIs.
fn cluster(apis: &[SocketAddr], arguments: &[&str]) -> Ran {
    let mut command = Command::new(quorate());
    let nodes = apis.iter().map(SocketAddr::to_string).collect::<Vec<_>>().join(",");
    command.arg("cluster").args(arguments).env("QUORATE_NODES", nodes);
    Ran::by(&mut command)
}

#[test]
fn leadership_goes_where_it_is_told_to_or_the_command_fails() {
    let mut nodes = Cluster::of(3).started();
    let leader = nodes.wait_for_leader(10_000);
    let (next, last) = (leader % 3 + 1, (leader + 1) % 3 + 1);
    let name = |node: usize| format!("n{node}");
    // A replica is asked, and says who leads.
    let via = [nodes.api(next)];
    cluster(&via, &["set-active", &name(leader)]).ended(6, "leads already; nothing was changed");
    cluster(&via, &["set-active", "n9"]).ended(5, "Q1761 \"n9\" is no member;");
    cluster(&via, &["set-active", &name(next)]).ended(0, &format!("n{next} leads, after "));
    assert_eq!(nodes.wait_for_leader(10_000), next);

    nodes.node(last).freeze();
    nodes.wait_ms("the silent one is noticed", 10_000, || cluster(&via, &["status"]).code == 3);
    cluster(&via, &["set-active", &name(last)]).ended(6, "Q1022 ");
    assert_eq!(nodes.wait_for_leader(10_000), next);
    nodes.node(last).thaw();
}

#[test]
fn the_members_are_listed_and_shown_as_the_leader_sees_them() {
    let nodes = Cluster::of(3).started();
    let leader = nodes.wait_for_leader(10_000);
    let replica = leader % 3 + 1;
    let via = [nodes.api(replica)];
    nodes.wait_ms("everybody has everything", 10_000, || {
        let ran = cluster(&via, &["nodes", "list", "--json"]);
        if ran.code != 0 {
            return false; // a ping was late
        }
        let list = ran.json();
        let nodes = list["nodes"].as_array().expect("a list").clone();
        let lag = |node: &Value| node["lag_entries"] == 0 || node["state"] == "leader";
        list["asked"] == format!("n{leader}") && nodes.len() == 3 && nodes.iter().all(lag)
    });
    let list = cluster(&via, &["nodes", "list"]).ended(0, "");
    let list = list.text();
    for node in 1..=3 {
        let line = list.lines().find(|line| line.contains(&format!(" n{node} ")));
        let line = line.expect("a line for each");
        let state = if node == leader { " leader " } else { " replica " };
        assert!(line.contains(state) && line.contains(&nodes.api(node).to_string()), "{list}");
    }
    let shown = cluster(&via, &["nodes", "get", &format!("n{replica}"), "--json"]);
    let shown = shown.json();
    assert_eq!((&shown["state"], &shown["lag_entries"]), (&"replica".into(), &0.into()));
    let shown = cluster(&via, &["nodes", "get", &format!("n{replica}")]).ended(0, "");
    let says = format!("state       replica, as n{leader} sees it");
    assert!(shown.text().contains(&says), "{shown:?}");
    cluster(&via, &["nodes", "get", "n9"]).ended(5, "Q1761 ");
    cluster(&via, &["update-profile"]).ended(5, "Q1764 no profile is in use;");
}

#[test]
fn the_status_says_how_many_more_may_be_lost() {
    let mut nodes = Cluster::of(3).started();
    let apis = nodes.apis();
    let say = |says: &str, code: i32| {
        let began = Instant::now();
        loop {
            let ran = cluster(&apis, &["status"]);
            if ran.code == code && ran.text().contains(says) {
                return;
            }
            assert!(began.elapsed() < NOTICED, "{says}: {ran:?}");
        }
    };
    say("losses   1 node may be lost now: 3 of 3 voters answer, 2 must\n", 0);
    let tolerance = &cluster(&apis, &["status", "--json"]).json_line()["tolerance"];
    assert_eq!((&tolerance["losses"], &tolerance["quorum_count"]), (&1.into(), &2.into()));
    nodes.node(1).kill();
    say("losses   no node may be lost now: 2 of 3 voters answer, 2 must\n", 3);
    nodes.node(2).kill();
    say("losses   the quorum is lost: 1 of 3 voters answer, 2 must\n", 4);
}
