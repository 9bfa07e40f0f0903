//! A disk in memory for unit tests: what is written stays, jobs run at once.
//!
//! Power cuts and faults are the simulator's; here only the logic above the disk is tested.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use futures_util::future::{BoxFuture, ready};

use super::{Blocks, Disk, Job, Lane, OpenHow};

type File = Arc<Mutex<Vec<u8>>>;

/// Clones share the files.
#[derive(Clone, Debug, Default)]
pub(crate) struct MemoryDisk {
    files: Arc<Mutex<BTreeMap<PathBuf, File>>>,
    is_full: Arc<AtomicBool>,
    reads: Arc<Reads>,
}

/// How many reads of open files there were, and after how many they fail; 0 is never.
#[derive(Debug, Default)]
struct Reads {
    count: AtomicU64,
    limit_count: AtomicU64,
}

#[derive(Debug)]
struct MemoryBlocks {
    file: File,
    is_full: Arc<AtomicBool>,
    reads: Arc<Reads>,
}

#[derive(Debug)]
struct InlineLane;

/// What Linux says of a full disk (ENOSPC).
const NO_SPACE_CODE: i32 = 28;
/// What it says of a sector that cannot be read (EIO).
const NO_SECTOR_CODE: i32 = 5;

impl MemoryDisk {
    /// From here on there is no room, or there is again: writes to open files are refused.
    pub(crate) fn set_full(&self, is_full: bool) {
        self.is_full.store(is_full, Ordering::Relaxed);
    }

    /// Counts reads of open files anew; those after the first `count` fail. 0: none fails.
    pub(crate) fn fail_reads_after(&self, count: u64) {
        self.reads.count.store(0, Ordering::Relaxed);
        self.reads.limit_count.store(count, Ordering::Relaxed);
    }

    /// How many reads there were since they were last counted anew.
    pub(crate) fn reads_count(&self) -> u64 {
        self.reads.count.load(Ordering::Relaxed)
    }

    fn blocks(&self, file: &File) -> Box<dyn Blocks> {
        let (file, is_full) = (file.clone(), self.is_full.clone());
        Box::new(MemoryBlocks { file, is_full, reads: self.reads.clone() })
    }

    /// Changes bytes behind the store's back.
    pub(crate) fn damage(&self, path: &str, change: impl FnOnce(&mut Vec<u8>)) {
        let file = self.files.lock().unwrap().get(Path::new(path)).unwrap().clone();
        change(&mut file.lock().unwrap());
    }
}

impl Disk for MemoryDisk {
    fn open(&self, path: &Path, how: OpenHow) -> io::Result<Box<dyn Blocks>> {
        let mut files = self.files.lock().unwrap();
        match how {
            OpenHow::Existing => match files.get(path) {
                Some(file) => Ok(self.blocks(file)),
                None => Err(io::ErrorKind::NotFound.into()),
            },
            OpenHow::CreateIfMissing => Ok(self.blocks(files.entry(path.to_owned()).or_default())),
        }
    }

    fn read(&self, path: &Path) -> io::Result<Option<Vec<u8>>> {
        let files = self.files.lock().unwrap();
        Ok(files.get(path).map(|file| file.lock().unwrap().clone()))
    }

    fn replace(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let file = Arc::new(Mutex::new(bytes.to_vec()));
        self.files.lock().unwrap().insert(path.to_owned(), file);
        Ok(())
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<PathBuf>> {
        let files = self.files.lock().unwrap();
        Ok(files.keys().filter(|path| path.parent() == Some(dir)).cloned().collect())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut files = self.files.lock().unwrap();
        let file = files.remove(from).ok_or(io::ErrorKind::NotFound)?;
        files.insert(to.to_owned(), file);
        Ok(())
    }

    fn lane(&self, _name: &'static str) -> Arc<dyn Lane> {
        Arc::new(InlineLane)
    }
}

impl Lane for InlineLane {
    fn run(&self, job: Job) -> BoxFuture<'static, io::Result<()>> {
        Box::pin(ready(job()))
    }
}

impl MemoryBlocks {
    fn room(&self) -> io::Result<()> {
        match self.is_full.load(Ordering::Relaxed) {
            true => Err(io::Error::from_raw_os_error(NO_SPACE_CODE)),
            false => Ok(()),
        }
    }
}

impl Blocks for MemoryBlocks {
    fn len(&self) -> io::Result<u64> {
        Ok(self.file.lock().unwrap().len() as u64)
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let earlier_count = self.reads.count.fetch_add(1, Ordering::Relaxed);
        let limit_count = self.reads.limit_count.load(Ordering::Relaxed);
        if limit_count != 0 && earlier_count >= limit_count {
            return Err(io::Error::from_raw_os_error(NO_SECTOR_CODE));
        }
        let bytes = self.file.lock().unwrap();
        let at = offset as usize;
        let found = bytes.get(at..at + buffer.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
        buffer.copy_from_slice(found);
        Ok(())
    }

    fn write_at(&self, offset: u64, written: &[u8]) -> io::Result<()> {
        self.room()?;
        let mut bytes = self.file.lock().unwrap();
        let (at, end) = (offset as usize, offset as usize + written.len());
        let size_bytes = bytes.len().max(end);
        bytes.resize(size_bytes, 0);
        bytes[at..end].copy_from_slice(written);
        Ok(())
    }

    fn set_len(&self, size_bytes: u64) -> io::Result<()> {
        self.room()?;
        self.file.lock().unwrap().resize(size_bytes as usize, 0);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }
}
