//! What a replication actor is made of, and whom it tells. It decides nothing.

use std::net::SocketAddr;

use actix::prelude::*;

use super::consensus::{Consensus, Lines, SharedMachine};
use super::store::LogStore;
use super::work::Tasks;
use super::{ConsensusReport, QuorumAcked};
use crate::ids::NodeId;
use crate::ports::Env;
use crate::watch;

/// Who is told what consensus says.
pub(crate) struct Reports {
    pub(crate) consensus: Vec<Recipient<ConsensusReport>>,
    pub(crate) acked: Recipient<QuorumAcked>,
}

/// What a replication actor is made of.
pub(crate) struct Parts {
    pub(crate) env: Env,
    pub(crate) this: NodeId,
    pub(crate) consensus: Consensus,
    pub(crate) machine: SharedMachine,
    pub(crate) lines: Lines,
    pub(crate) log: LogStore,
    pub(crate) tasks: Tasks,
    pub(crate) write_timeout_ms: u64,
    /// Silence after which a leader counts as none.
    pub(crate) silence_ms_max: u64,
    pub(crate) reports: Reports,
    pub(crate) ended: watch::Sender<Option<String>>,
    pub(crate) learn: Learn,
}

/// Takes a member and where its heartbeat and membership listen.
pub(crate) type Learn = Box<dyn Fn(NodeId, SocketAddr)>;
