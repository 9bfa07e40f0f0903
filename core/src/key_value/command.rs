//! What the key-value store is asked, what it answers, and the limits of both.
//!
//! All of these travel as `codec` bytes. Variants and fields are never reordered or removed, only
//! added at the end: a log may hold commands of an older release.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::error::KeyValueError;
use super::{
    KEY_SIZE_BYTES_MAX, LIST_COUNT_MAX, OPERATIONS_COUNT_MAX, TRANSACTION_SIZE_BYTES_MAX,
    VALUE_SIZE_BYTES_MAX,
};
use crate::codec::{self, CodecError};
use crate::ids::LogIndex;

/// A change, or several that happen together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Command {
    /// Sets a key, whether or not it exists.
    Put {
        /// Which.
        key: String,
        /// To what.
        value: Bytes,
    },
    /// Removes a key; it is no error if there is none.
    Delete {
        /// Which.
        key: String,
    },
    /// Sets or removes a key if nobody changed it since the caller read it.
    CompareAndSet {
        /// Which.
        key: String,
        /// Its modify index as the caller knows it; 0 if it must not exist.
        expected: LogIndex,
        /// To what; `None` removes it.
        value: Option<Bytes>,
    },
    /// Several operations, all or none.
    Transaction(Transaction),
}

/// Operations that are carried out in order if all checks hold.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transaction {
    /// What must hold before the first operation.
    pub checks: Vec<Check>,
    /// What is done. A read sees what the operations before it did.
    pub operations: Vec<Operation>,
}

/// A key must be as the caller last saw it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// Which.
    pub key: String,
    /// Its modify index; 0 if it must not exist.
    pub expected: LogIndex,
}

/// A step of a transaction.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Operation {
    /// Sets a key.
    Put {
        /// Which.
        key: String,
        /// To what.
        value: Bytes,
    },
    /// Removes a key; it is no error if there is none.
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

/// What a command did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reply {
    /// The key has its value.
    Put {
        /// The entry that made the key; an older one if it existed.
        create_index: LogIndex,
        /// The entry that set it: this command's.
        modify_index: LogIndex,
    },
    /// The key is gone.
    Delete {
        /// Whether there was one.
        existed: bool,
    },
    /// One answer per operation, in their order.
    Transaction(Vec<OperationReply>),
    /// Nothing was changed.
    Refused(KeyValueError),
}

/// What one operation of a transaction did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum OperationReply {
    /// The key has its value.
    Put {
        /// The entry that made the key.
        create_index: LogIndex,
        /// The entry that set it.
        modify_index: LogIndex,
    },
    /// The key is gone.
    Delete {
        /// Whether there was one.
        existed: bool,
    },
    /// What the key held; `None` if there is none.
    Get(Option<Found>),
}

/// A question.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Query {
    /// One key.
    Get {
        /// Which.
        key: String,
    },
    /// Keys in byte order.
    List {
        /// What they begin with; everything does with the empty one.
        prefix: String,
        /// Only keys after this one: the last of the list before.
        after: Option<String>,
        /// At most so many, 1 to [`LIST_COUNT_MAX`].
        limit: u32,
        /// Whether values are left out.
        keys_only: bool,
    },
}

/// The answer to a question.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum QueryReply {
    /// What the key holds; `None` if there is none.
    Get(Option<Found>),
    /// The keys.
    List {
        /// In byte order.
        listed: Vec<Listed>,
        /// Whether there are more after the last one.
        has_more: bool,
    },
    /// The question breaks a limit.
    Refused(KeyValueError),
}

/// What a key holds, and which entries made it so.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Found {
    /// The value.
    pub value: Bytes,
    /// The entry that made the key.
    pub create_index: LogIndex,
    /// The entry that set this value.
    pub modify_index: LogIndex,
}

/// One key of a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listed {
    /// The key.
    pub key: String,
    /// The value; `None` if only keys were asked for.
    pub value: Option<Bytes>,
    /// The entry that made the key.
    pub create_index: LogIndex,
    /// The entry that set this value.
    pub modify_index: LogIndex,
}

impl Command {
    /// The bytes to propose, if the command keeps all limits.
    pub fn to_bytes(&self) -> Result<Bytes, KeyValueError> {
        self.check()?;
        Ok(codec::encode(self).into())
    }

    /// Whether the command keeps all limits.
    pub fn check(&self) -> Result<(), KeyValueError> {
        match self {
            Command::Put { key, value } => check_key(key).and_then(|()| check_value(value)),
            Command::Delete { key } => check_key(key),
            Command::CompareAndSet { key, expected: _, value } => {
                check_key(key)?;
                value.as_ref().map_or(Ok(()), check_value)
            }
            Command::Transaction(transaction) => transaction.check(),
        }
    }
}

impl Transaction {
    fn check(&self) -> Result<(), KeyValueError> {
        let mut size_bytes = 0;
        for Check { key, expected: _ } in &self.checks {
            check_key(key)?;
            size_bytes += key.len();
        }
        for operation in &self.operations {
            match operation {
                Operation::Put { key, value } => {
                    check_key(key)?;
                    check_value(value)?;
                    size_bytes += key.len() + value.len();
                }
                Operation::Delete { key } | Operation::Get { key } => {
                    check_key(key)?;
                    size_bytes += key.len();
                }
            }
        }
        let count = self.operations.len().max(self.checks.len());
        if count <= OPERATIONS_COUNT_MAX && size_bytes <= TRANSACTION_SIZE_BYTES_MAX {
            return Ok(());
        }
        let (operations_count, size_bytes) = (count as u64, size_bytes as u64);
        Err(KeyValueError::TransactionTooLarge { operations_count, size_bytes })
    }
}

impl Query {
    /// The bytes to ask with, if the question keeps all limits.
    pub fn to_bytes(&self) -> Result<Bytes, KeyValueError> {
        self.check()?;
        Ok(codec::encode(self).into())
    }

    /// Whether the question keeps all limits.
    pub fn check(&self) -> Result<(), KeyValueError> {
        match self {
            Query::Get { key } => check_key(key),
            Query::List { prefix, after, limit, keys_only: _ } => {
                for text in [Some(prefix), after.as_ref()].into_iter().flatten() {
                    // Both may be empty, and neither may be longer than any key.
                    if !text.is_empty() {
                        check_key(text)?;
                    }
                }
                if (1..=LIST_COUNT_MAX).contains(limit) {
                    return Ok(());
                }
                Err(KeyValueError::ListLimit { limit: *limit })
            }
        }
    }
}

impl Reply {
    /// Reads what the state machine answered to a command.
    pub fn from_bytes(bytes: &[u8]) -> Result<Reply, CodecError> {
        codec::decode("key-value reply", bytes)
    }
}

impl QueryReply {
    /// Reads what the state machine answered to a question.
    pub fn from_bytes(bytes: &[u8]) -> Result<QueryReply, CodecError> {
        codec::decode("key-value answer", bytes)
    }
}

pub(super) fn check_key(key: &str) -> Result<(), KeyValueError> {
    if (1..=KEY_SIZE_BYTES_MAX).contains(&key.len()) {
        return Ok(());
    }
    Err(KeyValueError::KeySize { size_bytes: key.len() as u64 })
}

pub(super) fn check_value(value: &Bytes) -> Result<(), KeyValueError> {
    if value.len() <= VALUE_SIZE_BYTES_MAX {
        return Ok(());
    }
    Err(KeyValueError::ValueTooLarge { size_bytes: value.len() as u64 })
}
