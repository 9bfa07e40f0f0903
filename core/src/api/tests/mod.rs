//! The paths as tables, against a fake node, in process and through the accept loop.

mod admission;
mod client;
mod fake;
mod race;
mod secure;
mod serving;

use std::future::Future;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Request, StatusCode};
use axum::response::IntoResponse;
use bytes::Bytes;
use tower::ServiceExt;

use self::fake::{Fake, follows, leads_until};
use super::*;
use crate::codec::CodecError;
use crate::error::{ReadError, SwitchoverError, WriteError};
use crate::ids::{LogIndex, NodeId};
use crate::key_value::{KeyValueError, VALUE_SIZE_BYTES_MAX};
use crate::ports::Now;
use crate::status::Status;

/// Runs a test as a node runs: on one thread, in a `LocalSet`.
pub(super) fn in_node(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
    tokio::task::LocalSet::new().block_on(&runtime.expect("a runtime"), test);
}

/// A fake node and its router.
struct Edge {
    fake: Fake,
    router: Router,
}

struct Got {
    status: u16,
    headers: HeaderMap,
    body: Bytes,
}

impl Got {
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().expect("text"))
    }

    /// The status, and the code of a refusal or the body.
    fn shown(&self) -> String {
        let problem = serde_json::from_slice::<Problem>(&self.body).map(|problem| problem.code);
        let text = problem.unwrap_or_else(|_| String::from_utf8_lossy(&self.body).into_owned());
        format!("{} {text}", self.status)
    }
}

impl Edge {
    fn start() -> Edge {
        let fake = Fake::start(Default::default());
        let router = router(fake.handle.clone());
        Edge { fake, router }
    }

    async fn send(&self, request: Request<Body>) -> Got {
        let response = self.router.clone().oneshot(request).await.expect("never fails");
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let body = axum::body::to_bytes(response.into_body(), usize::MAX).await.expect("in memory");
        Got { status, headers, body }
    }

    async fn ask(&self, method: &str, path: &str, body: impl Into<Body>) -> Got {
        let request = Request::builder().method(method).uri(path).body(body.into());
        self.send(request.expect("a request")).await
    }

    async fn check(&self, request: &str, body: impl Into<Body>, expected: &str) {
        let (method, path) = request.split_once(' ').expect("method and path");
        assert_eq!(self.ask(method, path, body).await.shown(), expected, "{request}");
    }
}

#[test]
fn a_key_is_put_read_compared_and_deleted() {
    in_node(async {
        let edge = Edge::start();
        let put = r#"200 {"index":1,"create_index":1,"modify_index":1}"#;
        edge.check("PUT /api/v1/kv/colour", "blue", put).await;
        edge.check("GET /api/v1/kv/colour", "", "200 blue").await;
        edge.check("PUT /api/v1/kv/colour?cas=0", "red", "409 Q1105").await;
        let put = r#"200 {"index":3,"create_index":1,"modify_index":3}"#;
        edge.check("PUT /api/v1/kv/colour?cas=1", "red", put).await;
        edge.check("HEAD /api/v1/kv/colour", "", "200 ").await;
        edge.check("DELETE /api/v1/kv/colour?cas=1", "", "409 Q1105").await;
        edge.check("DELETE /api/v1/kv/colour?cas=3", "", r#"200 {"index":5,"existed":true}"#).await;
        edge.check("DELETE /api/v1/kv/colour", "", r#"200 {"index":6,"existed":false}"#).await;
        edge.check("GET /api/v1/kv/colour", "", "404 Q1106").await;
        edge.check(
            "PUT /api/v1/kv/empty",
            "",
            r#"200 {"index":7,"create_index":7,"modify_index":7}"#,
        )
        .await;
        edge.check("GET /api/v1/kv/empty", "", "200 ").await;
    });
}

#[test]
fn every_reply_says_at_which_index_it_holds_and_who_leads() {
    in_node(async {
        let edge = Edge::start();
        let facts = |got: &Got| {
            let names = [INDEX_HEADER, LEADER_HEADER, CREATE_INDEX_HEADER, MODIFY_INDEX_HEADER];
            names.map(|name| got.header(name).to_owned()).join(" ") + " " + got.header(AGE_HEADER)
        };
        let ask = |method, path| edge.ask(method, path, "v");
        assert_eq!(facts(&ask("PUT", "/api/v1/kv/a").await), "1 n2   ");
        assert_eq!(facts(&ask("PUT", "/api/v1/kv/a").await), "2 n2   ");
        assert_eq!(facts(&ask("PUT", "/api/v1/kv/a?cas=9").await), "3 n2   ");
        assert_eq!(facts(&ask("GET", "/api/v1/kv/a").await), "3 n2 1 2 ");
        assert_eq!(facts(&ask("HEAD", "/api/v1/kv/a").await), "3 n2 1 2 ");
        assert_eq!(facts(&ask("GET", "/api/v1/kv/a?consistency=stale").await), "3 n2 1 2 7");
        assert_eq!(facts(&ask("GET", "/api/v1/kv/b?consistency=stale").await), "3 n2   7");
        assert_eq!(facts(&ask("GET", "/api/v1/kv?consistency=stale").await), "3 n2   7");
        assert_eq!(facts(&ask("DELETE", "/api/v1/kv/a").await), "4 n2   ");

        let (this, leader) = (NodeId(1), NodeId(3));
        edge.fake.plan.borrow_mut().write_error = Some(WriteError::NotLeader { this, leader });
        assert_eq!(ask("PUT", "/api/v1/kv/a").await.header(LEADER_HEADER), "n3");
    });
}

#[test]
fn keys_keep_every_character() {
    in_node(async {
        let edge = Edge::start();
        for (path, key) in [
            ("etc/hosts", "etc/hosts"),
            ("/etc//hosts/", "/etc//hosts/"),
            ("a%2Fb", "a/b"),
            ("a+b%20c%2b", "a+b c+"),
            ("caf%C3%A9", "café"),
            ("%00", "\0"),
            ("a;b=c", "a;b=c"),
            ("100%25", "100%"),
        ] {
            let put = edge.ask("PUT", &format!("/api/v1/kv/{path}"), key.as_bytes().to_vec()).await;
            assert_eq!(put.status, 200, "{path}");
            let listed = edge.ask("GET", "/api/v1/kv?keys_only", "").await;
            let listed: ListBody = serde_json::from_slice(&listed.body).expect("a list");
            assert_eq!(listed.keys[0].key, key);
            let gone = edge.ask("DELETE", &format!("/api/v1/kv/{path}"), "").await;
            assert!(gone.shown().contains(r#""existed":true"#), "{path}");
        }
    });
}

#[test]
fn bad_requests_are_refused_with_their_code() {
    in_node(async {
        let edge = Edge::start();
        let long_key = format!("PUT /api/v1/kv/{}", "k".repeat(1_025));
        for (request, expected) in [
            ("GET /", "404 Q1601"),
            ("GET /api/v2/kv/a", "404 Q1601"),
            ("POST /api/v1/kv/a", "405 Q1602"),
            ("DELETE /cluster", "405 Q1602"),
            ("POST /leader", "405 Q1602"),
            ("GET /api/v1/kv/", "400 Q1101"),
            (&long_key, "400 Q1101"),
            ("PUT /api/v1/kv/%ff", "400 Q1103"),
            ("GET /api/v1/kv/caf%e9", "400 Q1103"),
            ("GET /api/v1/kv?prefix=%ff", "400 Q1103"),
            ("GET /api/v1/kv/%f", "400 Q1603"),
            ("GET /api/v1/kv/%+1", "400 Q1603"),
            ("PUT /api/v1/kv/a?cas=x", "400 Q1603"),
            ("PUT /api/v1/kv/a?cas=-1", "400 Q1603"),
            ("PUT /api/v1/kv/a?Cas=1", "400 Q1603"),
            ("PUT /api/v1/kv/a?cas=1&cas=2", "400 Q1603"),
            ("GET /api/v1/kv/a?consistency=fresh", "400 Q1603"),
            ("GET /api/v1/kv?limit=0", "400 Q1109"),
            ("GET /api/v1/kv?limit=5000000000", "400 Q1109"),
            ("GET /api/v1/kv?keys_only=maybe", "400 Q1603"),
            ("POST /api/v1/txn", "400 Q1603"),
            ("POST /api/v1/leader/switchover?to=gamma", "400 Q1607"),
            ("POST /api/v1/leader/switchover?too=n2", "400 Q1603"),
        ] {
            edge.check(request, "", expected).await;
        }
        for id in ["", "1", &"0".repeat(32), &"g".repeat(32), &format!("+{}", "1".repeat(31))] {
            let request = Request::put("/api/v1/kv/a").header(REQUEST_ID_HEADER, id);
            let got = edge.send(request.body(Body::empty()).expect("a request")).await;
            assert_eq!(got.shown(), "400 Q1603", "{id:?}");
        }
        edge.check("GET /api/v1/kv?keys_only", "", r#"200 {"index":0,"keys":[],"has_more":false}"#)
            .await; // nothing was written
        let allowed = edge.ask("DELETE", "/cluster", "").await;
        assert_eq!(allowed.header("allow"), "GET,HEAD");
    });
}

#[test]
fn what_is_too_large_is_refused_announced_or_not() {
    in_node(async {
        let edge = Edge::start();
        let value = |size: usize| Body::from(vec![b'v'; size]);
        let streamed = |size: usize| {
            let chunk = Bytes::from(vec![b'v'; size / 4]);
            let chunks = std::iter::repeat_n(chunk, 4).map(Ok::<_, std::io::Error>);
            Body::from_stream(futures_util::stream::iter(chunks))
        };
        let put = "PUT /api/v1/kv/a";
        edge.check(put, value(VALUE_SIZE_BYTES_MAX + 1), "413 Q1102").await;
        edge.check(put, streamed(VALUE_SIZE_BYTES_MAX + 4), "413 Q1102").await;
        edge.check(put, streamed(BODY_SIZE_BYTES_MAX + 4), "413 Q1604").await;
        edge.check("POST /api/v1/txn", value(BODY_SIZE_BYTES_MAX + 1), "413 Q1604").await;
        let request = Request::put("/api/v1/kv/a").header("content-length", "99999999999");
        let got = edge.send(request.body(Body::empty()).expect("a request")).await;
        assert_eq!(got.shown(), "413 Q1102"); // without reading it
        assert_eq!(edge.ask("PUT", "/api/v1/kv/a", value(VALUE_SIZE_BYTES_MAX)).await.status, 200);
        let got = edge.ask("GET", "/api/v1/kv/a", "").await;
        assert_eq!(got.body.len(), VALUE_SIZE_BYTES_MAX);

        let puts = vec![OperationBody::Put { key: "k".to_owned(), value: got.body }; 2];
        let body = TransactionBody { checks: vec![], operations: puts };
        edge.check("POST /api/v1/txn", serde_json::to_vec(&body).expect("JSON"), "413 Q1104").await;
    });
}

#[test]
fn a_repeated_request_id_is_applied_once() {
    in_node(async {
        let edge = Edge::start();
        let id = "0123456789abcdef0123456789ABCDEF";
        for _ in 0..2 {
            let request = Request::put("/api/v1/kv/a?cas=0").header(REQUEST_ID_HEADER, id);
            let got = edge.send(request.body(Body::from("v")).expect("a request")).await;
            assert_eq!(got.shown(), r#"200 {"index":1,"create_index":1,"modify_index":1}"#);
        }
    });
}

#[test]
fn lists_and_transactions_speak_base64() {
    in_node(async {
        let edge = Edge::start();
        let body = r#"{"operations":[{"put":{"key":"b","value":"/wA="}},{"get":{"key":"b"}},
            {"get":{"key":"x"}},{"delete":{"key":"x"}},{"put":{"key":"a","value":""}}]}"#;
        let done = r#"200 {"index":1,"results":[{"put":{"create_index":1,"modify_index":1}},
            {"get":{"value":"/wA=","create_index":1,"modify_index":1}},{"get":null},
            {"delete":{"existed":false}},{"put":{"create_index":1,"modify_index":1}}]}"#;
        edge.check("POST /api/v1/txn", body, &done.replace("\n            ", "")).await;
        assert_eq!(&edge.ask("GET", "/api/v1/kv/b", "").await.body[..], [255, 0]);
        let refused = r#"{"checks":[{"key":"b","modify_index":0}],"operations":[]}"#;
        edge.check("POST /api/v1/txn", refused, "409 Q1105").await;
        let misspelt = r#"{"check":[{"key":"b","modify_index":0}],"operations":[]}"#;
        edge.check("POST /api/v1/txn", misspelt, "400 Q1603").await;
        let one = concat!(
            r#"200 {"index":2,"keys":[{"key":"a","value":"","create_index":1,"modify_index":1}],"#,
            r#""has_more":true}"#
        );
        edge.check("GET /api/v1/kv?limit=1", "", one).await;
        let rest = concat!(
            r#"200 {"index":2,"age_ms":7,"#,
            r#""keys":[{"key":"b","create_index":1,"modify_index":1}],"has_more":false}"#
        );
        edge.check("GET /api/v1/kv?after=a&keys_only=true&consistency=stale", "", rest).await;
    });
}

#[test]
fn leader_and_replica_answer_by_the_clock_of_this_moment() {
    in_node(async {
        let edge = Edge::start();
        let check = async |expected: [u16; 2]| {
            for method in ["GET", "HEAD", "OPTIONS"] {
                let leader = edge.ask(method, "/leader", "").await;
                let replica = edge.ask(method, "/replica", "").await;
                assert_eq!([leader.status, replica.status], expected, "{method}");
                let body = if method == "GET" {
                    format!(r#"{{"leader":{}}}"#, leader.status == 200)
                } else {
                    String::new()
                };
                assert_eq!(leader.body, body);
            }
        };
        check([503, 200]).await; // follows n2
        edge.fake.leadership.send_replace(follows(None));
        check([503, 503]).await;
        edge.fake.leadership.send_replace(leads_until(Now::from_ms(235)));
        edge.fake.clock.set_ms(234);
        check([200, 503]).await;
        edge.fake.clock.set_ms(235); // nobody told the node that its lease is over
        check([503, 503]).await;
        let asked_count = edge.fake.plan.borrow().status_asked_count;
        assert_eq!(asked_count, 3, "only while another one is elected"); // once a method
    });
}

#[test]
fn the_status_of_the_original_is_400_where_leader_is_503() {
    in_node(async {
        let edge = Edge::start();
        let check = async |status: u16, leads: bool| {
            let path = "/api/v3.1/status";
            edge.check(&format!("GET {path}"), "", &format!(r#"{status} {{"leader":{leads}}}"#))
                .await;
            edge.check(&format!("HEAD {path}"), "", &format!("{status} ")).await;
            edge.check(&format!("OPTIONS {path}"), "", &format!("{status} ")).await;
            let refused = edge.ask("POST", path, "").await;
            assert_eq!(refused.shown(), "405 Q1602"); // whoever leads
            assert_eq!(refused.header("allow"), "GET,HEAD,OPTIONS");
        };
        check(400, false).await; // follows n2
        edge.fake.leadership.send_replace(leads_until(Now::from_ms(235)));
        edge.fake.clock.set_ms(234);
        check(200, true).await;
        edge.fake.clock.set_ms(235);
        check(400, false).await;
    });
}

#[test]
fn probes_and_status_tell_what_the_node_knows() {
    in_node(async {
        let edge = Edge::start();
        edge.check("GET /livez", "", "200 ok\n").await;
        let ready = "200 [+]node ok\n[+]membership ok\n[+]leader ok\nready\n";
        edge.check("GET /readyz?verbose", "", ready).await;
        edge.check("GET /health", "", r#"200 {"healthy":true}"#).await;
        let status: Status =
            serde_json::from_slice(&edge.ask("GET", "/cluster", "").await.body).expect("a status");
        let view = status.members[1].view.as_ref().expect("gossip saw it");
        assert_eq!(
            (view.value.as_str(), view.age_ms, view.source.as_str()),
            ("alive", 40, "gossip")
        );

        edge.fake.plan.borrow_mut().has_no_leader = true;
        edge.check("GET /livez", "", "200 ok\n").await; // a restart would not help
        edge.check("GET /readyz", "", "503 not ready\n").await;
        edge.check("HEAD /health", "", "503 ").await;
    });
}

#[test]
fn metrics_count_answers_and_show_the_nodes_figures() {
    in_node(async {
        let edge = Edge::start();
        edge.ask("PUT", "/api/v1/kv/a", "v").await;
        edge.ask("GET", "/nowhere", "").await;
        let text = edge.ask("GET", "/metrics", "").await.body;
        let text = std::str::from_utf8(&text).expect("text");
        for line in [
            "quorate_http_requests_total{status=\"2xx\"} 1",
            "quorate_http_requests_total{status=\"4xx\"} 1",
            "quorate_commit_index 1",
            "quorate_has_leader 1",
            "quorate_acting 0",
            "quorate_writes_waiting 4",
            "quorate_elections_total 3",
            "# EOF",
        ] {
            assert!(text.lines().any(|present| present == line), "{line} is not in\n{text}");
        }
        let other = Edge::start().ask("GET", "/metrics", "").await.body;
        let none = "quorate_http_requests_total{status=\"2xx\"} 0";
        assert!(String::from_utf8_lossy(&other).contains(none), "another node counts for itself");
    });
}

#[test]
fn switchover_takes_a_name_an_id_or_nobody() {
    in_node(async {
        let edge = Edge::start();
        for (to, asked) in [("", None), ("?to=beta", Some(NodeId(2))), ("?to=n1", Some(NodeId(1)))]
        {
            let path = format!("POST /api/v1/leader/switchover{to}");
            edge.check(&path, "", r#"200 {"leader":2}"#).await;
            assert_eq!(edge.fake.plan.borrow_mut().asked_to.take(), Some(asked), "{to}");
        }
    });
}

fn all_errors() -> Vec<(ApiError, u16, &'static str)> {
    let (this, leader, to, waited_ms) = (NodeId(1), NodeId(2), NodeId(3), 5_000);
    let (waiting_count, size_bytes, limit_bytes) = (9, 10, 8);
    let text = || "a; b".to_owned();
    let (expected, present) = (LogIndex(1), LogIndex(2));
    let source = CodecError::Magic(0);
    let operations_count = 65;
    vec![
        (WriteError::NotLeader { this, leader }.into(), 503, "Q1001"),
        (WriteError::OutcomeUnknown { waited_ms }.into(), 504, "Q1002"),
        (WriteError::NoLeader { this }.into(), 503, "Q1003"),
        (WriteError::Overloaded { waiting_count }.into(), 503, "Q1004"),
        (WriteError::TooLarge { size_bytes, limit_bytes }.into(), 413, "Q1005"),
        (WriteError::Stopping { this }.into(), 503, "Q1006"),
        (WriteError::HandingOver.into(), 503, "Q1007"),
        (ReadError::NotConfirmed { waited_ms }.into(), 503, "Q1011"),
        (ReadError::NoLeader { this }.into(), 503, "Q1012"),
        (ReadError::Stopping { this }.into(), 503, "Q1013"),
        (ReadError::Overloaded { waiting_count }.into(), 503, "Q1014"),
        (SwitchoverError::NotLeader { this }.into(), 503, "Q1021"),
        (SwitchoverError::Unfit { to }.into(), 409, "Q1022"),
        (SwitchoverError::Behind { to, waited_ms }.into(), 409, "Q1023"),
        (SwitchoverError::NotTaken { to }.into(), 504, "Q1024"),
        (SwitchoverError::UnderWay.into(), 503, "Q1025"),
        (KeyValueError::KeySize { size_bytes }.into(), 400, "Q1101"),
        (KeyValueError::ValueTooLarge { size_bytes }.into(), 413, "Q1102"),
        (KeyValueError::KeyNotUtf8 { valid_size_bytes: 3 }.into(), 400, "Q1103"),
        (KeyValueError::TransactionTooLarge { operations_count, size_bytes }.into(), 413, "Q1104"),
        (KeyValueError::CompareFailed { key: text(), expected, present }.into(), 409, "Q1105"),
        (KeyValueError::NoSuchKey { key: text() }.into(), 404, "Q1106"),
        (KeyValueError::Malformed.into(), 400, "Q1107"),
        (KeyValueError::AnswerTooLarge { size_bytes }.into(), 413, "Q1108"),
        (KeyValueError::ListLimit { limit: 0 }.into(), 400, "Q1109"),
        (ApiError::UnknownPath { path: text() }, 404, "Q1601"),
        (ApiError::WrongMethod { method: text(), path: text() }, 405, "Q1602"),
        (ApiError::Malformed { detail: text() }, 400, "Q1603"),
        (ApiError::BodyTooLarge, 413, "Q1604"),
        (ApiError::BodyTimeout { waited_ms }, 408, "Q1605"),
        (ApiError::NoStatus { this }, 503, "Q1606"),
        (ApiError::NoSuchMember { to: text() }, 400, "Q1607"),
        (ApiError::Reply { source }, 500, "Q1608"),
    ]
}

#[test]
fn every_error_has_its_status_its_code_and_three_parts() {
    in_node(async {
        for (error, status, code) in all_errors() {
            let text = error.to_string();
            let response = error.into_response();
            assert_eq!(
                response.status(),
                StatusCode::from_u16(status).expect("a status"),
                "{text}"
            );
            assert_eq!(response.headers()["content-type"], "application/json");
            let body = axum::body::to_bytes(response.into_body(), 4_096).await.expect("in memory");
            let problem: Problem = serde_json::from_slice(&body).expect("a problem");
            let Problem { code: found, message, changed, advice } = problem;
            assert_eq!(found, code, "{text}");
            assert_eq!(format!("{code} {message}; {changed}; {advice}"), text);
            assert!(!changed.is_empty() && !advice.is_empty() && !message.is_empty(), "{text}");
            assert!(status != 504 || !text.contains("fail"), "an unknown outcome is no failure");
        }
    });
}

#[test]
fn what_the_node_refuses_reaches_the_client() {
    in_node(async {
        let edge = Edge::start();
        for (error, status, code) in all_errors() {
            let path = match error {
                ApiError::Write(error) => {
                    edge.fake.plan.borrow_mut().write_error = Some(error);
                    "PUT /api/v1/kv/a"
                }
                ApiError::Read(error) => {
                    edge.fake.plan.borrow_mut().read_error = Some(error);
                    "GET /api/v1/kv/a"
                }
                ApiError::Switchover(error) => {
                    edge.fake.plan.borrow_mut().switchover = Some(Err(error));
                    "POST /api/v1/leader/switchover"
                }
                _ => continue, // not the node's
            };
            edge.check(path, "", &format!("{status} {code}")).await;
        }
    });
}
