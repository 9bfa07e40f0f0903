//! Membership: who belongs to the cluster (the roster), and who is seen alive (the view).
//!
//! The roster is committed in the log and changed only there; gossip never changes it. Voters
//! change by one joint change at a time.
//!
//! Invariants
//! - A node id is allocated from the log and never used again.
//! - A member that is pinged is called down only if gossip and pings both say so.
//! - One change of the members is under way at a time.
//!
//! Read next: `state.rs`, then `roster.rs`, `admissions.rs`, `view.rs`, `change.rs`, `gossip.rs`.

mod actor;
#[cfg(test)]
mod admission_tests;
mod admissions;
#[cfg(feature = "observed")]
pub mod alone;
mod change;
pub(crate) mod gossip;
mod gossip_shell;
#[cfg(test)]
mod gossip_tests;
pub(crate) mod join_token;
mod last_inputs;
mod mailbox;
mod orders;
mod promotion;
pub mod roster;
#[cfg(test)]
mod roster_tests;
pub(crate) mod state;
#[cfg(test)]
mod tests;
mod view;
#[cfg(test)]
mod world_tests;

pub(crate) use actor::MembershipActor;
pub use admissions::{Admissions, Join, JoinRefusal, Joined, Token};
pub use join_token::{JoinToken, NoJoinToken};
pub(crate) use orders::{Orders, Outside};
pub use roster::{Member, PublicKey, Role, Roster, RosterChange, RosterOutcome};

use std::net::SocketAddr;

use actix::prelude::*;
use serde::{Deserialize, Serialize};

use crate::config::MemberSettings;
use crate::error::MembershipError;
use crate::heartbeat::Health;
use crate::ids::NodeId;
use crate::link::Path;

/// What gossip says of a member, and what the view makes of gossip and pings together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Liveness {
    /// Takes part.
    Alive,
    /// Someone, or one of the two signals, says that it does not.
    Suspect,
    /// Does not take part, as far as this node can know.
    Down,
}

/// A member is seen differently than before. Reported to whoever asked for it at start. Until its
/// first report a member counts as `Suspect`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Message)]
#[rtype(result = "()")]
pub struct ViewChanged {
    /// Which member.
    pub member: NodeId,
    /// How it is seen.
    pub liveness: Liveness,
}

/// A member says to be elsewhere than known. Reported to whoever connects to it. It is a hint: its
/// other ports are those of the roster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Message)]
#[rtype(result = "()")]
pub struct AddressLearnt {
    /// Which member.
    pub node: NodeId,
    /// Where its heartbeat and membership listen.
    pub membership: SocketAddr,
}

/// The committed roster changed, or was read from a snapshot or at start. Sent by replication
/// after every applied membership entry, refused ones excepted.
#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[rtype(result = "()")]
pub struct RosterApplied {
    /// All of it.
    pub roster: Roster,
}

/// Changes the members. Sent to the leader's node; answered with the ids it was about, once the
/// change is complete.
#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[rtype(result = "Result<Vec<NodeId>, MembershipError>")]
pub enum ChangeMembers {
    /// A joiner becomes a learner; answered when it has caught up.
    Add {
        /// Name, address and ports.
        settings: MemberSettings,
        /// Its key, if known.
        public_key: Option<PublicKey>,
        /// What it is for once promoted: `Full` or `Witness`.
        becomes: Role,
        /// Where it stands.
        zone: Option<String>,
    },
    /// Learners become voters, all in one joint change.
    Promote(Vec<NodeId>),
    /// Members leave for good, all in one joint change. The leader itself must hand over first.
    Remove(Vec<NodeId>),
}

/// Ordered from replication: writes a roster change through the log. Answered when it is applied
/// on this node; what `Roster::apply` refuses is `MembershipError::Refused`.
#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[rtype(result = "Result<RosterOutcome, MembershipError>")]
pub struct ProposeRoster {
    /// The change.
    pub change: RosterChange,
}

/// Ordered from replication: makes a member of the roster a learner of consensus, if it is not in
/// it yet. Answered when its log has caught up, or with `OutcomeUnknown` after a bounded time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Message)]
#[rtype(result = "Result<(), MembershipError>")]
pub struct AddLearner {
    /// The member.
    pub id: NodeId,
}

/// Ordered from replication: one joint change to exactly these voters. Who is voter before and not
/// after leaves consensus altogether. Answered when the final membership is committed.
#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[rtype(result = "Result<(), MembershipError>")]
pub struct ChangeVoters {
    /// Ascending, not empty.
    pub voters: Vec<NodeId>,
}

/// Ordered from replication: takes a learner out of consensus. Answered when that is committed,
/// and at once if it is not in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Message)]
#[rtype(result = "Result<(), MembershipError>")]
pub struct DropLearner {
    /// The learner.
    pub id: NodeId,
}

/// Asks for roster and view. Asked by the API for status and metrics.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "ViewTable")]
pub struct AskView;

/// The answer to [`AskView`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ViewTable {
    /// As applied on this node.
    pub roster: Roster,
    /// How this node sees the others, by ascending id.
    pub members: Vec<MemberView>,
}

/// How one member is seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemberView {
    /// Which member.
    pub member: NodeId,
    /// Both signals together.
    pub liveness: Liveness,
    /// What gossip says; `None` if it never heard of the member.
    pub gossip: Option<Liveness>,
    /// What pings say; `None` if this node does not ping it.
    pub health: Option<Health>,
    /// Where its heartbeat and membership are believed to listen.
    pub address: SocketAddr,
    /// By which path it is reached.
    pub path: Path,
}
