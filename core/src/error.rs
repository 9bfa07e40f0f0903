//! Why a request was not answered. Each text: what happened; what changed; what to do.
//!
//! Codes: Q10xx requests to the cluster, Q11xx key-value input, Q12xx bytes, Q13xx settings, Q14xx
//! disk and store, Q15xx start, Q16xx HTTP, Q17xx command line. A code never changes its meaning.

use serde::{Deserialize, Serialize};

use crate::ids::NodeId;

/// Why a write was not acknowledged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum WriteError {
    /// Retry is safe.
    #[error("Q1001 {this} is not the leader; nothing was written; send it to {leader}")]
    NotLeader {
        /// Who answers.
        this: NodeId,
        /// Who leads, as far as `this` knows.
        leader: NodeId,
    },
    /// The entry may still commit: the one write error that must not be retried blindly.
    #[error(
        "Q1002 no majority within {waited_ms} ms; may still take effect; retry with the same id"
    )]
    OutcomeUnknown {
        /// How long was waited.
        waited_ms: u64,
    },
    /// Retry is safe.
    #[error("Q1003 no leader is known to {this}; nothing was written; retry in a moment")]
    NoLeader {
        /// Who answers.
        this: NodeId,
    },
    /// Retry is safe.
    #[error("Q1004 {waiting_count} writes wait already; nothing was written; retry in a moment")]
    Overloaded {
        /// How many wait.
        waiting_count: u64,
    },
    /// Retry does not help.
    #[error("Q1005 {size_bytes} bytes exceed {limit_bytes}; nothing was written; write less")]
    TooLarge {
        /// What was sent.
        size_bytes: u64,
        /// What is allowed.
        limit_bytes: u64,
    },
    /// Retry is safe, at another node.
    #[error("Q1006 {this} is stopping; nothing was written; ask another node")]
    Stopping {
        /// Who answers.
        this: NodeId,
    },
    /// Retry is safe.
    #[error(
        "Q1007 the elected node hands over or has lost its quorum; nothing was written; \
         retry in a moment"
    )]
    HandingOver,
}

/// Why a read was not answered. Reads change nothing; retry is always safe.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum ReadError {
    /// The node cannot learn what the newest acknowledged write is.
    #[error(
        "Q1011 no majority confirmed the read within {waited_ms} ms; nothing was changed; \
         retry, or ask for a stale answer"
    )]
    NotConfirmed {
        /// How long was waited.
        waited_ms: u64,
    },
    /// Nobody to ask.
    #[error(
        "Q1012 no leader is known to {this}; nothing was changed; retry, or ask for a stale answer"
    )]
    NoLeader {
        /// Who answers.
        this: NodeId,
    },
    /// At another node it may work.
    #[error("Q1013 {this} is stopping; nothing was changed; ask another node")]
    Stopping {
        /// Who answers.
        this: NodeId,
    },
    /// Too many wait.
    #[error("Q1014 {waiting_count} reads wait already; nothing was changed; retry in a moment")]
    Overloaded {
        /// How many wait.
        waiting_count: u64,
    },
}

/// Why leadership was not handed over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum SwitchoverError {
    /// Ask the leader.
    #[error("Q1021 {this} does not lead; nothing was changed; ask the leader")]
    NotLeader {
        /// Who answers.
        this: NodeId,
    },
    /// The target cannot lead.
    #[error("Q1022 {to} is no voter that was heard lately; nothing was changed; choose another")]
    Unfit {
        /// The target; `NodeId(0)` if none was named and none is fit.
        to: NodeId,
    },
    /// The target did not catch up in time; this node leads on.
    #[error("Q1023 {to} did not catch up in {waited_ms} ms; this node leads on; retry later")]
    Behind {
        /// The target.
        to: NodeId,
        /// How long writes were paused for it.
        waited_ms: u64,
    },
    /// Handed over, but nobody confirmed: an ordinary election follows.
    #[error("Q1024 {to} did not take over in time; an election follows; look at the status")]
    NotTaken {
        /// The target.
        to: NodeId,
    },
    /// One is under way.
    #[error("Q1025 leadership is being handed over already; nothing was changed; wait")]
    UnderWay,
}

/// Why a change of the members was refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum MembershipError {
    /// Ask the leader.
    #[error("Q1031 {this} does not lead; the members are as before; ask the leader")]
    NotLeader {
        /// Who answers.
        this: NodeId,
    },
    /// The roster refuses it.
    #[error("Q1032 {detail}; nothing was changed; look at the roster")]
    Refused {
        /// Why.
        detail: String,
    },
    /// The change may still take effect.
    #[error("Q1033 not confirmed within {waited_ms} ms; may still take effect; look at the roster")]
    OutcomeUnknown {
        /// How long was waited.
        waited_ms: u64,
    },
    /// One change at a time.
    #[error("Q1034 another change is under way; nothing was changed; wait for it")]
    UnderWay,
}
