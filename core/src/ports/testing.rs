//! A disk in memory for unit tests: jobs run at once, and what is not synced is lost or torn when
//! the test cuts the power.
//!
//! Whole nodes meet their faults in the simulator; here only the logic above the disk is tested.
//! The size of a file counts as durable at once, and so do files that are replaced or removed.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use futures_util::future::{BoxFuture, ready};

use super::{Blocks, Disk, Job, Lane, OpenHow};

/// A write that was not synced survives a power cut in units of this size, or not at all.
const SECTOR_SIZE_BYTES: usize = 512;

type File = Arc<Mutex<Content>>;

#[derive(Debug, Default)]
struct Content {
    /// What readers see.
    live: Vec<u8>,
    /// What a power cut leaves.
    durable: Vec<u8>,
    /// Writes since the last sync: where, and what.
    unsynced: Vec<(usize, Vec<u8>)>,
}

/// Clones share the files.
#[derive(Clone, Debug, Default)]
pub(crate) struct MemoryDisk {
    files: Arc<Mutex<BTreeMap<PathBuf, File>>>,
    faults: Arc<Faults>,
}

#[derive(Debug, Default)]
struct Faults {
    is_full: AtomicBool,
    reads: Limit,
    changes: Limit,
}

/// How many operations there were, and after how many they fail; 0 is never.
#[derive(Debug, Default)]
struct Limit {
    count: AtomicU64,
    limit_count: AtomicU64,
}

#[derive(Debug)]
struct MemoryBlocks {
    file: File,
    faults: Arc<Faults>,
}

#[derive(Debug)]
struct InlineLane;

/// What Linux says of a full disk (ENOSPC).
const NO_SPACE_CODE: i32 = 28;
/// What it says of a sector that cannot be read or written (EIO).
const BROKEN_CODE: i32 = 5;

impl Limit {
    fn set(&self, limit_count: u64) {
        self.count.store(0, Ordering::Relaxed);
        self.limit_count.store(limit_count, Ordering::Relaxed);
    }

    /// One more operation.
    fn pass(&self) -> io::Result<()> {
        let earlier_count = self.count.fetch_add(1, Ordering::Relaxed);
        let limit_count = self.limit_count.load(Ordering::Relaxed);
        if limit_count != 0 && earlier_count >= limit_count {
            return Err(io::Error::from_raw_os_error(BROKEN_CODE));
        }
        Ok(())
    }
}

impl Content {
    fn of(bytes: &[u8]) -> Content {
        Content { live: bytes.to_vec(), durable: bytes.to_vec(), unsynced: Vec::new() }
    }

    fn sync(&mut self) {
        for (offset, bytes) in self.unsynced.drain(..) {
            put(&mut self.durable, offset, &bytes);
        }
    }

    fn cut_power(&mut self, survives: &mut dyn FnMut() -> bool) {
        for (offset, bytes) in std::mem::take(&mut self.unsynced) {
            let mut at = 0;
            while at < bytes.len() {
                let in_sector = SECTOR_SIZE_BYTES - (offset + at) % SECTOR_SIZE_BYTES;
                let end = (at + in_sector).min(bytes.len());
                if survives() {
                    put(&mut self.durable, offset + at, &bytes[at..end]);
                }
                at = end;
            }
        }
        self.live.clone_from(&self.durable);
    }
}

fn put(bytes: &mut Vec<u8>, offset: usize, written: &[u8]) {
    let end = offset + written.len();
    if bytes.len() < end {
        bytes.resize(end, 0);
    }
    bytes[offset..end].copy_from_slice(written);
}

impl MemoryDisk {
    /// From here on there is no room, or there is again: writes are refused.
    pub(crate) fn set_full(&self, is_full: bool) {
        self.faults.is_full.store(is_full, Ordering::Relaxed);
    }

    /// Counts reads of open files anew; those after the first `count` fail. 0: none fails.
    pub(crate) fn fail_reads_after(&self, count: u64) {
        self.faults.reads.set(count);
    }

    /// How many reads there were since they were last counted anew.
    pub(crate) fn reads_count(&self) -> u64 {
        self.faults.reads.count.load(Ordering::Relaxed)
    }

    /// Counts writes, syncs, replacements and removals anew; those after the first `count` fail. 0:
    /// none fails.
    pub(crate) fn fail_changes_after(&self, count: u64) {
        self.faults.changes.set(count);
    }

    /// Power fails and comes back: of each sector that was written and not synced, `survives` says
    /// whether it is there.
    pub(crate) fn cut_power(&self, mut survives: impl FnMut() -> bool) {
        for file in self.files.lock().unwrap().values() {
            file.lock().unwrap().cut_power(&mut survives);
        }
    }

    /// Takes un-synced bytes for durable, which they are not, as Linux does after a failed sync:
    /// readers see them, later syncs leave them alone.
    pub(crate) fn forget_unsynced(&self) {
        for file in self.files.lock().unwrap().values() {
            file.lock().unwrap().unsynced.clear();
        }
    }

    /// What is shown is durable from here on, as the port promises.
    fn opened(&self, file: &File) -> Box<dyn Blocks> {
        file.lock().unwrap().sync();
        Box::new(MemoryBlocks { file: file.clone(), faults: self.faults.clone() })
    }

    /// Changes bytes behind the store's back.
    pub(crate) fn damage(&self, path: &str, change: impl FnOnce(&mut Vec<u8>)) {
        let file = self.files.lock().unwrap().get(Path::new(path)).unwrap().clone();
        let mut content = file.lock().unwrap();
        change(&mut content.live);
        *content = Content::of(&content.live);
    }
}

impl Faults {
    fn room(&self) -> io::Result<()> {
        match self.is_full.load(Ordering::Relaxed) {
            true => Err(io::Error::from_raw_os_error(NO_SPACE_CODE)),
            false => Ok(()),
        }
    }
}

impl Disk for MemoryDisk {
    fn open(&self, path: &Path, how: OpenHow) -> io::Result<Box<dyn Blocks>> {
        let mut files = self.files.lock().unwrap();
        match how {
            OpenHow::Existing => match files.get(path) {
                Some(file) => Ok(self.opened(file)),
                None => Err(io::ErrorKind::NotFound.into()),
            },
            OpenHow::CreateIfMissing => Ok(self.opened(files.entry(path.to_owned()).or_default())),
        }
    }

    fn read(&self, path: &Path) -> io::Result<Option<Vec<u8>>> {
        let files = self.files.lock().unwrap();
        Ok(files.get(path).map(|file| file.lock().unwrap().live.clone()))
    }

    fn replace(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        self.faults.room()?;
        self.faults.changes.pass()?;
        let file = Arc::new(Mutex::new(Content::of(bytes)));
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

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.faults.changes.pass()?;
        let removed = self.files.lock().unwrap().remove(path);
        removed.map(drop).ok_or_else(|| io::ErrorKind::NotFound.into())
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

impl Blocks for MemoryBlocks {
    fn len(&self) -> io::Result<u64> {
        Ok(self.file.lock().unwrap().live.len() as u64)
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.faults.reads.pass()?;
        let content = self.file.lock().unwrap();
        let at = offset as usize;
        let found = content.live.get(at..at + buffer.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
        buffer.copy_from_slice(found);
        Ok(())
    }

    fn write_at(&self, offset: u64, written: &[u8]) -> io::Result<()> {
        self.faults.room()?;
        let mut content = self.file.lock().unwrap();
        // A write that fails may still have reached the disk in part.
        put(&mut content.live, offset as usize, written);
        content.unsynced.push((offset as usize, written.to_vec()));
        self.faults.changes.pass()
    }

    fn set_len(&self, size_bytes: u64) -> io::Result<()> {
        self.faults.room()?;
        let mut content = self.file.lock().unwrap();
        content.live.resize(size_bytes as usize, 0);
        content.sync();
        content.durable.resize(size_bytes as usize, 0);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        self.faults.changes.pass()?;
        self.file.lock().unwrap().sync();
        Ok(())
    }
}
