//! Why the key-value store refused. Each text: what happened; what changed; what to do.

use serde::{Deserialize, Serialize};

use super::{KEY_SIZE_BYTES_MAX, OPERATIONS_COUNT_MAX, TRANSACTION_SIZE_BYTES_MAX};
use super::{LIST_COUNT_MAX, VALUE_SIZE_BYTES_MAX};
use crate::ids::LogIndex;

/// Why a command or a query was refused. It travels in the reply, so every node and every client
/// tells the same story; new variants are added at the end.
///
/// No text quotes another library: two builds would word it differently, and replies are state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum KeyValueError {
    /// Retry does not help.
    #[error(
        "Q1101 a key has 1 to {max} bytes, not {size_bytes}; nothing was written; choose another",
        max = KEY_SIZE_BYTES_MAX
    )]
    KeySize {
        /// What was sent.
        size_bytes: u64,
    },
    /// Retry does not help.
    #[error(
        "Q1102 a value has at most {max} bytes, not {size_bytes}; nothing was written; \
         cut it into several keys",
        max = VALUE_SIZE_BYTES_MAX
    )]
    ValueTooLarge {
        /// What was sent.
        size_bytes: u64,
    },
    /// Retry does not help.
    #[error(
        "Q1103 the key is not UTF-8 after byte {valid_size_bytes}; nothing was written; \
         encode it, as base64 say"
    )]
    KeyNotUtf8 {
        /// How many of its bytes are UTF-8.
        valid_size_bytes: u64,
    },
    /// Retry does not help.
    #[error(
        "Q1104 {operations_count} operations of {size_bytes} bytes are too many \
         ({count_max} and {size_max} are allowed, and {count_max} checks); nothing was written; \
         send several transactions",
        count_max = OPERATIONS_COUNT_MAX,
        size_max = TRANSACTION_SIZE_BYTES_MAX
    )]
    TransactionTooLarge {
        /// How many operations, or checks if those are more.
        operations_count: u64,
        /// Size of all keys and values.
        size_bytes: u64,
    },
    /// Someone else was first. Retry after another read.
    #[error(
        "Q1105 {key:?} is at modify index {present}, not {expected} (0: no such key); \
         nothing was written; read it again and decide"
    )]
    CompareFailed {
        /// The first key that differs.
        key: String,
        /// What the command asked for; 0 if the key must not exist.
        expected: LogIndex,
        /// What it is; 0 if there is no such key.
        present: LogIndex,
    },
    /// Reads only.
    #[error("Q1106 there is no key {key:?}; nothing was changed; check its spelling")]
    NoSuchKey {
        /// The key.
        key: String,
    },
    /// Retry does not help.
    #[error(
        "Q1107 these bytes are no command that this build knows; nothing was written; \
         use a client of the same release"
    )]
    Malformed,
    /// Retry does not help.
    #[error(
        "Q1108 the transaction reads {size_bytes} bytes, at most {max} are answered; \
         nothing was written; read less at once",
        max = TRANSACTION_SIZE_BYTES_MAX
    )]
    AnswerTooLarge {
        /// What would have been answered.
        size_bytes: u64,
    },
    /// Retry does not help.
    #[error(
        "Q1109 a list answers 1 to {max} keys at once, not {limit}; nothing was changed; \
         ask for the rest after the last key",
        max = LIST_COUNT_MAX
    )]
    ListLimit {
        /// What was asked for.
        limit: u32,
    },
}
