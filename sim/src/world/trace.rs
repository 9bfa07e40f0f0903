//! The event trace: a rolling hash over everything that happened, and the last events as text.
//!
//! Frames, disk operations, faults and what nodes say are in it, with node and time. Timers and
//! what actors tell each other are not: they are in [`observe::inputs_digest`], which a report's
//! event hash holds as well. Lines are formatted only when somebody reads them, because most runs
//! end well and nobody does.
//!
//! [`observe::inputs_digest`]: quorate_core::observe::inputs_digest
//!
//! Invariants
//! - What goes into the hash is data of the simulated world: no address in memory, no real time.
//! - Memory is bounded: the ring keeps [`LINES_COUNT_MAX`] events.
//!
//! Read next: [`Trace::record`], `context.rs` for where the trace lives.

use std::collections::VecDeque;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use super::recording::Recording;
use crate::choices::mix;

/// How many of the latest events can be shown.
pub(super) const LINES_COUNT_MAX: usize = 4_096;

/// What sort of event it is. The number goes into the hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A machine was started, crashed, frozen; a link was cut.
    World = 1,
    /// A frame reached a machine.
    Frame = 2,
    /// A machine used its disk.
    Disk = 3,
    /// A machine, or the scenario about it, said something.
    Note = 4,
}

/// What an event looks like to a reader; text only when asked for.
#[derive(Clone, Debug)]
pub(super) enum Line {
    Datagram { from: SocketAddr, to: SocketAddr, size_bytes: usize },
    Segment { from: SocketAddr, to: SocketAddr, what: &'static str, size_bytes: usize },
    Disk { operation: &'static str, path: Arc<PathBuf>, offset: u64, size_bytes: usize },
    Text(String),
}

impl fmt::Display for Line {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Line::Datagram { from, to, size_bytes } => {
                write!(out, "udp {from} -> {to} {size_bytes} B")
            }
            Line::Segment { from, to, what, size_bytes } => {
                write!(out, "tcp {from} -> {to} {what} {size_bytes} B")
            }
            Line::Disk { operation, path, offset, size_bytes } => {
                write!(out, "disk {operation} {} at {offset}, {size_bytes} B", path.display())
            }
            Line::Text(text) => out.write_str(text),
        }
    }
}

/// Everything that happened, as one number, and the latest of it, as text.
#[derive(Debug, Default)]
pub(super) struct Trace {
    names: Vec<String>,
    hash: u64,
    events_count: u64,
    lines: VecDeque<(u64, Option<usize>, Line)>,
    /// `None` unless the whole run is kept.
    pub(super) recording: Option<Recording>,
}

impl Trace {
    pub(super) fn name_machine(&mut self, name: &str) {
        self.names.push(name.to_owned());
    }

    pub(super) fn names(&self) -> &[String] {
        &self.names
    }

    pub(super) fn name(&self, machine: usize) -> &str {
        self.names.get(machine).map_or("?", String::as_str)
    }

    /// Adds one event to the hash and to the ring.
    ///
    /// `words` and `bytes` are its content for the hash; `line` is for people only.
    pub(super) fn record(
        &mut self,
        at_us: u64,
        machine: Option<usize>,
        kind: Kind,
        (words, bytes): (&[u64], &[u8]),
        line: Line,
    ) {
        self.fold(at_us);
        self.fold(machine.map_or(0, |index| index as u64 + 1) << 8 | kind as u64);
        for word in words {
            self.fold(*word);
        }
        self.fold(bytes.len() as u64);
        self.fold(u64::from(crc32fast::hash(bytes)));
        self.events_count += 1;
        self.show(at_us, machine, line);
    }

    /// Adds a line to the ring only, for text that may differ between equal runs.
    pub(super) fn show(&mut self, at_us: u64, machine: Option<usize>, line: Line) {
        if let Some(recording) = &mut self.recording {
            recording.line(at_us, machine, &line);
        }
        if self.lines.len() == LINES_COUNT_MAX {
            self.lines.pop_front();
        }
        self.lines.push_back((at_us, machine, line));
    }

    pub(super) fn hash(&self) -> u64 {
        self.hash
    }

    pub(super) fn events_count(&self) -> u64 {
        self.events_count
    }

    /// The latest events, oldest first, one line each.
    pub(super) fn last(&self, count: usize) -> Vec<String> {
        let skipped = self.lines.len().saturating_sub(count);
        let line = |(at_us, machine, line): &(u64, Option<usize>, Line)| {
            let name = machine.map_or("world", |index| self.name(index));
            format!("{:>10}.{:03} ms {name:<6} {line}", at_us / 1_000, at_us % 1_000)
        };
        self.lines.iter().skip(skipped).map(line).collect()
    }

    fn fold(&mut self, word: u64) {
        self.hash = mix(self.hash.rotate_left(5) ^ word);
    }
}
