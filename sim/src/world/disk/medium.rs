//! What a disk is made of: the files of the library below, and their synced image beside them.
//!
//! It outlives the processes, and moves with the disk when somebody carries it to another machine.
//!
//! Invariants
//! - Every change goes to both, here and nowhere else.
//!
//! Read next: `image.rs`, `mod.rs` for who changes what when.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard};

use std::os::unix::fs::FileExt;
use turmoil_fs::shim::std::fs::{self, File, OpenOptions};
use turmoil_fs::{Fs, FsEnterGuard};

use super::image::Image;

/// A write that was not synced survives a power cut in units of this size, or not at all.
const SECTOR_SIZE_BYTES: u64 = 512;

/// The files of one disk. Clones are the same disk.
#[derive(Clone)]
pub(in super::super) struct Medium {
    fs: Fs,
    image: Arc<Mutex<Image>>,
    /// It lost power while its syncs lied.
    has_forgotten: Arc<AtomicBool>,
}

impl Medium {
    /// An empty disk. The seed decides which sectors a power cut tears.
    pub(super) fn new(seed: u64) -> Medium {
        let fs = Fs::builder().seed(seed).block_size(SECTOR_SIZE_BYTES).build();
        Medium { fs, image: Arc::default(), has_forgotten: Arc::default() }
    }

    /// While it lives, files of the library below are files of this disk.
    pub(super) fn enter(&self) -> FsEnterGuard {
        self.fs.enter()
    }

    pub(super) fn image(&self) -> MutexGuard<'_, Image> {
        self.image.lock().expect("no code panics while it holds this")
    }

    /// Bytes in all files, durable or not.
    pub(in super::super) fn used_bytes(&self) -> u64 {
        self.image().used_bytes()
    }

    /// One number over all files as processes see them, what was not synced included.
    pub(in super::super) fn digest(&self) -> u64 {
        let _entered = self.enter();
        let mut read = read_folder(Path::new("/")).expect("a disk without faults is read");
        read.sort();
        let mut hasher = crc32fast::Hasher::new();
        for (path, bytes) in &read {
            hasher.update(path.as_os_str().as_encoded_bytes());
            hasher.update(bytes);
        }
        u64::from(hasher.finalize())
    }

    pub(in super::super) fn has_forgotten(&self) -> bool {
        self.has_forgotten.load(Relaxed)
    }

    /// Loses what was not synced, or leaves it torn. What is there afterwards is durable.
    pub(in super::super) fn lose_power(&self, syncs_lied: bool) {
        self.has_forgotten.fetch_or(syncs_lied, Relaxed);
        self.fs.crash();
        let _entered = self.enter();
        let read = read_folder(Path::new("/")).expect("a disk without faults is read");
        *self.image() = Image::of(read);
    }

    /// Makes everything durable that a process sees, as a drive does that empties its cache.
    pub(in super::super) fn drain(&self) -> io::Result<()> {
        let _entered = self.enter();
        let files = self.image().shown();
        for path in &files {
            self.sync(path, &open(path)?)?;
        }
        for folder in files.iter().flat_map(|path| path.ancestors().skip(1)) {
            self.sync_folder(folder)?;
        }
        Ok(())
    }

    pub(super) fn create(&self, path: &Path) -> io::Result<File> {
        let file = File::create(path)?;
        self.image().create(path);
        Ok(file)
    }

    pub(super) fn write(&self, path: &Path, file: &File, at: u64, bytes: &[u8]) -> io::Result<()> {
        file.write_all_at(bytes, at)?;
        self.image().write(path, at, bytes);
        Ok(())
    }

    pub(super) fn resize(&self, path: &Path, file: &File, size_bytes: u64) -> io::Result<()> {
        file.set_len(size_bytes)?;
        self.image().resize(path, size_bytes);
        Ok(())
    }

    pub(super) fn sync(&self, path: &Path, file: &File) -> io::Result<()> {
        file.sync_data()?;
        self.image().sync(path);
        Ok(())
    }

    /// Forgets what was written to the file since its last sync, as a system does whose sync has
    /// failed: it counts the pages as clean, and reads them from the disk the next time.
    /// Source: Rebello et al. 2020, section 4 (the pages are marked clean on each file system).
    pub(super) fn revert(&self, path: &Path, file: &File) -> io::Result<()> {
        let Some(bytes) = self.image().revert(path) else {
            return Ok(());
        };
        file.set_len(0)?;
        file.write_all_at(&bytes, 0)?;
        file.sync_data()
    }

    pub(super) fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)?;
        self.image().rename(from, to);
        Ok(())
    }

    pub(super) fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)?;
        self.image().remove(path);
        Ok(())
    }

    pub(super) fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        fs::sync_dir(folder)?;
        self.image().sync_folder(folder);
        Ok(())
    }
}

/// Opens a file that is there. The disk must be entered.
pub(super) fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).open(path)
}

/// Every file below a folder and what it holds. The disk must be entered.
fn read_folder(folder: &Path) -> io::Result<Vec<(PathBuf, Vec<u8>)>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let (path, kind) = entry.and_then(|entry| Ok((entry.path(), entry.file_type()?)))?;
        if kind.is_dir() {
            files.extend(read_folder(&path)?);
        } else {
            files.push((path.clone(), fs::read(&path)?));
        }
    }
    Ok(files)
}
