//! A node: four actors wired together, and the handle through which others use them.

use std::sync::Arc;

use actix::prelude::*;
use bytes::Bytes;
use tokio::sync::watch;

use crate::error::{ReadError, SwitchoverError, WriteError};
use crate::ids::{NodeId, RequestId};
use crate::leader::{Leadership, Switchover};
use crate::ports::Env;
use crate::replication::{Answer, Consistency, Propose, Proposed, Read};

/// A running node, as programs use it. Cheap to clone; dropping the last one does not stop the node.
#[derive(Clone)]
pub struct NodeHandle {
    pub(crate) inner: Arc<Inner>,
}

/// What a handle is made of. Recipients instead of actor addresses, so that a test can answer.
pub(crate) struct Inner {
    pub(crate) node: NodeId,
    pub(crate) env: Env,
    pub(crate) propose: Recipient<Propose>,
    pub(crate) read: Recipient<Read>,
    pub(crate) switchover: Recipient<Switchover>,
    pub(crate) leadership: watch::Receiver<Leadership>,
}

impl NodeHandle {
    /// The node's id in its cluster.
    pub fn node(&self) -> NodeId {
        self.inner.node
    }

    /// Writes a command and waits until it is durable on a quorum and applied.
    pub async fn propose(
        &self,
        command: Bytes,
        request_id: RequestId,
    ) -> Result<Proposed, WriteError> {
        let sent = self.inner.propose.send(Propose { command, request_id }).await;
        sent.unwrap_or(Err(WriteError::Stopping { this: self.inner.node }))
    }

    /// Asks the state machine.
    pub async fn read(&self, query: Bytes, consistency: Consistency) -> Result<Answer, ReadError> {
        let sent = self.inner.read.send(Read { query, consistency }).await;
        sent.unwrap_or(Err(ReadError::Stopping { this: self.inner.node }))
    }

    /// Hands leadership to `to`, or to the fittest voter; returns who has it.
    pub async fn switchover(&self, to: Option<NodeId>) -> Result<NodeId, SwitchoverError> {
        let sent = self.inner.switchover.send(Switchover { to }).await;
        sent.unwrap_or(Err(SwitchoverError::NotLeader { this: self.inner.node }))
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

    /// Waits for the next change; `None` once the node has ended.
    pub async fn changed(&mut self) -> Option<Leadership> {
        self.changes.changed().await.ok()?;
        Some(self.changes.borrow_and_update().clone())
    }
}
