//! What a Quorate node decides, and speaks: four actors behind ports.
//!
//! No sockets, no files, no clock and no threads: only the [`ports`]. Read `ARCHITECTURE.md` for
//! the map.

#[cfg(feature = "api")]
pub mod api;
pub mod codec;
pub mod config;
pub mod enlist;
pub mod error;
mod heartbeat;
pub mod history;
pub mod ids;
pub mod key_value;
pub mod last_inputs;
pub mod leader;
mod link;
pub mod membership;
pub mod node;
pub mod observe;
pub mod ports;
pub mod replication;
mod rpc;
pub mod security;
pub mod status;
pub mod users;
mod watch;

pub use node::NodeHandle;
pub use replication::machine::{SnapshotJob, StateMachine};
