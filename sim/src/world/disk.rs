//! `Disk` and `Blocks` for a simulated machine: files that forget what was not synced.
//!
//! Invariants
//! - Every operation enters the disk of its own machine: handles of two machines never meet.
//! - A handle of an earlier boot, or of a machine without power, changes and learns nothing.
//! - Each change is one counted operation; a power cut falls between two of them or into one.
//!
//! Read next: [`DiskState::operation`], `lane.rs` for the delay of a job.

use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};

use quorate_core::ports::{Blocks, Disk, Lane, OpenHow, checked_path};
use turmoil_fs::Fs;
use turmoil_fs::shim::std::fs::{self, File, OpenOptions};

use super::context;
use super::lane::{InlineLane, MachineLane};
use super::trace::{Kind, Line};
use crate::choices::{Choices, Dice, number};

const EIO: i32 = 5;
const ENOSPC: i32 = 28;
/// A write that was not synced survives a power cut in units of this size, or not at all.
const SECTOR_SIZE_BYTES: u64 = 512;
/// Writes through one handle that wait for a sync. After so many the machine's kernel writes them
/// out by itself, as a real one does sooner or later.
const UNSYNCED_COUNT_MAX: usize = 64;
const NEVER: u64 = u64::MAX;

/// What all boots of one machine share about its disk: counters and faults.
#[derive(Debug)]
pub(super) struct DiskState {
    pub(super) machine: usize,
    /// Handles of other boots are dead.
    pub(super) boot: AtomicU64,
    pub(super) operations_count: AtomicU64,
    /// Files that processes of this machine hold open.
    pub(super) handles_count: AtomicUsize,
    cut_at: AtomicU64,
    has_lost_power: AtomicBool,
    pub(super) is_full: AtomicBool,
    pub(super) syncs_fail: AtomicBool,
    pub(super) latency_ms_min: AtomicU64,
    pub(super) latency_ms_max: AtomicU64,
    pub(super) choices: Choices,
    seeds: Dice,
    /// Whether an operation that the power cut strikes takes effect.
    struck: Dice,
}

impl DiskState {
    pub(super) fn new(machine: usize, choices: &Choices) -> DiskState {
        DiskState {
            machine,
            boot: AtomicU64::new(0),
            operations_count: AtomicU64::new(0),
            handles_count: AtomicUsize::new(0),
            cut_at: AtomicU64::new(NEVER),
            has_lost_power: AtomicBool::new(false),
            is_full: AtomicBool::new(false),
            syncs_fail: AtomicBool::new(false),
            latency_ms_min: AtomicU64::new(0),
            latency_ms_max: AtomicU64::new(1),
            choices: choices.clone(),
            seeds: choices.site("disk.seed", number(machine)),
            struck: choices.site("disk.struck_takes_effect", number(machine)),
        }
    }

    /// A new, empty disk for the machine. Its seed decides which sectors a power cut tears.
    pub(super) fn empty(&self) -> Fs {
        Fs::builder().seed(self.seeds.word()).block_size(SECTOR_SIZE_BYTES).build()
    }

    /// The `k`-th operation from here on meets a power cut; the next one is 1.
    pub(super) fn cut_power_at(&self, k: u64) {
        self.cut_at.store(self.operations_count.load(Relaxed).saturating_add(k.max(1)), Relaxed);
    }

    pub(super) fn has_lost_power(&self) -> bool {
        self.has_lost_power.load(Relaxed)
    }

    /// The machine starts anew, with power, under this boot number.
    pub(super) fn power_on(&self, boot: u64) {
        self.boot.store(boot, Relaxed);
        self.has_lost_power.store(false, Relaxed);
    }

    /// The machine's process has ended: nothing that still holds a handle may use it.
    pub(super) fn end_boot(&self) {
        self.boot.store(NEVER, Relaxed);
        self.cut_at.store(NEVER, Relaxed);
    }
}

/// One machine's disk as one boot of it sees it.
#[derive(Clone)]
pub(super) struct MachineDisk {
    pub(super) fs: Fs,
    pub(super) state: Arc<DiskState>,
    /// `None`: an outside look at the disk, which meets no fault and leaves no trace.
    pub(super) boot: Option<u64>,
}

/// What an operation is called in the trace, and what it does there.
struct Operation<'a> {
    name: &'static str,
    path: &'a Arc<PathBuf>,
    offset: u64,
    bytes: &'a [u8],
}

impl MachineDisk {
    fn check_power(&self) -> io::Result<()> {
        let Some(boot) = self.boot else {
            return Ok(());
        };
        if self.state.has_lost_power() || self.state.boot.load(Relaxed) != boot {
            return Err(io::Error::other("the machine has no power"));
        }
        Ok(())
    }

    fn trace(&self, operation: &Operation<'_>, size_bytes: usize) {
        let Operation { name, path, offset, bytes } = *operation;
        let name_word = u64::from(crc32fast::hash(name.as_bytes()));
        let path_word = u64::from(crc32fast::hash(path.as_os_str().as_encoded_bytes()));
        let words = [name_word, path_word, offset, size_bytes as u64];
        context::record(Some(self.state.machine), Kind::Disk, (&words, bytes), || Line::Disk {
            operation: name,
            path: path.clone(),
            offset,
            size_bytes,
        });
    }

    /// Performs one change: counted, traced, and the place where a planned power cut strikes.
    ///
    /// A struck operation may have taken effect or not; what is not synced is torn or lost.
    fn change<T>(
        &self,
        operation: &Operation<'_>,
        act: impl FnOnce() -> io::Result<T>,
    ) -> io::Result<T> {
        self.check_power()?;
        let _entered = self.fs.enter();
        if self.boot.is_none() {
            return act();
        }
        let count = self.state.operations_count.fetch_add(1, Relaxed) + 1;
        self.trace(operation, operation.bytes.len());
        if count < self.state.cut_at.load(Relaxed) {
            return act();
        }
        if self.state.struck.chance(0.5) {
            let _ = act();
        }
        let text = format!("power fails in disk operation {count}: {}", operation.name);
        context::record_text(Some(self.state.machine), Kind::World, &text);
        self.fs.crash();
        self.state.has_lost_power.store(true, Relaxed);
        context::silence();
        Err(io::Error::other("the power failed"))
    }

    /// Looks at the disk: traced, not counted.
    fn look<T>(
        &self,
        operation: &Operation<'_>,
        size_bytes: usize,
        act: impl FnOnce() -> io::Result<T>,
    ) -> io::Result<T> {
        self.check_power()?;
        let _entered = self.fs.enter();
        if self.boot.is_some() {
            self.trace(operation, size_bytes);
        }
        act()
    }

    fn named<'a>(&self, name: &'static str, path: &'a Arc<PathBuf>) -> Operation<'a> {
        Operation { name, path, offset: 0, bytes: &[] }
    }

    fn check_space(&self) -> io::Result<()> {
        if self.boot.is_some() && self.state.is_full.load(Relaxed) {
            return Err(io::Error::from_raw_os_error(ENOSPC));
        }
        Ok(())
    }

    fn check_sync(&self) -> io::Result<()> {
        if self.boot.is_some() && self.state.syncs_fail.load(Relaxed) {
            return Err(io::Error::from_raw_os_error(EIO));
        }
        Ok(())
    }

    fn exists(&self, path: &Arc<PathBuf>) -> io::Result<bool> {
        self.look(&self.named("exists", path), 0, || Ok(fs::exists(path.as_path())))
    }

    /// Makes the folders above `path` that are missing, each durable before the next.
    fn make_parents(&self, path: &Path) -> io::Result<()> {
        let parents: Vec<&Path> = path.ancestors().skip(1).collect();
        for parent in parents.into_iter().rev() {
            let parent = Arc::new(parent.to_path_buf());
            if !self.exists(&parent)? {
                self.check_space()?;
                self.change(&self.named("mkdir", &parent), || fs::create_dir(parent.as_path()))?;
                self.sync_parent(&parent)?;
            }
        }
        Ok(())
    }

    fn sync_parent(&self, path: &Path) -> io::Result<()> {
        let parent = Arc::new(path.parent().unwrap_or(path).to_path_buf());
        self.check_sync()?;
        self.change(&self.named("sync folder", &parent), || fs::sync_dir(parent.as_path()))
    }

    fn open_file(&self, path: &Arc<PathBuf>) -> io::Result<DiskFile> {
        let mut options = OpenOptions::new();
        let options = options.read(true).write(true);
        let file = self.look(&self.named("open", path), 0, || options.open(path.as_path()))?;
        Ok(DiskFile::new(self, path, file))
    }

    /// Opens a file that may hold what an earlier process had written and not synced.
    fn open_durable(&self, path: &Arc<PathBuf>) -> io::Result<DiskFile> {
        let file = self.open_file(path)?;
        file.sync_data()?;
        self.sync_parent(path)?;
        Ok(file)
    }

    fn create_file(&self, path: &Arc<PathBuf>) -> io::Result<()> {
        self.make_parents(path)?;
        self.check_space()?;
        let file = self.change(&self.named("create", path), || File::create(path.as_path()))?;
        drop(DiskFile::new(self, path, file));
        Ok(())
    }

    /// Changes one byte of a file, durably and behind everybody's back.
    pub(super) fn rot(&self, path: &Path, offset: u64, mask: u8) -> io::Result<()> {
        let file = self.open_file(&absolute(path)?)?;
        let mut byte = [0];
        file.read_at(offset, &mut byte)?;
        file.write_at(offset, &[byte[0] ^ mask])?;
        file.sync_data()
    }
}

impl std::fmt::Debug for MachineDisk {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "disk of machine {}", self.state.machine)
    }
}

/// The path below the root of the machine's disk.
fn absolute(path: &Path) -> io::Result<Arc<PathBuf>> {
    Ok(Arc::new(Path::new("/").join(checked_path(path)?)))
}

impl Disk for MachineDisk {
    fn open(&self, path: &Path, how: OpenHow) -> io::Result<Box<dyn Blocks>> {
        let path = absolute(path)?;
        if how == OpenHow::CreateIfMissing && !self.exists(&path)? {
            self.create_file(&path)?;
            self.sync_parent(&path)?;
            return Ok(Box::new(self.open_file(&path)?));
        }
        Ok(Box::new(self.open_durable(&path)?))
    }

    fn read(&self, path: &Path) -> io::Result<Option<Vec<u8>>> {
        let path = absolute(path)?;
        if !self.exists(&path)? {
            return Ok(None);
        }
        let file = self.open_durable(&path)?;
        let size_bytes = usize::try_from(file.len()?).expect("a simulated file fits the memory");
        let mut bytes = vec![0; size_bytes];
        file.read_at(0, &mut bytes)?;
        Ok(Some(bytes))
    }

    fn replace(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let path = absolute(path)?;
        let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?.to_string_lossy();
        let beside = Arc::new(path.with_file_name(format!(".{name}.new")));
        self.create_file(&beside)?;
        let file = self.open_file(&beside)?;
        file.write_at(0, bytes)?;
        file.sync_data()?;
        drop(file);
        let operation = self.named("rename", &path);
        self.change(&operation, || fs::rename(beside.as_path(), path.as_path()))?;
        self.sync_parent(&path)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<PathBuf>> {
        let path = absolute(dir)?;
        if !self.exists(&path)? {
            return Ok(Vec::new());
        }
        self.check_sync()?;
        self.change(&self.named("sync folder", &path), || fs::sync_dir(path.as_path()))?;
        let mut files = self.look(&self.named("list", &path), 0, || {
            let entries = fs::read_dir(path.as_path())?.collect::<io::Result<Vec<_>>>()?;
            let files = entries
                .into_iter()
                .filter(|entry| entry.file_type().is_ok_and(|file_type| file_type.is_file()));
            Ok(files.map(|entry| dir.join(entry.file_name())).collect::<Vec<_>>())
        })?;
        files.sort();
        Ok(files)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let (from, to) = (absolute(from)?, absolute(to)?);
        if !self.exists(&from)? {
            return Err(io::ErrorKind::NotFound.into());
        }
        self.make_parents(&to)?;
        let operation = self.named("rename", &to);
        self.change(&operation, || fs::rename(from.as_path(), to.as_path()))?;
        // The file's place first: the disk below forgets it if its former place is synced before.
        self.sync_parent(&to)?;
        if from.parent() != to.parent() {
            self.sync_parent(&from)?;
        }
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let path = absolute(path)?;
        if !self.exists(&path)? {
            return Err(io::ErrorKind::NotFound.into());
        }
        self.change(&self.named("remove", &path), || fs::remove_file(path.as_path()))?;
        self.sync_parent(&path)
    }

    fn lane(&self, name: &'static str) -> Arc<dyn Lane> {
        match self.boot {
            Some(_) => Arc::new(MachineLane::open(name, self.state.clone())),
            None => Arc::new(InlineLane),
        }
    }
}

/// One open file of a machine.
#[derive(Debug)]
struct DiskFile {
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
    fn new(disk: &MachineDisk, path: &Arc<PathBuf>, file: File) -> DiskFile {
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
        if self.has_failed.load(Relaxed) {
            return Err(io::Error::from_raw_os_error(EIO));
        }
        Ok(())
    }

    fn file(&self) -> &File {
        self.file.as_ref().expect("a file is there until it is dropped")
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
        self.disk.check_space()?;
        let operation = self.at("write", offset, bytes);
        self.disk.change(&operation, || {
            self.file().write_all_at(bytes, offset)?;
            if self.unsynced_count.fetch_add(1, Relaxed) < UNSYNCED_COUNT_MAX {
                return Ok(());
            }
            self.unsynced_count.store(0, Relaxed);
            self.file().sync_data()
        })
    }

    fn set_len(&self, size_bytes: u64) -> io::Result<()> {
        if size_bytes > self.len()? {
            self.disk.check_space()?;
        }
        let before_bytes = self.len()?;
        let operation = self.at("set length", size_bytes, &[]);
        self.disk.change(&operation, || {
            self.file().set_len(size_bytes)?;
            if size_bytes < before_bytes {
                self.was_cut.store(true, Relaxed);
            } else if self.was_cut.load(Relaxed) {
                // Until the next sync the disk below shows cut bytes again where the file grows.
                let grown_bytes = usize::try_from(size_bytes - before_bytes);
                let zeros = vec![0; grown_bytes.expect("a simulated file fits the memory")];
                self.file().write_all_at(&zeros, before_bytes)?;
            }
            Ok(())
        })
    }

    fn sync_data(&self) -> io::Result<()> {
        self.check()?;
        let sync = || self.disk.change(&self.at("sync", 0, &[]), || self.file().sync_data());
        self.unsynced_count.store(0, Relaxed);
        self.disk.check_sync().and_then(|()| sync()).inspect_err(|_| {
            self.has_failed.store(true, Relaxed);
        })
    }
}

impl Drop for DiskFile {
    fn drop(&mut self) {
        // Handles are numbers of one disk: closing one while another is entered hits a stranger.
        let _entered = self.disk.fs.enter();
        self.file = None;
        if self.disk.boot.is_some() {
            self.disk.state.handles_count.fetch_sub(1, Relaxed);
        }
    }
}
