//! What is told of a cluster, as tables: states of members and exit codes.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use quorate_core::ids::{LogIndex, NodeId};
use quorate_core::replication::RaftRole;
use quorate_core::status::{Health, MemberStatus, Status};

use super::members::state;
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
fn what_is_known_is_told_with_its_age() {
    assert_eq!(shown(seen(Health::Responsive).as_ref()), "responsive, 40 ms ago");
    assert_eq!(shown::<Health>(None), "-");
}
