//! `kv import` and `kv export`: a directory tree in and out of the cluster.
//!
//! Invariants
//! - What was left out is printed with its reason, and makes the exit code `Partial`.
//! - With a ledger, an acknowledged write is in it before the same worker sends another one.

use std::cell::{Cell, RefCell};
use std::io::IsTerminal;
use std::path::Path;

use bytes::Bytes;
use quorate_core::key_value::{KEY_SIZE_BYTES_MAX, VALUE_SIZE_BYTES_MAX};
use quorate_core::replication::Consistency;

use super::tree::{self, Limits, Skipped, TreeFile};
use super::{CommandError, ImportArguments};
use crate::demo::ledger::Ledger;
use crate::demo::writer;
use crate::exit::Exit;
use crate::nodes::Nodes;

/// Writes under way at once: the cluster commits them in groups.
const WORKERS_COUNT: usize = 16;
/// Progress is shown after every so many files.
const PROGRESS_FILES_COUNT: usize = 100;

const LIMITS: Limits =
    Limits { key_bytes_max: KEY_SIZE_BYTES_MAX, value_bytes_max: VALUE_SIZE_BYTES_MAX };

/// What the workers of an import share.
struct Import<'a> {
    prefix: &'a str,
    left: RefCell<std::vec::IntoIter<TreeFile>>,
    ledger: Option<RefCell<Ledger>>,
    skipped: RefCell<Vec<Skipped>>,
    stored_count: Cell<usize>,
    progress: Progress,
}

/// Stores the files and prints what was left out. The first refusal of the cluster ends it.
pub async fn import(arguments: &ImportArguments) -> Result<Exit, CommandError> {
    let ImportArguments { directory, prefix, exclude, ledger, nodes } = arguments;
    let (files, skipped) = tree::files_below(directory, exclude)
        .map_err(|cause| CommandError::File { what: directory.display().to_string(), cause })?;
    let ledger = ledger.as_deref().map(Ledger::open).transpose()?;
    let import = Import {
        prefix,
        progress: Progress::of(files.len()),
        left: RefCell::new(files.into_iter()),
        ledger: ledger.map(RefCell::new),
        skipped: RefCell::new(skipped),
        stored_count: Cell::new(0),
    };
    let workers = Nodes::of_workers(nodes, WORKERS_COUNT)?;
    let workers = workers.into_iter().map(|nodes| import.work(nodes));
    futures_util::future::try_join_all(workers).await?;
    import.progress.end();
    Ok(report("stored", import.stored_count.get(), &import.skipped.take()))
}

impl Import<'_> {
    /// Stores one file after the other until none is left.
    async fn work(&self, mut nodes: Nodes) -> Result<(), CommandError> {
        loop {
            let Some(file) = self.left.borrow_mut().next() else { return Ok(()) };
            let key = format!("{}{}", self.prefix, file.key);
            match tree::content(&file, &key, LIMITS) {
                Ok(value) => {
                    self.store(&mut nodes, key, Bytes::from(value)).await?;
                    self.stored_count.update(|count| count + 1);
                }
                Err(reason) => self.skipped.borrow_mut().push(reason),
            }
            self.progress.step();
        }
    }

    async fn store(
        &self,
        nodes: &mut Nodes,
        key: String,
        value: Bytes,
    ) -> Result<(), CommandError> {
        let (operation, asked) = writer::put(nodes, key, value).await;
        if let Some(ledger) = &self.ledger {
            ledger.borrow_mut().append(&operation)?;
        }
        Ok(asked.map(|_| ())?)
    }
}

/// Writes every key below `prefix` to a file below `directory`.
pub async fn export(
    directory: &Path,
    prefix: &str,
    mut nodes: Nodes,
) -> Result<Exit, CommandError> {
    std::fs::create_dir_all(directory)
        .map_err(|cause| CommandError::File { what: directory.display().to_string(), cause })?;
    let keys = nodes.list(prefix, true, Consistency::Linearizable).await?.value;
    let progress = Progress::of(keys.len());
    let mut skipped = Vec::new();
    let mut written_count = 0;
    for listed in &keys {
        progress.step();
        // A key that was deleted since it was listed is rightly not exported.
        let got = nodes.get(&listed.key, Consistency::Linearizable).await?;
        let Some(got) = got.value else { continue };
        let below = listed.key.strip_prefix(prefix).unwrap_or(&listed.key);
        match tree::write_exported(directory, below, &got.value) {
            Ok(()) => written_count += 1,
            Err(reason) => skipped.push(reason),
        }
    }
    progress.end();
    Ok(report("written", written_count, &skipped))
}

fn report(verb: &str, done_count: usize, skipped: &[Skipped]) -> Exit {
    for reason in skipped {
        eprintln!("{reason}");
    }
    eprintln!("{done_count} {verb}, {} left out", skipped.len());
    if skipped.is_empty() { Exit::Good } else { Exit::Partial }
}

/// A line that is written over, on a terminal only.
struct Progress {
    all_count: usize,
    done_count: Cell<usize>,
    is_shown: bool,
}

impl Progress {
    fn of(all_count: usize) -> Progress {
        let is_shown = std::io::stderr().is_terminal();
        Progress { all_count, done_count: Cell::new(0), is_shown }
    }

    fn step(&self) {
        let done_count = self.done_count.get() + 1;
        self.done_count.set(done_count);
        if self.is_shown && done_count.is_multiple_of(PROGRESS_FILES_COUNT) {
            eprint!("\r{done_count} of {}", self.all_count);
        }
    }

    fn end(&self) {
        if self.is_shown && self.all_count >= PROGRESS_FILES_COUNT {
            eprint!("\r\x1b[K");
        }
    }
}
