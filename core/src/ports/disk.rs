//! The node's data directory, and the lanes on which blocking work runs.
//!
//! Paths are relative to the data directory. Every call but [`Disk::lane`] and [`Lane::run`] may
//! block: call it from a job on a lane, or before the node serves anything.

use std::fmt::Debug;
use std::io;
use std::path::{Path, PathBuf};
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

/// One file, read and written at positions. The shape is that of redb's storage backend.
///
/// A write is durable only after a later [`Blocks::sync_data`] returned `Ok`. After a failed sync
/// nothing is known about any write since the last good one, and the file must be opened anew.
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
pub trait Lane: Debug + Send + Sync {
    /// Queues `job` now (also if the future is never polled) and resolves with its result.
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
    /// Puts `bytes` in place of the file in one step: a crash leaves the old or the new content.
    fn replace(&self, path: &Path, bytes: &[u8]) -> io::Result<()>;
    /// The files directly in `dir`, sorted; empty if there is no such directory.
    fn list(&self, dir: &Path) -> io::Result<Vec<PathBuf>>;
    /// Renames a file and makes that durable.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// A lane of that name. Two calls give two lanes.
    fn lane(&self, name: &'static str) -> Arc<dyn Lane>;
}
