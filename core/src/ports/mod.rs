//! The seam: everything a node asks of the world, as object-safe traits in one [`Env`].
//!
//! The daemon hands in sockets and files (`quorate-net`), the simulator its own world
//! (`quorate-sim`); nothing in this crate reaches around them (`clippy.toml` lists what it must
//! not call). Spawning is not a port: every task is a local task of the node's `LocalSet`.
//!
//! Invariants
//! - A port's future is polled only on the node's own thread, except [`Lane::run`]'s.
//! - Everything that can differ between two runs of the same program comes through a port.
//!
//! Read next: [`Clock`], [`Net`], [`Disk`], then `core/src/node/start.rs` for who uses them.

mod clock;
mod disk;
mod entropy;
mod net;
#[cfg(test)]
pub(crate) mod testing;

pub use clock::{Clock, Now, UnixMs, enter_clock, node_now, sleep_until};
pub use disk::{Blocks, Disk, Job, Lane, OpenHow, checked_path};
pub use entropy::Entropy;
pub use net::{DATAGRAM_SIZE_BYTES_MAX, Datagrams, Listener, Net, Stream};

use std::sync::Arc;

/// The world as one node sees it. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Env {
    /// Monotonic time for decisions, wall time for display.
    pub clock: Arc<dyn Clock>,
    /// Streams and datagrams, bound to the node's own address.
    pub net: Arc<dyn Net>,
    /// The node's data directory, and lanes for blocking work.
    pub disk: Arc<dyn Disk>,
    /// Random numbers, one stream per purpose.
    pub entropy: Arc<dyn Entropy>,
}
