//! How every refusal looks over HTTP: a status, and JSON that keeps its code and its advice.

use std::fmt;
use std::net::SocketAddr;

use axum::http::StatusCode;
use axum::http::header::{CONTENT_TYPE, HeaderValue};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};

use super::guard::{EntryError, WrongToken};
use super::{BODY_SIZE_BYTES_MAX, INDEX_HEADER, LEADER_HEADER, request};
use crate::codec::CodecError;
use crate::config::ConfigError;
use crate::error::{ReadError, SwitchoverError, WriteError};
use crate::ids::{LogIndex, NodeId};
use crate::key_value::KeyValueError;
use crate::membership::NoJoinToken;
use crate::node::AdmissionError;
use crate::users::UserRefusal;

/// Why a request was not answered as asked.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// Retry does not help.
    #[error("Q1601 there is no path {path:?}; nothing was changed; see the list in docs/api.md")]
    UnknownPath {
        /// What was asked for.
        path: String,
    },
    /// Retry does not help.
    #[error("Q1602 {path:?} does not take {method}; nothing was changed; see the allow header")]
    WrongMethod {
        /// What was sent.
        method: String,
        /// To which path.
        path: String,
    },
    /// Retry does not help.
    #[error("Q1603 {detail}; nothing was changed; mend the request")]
    Malformed {
        /// What cannot be read.
        detail: String,
    },
    /// Retry does not help.
    #[error(
        "Q1604 the body exceeds {max} bytes; nothing was written; send less at once",
        max = BODY_SIZE_BYTES_MAX
    )]
    BodyTooLarge,
    /// Retry is safe.
    #[error("Q1605 the body did not arrive within {waited_ms} ms; nothing was written; retry")]
    BodyTimeout {
        /// How long was waited.
        waited_ms: u64,
    },
    /// Retry is safe, at another node.
    #[error("Q1606 {this} cannot tell its status; nothing was changed; ask another node")]
    NoStatus {
        /// Who answers.
        this: NodeId,
    },
    /// Retry does not help.
    #[error("Q1607 {to:?} is no member; nothing was changed; see the members in /cluster")]
    NoSuchMember {
        /// The name or id.
        to: String,
    },
    /// The command is applied: whatever it did is done.
    #[error(
        "Q1608 the machine's reply cannot be read ({source}); the command may have taken effect; \
         use the key-value paths only on a key-value node"
    )]
    Reply {
        /// What is wrong with it.
        source: CodecError,
    },
    /// Retry does not help here: another cluster lives at this address now. Which one is told to
    /// its users only.
    #[error(
        "Q1609 this is no node of cluster {meant}; nothing was changed; \
             check the address, or delete the profile"
    )]
    OtherCluster {
        /// The id in the request.
        meant: String,
    },
    /// Retry helps with TLS.
    #[error(
        "Q1071 other machines are answered here with TLS only; nothing was changed; \
             use https on the same port"
    )]
    NotProtected,
    /// Retry does not help.
    #[error(
        "Q1627 security.secret_file holds another secret than the cluster has; nothing was \
             changed; remove the setting, or correct the file"
    )]
    OtherSecret,
    /// The caller is not let in, or may not do that.
    #[error(transparent)]
    Entry(#[from] EntryError),
    /// The users stay as they are.
    #[error(transparent)]
    User(#[from] UserRefusal),
    /// Retry helps once it was ordered to start or join one.
    #[error(
        "Q1621 the node at {this} has no cluster; nothing was changed; let it start or join one"
    )]
    NoCluster {
        /// Where its API is.
        this: SocketAddr,
    },
    /// Retry does not help.
    #[error(
        "Q1622 {this} belongs to cluster {cluster}; nothing was changed; \
         give the order to a node that has none"
    )]
    HasCluster {
        /// The node, by its id or by where its API is.
        this: String,
        /// The id of its cluster.
        cluster: String,
    },
    /// Retry is safe.
    #[error("Q1623 the node carries out another order; nothing was changed; wait for its end")]
    OrderUnderWay,
    /// Retry does not help.
    #[error(
        "Q1624 its data directory holds {found}; nothing was changed; \
         give it an empty one, and keep what is there"
    )]
    HoldsData {
        /// The files that only members of a cluster have.
        found: String,
    },
    /// The same order is safe, and any other.
    #[error("Q1625 {detail}; the order may have been carried out; give the same order again")]
    OrderLost {
        /// What happened to it.
        detail: String,
    },
    /// What the cluster said that the node was to join, or that nobody there answered.
    #[error("{text}")]
    ClusterRefuses {
        /// With a code of its own.
        text: String,
    },
    /// A name or an address that no member may have.
    #[error(transparent)]
    Place(#[from] ConfigError),
    /// What is shown is no join token.
    #[error(transparent)]
    Token(#[from] NoJoinToken),
    /// Nobody was invited or let in.
    #[error(transparent)]
    Admission(#[from] AdmissionError),
    /// A write was not acknowledged.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// A read was not answered.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// Leadership was not handed over.
    #[error(transparent)]
    Switchover(#[from] SwitchoverError),
    /// The store refused.
    #[error("{source}")]
    KeyValue {
        /// Why.
        source: KeyValueError,
        /// The entry that was refused; `None` if it never became one.
        index: Option<LogIndex>,
        /// The leader, as far as the node knows.
        leader: Option<NodeId>,
    },
}

impl From<KeyValueError> for ApiError {
    fn from(source: KeyValueError) -> ApiError {
        ApiError::KeyValue { source, index: None, leader: None }
    }
}

/// A refusal as JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// Five characters that never change their meaning, such as `Q1001`.
    pub code: String,
    /// What happened.
    pub message: String,
    /// What it changed.
    pub changed: String,
    /// What to do.
    pub advice: String,
}

impl Problem {
    /// Takes the text of one of our errors apart: `code what happened; what changed; what to do`.
    ///
    /// The parts are counted from the end, because what happened may quote a key with a semicolon.
    pub fn of(text: &str) -> Problem {
        let (code, rest) = text.split_once(' ').unwrap_or((text, ""));
        let mut parts = rest.rsplitn(3, "; ").map(str::to_owned);
        let advice = parts.next().unwrap_or_default();
        let changed = parts.next().unwrap_or_default();
        let message = parts.next().unwrap_or_default();
        Problem { code: code.to_owned(), message, changed, advice }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} {}; {}; {}", self.code, self.message, self.changed, self.advice)
    }
}

impl ApiError {
    /// The status that makes common HTTP clients and load balancers do the right thing.
    pub fn status(&self) -> StatusCode {
        match self {
            ApiError::Entry(error) => error.status(),
            ApiError::User(error) => user_status(error),
            ApiError::UnknownPath { .. } => StatusCode::NOT_FOUND,
            ApiError::WrongMethod { .. } => StatusCode::METHOD_NOT_ALLOWED,
            ApiError::Malformed { .. } | ApiError::NoSuchMember { .. } => StatusCode::BAD_REQUEST,
            ApiError::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            ApiError::BodyTimeout { .. } => StatusCode::REQUEST_TIMEOUT,
            ApiError::OtherCluster { .. } | ApiError::NoCluster { .. } => {
                StatusCode::MISDIRECTED_REQUEST
            }
            ApiError::NotProtected => StatusCode::FORBIDDEN,
            ApiError::OtherSecret
            | ApiError::HasCluster { .. }
            | ApiError::OrderUnderWay
            | ApiError::HoldsData { .. }
            | ApiError::ClusterRefuses { .. } => StatusCode::CONFLICT,
            ApiError::OrderLost { .. } => StatusCode::GATEWAY_TIMEOUT,
            ApiError::Place(_) | ApiError::Token(_) => StatusCode::BAD_REQUEST,
            ApiError::Admission(AdmissionError::Write(error)) => write_status(error),
            ApiError::Admission(AdmissionError::NotYet { .. }) => StatusCode::SERVICE_UNAVAILABLE,
            ApiError::Admission(AdmissionError::Refused { .. }) => StatusCode::CONFLICT,
            ApiError::NoStatus { .. } => StatusCode::SERVICE_UNAVAILABLE,
            ApiError::Reply { .. } => StatusCode::INTERNAL_SERVER_ERROR,
            ApiError::Write(error) => write_status(error),
            ApiError::Read(error) => match error {
                ReadError::NotConfirmed { .. }
                | ReadError::NoLeader { .. }
                | ReadError::Stopping { .. }
                | ReadError::Overloaded { .. } => StatusCode::SERVICE_UNAVAILABLE,
            },
            ApiError::Switchover(error) => match error {
                SwitchoverError::NotLeader { .. } | SwitchoverError::UnderWay => {
                    StatusCode::SERVICE_UNAVAILABLE
                }
                // Each try pauses the writes.
                SwitchoverError::Behind { .. } | SwitchoverError::Unfit { .. } => {
                    StatusCode::CONFLICT
                }
                SwitchoverError::NotTaken { .. } => StatusCode::GATEWAY_TIMEOUT,
            },
            ApiError::KeyValue { source, .. } => key_value_status(source),
        }
    }

    /// The entry and the leader that the refusal is about, as far as it says.
    fn facts(&self) -> (Option<LogIndex>, Option<NodeId>) {
        if let ApiError::KeyValue { index, leader, .. } = self {
            (*index, *leader)
        } else if let ApiError::Write(WriteError::NotLeader { leader, .. }) = self {
            (None, Some(*leader))
        } else {
            (None, None)
        }
    }
}

fn user_status(error: &UserRefusal) -> StatusCode {
    match error {
        UserRefusal::Unknown { .. } => StatusCode::NOT_FOUND,
        UserRefusal::Taken { .. } | UserRefusal::LastAdmin { .. } => StatusCode::CONFLICT,
        UserRefusal::Unfit { .. } => StatusCode::BAD_REQUEST,
    }
}

fn write_status(error: &WriteError) -> StatusCode {
    match error {
        WriteError::OutcomeUnknown { .. } => StatusCode::GATEWAY_TIMEOUT,
        WriteError::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
        WriteError::NotLeader { .. }
        | WriteError::NoLeader { .. }
        | WriteError::Overloaded { .. }
        | WriteError::Stopping { .. }
        | WriteError::HandingOver => StatusCode::SERVICE_UNAVAILABLE,
    }
}

fn key_value_status(error: &KeyValueError) -> StatusCode {
    match error {
        KeyValueError::CompareFailed { .. } => StatusCode::CONFLICT,
        KeyValueError::NoSuchKey { .. } => StatusCode::NOT_FOUND,
        KeyValueError::ValueTooLarge { .. }
        | KeyValueError::TransactionTooLarge { .. }
        | KeyValueError::AnswerTooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
        KeyValueError::KeySize { .. }
        | KeyValueError::KeyNotUtf8 { .. }
        | KeyValueError::Malformed
        | KeyValueError::ListLimit { .. } => StatusCode::BAD_REQUEST,
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let body = request::json(&Problem::of(&self.to_string()));
        let mut response = (self.status(), body).into_response();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let ApiError::Entry(error) = &self {
            error.add_headers(headers);
        }
        let is_wrong_token = matches!(&self, ApiError::Admission(AdmissionError::Refused { text })
            if text.starts_with("Q1041"));
        if is_wrong_token {
            response.extensions_mut().insert(WrongToken);
        }
        let headers = response.headers_mut();
        let (index, leader) = self.facts();
        if let Some(index) = index {
            headers.insert(INDEX_HEADER, HeaderValue::from(index.0));
        }
        if let Some(leader) = leader {
            headers.insert(LEADER_HEADER, request::header_of(leader));
        }
        response
    }
}
