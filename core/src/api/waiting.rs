//! The API of a node that has no cluster: it takes an order to start or join one, and says to
//! everything else that there is none.
//!
//! Read next: [`router`], then `enlist/` for what becomes of an order.

use std::net::IpAddr;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::middleware::{from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get, post};
use tokio::sync::{mpsc, oneshot};

use super::guard::{self, Guard};
use super::health::{self, boolean};
use super::key_value::json_response;
use super::orders::{JoinBody, OrderedBody, StartBody, parsed};
use super::request::{self, malformed};
use super::{ApiError, check_protected, wrong_method};
use crate::config::{MemberSettings, validate_address, validate_name};
use crate::enlist::Order;
use crate::enlist::shell::Given;
use crate::enlist::state::Refusal;
use crate::ids::RequestId;
use crate::membership::JoinToken;

struct Waiting {
    /// What the settings say: its name may be empty.
    place: MemberSettings,
    orders: mpsc::Sender<Given>,
}

/// All paths of a node without a cluster. Orders go to `orders`.
pub(crate) fn router(
    place: MemberSettings,
    orders: mpsc::Sender<Given>,
    guard: Option<Arc<Guard>>,
) -> Router {
    let told = |method: &Method, uri: &Uri| {
        boolean(method, uri, false, &serde_json::json!({ "has_cluster": false }))
    };
    let probe = any(move |method: Method, uri: Uri| async move { told(&method, &uri) });
    let original = any(move |method: Method, uri: Uri| async move {
        told(&method, &uri).map(health::as_original)
    });
    // Whoever asks these needs no credentials, and is told a boolean only.
    let probes = Router::new()
        .route("/livez", get(health::livez))
        .route("/readyz", get(|| async { (StatusCode::SERVICE_UNAVAILABLE, "not ready\n") }))
        .route("/health", probe.clone())
        .route("/leader", probe.clone())
        .route("/replica", probe)
        .route("/api/v3.1/status", original)
        .method_not_allowed_fallback(wrong_method);
    Router::new()
        .route("/api/v1/cluster/start", post(start))
        .route("/api/v1/cluster/join", post(join))
        .method_not_allowed_fallback(wrong_method)
        .fallback(no_cluster)
        .layer(from_fn_with_state(guard, guard::ask))
        .layer(from_fn(check_protected))
        .merge(probes)
        .with_state(Arc::new(Waiting { place, orders }))
}

/// `GET /cluster`, and every path that only a member has.
async fn no_cluster(State(waiting): State<Arc<Waiting>>) -> ApiError {
    ApiError::NoCluster { this: waiting.place.api() }
}

/// `POST /api/v1/cluster/start`: this node is to be the first of a cluster.
async fn start(
    State(waiting): State<Arc<Waiting>>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let id = request::request_id(&headers)?;
    let StartBody { name, address } = parsed(&request::body(&headers, body).await?)?;
    let order = Order::Start { place: waiting.place(name, address)? };
    waiting.carry_out(id, order).await
}

/// `POST /api/v1/cluster/join`: this node is to be a member of a cluster.
async fn join(
    State(waiting): State<Arc<Waiting>>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let id = request::request_id(&headers)?;
    let JoinBody { name, address, nodes, token, vote: wants_vote } =
        parsed(&request::body(&headers, body).await?)?;
    let token: JoinToken = token.parse()?;
    if nodes.is_empty() {
        return Err(malformed("nodes names no member of the cluster".to_owned()));
    }
    let place = waiting.place(name, address)?;
    waiting.carry_out(id, Order::Join { place, nodes, token, wants_vote }).await
}

impl Waiting {
    /// What the node will be called and where it will be, by the order, else by its settings.
    fn place(
        &self,
        name: Option<String>,
        address: Option<IpAddr>,
    ) -> Result<MemberSettings, ApiError> {
        let mut place = self.place.clone();
        place.name = name.unwrap_or(place.name);
        place.address = address.unwrap_or(place.address);
        validate_name(&place.name)?;
        validate_address(&place)?;
        Ok(place)
    }

    async fn carry_out(&self, id: RequestId, order: Order) -> Result<Response, ApiError> {
        let (reply, outcome) = oneshot::channel();
        let ended = || ApiError::OrderLost { detail: "the node ends".to_owned() };
        self.orders.send(Given { id, order, reply }).await.map_err(|_| ended())?;
        let new = match outcome.await.map_err(|_| ended())? {
            Ok(new) => new,
            Err(refusal) => return Ok(self.refused(refusal)),
        };
        let (node, api, name) = (new.identity.node, new.place.api(), new.place.name);
        let cluster_id = new.identity.cluster.to_string();
        Ok(json_response(&OrderedBody { cluster_id, node, name, api }))
    }

    fn refused(&self, refusal: Refusal) -> Response {
        match refusal {
            Refusal::UnderWay => ApiError::OrderUnderWay,
            Refusal::HoldsData { found } => ApiError::HoldsData { found: found.join(", ") },
            Refusal::OtherSecret => ApiError::OtherSecret,
            Refusal::Refused(text) => ApiError::ClusterRefuses { text },
            Refusal::Unknown { waited_ms, last } => {
                let detail = format!("not known after {waited_ms} ms whether it joined ({last})");
                ApiError::OrderLost { detail }
            }
            Refusal::HasCluster(cluster) => {
                let (this, cluster) = (self.place.api().to_string(), cluster.to_string());
                ApiError::HasCluster { this, cluster }
            }
        }
        .into_response()
    }
}
