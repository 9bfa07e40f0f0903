//! Log lines of a machine become notes in the event trace.
//!
//! Invariants
//! - Only our own code's lines enter the hash: libraries print clock readings and addresses that
//!   differ between equal runs. Their warnings are shown, not hashed.
//! - What runs between the machines leaves no note.
//!
//! Read next: `trace.rs`.

use std::fmt::{Debug, Write};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

use super::context;
use super::trace::{Kind, Line};

/// Libraries below us, by the beginning of their targets, and the least that their lines must be to
/// be shown. openraft warns of every call that a fault makes fail.
const FOREIGN_TARGETS: [(&str, Level); 9] = [
    ("openraft", Level::ERROR),
    ("actix", Level::WARN),
    ("hyper", Level::WARN),
    ("foca", Level::WARN),
    ("tokio", Level::WARN),
    ("redb", Level::WARN),
    ("rustls", Level::WARN),
    ("tower", Level::WARN),
    ("turmoil", Level::WARN),
];

/// The level from which on lines of `target` are shown; `None` if it is our own code.
fn foreign_level(target: &str) -> Option<Level> {
    let found = FOREIGN_TARGETS.iter().find(|(foreign, _)| target.starts_with(foreign));
    found.map(|(_, level)| *level)
}

/// Writes a line as its text, then its fields in the order of the code.
struct Text(String);

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let written = match field.name() {
            "message" => write!(self.0, "{value:?}"),
            name => write!(self.0, " {name}={value:?}"),
        };
        written.expect("writing to a string does not fail");
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "message" => self.0.push_str(value),
            name => write!(self.0, " {name}={value}").expect("writing to a string does not fail"),
        }
    }
}

/// The subscriber of a simulating thread.
pub(super) struct Notes;

impl Subscriber for Notes {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        let shown = foreign_level(metadata.target()).unwrap_or(Level::INFO);
        metadata.is_event() && *metadata.level() <= shown
    }

    fn max_level_hint(&self) -> Option<tracing::level_filters::LevelFilter> {
        Some(tracing::level_filters::LevelFilter::INFO)
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let Some(machine) = context::machine() else {
            return;
        };
        let metadata = event.metadata();
        if context::is_silenced() {
            return;
        }
        let mut text = Text(format!("{} ", metadata.level()));
        event.record(&mut text);
        if foreign_level(metadata.target()).is_some() {
            let now_us = context::now_us();
            context::with_trace(|trace| trace.show(now_us, Some(machine), Line::Text(text.0)));
        } else {
            context::record_text(Some(machine), Kind::Note, &text.0);
        }
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}
