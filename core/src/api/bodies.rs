//! The JSON bodies, as server and clients write and read them. Values are base64, indexes numbers.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::ids::LogIndex;
use crate::key_value::{Check, Found, Listed, Operation, OperationReply, Transaction};

/// What a transaction is to do: the body of `POST /api/v1/txn`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TransactionBody {
    /// What must hold.
    #[serde(default)]
    pub checks: Vec<CheckBody>,
    /// What is done then, in this order.
    pub operations: Vec<OperationBody>,
}

/// A key must be as the client last saw it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CheckBody {
    /// Which.
    pub key: String,
    /// Its modify index; 0 if it must not exist.
    pub modify_index: u64,
}

/// One step, as `{"put": {"key": .., "value": ..}}`, `{"delete": ..}` or `{"get": ..}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum OperationBody {
    /// Sets a key.
    Put {
        /// Which.
        key: String,
        /// To what.
        #[serde(with = "base64_text")]
        value: Bytes,
    },
    /// Removes a key.
    Delete {
        /// Which.
        key: String,
    },
    /// Reads a key.
    Get {
        /// Which.
        key: String,
    },
}

/// What a transaction did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TransactionReplyBody {
    /// The entry that did it.
    pub index: u64,
    /// One answer per operation.
    pub results: Vec<OperationReplyBody>,
}

/// What one operation did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OperationReplyBody {
    /// The key has its value.
    Put {
        /// The entry that made the key.
        create_index: u64,
        /// The entry that set it.
        modify_index: u64,
    },
    /// The key is gone.
    Delete {
        /// Whether there was one.
        existed: bool,
    },
    /// What the key held; null if there is none.
    Get(Option<FoundBody>),
}

/// What a key holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FoundBody {
    /// The value.
    #[serde(with = "base64_text")]
    pub value: Bytes,
    /// The entry that made the key.
    pub create_index: u64,
    /// The entry that set this value.
    pub modify_index: u64,
}

/// What a put or delete did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WriteBody {
    /// The entry that did it; of a repeated request id, the first one.
    pub index: u64,
    /// Of a put: the entry that made the key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub create_index: Option<u64>,
    /// Of a put: the entry that set it, which is what a later `cas` names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub modify_index: Option<u64>,
    /// Of a delete: whether there was such a key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub existed: Option<bool>,
}

/// The answer to `GET /api/v1/kv`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListBody {
    /// The log index at which the list holds.
    pub index: u64,
    /// Of a stale answer: how old it may be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub age_ms: Option<u64>,
    /// In byte order.
    pub keys: Vec<KeyBody>,
    /// Whether more follow; ask with `after=` the last key.
    pub has_more: bool,
}

/// One key of a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyBody {
    /// The key.
    pub key: String,
    /// The value, unless only keys were asked for.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "base64_text_option")]
    pub value: Option<Bytes>,
    /// The entry that made the key.
    pub create_index: u64,
    /// The entry that set this value.
    pub modify_index: u64,
}

impl From<TransactionBody> for Transaction {
    fn from(body: TransactionBody) -> Transaction {
        let checks = body.checks.into_iter();
        let operations = body.operations.into_iter().map(|operation| match operation {
            OperationBody::Put { key, value } => Operation::Put { key, value },
            OperationBody::Delete { key } => Operation::Delete { key },
            OperationBody::Get { key } => Operation::Get { key },
        });
        Transaction {
            checks: checks
                .map(|check| Check { key: check.key, expected: LogIndex(check.modify_index) })
                .collect(),
            operations: operations.collect(),
        }
    }
}

impl From<OperationReply> for OperationReplyBody {
    fn from(reply: OperationReply) -> OperationReplyBody {
        match reply {
            OperationReply::Put { create_index, modify_index } => OperationReplyBody::Put {
                create_index: create_index.0,
                modify_index: modify_index.0,
            },
            OperationReply::Delete { existed } => OperationReplyBody::Delete { existed },
            OperationReply::Get(found) => OperationReplyBody::Get(found.map(FoundBody::from)),
        }
    }
}

impl From<Found> for FoundBody {
    fn from(found: Found) -> FoundBody {
        let Found { value, create_index, modify_index } = found;
        FoundBody { value, create_index: create_index.0, modify_index: modify_index.0 }
    }
}

impl From<Listed> for KeyBody {
    fn from(listed: Listed) -> KeyBody {
        let Listed { key, value, create_index, modify_index } = listed;
        KeyBody { key, value, create_index: create_index.0, modify_index: modify_index.0 }
    }
}

mod base64_text {
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;
    use bytes::Bytes;
    use serde::{Deserialize, Deserializer, Serializer, de};

    pub(super) fn serialize<S: Serializer>(value: &Bytes, out: S) -> Result<S::Ok, S::Error> {
        out.serialize_str(&STANDARD.encode(value))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Bytes, D::Error> {
        let text = String::deserialize(from)?;
        STANDARD.decode(text).map(Bytes::from).map_err(de::Error::custom)
    }
}

mod base64_text_option {
    use bytes::Bytes;
    use serde::{Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(
        value: &Option<Bytes>,
        out: S,
    ) -> Result<S::Ok, S::Error> {
        match value {
            Some(value) => super::base64_text::serialize(value, out),
            None => out.serialize_none(),
        }
    }

    /// Absent values never come here, because the field has a default.
    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Option<Bytes>, D::Error> {
        super::base64_text::deserialize(from).map(Some)
    }
}
