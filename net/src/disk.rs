//! The data directory: taken by one process, and changed only in steps that survive a power cut.
//!
//! Invariants
//! - The lock lives as long as anything that can still write: the disk, its open files, its lanes.
//! - A file is put in place whole: written beside, synced, renamed, and the directory synced.
//! - Whatever a call shows was synced first, because a killed process leaves behind, in the page
//!   cache, writes that nobody has made durable.
//! - Directories have mode 0700 and files 0600: keys lie here.
//!
//! Read next: [`quorate_core::ports::Disk`] for what is promised, then `blocks.rs`, `lane.rs`.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use quorate_core::ports::{Blocks, Disk, Lane, OpenHow, checked_path};

use crate::blocks::FileBlocks;
use crate::lane::ThreadLane;

/// Held locked by the process that uses the directory; its content is that process's id.
const LOCK_FILE_NAME: &str = "LOCK";

/// Why a data directory was not opened. Each text: what happened; what changed; what to do.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Retry is safe once the other process has ended.
    #[error(
        "Q1401 data directory {} is in use by process {pid}; nothing was changed; stop that \
         process, or give this node a directory of its own",
        data_dir.display()
    )]
    InUse {
        /// The directory as it was asked for.
        data_dir: PathBuf,
        /// The process that holds it, in decimal; `?` if it has not written its id yet.
        pid: String,
    },

    /// Retry is safe once the cause is mended.
    #[error(
        "Q1402 data directory {} cannot be used: {cause}; no file of the node was changed; make it \
         a directory on a writable disk that belongs to this user, or choose another",
        data_dir.display()
    )]
    Unusable {
        /// The directory as it was asked for.
        data_dir: PathBuf,
        /// What the system said.
        #[source]
        cause: io::Error,
    },
}

/// The data directory of a real node. Clones share the lock.
#[derive(Clone, Debug)]
pub struct DataDisk(Arc<DataDir>);

impl DataDisk {
    /// Takes the directory for this process, and makes it if it is missing.
    pub fn open(data_dir: &Path) -> Result<DataDisk, OpenError> {
        Ok(DataDisk(Arc::new(DataDir::open(data_dir)?)))
    }
}

/// The locked directory itself. The lock ends with the last holder of this.
#[derive(Debug)]
pub(crate) struct DataDir {
    root: PathBuf,
    /// One replacement at a time: two of the same file would share the file written beside it.
    replacing: Mutex<()>,
    lock: File,
}

impl Drop for DataDir {
    fn drop(&mut self) {
        // Said, not left to the closing of the file: a child process that was forked and has not
        // reached its program yet shares the lock. An error leaves exactly that.
        let _ = self.lock.unlock();
    }
}

impl DataDir {
    pub(crate) fn open(data_dir: &Path) -> Result<DataDir, OpenError> {
        let unusable = |cause| OpenError::Unusable { data_dir: data_dir.to_owned(), cause };
        // Later changes of the working directory must not move the node's files.
        let root = std::path::absolute(data_dir).map_err(unusable)?;
        create_dirs(&root).map_err(unusable)?;
        let lock_path = root.join(LOCK_FILE_NAME);
        let mut lock = private_file().create(true).open(lock_path).map_err(unusable)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let pid = holder(&mut lock);
                return Err(OpenError::InUse { data_dir: data_dir.to_owned(), pid });
            }
            Err(TryLockError::Error(cause)) => return Err(unusable(cause)),
        }
        lock.set_len(0)
            .and_then(|()| writeln!(lock, "{}", std::process::id()))
            .and_then(|()| sync_dir(&root))
            .map_err(unusable)?;
        Ok(DataDir { root, replacing: Mutex::new(()), lock })
    }

    /// The real path of `path`, or `InvalidInput`.
    fn place(&self, path: &Path) -> io::Result<PathBuf> {
        if path == Path::new(LOCK_FILE_NAME) {
            let text = format!("{LOCK_FILE_NAME} belongs to the data directory itself");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        }
        Ok(self.root.join(checked_path(path)?))
    }

    /// Makes the entries on the way from the data directory to `file` durable.
    fn sync_dirs_above(&self, file: &Path) -> io::Result<()> {
        file.ancestors()
            .skip(1)
            .take_while(|dir| dir.starts_with(&self.root))
            .try_for_each(sync_dir)
    }

    fn replace(&self, file: &Path, bytes: &[u8]) -> io::Result<()> {
        let (Some(dir), Some(name)) = (file.parent(), file.file_name()) else {
            return Err(io::ErrorKind::InvalidInput.into());
        };
        create_dirs(dir)?;
        let mut beside_name = std::ffi::OsString::from(".");
        beside_name.push(name);
        beside_name.push(".replacing");
        let beside = dir.join(beside_name);

        // The lock guards no data, so a panic of an earlier holder has broken nothing.
        let _turn = self.replacing.lock().unwrap_or_else(PoisonError::into_inner);
        let written = write_synced(&beside, bytes).and_then(|()| std::fs::rename(&beside, file));
        if let Err(error) = written {
            // Space matters where writing failed; what remains would be overwritten next time.
            let _ = std::fs::remove_file(&beside);
            return Err(error);
        }
        self.sync_dirs_above(file)
    }
}

impl Disk for DataDisk {
    fn open(&self, path: &Path, how: OpenHow) -> io::Result<Box<dyn Blocks>> {
        let place = self.0.place(path)?;
        let mut options = private_file();
        match how {
            OpenHow::Existing => {}
            OpenHow::CreateIfMissing => {
                place.parent().map_or(Ok(()), create_dirs)?;
                options.create(true);
            }
        }
        let file = options.open(&place)?;
        file.sync_all()?;
        self.0.sync_dirs_above(&place)?;
        Ok(Box::new(FileBlocks::new(file, self.0.clone())))
    }

    fn read(&self, path: &Path) -> io::Result<Option<Vec<u8>>> {
        let place = self.0.place(path)?;
        let mut file = match File::open(&place) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        file.sync_all()?;
        self.0.sync_dirs_above(&place)?;
        let mut content = Vec::new();
        file.read_to_end(&mut content)?;
        Ok(Some(content))
    }

    fn replace(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        self.0.replace(&self.0.place(path)?, bytes)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<PathBuf>> {
        let place = self.0.place(dir)?;
        let entries = match std::fs::read_dir(&place) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let mut files = Vec::new();
        for entry in entries {
            let entry = entry?;
            let path = dir.join(entry.file_name());
            if entry.file_type()?.is_file() && self.0.place(&path).is_ok() {
                files.push(path);
            }
        }
        self.0.sync_dirs_above(&place.join("any"))?;
        files.sort();
        Ok(files)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let (from, to) = (self.0.place(from)?, self.0.place(to)?);
        // Before the rename, so that a missing source leaves no empty directories behind.
        std::fs::symlink_metadata(&from)?;
        to.parent().map_or(Ok(()), create_dirs)?;
        std::fs::rename(&from, &to)?;
        // The target first: a power cut between the two may leave both names, never none.
        self.0.sync_dirs_above(&to)?;
        self.0.sync_dirs_above(&from)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let place = self.0.place(path)?;
        std::fs::remove_file(&place)?;
        self.0.sync_dirs_above(&place)
    }

    fn lane(&self, name: &'static str) -> Arc<dyn Lane> {
        Arc::new(ThreadLane::start(name, self.0.clone()))
    }
}

/// Options for reading and writing a file that only this user may see.
fn private_file() -> OpenOptions {
    let mut options = File::options();
    options.read(true).write(true).mode(0o600);
    options
}

/// The process id written in the lock file of another process, or `?`.
fn holder(lock: &mut File) -> String {
    let mut text = String::new();
    let read = lock.read_to_string(&mut text);
    match read {
        Ok(_) if !text.trim().is_empty() => text.trim().to_owned(),
        Ok(_) | Err(_) => "?".to_owned(),
    }
}

/// Makes `dir` and what is missing above it, each with its entry durable.
fn create_dirs(dir: &Path) -> io::Result<()> {
    if dir.is_dir() {
        return Ok(());
    }
    let above = dir.parent().ok_or(io::ErrorKind::NotFound)?;
    create_dirs(above)?;
    match DirBuilder::new().mode(0o700).create(dir) {
        // Another lane may make the same directory at this moment.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && dir.is_dir() => Ok(()),
        Err(error) => Err(error),
        Ok(()) => sync_dir(above),
    }
}

fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

fn write_synced(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = private_file().create(true).truncate(true).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn mode(path: &Path) -> u32 {
        std::fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn a_second_user_of_the_directory_is_refused_and_told_the_holder() {
        let place = tempfile::tempdir().unwrap();
        let root = place.path().join("n1");
        let first = DataDisk::open(&root).unwrap();
        let blocks = first.open(Path::new("log"), OpenHow::CreateIfMissing).unwrap();

        let refused = DataDisk::open(&root).unwrap_err().to_string();
        let (dir, pid) = (root.display(), std::process::id());
        let expected = format!("Q1401 data directory {dir} is in use by process {pid}; ");
        assert!(refused.starts_with(&expected), "{refused}");

        drop(first);
        assert!(DataDisk::open(&root).is_err(), "an open file still belongs to the first");
        drop(blocks);
        DataDisk::open(&root).unwrap();
    }

    #[test]
    fn a_child_that_inherited_the_lock_does_not_keep_the_directory() {
        let place = tempfile::tempdir().unwrap();
        let first = DataDisk::open(place.path()).unwrap();
        // As a child has it between fork and exec: the same lock under a second descriptor.
        let inherited = first.0.lock.try_clone().unwrap();
        drop(first);
        DataDisk::open(place.path()).unwrap();
        drop(inherited);
    }

    #[test]
    fn the_process_id_of_an_earlier_holder_is_overwritten() {
        let place = tempfile::tempdir().unwrap();
        let lock = place.path().join(LOCK_FILE_NAME);
        std::fs::write(&lock, "4194304999\n").unwrap();
        let _held = DataDisk::open(place.path()).unwrap();
        assert_eq!(std::fs::read_to_string(lock).unwrap(), format!("{}\n", std::process::id()));
    }

    #[test]
    fn what_is_no_directory_cannot_be_used_and_stays_as_it_is() {
        let place = tempfile::tempdir().unwrap();
        let file = place.path().join("file");
        std::fs::write(&file, "mine").unwrap();

        for asked in [file.clone(), file.join("below")] {
            let refused = DataDisk::open(&asked).unwrap_err().to_string();
            let expected = format!("Q1402 data directory {} cannot be used: ", asked.display());
            assert!(refused.starts_with(&expected), "{refused}");
        }
        assert_eq!(std::fs::read_to_string(file).unwrap(), "mine");
    }

    #[test]
    fn nobody_else_may_look_into_what_is_made() {
        let place = tempfile::tempdir().unwrap();
        let root = place.path().join("missing/n1");
        let disk = DataDisk::open(&root).unwrap();
        disk.open(Path::new("log/0001"), OpenHow::CreateIfMissing).unwrap();
        disk.replace(Path::new("keys/node"), b"secret").unwrap();

        for dir in ["", "log", "keys"] {
            assert_eq!(mode(&root.join(dir)), 0o700, "{dir:?}");
        }
        for file in [LOCK_FILE_NAME, "log/0001", "keys/node"] {
            assert_eq!(mode(&root.join(file)), 0o600, "{file:?}");
        }
    }

    #[test]
    fn the_worlds_own_files_are_not_listed_and_cannot_be_opened() {
        let place = tempfile::tempdir().unwrap();
        let disk = DataDisk::open(place.path()).unwrap();
        disk.replace(Path::new("vote"), b"1").unwrap();
        // What a process killed in the middle of a replacement leaves behind.
        std::fs::write(place.path().join(".vote.replacing"), "half").unwrap();

        assert_eq!(disk.list(Path::new("")).unwrap(), [PathBuf::from("vote")]);
        let lock = disk.open(Path::new(LOCK_FILE_NAME), OpenHow::Existing).unwrap_err();
        assert_eq!(lock.kind(), io::ErrorKind::InvalidInput);
        disk.replace(Path::new("vote"), b"2").unwrap();
        assert_eq!(disk.read(Path::new("vote")).unwrap().as_deref(), Some(&b"2"[..]));
    }

    #[test]
    fn a_replacement_that_fails_leaves_the_old_file_and_nothing_beside_it() {
        let place = tempfile::tempdir().unwrap();
        let disk = DataDisk::open(place.path()).unwrap();
        disk.replace(Path::new("dir/inner"), b"old").unwrap();

        disk.replace(Path::new("dir"), b"a directory cannot be replaced").unwrap_err();

        assert_eq!(disk.read(Path::new("dir/inner")).unwrap().as_deref(), Some(&b"old"[..]));
        assert!(!place.path().join(".dir.replacing").exists());
    }

    #[test]
    fn lanes_replacing_one_file_at_once_leave_one_of_their_contents_whole() {
        let place = tempfile::tempdir().unwrap();
        let disk = DataDisk::open(place.path()).unwrap();
        std::thread::scope(|threads| {
            for content in [b'a', b'b', b'c'] {
                let disk = &disk;
                threads.spawn(move || {
                    for _ in 0..20 {
                        disk.replace(Path::new("vote"), &[content; 10_000]).unwrap();
                    }
                });
            }
        });
        let content = disk.read(Path::new("vote")).unwrap().unwrap();
        assert_eq!(content.len(), 10_000);
        assert!(content.iter().all(|byte| *byte == content[0]));
    }
}
