//! The cluster's users over HTTP: their JSON bodies, the paths, and what a client does with them.
//!
//! A password comes in as it is and is hashed here, off the node's thread; log, snapshots and
//! answers hold hashes at most. Only admins may do more than set their own password.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Extension, Path, State};
use axum::http::{HeaderMap, Method, Uri};
use axum::response::Response;
use axum::routing::{get, put};
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::call::{Call, Repeat};
use super::client::escaped;
use super::guard::{Caller, EntryError};
use super::key_value::json_response;
use super::orders::parsed;
use super::request::{self, Params, malformed};
use super::{Api, ApiError, Client, ClientError, json};
use crate::users::{Access, UserChange, UserRefusal, Wish, is_user_name};

/// The answer to `GET /api/v1/users`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UsersBody {
    /// By name.
    pub users: Vec<UserBody>,
}

/// One user, without the password.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserBody {
    /// The name.
    pub name: String,
    /// What the user may do.
    pub role: Access,
}

/// The body of `PUT /api/v1/users/{name}`. With `?new=true` the user must not exist, and both are
/// needed; without it the user must exist, and what is absent stays.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PutUserBody {
    /// What the user may do.
    #[serde(default)]
    pub role: Option<Access>,
    /// 8 to 1,024 bytes.
    #[serde(default)]
    pub password: Option<String>,
}

pub(super) fn routes() -> Router<Arc<Api>> {
    Router::new()
        .route("/api/v1/users", get(list))
        .route("/api/v1/users/{name}", put(put_user).delete(remove))
}

/// `GET /api/v1/users`: all of them, as far as this node has applied the log.
async fn list(State(api): State<Arc<Api>>) -> Response {
    let roster = api.node.roster();
    let users = roster.users().all();
    let users = users.map(|(name, user)| UserBody { name: name.to_owned(), role: user.access });
    json_response(&UsersBody { users: users.collect() })
}

/// `PUT /api/v1/users/{name}?new=`: a user is made or changed.
async fn put_user(
    State(api): State<Arc<Api>>,
    Path(name): Path<String>,
    uri: Uri,
    caller: Option<Extension<Caller>>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let guard = api.guard.as_ref().ok_or(EntryError::AsksNobody)?;
    let Extension(caller) = caller.ok_or(EntryError::Stranger)?;
    let request = request::request_id(&headers)?;
    let mut params = Params::of(&uri)?;
    let is_new = params.take_bool("new")?;
    params.end()?;
    let PutUserBody { role, password } = parsed(&request::body(&headers, body).await?)?;
    let is_own = caller.name == name && role.is_none() && !is_new;
    caller.may(if is_own { Wish::Own } else { Wish::Govern })?;
    if !is_user_name(&name) {
        let detail = format!("{name:?} is no name of a user");
        return Err(UserRefusal::Unfit { detail }.into());
    }
    let hash = match password {
        Some(password) => Some(guard.hash(password).await?),
        None => None,
    };
    let change = match (is_new, role, hash) {
        (true, Some(access), Some(hash)) => UserChange::Add { name: name.clone(), access, hash },
        (true, ..) => return Err(malformed("a new user has a role and a password".to_owned())),
        (false, access, hash) => UserChange::Set { name: name.clone(), access, hash },
    };
    api.node.change_user(change, request).await?;
    Ok(json_response(&serde_json::json!({ "name": name })))
}

/// `DELETE /api/v1/users/{name}`.
async fn remove(
    State(api): State<Arc<Api>>,
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let request = request::request_id(&headers)?;
    api.node.change_user(UserChange::Remove { name: name.clone() }, request).await?;
    Ok(json_response(&serde_json::json!({ "name": name })))
}

impl Client {
    /// Whether a node is ready for clients: all that one tells who has no password.
    pub async fn ready(&mut self) -> Result<(), ClientError> {
        self.answered(Call::read("/readyz".to_owned())).await
    }

    /// All users of the cluster.
    pub async fn users(&mut self) -> Result<Vec<UserBody>, ClientError> {
        let call = Call::read("/api/v1/users".to_owned());
        Ok(self.ask::<UsersBody>(call).await?.value.users)
    }

    /// Makes a user.
    pub async fn add_user(
        &mut self,
        name: &str,
        role: Access,
        password: &str,
    ) -> Result<(), ClientError> {
        let body = PutUserBody { role: Some(role), password: Some(password.to_owned()) };
        self.put_user(format!("{}?new=true", user_path(name)), &body).await
    }

    /// Gives a user another password.
    pub async fn set_password(&mut self, name: &str, password: &str) -> Result<(), ClientError> {
        let body = PutUserBody { role: None, password: Some(password.to_owned()) };
        self.put_user(user_path(name), &body).await
    }

    /// Takes a user away.
    pub async fn remove_user(&mut self, name: &str) -> Result<(), ClientError> {
        let (method, path) = (Method::DELETE, user_path(name));
        let repeat = Repeat::Write(self.request_id());
        self.answered(Call { method, path, body: Bytes::new(), repeat }).await
    }

    async fn put_user(&mut self, path: String, body: &PutUserBody) -> Result<(), ClientError> {
        let repeat = Repeat::Write(self.request_id());
        let (method, body) = (Method::PUT, Bytes::from(json(body)));
        self.answered(Call { method, path, body, repeat }).await
    }
}

fn user_path(name: &str) -> String {
    format!("/api/v1/users/{}", escaped(name).replace('/', "%2F"))
}
