//! Request and response over streams: frames, handshake, deadlines, reconnects.
//!
//! It decides when a connection is given up: at its first error, and at the first call that misses
//! its deadline, because a wedged stream gives no other sign. It never repeats a request: whether
//! that is safe, only the caller knows.
//!
//! Invariants
//! - A call gets exactly one outcome, and not later than its deadline or that of the call for which
//!   the connection is being made.
//! - No call waits for a connection that takes longer than a connection may: it was not sent, and
//!   the caller may know better by now whom to ask.
//! - Nothing is read from a stream before its handshake has shown cluster, lineage and protocol.
//! - Every frame after the handshake is in the protocol that it chose; another one ends the
//!   connection.
//!
//! Read next: [`Client`], then [`Server`].

mod client;
mod server;
#[cfg(test)]
mod tests;
mod wire;

pub use client::{Calling, Client};
pub use server::{Answering, Refused, Server};

use serde::{Deserialize, Serialize};

/// Why a call has no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// The request never left this node. Retry is safe.
    #[error("Q1211 {peer} cannot be reached: {detail}; nothing was sent; is it running?")]
    Unreachable {
        /// Who was called.
        peer: crate::ids::NodeId,
        /// What the network said.
        detail: String,
    },
    /// The request was sent, and may have been executed.
    #[error("Q1212 no answer from {peer}: {detail}; it may have been executed; retry with care")]
    NoAnswer {
        /// Who was called.
        peer: crate::ids::NodeId,
        /// What happened to the connection.
        detail: String,
    },
}

/// The first frame of each direction.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Hello {
    /// The oldest protocol the sender speaks.
    oldest: u16,
    /// The newest one.
    newest: u16,
}

/// Number of one call on its connection, from 0; an answer carries that of its question.
type CallNumber = u64;
