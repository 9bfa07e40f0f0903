//! What a node knows of itself and its cluster at one moment, for people and programs.
//!
//! Nothing decides by it. What is known only from hearsay stands in a [`Fact`], with its age and
//! its source, so that an old view is never shown as the present one.
//!
//! Read next: [`Status`], then `api/health.rs` for who shows it.

use std::net::{IpAddr, SocketAddr};

use actix::prelude::*;
use serde::{Deserialize, Serialize};

pub use crate::heartbeat::Health;
use crate::ids::{LogIndex, NodeId};
use crate::replication::RaftRole;

/// Asks for the [`Status`]. Sent by the node's handle.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "Status")]
pub struct AskStatus;

/// The answer to [`AskStatus`], as `/cluster` shows it. Ids are numbers: 2 is n2.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// Who answers.
    pub node: NodeId,
    /// Its name in the settings.
    pub name: String,
    /// The cluster's name.
    pub cluster: String,
    /// The cluster's id, 32 hex digits.
    pub cluster_id: String,
    /// The node's term, as `generation.election`.
    pub term: String,
    /// Its part in that term.
    pub role: RaftRole,
    /// Who leads, as far as the node knows; see [`Status::has_leader`] if it is the node itself.
    pub leader: Option<NodeId>,
    /// Whether the node may act at this moment, by its clock.
    pub acting: bool,
    /// The fencing token with which it may act, as `generation.election`.
    pub token: Option<String>,
    /// Milliseconds since the node last heard from a leader; 0 on the leader itself.
    pub leader_age_ms: Option<u64>,
    /// Highest committed index that the node knows.
    pub commit_index: LogIndex,
    /// Highest index that it has executed.
    pub applied_index: LogIndex,
    /// The end of its log.
    pub last_index: LogIndex,
    /// The voters of the effective membership, ascending.
    pub voters: Vec<NodeId>,
    /// The learners, ascending.
    pub learners: Vec<NodeId>,
    /// Whether a change of the voters is under way.
    pub is_joint: bool,
    /// The roster, ascending by id; this node included.
    pub members: Vec<MemberStatus>,
    /// How much waits where.
    pub queues: Vec<Figure>,
    /// What was counted since the node started, such as `elections` and `snapshots_written`.
    pub counters: Vec<Figure>,
}

impl Status {
    /// Whether somebody leads, as far as the node knows. That it won an election itself is not
    /// enough: one that has lost its quorum stays elected, and may not act.
    pub fn has_leader(&self) -> bool {
        self.leader.is_some_and(|leader| leader != self.node || self.acting)
    }
}

/// What a node knows of one member.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberStatus {
    /// Its id.
    pub id: NodeId,
    /// Its name.
    pub name: String,
    /// Where its consensus port is.
    pub consensus: SocketAddr,
    /// Where its heartbeat and membership port is.
    pub membership: SocketAddr,
    /// Where its API is.
    pub api: SocketAddr,
    /// Its address in the committed roster. After a move the three above may be ahead of it.
    pub roster_address: IpAddr,
    /// What it is for: `full`, `witness` or `learner`.
    pub role: String,
    /// How gossip sees it: `alive`, `suspect` or `down`. `None` before anything was heard.
    pub view: Option<Fact<String>>,
    /// What direct pings say of it. `None` of the node itself, and before the first answer.
    pub health: Option<Fact<Health>>,
    /// How pings reach it, `udp` or `tcp`.
    pub path: Option<String>,
    /// The smoothed round-trip time in microseconds.
    pub rtt_us: Option<u64>,
    /// How far its log is known to match; only the leader knows.
    pub matching_index: Option<LogIndex>,
}

/// Something a node was told, and how long ago.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fact<T> {
    /// What.
    pub value: T,
    /// Milliseconds since it was last confirmed.
    pub age_ms: u64,
    /// Who says so: `gossip`, `ping`, `consensus`.
    pub source: String,
}

/// A named number. The name is lower case with underscores: it becomes part of a metric's name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Figure {
    /// What is counted.
    pub name: String,
    /// How much.
    pub value: u64,
}
