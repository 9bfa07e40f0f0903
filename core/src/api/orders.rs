//! Orders to start or join a cluster, invitations and admissions: their JSON bodies, and what a
//! client does with them.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use axum::http::Method;
use bytes::Bytes;
use ed25519_dalek::VerifyingKey;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::call::{Call, Repeat};
use super::request::malformed;
use super::{ApiError, Client, ClientError, json};
use crate::config::MemberSettings;
use crate::ids::{ClusterId, LogIndex, NodeId, RequestId};
use crate::membership::join_token::{hash_of, hex, unhex};
use crate::membership::{JoinToken, PublicKey};
use crate::security::Fingerprint;

/// The body of `POST /api/v1/cluster/start`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StartBody {
    /// What the node is called from here on; `node.name` of its settings if absent.
    pub name: Option<String>,
    /// Where it will be; `node.address` of its settings if absent.
    pub address: Option<IpAddr>,
}

/// The body of `POST /api/v1/cluster/join`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JoinBody {
    /// What the node is called from here on; `node.name` of its settings if absent.
    pub name: Option<String>,
    /// Where it will be; `node.address` of its settings if absent.
    pub address: Option<IpAddr>,
    /// APIs of some members.
    pub nodes: Vec<SocketAddr>,
    /// The text of a join token.
    pub token: String,
    /// Whether it is to vote even if that makes the number of voters even.
    #[serde(default)]
    pub vote: bool,
}

/// What an order has made of a node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderedBody {
    /// The cluster's id, 32 hex digits.
    pub cluster_id: String,
    /// The node's id in it.
    pub node: NodeId,
    /// Its name.
    pub name: String,
    /// Where its API is from here on.
    pub api: SocketAddr,
}

/// The body of `POST /api/v1/members`, which a joiner sends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MemberBody {
    /// Its name, and where it will be.
    pub settings: MemberSettings,
    /// The public half of its ed25519 key, 64 hex digits.
    pub public_key: String,
    /// Whether it is to vote even if that makes the number of voters even.
    #[serde(default)]
    pub vote: bool,
    /// The invitation, as text.
    pub token: JoinToken,
    /// By that key, over what [`MemberBody::signed`] says: 128 hex digits. Who has only seen the
    /// public half is told nothing.
    pub signature: String,
}

impl MemberBody {
    /// What the joiner signs.
    pub(crate) fn signed(token: &JoinToken, public_key: &PublicKey) -> Vec<u8> {
        let id = token.id.0.to_be_bytes();
        [b"quorate join 1", &token.cluster.0[..], &id, public_key].concat()
    }

    /// Its key, if it has the secret half of that.
    pub(super) fn proven_key(&self) -> Result<PublicKey, ApiError> {
        let public_key = thirty_two_bytes("public_key", &self.public_key)?;
        let wrong = || malformed("signature is not one by public_key".to_owned());
        let key = VerifyingKey::from_bytes(&public_key).map_err(|_| wrong())?;
        let signature: [u8; 64] = unhex(&self.signature).ok_or_else(wrong)?;
        let signed = MemberBody::signed(&self.token, &public_key);
        key.verify_strict(&signed, &signature.into()).map_err(|_| wrong())?;
        Ok(public_key)
    }
}

/// What a cluster says to a node that it has let in.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AdmittedBody {
    /// The cluster's id, 32 hex digits.
    pub cluster_id: String,
    /// Which chain of recoveries it belongs to.
    pub lineage: u64,
    /// How many recoveries there were.
    pub generation: u16,
    /// The node's id.
    pub node: NodeId,
    /// The cluster's secret, if there is one: what its nodes know each other by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<String>,
}

/// Hides the secret: what is printed may be logged.
impl fmt::Debug for AdmittedBody {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "AdmittedBody({} of {})", self.node, self.cluster_id)
    }
}

/// The body of `POST /api/v1/tokens`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InviteBody {
    /// SHA-256 of the secret, 64 hex digits. The secret itself stays with who has drawn it.
    pub secret_hash: String,
    /// So many nodes may join by it.
    pub uses_count: u32,
    /// For so long.
    pub expires_in_ms: u64,
}

/// A token that was made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InvitedBody {
    /// The cluster's id, 32 hex digits.
    pub cluster_id: String,
    /// The token's id.
    pub id: LogIndex,
    /// Milliseconds since 1970, by the clock of the node that was asked.
    pub expires_at_ms: u64,
    /// What the members' certificates lead to; absent without a secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authority: Option<Fingerprint>,
}

/// The answer to `GET /api/v1/tokens`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokensBody {
    /// By ascending id.
    pub tokens: Vec<TokenBody>,
}

/// One token, without its secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenBody {
    /// Its id.
    pub id: LogIndex,
    /// `open`, `used`, `expired` or `revoked`.
    pub state: String,
    /// So many more may join by it, unless it has expired or was revoked.
    pub uses_left: u32,
    /// Milliseconds since 1970.
    pub expires_at_ms: u64,
}

/// The value in a body, or that it does not fit.
pub(super) fn parsed<T: DeserializeOwned>(body: &[u8]) -> Result<T, ApiError> {
    serde_json::from_slice(body).map_err(|error| malformed(format!("the body: {error}")))
}

/// 32 bytes in hex digits.
pub(super) fn thirty_two_bytes(what: &str, text: &str) -> Result<[u8; 32], ApiError> {
    unhex(text).ok_or_else(|| malformed(format!("{what} is not 64 hex digits")))
}

impl Client {
    /// Whether anybody answers at all, with or without a cluster.
    pub async fn find(&mut self) -> Result<(), ClientError> {
        self.answered(Call::read("/livez".to_owned())).await
    }

    /// Orders the one node that this client knows to start a cluster.
    pub async fn start_cluster(&mut self, body: &StartBody) -> Result<OrderedBody, ClientError> {
        let id = self.request_id();
        self.order("/api/v1/cluster/start", json(body), id).await
    }

    /// Orders the one node that this client knows to join a cluster.
    pub async fn join_cluster(&mut self, body: &JoinBody) -> Result<OrderedBody, ClientError> {
        let id = self.request_id();
        self.order("/api/v1/cluster/join", json(body), id).await
    }

    /// Asks a cluster to let a node in, as often as it takes; `id` is that of the order.
    pub async fn admit(
        &mut self,
        body: &MemberBody,
        id: RequestId,
    ) -> Result<AdmittedBody, ClientError> {
        self.order("/api/v1/members", json(body), id).await
    }

    /// Makes a join token; its secret never leaves this client.
    pub async fn create_token(
        &mut self,
        uses_count: u32,
        expires_in_ms: u64,
    ) -> Result<(JoinToken, InvitedBody), ClientError> {
        let mut secret = [0; 16];
        self.fill("join token", &mut secret);
        let secret_hash = hex(&hash_of(&secret));
        let body = InviteBody { secret_hash, uses_count, expires_in_ms };
        let id = self.request_id();
        let made: InvitedBody = self.order("/api/v1/tokens", json(&body), id).await?;
        let Some(cluster) = unhex(&made.cluster_id).map(ClusterId) else {
            let detail = "the id of the cluster is not in our form".to_owned();
            return Err(ClientError::NotQuorate { detail });
        };
        Ok((JoinToken { cluster, id: made.id, secret, authority: made.authority }, made))
    }

    /// All join tokens that the cluster keeps, without their secrets.
    pub async fn tokens(&mut self) -> Result<Vec<TokenBody>, ClientError> {
        let call = Call::read("/api/v1/tokens".to_owned());
        Ok(self.ask::<TokensBody>(call).await?.value.tokens)
    }

    /// Takes a join token back.
    pub async fn revoke_token(&mut self, id: LogIndex) -> Result<(), ClientError> {
        let (method, path) = (Method::DELETE, format!("/api/v1/tokens/{id}"));
        let repeat = Repeat::Write(self.request_id());
        self.answered(Call { method, path, body: Bytes::new(), repeat }).await
    }

    async fn order<T: DeserializeOwned>(
        &mut self,
        path: &str,
        body: Vec<u8>,
        id: RequestId,
    ) -> Result<T, ClientError> {
        let (method, path, body) = (Method::POST, path.to_owned(), Bytes::from(body));
        let repeat = Repeat::Write(id);
        Ok(self.ask(Call { method, path, body, repeat }).await?.value)
    }
}
