//! The writer: a process that is no member, and remembers outside the cluster what it was told.
//!
//! Now and then it reads one of the keys that it writes again and again: what it was shown goes
//! into the ledger as well, and is judged there.
//!
//! Invariants
//! - It sends nothing before the outcome of its last request is in the ledger.
//! - Each value is new random data, so no stale or mixed-up value can pass for the right one.
//! - A write without an answer is repeated with the same request id until its outcome is known.

use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use clap::Args;
use quorate_core::api::{Answered, ClientError, WriteBody};
use quorate_core::history::{Operation, OperationKind, Outcome, ValueHash};
use quorate_core::ports::Clock;
use quorate_core::replication::Consistency;
use quorate_net::BootClock;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::ledger::{Ledger, LedgerError};
use crate::cli::NodesArguments;
use crate::command::CommandError;
use crate::exit::Exit;
use crate::nodes::Nodes;

/// Keys that are written again and again; the others are written once.
const HOT_KEYS_COUNT: u64 = 16;
/// One request in so many reads.
const READ_INTERVAL: u64 = 5;
/// An attempt that takes longer goes on at another node.
const ATTEMPT_LIMIT_MS: u64 = 400;

/// What the writer is told.
#[derive(Args, Clone, Debug)]
pub struct WriterArguments {
    /// Where acknowledged writes are noted.
    #[arg(long)]
    pub ledger: PathBuf,
    /// Its keys begin with this, and nobody else's do.
    #[arg(long)]
    pub prefix: String,
    /// Size of each value.
    #[arg(long, default_value_t = 256)]
    pub value_size_bytes: usize,
    /// How long one write is repeated before its outcome is called unknown.
    #[arg(long, default_value_t = 30_000)]
    pub patience_ms: u64,
    /// Whom to ask.
    #[command(flatten)]
    pub nodes: NodesArguments,
}

/// Writes until SIGTERM, then ends after the request that is under way.
pub fn run(arguments: &WriterArguments) -> Exit {
    let written = quorate_net::block_on(write_on(arguments));
    match written {
        Ok(Ok(())) => Exit::Good,
        Ok(Err(error)) => {
            eprintln!("{error}");
            Exit::Failed
        }
        Err(cause) => {
            eprintln!("Q1522 {cause}; nothing was started; allow this user more open files");
            Exit::Failed
        }
    }
}

async fn write_on(arguments: &WriterArguments) -> Result<(), CommandError> {
    let WriterArguments { ledger: path, prefix, value_size_bytes, patience_ms, nodes } = arguments;
    let mut ledger = Ledger::open(path)?;
    let failed = |cause| LedgerError::File { path: path.clone(), cause };
    let mut terminate: Signal = signal(SignalKind::terminate()).map_err(failed)?;
    let mut nodes = Nodes::of(nodes)?.with_deadline_ms(*patience_ms, ATTEMPT_LIMIT_MS);
    let mut writes_count: u64 = 0;
    loop {
        let hot = format!("{prefix}hot/{}", rand::random_range(0..HOT_KEYS_COUNT));
        let operation = if rand::random_range(0..READ_INTERVAL) == 0 {
            get(&mut nodes, hot).await
        } else {
            writes_count += 1;
            let key = match rand::random_range(0..4) {
                0 => hot,
                _ => format!("{prefix}once/{writes_count:08}"),
            };
            let value: Vec<u8> = (0..*value_size_bytes).map(|_| rand::random()).collect();
            put(&mut nodes, key, Bytes::from(value)).await.0
        };
        ledger.append(&operation)?;
        // Asked between requests only, so that the last one has its line too.
        if tokio::time::timeout(Duration::ZERO, terminate.recv()).await.is_ok() {
            return Ok(());
        }
    }
}

/// One write until its outcome is known or given up, as a line of a ledger and as the answer.
pub async fn put(
    nodes: &mut Nodes,
    key: String,
    value: Bytes,
) -> (Operation, Result<Answered<WriteBody>, ClientError>) {
    let start_ns = BootClock.now().ns;
    let value_hash = Some(ValueHash::of(&value));
    let asked = nodes.put(&key, value).await;
    let end_ns = BootClock.now().ns;
    let outcome = match &asked {
        Ok(_) => Outcome::Acknowledged,
        Err(
            ClientError::Refused(_)
            | ClientError::Unreachable { .. }
            | ClientError::NotTrusted { .. },
        ) => Outcome::Refused,
        Err(ClientError::OutcomeUnknown { .. } | ClientError::NotQuorate { .. }) => {
            Outcome::Unknown
        }
    };
    let log_index = asked.as_ref().ok().map(|written| written.value.index);
    let (op, node) = (OperationKind::Put, nodes.address().to_string());
    (Operation { op, key, value_hash, start_ns, end_ns, outcome, log_index, node }, asked)
}

/// One linearizable read until it is answered or given up, as a line of a ledger.
pub async fn get(nodes: &mut Nodes, key: String) -> Operation {
    let start_ns = BootClock.now().ns;
    let asked = nodes.get(&key, Consistency::Linearizable).await;
    let end_ns = BootClock.now().ns;
    let (outcome, value_hash, log_index) = match asked {
        Ok(read) => {
            let value_hash = read.value.map(|found| ValueHash::of(&found.value));
            (Outcome::Acknowledged, value_hash, Some(read.index.0))
        }
        // Whatever went wrong: nothing was seen, and nothing has changed.
        Err(_) => (Outcome::Refused, None, None),
    };
    let (op, node) = (OperationKind::Get, nodes.address().to_string());
    Operation { op, key, value_hash, start_ns, end_ns, outcome, log_index, node }
}
