//! What is told of a cluster, as tables: states of members, exit codes, and ends of a switchover.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use quorate_core::ids::{LogIndex, NodeId};
use quorate_core::replication::RaftRole;
use quorate_core::status::{Health, MemberStatus, Status};

use super::members::state;
use super::set_active::settled;
use super::status::exit_for;
use super::*;

const N1: NodeId = NodeId(1);
const N2: NodeId = NodeId(2);
const N3: NodeId = NodeId(3);

fn member(id: NodeId) -> MemberStatus {
    let address = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let at = |port| SocketAddr::new(address, port);
    MemberStatus {
        id,
        name: id.to_string(),
        consensus: at(8300),
        membership: at(8301),
        api: at(8500),
        roster_address: address,
        role: "full".to_owned(),
        view: None,
        health: None,
        path: None,
        rtt_us: None,
        matching_index: None,
    }
}

fn seen<T>(value: T) -> Option<Fact<T>> {
    Some(Fact { value, age_ms: 40, source: "ping".to_owned() })
}

/// What n1 says of three voters, of whom that one was elected.
fn status(leader: Option<NodeId>) -> Status {
    Status {
        node: N1,
        name: "n1".to_owned(),
        cluster: "quorate".to_owned(),
        cluster_id: "00".repeat(16),
        term: "0.3".to_owned(),
        role: RaftRole::Follower,
        leader,
        acting: false,
        token: None,
        leader_age_ms: Some(12),
        commit_index: LogIndex(9),
        applied_index: LogIndex(9),
        last_index: LogIndex(9),
        voters: vec![N1, N2, N3],
        learners: vec![],
        is_joint: false,
        members: [N1, N2, N3].map(member).into(),
        queues: vec![],
        counters: vec![],
    }
}

#[test]
fn a_member_leads_is_silent_or_is_what_it_does() {
    let check = |status: &Status, expected: &str, exit: Exit| {
        let states: Vec<_> = status.members.iter().map(|member| state(status, member)).collect();
        assert_eq!((states.join(" ").as_str(), exit_for(status)), (expected, exit));
    };
    let mut told = status(Some(N2));
    check(&told, "replica leader replica", Exit::Good);
    told.members[2].health = seen(Health::Late);
    check(&told, "replica leader replica", Exit::Good);
    told.members[2].health = seen(Health::Silent);
    check(&told, "replica leader silent", Exit::Degraded);
    told.members[2].health = None;
    told.members[2].view = seen("down".to_owned());
    check(&told, "replica leader silent", Exit::Degraded);
    told.members[2].view = seen("suspect".to_owned());
    (told.voters, told.learners) = (vec![N1, N2], vec![N3]);
    check(&told, "replica leader learner", Exit::Good);
    told.learners.clear(); // added to the roster, and nothing else yet
    check(&told, "replica leader none", Exit::Good);

    check(&status(None), "replica replica replica", Exit::NoLeader);
    let mut told = status(Some(N1)); // elected, and may not act
    check(&told, "replica replica replica", Exit::NoLeader);
    told.acting = true;
    check(&told, "leader replica replica", Exit::Good);
}

#[test]
fn a_switchover_is_settled_once_somebody_else_leads_or_its_time_is_over() {
    let check = |leader: Option<NodeId>, waited_ms: u64, expected: &str| {
        let told = status(leader);
        let waited = Duration::from_millis(waited_ms);
        let found = match settled(Some(&told), &member(N3), Some(N2), waited) {
            None => "wait".to_owned(),
            Some(Ok(())) => "done".to_owned(),
            Some(Err(error)) => {
                assert_eq!(error.exit(), Exit::TimedOut);
                error.to_string().split(';').next().unwrap_or_default().to_owned()
            }
        };
        assert_eq!(found, expected, "{leader:?} {waited_ms}");
    };
    check(Some(N3), 0, "done");
    check(Some(N3), 10_001, "done"); // better late
    check(Some(N2), 10_000, "wait");
    check(Some(N2), 10_001, "Q1763 n3 does not lead after 10001 ms, n2 does");
    check(None, 10_000, "wait");
    check(None, 10_001, "Q1763 n3 does not lead after 10001 ms, nobody does");
    check(Some(N1), 10_000, "wait"); // elected, and may not act
    let mut told = status(Some(N1));
    told.acting = true;
    let ended = settled(Some(&told), &member(N3), Some(N2), Duration::from_millis(5));
    let ended = ended.expect("another one leads").expect_err("it was not the one").to_string();
    assert!(ended.starts_with("Q1763 n3 does not lead after 5 ms, n1 does; "), "{ended}");
    assert!(settled(None, &member(N3), Some(N2), Duration::from_secs(1)).is_none()); // no answer
}

#[test]
fn what_is_known_is_told_with_its_age() {
    assert_eq!(shown(seen(Health::Responsive).as_ref()), "responsive, 40 ms ago");
    assert_eq!(shown::<Health>(None), "-");
}
