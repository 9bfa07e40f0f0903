//! The real world: the ports of `quorate_core` on tokio sockets, std files and the system's clocks.
//!
//! It decides nothing. What a port promises stands beside its trait in `core/src/ports`; both
//! worlds pass the same suites (`tests/harness/contracts`).
//!
//! Invariants
//! - One process holds a data directory at a time, from [`env()`] until the last file and lane of
//!   that directory are gone.
//! - What this node sends leaves from its own address, so that several nodes share one machine.
//! - A failed sync is final for the file handle that saw it; it is never tried again.
//!
//! Read next: [`env()`], then `net.rs` and `disk.rs`.

mod blocks;
mod clock;
mod disk;
mod entropy;
mod lane;
mod net;
mod runtime;

pub use clock::BootClock;
pub use disk::{DataDisk, OpenError};
pub use entropy::OsEntropy;
pub use net::TokioNet;
pub use runtime::{block_on, run_node_thread};

use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use quorate_core::ports::Env;

/// The real world for one node, whose own address is `bind_ip` and whose files lie in `data_dir`.
///
/// Makes the directory if it is missing, and takes it for this process alone. The sockets work
/// only inside [`block_on`] or [`run_node_thread`].
pub fn env(bind_ip: IpAddr, data_dir: &Path) -> Result<Env, OpenError> {
    Ok(Env {
        clock: Arc::new(BootClock),
        net: Arc::new(TokioNet::new(bind_ip)),
        disk: Arc::new(DataDisk::open(data_dir)?),
        entropy: Arc::new(OsEntropy),
    })
}
