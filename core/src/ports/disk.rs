//! The node's data directory, and the lanes on which blocking work runs.
//!
//! Paths are relative to the data directory, and [`checked_path`] says which are allowed. Every
//! call but [`Disk::lane`] and [`Lane::run`] may block: call it from a job on a lane, or before the
//! node serves anything.
//!
//! Invariants
//! - What a call shows is durable when the call returns, also if an earlier process was killed
//!   between a write and its sync: a node must not act on what a power cut can still take away.
//!   The exception is what this process itself has written through [`Blocks`] and not synced.
//! - Missing directories are made, durably, by whatever puts a file into them.

use std::fmt::Debug;
use std::io;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use futures_util::future::BoxFuture;

/// How [`Disk::open`] treats a file that is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenHow {
    /// Fail with `NotFound`.
    Existing,
    /// Make it, empty, and make its directory entry durable.
    CreateIfMissing,
}

/// `path` itself, or `InvalidInput` if it does not name a place inside the data directory.
///
/// Allowed are plain components that do not start with a dot: no root, no `..`, and no name that a
/// world uses for itself, such as that of a half-written file. The empty path is the directory
/// itself. Every [`Disk`] refuses what this refuses.
pub fn checked_path(path: &Path) -> io::Result<&Path> {
    let is_allowed = path.components().all(|part| match part {
        Component::Normal(name) => !name.as_encoded_bytes().starts_with(b"."),
        Component::Prefix(_) | Component::RootDir | Component::CurDir | Component::ParentDir => {
            false
        }
    });
    if is_allowed {
        return Ok(path);
    }
    let text = format!("{} is not a path inside the data directory", path.display());
    Err(io::Error::new(io::ErrorKind::InvalidInput, text))
}

/// One file, read and written at positions. The shape is that of redb's storage backend.
///
/// A write is durable only after a later [`Blocks::sync_data`] returned `Ok`. After a failed sync
/// nothing is known about any write since the last good one, and every later call fails: a sync is
/// never tried again. Opening the file anew does not make the lost writes known; the node ends.
pub trait Blocks: Debug + Send + Sync {
    /// Size in bytes.
    fn len(&self) -> io::Result<u64>;
    /// Whether the size is zero.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }
    /// Fills `buffer` from `offset`; `UnexpectedEof` if the file ends before.
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()>;
    /// Writes all of `bytes` at `offset`, growing the file if needed.
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()>;
    /// Cuts or grows the file; new bytes are zero.
    fn set_len(&self, size_bytes: u64) -> io::Result<()>;
    /// Makes all earlier writes durable.
    fn sync_data(&self) -> io::Result<()>;
}

/// Blocking work for a [`Lane`].
pub type Job = Box<dyn FnOnce() -> io::Result<()> + Send>;

/// Runs blocking jobs strictly in order, one at a time, off the node's thread.
///
/// A failed job holds up nothing: the next one runs. Lanes wait neither for nor behind each other.
/// A job that panics ends the process (in the simulator: fails the run).
pub trait Lane: Debug + Send + Sync {
    /// Queues `job` now and resolves with its result. The job runs also if the future is never
    /// polled or is dropped.
    ///
    /// Fails with `BrokenPipe` if the lane has ended, which happens only when the node does.
    fn run(&self, job: Job) -> BoxFuture<'static, io::Result<()>>;
}

/// The data directory of one node. Only one process holds it at a time.
pub trait Disk: Debug + Send + Sync {
    /// Opens a file for reading and writing.
    fn open(&self, path: &Path, how: OpenHow) -> io::Result<Box<dyn Blocks>>;
    /// The whole content of a small file; `None` if there is none.
    fn read(&self, path: &Path) -> io::Result<Option<Vec<u8>>>;
    /// Puts `bytes` in place of the file in one step, durably, making the file if there is none.
    /// A crash or an error leaves the old or the new content, whole.
    fn replace(&self, path: &Path, bytes: &[u8]) -> io::Result<()>;
    /// The files directly in `dir`, sorted; empty if there is no such directory. The paths are
    /// relative to the data directory, ready for [`Disk::open`]. Directories are not listed, nor is
    /// what a world keeps for itself. `dir` may be empty: the data directory itself.
    fn list(&self, dir: &Path) -> io::Result<Vec<PathBuf>>;
    /// Renames a file, replacing one that has the name `to`, and makes that durable. `NotFound` if
    /// there is no file `from`.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a file, and makes that durable. `NotFound` if there is none. A handle that is still
    /// open may work on or refuse.
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// A lane of that name. Two calls give two lanes.
    fn lane(&self, name: &'static str) -> Arc<dyn Lane>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_paths_inside_the_data_directory_are_allowed() {
        for path in ["", "log", "log/0001.seg", "a..b/c.", "trailing/"] {
            assert!(checked_path(Path::new(path)).is_ok(), "{path:?}");
        }
        for path in ["/", "/etc/passwd", "..", "a/../b", "a/..", ".", "./a", ".hidden", "a/.b"] {
            let refused = checked_path(Path::new(path)).map_err(|error| error.kind());
            assert_eq!(refused, Err(io::ErrorKind::InvalidInput), "{path:?}");
        }
    }
}
