//! The state machine of scenarios: names with values, as text.
//!
//! A command is `name=value`; a query is a name, or nothing for all of it, one `name=value` a line.
//! What is no such command changes nothing and is told so.

use std::collections::BTreeMap;

use bytes::Bytes;
use quorate_core::codec::CodecError;
use quorate_core::ids::LogIndex;
use quorate_core::{SnapshotJob, StateMachine};

/// Names with values.
#[derive(Clone, Debug, Default)]
pub struct Register {
    values: BTreeMap<String, String>,
}

/// The command that gives `name` the value.
pub(super) fn command(name: &str, value: &str) -> Bytes {
    format!("{name}={value}").into()
}

/// What an empty query answered, as a map.
pub(super) fn parsed(text: &[u8]) -> Option<BTreeMap<String, String>> {
    let lines = std::str::from_utf8(text).ok()?.lines();
    lines
        .map(|line| line.split_once('=').map(|(name, value)| (name.into(), value.into())))
        .collect()
}

fn text_of(values: &BTreeMap<String, String>) -> Bytes {
    let mut text = String::new();
    for (name, value) in values {
        text.extend([name, "=", value, "\n"]);
    }
    text.into()
}

impl StateMachine for Register {
    fn apply(&mut self, _index: LogIndex, command: &[u8]) -> Bytes {
        let text = std::str::from_utf8(command).ok().filter(|text| !text.contains('\n'));
        match text.and_then(|text| text.split_once('=')) {
            Some((name, value)) => {
                let before = self.values.insert(name.to_owned(), value.to_owned());
                before.unwrap_or_default().into()
            }
            None => Bytes::from_static(b"no command"),
        }
    }

    fn query(&self, query: &[u8]) -> Bytes {
        if query.is_empty() {
            return text_of(&self.values);
        }
        let name = String::from_utf8_lossy(query);
        self.values.get(name.as_ref()).cloned().unwrap_or_default().into()
    }

    fn snapshot(&self) -> SnapshotJob {
        let values = self.values.clone();
        Box::new(move || text_of(&values))
    }

    fn restore(&mut self, snapshot: &[u8]) -> Result<(), CodecError> {
        let detail = "a line without a name".to_owned();
        let values = parsed(snapshot);
        self.values = values.ok_or(CodecError::Malformed { what: "register", detail })?;
        Ok(())
    }
}
