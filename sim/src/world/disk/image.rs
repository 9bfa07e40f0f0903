//! The synced image of a disk: what every file held at its last honest sync.
//!
//! The disk below keeps what a process sees; the image keeps beside it what no power cut can take
//! away. A checker looks at it from outside, and a failed sync takes a file back to it.
//!
//! Pure: it is told of every change, and reads no disk.
//!
//! Invariants
//! - A file is in it once its folder was synced, with the bytes of its own last sync.
//! - A name points at a content, so that a rename moves what was synced and copies nothing.
//! - A sync costs what was written since the one before, not what the file holds.
//!
//! Read next: [`Image::sync`], `medium.rs` for who tells it.
//! Source: Pillai et al. 2014, section 3 (which of a file's and a folder's changes persist when).

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// A change of a file that no sync has made durable yet.
#[derive(Debug)]
enum Change {
    Written { offset: usize, bytes: Vec<u8> },
    Resized { size_bytes: usize },
}

/// One file, by whatever name.
#[derive(Debug, Default)]
struct Content {
    synced: Vec<u8>,
    /// Since the last sync, oldest first.
    unsynced: Vec<Change>,
    /// As a process sees it.
    size_bytes: usize,
}

impl Content {
    fn sync(&mut self) {
        for change in self.unsynced.drain(..) {
            match change {
                Change::Written { offset, bytes } => {
                    let end = offset + bytes.len();
                    if self.synced.len() < end {
                        self.synced.resize(end, 0);
                    }
                    self.synced[offset..end].copy_from_slice(&bytes);
                }
                Change::Resized { size_bytes } => self.synced.resize(size_bytes, 0),
            }
        }
    }
}

/// All files of one disk, as they are and as they are durable. Paths are absolute.
#[derive(Debug, Default)]
pub(super) struct Image {
    contents: BTreeMap<u64, Content>,
    next_content: u64,
    /// The names that a process sees.
    shown: BTreeMap<PathBuf, u64>,
    /// The names that a power cut leaves.
    durable: BTreeMap<PathBuf, u64>,
}

/// Sizes are those of files in memory, whatever type a caller counts them in.
fn in_memory(size_bytes: u64) -> usize {
    usize::try_from(size_bytes).expect("a simulated file fits the memory")
}

impl Image {
    /// A disk on which these files are, and all of them durable.
    pub(super) fn of(files: Vec<(PathBuf, Vec<u8>)>) -> Image {
        let mut image = Image::default();
        for (path, synced) in files {
            let size_bytes = synced.len();
            let content = image.add(Content { synced, unsynced: Vec::new(), size_bytes });
            image.shown.insert(path.clone(), content);
            image.durable.insert(path, content);
        }
        image
    }

    fn add(&mut self, content: Content) -> u64 {
        self.next_content += 1;
        self.contents.insert(self.next_content, content);
        self.next_content
    }

    fn shown_mut(&mut self, path: &Path) -> Option<&mut Content> {
        let content = self.shown.get(path)?;
        self.contents.get_mut(content)
    }

    /// A file was made or emptied.
    pub(super) fn create(&mut self, path: &Path) {
        if self.shown.contains_key(path) {
            self.resize(path, 0);
        } else {
            let content = self.add(Content::default());
            self.shown.insert(path.to_path_buf(), content);
        }
    }

    pub(super) fn write(&mut self, path: &Path, offset: u64, bytes: &[u8]) {
        let offset = in_memory(offset);
        if let Some(content) = self.shown_mut(path) {
            content.size_bytes = content.size_bytes.max(offset + bytes.len());
            content.unsynced.push(Change::Written { offset, bytes: bytes.to_vec() });
        }
    }

    pub(super) fn resize(&mut self, path: &Path, size_bytes: u64) {
        let size_bytes = in_memory(size_bytes);
        if let Some(content) = self.shown_mut(path) {
            content.size_bytes = size_bytes;
            content.unsynced.push(Change::Resized { size_bytes });
        }
    }

    /// What was written to the file is durable. Its name may not be.
    pub(super) fn sync(&mut self, path: &Path) {
        if let Some(content) = self.shown_mut(path) {
            content.sync();
        }
    }

    /// Takes the file back to its last sync and says what it held then; `None` if there is none.
    pub(super) fn revert(&mut self, path: &Path) -> Option<Vec<u8>> {
        let content = self.shown_mut(path)?;
        content.unsynced.clear();
        content.size_bytes = content.synced.len();
        Some(content.synced.clone())
    }

    pub(super) fn rename(&mut self, from: &Path, to: &Path) {
        if let Some(content) = self.shown.remove(from) {
            self.shown.insert(to.to_path_buf(), content);
            self.forget_nameless();
        }
    }

    pub(super) fn remove(&mut self, path: &Path) {
        self.shown.remove(path);
        self.forget_nameless();
    }

    /// The names directly in this folder are durable as they are shown.
    pub(super) fn sync_folder(&mut self, folder: &Path) {
        let is_inside = |path: &Path| path.parent() == Some(folder);
        self.durable.retain(|path, _| !is_inside(path));
        let inside = self.shown.iter().filter(|(path, _)| is_inside(path));
        self.durable.extend(inside.map(|(path, content)| (path.clone(), *content)));
        self.forget_nameless();
    }

    fn forget_nameless(&mut self) {
        let named: BTreeSet<u64> =
            self.shown.values().chain(self.durable.values()).copied().collect();
        self.contents.retain(|content, _| named.contains(content));
    }

    /// Bytes in all files that a process sees.
    pub(super) fn used_bytes(&self) -> u64 {
        let sizes_bytes = self.shown.values().filter_map(|content| self.contents.get(content));
        sizes_bytes.map(|content| content.size_bytes as u64).sum()
    }

    pub(super) fn size_bytes(&self, path: &Path) -> u64 {
        let content = self.shown.get(path).and_then(|content| self.contents.get(content));
        content.map_or(0, |content| content.size_bytes as u64)
    }

    /// Every file that a process sees.
    pub(super) fn shown(&self) -> Vec<PathBuf> {
        self.shown.keys().cloned().collect()
    }

    /// Every file that a power cut leaves.
    pub(super) fn durable(&self) -> Vec<PathBuf> {
        self.durable.keys().cloned().collect()
    }

    /// What a power cut leaves of a file for certain.
    pub(super) fn synced(&self, path: &Path) -> Option<&[u8]> {
        let content = self.durable.get(path)?;
        self.contents.get(content).map(|content| content.synced.as_slice())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: &str = "/data/log";

    fn synced(image: &Image, path: &str) -> Option<Vec<u8>> {
        image.synced(Path::new(path)).map(<[u8]>::to_vec)
    }

    /// An image with a durable file that holds `abc`.
    fn with_log() -> Image {
        Image::of(vec![(LOG.into(), b"abc".to_vec())])
    }

    #[test]
    fn bytes_are_in_it_once_the_file_and_its_folder_were_synced() {
        let (mut image, log) = (Image::default(), Path::new(LOG));
        image.create(log);
        image.write(log, 1, b"b");
        image.sync(log);
        assert_eq!(synced(&image, LOG), None, "its name is not durable");
        image.sync_folder(Path::new("/"));
        assert_eq!(synced(&image, LOG), None, "another folder was synced");
        image.sync_folder(Path::new("/data"));
        assert_eq!(synced(&image, LOG), Some(b"\0b".to_vec()));
        image.write(log, 3, b"d");
        image.resize(log, 1);
        assert_eq!(synced(&image, LOG), Some(b"\0b".to_vec()), "it was not synced again");
        assert_eq!((image.size_bytes(log), image.used_bytes()), (1, 1));
        image.sync(log);
        assert_eq!(synced(&image, LOG), Some(b"\0".to_vec()));
    }

    #[test]
    fn a_rename_or_removal_counts_once_the_folder_was_synced() {
        let mut image = with_log();
        image.create(Path::new("/data/.log.new"));
        image.write(Path::new("/data/.log.new"), 0, b"new");
        image.sync(Path::new("/data/.log.new"));
        image.rename(Path::new("/data/.log.new"), Path::new(LOG));
        assert_eq!(synced(&image, LOG), Some(b"abc".to_vec()), "the folder was not synced");
        image.sync_folder(Path::new("/data"));
        assert_eq!(synced(&image, LOG), Some(b"new".to_vec()));
        image.remove(Path::new(LOG));
        assert_eq!(synced(&image, LOG), Some(b"new".to_vec()), "the folder was not synced");
        image.sync_folder(Path::new("/data"));
        assert!(image.durable().is_empty() && image.contents.is_empty(), "{image:?}");
    }

    #[test]
    fn a_failed_sync_takes_a_file_back() {
        let (mut image, log) = (with_log(), Path::new(LOG));
        image.write(log, 1, b"xyz");
        assert_eq!(image.revert(log), Some(b"abc".to_vec()));
        image.sync(log);
        assert_eq!((synced(&image, LOG), image.size_bytes(log)), (Some(b"abc".to_vec()), 3));
    }
}
