//! What a link counts.

use std::collections::BTreeMap;

use super::Path;
use crate::codec::{CodecError, Refusals};
use crate::ports::Now;

/// Totals since the link was opened, for status and metrics.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LinkCounts {
    /// Frames handed to the UDP socket.
    pub sent_udp_count: u64,
    /// Frames queued for a stream.
    pub sent_tcp_count: u64,
    /// Frames that found no room: a full socket buffer or queue.
    pub dropped_count: u64,
    /// Good frames that came as datagrams.
    pub received_udp_count: u64,
    /// Good frames that came over a stream.
    pub received_tcp_count: u64,
    /// Good frames whose receiver had a full mailbox.
    pub overrun_count: u64,
    /// Streams that failed or could not be opened, and errors of the sockets.
    pub failed_count: u64,
    /// Refused frames by `Q` code.
    pub refused_count: BTreeMap<&'static str, u64>,
}

impl LinkCounts {
    /// All of them by name, as metrics show them.
    pub fn figures(&self) -> Vec<(&'static str, u64)> {
        vec![
            ("link_sent_udp", self.sent_udp_count),
            ("link_sent_tcp", self.sent_tcp_count),
            ("link_dropped", self.dropped_count),
            ("link_received_udp", self.received_udp_count),
            ("link_received_tcp", self.received_tcp_count),
            ("link_overrun", self.overrun_count),
            ("link_failed", self.failed_count),
            ("link_refused", self.refused_count.values().sum()),
        ]
    }
}

#[derive(Debug, Default)]
pub(super) struct Counts {
    totals: LinkCounts,
    refused: Refusals,
}

impl Counts {
    pub(super) fn totals(&self) -> LinkCounts {
        LinkCounts { refused_count: self.refused.counts().clone(), ..self.totals.clone() }
    }

    pub(super) fn note_sent(&mut self, path: Path, is_sent: bool) {
        match (is_sent, path) {
            (false, Path::Udp | Path::Tcp) => self.totals.dropped_count += 1,
            (true, Path::Udp) => self.totals.sent_udp_count += 1,
            (true, Path::Tcp) => self.totals.sent_tcp_count += 1,
        }
    }

    pub(super) fn note_received(&mut self, path: Path, is_delivered: bool) {
        match path {
            Path::Udp => self.totals.received_udp_count += 1,
            Path::Tcp => self.totals.received_tcp_count += 1,
        }
        self.totals.overrun_count += u64::from(!is_delivered);
    }

    pub(super) fn note_failed(&mut self) {
        self.totals.failed_count += 1;
    }

    /// Counts a refused frame; true if a log line about its code is due.
    pub(super) fn note_refused(&mut self, now: Now, error: &CodecError) -> bool {
        self.refused.note(now, error)
    }
}
