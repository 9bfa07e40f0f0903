//! The state machine of scenarios: registers, lists, sets of unique names, and locks, as text.
//!
//! - `name=value` sets a register and answers the value before; an empty value is none.
//! - `swap name expected value` sets it if it holds `expected` (`-`: nothing): `ok`, or `no` and
//!   what it holds.
//! - `append list element` adds to the end of a list and answers its length.
//! - `insert name owner` takes a name that nobody has: `first`, or `there` and its owner.
//! - `lock name owner` takes a lock that is free: `granted`, or `held` and the holder's token. A
//!   token is the index of the entry that took the lock.
//! - `unlock name token` frees the lock that has this token, whoever asks: `free`, or `other`.
//!
//! A query is the name of a register, `list NAME`, or nothing for all of it. What is no such
//! command changes nothing and is told so. Names, values and owners hold no space and no line end.
//!
//! Read next: `deeds.rs` for the clients that use it, `checkers/` for what must come of it.

use std::collections::BTreeMap;
use std::fmt::Write;

use bytes::Bytes;
use quorate_core::codec::CodecError;
use quorate_core::history::ValueHash;
use quorate_core::history::register::{Contents, Shown};
use quorate_core::ids::LogIndex;
use quorate_core::{SnapshotJob, StateMachine};

/// What an empty register is called where a word is needed.
pub(super) const NOTHING: &str = "-";

/// Everything that the clients of a scenario have made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Objects {
    /// Values, and the entries that set them.
    pub registers: BTreeMap<String, (LogIndex, String)>,
    /// Elements, oldest first.
    pub lists: BTreeMap<String, Vec<String>>,
    /// Who took each name, and with which entry.
    pub inserted: BTreeMap<String, (LogIndex, String)>,
    /// Who holds each lock that is held, and its token.
    pub locks: BTreeMap<String, (LogIndex, String)>,
}

/// The command that gives `name` the value.
pub(super) fn put(name: &str, value: &str) -> Bytes {
    format!("{name}={value}").into()
}

impl Objects {
    /// The registers as the verdict wants them.
    pub(crate) fn contents(&self) -> Contents {
        let shown = |(name, (index, value)): (&String, &(LogIndex, String))| {
            let value_hash = ValueHash::of(value.as_bytes());
            (name.clone(), Shown { value_hash, modify_index: index.0 })
        };
        self.registers.iter().filter(|(_, (_, value))| !value.is_empty()).map(shown).collect()
    }

    /// What an empty query answered; `None` if it is something else.
    pub fn parse(text: &[u8]) -> Option<Objects> {
        let mut objects = Objects::default();
        for line in std::str::from_utf8(text).ok()?.lines() {
            let (kind, rest) = line.split_once(' ')?;
            match kind {
                "register" => {
                    let (index, rest) = rest.split_once(' ')?;
                    let (name, value) = rest.split_once('=')?;
                    let value = (LogIndex(index.parse().ok()?), value.to_owned());
                    objects.registers.insert(name.to_owned(), value);
                }
                "list" => {
                    let mut words = rest.split(' ').map(str::to_owned);
                    objects.lists.insert(words.next()?, words.collect());
                }
                "name" => drop(objects.inserted.insert(owned(rest)?.0, owned(rest)?.1)),
                "lock" => drop(objects.locks.insert(owned(rest)?.0, owned(rest)?.1)),
                _ => return None,
            }
        }
        Some(objects)
    }

    fn text(&self) -> String {
        let mut text = String::new();
        let mut line = |line: std::fmt::Arguments<'_>| {
            writeln!(text, "{line}").expect("text is written to memory");
        };
        for (name, (index, value)) in &self.registers {
            line(format_args!("register {} {name}={value}", index.0));
        }
        for (name, elements) in &self.lists {
            line(format_args!("list {name} {}", elements.join(" ")));
        }
        for (kind, owners) in [("name", &self.inserted), ("lock", &self.locks)] {
            for (name, (index, owner)) in owners {
                line(format_args!("{kind} {} {name} {owner}", index.0));
            }
        }
        text
    }

    /// Carries out a command; `None` if it is none.
    fn obey(&mut self, index: LogIndex, command: &str) -> Option<String> {
        if let Some((name, value)) = command.split_once('=') {
            let before = self.registers.insert(name.to_owned(), (index, value.to_owned()));
            return Some(before.map(|(_, value)| value).unwrap_or_default());
        }
        let words: Vec<&str> = command.split(' ').collect();
        Some(match words[..] {
            ["swap", name, expected, value] => {
                let held = self.registers.get(name).map_or("", |(_, value)| value.as_str());
                let held = if held.is_empty() { NOTHING } else { held };
                if held != expected {
                    return Some(format!("no {held}"));
                }
                self.registers.insert(name.to_owned(), (index, value.to_owned()));
                "ok".to_owned()
            }
            ["append", list, element] => {
                let elements = self.lists.entry(list.to_owned()).or_default();
                elements.push(element.to_owned());
                elements.len().to_string()
            }
            ["insert", name, owner] => match self.inserted.get(name) {
                Some((_, owner)) => format!("there {owner}"),
                None => {
                    self.inserted.insert(name.to_owned(), (index, owner.to_owned()));
                    "first".to_owned()
                }
            },
            ["lock", name, owner] => match self.locks.get(name) {
                Some((token, _)) => format!("held {}", token.0),
                None => {
                    self.locks.insert(name.to_owned(), (index, owner.to_owned()));
                    "granted".to_owned()
                }
            },
            ["unlock", name, token] => {
                let token = LogIndex(token.parse().ok()?);
                if self.locks.get(name).is_none_or(|(held, _)| *held != token) {
                    return Some("other".to_owned());
                }
                self.locks.remove(name);
                "free".to_owned()
            }
            _ => return None,
        })
    }
}

/// `index name owner`
fn owned(rest: &str) -> Option<(String, (LogIndex, String))> {
    let mut words = rest.split(' ');
    let (index, name, owner) = (words.next()?, words.next()?, words.next()?);
    Some((name.to_owned(), (LogIndex(index.parse().ok()?), owner.to_owned())))
}

impl StateMachine for Objects {
    fn apply(&mut self, index: LogIndex, command: &[u8]) -> Bytes {
        let text = std::str::from_utf8(command).ok().filter(|text| !text.contains('\n'));
        let told = text.and_then(|text| self.obey(index, text));
        told.unwrap_or_else(|| "no command".to_owned()).into()
    }

    fn query(&self, query: &[u8]) -> Bytes {
        let query = String::from_utf8_lossy(query);
        match query.split_once(' ') {
            None if query.is_empty() => self.text().into(),
            None => {
                let found = self.registers.get(query.as_ref());
                found.map(|(_, value)| value.clone()).unwrap_or_default().into()
            }
            Some(("list", name)) => {
                self.lists.get(name).map(|list| list.join(" ")).unwrap_or_default().into()
            }
            Some(_) => Bytes::from_static(b"no query"),
        }
    }

    fn snapshot(&self) -> SnapshotJob {
        let objects = self.clone();
        Box::new(move || objects.text().into())
    }

    fn restore(&mut self, snapshot: &[u8]) -> Result<(), CodecError> {
        let detail = "a line of no known kind".to_owned();
        let objects = Objects::parse(snapshot);
        *self = objects.ok_or(CodecError::Malformed { what: "objects", detail })?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_command_answers_and_the_whole_state_comes_back_from_its_text() {
        let mut objects = Objects::default();
        let table = [
            ("colour=blue", ""),
            ("swap colour red green", "no blue"),
            ("swap colour blue green", "ok"),
            ("swap new - one", "ok"),
            ("append list a", "1"),
            ("append list b", "2"),
            ("insert name c1", "first"),
            ("insert name c2", "there c1"),
            ("lock door c1", "granted"),
            ("lock door c2", "held 9"),
            ("unlock door 8", "other"),
            ("unlock door 9", "free"),
            ("lock door c2", "granted"),
            ("dance", "no command"),
            ("unlock door x", "no command"),
        ];
        for (at, (command, answer)) in (1..).zip(table) {
            let told = objects.apply(LogIndex(at), command.as_bytes());
            assert_eq!(String::from_utf8_lossy(&told), answer, "{command}");
        }
        assert_eq!(objects.query(b"colour").as_ref(), b"green");
        assert_eq!(objects.query(b"list list").as_ref(), b"a b");
        assert_eq!(objects.query(b"list none").as_ref(), b"");
        let mut restored = Objects::default();
        restored.restore(&(objects.snapshot())()).unwrap();
        assert_eq!(restored, objects);
        assert_eq!(Objects::parse(&objects.query(b"")), Some(objects));
        assert!(Objects::parse(b"nonsense 1").is_none());
    }
}
