//! What the log shows of replication's inputs if the process panics.
//!
//! Pure.

use super::RaftRole;
use super::state::Input;
use crate::last_inputs::Brief;

impl Input {
    /// Its name and what tells it from the next one.
    pub(super) fn brief(&self) -> Brief {
        match self {
            Input::WriteAsked { write, size_bytes, waiting_count: _, is_forwarded: _ } => {
                Brief::of("WriteAsked").with("write", *write).with("size_bytes", *size_bytes)
            }
            Input::WriteBounced { write, is_forwarded: _ } => {
                Brief::of("WriteBounced").with("write", *write)
            }
            Input::ReadAsked { read } => Brief::of("ReadAsked").with("read", *read),
            Input::ReadsConfirmed { index, waited_ms } => {
                let index = index.map_or(0, |index| index.0);
                Brief::of("ReadsConfirmed").with("index", index).with("waited_ms", *waited_ms)
            }
            Input::LeaderChanged { role, leader } => {
                let name = match role {
                    RaftRole::Learner => "FactsLearner",
                    RaftRole::Follower => "FactsFollower",
                    RaftRole::Candidate => "FactsCandidate",
                    RaftRole::Elected => "FactsElected",
                };
                Brief::of(name).with("leader", leader.map_or(0, |leader| leader.0))
            }
            Input::WritesPaused { paused } => {
                Brief::of("WritesPaused").with("paused", u64::from(*paused))
            }
            Input::Stopping => Brief::of("Stopping"),
            Input::Applied { since_snapshot_bytes } => {
                Brief::of("Applied").with("since_snapshot_bytes", *since_snapshot_bytes)
            }
        }
    }
}
