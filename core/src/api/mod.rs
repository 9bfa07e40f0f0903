//! API: the HTTP edge of a node, without a listener.
//!
//! It parses, sends one message through the node's handle, and words the answer. It decides
//! nothing about the cluster, keeps no state but counts, and never retries.
//!
//! Invariants
//! - An outcome that is not known is answered with 504 and `Q1002`, never as a failure.
//! - `/leader` is 200 only while the node may act at that very moment, by its clock.
//! - Every refusal is JSON with a code, what happened, what changed and what to do.
//!
//! Read next: [`router`] for the paths, `key_value.rs` and `health.rs` for the handlers, `serve.rs`
//! for the accept loop.

mod bodies;
mod call;
mod client;
mod error;
pub(crate) mod guard;
mod health;
mod joining;
mod key_value;
mod members;
mod metrics;
mod orders;
mod race;
mod request;
mod serve;
#[cfg(test)]
mod tests;
mod users;
pub(crate) mod waiting;

pub use bodies::{
    CheckBody, FoundBody, KeyBody, ListBody, OperationBody, OperationReplyBody, TransactionBody,
    TransactionReplyBody, WriteBody,
};
pub use client::{Answered, Client, ClientError, ListOf};
pub use error::{ApiError, Problem};
pub use members::{MemberList, MemberPlace};
pub use orders::{
    AdmittedBody, InviteBody, InvitedBody, JoinBody, MemberBody, OrderedBody, StartBody, TokenBody,
    TokensBody,
};
pub(crate) use serve::{Entry, serve};
pub use users::{PutUserBody, UserBody, UsersBody};

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{Method, Uri};
use axum::middleware::{Next, from_fn, from_fn_with_state, map_response_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get, post};

use crate::node::NodeHandle;

/// The largest request body in bytes: the largest transaction as base64, and its keys.
pub const BODY_SIZE_BYTES_MAX: usize = 3 << 19;
/// Header of a write: 32 hex digits, not all zero, that make repeating it harmless.
pub const REQUEST_ID_HEADER: &str = "quorate-request-id";
/// Header of an answer: the log index at which it holds.
pub const INDEX_HEADER: &str = "quorate-index";
/// Header of an answer: the id of the leader, such as `n2`, as far as the node knows.
pub const LEADER_HEADER: &str = "quorate-leader";
/// Header of a request: the id of the cluster that it is for. A node of another one refuses it.
pub const CLUSTER_HEADER: &str = "quorate-cluster";
/// Header of an answer, but for those that need no credentials: the members, as JSON of
/// [`MemberList`].
pub const MEMBERS_HEADER: &str = "quorate-members";
/// Header of a key's value: the entry that set it.
pub const MODIFY_INDEX_HEADER: &str = "quorate-modify-index";
/// Header of a key's value: the entry that made the key.
pub const CREATE_INDEX_HEADER: &str = "quorate-create-index";
/// Header of a stale answer: how old it may be, in milliseconds.
pub const AGE_HEADER: &str = "quorate-age-ms";

pub(crate) use request::json;

pub use guard::EntryError;

/// What the handlers share.
pub(crate) struct Api {
    pub(crate) node: NodeHandle,
    pub(crate) answered: metrics::AnswerCounts,
    /// The cluster's id, 32 hex digits, as requests name it.
    cluster_id: String,
    members: members::MembersHeader,
    /// Who asks callers for their passwords; `None` if nobody does.
    guard: Option<Arc<guard::Guard>>,
}

/// All paths of one node. The key-value paths expect its machine to be a
/// [`KeyValue`](crate::key_value::KeyValue).
pub fn router(node: NodeHandle) -> Router {
    let (answered, members) = Default::default();
    let cluster_id = node.cluster().to_string();
    let guard = guard::Guard::of(&node);
    let api = Arc::new(Api { node, answered, cluster_id, members, guard: guard.clone() });
    // Whoever asks these needs no credentials, and is told a boolean only.
    let probes = Router::new()
        .route("/livez", get(health::livez))
        .route("/health", any(health::health))
        .route("/leader", any(health::leader))
        .route("/replica", any(health::replica))
        .route("/api/v3.1/status", any(health::original_status))
        .method_not_allowed_fallback(wrong_method);
    // As those, unless it is asked for more; and it says whether this is the cluster that is meant.
    let ready = Router::new()
        .route("/readyz", get(health::readyz))
        .method_not_allowed_fallback(wrong_method);
    let key = get(key_value::read).put(key_value::put).delete(key_value::delete);
    Router::new()
        .route("/cluster", get(health::cluster))
        .route("/metrics", get(metrics::metrics))
        .route("/api/v1/kv", get(key_value::list))
        .route("/api/v1/kv/", key.clone())
        .route("/api/v1/kv/{*key}", key)
        .route("/api/v1/txn", post(key_value::transact))
        .route("/api/v1/leader/switchover", post(health::switchover))
        .merge(joining::routes())
        .merge(users::routes())
        .method_not_allowed_fallback(wrong_method)
        .fallback(unknown_path)
        .layer(map_response_with_state(api.clone(), tell_members))
        .layer(from_fn_with_state(guard, guard::ask))
        .merge(ready)
        .layer(from_fn_with_state(api.clone(), check_cluster))
        .layer(from_fn(check_protected))
        .merge(probes)
        .layer(map_response_with_state(api.clone(), count))
        .with_state(api)
}

async fn unknown_path(uri: Uri) -> ApiError {
    ApiError::UnknownPath { path: uri.path().to_owned() }
}

async fn wrong_method(method: Method, uri: Uri) -> ApiError {
    ApiError::WrongMethod { method: method.to_string(), path: uri.path().to_owned() }
}

/// What others could read or change on its way is neither told nor taken.
async fn check_protected(request: Request, next: Next) -> Response {
    // Who serves the router by a listener of his own says nothing, and answers for it.
    let is_boolean = request.uri() == "/readyz";
    match request.extensions().get::<serve::Peer>() {
        Some(peer) if !peer.is_protected && !is_boolean => ApiError::NotProtected.into_response(),
        Some(_) | None => next.run(request).await,
    }
}

/// At an old address there may be a node of another cluster by now.
async fn check_cluster(State(api): State<Arc<Api>>, request: Request, next: Next) -> Response {
    let Some(meant) = request.headers().get(CLUSTER_HEADER) else {
        return next.run(request).await;
    };
    if meant.as_bytes() == api.cluster_id.as_bytes() {
        return next.run(request).await;
    }
    let meant = String::from_utf8_lossy(meant.as_bytes()).into_owned();
    ApiError::OtherCluster { meant }.into_response()
}

async fn tell_members(State(api): State<Arc<Api>>, mut response: Response) -> Response {
    if let Some(members) = api.members.of(&api.node) {
        response.headers_mut().insert(MEMBERS_HEADER, members);
    }
    response
}

async fn count(State(api): State<Arc<Api>>, response: Response) -> Response {
    api.answered.note(response.status());
    response
}
