//! `Disk` for a look at what is durable, and at nothing else.
//!
//! Read-only: a checker that asks what a power cut would leave must not change the answer.
//!
//! Invariants
//! - A file that was opened shows what was synced then, also if more is synced later.
//!
//! Read next: `image.rs`.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use quorate_core::ports::{Blocks, Disk, Lane, OpenHow, checked_path};

use super::super::lane::InlineLane;
use super::absolute;
use super::medium::Medium;

/// The synced part of one disk.
pub(in super::super) struct SyncedDisk(pub(in super::super) Medium);

impl std::fmt::Debug for SyncedDisk {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("the synced part of a disk")
    }
}

fn read_only<T>() -> io::Result<T> {
    Err(io::Error::new(io::ErrorKind::ReadOnlyFilesystem, "only the disk's machine changes it"))
}

impl SyncedDisk {
    /// Every durable file, relative to the data directory.
    pub(in super::super) fn files(&self) -> Vec<PathBuf> {
        let durable = self.0.image().durable();
        let relative = durable.iter().filter_map(|path| path.strip_prefix("/").ok());
        // Half-written files of a `replace` have names that the port does not allow.
        relative.filter(|path| checked_path(path).is_ok()).map(Path::to_path_buf).collect()
    }

    /// A part of a file, by offset and size, without a copy of the rest.
    pub(in super::super) fn bytes(&self, path: &Path, at: (u64, u32)) -> Option<Vec<u8>> {
        let path = absolute(path).ok()?;
        let start = usize::try_from(at.0).ok()?;
        let image = self.0.image();
        let rest = image.synced(&path)?.get(start..)?;
        rest.get(..usize::try_from(at.1).ok()?).map(<[u8]>::to_vec)
    }
}

impl Disk for SyncedDisk {
    fn open(&self, path: &Path, _: OpenHow) -> io::Result<Box<dyn Blocks>> {
        let bytes = self.read(path)?.ok_or(io::ErrorKind::NotFound)?;
        Ok(Box::new(SyncedFile(bytes)))
    }

    fn read(&self, path: &Path) -> io::Result<Option<Vec<u8>>> {
        let path = absolute(path)?;
        Ok(self.0.image().synced(&path).map(<[u8]>::to_vec))
    }

    fn replace(&self, _: &Path, _: &[u8]) -> io::Result<()> {
        read_only()
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<PathBuf>> {
        let dir = checked_path(dir)?;
        Ok(self.files().into_iter().filter(|path| path.parent() == Some(dir)).collect())
    }

    fn rename(&self, _: &Path, _: &Path) -> io::Result<()> {
        read_only()
    }

    fn remove(&self, _: &Path) -> io::Result<()> {
        read_only()
    }

    fn lane(&self, _: &'static str) -> Arc<dyn Lane> {
        Arc::new(InlineLane)
    }
}

/// What a file held when it was opened, as far as it was synced.
#[derive(Debug)]
struct SyncedFile(Vec<u8>);

impl Blocks for SyncedFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.len() as u64)
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let start = usize::try_from(offset).map_err(io::Error::other)?;
        let bytes = self.0.get(start..).and_then(|rest| rest.get(..buffer.len()));
        buffer.copy_from_slice(bytes.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn write_at(&self, _: u64, _: &[u8]) -> io::Result<()> {
        read_only()
    }

    fn set_len(&self, _: u64) -> io::Result<()> {
        read_only()
    }

    fn sync_data(&self) -> io::Result<()> {
        read_only()
    }
}
