//! What a link counts, and when it may write a log line about a refused frame.

use std::collections::BTreeMap;

use super::Path;
use crate::codec::CodecError;
use crate::ports::Now;

/// A flood of bad frames of one kind is one log line per this time.
const LOG_INTERVAL_MS: u64 = 60_000;

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
    logged_at: BTreeMap<&'static str, Now>,
}

impl Counts {
    pub(super) fn totals(&self) -> LinkCounts {
        self.totals.clone()
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
    pub(super) fn note_refused(&mut self, now: Now, code: &'static str) -> bool {
        *self.totals.refused_count.entry(code).or_default() += 1;
        let logged = self.logged_at.get(code);
        let is_due = logged.is_none_or(|at| now.ms_since(*at) >= LOG_INTERVAL_MS);
        if is_due {
            self.logged_at.insert(code, now);
        }
        is_due
    }
}

/// The code that opens the error's text.
pub(super) const fn code_of(error: &CodecError) -> &'static str {
    match error {
        CodecError::Magic(_) => "Q1201",
        CodecError::Protocol { .. } => "Q1202",
        CodecError::Cluster { .. } => "Q1203",
        CodecError::TooLarge { .. } => "Q1204",
        CodecError::Checksum { .. } => "Q1205",
        CodecError::Malformed { .. } => "Q1206",
        CodecError::Misrouted { .. } => "Q1207",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::NodeId;

    #[test]
    fn a_flood_of_refused_frames_is_counted_in_full_and_logged_once_per_minute() {
        let mut counts = Counts::default();
        assert!(counts.note_refused(Now::from_ms(0), "Q1201"));
        assert!(!counts.note_refused(Now::from_ms(59_999), "Q1201"));
        assert!(counts.note_refused(Now::from_ms(59_999), "Q1205")); // another code, another line
        assert!(counts.note_refused(Now::from_ms(60_000), "Q1201"));
        assert_eq!(counts.totals().refused_count, BTreeMap::from([("Q1201", 3), ("Q1205", 1)]));
    }

    #[test]
    fn a_refusal_is_counted_under_the_code_that_its_text_shows() {
        let text = || String::new();
        let errors = [
            CodecError::Magic(1),
            CodecError::Protocol { theirs: 9, oldest: 1, newest: 1 },
            CodecError::Cluster { theirs: text(), ours: text() },
            CodecError::TooLarge { size_bytes: 2, limit_bytes: 1 },
            CodecError::Checksum { found: 1, expected: 2 },
            CodecError::Malformed { what: "frame", detail: text() },
            CodecError::Misrouted { to: NodeId(1), this: NodeId(2) },
        ];
        for error in errors {
            assert!(error.to_string().starts_with(code_of(&error)), "{error}");
        }
    }
}
