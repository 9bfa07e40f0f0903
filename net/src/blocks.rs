//! One open file, read and written at positions.
//!
//! Invariants
//! - After one failed sync every later call fails. Linux marks the pages of a failed sync clean, so
//!   a second sync would answer `Ok` for bytes that never reached the disk.
//!
//! Source: Rebello et al. 2020, "Can Applications Recover from fsync Failures?", section 3.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use quorate_core::ports::Blocks;

use crate::disk::DataDir;

/// A file of the data directory, which it keeps for this process while it is open.
#[derive(Debug)]
pub(crate) struct FileBlocks {
    file: File,
    is_sync_failed: AtomicBool,
    _held: Arc<DataDir>,
}

impl FileBlocks {
    /// `file` is open for reading and writing.
    pub(crate) fn new(file: File, held: Arc<DataDir>) -> FileBlocks {
        FileBlocks { file, is_sync_failed: AtomicBool::new(false), _held: held }
    }

    fn usable(&self) -> io::Result<&File> {
        if self.is_sync_failed.load(Ordering::Acquire) {
            return Err(io::Error::other("an earlier sync of this file failed"));
        }
        Ok(&self.file)
    }
}

impl Blocks for FileBlocks {
    fn len(&self) -> io::Result<u64> {
        Ok(self.usable()?.metadata()?.len())
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.usable()?.read_exact_at(buffer, offset)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.usable()?.write_all_at(bytes, offset)
    }

    fn set_len(&self, size_bytes: u64) -> io::Result<()> {
        self.usable()?.set_len(size_bytes)
    }

    fn sync_data(&self) -> io::Result<()> {
        let synced = self.usable()?.sync_data();
        if synced.is_err() {
            self.is_sync_failed.store(true, Ordering::Release);
        }
        synced
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_a_failed_sync_nothing_works_any_more() {
        let place = tempfile::tempdir().unwrap();
        let held = Arc::new(DataDir::open(place.path()).unwrap());
        // The null device takes writes and refuses to be synced, like a disk that just broke.
        let null = File::options().read(true).write(true).open("/dev/null").unwrap();
        let blocks = FileBlocks::new(null, held);
        blocks.write_at(0, b"accepted").unwrap();
        assert!(blocks.len().is_ok());

        assert!(blocks.sync_data().is_err());

        let refusal = "an earlier sync of this file failed";
        let refused = |result: io::Result<()>| assert_eq!(result.unwrap_err().to_string(), refusal);
        refused(blocks.sync_data());
        refused(blocks.write_at(0, b"late"));
        refused(blocks.read_at(0, &mut []));
        refused(blocks.set_len(0));
        refused(blocks.len().map(|_| ()));
    }
}
