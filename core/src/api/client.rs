//! A client of the HTTP paths over the ports: for the command line, the demo, workloads in the
//! simulator, and benches.
//!
//! It asks one address after the other, the next as soon as one is late, until its deadline; the
//! first valid answer wins. Each answer carries the member list, so it finds nodes that it was
//! never told of, and keeps away from another cluster at an old address. A write carries a request
//! id of its own, so repeating it is harmless, and its outcome is one of three: acknowledged
//! (`Ok`), refused with nothing written, or unknown.
//!
//! Invariants
//! - "Refused" is said only if no attempt can have taken effect, or if the log itself refused.
//! - A switchover is sent to a leader at most once.
//!
//! Read next: [`Client`], then `call.rs` for the attempts.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::http::Method;
use bytes::Bytes;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::bodies::{FoundBody, ListBody, TransactionBody, TransactionReplyBody, WriteBody};
use super::call::{Call, Calls, Repeat, Reply};
use super::{
    AGE_HEADER, CREATE_INDEX_HEADER, INDEX_HEADER, LEADER_HEADER, MODIFY_INDEX_HEADER, MemberList,
    Problem, json,
};
use crate::ids::{LogIndex, NodeId, RequestId};
use crate::ports::{Entropy, Env};
use crate::replication::Consistency;
use crate::security::Trust;
use crate::status::Status;

/// Why a call has no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClientError {
    /// A node refused, and nothing was written. Its advice holds.
    #[error("{0}")]
    Refused(Problem),
    /// Retry is safe.
    #[error(
        "Q1611 nobody answered within {waited_ms} ms ({each}); nothing was changed; \
         check that a node runs there"
    )]
    Unreachable {
        /// How long was tried.
        waited_ms: u64,
        /// What each address did.
        each: String,
    },
    /// The write may have taken effect: the one error that must not be repeated with another id.
    #[error(
        "Q1612 the outcome is not known after {waited_ms} ms ({last}); may have taken effect; \
         read it back, or repeat with the same id"
    )]
    OutcomeUnknown {
        /// How long was tried.
        waited_ms: u64,
        /// What the last address said.
        last: String,
    },
    /// Retry does not help. Nothing was sent.
    #[error(
        "Q1614 {detail}; nothing was sent; compare it with what the daemon logs as its \
         fingerprint, and give that"
    )]
    NotTrusted {
        /// Who shows what.
        detail: String,
    },
    /// Something else listens there.
    #[error("Q1613 {detail}; nothing more was sent; check the address")]
    NotQuorate {
        /// What came instead of an answer.
        detail: String,
    },
}

/// An answer, and what it holds for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answered<T> {
    /// The answer.
    pub value: T,
    /// The log index at which it holds.
    pub index: LogIndex,
    /// The leader, such as `n2`, as far as the node knew.
    pub leader: Option<String>,
    /// Of a stale answer: how old it may be.
    pub age_ms: Option<u64>,
}

/// What to list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListOf {
    /// What the keys begin with.
    pub prefix: String,
    /// Only keys after this one.
    pub after: Option<String>,
    /// At most so many; `None` for as many as one answer holds.
    pub limit: Option<u32>,
    /// Whether values are left out.
    pub keys_only: bool,
}

/// One client with one connection, kept open between calls. Use it inside a `LocalSet`.
pub struct Client {
    calls: Calls,
    entropy: Arc<dyn Entropy>,
}

impl Client {
    /// A client that prefers the first address. Panics if there is none.
    pub fn new(env: Env, addresses: Vec<SocketAddr>) -> Client {
        let entropy = env.entropy.clone();
        Client { calls: Calls::new(env, addresses), entropy }
    }

    /// The same with servers that show who they are; without this, whoever answers is believed.
    #[must_use]
    pub fn trusting(mut self, trust: Trust) -> Client {
        self.calls.trust(trust);
        self
    }

    /// The same with what it was told earlier about the members.
    #[must_use]
    pub fn knowing(mut self, list: MemberList) -> Client {
        self.calls.learn(list);
        self
    }

    /// The same, asking as this user.
    #[must_use]
    pub fn with_credentials(mut self, user: &str, password: &str) -> Client {
        self.calls.authorize(user, password);
        self
    }

    /// The newest member list that came with an answer, or that it knew before.
    pub fn members(&self) -> Option<&MemberList> {
        self.calls.list()
    }

    /// How long a call may take with all its attempts (default 10,000 ms, and 2,500 ms if nobody
    /// answers in any way), and how long one attempt (default 2,000 ms). With these set, a call
    /// that nobody answers takes all of its time.
    #[must_use]
    pub fn with_deadline_ms(mut self, call_ms: u64, attempt_ms: u64) -> Client {
        self.set_deadline_ms(call_ms, attempt_ms);
        self
    }

    /// As [`Client::with_deadline_ms`], for the calls to come.
    pub fn set_deadline_ms(&mut self, call_ms: u64, attempt_ms: u64) {
        self.calls.limit_ms(call_ms, attempt_ms);
    }

    /// The address that the next call asks first: the last one that answered. Before that, the
    /// first that was given.
    pub fn address(&self) -> SocketAddr {
        self.calls.address()
    }

    /// What `key` holds; `None` if there is no such key.
    pub async fn get(
        &mut self,
        key: &str,
        consistency: Consistency,
    ) -> Result<Answered<Option<FoundBody>>, ClientError> {
        let path = format!("{}?{}", key_path(key), consistency_param(consistency));
        let reply = self.calls.perform(Call::read(path)).await;
        if let Err((ClientError::Refused(problem), Some(reply))) = &reply
            && problem.code == "Q1106"
        {
            return Ok(answered(reply, None));
        }
        let reply = reply.map_err(|(error, _)| error)?;
        let found = FoundBody {
            value: reply.body.clone(),
            create_index: number(&reply, CREATE_INDEX_HEADER).unwrap_or_default(),
            modify_index: number(&reply, MODIFY_INDEX_HEADER).unwrap_or_default(),
        };
        Ok(answered(&reply, Some(found)))
    }

    /// Keys in byte order; the rest follows after the last one if `has_more`.
    pub async fn list(
        &mut self,
        of: &ListOf,
        consistency: Consistency,
    ) -> Result<Answered<ListBody>, ClientError> {
        let mut path = format!("/api/v1/kv?{}", consistency_param(consistency));
        path += &format!("&prefix={}&keys_only={}", escaped(&of.prefix), of.keys_only);
        if let Some(after) = &of.after {
            path += &format!("&after={}", escaped(after));
        }
        if let Some(limit) = of.limit {
            path += &format!("&limit={limit}");
        }
        self.ask(Call::read(path)).await
    }

    /// Sets a key, whether or not it exists.
    pub async fn put(
        &mut self,
        key: &str,
        value: Bytes,
    ) -> Result<Answered<WriteBody>, ClientError> {
        self.write(Method::PUT, key_path(key), value).await
    }

    /// Removes a key; it is no error if there is none.
    pub async fn delete(&mut self, key: &str) -> Result<Answered<WriteBody>, ClientError> {
        self.write(Method::DELETE, key_path(key), Bytes::new()).await
    }

    /// Sets a key, or removes it for `None`, if its modify index is `expected` (0: no such key).
    pub async fn cas(
        &mut self,
        key: &str,
        expected: LogIndex,
        value: Option<Bytes>,
    ) -> Result<Answered<WriteBody>, ClientError> {
        let path = format!("{}?cas={expected}", key_path(key));
        match value {
            Some(value) => self.write(Method::PUT, path, value).await,
            None => self.write(Method::DELETE, path, Bytes::new()).await,
        }
    }

    /// Several operations, all or none.
    pub async fn txn(
        &mut self,
        transaction: &TransactionBody,
    ) -> Result<Answered<TransactionReplyBody>, ClientError> {
        let body = Bytes::from(json(transaction));
        self.write(Method::POST, "/api/v1/txn".to_owned(), body).await
    }

    /// What the first node that answers knows. To ask a certain node, give the client one address.
    pub async fn status(&mut self) -> Result<Status, ClientError> {
        Ok(self.ask(Call::read("/cluster".to_owned())).await?.value)
    }

    /// What the leader knows; without a leader, what the first node knows that answers.
    pub async fn status_of_leader(&mut self) -> Result<Status, ClientError> {
        let call = Call { repeat: Repeat::ReadOfLeader, ..Call::read("/cluster".to_owned()) };
        Ok(self.ask(call).await?.value)
    }

    /// Hands leadership to `to` (a name or an id), or to whom the leader chooses.
    pub async fn switchover(&mut self, to: Option<&str>) -> Result<NodeId, ClientError> {
        #[derive(Deserialize)]
        struct Body {
            leader: NodeId,
        }
        let to = to.map_or(String::new(), |to| format!("?to={}", escaped(to)));
        let path = format!("/api/v1/leader/switchover{to}");
        let call =
            Call { method: Method::POST, path, body: Bytes::new(), repeat: Repeat::IfRefused };
        Ok(self.ask::<Body>(call).await?.value.leader)
    }

    async fn write<T: DeserializeOwned>(
        &mut self,
        method: Method,
        path: String,
        body: Bytes,
    ) -> Result<Answered<T>, ClientError> {
        let id = self.request_id();
        self.ask(Call { method, path, body, repeat: Repeat::Write(id) }).await
    }

    /// The id of a write that was never sent.
    pub(super) fn request_id(&self) -> RequestId {
        // Not from a forked stream: two clients may fork the same one, and then the second one's
        // write would count as a repeat of the first one's.
        let mut random = [0; 16];
        self.fill("request id", &mut random);
        RequestId(u128::from_be_bytes(random).max(1)) // 0 would be none
    }

    pub(super) fn fill(&self, purpose: &'static str, bytes: &mut [u8]) {
        self.entropy.fill(purpose, bytes);
    }

    /// Asks for what has no body that anybody needs.
    pub(super) async fn answered(&mut self, call: Call) -> Result<(), ClientError> {
        self.calls.perform(call).await.map(drop).map_err(|(error, _)| error)
    }

    pub(super) async fn ask<T: DeserializeOwned>(
        &mut self,
        call: Call,
    ) -> Result<Answered<T>, ClientError> {
        let may_have_written = call.repeat.may_write();
        let reply = self.calls.perform(call).await.map_err(|(error, _)| error)?;
        match serde_json::from_slice(&reply.body) {
            Ok(value) => Ok(answered(&reply, value)),
            Err(error) => {
                let detail = format!("the answer is not in our form ({error})");
                Err(if may_have_written {
                    ClientError::OutcomeUnknown { waited_ms: 0, last: detail }
                } else {
                    ClientError::NotQuorate { detail }
                })
            }
        }
    }
}

fn answered<T>(reply: &Reply, value: T) -> Answered<T> {
    let leader = reply.headers.get(LEADER_HEADER).and_then(|value| value.to_str().ok());
    Answered {
        value,
        index: LogIndex(number(reply, INDEX_HEADER).unwrap_or_default()),
        leader: leader.map(str::to_owned),
        age_ms: number(reply, AGE_HEADER),
    }
}

fn number(reply: &Reply, header: &str) -> Option<u64> {
    reply.headers.get(header)?.to_str().ok()?.parse().ok()
}

fn key_path(key: &str) -> String {
    format!("/api/v1/kv/{}", escaped(key))
}

fn consistency_param(consistency: Consistency) -> &'static str {
    match consistency {
        Consistency::Linearizable => "consistency=linearizable",
        Consistency::Stale => "consistency=stale",
    }
}

/// Percent-encodes all but what is safe in paths and parameters alike.
pub(super) fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' | b'/' => {
                escaped.push(char::from(byte));
            }
            other => escaped += &format!("%{other:02X}"),
        }
    }
    escaped
}
