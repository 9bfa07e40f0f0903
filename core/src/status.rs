//! What a node knows of itself and its cluster at one moment, for people and programs.
//!
//! Nothing decides by it. What is known only from hearsay stands in a [`Fact`], with its age and
//! its source, so that an old view is never shown as the present one.
//!
//! Read next: [`Status`], then `api/health.rs` for who shows it.

use std::fmt;
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

    /// The member that leads, if somebody does who is in the roster.
    pub fn leader_member(&self) -> Option<&MemberStatus> {
        let leader = self.leader.filter(|_| self.has_leader())?;
        self.members.iter().find(|member| member.id == leader)
    }

    /// The member of that name, or of that id, written as n2.
    pub fn member(&self, name: &str) -> Option<&MemberStatus> {
        let by_name = self.members.iter().find(|member| member.name == name);
        by_name.or_else(|| self.members.iter().find(|member| member.id.to_string() == name))
    }

    /// How many more voters may be lost, as far as this node knows who answers.
    pub fn tolerance(&self) -> Tolerance {
        let votes = |member: &&MemberStatus| self.voters.contains(&member.id);
        let answers = |member: &&MemberStatus| member.id == self.node || member.answers();
        let answering_count = self.members.iter().filter(votes).filter(answers).count();
        Tolerance::of(self.voters.len(), answering_count)
    }
}

impl Status {
    /// What keeps the cluster from surviving the loss of a node by itself, and what to do about it;
    /// `None` if there are three voters or more.
    pub fn missing_for_failover(&self) -> Option<&'static str> {
        missing_for_failover(self.voters.len(), self.members.len())
    }
}

fn missing_for_failover(voters_count: usize, members_count: usize) -> Option<&'static str> {
    match (voters_count, members_count) {
        (3.., _) => None,
        (_, 0 | 1) => {
            Some("not automatic: two more nodes must join; `quorate cluster token create --uses 2`")
        }
        (_, 2) => Some("not automatic: one more node must join; `quorate cluster token create`"),
        (_, 3..) => Some("not automatic yet: learners vote once they have caught up; wait"),
    }
}

/// How many voters a cluster has, how many of them answer, and how many must.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tolerance {
    /// All that vote.
    pub voters_count: usize,
    /// Those that answer, as far as the node knows that was asked; itself included if it votes.
    pub answering_count: usize,
    /// A majority of all.
    pub quorum_count: usize,
    /// How many more may be lost; `None` if the quorum is lost.
    pub losses: Option<usize>,
}

impl Tolerance {
    /// Of so many voters, of whom so many answer.
    pub fn of(voters_count: usize, answering_count: usize) -> Tolerance {
        let quorum_count = voters_count / 2 + 1;
        let losses = answering_count.checked_sub(quorum_count);
        Tolerance { voters_count, answering_count, quorum_count, losses }
    }

    /// What an operator should know about the number of voters; `None` if it is well chosen.
    pub fn advice(&self) -> Option<&'static str> {
        match self.voters_count {
            1 => Some("one voter survives no loss: add two nodes"),
            even if even % 2 == 0 => Some(
                "an even number survives no more than one voter less would, and losing exactly \
                 half stops it: add a node",
            ),
            _ => None,
        }
    }
}

impl fmt::Display for Tolerance {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.losses {
            None => write!(out, "the quorum is lost")?,
            Some(0) => write!(out, "no node may be lost now")?,
            Some(1) => write!(out, "1 node may be lost now")?,
            Some(losses) => write!(out, "{losses} nodes may be lost now")?,
        }
        let Tolerance { voters_count, answering_count, quorum_count, .. } = self;
        write!(out, ": {answering_count} of {voters_count} voters answer, {quorum_count} must")?;
        self.advice().map_or(Ok(()), |advice| write!(out, "; {advice}"))
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

impl MemberStatus {
    /// Whether nothing says that it does not: neither gossip nor pings.
    pub fn answers(&self) -> bool {
        let is_down = self.view.as_ref().is_some_and(|view| view.value == "down");
        let is_silent = self.health.as_ref().is_some_and(|seen| seen.value == Health::Silent);
        !is_down && !is_silent
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_cluster_lacks_is_said_until_it_has_three_voters() {
        for (voters, members, says) in [
            (0, 0, "not automatic: two more nodes"),
            (1, 1, "not automatic: two more nodes"),
            (1, 2, "not automatic: one more node"),
            (2, 2, "not automatic: one more node"),
            (1, 3, "not automatic yet: learners"),
            (2, 3, "not automatic yet: learners"),
        ] {
            let missing = missing_for_failover(voters, members).expect("something");
            assert!(missing.starts_with(says), "{voters} {members}: {missing}");
        }
        assert_eq!(missing_for_failover(3, 3), None);
    }

    #[test]
    fn what_may_be_lost_is_said_in_a_sentence() {
        for (voters, answering, losses, says) in [
            (3, 3, Some(1), "1 node may be lost now: 3 of 3 voters answer, 2 must"),
            (3, 2, Some(0), "no node may be lost now: 2 of 3 voters answer, 2 must"),
            (3, 1, None, "the quorum is lost: 1 of 3 voters answer, 2 must"),
            (5, 5, Some(2), "2 nodes may be lost now: 5 of 5 voters answer, 3 must"),
            (1, 1, Some(0), "no node may be lost now: 1 of 1 voters answer, 1 must; one voter"),
            (4, 4, Some(1), "1 node may be lost now: 4 of 4 voters answer, 3 must; an even number"),
            (4, 2, None, "the quorum is lost: 2 of 4 voters answer, 3 must; an even number"),
            (0, 0, None, "the quorum is lost: 0 of 0 voters answer, 1 must"),
        ] {
            let tolerance = Tolerance::of(voters, answering);
            assert_eq!(tolerance.losses, losses, "{voters} {answering}");
            assert!(tolerance.to_string().starts_with(says), "{tolerance}");
        }
        assert_eq!(Tolerance::of(5, 5).advice(), None);
    }
}
