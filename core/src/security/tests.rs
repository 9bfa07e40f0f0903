//! Two nodes and their clocks: who is let in over a stream.

mod datagrams;

use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use ed25519_dalek::SigningKey;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use rustls::DigitallySignedStruct;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};

use super::certificate::{Authority, Subject, name_of, node_of};
use super::exchange::{Own, shaking_as};
use super::tls::{provider, signing};
use super::*;
use crate::config::MemberSettings;
use crate::ids::LogIndex;
use crate::link::fake::{World, run};
use crate::membership::{Roster, RosterChange};
use crate::ports::{Clock, Now, UnixMs};

const HOUR_MS: u64 = 3_600_000;
/// Some day in 2026.
const TODAY: UnixMs = UnixMs(1_795_000_000_000);

/// The protection of node `id`, as one of a cluster in that world.
pub(crate) fn protection(world: &World, id: u64) -> Protection {
    let of = Protected { node: NodeId(id), boot_count: 1, key: &key(id) };
    Protection::new(&secret('a'), &of, KnownKeys::default(), &world.env(id))
}

fn secret(letter: char) -> ClusterSecret {
    ClusterSecret::from_text(&letter.to_string().repeat(64)).unwrap()
}

fn key(node: u64) -> SigningKey {
    SigningKey::from_bytes(&[node as u8; 32])
}

/// A wall clock that a test sets.
#[derive(Debug)]
struct Wall(AtomicU64);

impl Clock for Wall {
    fn now(&self) -> Now {
        Now::from_ms(0)
    }

    fn wall(&self) -> UnixMs {
        UnixMs(self.0.load(Ordering::Relaxed))
    }
}

/// One node: its protection, the keys that it knows, its clock.
struct Node {
    protection: Protection,
    known: KnownKeys,
    wall: Arc<Wall>,
}

/// Node `id` of the cluster with that secret, on `TODAY`.
fn node(id: u64, letter: char) -> Node {
    let (known, wall) = (KnownKeys::default(), Arc::new(Wall(AtomicU64::new(TODAY.0))));
    let env = Env { clock: wall.clone(), ..World::new().env(id) };
    let of = Protected { node: NodeId(id), boot_count: 1, key: &key(id) };
    let protection = Protection::new(&secret(letter), &of, known.clone(), &env);
    Node { protection, known, wall }
}

impl Node {
    fn knows(self, node: u64, key: &SigningKey) -> Node {
        let mut roster = Roster::default();
        let address = [127, 0, 0, 1].into();
        let members = (1..=node).map(|id| MemberSettings::at(&format!("n{id}"), address)).collect();
        let public_key = key.verifying_key().to_bytes();
        let changes = [
            RosterChange::Found { members },
            RosterChange::SetKey { id: NodeId(node), public_key },
        ];
        for change in changes {
            roster.apply(LogIndex(1), change).unwrap();
        }
        self.known.follow(&roster);
        self
    }

    fn later_by_ms(self, ms: u64) -> Node {
        self.wall.0.fetch_add(ms, Ordering::Relaxed);
        self
    }
}

/// `from` calls `called` and finds `at`; each says a word. Returns whom `at` let in, or why one
/// of the two did not go on.
async fn meet(from: &Node, called: u64, at: &Node) -> Result<Option<NodeId>, String> {
    let (ours, theirs) = tokio::io::duplex(1 << 16);
    let calling = async {
        let mut stream = from.protection.open(Box::new(ours), NodeId(called)).await?;
        stream.write_all(b"ping").await?;
        stream.flush().await?;
        let mut word = [0; 4];
        stream.read_exact(&mut word).await?;
        Ok::<_, io::Error>(word)
    };
    let answering = async {
        let (mut stream, peer) = at.protection.accept(Box::new(theirs)).await?;
        let mut word = [0; 4];
        stream.read_exact(&mut word).await?;
        assert_eq!(&word, b"ping");
        stream.write_all(b"pong").await?;
        stream.flush().await?;
        Ok::<_, io::Error>(peer)
    };
    let (called, answered) = tokio::join!(calling, answering);
    let text = |error: &io::Error| {
        refusal_in(error).map_or_else(|| error.to_string(), |refusal| refusal.to_string())
    };
    match (called, answered) {
        (Ok(word), Ok(peer)) => {
            assert_eq!(&word, b"pong");
            Ok(peer)
        }
        (called, answered) => Err(format!(
            "caller: {} answerer: {}",
            called.as_ref().err().map(text).unwrap_or_default(),
            answered.as_ref().err().map(text).unwrap_or_default()
        )),
    }
}

#[test]
fn nodes_of_one_cluster_let_each_other_in_and_nobody_else() {
    let old = || node(1, 'a').later_by_ms(30 * HOUR_MS);
    // Who calls, whom, who is there; and what comes of it.
    let table: Vec<(&str, Node, u64, Node, &str)> = vec![
        ("same secret", node(1, 'a'), 2, node(2, 'a'), "n1"),
        ("another secret", node(1, 'b'), 2, node(2, 'a'), "cannot decrypt"),
        ("another node than was called", node(1, 'a'), 3, node(2, 'a'), "n2 answers here"),
        ("a clock half an hour behind", node(1, 'a'), 2, later(2, HOUR_MS / 2), "n1"),
        ("clocks thirty hours apart", node(1, 'a'), 2, later(2, 30 * HOUR_MS), "NotValidYet"),
        ("the caller is thirty hours ahead", old(), 2, node(2, 'a'), "Expired"),
        (
            "thirty hours apart, but both know the other's key",
            old().knows(2, &key(2)),
            2,
            node(2, 'a').knows(1, &key(1)),
            "n1",
        ),
        (
            "another cluster's node with a key that the roster names",
            node(1, 'b').knows(2, &key(2)),
            2,
            node(2, 'a').knows(1, &key(1)),
            "cannot decrypt",
        ),
        ("the key of another node", node(1, 'a'), 2, node(2, 'a').knows(3, &key(1)), "key of n3"),
        (
            "a new key for a node that has one",
            node(1, 'a'),
            2,
            node(2, 'a').knows(1, &key(9)),
            "n1 has another key",
        ),
    ];
    run(async {
        for (case, from, called, at, expected) in table {
            let met = meet(&from, called, &at).await;
            match expected {
                "n1" => assert_eq!(met, Ok(Some(NodeId(1))), "{case}"),
                _ => {
                    let refused = met.expect_err(case);
                    assert!(refused.contains(expected), "{case}: {refused}");
                    assert!(refused.contains("Q1209 not a node of this cluster"), "{refused}");
                }
            }
        }
    });
}

fn later(id: u64, ms: u64) -> Node {
    node(id, 'a').later_by_ms(ms)
}

#[test]
fn whoever_speaks_no_tls_is_refused_with_a_code() {
    run(async {
        let at = node(2, 'a');
        for bytes in [&b"GET / HTTP/1.1\r\n\r\n"[..], b"QRT1\0\x01\x01\0\0\0\0\0", &[0x16; 64]] {
            let (mut ours, theirs) = tokio::io::duplex(1 << 16);
            ours.write_all(bytes).await.unwrap();
            let refused = at.protection.accept(Box::new(theirs)).await.map(|_| ()).unwrap_err();
            let refusal = refusal_in(&refused).map(|refusal| refusal.to_string());
            let refusal = refusal.unwrap_or_else(|| panic!("{bytes:?}: {refused}"));
            assert!(refusal.starts_with("Q1209 "), "{bytes:?}: {refusal}");
        }
    });
}

/// What somebody shows who checks nothing himself: a certificate for a node and a key.
#[derive(Clone, Copy)]
struct Shown {
    authority: char,
    node: u64,
    key: u64,
    wall_ms: u64,
}

/// What `at` says to somebody with the secret `letter` who shows that, or nothing at all.
async fn said_to(letter: char, shown: Option<Shown>, at: &Node) -> Result<NodeId, String> {
    let client = rustls::ClientConfig::builder_with_details(provider(), Arc::new(Today))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Gullible));
    let client = match shown {
        None => client.with_no_client_auth(),
        Some(Shown { authority, node, key: of, wall_ms }) => {
            let public = key(of).verifying_key().to_bytes();
            let authority = Authority::of(&secret(authority));
            let chain =
                vec![authority.issue(&Subject::Member(NodeId(node)), public, UnixMs(wall_ms))];
            client.with_client_auth_cert(chain, signing(&key(of)).into()).unwrap()
        }
    };
    let (ours, theirs) = tokio::io::duplex(1 << 16);
    let name = ServerName::try_from("n2.quorate.internal").unwrap();
    let connector = tokio_rustls::TlsConnector::from(Arc::new(client));
    let own = Own::new(World::new().env(9).entropy, &secret(letter));
    let connecting = async {
        let mut stream = connector.connect(name, ours).await?;
        stream.read_u8().await // what came of it is told afterwards
    };
    let connecting = shaking_as(&own, connecting);
    let accepting = async {
        let accepted = at.protection.accept(Box::new(theirs)).await;
        accepted.map(|(_, peer)| peer.expect("it is protected"))
    };
    let (_, accepted) = tokio::join!(connecting, accepting);
    accepted.map_err(|error| refusal_in(&error).expect("it is refused").to_string())
}

/// Believes that whoever answers is who was called.
#[derive(Debug)]
struct Gullible;

impl ServerCertVerifier for Gullible {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        vec![rustls::SignatureScheme::ED25519]
    }
}

/// What is shown by whom to whom, and what comes of it.
type Case = (&'static str, char, Option<Shown>, Node, &'static str);

const GOOD: Shown = Shown { authority: 'a', node: 1, key: 1, wall_ms: TODAY.0 };

/// Who comes with the secret `a` and what n1 would show, but for one thing.
fn wrong_dates_and_names() -> Vec<Case> {
    let old = Shown { wall_ms: TODAY.0 - 30 * HOUR_MS, ..GOOD };
    let early = Shown { wall_ms: TODAY.0 + 30 * HOUR_MS, ..GOOD };
    let other_name = Shown { node: 3, ..GOOD };
    let other_key = Shown { key: 9, ..GOOD };
    let knowing = || node(2, 'a').knows(1, &key(1));
    vec![
        ("a good one", 'a', Some(GOOD), node(2, 'a'), "n1"),
        ("none", 'a', None, node(2, 'a'), "peer sent no certificates"),
        ("old", 'a', Some(old), node(2, 'a'), "Expired"),
        ("old, with a known key", 'a', Some(old), knowing(), "n1"),
        ("tomorrow's", 'a', Some(early), node(2, 'a'), "NotValidYet"),
        ("another's name with one's own key", 'a', Some(other_name), knowing(), "key of n1"),
        ("a known node's name, a new key", 'a', Some(other_key), knowing(), "has another key"),
    ]
}

/// Who lacks the secret, wholly or in part.
fn without_the_secret() -> Vec<Case> {
    let old = Shown { wall_ms: TODAY.0 - 30 * HOUR_MS, ..GOOD };
    let foreign = Shown { authority: 'b', ..GOOD };
    let foreign_and_old = Shown { authority: 'b', ..old };
    let knowing = || node(2, 'a').knows(1, &key(1));
    vec![
        ("good, by another secret", 'b', Some(GOOD), node(2, 'a'), "cannot decrypt"),
        ("old, known key, by another secret", 'b', Some(old), knowing(), "cannot decrypt"),
        ("another authority's", 'a', Some(foreign), node(2, 'a'), "UnknownIssuer"),
        ("another authority's, known key", 'a', Some(foreign), knowing(), "UnknownIssuer"),
        ("the same, old", 'a', Some(foreign_and_old), knowing(), "UnknownIssuer"),
    ]
}

#[test]
fn whoever_answers_refuses_what_does_not_count_also_if_the_caller_would_go_on() {
    run(async {
        for (case, letter, shown, at, expected) in
            wrong_dates_and_names().into_iter().chain(without_the_secret())
        {
            match (said_to(letter, shown, &at).await, expected) {
                (Ok(peer), "n1") => assert_eq!(peer, NodeId(1), "{case}"),
                (Ok(peer), _) => panic!("{case}: {peer} is let in"),
                (Err(refusal), _) => {
                    assert!(refusal.starts_with("Q1209 "), "{case}: {refusal}");
                    assert!(refusal.contains(expected), "{case}: {refusal}");
                }
            }
        }
    });
}

/// The time of a client that is none of ours.
#[derive(Debug)]
struct Today;

impl rustls::time_provider::TimeProvider for Today {
    fn current_time(&self) -> Option<UnixTime> {
        let wall = std::time::Duration::from_millis(TODAY.0);
        Some(UnixTime::since_unix_epoch(wall))
    }
}

#[test]
fn certificates_are_renewed_at_half_of_their_life_without_a_restart() {
    run(async {
        let (one, two) = (node(1, 'a'), node(2, 'a'));
        // Both clocks go on together for a month; nobody knows a key.
        for _ in 0..60 {
            assert_eq!(meet(&one, 2, &two).await, Ok(Some(NodeId(1))));
            for node in [&one, &two] {
                node.wall.0.fetch_add(12 * HOUR_MS, Ordering::Relaxed);
            }
        }
        // And back by years.
        for node in [&one, &two] {
            node.wall.0.fetch_sub(40_000 * HOUR_MS, Ordering::Relaxed);
        }
        assert_eq!(meet(&one, 2, &two).await, Ok(Some(NodeId(1))));
    });
}

#[test]
fn the_same_secret_makes_the_same_authority_and_certificates_of_one_size() {
    let (one, other) = (Authority::of(&secret('a')), Authority::of(&secret('a')));
    assert_eq!(one.certificate(), other.certificate());
    assert_ne!(one.certificate(), Authority::of(&secret('b')).certificate());
    let public = |id| key(id).verifying_key().to_bytes();
    let member = |id| Subject::Member(NodeId(id));
    let size = |id, wall| one.issue(&member(id), public(id), UnixMs(wall)).len();
    let issued = |authority: &Authority| authority.issue(&member(1), public(1), TODAY);
    assert_eq!(issued(&one), issued(&other));
    // Sizes must not tell two runs of the simulator apart.
    let sizes: BTreeSet<usize> = (1..=9).map(|id| size(id, TODAY.0 + id * 77_777_777)).collect();
    assert_eq!(sizes.len(), 1, "{sizes:?}");
    for wall in [0, u64::MAX] {
        assert!(size(1, wall) > 0, "a clock that is out of its mind is no reason to end");
    }
}

#[test]
fn a_name_belongs_to_one_node_and_no_other_name_to_any() {
    for id in [1, 2, 10, u64::MAX] {
        assert_eq!(node_of(&name_of(NodeId(id))), Some(NodeId(id)));
    }
    let others = [
        "",
        "n1",
        "n1.quorate",
        "n01.quorate.internal",
        "1.quorate.internal",
        "x.n1.quorate.internal",
        "n+1.quorate.internal",
    ];
    for other in others {
        assert_eq!(node_of(other), None, "{other:?}");
    }
}

#[test]
fn a_secret_that_is_too_short_is_refused_and_none_is_printed() {
    for text in ["", "  \n", "short", &"x".repeat(31), &"x".repeat(4_097)] {
        let refused = ClusterSecret::from_text(text).expect_err("refused").to_string();
        assert!(refused.starts_with("the secret has "), "{refused}");
    }
    let text = "0123456789abcdef0123456789abcdef";
    let (one, same) =
        (ClusterSecret::from_text(text), ClusterSecret::from_text(&format!("{text}\n")));
    let (one, same) = (one.unwrap(), same.unwrap());
    assert_eq!(one.key(&[b"a"]), same.key(&[b"a"]), "white space around it does not count");
    assert_ne!(one.key(&[b"a"]), one.key(&[b"b"]));
    assert!(!format!("{one:?}").contains("0123"));
}
