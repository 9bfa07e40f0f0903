//! Reads what nodes and data directories hold, and has it judged against ledgers.
//!
//! Read next: `core/src/history/register.rs` for the judgement itself.

use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use quorate_core::api::KeyBody;
use quorate_core::history::register::{Contents, Shown, Source, Verdict, judge};
use quorate_core::history::{Operation, ValueHash};
use quorate_core::key_value::{KeyValue, LIST_COUNT_MAX, Query, QueryReply};
use quorate_core::replication::{Consistency, offline};
use quorate_net::DataDisk;

use super::DemoError;
use super::ledger;
use crate::exit::Exit;
use crate::login::Login;
use crate::nodes::Nodes;

/// What the verdict is told.
#[derive(Args, Clone, Debug)]
pub struct CheckArguments {
    /// Ledgers of clients that wrote different keys; may be repeated
    #[arg(long, value_name = "FILE", required = true)]
    pub ledger: Vec<PathBuf>,
    /// Nodes to read every key through; may be repeated
    #[arg(long = "node", value_name = "ADDRESS:PORT")]
    pub nodes: Vec<std::net::SocketAddr>,
    /// Data directories, whose daemons have ended, to read offline; may be repeated
    #[arg(long, value_name = "DIRECTORY")]
    pub data_dir: Vec<PathBuf>,
}

/// Prints the verdict as JSON. `Failed` if anything is wrong.
pub fn run(arguments: &CheckArguments) -> Exit {
    match quorate_net::block_on(check(arguments)).map_err(DemoError::from).flatten() {
        Ok(verdict) => {
            let line = serde_json::to_string(&verdict).expect("a verdict has string keys");
            println!("{line}");
            if verdict.is_good() { Exit::Good } else { Exit::Failed }
        }
        Err(error) => {
            eprintln!("{error}");
            Exit::Failed
        }
    }
}

async fn check(arguments: &CheckArguments) -> Result<Verdict, DemoError> {
    let operations = read_ledgers(&arguments.ledger)?;
    let mut sources = Vec::new();
    let login = Login::of_environment()?;
    for address in &arguments.nodes {
        let mut nodes = Nodes::new(&[*address], login.clone());
        for how in [Consistency::Linearizable, Consistency::Stale] {
            sources.push(through(&mut nodes, &format!("{address}, {how:?}"), how).await?);
        }
    }
    for data_dir in &arguments.data_dir {
        sources.push(offline(data_dir, &data_dir.display().to_string()).await?);
    }
    Ok(judge(&operations, &sources))
}

/// All lines of all ledgers, each ledger's in its order.
pub fn read_ledgers(paths: &[PathBuf]) -> Result<Vec<Operation>, DemoError> {
    let mut operations = Vec::new();
    for path in paths {
        operations.extend(ledger::read(path)?);
    }
    Ok(operations)
}

/// Everything as one node shows it.
pub async fn through(nodes: &mut Nodes, name: &str, how: Consistency) -> Result<Source, DemoError> {
    let keys = nodes.list("", false, how).await?.value;
    let shown = |key: KeyBody| {
        let value_hash = ValueHash::of(&key.value.unwrap_or_default());
        (key.key, Shown { value_hash, modify_index: key.modify_index })
    };
    let contents: Contents = keys.into_iter().map(shown).collect();
    Ok(Source { name: name.to_owned(), contents })
}

/// Everything as it lies in a data directory whose daemon has ended.
pub async fn offline(data_dir: &Path, name: &str) -> Result<Source, DemoError> {
    let refuse = |error: &dyn Display| DemoError::Offline { detail: format!("{name}: {error}") };
    let disk = DataDisk::open(data_dir).map_err(|error| refuse(&error))?;
    let read = offline::read(Arc::new(disk), Box::new(KeyValue::default())).await;
    let store = read.map_err(|error| refuse(&error))?;
    let mut contents = Contents::new();
    let mut after = None;
    loop {
        let list = Query::List {
            prefix: String::new(),
            after: after.take(),
            limit: LIST_COUNT_MAX,
            keys_only: false,
        };
        let query = list.to_bytes().expect("the list keeps its own limits");
        let reply = QueryReply::from_bytes(&store.query(&query)).map_err(|error| refuse(&error))?;
        let QueryReply::List { listed, has_more } = reply else {
            return Err(refuse(&"the store answers another question"));
        };
        after = listed.last().map(|last| last.key.clone());
        contents.extend(listed.into_iter().map(|listed| {
            let value_hash = ValueHash::of(&listed.value.unwrap_or_default());
            (listed.key, Shown { value_hash, modify_index: listed.modify_index.0 })
        }));
        if !has_more || after.is_none() {
            return Ok(Source { name: name.to_owned(), contents });
        }
    }
}
