//! Who is answered with TLS and without, and by which servers a client lets itself be answered.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use ed25519_dalek::SigningKey;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::spawn_local;

use super::client::code;
use super::fake::{Fake, Pipes};
use super::in_node;
use crate::api::{Client, Entry, MemberList, router, serve};
use crate::ids::LogIndex;
use crate::ports::Net;
use crate::security::{ClusterSecret, Edge, Fingerprint, Seen, Trust};
use crate::watch;

fn secret(letter: char) -> ClusterSecret {
    ClusterSecret::from_text(&letter.to_string().repeat(64)).expect("it is long enough")
}

fn own(node: u8) -> Fingerprint {
    Fingerprint::of_key(&SigningKey::from_bytes(&[node; 32]).verifying_key().to_bytes())
}

/// Node `last` at 10.0.0.`last`, or 127.0.0.`last`.
fn at(first: u8, last: u8) -> SocketAddr {
    SocketAddr::from(([first, 0, 0, last], 8500))
}

/// A network with one node, of the cluster with that secret if there is one.
struct World {
    net: Arc<Pipes>,
    fake: Fake,
    at: SocketAddr,
    _stop: watch::Sender<bool>,
}

impl World {
    async fn start(at: SocketAddr, letter: Option<char>, is_network_private: bool) -> World {
        let net = Arc::new(Pipes::default());
        let fake = Fake::start(net.clone());
        let key = SigningKey::from_bytes(&[1; 32]);
        let (secret, env) = (letter.map(secret), &fake.handle.inner.env);
        let edge = Edge::new(secret.as_ref(), &key, at.ip(), env);
        let entry = Entry::new(edge, is_network_private);
        let listener = net.listen(at).await.expect("nobody listens there");
        let ticking = fake.clock.clone();
        spawn_local(async move {
            for ms in 0.. {
                ticking.set_ms(ms);
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        });
        let (stop, stopped) = watch::channel(false);
        spawn_local(serve(listener, entry, router(fake.handle.clone()), 8, stopped));
        World { net, fake, at, _stop: stop }
    }

    fn client(&self, trust: Trust) -> Client {
        let env = self.fake.handle.inner.env.clone();
        Client::new(env, vec![self.at]).with_deadline_ms(300, 300).trusting(trust)
    }

    /// What comes back for these bytes until the connection ends.
    async fn told(&self, bytes: &[u8]) -> String {
        let mut stream = self.net.connect(self.at).await.expect("it listens");
        stream.write_all(bytes).await.expect("it is open");
        let mut told = Vec::new();
        stream.read_to_end(&mut told).await.expect("it ends");
        String::from_utf8_lossy(&told).into_owned()
    }
}

#[test]
fn without_tls_other_machines_are_told_booleans_only() {
    in_node(async {
        let asked = |path: &str| {
            format!("GET {path} HTTP/1.1\r\nhost: n1\r\nconnection: close\r\n\r\n").into_bytes()
        };
        let cases =
            [(at(10, 1), false, "403"), (at(10, 1), true, "200"), (at(127, 1), false, "200")];
        for (at, is_network_private, expected) in cases {
            let world = World::start(at, Some('a'), is_network_private).await;
            for path in ["/cluster", "/metrics", "/api/v1/kv", "/readyz?verbose"] {
                let told = world.told(&asked(path)).await;
                assert!(told.starts_with(&format!("HTTP/1.1 {expected} ")), "{path}: {told}");
                assert_eq!(told.contains("Q1071"), expected == "403", "{path}: {told}");
                assert!(expected == "200" || !told.contains("quorate-"), "{path}: {told}");
            }
            for path in ["/leader", "/replica", "/health", "/livez", "/readyz", "/api/v3.1/status"]
            {
                let told = world.told(&asked(path)).await;
                assert!(!told.contains("Q1071") && told.starts_with("HTTP/1.1 "), "{path}: {told}");
            }
        }
    });
}

#[test]
fn what_only_looks_like_tls_ends_its_connection_and_nothing_else() {
    in_node(async {
        let world = World::start(at(10, 1), None, false).await;
        for nonsense in [&b"\x16\x03\x01\x00\x05hello"[..], b"\x16GET / HTTP/1.1\r\n\r\n"] {
            assert!(!world.told(nonsense).await.contains("HTTP"));
        }
        let put = world.client(Trust::Pinned(vec![own(1)])).put("a", "1".into()).await;
        assert!(put.is_ok(), "{put:?}");
    });
}

#[test]
fn a_client_is_answered_by_whom_it_trusts_and_sends_nothing_to_others() {
    in_node(async {
        let (a, b) = (secret('a').fingerprint(), secret('b').fingerprint());
        let pinned = |pins: &[Fingerprint]| Trust::Pinned(pins.to_vec());
        let first = || Trust::FirstUse(Seen::default());
        // Where the node is and what its cluster has; whom the client trusts; and what comes of it.
        let table = [
            ("the authority", at(10, 1), Some('a'), pinned(&[a]), ""),
            ("one of two", at(10, 1), Some('a'), pinned(&[b, a]), ""),
            ("the node's own key", at(10, 1), Some('a'), pinned(&[own(1)]), ""),
            ("a node without a secret", at(10, 1), None, pinned(&[own(1)]), ""),
            ("another authority", at(10, 1), Some('a'), pinned(&[b]), "Q1614"),
            ("another node's key", at(10, 1), None, pinned(&[own(2)]), "Q1614"),
            ("nobody", at(10, 1), Some('a'), pinned(&[]), "Q1614"),
            ("whoever comes first", at(10, 1), Some('a'), first(), ""),
            ("nobody, on loopback", at(127, 1), Some('a'), pinned(&[]), ""),
            ("another authority, on loopback", at(127, 1), Some('a'), pinned(&[b]), "Q1614"),
        ];
        for (case, at, letter, trust, expected) in table {
            let world = World::start(at, letter, false).await;
            let put = world.client(trust).put("a", "1".into()).await;
            match expected {
                "" => assert!(put.is_ok(), "{case}: {put:?}"),
                refusal => assert_eq!(code(put), refusal, "{case}"),
            }
        }
    });
}

#[test]
fn who_came_first_is_told_and_another_authority_is_refused_from_then_on() {
    in_node(async {
        let seen = Seen::default();
        let world = World::start(at(10, 1), Some('a'), false).await;
        world.client(Trust::FirstUse(seen.clone())).put("a", "1".into()).await.expect("the first");
        assert_eq!(seen.get(), Some(secret('a').fingerprint()));
        let other = World::start(at(10, 1), Some('b'), false).await;
        let mut client = other.client(Trust::FirstUse(seen));
        assert_eq!(code(client.put("a", "2".into()).await), "Q1614");
        // A list that came from a member says whom to trust, too.
        let list = MemberList {
            cluster_id: "00".repeat(16),
            version: LogIndex(1),
            authority: Some(secret('b').fingerprint()),
            members: Vec::new(),
        };
        let mut client = other.client(Trust::Pinned(Vec::new())).knowing(list);
        client.put("a", "2".into()).await.expect("it is of the list's authority");
    });
}
