//! A node: four actors wired together, and the handle through which others use them.
//!
//! It decides nothing. [`start`] is the only way to make a node, for the daemon, for embedders and
//! for the simulator alike.
//!
//! Read next: `start.rs` for who knows whom, then the actors' own rooms.

mod answering;
mod book;
pub(crate) mod identity;
mod joining;
mod registrar;
mod reporter;
mod start;
mod stored;
#[cfg(feature = "api")]
mod users;
mod wire;

pub use joining::AdmissionError;
pub use start::start;
#[cfg(feature = "api")]
pub(crate) use stored::{KEY, SECRET};

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use bytes::Bytes;

use crate::codec::Identity;
use crate::config::{ConfigError, MemberSettings};
use crate::error::{MembershipError, ReadError, SwitchoverError, WriteError};
use crate::ids::{ClusterId, NodeId, RequestId};
use crate::leader::{Leadership, Switchover};
use crate::membership::{ChangeMembers, Roster};
use crate::ports::Env;
use crate::replication::{Answer, Consistency, Propose, Proposed, Read, Stop, StoreError, Write};
use crate::security::{ClusterSecret, Fingerprint};
use crate::status::{AskStatus, Status};
#[cfg(feature = "api")]
use crate::users::LocalAdmin;
use crate::watch;

/// Why a node did not start. Nothing was left running.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The settings do not hold together.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A port is taken, or the address is not this machine's.
    #[error("Q1501 {at} cannot be listened on: {detail}; nothing was started; free the port")]
    Port {
        /// The address and port.
        at: SocketAddr,
        /// What the system says.
        detail: String,
    },
    /// The store cannot be opened.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The data directory refuses.
    #[error("Q1502 the data directory refuses: {detail}; nothing was started; check the disk")]
    Disk {
        /// What the system says.
        detail: String,
    },
    /// The data directory is that of another node.
    #[error("Q1503 {detail}; nothing was started; correct node.name or node.data_dir")]
    Identity {
        /// What does not fit.
        detail: String,
    },
    /// There is neither an identity nor anything of which to make one.
    #[error(
        "Q1507 this node has no cluster, and its settings list no members; nothing was started; \
         let it start or join one first"
    )]
    NoCluster,
    /// A file that says who this node is cannot be read as such.
    #[error(
        "Q1506 {file} is damaged: {detail}; nothing was started; remove this node, add a new one"
    )]
    Damaged {
        /// Relative to the data directory.
        file: &'static str,
        /// What is wrong with it.
        detail: String,
    },
    /// The newest snapshot cannot be read by this program.
    #[error(
        "Q1504 the snapshot cannot be restored: {detail}; nothing was started; is this the \
             right program for this data?"
    )]
    Snapshot {
        /// What is wrong with it.
        detail: String,
    },
    /// Consensus refuses the settings or the store.
    #[error("Q1505 consensus does not start: {detail}; nothing was started; report this")]
    Consensus {
        /// What it says.
        detail: String,
    },
}

/// A running node, as programs use it. Cheap to clone; dropping the last one does not stop the
/// node.
#[derive(Clone)]
pub struct NodeHandle {
    pub(crate) inner: Arc<Inner>,
}

/// What a handle is made of. Recipients instead of actor addresses, so that a test can answer.
pub(crate) struct Inner {
    pub(crate) identity: Identity,
    /// The order by which the node started or joined its cluster, if it was one.
    pub(crate) order: RequestId,
    /// Its name, and where it listens.
    pub(crate) place: MemberSettings,
    /// The cluster's, if there is one.
    pub(crate) secret: Option<ClusterSecret>,
    pub(crate) env: Env,
    /// Whose password the API asks for before the cluster has users; `None` if it asks nobody.
    #[cfg(feature = "api")]
    pub(crate) local_admin: Option<LocalAdmin>,
    pub(crate) propose: Recipient<Propose>,
    pub(crate) read: Recipient<Read>,
    pub(crate) switchover: Recipient<Switchover>,
    pub(crate) members: Recipient<ChangeMembers>,
    pub(crate) roster_write: Recipient<Write>,
    pub(crate) status: Recipient<AskStatus>,
    pub(crate) stop: Recipient<Stop>,
    pub(crate) leadership: watch::Receiver<Leadership>,
    pub(crate) roster: watch::Receiver<Roster>,
    pub(crate) ended: watch::Receiver<Option<String>>,
}

impl NodeHandle {
    /// The node's id in its cluster.
    pub fn node(&self) -> NodeId {
        self.inner.identity.node
    }

    /// What clients know its cluster by; `None` without a secret.
    pub fn authority(&self) -> Option<Fingerprint> {
        self.inner.secret.as_ref().map(ClusterSecret::fingerprint)
    }

    /// The id of the cluster that it belongs to.
    pub fn cluster(&self) -> ClusterId {
        self.inner.identity.cluster
    }

    /// Who belongs to the cluster, as far as this node has applied the log; empty before anything
    /// was founded.
    pub fn roster(&self) -> Roster {
        self.inner.roster.borrow().clone()
    }

    /// Writes a command and waits until it is durable on a quorum and applied.
    pub async fn propose(
        &self,
        command: Bytes,
        request_id: RequestId,
    ) -> Result<Proposed, WriteError> {
        let sent = self.inner.propose.send(Propose { command, request_id }).await;
        sent.unwrap_or(Err(WriteError::Stopping { this: self.node() }))
    }

    /// Asks the state machine.
    pub async fn read(&self, query: Bytes, consistency: Consistency) -> Result<Answer, ReadError> {
        let sent = self.inner.read.send(Read { query, consistency }).await;
        sent.unwrap_or(Err(ReadError::Stopping { this: self.node() }))
    }

    /// Hands leadership to `to`, or to the fittest voter; returns who has it.
    pub async fn switchover(&self, to: Option<NodeId>) -> Result<NodeId, SwitchoverError> {
        let sent = self.inner.switchover.send(Switchover { to }).await;
        sent.unwrap_or(Err(SwitchoverError::NotLeader { this: self.node() }))
    }

    /// Changes the members, through the leader's node only; returns whom it was about.
    pub async fn change_members(
        &self,
        change: ChangeMembers,
    ) -> Result<Vec<NodeId>, MembershipError> {
        let sent = self.inner.members.send(change).await;
        sent.unwrap_or(Err(MembershipError::NotLeader { this: self.node() }))
    }

    /// What the node knows of itself and its cluster; `None` if it is stopping.
    pub async fn status(&self) -> Option<Status> {
        self.inner.status.send(AskStatus).await.ok()
    }

    /// Ends the node: no new requests, no listeners, everything acknowledged durable. It stays a
    /// member. Leadership is not handed over; see [`NodeHandle::switchover`].
    pub async fn stop(&self) {
        // The mailbox is closed only once the node has ended.
        let _ = self.inner.stop.send(Stop).await;
    }

    /// Waits until the node cannot go on, and says why: its disk failed, for one. A program then
    /// ends its process; the rest of the cluster goes on.
    pub async fn failed(&self) -> String {
        let mut ended = self.inner.ended.clone();
        let failed = ended.wait_for(Option::is_some).await;
        let reason = failed.ok().and_then(|()| ended.borrow().clone());
        reason.unwrap_or_else(|| "it was stopped".to_owned())
    }

    /// Follows who may act, from the present state on.
    pub fn watch_leadership(&self) -> LeadershipWatch {
        LeadershipWatch { env: self.inner.env.clone(), changes: self.inner.leadership.clone() }
    }
}

/// A stream of [`Leadership`] values. A slow reader skips to the newest.
#[derive(Clone)]
pub struct LeadershipWatch {
    env: Env,
    changes: watch::Receiver<Leadership>,
}

impl LeadershipWatch {
    /// The present state.
    pub fn current(&self) -> Leadership {
        self.changes.borrow().clone()
    }

    /// Whether this node may act at this moment, by its clock.
    pub fn may_act(&self) -> bool {
        self.changes.borrow().may_act(self.env.clock.now())
    }

    /// For how long this node may still act if nothing else happens, by its clock; nothing if it
    /// may not.
    pub fn time_left(&self) -> Duration {
        let (leadership, now) = (self.changes.borrow(), self.env.clock.now());
        match leadership.may_act(now) {
            true => leadership.lease_until.since(now),
            false => Duration::ZERO,
        }
    }

    /// Waits for the next change; `None` once the node has ended.
    pub async fn changed(&mut self) -> Option<Leadership> {
        self.changes.changed().await.ok()?;
        Some(self.changes.borrow_and_update().clone())
    }
}
