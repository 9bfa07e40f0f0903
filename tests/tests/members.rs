//! `quorate cluster`: what operators are told of the members, and who they may say is to lead.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use quorate_tests::binary::{Ran, command};
use quorate_tests::cluster::Cluster;
use serde_json::{Value, json};

/// A silent node is noticed long before.
const NOTICED: Duration = Duration::from_secs(10);

/// Runs `quorate cluster` with these arguments, which asks the nodes with these APIs.
fn cluster(apis: &[SocketAddr], arguments: &[&str]) -> Ran {
    let mut command = command();
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

/// What stands for a cluster of which n1 leads, until it is told to hand over to n3: it does not
/// say how that went, and n2 leads from then on. Returns where its API is.
fn hands_over_to_another() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let at = listener.local_addr().expect("it has a port");
    let is_told = Arc::new(AtomicBool::new(false));
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (stream, is_told) = (stream.expect("a client connects"), is_told.clone());
            std::thread::spawn(move || answer_all(stream, at, &is_told));
        }
    });
    at
}

/// Answers until the client hangs up.
fn answer_all(stream: TcpStream, at: SocketAddr, is_told: &AtomicBool) {
    let mut writing = stream.try_clone().expect("a socket can be used twice");
    let mut lines = BufReader::new(stream).lines().map_while(Result::ok);
    while let Some(first) = lines.next() {
        lines.by_ref().take_while(|line| !line.is_empty()).for_each(drop); // no body follows
        let (status, body) = if first.starts_with("POST /api/v1/leader/switchover?to=n3 ") {
            is_told.store(true, Ordering::Relaxed);
            let (message, changed) = ("n3 did not take over in time", "an election follows");
            let problem = json!({ "code": "Q1024", "message": message, "changed": changed,
                "advice": "look at the status" });
            ("504 Gateway Timeout", problem.to_string())
        } else if first.starts_with("GET /cluster ") {
            let leader = if is_told.load(Ordering::Relaxed) { 2 } else { 1 };
            ("200 OK", told(leader, at).to_string())
        } else {
            ("200 OK", "ready\n".to_owned())
        };
        let size_bytes = body.len();
        let head = format!("HTTP/1.1 {status}\r\ncontent-length: {size_bytes}\r\n\r\n");
        if writing.write_all((head + &body).as_bytes()).is_err() {
            return;
        }
    }
}

/// The status of three voters whose APIs are all at one place.
fn told(leader: u64, at: SocketAddr) -> Value {
    let member = |id: u64| {
        json!({ "id": id, "name": format!("n{id}"), "consensus": at, "membership": at, "api": at,
            "roster_address": at.ip(), "role": "full", "view": null, "health": null, "path": null,
            "rtt_us": null, "matching_index": null })
    };
    json!({ "node": leader, "name": format!("n{leader}"), "cluster": "quorate",
        "cluster_id": "00".repeat(16), "term": "0.3", "role": "Elected", "leader": leader,
        "acting": true, "token": "0.3", "leader_age_ms": 0, "commit_index": 9, "applied_index": 9,
        "last_index": 9, "voters": [1, 2, 3], "learners": [], "is_joint": false,
        "members": [member(1), member(2), member(3)], "queues": [], "counters": [] })
}

#[test]
fn a_switchover_after_which_another_one_leads_ends_with_8() {
    let via = [hands_over_to_another()];
    let ran = cluster(&via, &["set-active", "n3"]);
    assert!(ran.err.contains(" ms, n2 does; leadership may have moved; "), "{ran:?}");
    ran.refused(8, "Q1763 n3 does not lead after ");
}
