//! One open file of a simulated machine.
//!
//! Invariants
//! - After a failed sync the handle is of no use any more, and what it had written is gone.
//!
//! Read next: `mod.rs` for the operations it is made of.

use std::io;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};

use quorate_core::observe::planted;
use quorate_core::ports::Blocks;
use turmoil_fs::shim::std::fs::File;

use super::medium::Medium;
use super::state::SyncOutcome;
use super::{EIO, MachineDisk, Operation};

/// Writes through one handle that wait for a sync. After so many the machine's kernel writes them
/// out by itself, as a real one does sooner or later; so does the cache of a disk that lies.
const UNSYNCED_COUNT_MAX: usize = 64;

/// One open file of a machine.
#[derive(Debug)]
pub(super) struct DiskFile {
    disk: MachineDisk,
    path: Arc<PathBuf>,
    /// Always there, except while it is dropped.
    file: Option<File>,
    /// After a failed sync nobody knows what the file holds: the handle is of no use any more.
    has_failed: AtomicBool,
    /// The file was made shorter through this handle.
    was_cut: AtomicBool,
    /// Writes through this handle since the last sync.
    unsynced_count: AtomicUsize,
}

impl DiskFile {
    pub(super) fn new(disk: &MachineDisk, path: &Arc<PathBuf>, file: File) -> DiskFile {
        if disk.boot.is_some() {
            disk.state.handles_count.fetch_add(1, Relaxed);
        }
        DiskFile {
            disk: disk.clone(),
            path: path.clone(),
            file: Some(file),
            has_failed: AtomicBool::new(false),
            was_cut: AtomicBool::new(false),
            unsynced_count: AtomicUsize::new(0),
        }
    }

    fn check(&self) -> io::Result<()> {
        // The system has forgotten what it could not write, and says then that all is well.
        if self.has_failed.load(Relaxed) && !planted("retry_after_failed_fsync") {
            return Err(io::Error::from_raw_os_error(EIO));
        }
        Ok(())
    }

    fn file(&self) -> &File {
        self.file.as_ref().expect("a file is there until it is dropped")
    }

    fn medium(&self) -> &Medium {
        &self.disk.medium
    }

    fn size_bytes(&self) -> u64 {
        self.medium().image().size_bytes(&self.path)
    }

    fn at<'a>(&'a self, name: &'static str, offset: u64, bytes: &'a [u8]) -> Operation<'a> {
        Operation { name, path: &self.path, offset, bytes }
    }
}

impl Blocks for DiskFile {
    fn len(&self) -> io::Result<u64> {
        self.check()?;
        let operation = self.at("length", 0, &[]);
        self.disk.look(&operation, 0, || self.file().metadata().map(|data| data.len()))
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.check()?;
        let operation = self.at("read", offset, &[]);
        self.disk.look(&operation, buffer.len(), || self.file().read_exact_at(buffer, offset))
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.check()?;
        let end_bytes = offset + bytes.len() as u64;
        self.disk.check_space(end_bytes.saturating_sub(self.size_bytes()))?;
        let operation = self.at("write", offset, bytes);
        self.disk.change(&operation, || {
            self.medium().write(&self.path, self.file(), offset, bytes)?;
            if self.unsynced_count.fetch_add(1, Relaxed) < UNSYNCED_COUNT_MAX {
                return Ok(());
            }
            self.unsynced_count.store(0, Relaxed);
            self.medium().sync(&self.path, self.file())
        })
    }

    fn set_len(&self, size_bytes: u64) -> io::Result<()> {
        let before_bytes = self.len()?;
        if size_bytes > before_bytes {
            self.disk.check_space(size_bytes - before_bytes)?;
        }
        let operation = self.at("set length", size_bytes, &[]);
        self.disk.change(&operation, || {
            self.medium().resize(&self.path, self.file(), size_bytes)?;
            if size_bytes < before_bytes {
                self.was_cut.store(true, Relaxed);
            } else if self.was_cut.load(Relaxed) {
                // Until the next sync the disk below shows cut bytes again where the file grows.
                let grown_bytes = usize::try_from(size_bytes - before_bytes);
                let zeros = vec![0; grown_bytes.expect("a simulated file fits the memory")];
                self.medium().write(&self.path, self.file(), before_bytes, &zeros)?;
            }
            Ok(())
        })
    }

    fn sync_data(&self) -> io::Result<()> {
        self.check()?;
        if self.has_failed.load(Relaxed) {
            // Only the planted bug comes here: the system has nothing left to write.
            return Ok(());
        }
        let sync = || self.medium().sync(&self.path, self.file());
        let revert = || self.medium().revert(&self.path, self.file());
        let outcome = self.disk.sync_with(("sync", &self.path), sync, revert);
        let outcome = outcome.inspect_err(|_| self.has_failed.store(true, Relaxed))?;
        match outcome {
            SyncOutcome::Durable | SyncOutcome::Failed => self.unsynced_count.store(0, Relaxed),
            // What waits goes on to wait, until the disk empties its cache by itself.
            SyncOutcome::Lie => {}
        }
        Ok(())
    }
}

impl Drop for DiskFile {
    fn drop(&mut self) {
        // Handles are numbers of one disk: closing one while another is entered hits a stranger.
        let _entered = self.disk.medium.enter();
        self.file = None;
        if self.disk.boot.is_some() {
            self.disk.state.handles_count.fetch_sub(1, Relaxed);
        }
    }
}
