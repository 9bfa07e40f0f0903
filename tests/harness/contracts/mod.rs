//! What every world owes the core: the promises of `core/src/ports`, as functions over an [`Env`].
//!
//! Each function asserts one port's documented behaviour and panics with the broken promise. The
//! real world and the simulated one run the same functions, so code that is right in one cannot
//! lean on an accident of the other. What only one world can show (a power cut, a file mode) is
//! tested beside that world.
//!
//! Invariants
//! - Nothing here knows which world it runs in: no sockets, no files, no threads of its own.
//! - Waiting is bounded, so that a broken promise fails instead of hanging.
//!
//! Read next: `net.rs`, `disk.rs`, `lane.rs`, then `tests/tests/contract.rs` for the worlds.
//!
//! [`Env`]: quorate_core::ports::Env

mod disk;
mod lane;
mod net;
mod net_server;

pub use disk::disk;
pub use lane::lane;
pub use net::{net_alone, net_client};
pub use net_server::net_server;

use std::future::Future;
use std::time::Duration;

/// Waits for what must happen soon in any world; panics with `promise` if it does not.
async fn soon<T>(promise: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(Duration::from_secs(10), future).await {
        Ok(output) => output,
        Err(_elapsed) => panic!("not within 10 s: {promise}"),
    }
}
