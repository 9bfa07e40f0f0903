//! What a member does for those who want to join: invitations, and admissions by them. And what it
//! says to an order to start or join a cluster: it has one.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::response::Response;
use axum::routing::{delete, get, post};

use super::key_value::json_response;
use super::orders::{
    AdmittedBody, InviteBody, InvitedBody, MemberBody, OrderedBody, TokenBody, TokensBody, parsed,
    thirty_two_bytes,
};
use super::request::{self, malformed};
use super::{Api, ApiError};
use crate::config::{validate_address, validate_name};
use crate::ids::LogIndex;
use crate::membership::{Join, Role, Token};

/// The longest that a token may be good for: a year.
const EXPIRES_IN_MS_MAX: u64 = 366 * 24 * 3_600 * 1_000;

pub(super) fn routes() -> Router<Arc<Api>> {
    Router::new()
        .route("/api/v1/members", post(admit))
        .route("/api/v1/tokens", get(tokens).post(invite))
        .route("/api/v1/tokens/{id}", delete(revoke))
        .route("/api/v1/cluster/start", post(ordered))
        .route("/api/v1/cluster/join", post(ordered))
}

/// `POST /api/v1/members`: a node shows a join token.
async fn admit(
    State(api): State<Arc<Api>>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let id = request::request_id(&headers)?;
    let body: MemberBody = parsed(&request::body(&headers, body).await?)?;
    let public_key = body.proven_key()?;
    let MemberBody { settings, vote, token, .. } = body;
    validate_name(&settings.name)?;
    validate_address(&settings)?;
    let identity = api.node.identity();
    if token.cluster != identity.cluster {
        return Err(ApiError::OtherCluster { meant: token.cluster.to_string() });
    }
    let join = Join {
        settings,
        public_key,
        becomes: Role::Full,
        zone: None,
        wants_vote: vote,
        token: token.id,
        secret_hash: token.secret_hash(),
        now_ms: api.node.wall_ms(),
    };
    let node = api.node.admit(join, id).await?;
    Ok(json_response(&AdmittedBody {
        cluster_id: identity.cluster.to_string(),
        lineage: identity.lineage.0,
        generation: identity.generation.0,
        node,
        secret: api.node.inner.secret.as_ref().map(|secret| secret.text().to_owned()),
    }))
}

/// `POST /api/v1/tokens`: somebody is invited.
async fn invite(
    State(api): State<Arc<Api>>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let request = request::request_id(&headers)?;
    let InviteBody { secret_hash, uses_count, expires_in_ms } =
        parsed(&request::body(&headers, body).await?)?;
    if expires_in_ms > EXPIRES_IN_MS_MAX {
        return Err(malformed(format!("expires_in_ms is above {EXPIRES_IN_MS_MAX}")));
    }
    let secret_hash = thirty_two_bytes("secret_hash", &secret_hash)?;
    let expires_at_ms = api.node.wall_ms().saturating_add(expires_in_ms);
    let id = api.node.invite(secret_hash, uses_count, expires_at_ms, request).await?;
    let cluster_id = api.node.cluster().to_string();
    let authority = api.node.authority();
    Ok(json_response(&InvitedBody { cluster_id, id, expires_at_ms, authority }))
}

/// `GET /api/v1/tokens`: all that are kept, as far as this node has applied the log.
async fn tokens(State(api): State<Arc<Api>>) -> Response {
    let (roster, now_ms) = (api.node.roster(), api.node.wall_ms());
    let shown = |(id, token): (LogIndex, &Token)| TokenBody {
        id,
        state: state(token, now_ms).to_owned(),
        uses_left: token.uses_left,
        expires_at_ms: token.expires_at_ms,
    };
    json_response(&TokensBody { tokens: roster.admissions().tokens().map(shown).collect() })
}

fn state(token: &Token, now_ms: u64) -> &'static str {
    match token {
        Token { is_revoked: true, .. } => "revoked",
        Token { uses_left: 0, .. } => "used",
        Token { expires_at_ms, .. } if *expires_at_ms <= now_ms => "expired",
        Token { .. } => "open",
    }
}

/// `DELETE /api/v1/tokens/{id}`: an invitation is taken back.
async fn revoke(
    State(api): State<Arc<Api>>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let request = request::request_id(&headers)?;
    let id = id.parse().map_err(|_| malformed(format!("{id:?} is no id of a token")))?;
    api.node.revoke(LogIndex(id), request).await?;
    Ok(json_response(&serde_json::json!({ "id": id })))
}

/// `POST /api/v1/cluster/start` and `/join`: the node has a cluster. Who gave the order by which it
/// has, and lost the answer, is told again.
async fn ordered(State(api): State<Arc<Api>>, headers: HeaderMap) -> Result<Response, ApiError> {
    let id = request::request_id(&headers)?;
    let (this, cluster) = (api.node.node(), api.node.cluster().to_string());
    let refusal = ApiError::HasCluster { this: this.to_string(), cluster: cluster.clone() };
    if api.node.order() != Some(id) {
        return Err(refusal);
    }
    let place = api.node.place();
    let (name, api) = (place.name.clone(), place.api());
    Ok(json_response(&OrderedBody { cluster_id: cluster, node: this, name, api }))
}
