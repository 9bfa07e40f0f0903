//! Refusals: how many frames were refused, by code, and when a log line about one is due.
//!
//! Invariants
//! - Every refusal is counted; a flood of one code is one log line per minute.

use std::collections::BTreeMap;

use super::CodecError;
use crate::ports::Now;

/// A flood of bad frames of one kind is one log line per this time.
const LOG_INTERVAL_MS: u64 = 60_000;

/// Refused frames by `Q` code.
#[derive(Debug, Default)]
pub(crate) struct Refusals {
    counts: BTreeMap<&'static str, u64>,
    logged_at: BTreeMap<&'static str, Now>,
}

impl Refusals {
    /// Counts a refused frame; true if a log line about its code is due.
    pub(crate) fn note(&mut self, now: Now, error: &CodecError) -> bool {
        let code = code_of(error);
        *self.counts.entry(code).or_default() += 1;
        let logged = self.logged_at.get(code);
        let is_due = logged.is_none_or(|at| now.ms_since(*at) >= LOG_INTERVAL_MS);
        if is_due {
            self.logged_at.insert(code, now);
        }
        is_due
    }

    /// How many there were of each code.
    pub(crate) fn counts(&self) -> &BTreeMap<&'static str, u64> {
        &self.counts
    }
}

/// The code that opens the error's text.
const fn code_of(error: &CodecError) -> &'static str {
    match error {
        CodecError::Magic(_) => "Q1201",
        CodecError::Protocol { .. } => "Q1202",
        CodecError::Cluster { .. } => "Q1203",
        CodecError::TooLarge { .. } => "Q1204",
        CodecError::Checksum { .. } => "Q1205",
        CodecError::Malformed { .. } => "Q1206",
        CodecError::Misrouted { .. } => "Q1207",
        CodecError::Silent { .. } => "Q1208",
        CodecError::Unprotected { .. } => "Q1209",
        CodecError::Replayed { .. } => "Q1210",
        CodecError::Impostor { .. } => "Q1213",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::Protocols;
    use crate::ids::NodeId;

    #[test]
    fn a_flood_of_refused_frames_is_counted_in_full_and_logged_once_per_minute() {
        let mut refusals = Refusals::default();
        let (magic, checksum) =
            (CodecError::Magic(1), CodecError::Checksum { found: 1, expected: 2 });
        assert!(refusals.note(Now::from_ms(0), &magic));
        assert!(!refusals.note(Now::from_ms(59_999), &magic));
        assert!(refusals.note(Now::from_ms(59_999), &checksum)); // another code, another line
        assert!(refusals.note(Now::from_ms(60_000), &magic));
        assert_eq!(refusals.counts(), &BTreeMap::from([("Q1201", 3), ("Q1205", 1)]));
    }

    #[test]
    fn a_refusal_is_counted_under_the_code_that_its_text_shows() {
        let text = || String::new();
        let errors = [
            CodecError::Magic(1),
            CodecError::Protocol { theirs: Protocols::only(9), ours: Protocols::OURS },
            CodecError::Cluster { theirs: text(), ours: text() },
            CodecError::TooLarge { size_bytes: 2, limit_bytes: 1 },
            CodecError::Checksum { found: 1, expected: 2 },
            CodecError::Malformed { what: "frame", detail: text() },
            CodecError::Misrouted { to: NodeId(1), this: NodeId(2) },
            CodecError::Silent { waited_ms: 2_000 },
            CodecError::Unprotected { detail: text() },
            CodecError::Replayed { from: NodeId(1), number: 7 },
            CodecError::Impostor { peer: NodeId(1), from: NodeId(2) },
        ];
        for error in errors {
            assert!(error.to_string().starts_with(code_of(&error)), "{error}");
        }
    }
}
