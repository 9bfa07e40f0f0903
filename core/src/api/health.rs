//! The paths that load balancers, probes and operators ask.
//!
//! `/livez` asks only whether the node's loop turns: a probe that kills must not depend on others.
//! The paths that need no credentials (`/health`, `/leader`, `/replica`) say one boolean and
//! nothing else.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::header::{ALLOW, CONTENT_TYPE, HeaderValue};
use axum::http::{Extensions, HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::key_value::json_response;
use super::request::{self, Params};
use super::{Api, ApiError, guard};
use crate::ids::NodeId;
use crate::status::Status;
use crate::users::Wish;

/// `GET /livez`: the loop turns.
pub(super) async fn livez() -> &'static str {
    "ok\n"
}

/// `GET /readyz?verbose`: whether a client should be sent here. Each check has a line, for users.
pub(super) async fn readyz(
    State(api): State<Arc<Api>>,
    uri: Uri,
    headers: HeaderMap,
    extensions: Extensions,
) -> Result<Response, ApiError> {
    let mut params = Params::of(&uri)?;
    let is_verbose = params.take_bool("verbose")?;
    params.end()?;
    if let (true, Some(guard)) = (is_verbose, &api.guard) {
        guard.admit(guard::peer_of(&extensions), &headers).await?.may(Wish::Read)?;
    }
    let status = api.node.status().await;
    let checks = readiness(status.as_ref());
    let is_ready = checks.iter().all(|(_, is_good)| *is_good);
    let mut text = String::new();
    if is_verbose {
        for (name, is_good) in checks {
            let (sign, word) = if is_good { ('+', "ok") } else { ('-', "not ok") };
            text += &format!("[{sign}]{name} {word}\n");
        }
    }
    text += if is_ready { "ready\n" } else { "not ready\n" };
    Ok((verdict(is_ready), text).into_response())
}

fn readiness(status: Option<&Status>) -> [(&'static str, bool); 3] {
    let is_member = |status: &Status| {
        status.voters.contains(&status.node) || status.learners.contains(&status.node)
    };
    [
        ("node", status.is_some()),
        ("membership", status.is_some_and(is_member)),
        ("leader", status.is_some_and(Status::has_leader)),
    ]
}

#[derive(Serialize)]
struct HealthBody {
    healthy: bool,
}

/// `/health`: the node is usable, as `/readyz` has it.
pub(super) async fn health(
    State(api): State<Arc<Api>>,
    method: Method,
    uri: Uri,
) -> Result<Response, ApiError> {
    let status = api.node.status().await;
    let healthy = readiness(status.as_ref()).iter().all(|(_, is_good)| *is_good);
    boolean(&method, &uri, healthy, &HealthBody { healthy })
}

#[derive(Serialize)]
struct LeaderBody {
    leader: bool,
}

/// `/leader`: the node may act at this moment.
pub(super) async fn leader(
    State(api): State<Arc<Api>>,
    method: Method,
    uri: Uri,
) -> Result<Response, ApiError> {
    // The clock is read here, not in an actor: after a freeze no message has to arrive first.
    let leader = api.node.watch_leadership().may_act();
    boolean(&method, &uri, leader, &LeaderBody { leader })
}

/// `/api/v3.1/status`: the same for balancers that were set up for the original, which told the
/// others by 400.
pub(super) async fn original_status(
    state: State<Arc<Api>>,
    method: Method,
    uri: Uri,
) -> Result<Response, ApiError> {
    leader(state, method, uri).await.map(as_original)
}

/// What the original answered where ours is this.
pub(super) fn as_original(mut response: Response) -> Response {
    if response.status() == StatusCode::SERVICE_UNAVAILABLE {
        *response.status_mut() = StatusCode::BAD_REQUEST;
    }
    response
}

#[derive(Serialize)]
struct ReplicaBody {
    replica: bool,
}

/// `/replica`: the node follows a leader that is another one. A leader without a lease is neither.
pub(super) async fn replica(
    State(api): State<Arc<Api>>,
    method: Method,
    uri: Uri,
) -> Result<Response, ApiError> {
    let elected = api.node.watch_leadership().current().elected;
    let is_another = |leader: NodeId| leader != api.node.node();
    // Of whom nothing was heard for long is in the first, and not in the status.
    let heard = async || api.node.status().await.and_then(|status| status.leader);
    let replica = elected.is_some_and(is_another) && heard().await.is_some_and(is_another);
    boolean(&method, &uri, replica, &ReplicaBody { replica })
}

/// 200 or 503 for GET, HEAD and OPTIONS; a body only for GET.
pub(super) fn boolean<T: Serialize>(
    method: &Method,
    uri: &Uri,
    is_true: bool,
    body: &T,
) -> Result<Response, ApiError> {
    let body = match *method {
        Method::GET => Body::from(request::json(body)),
        Method::HEAD | Method::OPTIONS => Body::empty(),
        _ => {
            let (method, path) = (method.to_string(), uri.path().to_owned());
            let mut response = ApiError::WrongMethod { method, path }.into_response();
            response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET,HEAD,OPTIONS"));
            return Ok(response);
        }
    };
    let json = (CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok((verdict(is_true), [json], body).into_response())
}

fn verdict(is_good: bool) -> StatusCode {
    if is_good { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }
}

/// `GET /cluster`: the whole [`Status`].
pub(super) async fn cluster(State(api): State<Arc<Api>>) -> Result<Response, ApiError> {
    Ok(json_response(&status(&api).await?))
}

/// The status, or the error that says there is none.
pub(super) async fn status(api: &Api) -> Result<Status, ApiError> {
    api.node.status().await.ok_or(ApiError::NoStatus { this: api.node.node() })
}

#[derive(Serialize)]
struct SwitchoverBody {
    leader: NodeId,
}

/// `POST /api/v1/leader/switchover?to=`: a member's name, or its id as `n2`; without it the leader
/// chooses.
pub(super) async fn switchover(
    State(api): State<Arc<Api>>,
    uri: Uri,
) -> Result<Response, ApiError> {
    let mut params = Params::of(&uri)?;
    let to = params.take("to");
    params.end()?;
    let to = match to {
        Some(to) => Some(member(&status(&api).await?, to)?),
        None => None,
    };
    let leader = api.node.switchover(to).await?;
    Ok(json_response(&SwitchoverBody { leader }))
}

fn member(status: &Status, to: String) -> Result<NodeId, ApiError> {
    status.member(&to).map(|member| member.id).ok_or(ApiError::NoSuchMember { to })
}
