//! The key-value paths: each parses, sends one message, and words the answer.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::header::{CONTENT_TYPE, HeaderValue};
use axum::http::{HeaderMap, Uri};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::bodies::{ListBody, TransactionBody, TransactionReplyBody, WriteBody};
use super::request::{self, Params};
use super::{
    AGE_HEADER, Api, ApiError, CREATE_INDEX_HEADER, INDEX_HEADER, LEADER_HEADER,
    MODIFY_INDEX_HEADER,
};
use crate::ids::{LogIndex, NodeId};
use crate::key_value::{
    Command, Found, KeyValueError, LIST_COUNT_MAX, Query, QueryReply, Reply, VALUE_SIZE_BYTES_MAX,
};
use crate::replication::{Answer, Consistency, Proposed};

/// `GET` and `HEAD /api/v1/kv/{key}?consistency=`: the raw value.
pub(super) async fn read(State(api): State<Arc<Api>>, uri: Uri) -> Result<Response, ApiError> {
    let key = request::key(&uri)?;
    let mut params = Params::of(&uri)?;
    let consistency = params.take_consistency()?;
    params.end()?;
    let (answer, reply) = ask(&api, Query::Get { key: key.clone() }, consistency).await?;
    let QueryReply::Get(found) = reply else { return Err(mixed_up()) };
    let Some(Found { value, create_index, modify_index }) = found else {
        let source = KeyValueError::NoSuchKey { key };
        let error = ApiError::KeyValue { source, index: Some(answer.index), leader: answer.leader };
        return Ok(with_age(error.into_response(), &answer, consistency));
    };
    let mut response = value.into_response();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    headers.insert(CREATE_INDEX_HEADER, HeaderValue::from(create_index.0));
    headers.insert(MODIFY_INDEX_HEADER, HeaderValue::from(modify_index.0));
    let response = with_facts(response, answer.index, answer.leader);
    Ok(with_age(response, &answer, consistency))
}

/// `GET /api/v1/kv?prefix=&after=&limit=&keys_only=&consistency=`.
pub(super) async fn list(State(api): State<Arc<Api>>, uri: Uri) -> Result<Response, ApiError> {
    let mut params = Params::of(&uri)?;
    let limit = params.take_u64("limit")?.unwrap_or(LIST_COUNT_MAX.into());
    let query = Query::List {
        prefix: params.take("prefix").unwrap_or_default(),
        after: params.take("after"),
        limit: u32::try_from(limit).unwrap_or(u32::MAX),
        keys_only: params.take_bool("keys_only")?,
    };
    let consistency = params.take_consistency()?;
    params.end()?;
    let (answer, reply) = ask(&api, query, consistency).await?;
    let QueryReply::List { listed, has_more } = reply else { return Err(mixed_up()) };
    let keys = listed.into_iter().map(Into::into).collect();
    let age_ms = (consistency == Consistency::Stale).then_some(answer.age_ms);
    let body = ListBody { index: answer.index.0, age_ms, keys, has_more };
    let response = with_facts(json_response(&body), answer.index, answer.leader);
    Ok(with_age(response, &answer, consistency))
}

/// `PUT /api/v1/kv/{key}?cas=`: the body becomes the value.
pub(super) async fn put(
    State(api): State<Arc<Api>>,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let key = request::key(&uri)?;
    let expected = expected(&uri)?;
    // The announced size tells more than "too large for any request" would.
    if let Some(size_bytes) = request::announced_size_bytes(&headers)
        && size_bytes > VALUE_SIZE_BYTES_MAX as u64
    {
        return Err(KeyValueError::ValueTooLarge { size_bytes }.into());
    }
    let value = request::body(&headers, body).await?;
    let command = match expected {
        Some(expected) => Command::CompareAndSet { key, expected, value: Some(value) },
        None => Command::Put { key, value },
    };
    write(&api, &headers, command).await
}

/// `DELETE /api/v1/kv/{key}?cas=`.
pub(super) async fn delete(
    State(api): State<Arc<Api>>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let key = request::key(&uri)?;
    let command = match expected(&uri)? {
        Some(expected) => Command::CompareAndSet { key, expected, value: None },
        None => Command::Delete { key },
    };
    write(&api, &headers, command).await
}

/// `POST /api/v1/txn`.
pub(super) async fn transact(
    State(api): State<Arc<Api>>,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    Params::of(&uri)?.end()?;
    let bytes = request::body(&headers, body).await?;
    let body: TransactionBody = serde_json::from_slice(&bytes)
        .map_err(|error| request::malformed(format!("the body is no transaction ({error})")))?;
    write(&api, &headers, Command::Transaction(body.into())).await
}

fn expected(uri: &Uri) -> Result<Option<LogIndex>, ApiError> {
    let mut params = Params::of(uri)?;
    let expected = params.take_u64("cas")?;
    params.end()?;
    Ok(expected.map(LogIndex))
}

async fn ask(
    api: &Api,
    query: Query,
    consistency: Consistency,
) -> Result<(Answer, QueryReply), ApiError> {
    let answer = api.node.read(query.to_bytes()?, consistency).await?;
    match QueryReply::from_bytes(&answer.reply).map_err(|source| ApiError::Reply { source })? {
        QueryReply::Refused(source) => {
            Err(ApiError::KeyValue { source, index: Some(answer.index), leader: answer.leader })
        }
        reply @ (QueryReply::Get(_) | QueryReply::List { .. }) => Ok((answer, reply)),
    }
}

async fn write(api: &Api, headers: &HeaderMap, command: Command) -> Result<Response, ApiError> {
    let request_id = request::request_id(headers)?;
    let proposed = api.node.propose(command.to_bytes()?, request_id).await?;
    let Proposed { index, reply, leader } = proposed;
    let reply = Reply::from_bytes(&reply).map_err(|source| ApiError::Reply { source })?;
    let nothing =
        WriteBody { index: index.0, create_index: None, modify_index: None, existed: None };
    let response = match reply {
        Reply::Put { create_index, modify_index } => json_response(&WriteBody {
            create_index: Some(create_index.0),
            modify_index: Some(modify_index.0),
            ..nothing
        }),
        Reply::Delete { existed } => {
            json_response(&WriteBody { existed: Some(existed), ..nothing })
        }
        Reply::Transaction(replies) => json_response(&TransactionReplyBody {
            index: index.0,
            results: replies.into_iter().map(Into::into).collect(),
        }),
        Reply::Refused(source) => {
            let (index, leader) = (Some(index), Some(leader));
            return Err(ApiError::KeyValue { source, index, leader });
        }
    };
    Ok(with_facts(response, index, Some(leader)))
}

/// The machine answered another question than was asked: it is not a key-value store.
fn mixed_up() -> ApiError {
    let detail = "the answer to another question".to_owned();
    let source = crate::codec::CodecError::Malformed { what: "key-value answer", detail };
    ApiError::Reply { source }
}

pub(super) fn json_response<T: Serialize>(body: &T) -> Response {
    let mut response = request::json(body).into_response();
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(CONTENT_TYPE, json);
    response
}

fn with_facts(mut response: Response, index: LogIndex, leader: Option<NodeId>) -> Response {
    let headers = response.headers_mut();
    headers.insert(INDEX_HEADER, HeaderValue::from(index.0));
    if let Some(leader) = leader {
        headers.insert(LEADER_HEADER, request::header_of(leader));
    }
    response
}

fn with_age(mut response: Response, answer: &Answer, consistency: Consistency) -> Response {
    match consistency {
        Consistency::Stale => {
            response.headers_mut().insert(AGE_HEADER, HeaderValue::from(answer.age_ms));
        }
        Consistency::Linearizable => {}
    }
    response
}
