//! The daemon: reads the settings, starts one node on the real world, and ends it cleanly.
//!
//! It decides nothing about the cluster. `quorate_core::enlist` waits for an order if the node has
//! no cluster, `quorate_core::node::start` makes the node; signals are turned into its
//! `switchover` and `stop`.
//!
//! Invariants
//! - Nothing is opened before the settings are known to be good.
//! - A clean end leaves the cluster's membership as it is: a stopped node is expected back.
//! - A panic anywhere ends the process (`panics.rs`).
//!
//! Read next: [`run`].

mod admin;
mod logging;
mod overrides;
mod panics;
pub mod secret;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use quorate_core::NodeHandle;
use quorate_core::config::{ConfigError, MemberSettings, Settings};
use quorate_core::key_value::KeyValue;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::exit::Exit;

/// How long a stopping leader may take to find a successor. Afterwards an election finds one.
const SWITCHOVER_LIMIT: Duration = Duration::from_secs(2);

/// Why the daemon did not start. Each text: what happened; what changed; what to do.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The settings are wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The settings file cannot be read.
    #[error(
        "Q1521 settings file {}: {cause}; nothing was started; name the file with --config",
        path.display()
    )]
    SettingsFile {
        /// The file.
        path: PathBuf,
        /// What the system said.
        cause: io::Error,
    },
    /// The system grants no runtime or no signal handler.
    #[error("Q1522 {cause}; nothing was started; allow this user more open files")]
    Runtime {
        /// What the system said.
        #[from]
        cause: io::Error,
    },
    /// An environment variable is wrong.
    #[error("Q1523 {name}={value:?}: {detail}; nothing was started; correct the variable")]
    Variable {
        /// The variable.
        name: &'static str,
        /// Its value.
        value: String,
        /// What is wrong with it.
        detail: String,
    },
    /// The data directory cannot be used.
    #[error(transparent)]
    DataDirectory(#[from] quorate_net::OpenError),
    /// The node refused to start: a port in use, or a damaged store.
    #[error(transparent)]
    Node(#[from] quorate_core::node::StartError),
}

/// Runs a node until it is told to end, or fails to start. Prints why.
pub fn run(config: &Path) -> Exit {
    match try_run(config) {
        Ok(exit) => exit,
        Err(error) => {
            eprintln!("{error}");
            Exit::Failed
        }
    }
}

fn try_run(config: &Path) -> Result<Exit, StartError> {
    panics::abort_on_panic();
    logging::start()?;
    let mut settings = settings_of(config)?;
    secret::read(&mut settings.security)?;
    let password = admin::given(&settings.security, |name| std::env::var(name).ok())?;
    quorate_net::block_on(serve(settings, password))?
}

/// The settings in that file with the variables of the environment above them, validated.
pub fn settings_of(config: &Path) -> Result<Settings, StartError> {
    let text = std::fs::read_to_string(config)
        .map_err(|cause| StartError::SettingsFile { path: config.to_owned(), cause })?;
    overrides::settings(&text, |name| std::env::var(name).ok())
}

async fn serve(mut settings: Settings, password: Option<String>) -> Result<Exit, StartError> {
    // Before anything is opened: a signal that arrives while the node starts is not lost.
    let mut signals = Signals::new()?;
    panics::panic_when_told()?;
    let written = settings.place().expect("validated settings say where this node is");
    let mut env = quorate_net::env(written.address, &settings.node.data_dir)?;
    settings.security.local_admin = Some(admin::settle(&env, password, admin::show)?);
    let enlisted = tokio::select! {
        biased;
        signal = signals.next() => {
            tracing::info!(signal, "node stopped before it had a cluster");
            return Ok(Exit::Good);
        }
        enlisted = quorate_core::enlist::enlist(&env, &settings) => enlisted?,
    };
    let MemberSettings { name, address, .. } = enlisted.place.clone();
    let api = enlisted.place.api();
    if address != written.address {
        env.net = Arc::new(quorate_net::TokioNet::new(address));
    }
    let handle = quorate_core::node::start(env, settings, Box::new(KeyValue::default())).await?;
    tracing::info!(node = %handle.node(), name, %api, pid = std::process::id(), "node started");

    let signal = tokio::select! {
        biased;
        signal = signals.next() => signal,
        reason = handle.failed() => {
            tracing::error!(node = %handle.node(), reason, "Q1531 the node failed; the others go \
                on; mend the cause and start it again");
            return Ok(Exit::Failed);
        }
    };
    tracing::info!(node = %handle.node(), signal, "node stopping");
    tokio::select! {
        biased;
        signal = signals.next() => {
            tracing::warn!(node = %handle.node(), signal, "asked twice, ends at once");
            Ok(Exit::Failed)
        }
        () = end(&handle) => {
            tracing::info!(node = %handle.node(), "node stopped");
            Ok(Exit::Good)
        }
    }
}

/// Hands leadership over if this node has it, then stops it.
async fn end(handle: &NodeHandle) {
    if handle.watch_leadership().may_act() {
        match tokio::time::timeout(SWITCHOVER_LIMIT, handle.switchover(None)).await {
            Ok(Ok(to)) => tracing::info!(node = %handle.node(), %to, "leadership handed over"),
            Ok(Err(error)) => tracing::warn!(node = %handle.node(), %error, "not handed over"),
            Err(_) => tracing::warn!(node = %handle.node(), "handing over took too long"),
        }
    }
    handle.stop().await;
}

/// SIGTERM and SIGINT.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> io::Result<Signals> {
        Ok(Signals {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    /// Waits for the next one and returns its name.
    async fn next(&mut self) -> &'static str {
        tokio::select! {
            biased;
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}
