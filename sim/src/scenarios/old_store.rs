//! What a node had on its disk, as text that is kept in the repository.
//!
//! `told NAME VALUE INDEX` is what a client was told: the last write of a name, and its entry.
//! `file PATH SIZE` begins a file; a line below it has an offset and 44 bytes, in hexadecimal.
//! Zeros at the end of a line are left out, and lines of nothing else. What begins with `#` is for
//! readers.
//!
//! Read next: [`OldStore::parse`], `hunt_old_store.rs`.

use std::path::PathBuf;

#[cfg(test)]
const LINE_SIZE_BYTES: usize = 44;

/// Files, and what clients were told while they were written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct OldStore {
    /// By path in the data directory.
    pub(super) files: Vec<(PathBuf, Vec<u8>)>,
    /// Name, value and index of the last write of each name.
    pub(super) told: Vec<(String, String, u64)>,
}

impl OldStore {
    /// Panics if the text is not one of [`OldStore::to_text`]: it is part of this program.
    pub(super) fn parse(text: &str) -> OldStore {
        let mut store = OldStore::default();
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            store.parse_line(line).unwrap_or_else(|| panic!("a line of a kept store: {line:?}"));
        }
        store
    }

    fn parse_line(&mut self, line: &str) -> Option<()> {
        let words: Vec<&str> = line.split(' ').collect();
        match words[..] {
            ["told", name, value, index] => {
                self.told.push((name.to_owned(), value.to_owned(), index.parse().ok()?));
            }
            ["file", path, size_bytes] => {
                self.files.push((path.into(), vec![0; size_bytes.parse().ok()?]));
            }
            [offset, hex] => {
                let (_, bytes) = self.files.last_mut()?;
                let begin = usize::from_str_radix(offset, 16).ok()?;
                for at in 0..hex.len() / 2 {
                    let byte = u8::from_str_radix(hex.get(2 * at..2 * at + 2)?, 16).ok()?;
                    *bytes.get_mut(begin + at)? = byte;
                }
            }
            _ => return None,
        }
        Some(())
    }

    /// The reverse of [`OldStore::parse`].
    #[cfg(test)]
    pub(super) fn to_text(&self) -> String {
        let mut text =
            "# A disk as a build has written it: see src/scenarios/old_store.rs. It stays."
                .to_owned();
        for (name, value, index) in &self.told {
            text.push_str(&format!("\ntold {name} {value} {index}"));
        }
        for (path, bytes) in &self.files {
            text.push_str(&format!("\nfile {} {}", path.display(), bytes.len()));
            for (number, line) in bytes.chunks(LINE_SIZE_BYTES).enumerate() {
                if let Some(last) = line.iter().rposition(|byte| *byte != 0) {
                    text.push_str(&format!("\n{:x} ", number * LINE_SIZE_BYTES));
                    text.extend(line[..=last].iter().map(|byte| format!("{byte:02x}")));
                }
            }
        }
        text + "\n"
    }
}
