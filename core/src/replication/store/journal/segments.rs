//! The files of the journal: made in one step, of one size as a rule, used again and again.
//!
//! Invariants
//! - A file that is there is whole: it is made with [`Disk::replace`], its bytes on the disk before
//!   its name. So a write into it takes no new space, and its sync is one write of the disk and not
//!   also one of the file system's own journal. Only a group larger than a segment makes it grow.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use crate::ports::{Blocks, Disk, OpenHow};

/// Where the segments are.
pub(super) const DIR: &str = "log";
const EXTENSION: &str = "segment";
/// Unused segments that are kept for later; more are removed.
const SPARE_COUNT_MAX: usize = 2;

/// One file of the journal.
#[derive(Clone, Debug)]
pub(super) struct Segment {
    /// Its name's number.
    pub(super) name: u32,
    pub(super) file: Arc<dyn Blocks>,
}

impl Segment {
    pub(super) fn open(disk: &dyn Disk, name: u32) -> io::Result<Segment> {
        let file = disk.open(&path(name), OpenHow::Existing)?;
        Ok(Segment { name, file: Arc::from(file) })
    }

    /// A new one of that size, which begins with `content`.
    pub(super) fn make(
        disk: &dyn Disk,
        name: u32,
        size_bytes: usize,
        content: &[u8],
    ) -> io::Result<Segment> {
        let mut bytes = vec![0; size_bytes.max(content.len())];
        bytes[..content.len()].copy_from_slice(content);
        disk.replace(&path(name), &bytes)?;
        Segment::open(disk, name)
    }

    /// The first bytes, at most so many.
    pub(super) fn read_head(&self, size_bytes: usize) -> io::Result<Vec<u8>> {
        let mut head = vec![0; size_bytes.min(self.file.len()? as usize)];
        self.file.read_at(0, &mut head)?;
        Ok(head)
    }

    /// The whole content, in place of what is in `bytes`.
    pub(super) fn read_into(&self, bytes: &mut Vec<u8>) -> io::Result<()> {
        bytes.resize(self.file.len()? as usize, 0);
        self.file.read_at(0, bytes)
    }
}

/// The file with the mark, which says up to where groups were durable.
pub(super) const MARK: &str = "log/synced";

/// The path of the segment of this name.
pub(super) fn path(name: u32) -> PathBuf {
    Path::new(DIR).join(format!("{name:04}.{EXTENSION}"))
}

/// The names of the segments that are there.
pub(super) fn names(disk: &dyn Disk) -> io::Result<Vec<u32>> {
    let is_segment = |path: &PathBuf| path.extension().is_some_and(|found| found == EXTENSION);
    let name = |path: PathBuf| path.file_stem()?.to_str()?.parse().ok();
    let files = disk.list(Path::new(DIR))?;
    Ok(files.into_iter().filter(is_segment).filter_map(name).collect())
}

/// The segments that hold nothing any more. Shared by the writer, which takes them and gives them
/// back, and by [`Spares::tend`], which runs beside it.
#[derive(Debug)]
pub(in super::super) struct Spares {
    disk: Arc<dyn Disk>,
    segment_size_bytes: usize,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    spares: Vec<Segment>,
    next_name: u32,
    /// Whether someone tends to them at this moment, or failed to since the last was taken.
    is_tended: bool,
}

impl Spares {
    /// All segments have names below `next_name`.
    pub(super) fn new(
        disk: Arc<dyn Disk>,
        segment_size_bytes: usize,
        spares: Vec<Segment>,
        next_name: u32,
    ) -> Spares {
        let state = Mutex::new(State { spares, next_name, is_tended: false });
        Spares { disk, segment_size_bytes, state }
    }

    /// A spare segment, or a new one if there is none. What it holds are groups of smaller numbers.
    pub(super) fn take(&self) -> io::Result<Segment> {
        let spare = self.state().spares.pop();
        let taken = spare.map_or_else(|| self.make(), Ok);
        self.state().is_tended = false;
        taken
    }

    pub(super) fn give_back(&self, segment: Segment) {
        self.state().spares.push(segment);
    }

    /// Whether [`Spares::tend`] should be called now; then the caller must do so.
    pub(in super::super) fn want_tending(&self) -> bool {
        let mut state = self.state();
        let is_wanted = !state.is_tended && !(1..=SPARE_COUNT_MAX).contains(&state.spares.len());
        state.is_tended |= is_wanted;
        is_wanted
    }

    /// Makes a spare segment if there is none, and removes those that are too many. Blocks, and
    /// need not be on the writer's lane.
    pub(in super::super) fn tend(&self) -> io::Result<()> {
        self.make_and_remove()?;
        self.state().is_tended = false;
        Ok(())
    }

    fn make_and_remove(&self) -> io::Result<()> {
        if self.state().spares.is_empty() {
            let made = self.make()?;
            self.give_back(made);
        }
        loop {
            let surplus = {
                let mut state = self.state();
                if state.spares.len() <= SPARE_COUNT_MAX {
                    return Ok(());
                }
                state.spares.remove(0)
            };
            self.disk.remove(&path(surplus.name))?;
        }
    }

    fn make(&self) -> io::Result<Segment> {
        let name = {
            let mut state = self.state();
            state.next_name += 1;
            state.next_name - 1
        };
        Segment::make(&*self.disk, name, self.segment_size_bytes, &[])
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no thread panics while it holds the spares")
    }
}
