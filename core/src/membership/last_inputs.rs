//! What the log shows of membership's inputs if the process panics.
//!
//! Pure.

use super::Liveness;
use super::state::Input;
use crate::heartbeat::Health;
use crate::last_inputs::Brief;
use crate::link::Path;

impl Input {
    /// Its name and what tells it from the next one.
    pub(super) fn brief(&self) -> Brief {
        match self {
            Input::Started => Brief::of("Started"),
            Input::TimerFired => Brief::of("TimerFired"),
            Input::Heard { member, liveness, address: _ } => {
                let name = match liveness {
                    Liveness::Alive => "HeardAlive",
                    Liveness::Suspect => "HeardSuspect",
                    Liveness::Down => "HeardDown",
                };
                Brief::of(name).with("member", member.0)
            }
            Input::HealthChanged { peer, health } => {
                let name = match health {
                    Health::Responsive => "HealthResponsive",
                    Health::Late => "HealthLate",
                    Health::Silent => "HealthSilent",
                };
                Brief::of(name).with("peer", peer.0)
            }
            Input::PathChanged { peer, path } => {
                let name = match path {
                    Path::Udp => "PathUdp",
                    Path::Tcp => "PathTcp",
                };
                Brief::of(name).with("peer", peer.0)
            }
            Input::RosterApplied { roster } => {
                Brief::of("RosterApplied").with("members_count", roster.members().count() as u64)
            }
            Input::ConsensusChanged { report } => {
                let leader = report.leader.map_or(0, |leader| leader.0);
                let voters_count = report.voters.len() as u64;
                Brief::of("ConsensusChanged").with("leader", leader).with("voters", voters_count)
            }
            Input::ChangeRequested { request, change: _ } => {
                Brief::of("ChangeRequested").with("request", *request)
            }
            Input::OrderDone { outcome } => {
                Brief::of("OrderDone").with("is_ok", u64::from(outcome.is_ok()))
            }
        }
    }
}
