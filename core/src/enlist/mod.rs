//! Enlisting: how a node without a cluster gets one, by an order to start or to join.
//!
//! It is a stage before [`node::start`](crate::node::start): a node whose data directory has an
//! identity, or whose settings list the members, passes through at once. Any other listens on its
//! API port only, until an order is carried out; then its identity is on disk, the answer is sent,
//! the port is free again, and the node starts as what it has become.
//!
//! Invariants
//! - The identity is durable before anybody is told of it.
//! - A data directory that holds anything of a cluster takes no order.
//! - One order is carried out at a time; the same one, given again, has the same outcome.
//!
//! Read next: `state.rs`, then `shell.rs`; `api/waiting.rs` for what is answered meanwhile.

#[cfg(feature = "api")]
pub(crate) mod shell;
#[cfg(feature = "api")]
pub(crate) mod state;
#[cfg(all(test, feature = "api"))]
mod tests;

use std::net::SocketAddr;

use crate::config::{MemberSettings, Settings};
use crate::membership::JoinToken;
use crate::node::StartError;
use crate::node::identity;
use crate::ports::Env;

/// A node that has a cluster, or settings that say which.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Enlisted {
    /// Its name, and where it listens from here on.
    pub place: MemberSettings,
}

/// What a node without a cluster can be ordered to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Order {
    /// To found a cluster of which it is the only member.
    Start {
        /// Its name, and where it will be.
        place: MemberSettings,
    },
    /// To become a learner of a cluster.
    Join {
        /// Its name, and where it will be.
        place: MemberSettings,
        /// APIs of some members.
        nodes: Vec<SocketAddr>,
        /// The invitation.
        token: JoinToken,
        /// Whether it is to vote even if that makes the number of voters even.
        wants_vote: bool,
    },
}

impl Order {
    /// What the node will be called, and where it will be.
    pub fn place(&self) -> &MemberSettings {
        match self {
            Order::Start { place } | Order::Join { place, .. } => place,
        }
    }
}

/// Resolves once the node has a cluster, or may make one from its settings. Call it in a
/// `LocalSet`, before [`node::start`](crate::node::start) with the same settings.
///
/// Dropping it ends the wait, and leaves the data directory as good as it was.
pub async fn enlist(env: &Env, settings: &Settings) -> Result<Enlisted, StartError> {
    settings.validate()?;
    if settings.lists_members() {
        let place = settings.place().expect("the settings were validated");
        return Ok(Enlisted { place });
    }
    match identity::place(env, settings)? {
        Some(place) => Ok(Enlisted { place }),
        #[cfg(feature = "api")]
        None => shell::wait_for_order(env, settings).await,
        #[cfg(not(feature = "api"))]
        None => Err(StartError::NoCluster),
    }
}
