//! Bad input from outside, at real daemons: frames that are none or not ours, keys that are no
//! text, a disk that gets full, a network that drops datagrams. Each has its code and advice, and
//! costs nothing that was acknowledged.

use std::ffi::OsStr;
use std::io::{Read, Write};
use std::net::{IpAddr, TcpStream, UdpSocket};
use std::os::unix::ffi::OsStrExt;
use std::time::{Duration, Instant};

use quorate_core::codec::{Channel, FRAME_HEADER_SIZE_BYTES, Identity, encode_frame};
use quorate_core::config::MEMBERSHIP_PORT;
use quorate_core::ids::{ClusterId, Generation, Lineage, NodeId};
use quorate_core::ports::Clock;
use quorate_core::status::{Health, Status};
use quorate_net::BootClock;
use quorate_tests::binary::{AUTHORIZATION, kv};
use quorate_tests::cluster::Cluster;
use quorate_tests::intruder::closes_after;
use quorate_tests::load::Load;
use quorate_tests::privileged::{DatagramBlock, SmallDisk};
use quorate_tests::skips::skip;

/// Puts the right checksum under a header whose fields were changed.
fn resealed(mut frame: Vec<u8>) -> Vec<u8> {
    let checksum = crc32fast::hash(&frame[..FRAME_HEADER_SIZE_BYTES - 4]);
    frame[FRAME_HEADER_SIZE_BYTES - 4..FRAME_HEADER_SIZE_BYTES]
        .copy_from_slice(&checksum.to_be_bytes());
    frame
}

/// Frames that a node must refuse, each with its code. They are good but for one thing.
fn bad_frames(cluster: ClusterId, from: NodeId, to: NodeId) -> Vec<(&'static str, Vec<u8>)> {
    let (lineage, generation) = (Lineage(0), Generation(0));
    let peer = Identity { cluster, lineage, generation, node: from };
    let stranger = Identity { cluster: ClusterId([7; 16]), ..peer };
    let frame = |who: &Identity, to, channel| encode_frame(who, to, channel, b"no message");
    let good = frame(&peer, to, Channel::Handshake);
    let changed = |at: usize, bytes: &[u8]| {
        let mut frame = good.clone();
        frame[at..at + bytes.len()].copy_from_slice(bytes);
        frame
    };
    let http = "GET / HTTP/1.1\r\nhost: somebody.who.scans.ports.example\r\nuser-agent: x\r\n\r\n";
    vec![
        ("Q1201", http.as_bytes().to_vec()),
        ("Q1201", vec![0x5a; 4096]),
        ("Q1202", resealed(changed(4, &[0, 9]))),
        ("Q1203", frame(&stranger, to, Channel::Handshake)),
        ("Q1204", resealed(changed(52, &u32::MAX.to_be_bytes()))),
        ("Q1205", changed(20, &[0xff])),
        ("Q1205", changed(FRAME_HEADER_SIZE_BYTES, b"other")),
        // On 8300 a handshake that cannot be read, on 8301 a frame that does not belong there.
        ("Q1206", good.clone()),
        ("Q1207", frame(&peer, NodeId(77), Channel::Handshake)),
    ]
}

/// What is no frame either, and too short for a header: known by its first bytes, or by the silence
/// after them. With the time that a node may take over a stream, in milliseconds.
fn short_garbage() -> Vec<(&'static str, &'static [u8], u64)> {
    vec![
        ("Q1201", b"GET ", 1_000),
        ("Q1201", b"\x16\x03\x01\x02\0\x01\0", 1_000), // the beginning of TLS
        ("Q1202", b"QRT1\0\x09", 1_000),
        ("Q1208", b"QRT1\0\x01\x01", 4_000),
        ("Q1208", b"", 4_000),
    ]
}

#[test]
fn frames_that_are_not_ours_are_refused_with_their_code_and_disturb_nobody() {
    // With a secret none of these would come as far as to be looked at: see `protection.rs`.
    let mut cluster = Cluster::of(3).unprotected().started();
    let load = Load::start(&cluster.apis(), 2);
    load.next_acknowledged_ms(0, 10_000);
    let leader = cluster.wait_for_leader(10_000);
    let before = cluster.status(leader).expect("the leader answers");
    let member = cluster.node(leader).plan().member().clone();
    let id = u128::from_str_radix(&before.cluster_id, 16).expect("an id is hexadecimal");
    let to = before.node;
    let frames = bad_frames(ClusterId(id.to_be_bytes()), NodeId(to.0 % 3 + 1), to);
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a port is free");

    for (code, bytes) in &frames {
        let ways: [(&str, &dyn Fn()); 3] = [
            ("calls_refused", &|| closes_after(member.consensus(), bytes)),
            ("link_refused", &|| closes_after(member.membership(), bytes)),
            ("link_refused", &|| {
                socket.send_to(bytes, member.membership()).expect("a datagram is sent");
            }),
        ];
        for (name, send) in ways {
            let refused_count = cluster.counter(leader, name);
            send();
            cluster.wait_ms(code, 5_000, || cluster.counter(leader, name) == refused_count + 1);
        }
    }

    for (code, bytes, limit_ms) in short_garbage() {
        for (name, at) in
            [("calls_refused", member.consensus()), ("link_refused", member.membership())]
        {
            let refused_count = cluster.counter(leader, name);
            let began = Instant::now();
            closes_after(at, bytes);
            let ended_ms = began.elapsed().as_millis();
            assert!(ended_ms <= u128::from(limit_ms), "{code} at {at}: after {ended_ms} ms");
            cluster.wait_ms(code, 5_000, || cluster.counter(leader, name) == refused_count + 1);
        }
    }

    let log = cluster.node(leader).log();
    let silent = ("Q1208", Vec::new());
    for (code, _) in frames.iter().chain([&silent]) {
        for text in ["a connection was refused", "link frame refused"] {
            let is_it =
                |line: &&str| line.contains(text) && line.contains(&format!("error={code}"));
            assert_eq!(log.lines().filter(is_it).count(), 1, "{code}: one line {text:?} per code");
        }
    }
    let after = cluster.status(leader).expect("the leader answers");
    assert_eq!((after.term, after.leader), (before.term, before.leader), "the leader leads on");
    load.next_acknowledged_ms(BootClock.now().ns, 5_000);
    let verdict = load.verdict(&mut cluster);
    assert!(verdict.is_good(), "{verdict:#?}");
}

#[test]
fn a_key_that_is_no_text_is_refused_with_its_code_on_both_ways_in() {
    let cluster = Cluster::of(1).started();
    let api = cluster.api(1);
    let (key, value) = (OsStr::from_bytes(b"caf\xe9"), OsStr::new("value"));
    let commands: [&[&OsStr]; 3] =
        [&[OsStr::new("put"), key, value], &[OsStr::new("get"), key], &[OsStr::new("delete"), key]];
    for command in commands {
        let output = kv(api, command);
        let text = String::from_utf8_lossy(&output.stderr);
        let expected = "Q1103 the key is not UTF-8 after byte 3; nothing was written; encode it";
        assert!(text.starts_with(expected), "{command:?}: {text}");
        assert_eq!(output.status.code(), Some(2), "{command:?}");
        assert!(output.stdout.is_empty(), "{command:?}");
    }
    for method in ["PUT", "GET", "DELETE"] {
        let mut stream = TcpStream::connect(api).expect("the API listens");
        let rest = "host: n1\r\nconnection: close\r\ncontent-length: 0\r\n";
        let head = format!("{method} /api/v1/kv/caf%e9 HTTP/1.1\r\n{rest}");
        let request = format!("{head}authorization: {AUTHORIZATION}\r\n\r\n");
        stream.write_all(request.as_bytes()).expect("the connection stands");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("it is text and ends");
        assert!(answer.starts_with("HTTP/1.1 400 "), "{method}: {answer}");
        assert!(answer.contains("\"Q1103\""), "{method}: {answer}");
    }
    let listed = kv(api, &[OsStr::new("list")]);
    assert!(listed.status.success() && listed.stdout.is_empty(), "nothing was written");
}

/// What a daemon says of a full disk: that of its start, of its log or of its snapshot.
fn check_full_disk(log: &str) {
    let texts = [
        "Q1502 the data directory refuses: No space left",
        "Q1405 the log cannot be written; the node stops; check the disk",
        "Q1408 the snapshot cannot be written; the node stops; check the disk",
    ];
    let is_opening = log.contains("Q1403") && log.contains("check disk and rights");
    assert!(is_opening || texts.iter().any(|text| log.contains(text)), "{log}");
    assert!(log.contains("No space left on device"), "{log}");
    assert!(!log.contains("Q1404"), "a full disk is no damaged store: {log}");
    assert!(!log.contains("Q1530"), "a full disk is no reason to panic: {log}");
}

/// Room for the data of a node in this test, and not much more.
const DISK_SIZE_BYTES: u64 = 64 << 20;

#[test]
fn a_full_disk_ends_its_node_alone_and_what_it_held_is_whole() {
    const NAME: &str = "a_full_disk_ends_its_node_alone_and_what_it_held_is_whole";
    // A snapshot is due at any moment, so both files of the store meet the full disk.
    let mut cluster = Cluster::of(3).settings("snapshot_entries_count = 100").ready();
    // Declared after the cluster, so unmounted before its directory is removed.
    let mounted: Result<Vec<SmallDisk>, _> =
        cluster.data_dirs().iter().map(|dir| SmallDisk::mount(dir, DISK_SIZE_BYTES)).collect();
    let disks = match mounted {
        Ok(disks) => disks,
        Err(error) => return skip(NAME, &format!("no disk can be mounted: {error}")),
    };
    cluster.start_all();
    let load = Load::start(&cluster.apis(), 4);
    load.next_acknowledged_ms(0, 10_000);

    for is_leader in [false, true] {
        let leader = cluster.wait_for_leader(10_000);
        let node = if is_leader { leader } else { leader % 3 + 1 };
        let earlier = cluster.node(node).log().len();
        let disk = &disks[node - 1];
        let filled_ns = BootClock.now().ns;
        disk.fill();
        let ended = cluster.node(node).ended_within_ms(20_000).expect("a child is waited for");
        let ended_ms = (BootClock.now().ns - filled_ns) / 1_000_000;
        let log = cluster.node(node).log()[earlier..].to_owned();
        let status = ended.unwrap_or_else(|| panic!("n{node} runs on without a disk: {log}"));
        assert_eq!(status.code(), Some(1), "it ends by itself, with no panic: {log}");
        check_full_disk(&log);
        assert!(log.contains("Q1531 the node failed; the others go on; mend"), "{log}");
        let next_ms = load.next_acknowledged_ms(BootClock.now().ns, 5_000);
        println!(
            "n{node} (leader: {is_leader}): ended {ended_ms} ms after its disk was full, next \
             acknowledged write {next_ms} ms later"
        );

        // Without room it cannot even count its start; with little it stops wherever that ends.
        for room_bytes in [0, 4 << 10, 4 << 10, 8 << 10, 32 << 10] {
            disk.leave(room_bytes);
            let refused_at = cluster.node(node).log().len();
            cluster.start(node);
            let ended = cluster.node(node).ended_within_ms(10_000).expect("a child is waited for");
            let log = cluster.node(node).log()[refused_at..].to_owned();
            assert_eq!(ended.and_then(|status| status.code()), Some(1), "it is full: {log}");
            check_full_disk(&log);
        }

        disk.free();
        cluster.start(node);
        cluster.wait_ms("the node is back", 10_000, || {
            cluster.status(node).is_some_and(|status| status.has_leader())
        });
    }
    let verdict = load.verdict(&mut cluster);
    assert!(verdict.is_good(), "{verdict:#?}");
}

/// Whether every node reaches every other one by `path`, and finds it responsive and alive.
fn all_reach_all(cluster: &Cluster, path: &str) -> bool {
    let reaches = |status: &Status| {
        let others: Vec<_> =
            status.members.iter().filter(|member| member.id != status.node).collect();
        let is_well = others.iter().all(|member| {
            let health = member.health.as_ref().map(|fact| fact.value);
            let view = member.view.as_ref().map(|fact| fact.value.as_str());
            let is_seen = (health, view) == (Some(Health::Responsive), Some("alive"));
            is_seen && member.path.as_deref() == Some(path)
        });
        others.len() == 2 && is_well
    };
    (1..=3).all(|node| cluster.status(node).is_some_and(|status| reaches(&status)))
}

#[test]
fn blocked_datagrams_cost_no_election_and_no_write() {
    const NAME: &str = "blocked_datagrams_cost_no_election_and_no_write";
    let mut cluster = Cluster::of(3).started();
    let leader = cluster.wait_for_leader(10_000);
    let load = Load::start(&cluster.apis(), 2);
    cluster.wait_ms("all reach all over UDP", 10_000, || all_reach_all(&cluster, "udp"));
    let term = cluster.status(leader).expect("the leader answers").term;
    let addresses: Vec<IpAddr> =
        (1..=3).map(|node| cluster.node(node).plan().member().address).collect();

    let block = match DatagramBlock::between(&addresses, MEMBERSHIP_PORT) {
        Ok(block) => block,
        Err(error) => return skip(NAME, &format!("no datagram can be blocked: {error}")),
    };
    let to_tcp_ms =
        cluster.wait_ms("all reach all over TCP", 10_000, || all_reach_all(&cluster, "tcp"));
    // Long enough for gossip to call a member down, and for UDP to be tried again in vain.
    std::thread::sleep(Duration::from_secs(5));
    assert!(all_reach_all(&cluster, "tcp"), "{:#?}", cluster.status(leader));
    let blocked_ms = load.next_acknowledged_ms(BootClock.now().ns, 5_000);
    drop(block);
    let to_udp_ms =
        cluster.wait_ms("all reach all over UDP", 20_000, || all_reach_all(&cluster, "udp"));
    println!(
        "blocked: all over TCP after {to_tcp_ms} ms, a write took {blocked_ms} ms; open again: all \
         over UDP after {to_udp_ms} ms"
    );

    for node in 1..=3 {
        let log = cluster.node(node).log();
        assert!(!log.contains("health=Silent"), "n{node} took a peer for silent");
        assert!(!log.contains("liveness=Down"), "n{node} took a peer for down");
    }
    let after = cluster.status(leader).expect("the leader answers");
    assert_eq!((after.term, after.leader), (term, Some(after.node)), "nobody was elected");
    let verdict = load.verdict(&mut cluster);
    assert!(verdict.is_good(), "{verdict:#?}");
}
