//! redb on the disk port, in both worlds.

use std::cell::Cell;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;

use redb::{Builder, Database, DatabaseError, StorageBackend, StorageError};

use super::StoreError;
use crate::observe::planted;
use crate::ports::{Blocks, Disk, OpenHow};

/// redb asks for little memory: snapshots are read once.
const CACHE_SIZE_BYTES: usize = 4 << 20;

thread_local! {
    /// Whether this thread is opening a database.
    static GUARDED: Cell<bool> = const { Cell::new(false) };
}

/// Whether a panic on this thread becomes an error, so that it must not end the process. Only the
/// opening of the store is guarded like that; for a program's panic hook.
pub fn is_panic_guarded() -> bool {
    GUARDED.get()
}

#[derive(Debug)]
struct Backend(Box<dyn Blocks>);

impl StorageBackend for Backend {
    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.0.read_at(offset, out)
    }

    fn set_len(&self, size_bytes: u64) -> io::Result<()> {
        self.0.set_len(size_bytes)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn write(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.0.write_at(offset, bytes)
    }
}

/// Opens a database, making it if it is missing. Blocks: call it on a lane.
pub(super) fn open(disk: &dyn Disk, path: &Path) -> Result<Arc<Database>, StoreError> {
    let refused = |error| StoreError::Io { path: path.to_owned(), error };
    let blocks = match disk.open(path, OpenHow::Existing) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            make(disk, path)?;
            disk.open(path, OpenHow::Existing)
        }
        other => other,
    };
    Ok(Arc::new(open_blocks(blocks.map_err(refused)?, path)?))
}

/// Makes an empty database beside its place, then puts it there: redb makes one in several writes,
/// and what a crash leaves of them it opens no more.
fn make(disk: &dyn Disk, path: &Path) -> Result<(), StoreError> {
    let refused = |error| StoreError::Io { path: path.to_owned(), error };
    if planted("database_made_in_place") {
        return disk.open(path, OpenHow::CreateIfMissing).map(drop).map_err(refused);
    }
    let beside = path.with_extension("new");
    match disk.remove(&beside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(refused(error)),
        Ok(()) | Err(_) => {}
    }
    let blocks = disk.open(&beside, OpenHow::CreateIfMissing).map_err(refused)?;
    drop(open_blocks(blocks, path)?);
    disk.rename(&beside, path).map_err(refused)
}

/// A damaged file makes redb panic in places; here, and only here, a panic becomes an error.
fn open_blocks(blocks: Box<dyn Blocks>, path: &Path) -> Result<Database, StoreError> {
    let opening = AssertUnwindSafe(|| {
        Builder::new().set_cache_size(CACHE_SIZE_BYTES).create_with_backend(Backend(blocks))
    });
    let damaged = |detail: String| StoreError::Damaged { path: path.to_owned(), detail };
    GUARDED.set(true);
    let opened = catch_unwind(opening);
    GUARDED.set(false);
    match opened {
        Ok(Ok(database)) => Ok(database),
        // What the system refuses says nothing about the file: a full disk is no damage.
        Ok(Err(DatabaseError::Storage(StorageError::Io(error))))
            if error.raw_os_error().is_some() =>
        {
            Err(StoreError::Io { path: path.to_owned(), error })
        }
        Ok(Err(error)) => Err(damaged(error.to_string())),
        Err(_) => Err(damaged("the database is not readable at all".to_owned())),
    }
}

/// redb's errors as those of the disk, which is what they mean to a caller.
pub(super) fn disk_error(error: impl Into<redb::Error>) -> io::Error {
    io::Error::other(error.into())
}

/// What an error while the records were read says of `path`. What the system refuses says nothing
/// about the file; a checksum, or redb's own finding, does.
pub(super) fn reading_error(path: &str, error: io::Error) -> StoreError {
    let refusal = match error.get_ref().and_then(|inner| inner.downcast_ref()) {
        Some(redb::Error::Io(refusal)) => refusal.raw_os_error(),
        Some(redb::Error::PreviousIo) => {
            let error = io::Error::other("its records cannot be read after an earlier error");
            return StoreError::Io { path: path.into(), error };
        }
        Some(_) | None => error.raw_os_error(),
    };
    match refusal.map(io::Error::from_raw_os_error) {
        Some(refusal) => StoreError::reading(path, refusal),
        None => StoreError::Damaged { path: path.into(), detail: error.to_string() },
    }
}

/// Bytes with their checksum in front.
pub(super) fn seal(bytes: &[u8]) -> Vec<u8> {
    let mut sealed = Vec::with_capacity(4 + bytes.len());
    sealed.extend(crc32fast::hash(bytes).to_be_bytes());
    sealed.extend(bytes);
    sealed
}

/// The reverse of [`seal`]; `None` if the checksum does not hold.
pub(super) fn unseal(sealed: &[u8]) -> Option<&[u8]> {
    let (checksum, bytes) = sealed.split_at_checked(4)?;
    let holds = checksum == crc32fast::hash(bytes).to_be_bytes();
    holds.then_some(bytes)
}
