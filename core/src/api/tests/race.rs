//! The client among addresses that are dead in many ways, and what it learns about the others.

use bytes::Bytes;

use super::Edge;
use super::client::{GONE, HUNG, World, at, code};
use super::fake::env;
use super::in_node;
use crate::api::*;
use crate::config::MemberSettings;
use crate::error::WriteError;
use crate::ids::{LogIndex, NodeId};
use crate::membership::{Roster, RosterChange};
use crate::ports::Clock;
use crate::replication::Consistency;

/// n1 and n2, as the log has them since that entry.
fn roster(index: u64) -> Roster {
    let member = |id: usize| MemberSettings::at(&format!("n{id}"), at(id).ip());
    let mut roster = Roster::default();
    let change = RosterChange::Found { members: vec![member(1), member(2)] };
    roster.apply(LogIndex(index), change).expect("two founders");
    roster
}

fn list(cluster_id: &str, version: u64, nodes: &[usize]) -> MemberList {
    let place = |node: &usize| MemberPlace {
        id: NodeId(*node as u64),
        name: format!("n{node}"),
        api: at(*node),
    };
    let members = nodes.iter().map(place).collect();
    let (cluster_id, version) = (cluster_id.to_owned(), LogIndex(version));
    MemberList { cluster_id, version, authority: None, members }
}

fn zeros() -> String {
    "00".repeat(16)
}

#[test]
fn every_answer_carries_the_members_but_for_booleans() {
    in_node(async {
        let edge = Edge::start();
        let told =
            async |path: &str| edge.ask("GET", path, "").await.header("quorate-members").len();
        assert_eq!(told("/cluster").await, 0); // nobody is a member before the cluster is founded
        edge.fake.roster.send_replace(roster(7));
        let got = edge.ask("GET", "/api/v1/kv/none", "").await;
        let found: MemberList =
            serde_json::from_str(got.header("quorate-members")).expect("a list");
        assert_eq!(found, list(&zeros(), 7, &[1, 2]));
        for path in ["/cluster", "/metrics", "/api/v1/kv", "/nowhere"] {
            assert!(told(path).await > 0, "{path}");
        }
        for path in ["/livez", "/readyz", "/health", "/leader", "/replica", "/api/v3.1/status"] {
            assert_eq!(told(path).await, 0, "{path}");
        }
        edge.fake.roster.send_replace(roster(9));
        let got = edge.ask("GET", "/cluster", "").await;
        assert!(got.header("quorate-members").contains("\"version\":9"));
    });
}

#[test]
fn a_name_with_any_character_is_told_in_the_header() {
    in_node(async {
        let edge = Edge::start();
        let name = "\u{7f}\0\n\u{9f}caf\u{e9}\"\\";
        let members = vec![MemberSettings::at(name, at(1).ip())];
        let mut roster = Roster::default();
        roster.apply(LogIndex(7), RosterChange::Found { members }).expect("one founder");
        edge.fake.roster.send_replace(roster);
        let got = edge.ask("GET", "/cluster", "").await;
        let told = got.headers["quorate-members"].as_bytes();
        let found: MemberList = serde_json::from_slice(told).expect("a list");
        assert_eq!(found.members[0].name, name);
    });
}

#[test]
fn a_list_replaces_an_older_one_of_its_own_cluster() {
    let known = list("a", 7, &[1]);
    for (cluster, version, is_newer) in [
        ("a", 8, true),
        ("a", 7, false), // the same
        ("a", 6, false),
        ("b", 8, false),
    ] {
        let told = list(cluster, version, &[2]);
        assert_eq!(told.is_newer_than(&known), is_newer, "{cluster} {version}");
    }
}

#[test]
fn one_that_lives_is_found_behind_those_that_are_dead() {
    in_node(async {
        let world = World::start().await;
        let env = env(world.clock.clone(), world.net.clone());
        let addresses = [HUNG, GONE, HUNG, 1].map(at).to_vec();
        let mut client = Client::new(env, addresses);
        let began = world.clock.now();
        client.put("a", Bytes::from_static(b"v")).await.expect("acknowledged");
        let took_ms = world.clock.now().ms_since(began);
        assert!(took_ms < 1_000, "{took_ms} ms, and each attempt may take 2,000");
        assert_eq!(client.address(), at(1));
    });
}

#[test]
fn a_node_that_was_never_named_is_found_through_one_that_refuses() {
    in_node(async {
        let world = World::start().await;
        world.nodes[0].roster.send_replace(roster(7));
        let refuses = Some(WriteError::NoLeader { this: NodeId(1) });
        world.nodes[0].plan.borrow_mut().write_error = refuses;
        let mut client = world.client(&[GONE, 1]);
        client.put("a", Bytes::from_static(b"v")).await.expect("acknowledged");
        assert_eq!(client.address(), at(2));
        assert_eq!(client.members(), Some(&list(&zeros(), 7, &[1, 2])));
    });
}

#[test]
fn only_a_newer_list_of_the_same_cluster_is_believed() {
    in_node(async {
        let world = World::start().await;
        world.nodes[0].roster.send_replace(roster(7));
        for (known, expected) in [
            (list(&zeros(), 6, &[1]), list(&zeros(), 7, &[1, 2])),
            (list(&zeros(), 8, &[1]), list(&zeros(), 8, &[1])),
        ] {
            let mut client = world.client(&[1]).knowing(known);
            client.status().await.expect("answered");
            assert_eq!(client.members(), Some(&expected));
        }
    });
}

#[test]
fn a_node_of_another_cluster_is_not_written_to() {
    in_node(async {
        let world = World::start().await;
        let other = list(&"11".repeat(16), 3, &[1]);
        let mut client = world.client(&[1]).knowing(other.clone());
        let refused = client.put("a", Bytes::from_static(b"v")).await.expect_err("not ours");
        assert_eq!(code::<()>(Err(refused)), "Q1609");
        assert_eq!(client.members(), Some(&other));
        let kept = world.client(&[1]).get("a", Consistency::Stale).await.expect("answered");
        assert_eq!(kept.value, None);
    });
}

#[test]
fn nobody_answers_and_each_is_named_with_what_it_did() {
    in_node(async {
        let world = World::start().await;
        let refused = world.client(&[GONE, HUNG]).status().await.expect_err("nobody is there");
        let text = refused.to_string();
        assert!(text.contains("127.0.0.4:8500: connection refused"), "{text}");
        assert!(text.contains("127.0.0.3:8500: no answer in"), "{text}");
    });
}

#[test]
fn who_knows_of_no_leader_is_not_asked_for_it() {
    in_node(async {
        let world = World::start().await;
        world.nodes[0].plan.borrow_mut().has_no_leader = true;
        let mut client = world.client(&[1, 2]);
        assert_eq!(client.switchover(None).await, Ok(NodeId(2)));
        assert_eq!(world.nodes[0].plan.borrow().asked_to, None);
        let status = world.client(&[1, 2]).status_of_leader().await.expect("answered");
        assert!(status.has_leader());
        // Without any leader, whoever answers does.
        world.nodes[1].plan.borrow_mut().has_no_leader = true;
        let status = world.client(&[1, HUNG, 2]).status_of_leader().await.expect("answered");
        assert!(!status.has_leader());
    });
}
