//! `quorate kv`: reads and writes keys from the command line.
//!
//! An edge: it parses, asks the cluster, and prints. Values go to stdout as they are, everything
//! meant for people to stderr.

pub mod transfer;
pub mod tree;

use std::ffi::OsString;
use std::io::{self, Read};
use std::path::PathBuf;

use bytes::Bytes;
use clap::{Args, Subcommand};
use quorate_core::api::{Answered, WriteBody};
use quorate_core::key_value::{KeyValueError, VALUE_SIZE_BYTES_MAX};
use quorate_core::replication::Consistency;
use serde::Serialize;

use crate::cli::{self, NodesArguments};
use crate::command::{self, CommandError};
use crate::exit::Exit;
use crate::nodes::Nodes;

/// What can be done with keys.
#[derive(Debug, Subcommand)]
pub enum KvCommand {
    /// Print the value of a key, as it is
    Get {
        /// The key
        key: OsString,
        /// How to read and print
        #[command(flatten)]
        read: ReadArguments,
        /// Whom to ask
        #[command(flatten)]
        nodes: NodesArguments,
    },
    /// Set a key
    Put {
        /// The key
        key: OsString,
        /// The value; `-` reads it from standard input
        value: OsString,
        /// Whom to ask
        #[command(flatten)]
        nodes: NodesArguments,
    },
    /// Remove a key; exit code 5 if there was none
    Delete {
        /// The key
        key: OsString,
        /// Whom to ask
        #[command(flatten)]
        nodes: NodesArguments,
    },
    /// Print the keys that begin with a prefix
    List {
        /// All keys without it
        prefix: Option<OsString>,
        /// How to read and print
        #[command(flatten)]
        read: ReadArguments,
        /// Whom to ask
        #[command(flatten)]
        nodes: NodesArguments,
    },
    /// Set a key if nobody changed it since; exit code 6 if someone did
    Cas {
        /// The key
        key: OsString,
        /// The value; `-` reads it from standard input
        value: OsString,
        /// The modify index that `kv list --json` showed; 0 if the key must not exist
        #[arg(long, value_name = "INDEX")]
        index: u64,
        /// Whom to ask
        #[command(flatten)]
        nodes: NodesArguments,
    },
    /// Store each regular file below a directory, with its relative path as the key
    Import(ImportArguments),
    /// Write each key below a prefix to a file; existing files are overwritten
    Export {
        /// The directory; it is made if it is missing
        directory: PathBuf,
        /// Only keys that begin with this, which is cut off
        #[arg(long, default_value = "")]
        prefix: String,
        /// Whom to ask
        #[command(flatten)]
        nodes: NodesArguments,
    },
}

/// What `kv import` is told.
#[derive(Args, Clone, Debug)]
pub struct ImportArguments {
    /// The directory
    pub directory: PathBuf,
    /// Put before each path
    #[arg(long, default_value = "")]
    pub prefix: String,
    /// Leave out files and directories of this name, at any depth; may be repeated
    #[arg(long, value_name = "NAME")]
    pub exclude: Vec<OsString>,
    /// Append each acknowledged write to this file, one line of JSON each
    #[arg(long, value_name = "FILE", hide = true)]
    pub ledger: Option<PathBuf>,
    /// Whom to ask
    #[command(flatten)]
    pub nodes: NodesArguments,
}

/// How to read and print.
#[derive(Args, Clone, Copy, Debug)]
pub struct ReadArguments {
    /// Take what the node has applied, however old; the age goes to stderr or into the JSON
    #[arg(long)]
    stale: bool,
    /// For programs
    #[arg(long)]
    json: bool,
}

impl ReadArguments {
    fn consistency(self) -> Consistency {
        if self.stale { Consistency::Stale } else { Consistency::Linearizable }
    }
}

/// Does what the command says and prints why not.
pub fn run(command: KvCommand) -> Exit {
    command::run(perform(command))
}

async fn perform(command: KvCommand) -> Result<Exit, CommandError> {
    match command {
        KvCommand::Get { key, read, nodes } => get(&cli::key(key)?, read, Nodes::of(&nodes)?).await,
        KvCommand::Put { key, value, nodes } => {
            let (key, value) = (cli::key(key)?, value_of(value)?);
            print_written(&Nodes::of(&nodes)?.put(&key, value).await?)
        }
        KvCommand::Delete { key, nodes } => {
            let key = cli::key(key)?;
            let written = Nodes::of(&nodes)?.delete(&key).await?;
            if written.value.existed == Some(false) {
                eprintln!("{}", KeyValueError::NoSuchKey { key });
                return Ok(Exit::NotFound);
            }
            print_written(&written)
        }
        KvCommand::List { prefix, read, nodes } => {
            let prefix = cli::key(prefix.unwrap_or_default())?;
            list(&prefix, read, Nodes::of(&nodes)?).await
        }
        KvCommand::Cas { key, value, index, nodes } => {
            let (key, value) = (cli::key(key)?, value_of(value)?);
            print_written(&Nodes::of(&nodes)?.cas(&key, index, value).await?)
        }
        KvCommand::Import(arguments) => transfer::import(&arguments).await,
        KvCommand::Export { directory, prefix, nodes } => {
            transfer::export(&directory, &prefix, Nodes::of(&nodes)?).await
        }
    }
}

#[derive(Serialize)]
struct GetOutput<'a> {
    version: u32,
    key: &'a str,
    /// `None` if the value is not UTF-8; then only its hash and size are shown.
    value: Option<&'a str>,
    value_hash: String,
    size_bytes: usize,
    modify_index: u64,
    index: u64,
    age_ms: Option<u64>,
}

async fn get(key: &str, read: ReadArguments, mut nodes: Nodes) -> Result<Exit, CommandError> {
    let answered = nodes.get(key, read.consistency()).await?;
    let Some(got) = &answered.value else {
        eprintln!("{}", KeyValueError::NoSuchKey { key: key.to_owned() });
        return Ok(Exit::NotFound);
    };
    if read.json {
        return command::print_json(&GetOutput {
            version: 1,
            key,
            value: str::from_utf8(&got.value).ok(),
            value_hash: quorate_core::history::ValueHash::of(&got.value).to_string(),
            size_bytes: got.value.len(),
            modify_index: got.modify_index,
            index: answered.index.0,
            age_ms: answered.age_ms,
        });
    }
    print_age(&answered);
    command::print(&got.value)
}

/// Says to people how old a stale answer may be.
fn print_age<T>(answered: &Answered<T>) {
    if let Some(age_ms) = answered.age_ms {
        eprintln!("stale: at log index {}, up to {age_ms} ms old", answered.index);
    }
}

#[derive(Serialize)]
struct ListOutput<'a> {
    version: u32,
    keys: Vec<ListedOutput<'a>>,
    index: u64,
    age_ms: Option<u64>,
}

#[derive(Serialize)]
struct ListedOutput<'a> {
    key: &'a str,
    create_index: u64,
    modify_index: u64,
}

async fn list(prefix: &str, read: ReadArguments, mut nodes: Nodes) -> Result<Exit, CommandError> {
    let answered = nodes.list(prefix, true, read.consistency()).await?;
    let keys = answered.value.iter();
    if !read.json {
        print_age(&answered);
        return command::print(
            keys.map(|key| format!("{}\n", key.key)).collect::<String>().as_bytes(),
        );
    }
    let listed = keys.map(|key| ListedOutput {
        key: &key.key,
        create_index: key.create_index,
        modify_index: key.modify_index,
    });
    let (index, age_ms) = (answered.index.0, answered.age_ms);
    command::print_json(&ListOutput { version: 1, keys: listed.collect(), index, age_ms })
}

fn print_written(written: &Answered<WriteBody>) -> Result<Exit, CommandError> {
    let leader = written.leader.as_deref().unwrap_or("an unnamed leader");
    eprintln!("acknowledged at log index {} by {leader}", written.value.index);
    Ok(Exit::Good)
}

/// The value that the argument is, or stands for. One that no node would take is refused here: a
/// node hangs up on whoever goes on sending, and then nothing is known of the outcome.
fn value_of(argument: OsString) -> Result<Bytes, CommandError> {
    let mut value = Vec::new();
    if argument == "-" {
        let read = io::stdin().lock().read_to_end(&mut value);
        read.map_err(|cause| CommandError::File { what: "standard input".to_owned(), cause })?;
    } else {
        value = argument.into_encoded_bytes();
    }
    let size_bytes = value.len() as u64;
    if value.len() > VALUE_SIZE_BYTES_MAX {
        return Err(KeyValueError::ValueTooLarge { size_bytes }.into());
    }
    Ok(Bytes::from(value))
}
