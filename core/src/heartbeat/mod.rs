//! Heartbeat: judges which peers are responsive from the pings they answer.
//!
//! Every voter is pinged directly, over UDP, and over TCP where UDP is blocked. It also notices
//! when this node itself was paused, and says so before anything else.
//!
//! Invariants
//! - One lost ping changes nothing.
//! - Health is advice: nothing here grants or revokes leadership; `leader/state.rs` does.
//!
//! Read next: [`state`], then `actor.rs` for the shell.

mod actor;
mod last_inputs;
mod peer;
pub mod state;
#[cfg(test)]
mod tests;

pub use actor::{HeartbeatActor, Reports};

use std::fmt;
use std::net::SocketAddr;

use actix::prelude::*;
use serde::{Deserialize, Serialize};

use crate::ids::NodeId;
use crate::link::Path;
use crate::ports::Now;

/// What direct pings say of a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Health {
    /// Answers in time.
    Responsive,
    /// Missed more than one ping.
    Late,
    /// Missed `missed_pings_max` of them.
    Silent,
}

/// The word for people; programs are told the variant's name.
impl fmt::Display for Health {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Health::Responsive => "responsive",
            Health::Late => "late",
            Health::Silent => "silent",
        })
    }
}

/// A peer's health changed. Reported to leader and membership.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Message)]
#[rtype(result = "()")]
pub struct PeerHealth {
    /// Of whom.
    pub peer: NodeId,
    /// What it is.
    pub health: Health,
}

/// A good part of what passes between this node and a peer gets lost, or does no more. Reported to
/// replication.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Message)]
#[rtype(result = "()")]
pub struct PeerLoss {
    /// Which peer.
    pub peer: NodeId,
    /// Whether it is so: a quarter of the last 16 pings had no answer in their interval.
    pub is_lossy: bool,
}

/// This node did not run for a while. Reported to leader.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Message)]
#[rtype(result = "()")]
pub struct Paused {
    /// How late a timer fired.
    pub length_ms: u64,
}

/// A peer is reached by another path than before. Reported to membership, whose gossip follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Message)]
#[rtype(result = "()")]
pub struct PathChanged {
    /// Which peer.
    pub peer: NodeId,
    /// By which path from now on. Every peer starts with UDP.
    pub path: Path,
}

/// Whom to ping from now on, and where. Sent by membership whenever the roster, or an address that
/// gossip has learnt, changes. This node is not among them.
#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[rtype(result = "()")]
pub struct SetPeers {
    /// All of them.
    pub peers: Vec<(NodeId, SocketAddr)>,
}

/// Asks how all peers are. Asked by the API for status and metrics.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "Vec<PeerPulse>")]
pub struct AskPulse;

/// How one peer is, as direct pings see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerPulse {
    /// Which peer.
    pub peer: NodeId,
    /// Where it is pinged.
    pub address: SocketAddr,
    /// The last verdict; `Late` also for one that was never heard yet.
    pub health: Health,
    /// By which path it is reached.
    pub path: Path,
    /// Pings in a row without an answer.
    pub missed_count: u32,
    /// When the last answer came, by this node's clock.
    pub heard_at: Option<Now>,
    /// How long answers took; `None` before the first.
    pub round_trip: Option<RoundTrip>,
}

/// Time from a ping to its pong, in microseconds, since the peer became one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RoundTrip {
    /// The latest.
    pub last_us: u64,
    /// A moving average over about eight of them.
    pub smoothed_us: u64,
    /// The shortest.
    pub min_us: u64,
    /// The longest.
    pub max_us: u64,
}
