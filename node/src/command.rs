//! What every command shares: how it is run, why it fails, and how it prints.
//!
//! What was asked for goes to standard output, everything meant for people to standard error.

use std::future::Future;
use std::io::{self, Write};

use quorate_core::api::ClientError;
use quorate_core::key_value::KeyValueError;
use serde::Serialize;

use crate::cluster::ClusterError;
use crate::exit::Exit;
use crate::nodes::exit_of;
use crate::profiles::ProfileError;

/// Why a command failed before or after it asked the cluster. Each text: what happened; what
/// changed; what to do.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// The cluster's words, or that nobody answered.
    #[error(transparent)]
    Ask(#[from] ClientError),
    /// The input breaks a limit.
    #[error(transparent)]
    Input(#[from] KeyValueError),
    /// The profile, or the addresses to ask.
    #[error(transparent)]
    Profile(#[from] ProfileError),
    /// The members.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    /// A ledger was asked for and cannot be written.
    #[error(transparent)]
    Ledger(#[from] crate::demo::ledger::LedgerError),
    /// Standard input, standard output, or a directory.
    #[error("Q1721 {what}: {cause}; nothing more was done; check it and try again")]
    File {
        /// Which.
        what: String,
        /// What the system said.
        cause: io::Error,
    },
}

impl CommandError {
    /// The exit code that says the same.
    pub fn exit(&self) -> Exit {
        match self {
            CommandError::Ask(error) => exit_of(error),
            CommandError::Input(_) => Exit::Usage,
            CommandError::Profile(error) => error.exit(),
            CommandError::Cluster(error) => error.exit(),
            CommandError::Ledger(_) | CommandError::File { .. } => Exit::Failed,
        }
    }
}

/// Obeys a command that asks a cluster, and prints why it was not obeyed.
pub fn run(command: impl Future<Output = Result<Exit, CommandError>>) -> Exit {
    let ran = quorate_net::block_on(command);
    let done = ran.map_err(|cause| CommandError::File { what: "the runtime".to_owned(), cause });
    done.flatten().unwrap_or_else(|error| {
        eprintln!("{error}");
        error.exit()
    })
}

/// Prints `value` as one line of JSON.
pub fn print_json<T: Serialize>(value: &T) -> Result<Exit, CommandError> {
    let mut line = serde_json::to_vec(value).expect("our outputs have string keys");
    line.push(b'\n');
    print(&line)
}

/// Prints bytes as they are. A standard output that takes none is an error with a code.
pub fn print(bytes: &[u8]) -> Result<Exit, CommandError> {
    let written = io::stdout().lock().write_all(bytes).and_then(|()| io::stdout().flush());
    written.map_err(|cause| CommandError::File { what: "standard output".to_owned(), cause })?;
    Ok(Exit::Good)
}
