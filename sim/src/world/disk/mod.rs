//! `Disk` and `Blocks` for a simulated machine: files that forget what was not synced.
//!
//! Invariants
//! - Every operation enters the disk of its own machine: handles of two machines never meet.
//! - A handle of an earlier boot, or of a machine that was struck, changes and learns nothing.
//! - Each change is one counted operation; a strike falls between two of them or into one.
//! - A sync that fails takes its file back to the last good one; a sync that lies changes nothing.
//!
//! Read next: `MachineDisk::change`, `state.rs` for what can be wrong, `image.rs` for what is
//! durable, `file.rs` for one open file, `../lane.rs` for the delay of a job.

mod file;
mod image;
mod medium;
mod state;
mod synced;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use quorate_core::observe::planted;
use quorate_core::ports::{Blocks, Disk, Lane, OpenHow, checked_path};
use turmoil_fs::shim::std::fs;

use super::context;
use super::lane::{InlineLane, MachineLane};
use super::trace::{Kind, Line};
use file::DiskFile;
pub(super) use medium::Medium;
pub use state::Strike;
use state::SyncOutcome;
pub(super) use state::{DiskFaults, DiskState};
pub(super) use synced::SyncedDisk;

const EIO: i32 = 5;
const ENOSPC: i32 = 28;

/// One machine's disk as one boot of it sees it.
#[derive(Clone)]
pub(super) struct MachineDisk {
    pub(super) medium: Medium,
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
        if self.state.struck().is_some() || self.state.boot.load(Relaxed) != boot {
            return Err(io::Error::other("the machine has no power, or the process is dead"));
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

    /// Performs one change: counted, traced, and the place where a planned strike falls.
    ///
    /// A struck operation may have taken effect or not; what a power cut takes is torn or lost.
    fn change<T>(
        &self,
        operation: &Operation<'_>,
        act: impl FnOnce() -> io::Result<T>,
    ) -> io::Result<T> {
        self.check_power()?;
        let _entered = self.medium.enter();
        if self.boot.is_none() {
            return act();
        }
        let count = self.state.operations_count.fetch_add(1, Relaxed) + 1;
        self.trace(operation, operation.bytes.len());
        let Some(how) = self.state.strike_in(count) else {
            return act();
        };
        if self.state.takes_effect.chance(0.5) {
            let _ = act();
        }
        let text = format!("{how:?} in disk operation {count}: {}", operation.name);
        context::record_text(Some(self.state.machine), Kind::World, &text);
        match how {
            Strike::PowerCut => self.medium.lose_power(self.state.faults().syncs_lie),
            Strike::Crash => {}
        }
        self.state.note_struck(how);
        context::silence();
        Err(io::Error::other("the machine was struck"))
    }

    /// Looks at the disk: traced, not counted.
    fn look<T>(
        &self,
        operation: &Operation<'_>,
        size_bytes: usize,
        act: impl FnOnce() -> io::Result<T>,
    ) -> io::Result<T> {
        self.check_power()?;
        let _entered = self.medium.enter();
        if self.boot.is_some() {
            self.trace(operation, size_bytes);
        }
        act()
    }

    fn named<'a>(&self, name: &'static str, path: &'a Arc<PathBuf>) -> Operation<'a> {
        Operation { name, path, offset: 0, bytes: &[] }
    }

    /// Whether there is room for so many bytes more.
    fn check_space(&self, more_bytes: u64) -> io::Result<()> {
        let DiskFaults { is_full, capacity_bytes, .. } = self.state.faults();
        let has_room = capacity_bytes.is_none_or(|capacity_bytes| {
            more_bytes == 0 || self.medium.used_bytes() + more_bytes <= capacity_bytes
        });
        if self.boot.is_some() && (is_full || !has_room) {
            return Err(io::Error::from_raw_os_error(ENOSPC));
        }
        Ok(())
    }

    /// Makes something durable with `sync`, unless the disk fails or lies; then `revert` is what
    /// becomes of what was not durable.
    fn sync_with(
        &self,
        (name, path): (&'static str, &Arc<PathBuf>),
        sync: impl FnOnce() -> io::Result<()>,
        revert: impl FnOnce() -> io::Result<()>,
    ) -> io::Result<SyncOutcome> {
        if self.boot.is_none() {
            self.change(&self.named(name, path), sync)?;
            return Ok(SyncOutcome::Durable);
        }
        self.check_power()?;
        let outcome = self.state.next_sync();
        match outcome {
            SyncOutcome::Durable => self.change(&self.named(name, path), sync)?,
            SyncOutcome::Lie => self.change(&self.named("sync that lies", path), || Ok(()))?,
            SyncOutcome::Failed => {
                self.change(&self.named("sync that fails", path), revert)?;
                return Err(io::Error::from_raw_os_error(EIO));
            }
        }
        Ok(outcome)
    }

    fn sync_folder(&self, folder: &Arc<PathBuf>) -> io::Result<()> {
        let sync = || self.medium.sync_folder(folder);
        self.sync_with(("sync folder", folder), sync, || Ok(())).map(drop)
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
                self.check_space(0)?;
                self.change(&self.named("mkdir", &parent), || fs::create_dir(parent.as_path()))?;
                self.sync_parent(&parent)?;
            }
        }
        Ok(())
    }

    fn sync_parent(&self, path: &Path) -> io::Result<()> {
        if planted("rename_without_directory_fsync") {
            return Ok(());
        }
        let parent = Arc::new(path.parent().unwrap_or(path).to_path_buf());
        self.sync_folder(&parent)
    }

    fn open_file(&self, path: &Arc<PathBuf>) -> io::Result<DiskFile> {
        let file = self.look(&self.named("open", path), 0, || medium::open(path))?;
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
        self.check_space(0)?;
        let file = self.change(&self.named("create", path), || self.medium.create(path))?;
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
        self.change(&operation, || self.medium.rename(&beside, &path))?;
        self.sync_parent(&path)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<PathBuf>> {
        let path = absolute(dir)?;
        if !self.exists(&path)? {
            return Ok(Vec::new());
        }
        self.sync_folder(&path)?;
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
        self.change(&operation, || self.medium.rename(&from, &to))?;
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
        self.change(&self.named("remove", &path), || self.medium.remove(&path))?;
        self.sync_parent(&path)
    }

    fn lane(&self, name: &'static str) -> Arc<dyn Lane> {
        match self.boot {
            Some(_) => Arc::new(MachineLane::open(name, self.state.clone())),
            None => Arc::new(InlineLane),
        }
    }
}
