//! Real HAProxy with the settings that `quorate lb config haproxy` prints, while leadership moves;
//! and the ports that a daemon listens on.

use std::collections::BTreeSet;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use quorate_core::status::Status;
use quorate_node::demo::health;
use quorate_node::demo::processes::Helper;
use quorate_tests::binary::{AUTHORIZATION, command};
use quorate_tests::block::Block;
use quorate_tests::cluster::Cluster;
use quorate_tests::skips::skip;
use serde_json::Value;
use tempfile::TempDir;

const HAPROXY: &str = "/usr/sbin/haproxy";
/// One question through the balancer.
const ANSWER_LIMIT: Duration = Duration::from_millis(250);
/// An election, and the balancer's own checks, take about a second; a loaded machine takes longer.
const FLOWS_WITHIN: Duration = Duration::from_secs(15);
/// How long a leader stands still: far longer than any lease.
const FROZEN: Duration = Duration::from_secs(10);

/// A process, and what it uses; dropped in this order.
struct Running {
    _helper: Helper,
    _place: TempDir,
    _block: Block,
}

/// What `quorate` prints with these arguments.
fn printed(api: SocketAddr, arguments: &[&str]) -> String {
    let mut command = command();
    let output = command.args(arguments).env("QUORATE_NODES", api.to_string()).output();
    let output = output.expect("the binary runs");
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    String::from_utf8(output.stdout).expect("it prints text")
}

/// HAProxy with the settings that the node with this API prints, and where it listens.
fn haproxy(api: SocketAddr, more: &[&str]) -> (Running, SocketAddr) {
    let block = Block::take().expect("a block of test addresses is free");
    let place = tempfile::tempdir().expect("a temporary directory can be made");
    let balancer = SocketAddr::new(block.node(9), 8_580);
    let listen = format!("--listen={balancer}");
    let arguments = ["lb", "config", "haproxy", "--service-port=8500", &listen];
    let config = place.path().join("haproxy.cfg");
    fs::write(&config, printed(api, &[&arguments[..], more].concat())).expect("it can be written");
    let mut haproxy = Command::new(HAPROXY);
    haproxy.arg("-db").arg("-f").arg(&config).stdout(Stdio::null()).stderr(Stdio::null());
    let helper = Helper::start(haproxy).expect("haproxy runs");
    (Running { _helper: helper, _place: place, _block: block }, balancer)
}

/// Waits until requests flow to `leader`, and prints how long that took since `began`.
fn flows_to(balancer: SocketAddr, leader: usize, what: &str, began: Instant) {
    loop {
        if let Some(status) = acting_behind(balancer)
            && status.name == format!("n{leader}")
        {
            println!("{what}: traffic flows again after {} ms", began.elapsed().as_millis());
            return;
        }
        assert!(began.elapsed() < FLOWS_WITHIN, "{what}: no traffic to n{leader}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// The status of the node that the balancer leads to, if that node may act.
fn acting_behind(balancer: SocketAddr) -> Option<Status> {
    let (code, body) = health::get_as(balancer, "/cluster", AUTHORIZATION, ANSWER_LIMIT).ok()?;
    let status: Status = serde_json::from_str(&body).ok().filter(|_| code == 200)?;
    status.acting.then_some(status)
}

#[test]
fn haproxy_leads_to_the_leader_and_never_back_to_a_former_one() {
    if !Path::new(HAPROXY).exists() {
        let reason = "haproxy is not installed";
        return skip("haproxy_leads_to_the_leader_and_never_back_to_a_former_one", reason);
    }
    let mut cluster = Cluster::of(3).started();
    let first = cluster.wait_for_leader(10_000);
    let began = Instant::now();
    let (_haproxy, balancer) = haproxy(cluster.api(first), &[]);
    flows_to(balancer, first, "start", began);

    let second = first % 3 + 1;
    let told = ["cluster", "set-active", &format!("n{second}")];
    let began = Instant::now();
    printed(cluster.api(first), &told);
    flows_to(balancer, second, "switchover", began);

    let began = Instant::now();
    cluster.node(second).kill();
    let third = cluster.wait_for_leader_other_than(second, 10_000);
    flows_to(balancer, third, "leader killed", began);
    cluster.start(second);
    cluster.wait_until_equal(10_000);

    cluster.node(third).freeze();
    let frozen_at = Instant::now();
    let leader = loop {
        match cluster.leaders().into_iter().find(|leader| *leader != third) {
            Some(leader) => break leader,
            None => std::thread::sleep(Duration::from_millis(10)),
        }
        assert!(frozen_at.elapsed() < FLOWS_WITHIN, "nobody else leads");
    };
    flows_to(balancer, leader, "leader frozen", frozen_at);
    std::thread::sleep(FROZEN.saturating_sub(frozen_at.elapsed()));
    cluster.node(third).thaw();
    let thawed_at = Instant::now();
    let (former, mut answers_count) = (format!("n{third}"), 0);
    while thawed_at.elapsed() < Duration::from_secs(3) {
        if let Ok((code, body)) = health::get_as(balancer, "/cluster", AUTHORIZATION, ANSWER_LIMIT)
        {
            let status: Status = serde_json::from_str(&body).expect("the status of a node");
            assert!(code == 200 && status.name != former, "after the thaw: {status:?}");
            answers_count += 1;
        }
    }
    assert!(answers_count > 50, "{answers_count} answers in 3 s");
}

#[test]
fn haproxy_leads_to_a_replica_if_that_is_asked_for() {
    if !Path::new(HAPROXY).exists() {
        let reason = "haproxy is not installed";
        return skip("haproxy_leads_to_a_replica_if_that_is_asked_for", reason);
    }
    let cluster = Cluster::of(3).started();
    let (_haproxy, balancer) = haproxy(cluster.api(1), &["--replica"]);
    let (mut names, began) = (Vec::new(), Instant::now());
    while names.len() < 20 {
        assert!(began.elapsed() < FLOWS_WITHIN, "clients are still sent to the leader");
        let answer = health::get_as(balancer, "/cluster", AUTHORIZATION, ANSWER_LIMIT).ok();
        let Some((200, body)) = answer else { continue };
        let status: Status = serde_json::from_str(&body).expect("the status of a node");
        names.push(status.name);
        if status.acting {
            names.clear(); // until its first checks have ended, HAProxy sends clients to everybody
        }
    }
    let names: BTreeSet<String> = names.into_iter().collect();
    assert_eq!(names.len(), 2, "both replicas, by turns: {names:?}");
}

#[test]
fn a_daemon_listens_on_the_ports_that_are_told_and_no_other() {
    let cluster = Cluster::of(1).started();
    let told = listens_as_told(cluster);
    assert_eq!(told.iter().map(|(_, port)| *port).max(), Some(8_500));
}

#[test]
fn a_daemon_without_an_api_does_not_listen_for_it() {
    let mut cluster = Cluster::of(1).settings("[api]\nenabled = false").ready();
    cluster.start(1);
    let told = listens_as_told(cluster);
    assert_eq!(told.iter().map(|(_, port)| *port).max(), Some(8_301));
}

/// The ports that are told of the only node, once it listens on all of them. Panics if it listens
/// on others.
fn listens_as_told(mut cluster: Cluster) -> BTreeSet<(String, u64)> {
    let config = cluster.node(1).plan().settings_path();
    let config = config.to_str().expect("a path of ours is text");
    let told: Value =
        serde_json::from_str(&printed(cluster.api(1), &["ports", "--json", "--config", config]))
            .expect("JSON");
    let told = told["ports"].as_array().expect("a list").iter();
    let told: BTreeSet<(String, u64)> = told
        .map(|port| {
            let protocol = port["protocol"].as_str().expect("a text").to_owned();
            (protocol, port["port"].as_u64().expect("a number"))
        })
        .collect();
    let pid = cluster.node(1).pid().expect("it runs");
    let began = Instant::now();
    while listening(pid).len() < told.len() && began.elapsed() < FLOWS_WITHIN {
        std::thread::sleep(Duration::from_millis(10));
    }
    std::thread::sleep(Duration::from_millis(200)); // for one more, if there is one
    assert_eq!(listening(pid), told);
    told
}

/// What a process listens on, from the tables of the system: protocol and port.
fn listening(pid: u32) -> BTreeSet<(String, u64)> {
    const LISTEN: &str = "0A";
    let sockets = fs::read_dir(format!("/proc/{pid}/fd")).expect("a process of ours");
    let sockets: BTreeSet<String> = sockets
        .filter_map(|entry| fs::read_link(entry.ok()?.path()).ok())
        .filter_map(|to| to.to_str()?.strip_prefix("socket:[")?.strip_suffix(']').map(String::from))
        .collect();
    let mut found = BTreeSet::new();
    for (file, protocol) in [("tcp", "tcp"), ("tcp6", "tcp"), ("udp", "udp"), ("udp6", "udp")] {
        let table = fs::read_to_string(format!("/proc/{pid}/net/{file}")).expect("Linux has it");
        for line in table.lines().skip(1) {
            let fields: Vec<&str> = line.split_whitespace().collect();
            let (local, state, inode) = (fields[1], fields[3], fields[9]);
            if sockets.contains(inode) && (protocol == "udp" || state == LISTEN) {
                let port = local.rsplit(':').next().expect("an address and a port");
                let port = u64::from_str_radix(port, 16).expect("hexadecimal digits");
                found.insert((protocol.to_owned(), port));
            }
        }
    }
    found
}
