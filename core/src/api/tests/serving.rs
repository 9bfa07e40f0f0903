//! The accept loop, spoken to in bytes over pipes.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use ed25519_dalek::SigningKey;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::{JoinHandle, spawn_local};
use tokio::time::timeout;

use super::fake::{Fake, Pipes};
use super::in_node;
use crate::api::{Entry, router, serve};
use crate::ports::{Net, Stream};
use crate::security::Edge;
use crate::watch;

const SOON: Duration = Duration::from_secs(5);
const NOT_YET: Duration = Duration::from_millis(50);

struct Served {
    fake: Fake,
    net: Arc<Pipes>,
    at: SocketAddr,
    stop: watch::Sender<bool>,
    ended: JoinHandle<()>,
}

impl Served {
    async fn start(connections_count_max: usize) -> Served {
        let net = Arc::new(Pipes::default());
        let fake = Fake::start(net.clone());
        let at = SocketAddr::from(([127, 0, 0, 1], 8500));
        let listener = net.listen(at).await.expect("nobody listens there");
        let (stop, stopped) = watch::channel(false);
        let router = router(fake.handle.clone());
        let entry = entry(&fake);
        let ended = spawn_local(serve(listener, entry, router, connections_count_max, stopped));
        Served { fake, net, at, stop, ended }
    }

    async fn connect(&self) -> Box<dyn Stream> {
        self.net.connect(self.at).await.expect("it listens")
    }
}

/// As a node lets people in that has no secret.
pub(super) fn entry(fake: &Fake) -> Entry {
    let (key, inner) = (SigningKey::from_bytes(&[1; 32]), &fake.handle.inner);
    let edge = Edge::new(None, &key, inner.place.address, &inner.env);
    Entry::new(edge, false)
}

async fn say(stream: &mut Box<dyn Stream>, text: &str) {
    stream.write_all(text.as_bytes()).await.expect("open");
}

/// Reads until `end` has come.
async fn hear(stream: &mut Box<dyn Stream>, end: &str) -> String {
    let mut heard = Vec::new();
    let reading = async {
        while !heard.ends_with(end.as_bytes()) {
            heard.push(stream.read_u8().await.expect("more was expected"));
        }
    };
    timeout(SOON, reading).await.expect("an answer");
    String::from_utf8(heard).expect("text")
}

async fn rest(stream: &mut Box<dyn Stream>) -> String {
    let mut heard = String::new();
    let reading = stream.read_to_string(&mut heard);
    timeout(SOON, reading).await.expect("the connection is closed").expect("text");
    heard
}

const LEADER: &str = "GET /leader HTTP/1.1\r\nhost: n1\r\n\r\n";

#[test]
fn a_connection_serves_many_requests_and_shows_no_date() {
    in_node(async {
        let served = Served::start(8).await;
        let mut stream = served.connect().await;
        let put = "PUT /api/v1/kv/a HTTP/1.1\r\nhost: n1\r\ncontent-length: 4\r\n\r\nblue";
        say(&mut stream, put).await;
        let answer = hear(&mut stream, "}").await.to_lowercase();
        assert!(answer.starts_with("http/1.1 200 ok\r\n"), "{answer}");
        assert!(answer.contains("quorate-index: 1\r\n"), "{answer}");
        assert!(!answer.contains("date:"), "{answer}");
        // Two requests at once are answered in their order.
        let get = "GET /api/v1/kv/a HTTP/1.1\r\nhost: n1\r\n\r\n";
        say(&mut stream, &format!("{get}{LEADER}")).await;
        assert!(hear(&mut stream, "blue").await.contains("200 OK"));
        assert!(hear(&mut stream, "}").await.contains("503 Service Unavailable"));
    });
}

#[test]
fn nonsense_and_huge_heads_end_the_connection_and_nothing_else() {
    in_node(async {
        let served = Served::start(8).await;
        let huge = format!("GET /leader HTTP/1.1\r\nx: {}\r\n\r\n", "x".repeat(80 << 10));
        let many = "x: y\r\n".repeat(65);
        let many = format!("GET /leader HTTP/1.1\r\n{many}\r\n");
        for (nonsense, expected) in [
            ("\u{1}\u{3}\u{1} not HTTP\r\n\r\n", "HTTP/1.1 400"),
            (huge.as_str(), "HTTP/1.1 431"),
            (many.as_str(), "HTTP/1.1 431"),
        ] {
            let mut stream = served.connect().await;
            // The far end may close before everything is written.
            let _ = timeout(SOON, stream.write_all(nonsense.as_bytes())).await.expect("no hang");
            let answer = rest(&mut stream).await;
            assert!(answer.starts_with(expected), "{answer}");
        }
        let mut stream = served.connect().await;
        say(&mut stream, LEADER).await;
        hear(&mut stream, "}").await;
    });
}

#[test]
fn a_connection_beyond_the_limit_waits_its_turn() {
    in_node(async {
        let served = Served::start(1).await;
        let mut first = served.connect().await;
        say(&mut first, LEADER).await;
        hear(&mut first, "}").await;
        let mut second = served.connect().await;
        say(&mut second, LEADER).await;
        assert!(timeout(NOT_YET, second.read_u8()).await.is_err(), "served beyond the limit");
        drop(first);
        hear(&mut second, "}").await;
    });
}

#[test]
fn the_end_answers_what_was_begun_and_closes_the_rest() {
    in_node(async {
        let served = Served::start(8).await;
        let mut idle = served.connect().await;
        say(&mut idle, LEADER).await;
        hear(&mut idle, "}").await;
        served.fake.plan.borrow_mut().read_delay_ms = 100;
        let mut busy = served.connect().await;
        say(&mut busy, "GET /api/v1/kv?keys_only HTTP/1.1\r\nhost: n1\r\n\r\n").await;
        assert!(timeout(NOT_YET, busy.read_u8()).await.is_err(), "the read takes 100 ms");

        served.stop.send_replace(true);
        assert_eq!(rest(&mut idle).await, "");
        assert!(rest(&mut busy).await.contains("200 OK"));
        timeout(SOON, served.ended).await.expect("serve returns").expect("without a panic");
        assert!(served.net.connect(served.at).await.is_err(), "nobody listens any more");
    });
}

#[test]
fn the_end_does_not_wait_for_ever() {
    in_node(async {
        let served = Served::start(8).await;
        served.fake.plan.borrow_mut().read_delay_ms = 60_000;
        let mut busy = served.connect().await;
        say(&mut busy, "GET /api/v1/kv/a HTTP/1.1\r\nhost: n1\r\n\r\n").await;
        assert!(timeout(NOT_YET, busy.read_u8()).await.is_err(), "the read takes a minute");
        drop(served.stop); // as good as an order
        timeout(SOON, served.ended).await.expect("serve returns").expect("without a panic");
        assert_eq!(rest(&mut busy).await, "");
    });
}
