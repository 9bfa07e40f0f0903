//! Real daemons with a secret: who has another one, or none, and what strangers send.

use std::net::UdpSocket;

use quorate_core::codec::{Channel, Identity, encode_frame};
use quorate_core::ids::{ClusterId, Generation, Lineage, NodeId};
use quorate_core::ports::Clock;
use quorate_net::BootClock;
use quorate_tests::cluster::{Cluster, SECRET};
use quorate_tests::intruder::closes_after;
use quorate_tests::load::Load;

/// Without a quorum nobody leads after this time.
const LEASE_OVER_MS: u64 = 5_000;

/// All that the node has refused on its two ports.
fn refused_count(cluster: &Cluster, node: usize) -> u64 {
    cluster.counter(node, "calls_refused") + cluster.counter(node, "link_refused")
}

#[test]
fn a_node_with_another_secret_or_none_counts_for_nothing_until_it_has_the_right_one() {
    for secret in [Some("somebody else has thought of this one"), None] {
        has_another_secret(secret);
    }
}

/// n3 falls to somebody who has all of it but the secret.
fn has_another_secret(secret: Option<&str>) {
    let mut cluster = Cluster::of(3).started();
    let load = Load::start(&cluster.apis(), 2);
    load.next_acknowledged_ms(0, 10_000);
    cluster.node(3).kill();
    let next_ms = load.next_acknowledged_ms(BootClock.now().ns, 10_000);
    let before = refused_count(&cluster, 1);
    cluster.node(3).set_secret(secret);
    cluster.start(3);
    let what = "the others refuse what the stranger sends";
    cluster.wait_ms(what, 10_000, || refused_count(&cluster, 1) > before);
    load.next_acknowledged_ms(BootClock.now().ns, 5_000);

    cluster.node(2).kill();
    let alone_ms = cluster.wait_ms("nobody leads", LEASE_OVER_MS, || {
        let mut statuses = [1, 3].into_iter().filter_map(|node| cluster.status(node));
        statuses.all(|status| !status.has_leader())
    });
    println!("a write {next_ms} ms after n3 died; nobody leads {alone_ms} ms after n2 did");
    let log = cluster.node(1).log();
    assert!(log.contains("error=Q1209 not a node of this cluster"), "{log}");

    cluster.node(3).kill();
    cluster.node(3).set_secret(Some(SECRET));
    cluster.start(3);
    cluster.wait_for_leader(10_000);
    cluster.start(2);
    load.next_acknowledged_ms(BootClock.now().ns, 10_000);
    let verdict = load.verdict(&mut cluster);
    assert!(verdict.is_good(), "{verdict:#?}");
}

#[test]
fn what_does_not_come_from_a_member_is_refused_on_both_ports_and_disturbs_nobody() {
    let mut cluster = Cluster::of(3).started();
    let leader = cluster.wait_for_leader(10_000);
    let before = cluster.status(leader).expect("the leader answers");
    let member = cluster.node(leader).plan().member().clone();
    let id = u128::from_str_radix(&before.cluster_id, 16).expect("an id is hexadecimal");
    let (lineage, generation) = (Lineage(0), Generation(0));
    let peer = NodeId(before.node.0 % 3 + 1);
    let peer = Identity { cluster: ClusterId(id.to_be_bytes()), lineage, generation, node: peer };
    // What any member of an unprotected cluster would send.
    let frame = |channel| encode_frame(&peer, before.node, channel, b"no message");
    let client_hello_of_nobody = [&b"\x16\x03\x01\x00\x30\x01\x00\x00\x2c\x03\x03"[..], &[7; 42]];
    let streams: [(&str, Vec<u8>); 5] = [
        ("a request of HTTP", b"GET / HTTP/1.1\r\nhost: n1\r\n\r\n".to_vec()),
        ("a frame as it is", frame(Channel::Handshake)),
        ("TLS without anything in common", client_hello_of_nobody.concat()),
        ("a record that never ends", b"\x16\x03\x01\x40\x00".to_vec()),
        ("silence", Vec::new()),
    ];
    for (what, bytes) in &streams {
        for (name, at) in
            [("calls_refused", member.consensus()), ("link_refused", member.membership())]
        {
            let refused_count = cluster.counter(leader, name);
            closes_after(at, bytes);
            cluster.wait_ms(what, 5_000, || cluster.counter(leader, name) > refused_count);
        }
    }
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a port is free");
    let mut forged = b"QRD1\0\0\0\0".to_vec();
    forged.extend(peer.node.0.to_be_bytes());
    forged.extend([0xff; 100]);
    for datagram in [&frame(Channel::Heartbeat), &forged, &b"x".to_vec(), &vec![0; 1_400]] {
        let refused_count = cluster.counter(leader, "link_refused");
        socket.send_to(datagram, member.membership()).expect("a datagram is sent");
        let is_counted = || cluster.counter(leader, "link_refused") > refused_count;
        cluster.wait_ms("a datagram is refused", 5_000, is_counted);
    }
    // Each code is logged once a minute, for either port.
    let log = cluster.node(leader).log();
    for code in ["Q1208", "Q1209"] {
        for text in ["a connection was refused", "link frame refused"] {
            let is_it =
                |line: &&str| line.contains(text) && line.contains(&format!("error={code}"));
            assert_eq!(log.lines().filter(is_it).count(), 1, "{code}: one line {text:?}");
        }
    }
    let after = cluster.status(leader).expect("the leader answers");
    assert_eq!((after.term, after.leader), (before.term, before.leader), "the leader leads on");
}
