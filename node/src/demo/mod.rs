//! The demo: real daemons, real faults, and a verdict that does not trust the cluster.
//!
//! Invariants
//! - Whatever happens, Ctrl-C included, its processes are gone, its files deleted and the network
//!   whole when it ends.
//! - It ends well only if every acknowledged write is at every node and in every data directory.
//!
//! Read next: `story.rs` for what happens, `core/src/history/register.rs` for what counts as a
//! loss. `processes.rs`, `ledger.rs`, `check.rs` and `health.rs` serve the process tests too.

pub mod check;
pub mod cut;
pub mod health;
pub mod ledger;
pub mod processes;
mod report;
mod stage;
mod story;
pub mod writer;

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use clap::Args;
use tokio::signal::unix::{SignalKind, signal};

use crate::exit::Exit;

/// What the demo is told.
#[derive(Args, Clone, Debug)]
pub struct DemoArguments {
    /// The directory tree to store; by default the sources this program was built from, or the
    /// present directory if those are gone
    #[arg(long, value_name = "PATH", value_parser = directory)]
    pub tree: Option<PathBuf>,
    /// The daemons listen at .11 to .14 of this block of loopback addresses; two demos at once need
    /// two blocks
    #[arg(long, value_name = "127.X.Y.0", default_value = "127.0.0.0", value_parser = block)]
    pub block: Ipv4Addr,
    /// For programs: the facts as one line of JSON on stdout
    #[arg(long)]
    pub json: bool,
}

/// A directory that is there: whoever mistypes it is told before anything is started.
fn directory(text: &str) -> Result<PathBuf, String> {
    match std::fs::read_dir(text) {
        Ok(_) => Ok(PathBuf::from(text)),
        Err(cause) => Err(format!("it cannot be read as a directory: {cause}")),
    }
}

/// A block of 256 loopback addresses by its first.
fn block(text: &str) -> Result<Ipv4Addr, String> {
    match text.parse::<Ipv4Addr>().map(|address| (address, address.octets())) {
        Ok((address, [127, _, _, 0])) => Ok(address),
        Ok(_) | Err(_) => Err("a block is written 127.X.Y.0".to_owned()),
    }
}

/// Why the demo could not go on. Each text: what happened; what changed; what to do.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// The demo uses the default ports on a few addresses.
    #[error(
        "Q1741 {at} is taken ({cause}); nothing was started; stop what listens there, or name \
         another block"
    )]
    PortTaken {
        /// Where.
        at: SocketAddr,
        /// What the system said.
        cause: io::Error,
    },
    /// The cluster did not do within bounds what it promises.
    #[error("Q1742 {what}; everything was cleaned up; report this with the log lines above")]
    TooLate {
        /// What did not happen, and for how long it was waited for.
        what: String,
    },
    /// A process or a file of the demo's own.
    #[error("Q1743 {cause}; everything was cleaned up; check the disk and the open files limit")]
    System {
        /// What the system said.
        #[from]
        cause: io::Error,
    },
    /// A ledger cannot be used.
    #[error(transparent)]
    Ledger(#[from] ledger::LedgerError),
    /// A node did not answer when everything was to be well.
    #[error(transparent)]
    Ask(#[from] quorate_core::api::ClientError),
    /// As whom to ask.
    #[error(transparent)]
    Login(#[from] crate::login::LoginError),
    /// A data directory cannot be read offline.
    #[error("{detail}")]
    Offline {
        /// In the words of who tried.
        detail: String,
    },
    /// Ctrl-C.
    #[error("Q1744 interrupted; everything was cleaned up; start it again whenever you like")]
    Interrupted,
}

/// Shows it, and prints the facts. `Failed` if anything was lost or too late, `Interrupted` on
/// Ctrl-C.
pub fn run(arguments: &DemoArguments) -> Exit {
    let shown = quorate_net::block_on(interruptible(arguments));
    match shown.map_err(DemoError::from).flatten() {
        Ok(report) => match report.print(arguments.json) {
            Ok(printed) => {
                if report.is_good() {
                    printed
                } else {
                    Exit::Failed
                }
            }
            Err(error) => {
                eprintln!("{error}");
                Exit::Failed
            }
        },
        Err(error) => {
            eprintln!("{error}");
            match error {
                DemoError::Interrupted => Exit::Interrupted,
                DemoError::PortTaken { .. }
                | DemoError::TooLate { .. }
                | DemoError::System { .. }
                | DemoError::Ledger(_)
                | DemoError::Ask(_)
                | DemoError::Login(_)
                | DemoError::Offline { .. } => Exit::Failed,
            }
        }
    }
}

/// The story, dropped where it stands when a signal comes: the drops clean up.
async fn interruptible(arguments: &DemoArguments) -> Result<report::Report, DemoError> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        biased;
        _ = interrupt.recv() => Err(DemoError::Interrupted),
        _ = terminate.recv() => Err(DemoError::Interrupted),
        report = story::tell(arguments) => report,
    }
}
