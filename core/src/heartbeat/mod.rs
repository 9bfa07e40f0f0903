//! Heartbeat: judges which peers are responsive from the pings they answer.
//!
//! Every voter is pinged directly, over UDP, and over TCP where UDP is blocked. It also notices
//! when this node itself was paused, and says so before anything else.
//!
//! Invariants
//! - One lost ping changes nothing.
//! - Health is advice: nothing here grants or revokes leadership; `leader/state.rs` does.
//!
//! Read next: `state.rs`.

use actix::prelude::*;
use serde::{Deserialize, Serialize};

use crate::ids::NodeId;

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

/// A peer's health changed. Reported to leader and membership.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Message)]
#[rtype(result = "()")]
pub struct PeerHealth {
    /// Of whom.
    pub peer: NodeId,
    /// What it is.
    pub health: Health,
}

/// This node did not run for a while. Reported to leader.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Message)]
#[rtype(result = "()")]
pub struct Paused {
    /// How late a timer fired.
    pub length_ms: u64,
}
