//! The state machine of scenarios: names with values, as text.
//!
//! A command is `name=value`; a query is a name, or nothing for all of it, one `index name=value` a
//! line with the entry that set it. An empty value is none. What is no such command changes nothing
//! and is told so.

use std::collections::BTreeMap;

use bytes::Bytes;
use quorate_core::codec::CodecError;
use quorate_core::history::ValueHash;
use quorate_core::history::register::{Contents, Shown};
use quorate_core::ids::LogIndex;
use quorate_core::{SnapshotJob, StateMachine};

/// Names with values, and the entries that set them.
#[derive(Clone, Debug, Default)]
pub struct Register {
    values: Values,
}

type Values = BTreeMap<String, (LogIndex, String)>;

/// The command that gives `name` the value.
pub(super) fn command(name: &str, value: &str) -> Bytes {
    format!("{name}={value}").into()
}

/// What an empty query answered, as the verdict wants it.
pub(super) fn contents(text: &[u8]) -> Option<Contents> {
    let shown = |(name, (index, value)): (String, (LogIndex, String))| {
        let value_hash = ValueHash::of(value.as_bytes());
        (name, Shown { value_hash, modify_index: index.0 })
    };
    let has_value = |(_, (_, value)): &(String, (LogIndex, String))| !value.is_empty();
    Some(parsed(text)?.into_iter().filter(has_value).map(shown).collect())
}

fn parsed(text: &[u8]) -> Option<Values> {
    let parsed = |line: &str| {
        let (index, rest) = line.split_once(' ')?;
        let (name, value) = rest.split_once('=')?;
        Some((name.to_owned(), (LogIndex(index.parse().ok()?), value.to_owned())))
    };
    std::str::from_utf8(text).ok()?.lines().map(parsed).collect()
}

fn text_of(values: &Values) -> Bytes {
    let line = |(name, (index, value)): (&String, &(LogIndex, String))| {
        format!("{} {name}={value}\n", index.0)
    };
    values.iter().map(line).collect::<String>().into()
}

impl StateMachine for Register {
    fn apply(&mut self, index: LogIndex, command: &[u8]) -> Bytes {
        let text = std::str::from_utf8(command).ok().filter(|text| !text.contains('\n'));
        match text.and_then(|text| text.split_once('=')) {
            Some((name, value)) => {
                let before = self.values.insert(name.to_owned(), (index, value.to_owned()));
                before.map(|(_, value)| value).unwrap_or_default().into()
            }
            None => Bytes::from_static(b"no command"),
        }
    }

    fn query(&self, query: &[u8]) -> Bytes {
        if query.is_empty() {
            return text_of(&self.values);
        }
        let name = String::from_utf8_lossy(query);
        let found = self.values.get(name.as_ref());
        found.map(|(_, value)| value.clone()).unwrap_or_default().into()
    }

    fn snapshot(&self) -> SnapshotJob {
        let values = self.values.clone();
        Box::new(move || text_of(&values))
    }

    fn restore(&mut self, snapshot: &[u8]) -> Result<(), CodecError> {
        let detail = "a line without index and name".to_owned();
        let values = parsed(snapshot);
        self.values = values.ok_or(CodecError::Malformed { what: "register", detail })?;
        Ok(())
    }
}
