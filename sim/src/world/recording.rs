//! A whole run kept in memory: every message with its way, and every line, for whoever draws it.
//!
//! Off unless asked for: most runs end well and nobody looks.
//!
//! Invariants
//! - Nothing here enters the event hash: a run that is kept is the same run.
//!
//! Read next: [`Recording`], `trace.rs` for what is kept of every run.

use turmoil_net::{Packet, Transport};

use super::trace::Line;

/// What became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It reached the machine, or its doorstep.
    Arrives,
    /// It was dropped on the way.
    Lost,
}

/// One datagram, or one segment of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Microseconds of the world when it left its machine, or was tried again.
    pub sent_us: u64,
    /// When it arrives; if it is lost, when it left.
    pub arrives_us: u64,
    /// Machine, by its place.
    pub from: usize,
    /// Machine, by its place.
    pub to: usize,
    /// The port it goes to.
    pub port: u16,
    /// `udp`, or `open`, `data`, `ack`, `end`, `reset` of a stream.
    pub what: &'static str,
    /// Bytes of content.
    pub size_bytes: usize,
    /// What became of it.
    pub fate: Fate,
}

/// Something that a machine did, said or suffered, or that the world did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    /// Microseconds of the world.
    pub at_us: u64,
    /// Machine, by its place; `None` for what concerns several.
    pub machine: Option<usize>,
    /// What a reader is told.
    pub text: String,
}

/// All of a run.
#[derive(Clone, Debug, Default)]
pub struct Recording {
    /// Names of the machines, by their place.
    pub names: Vec<String>,
    /// In the order in which they left.
    pub messages: Vec<Message>,
    /// Faults and notes, in order. Uses of disks and arrivals are left out.
    pub marks: Vec<Mark>,
}

impl Recording {
    /// Keeps the line if it is one for readers.
    pub(super) fn line(&mut self, at_us: u64, machine: Option<usize>, line: &Line) {
        match line {
            Line::Text(text) => self.marks.push(Mark { at_us, machine, text: text.clone() }),
            Line::Datagram { .. } | Line::Segment { .. } | Line::Disk { .. } => {}
        }
    }

    /// Keeps a message; `way`: its machines.
    pub(super) fn message(
        &mut self,
        (sent_us, arrives_us): (u64, u64),
        (from, to): (usize, usize),
        packet: &Packet,
        fate: Fate,
    ) {
        let (what, port, size_bytes) = described(packet);
        self.messages.push(Message { sent_us, arrives_us, from, to, port, what, size_bytes, fate });
    }
}

fn described(packet: &Packet) -> (&'static str, u16, usize) {
    match &packet.payload {
        Transport::Udp(datagram) => ("udp", datagram.dst_port, datagram.payload.len()),
        Transport::Tcp(segment) => {
            let (flags, size_bytes) = (segment.flags, segment.payload.len());
            let what = match (flags.rst, flags.syn, flags.fin, size_bytes) {
                (true, ..) => "reset",
                (_, true, ..) => "open",
                (_, _, true, _) => "end",
                (_, _, _, 0) => "ack",
                _ => "data",
            };
            (what, segment.dst_port, size_bytes)
        }
    }
}
