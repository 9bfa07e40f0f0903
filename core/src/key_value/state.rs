//! The keys and what commands do to them. Pure.
//!
//! Everything that can refuse a command is checked before the first change, so there is nothing to
//! undo.

use std::ops::Bound;

use bytes::Bytes;
use imbl::OrdMap;

use super::command::{
    Check, Command, Found, Listed, Operation, OperationReply, Query, QueryReply, Reply, Transaction,
};
use super::error::KeyValueError;
use super::{LIST_SIZE_BYTES_MAX, TRANSACTION_SIZE_BYTES_MAX, snapshot};
use crate::codec::{self, CodecError};
use crate::ids::LogIndex;
use crate::observe::planted;
use crate::replication::machine::{SnapshotJob, StateMachine};

/// Keys in byte order. The map shares memory with its clones, which makes a snapshot cheap.
pub(super) type Keys = OrdMap<String, Found>;

/// The key-value store of one node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyValue {
    keys: Keys,
}

impl KeyValue {
    /// A store without keys.
    pub fn new() -> KeyValue {
        KeyValue::default()
    }

    /// How many keys there are.
    pub fn keys_count(&self) -> usize {
        self.keys.len()
    }

    /// What `key` holds; `None` if there is no such key.
    pub fn get(&self, key: &str) -> Option<&Found> {
        self.keys.get(key)
    }

    /// All keys in byte order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Found)> {
        self.keys.iter().map(|(key, found)| (key.as_str(), found))
    }

    /// A checksum over all keys, values and indexes, in order: two nodes that have applied the
    /// same entries have the same one.
    pub fn digest(&self) -> u32 {
        snapshot::digest(&self.keys)
    }

    /// Carries out one command. An error has changed nothing.
    pub fn execute(&mut self, index: LogIndex, command: Command) -> Result<Reply, KeyValueError> {
        command.check()?;
        match command {
            Command::Put { key, value } => Ok(self.put(index, key, value)),
            Command::Delete { key } => Ok(self.delete(&key)),
            Command::CompareAndSet { key, expected, value } => {
                self.compare(&key, expected)?;
                Ok(match value {
                    Some(value) => self.put(index, key, value),
                    None => self.delete(&key),
                })
            }
            Command::Transaction(transaction) => self.transact(index, transaction),
        }
    }

    /// Answers one question.
    pub fn answer(&self, query: Query) -> Result<QueryReply, KeyValueError> {
        query.check()?;
        match query {
            Query::Get { key } => Ok(QueryReply::Get(self.keys.get(&key).cloned())),
            Query::List { prefix, after, limit, keys_only } => {
                Ok(self.list(&prefix, after.as_deref(), limit, keys_only))
            }
        }
    }

    fn put(&mut self, index: LogIndex, key: String, value: Bytes) -> Reply {
        Reply::Put { create_index: self.set(index, key, value), modify_index: index }
    }

    fn delete(&mut self, key: &str) -> Reply {
        Reply::Delete { existed: self.keys.remove(key).is_some() }
    }

    /// Sets a key and returns which entry made it.
    fn set(&mut self, index: LogIndex, key: String, value: Bytes) -> LogIndex {
        let create_index = self.keys.get(&key).map_or(index, |found| found.create_index);
        self.keys.insert(key, Found { value, create_index, modify_index: index });
        create_index
    }

    fn compare(&self, key: &str, expected: LogIndex) -> Result<(), KeyValueError> {
        let present = self.keys.get(key).map_or(LogIndex(0), |found| found.modify_index);
        if present == expected {
            return Ok(());
        }
        Err(KeyValueError::CompareFailed { key: key.to_owned(), expected, present })
    }

    fn transact(
        &mut self,
        index: LogIndex,
        transaction: Transaction,
    ) -> Result<Reply, KeyValueError> {
        for Check { key, expected } in &transaction.checks {
            let compared = self.compare(key, *expected);
            if compared.is_err() && planted("transaction_despite_failed_check") {
                break;
            }
            compared?;
        }
        let size_bytes = self.answer_size_bytes(&transaction.operations);
        if size_bytes > TRANSACTION_SIZE_BYTES_MAX {
            return Err(KeyValueError::AnswerTooLarge { size_bytes: size_bytes as u64 });
        }
        let mut replies = Vec::with_capacity(transaction.operations.len());
        for operation in transaction.operations {
            replies.push(self.operate(index, operation));
        }
        Ok(Reply::Transaction(replies))
    }

    fn operate(&mut self, index: LogIndex, operation: Operation) -> OperationReply {
        match operation {
            Operation::Put { key, value } => {
                let create_index = self.set(index, key, value);
                OperationReply::Put { create_index, modify_index: index }
            }
            Operation::Delete { key } => {
                OperationReply::Delete { existed: self.keys.remove(&key).is_some() }
            }
            Operation::Get { key } => OperationReply::Get(self.keys.get(&key).cloned()),
        }
    }

    /// Size of all values that the operations will read, each seeing the ones before it.
    fn answer_size_bytes(&self, operations: &[Operation]) -> usize {
        let mut size_bytes = 0;
        for (at, operation) in operations.iter().enumerate() {
            let Operation::Get { key } = operation else { continue };
            let mut present = self.keys.get(key).map_or(0, |found| found.value.len());
            for earlier in &operations[..at] {
                match earlier {
                    Operation::Put { key: written, value } if written == key => {
                        present = value.len();
                    }
                    Operation::Delete { key: removed } if removed == key => present = 0,
                    Operation::Put { .. } | Operation::Delete { .. } | Operation::Get { .. } => {}
                }
            }
            size_bytes += present;
        }
        size_bytes
    }

    fn list(&self, prefix: &str, after: Option<&str>, limit: u32, keys_only: bool) -> QueryReply {
        let from = match after {
            Some(after) if after >= prefix => Bound::Excluded(after),
            Some(_) | None => Bound::Included(prefix),
        };
        let range = self.keys.range::<_, str>((from, Bound::Unbounded));
        let (mut listed, mut size_bytes, mut has_more) = (Vec::new(), 0, false);
        for (key, found) in range.take_while(|(key, _)| key.starts_with(prefix)) {
            size_bytes += key.len() + if keys_only { 0 } else { found.value.len() };
            let is_full = listed.len() >= limit as usize;
            if is_full || (size_bytes > LIST_SIZE_BYTES_MAX && !listed.is_empty()) {
                has_more = true;
                break;
            }
            listed.push(Listed {
                key: key.clone(),
                value: (!keys_only).then(|| found.value.clone()),
                create_index: found.create_index,
                modify_index: found.modify_index,
            });
        }
        QueryReply::List { listed, has_more }
    }
}

impl StateMachine for KeyValue {
    fn apply(&mut self, index: LogIndex, command: &[u8]) -> Bytes {
        let reply = match codec::decode("key-value command", command) {
            Ok(command) => self.execute(index, command).unwrap_or_else(Reply::Refused),
            Err(_) => Reply::Refused(KeyValueError::Malformed),
        };
        codec::encode(&reply).into()
    }

    fn query(&self, query: &[u8]) -> Bytes {
        let reply = match codec::decode("key-value query", query) {
            Ok(query) => self.answer(query).unwrap_or_else(QueryReply::Refused),
            Err(_) => QueryReply::Refused(KeyValueError::Malformed),
        };
        codec::encode(&reply).into()
    }

    fn snapshot(&self) -> SnapshotJob {
        let keys = self.keys.clone();
        Box::new(move || snapshot::to_bytes(&keys))
    }

    fn restore(&mut self, snapshot: &[u8]) -> Result<(), CodecError> {
        self.keys = snapshot::from_bytes(snapshot)?;
        Ok(())
    }
}
