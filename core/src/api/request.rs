//! Reading requests: paths, parameters, headers and bodies, each with a limit.

use std::time::Duration;

use axum::body::Body;
use axum::http::header::{CONTENT_LENGTH, HeaderValue};
use axum::http::{HeaderMap, Uri};
use bytes::Bytes;
use serde::Serialize;

use super::{ApiError, BODY_SIZE_BYTES_MAX, REQUEST_ID_HEADER};
use crate::ids::{NodeId, RequestId};
use crate::key_value::{self, KeyValueError};
use crate::replication::Consistency;

/// How long a body may take to arrive.
const BODY_TIMEOUT_MS: u64 = 30_000;

pub(super) const KEY_PATH: &str = "/api/v1/kv/";

/// The key that the rest of the path names, percent-decoded.
pub(super) fn key(uri: &Uri) -> Result<String, ApiError> {
    let encoded = uri.path().strip_prefix(KEY_PATH).unwrap_or_default();
    Ok(key_value::key_of(&percent_decoded(encoded, false)?)?.to_owned())
}

/// The parameters after the question mark. Unknown and repeated ones are refused: a misspelt
/// `cas` would otherwise overwrite what it was to protect.
pub(super) struct Params {
    left: Vec<(String, String)>,
}

impl Params {
    pub(super) fn of(uri: &Uri) -> Result<Params, ApiError> {
        let mut left: Vec<(String, String)> = Vec::new();
        let query = uri.query().unwrap_or_default();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let (name, value) = (text(name)?, text(value)?);
            if left.iter().any(|(present, _)| *present == name) {
                return Err(malformed(format!("parameter {name:?} is given twice")));
            }
            left.push((name, value));
        }
        Ok(Params { left })
    }

    pub(super) fn take(&mut self, name: &str) -> Option<String> {
        let at = self.left.iter().position(|(present, _)| present == name)?;
        Some(self.left.swap_remove(at).1)
    }

    pub(super) fn take_u64(&mut self, name: &str) -> Result<Option<u64>, ApiError> {
        let Some(value) = self.take(name) else { return Ok(None) };
        let number = value.parse();
        number.map(Some).map_err(|_| malformed(format!("{name}={value:?} is no number")))
    }

    /// `name`, `name=true` and `name=false`; false if absent.
    pub(super) fn take_bool(&mut self, name: &str) -> Result<bool, ApiError> {
        match self.take(name).as_deref() {
            None | Some("false") => Ok(false),
            Some("" | "true") => Ok(true),
            Some(value) => Err(malformed(format!("{name}={value:?} is neither true nor false"))),
        }
    }

    pub(super) fn take_consistency(&mut self) -> Result<Consistency, ApiError> {
        match self.take("consistency").as_deref() {
            None | Some("linearizable") => Ok(Consistency::Linearizable),
            Some("stale") => Ok(Consistency::Stale),
            Some(value) => {
                Err(malformed(format!("consistency={value:?} is neither linearizable nor stale")))
            }
        }
    }

    pub(super) fn end(self) -> Result<(), ApiError> {
        match self.left.first() {
            None => Ok(()),
            Some((name, _)) => Err(malformed(format!("parameter {name:?} is not known here"))),
        }
    }
}

fn text(encoded: &str) -> Result<String, ApiError> {
    let bytes = percent_decoded(encoded, true)?;
    String::from_utf8(bytes).map_err(|error| {
        KeyValueError::KeyNotUtf8 { valid_size_bytes: error.utf8_error().valid_up_to() as u64 }
            .into()
    })
}

/// `plus_is_space` holds in parameters, as HTML forms have it, and not in paths.
fn percent_decoded(encoded: &str, plus_is_space: bool) -> Result<Vec<u8>, ApiError> {
    let mut decoded = Vec::with_capacity(encoded.len());
    let mut rest = encoded.bytes();
    while let Some(byte) = rest.next() {
        decoded.push(match byte {
            b'%' => {
                let digits = [rest.next(), rest.next()];
                let value = digits.into_iter().try_fold(0, |value, digit| {
                    let digit = char::from(digit?).to_digit(16)?;
                    u8::try_from(digit).ok().map(|digit| value << 4 | digit)
                });
                value
                    .ok_or_else(|| malformed("a % is not followed by two hex digits".to_owned()))?
            }
            b'+' if plus_is_space => b' ',
            other => other,
        });
    }
    Ok(decoded)
}

/// The id that makes a retry harmless; [`RequestId::NONE`] if the client gave none.
pub(super) fn request_id(headers: &HeaderMap) -> Result<RequestId, ApiError> {
    let Some(value) = headers.get(REQUEST_ID_HEADER) else { return Ok(RequestId::NONE) };
    let digits = value.to_str().ok().filter(|text| text.len() == 32 && !text.starts_with('+'));
    let id = digits.and_then(|text| u128::from_str_radix(text, 16).ok()).map(RequestId);
    id.filter(|id| *id != RequestId::NONE).ok_or_else(|| {
        malformed(format!("{REQUEST_ID_HEADER} is not 32 hex digits, or all of them are zero"))
    })
}

/// The size that the client announces for its body, if it does.
pub(super) fn announced_size_bytes(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// The whole body. One that is announced as too large is not read at all.
pub(super) async fn body(headers: &HeaderMap, body: Body) -> Result<Bytes, ApiError> {
    if announced_size_bytes(headers).is_some_and(|size| size > BODY_SIZE_BYTES_MAX as u64) {
        return Err(ApiError::BodyTooLarge);
    }
    let read = axum::body::to_bytes(body, BODY_SIZE_BYTES_MAX);
    let Ok(read) = tokio::time::timeout(Duration::from_millis(BODY_TIMEOUT_MS), read).await else {
        return Err(ApiError::BodyTimeout { waited_ms: BODY_TIMEOUT_MS });
    };
    read.map_err(|error| {
        let cause = std::error::Error::source(&error);
        if cause.is_some_and(|cause| cause.is::<http_body_util::LengthLimitError>()) {
            return ApiError::BodyTooLarge;
        }
        malformed(format!("the body ended early ({error})"))
    })
}

/// The bytes of a value of ours as JSON.
pub(crate) fn json<T: Serialize>(value: &T) -> Vec<u8> {
    serde_json::to_vec(value).expect("our bodies have string keys and finite numbers")
}

pub(super) fn header_of(node: NodeId) -> HeaderValue {
    HeaderValue::try_from(node.to_string()).expect("a letter and digits")
}

pub(super) fn malformed(detail: String) -> ApiError {
    ApiError::Malformed { detail }
}
