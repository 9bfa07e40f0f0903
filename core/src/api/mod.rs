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
mod health;
mod key_value;
mod metrics;
mod request;
mod serve;
#[cfg(test)]
mod tests;

pub use bodies::{
    CheckBody, FoundBody, KeyBody, ListBody, OperationBody, OperationReplyBody, TransactionBody,
    TransactionReplyBody, WriteBody,
};
pub use client::{Answered, Client, ClientError, ListOf};
pub use error::{ApiError, Problem};
pub(crate) use serve::serve;

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{Method, Uri};
use axum::middleware::map_response_with_state;
use axum::response::Response;
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
/// Header of a key's value: the entry that set it.
pub const MODIFY_INDEX_HEADER: &str = "quorate-modify-index";
/// Header of a key's value: the entry that made the key.
pub const CREATE_INDEX_HEADER: &str = "quorate-create-index";
/// Header of a stale answer: how old it may be, in milliseconds.
pub const AGE_HEADER: &str = "quorate-age-ms";

pub(crate) use request::json;

/// What the handlers share.
pub(crate) struct Api {
    pub(crate) node: NodeHandle,
    pub(crate) answered: metrics::AnswerCounts,
}

/// All paths of one node. The key-value paths expect its machine to be a
/// [`KeyValue`](crate::key_value::KeyValue).
pub fn router(node: NodeHandle) -> Router {
    let api = Arc::new(Api { node, answered: metrics::AnswerCounts::default() });
    let key = get(key_value::read).put(key_value::put).delete(key_value::delete);
    Router::new()
        .route("/livez", get(health::livez))
        .route("/readyz", get(health::readyz))
        .route("/health", any(health::health))
        .route("/leader", any(health::leader))
        .route("/replica", any(health::replica))
        .route("/cluster", get(health::cluster))
        .route("/metrics", get(metrics::metrics))
        .route("/api/v1/kv", get(key_value::list))
        .route("/api/v1/kv/", key.clone())
        .route("/api/v1/kv/{*key}", key)
        .route("/api/v1/txn", post(key_value::transact))
        .route("/api/v1/leader/switchover", post(health::switchover))
        .method_not_allowed_fallback(wrong_method)
        .fallback(unknown_path)
        .layer(map_response_with_state(api.clone(), count))
        .with_state(api)
}

async fn unknown_path(uri: Uri) -> ApiError {
    ApiError::UnknownPath { path: uri.path().to_owned() }
}

async fn wrong_method(method: Method, uri: Uri) -> ApiError {
    ApiError::WrongMethod { method: method.to_string(), path: uri.path().to_owned() }
}

async fn count(State(api): State<Arc<Api>>, response: Response) -> Response {
    api.answered.note(response.status());
    response
}
