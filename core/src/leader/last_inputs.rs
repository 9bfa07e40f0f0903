//! What the log shows of leader's inputs if the process panics.
//!
//! Pure.

use super::Record;
use super::state::Input;
use crate::heartbeat::Health;
use crate::last_inputs::Brief;
use crate::replication::RaftRole;

impl Input {
    /// Its name and what tells it from the next one.
    pub(super) fn brief(&self) -> Brief {
        match self {
            Input::Consensus(report) => {
                let name = match report.role {
                    RaftRole::Learner => "ConsensusLearner",
                    RaftRole::Follower => "ConsensusFollower",
                    RaftRole::Candidate => "ConsensusCandidate",
                    RaftRole::Elected => "ConsensusElected",
                };
                let leader = report.leader.map_or(0, |leader| leader.0);
                Brief::of(name).with("election", report.term.election()).with("leader", leader)
            }
            Input::RecordApplied(applied) => {
                let (name, node) = match &applied.record {
                    Record::Acting { node, .. } => ("ActingApplied", node),
                    Record::Released { node, .. } => ("ReleasedApplied", node),
                };
                Brief::of(name).with("node", node.0).with("index", applied.index.0)
            }
            Input::QuorumAcked(acked) => {
                let sent_at_ms = acked.sent_at.ms();
                let election = acked.term.election();
                Brief::of("QuorumAcked").with("election", election).with("sent_at_ms", sent_at_ms)
            }
            Input::PeerHealth(report) => {
                let name = match report.health {
                    Health::Responsive => "PeerResponsive",
                    Health::Late => "PeerLate",
                    Health::Silent => "PeerSilent",
                };
                Brief::of(name).with("peer", report.peer.0)
            }
            Input::Paused(paused) => Brief::of("Paused").with("length_ms", paused.length_ms),
            Input::Switchover { request, to } => {
                let to = to.map_or(0, |to| to.0);
                Brief::of("Switchover").with("request", *request).with("to", to)
            }
            Input::ProgressAnswered { of, progress } => {
                let matching = progress.matching.0;
                Brief::of("ProgressAnswered").with("of", of.0).with("matching", matching)
            }
            Input::TimerFired => Brief::of("TimerFired"),
        }
    }
}
