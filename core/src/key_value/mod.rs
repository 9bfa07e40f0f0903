//! Key-value: the first state machine that runs on the log.
//!
//! It decides what a command does to the keys, and refuses what breaks a limit. It never decides
//! when a command is applied, and it never repeats one: `replication/` does both.
//!
//! Invariants
//! - A key is UTF-8 of 1 to [`KEY_SIZE_BYTES_MAX`] bytes, a value at most [`VALUE_SIZE_BYTES_MAX`].
//! - A command is carried out as a whole or, with [`Reply::Refused`], not at all.
//! - The same commands at the same indexes give the same bytes in [`KeyValue::digest`] everywhere.
//!
//! Limits are checked twice: by who sends a command, so that nothing useless goes through the log,
//! and when it is applied, because anyone may propose bytes.
//!
//! Read next: [`Command`] and [`Query`], then [`KeyValue`] in `state.rs`, then `snapshot.rs`.

mod command;
mod error;
mod snapshot;
mod state;
#[cfg(test)]
mod tests;

pub use command::{
    Check, Command, Found, Listed, Operation, OperationReply, Query, QueryReply, Reply, Transaction,
};
pub use error::KeyValueError;
pub use state::KeyValue;

/// The longest key in bytes. The shortest has one.
pub const KEY_SIZE_BYTES_MAX: usize = 1_024;
/// The largest value in bytes; it may be empty.
pub const VALUE_SIZE_BYTES_MAX: usize = 512 << 10;
/// The largest sum of a transaction's keys and values in bytes, and of the values it reads.
pub const TRANSACTION_SIZE_BYTES_MAX: usize = 1 << 20;
/// The most operations of one transaction, and the most checks.
pub const OPERATIONS_COUNT_MAX: usize = 64;
/// The most keys that one list answers.
pub const LIST_COUNT_MAX: u32 = 1_000;
/// The size in bytes of keys and values after which a list is cut. It has at least one key.
pub const LIST_SIZE_BYTES_MAX: usize = 1 << 20;

/// The key in `bytes`, if it is one: UTF-8 of a size between the limits.
pub fn key_of(bytes: &[u8]) -> Result<&str, KeyValueError> {
    let key = std::str::from_utf8(bytes).map_err(|error| KeyValueError::KeyNotUtf8 {
        valid_size_bytes: error.valid_up_to() as u64,
    })?;
    command::check_key(key)?;
    Ok(key)
}
