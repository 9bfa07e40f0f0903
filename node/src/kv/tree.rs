//! A directory tree as keys and values: `a/b.txt` below the root is the key `a/b.txt`.
//!
//! Invariants
//! - What is left out is named with its reason; nothing is left out silently.
//! - No key leads out of the directory that is exported to.
//!
//! Read next: [`files_below`], [`path_for`].

use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// One regular file to import.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TreeFile {
    /// Where its bytes are.
    pub path: PathBuf,
    /// Its path relative to the root, with `/` between the parts.
    pub key: String,
}

/// Something that was left out. Each text: what; what happens to it; what to do.
#[derive(Debug, thiserror::Error)]
pub enum Skipped {
    /// Keys are UTF-8.
    #[error("Q1711 {}: the name is not UTF-8; left out; rename the file", path.display())]
    NameNotUtf8 {
        /// The file or directory.
        path: PathBuf,
    },
    /// Links, sockets, pipes and devices have no content of their own.
    #[error("Q1712 {}: no regular file; left out; import what it stands for", path.display())]
    NotRegular {
        /// The file.
        path: PathBuf,
    },
    /// The cluster would refuse the value.
    #[error(
        "Q1713 {}: {size_bytes} bytes exceed {limit_bytes}; left out; store large files elsewhere",
        path.display()
    )]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Its size.
        size_bytes: u64,
        /// The largest value.
        limit_bytes: u64,
    },
    /// The cluster would refuse the key.
    #[error(
        "Q1714 {}: a path of {size_bytes} bytes exceeds {limit_bytes}; left out; shorten it",
        path.display()
    )]
    KeyTooLong {
        /// The file.
        path: PathBuf,
        /// The key's size.
        size_bytes: usize,
        /// The largest key.
        limit_bytes: usize,
    },
    /// No permission, or it vanished.
    #[error("Q1715 {}: {cause}; left out; make it readable and import again", path.display())]
    Unreadable {
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        cause: io::Error,
    },
    /// A key that is no relative path, or leads out of the directory.
    #[error("Q1716 {key:?}: no path inside the directory; left out; read it with `kv get`")]
    NotAPath {
        /// The key.
        key: String,
    },
    /// Two keys that no file system can hold at once, such as `a` and `a/b`, or a full disk.
    #[error("Q1717 {key:?}: {cause}; left out; make room for it and export again")]
    Unwritable {
        /// The key.
        key: String,
        /// What the system said.
        cause: io::Error,
    },
}

/// What lies below `root`, sorted by key; `excluded` names are not looked at, at any depth.
///
/// Fails only if `root` itself cannot be read. A root that is a file has no keys, so it fails too.
pub fn files_below(
    root: &Path,
    excluded: &[OsString],
) -> io::Result<(Vec<TreeFile>, Vec<Skipped>)> {
    let mut files = Vec::new();
    let mut skipped = Vec::new();
    let mut pending = vec![(root.to_owned(), String::new())];
    while let Some((dir, prefix)) = pending.pop() {
        let entries = match fs::read_dir(&dir) {
            Ok(entries) => entries,
            Err(cause) if dir == root => return Err(cause),
            Err(cause) => {
                skipped.push(Skipped::Unreadable { path: dir, cause });
                continue;
            }
        };
        for entry in entries {
            let entry = match entry {
                Ok(entry) => entry,
                Err(cause) => {
                    skipped.push(Skipped::Unreadable { path: dir.clone(), cause });
                    break;
                }
            };
            if excluded.contains(&entry.file_name()) {
                continue;
            }
            match sorted_out(&entry, &prefix) {
                Ok(Found::File(file)) => files.push(file),
                Ok(Found::Directory { path, prefix }) => pending.push((path, prefix)),
                Err(reason) => skipped.push(reason),
            }
        }
    }
    files.sort_by(|a, b| a.key.cmp(&b.key));
    Ok((files, skipped))
}

enum Found {
    File(TreeFile),
    Directory { path: PathBuf, prefix: String },
}

fn sorted_out(entry: &fs::DirEntry, prefix: &str) -> Result<Found, Skipped> {
    let path = entry.path();
    let Ok(name) = entry.file_name().into_string() else {
        return Err(Skipped::NameNotUtf8 { path });
    };
    let kind = match entry.file_type() {
        Ok(kind) => kind,
        Err(cause) => return Err(Skipped::Unreadable { path, cause }),
    };
    let key = format!("{prefix}{name}");
    if kind.is_dir() {
        return Ok(Found::Directory { path, prefix: format!("{key}/") });
    }
    if !kind.is_file() {
        return Err(Skipped::NotRegular { path });
    }
    Ok(Found::File(TreeFile { path, key }))
}

/// Limits on what is imported, in bytes.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The largest key.
    pub key_bytes_max: usize,
    /// The largest value.
    pub value_bytes_max: usize,
}

/// The content of a file to be stored as `key`, unless the cluster would refuse it. A file that
/// grows while it is read is judged by what was read.
pub fn content(file: &TreeFile, key: &str, limits: Limits) -> Result<Vec<u8>, Skipped> {
    let path = || file.path.clone();
    if key.len() > limits.key_bytes_max {
        let (size_bytes, limit_bytes) = (key.len(), limits.key_bytes_max);
        return Err(Skipped::KeyTooLong { path: path(), size_bytes, limit_bytes });
    }
    let unreadable = |cause| Skipped::Unreadable { path: path(), cause };
    let too_large = |size_bytes: u64| Skipped::TooLarge {
        path: path(),
        size_bytes,
        limit_bytes: limits.value_bytes_max as u64,
    };
    let stated = fs::metadata(&file.path).map_err(unreadable)?.len();
    if stated > limits.value_bytes_max as u64 {
        return Err(too_large(stated));
    }
    let bytes = fs::read(&file.path).map_err(unreadable)?;
    if bytes.len() > limits.value_bytes_max {
        return Err(too_large(bytes.len() as u64));
    }
    Ok(bytes)
}

/// Where the value of `key` is written below `root`; refused if that would not be inside.
///
/// Allowed are relative paths of plain parts: no empty part, no `.` or `..`, and no NUL.
pub fn path_for(root: &Path, key: &str) -> Result<PathBuf, Skipped> {
    let is_plain = |part: &str| !part.is_empty() && part != "." && part != "..";
    if !key.split('/').all(is_plain) || key.contains('\0') {
        return Err(Skipped::NotAPath { key: key.to_owned() });
    }
    Ok(root.join(key))
}

/// Writes one exported value. A symbolic link below `root` is never followed: it may lead out.
pub fn write_exported(root: &Path, key: &str, value: &[u8]) -> Result<(), Skipped> {
    let path = path_for(root, key)?;
    let is_link = |path: &Path| fs::symlink_metadata(path).is_ok_and(|found| found.is_symlink());
    if path.ancestors().take_while(|above| *above != root).any(is_link) {
        return Err(Skipped::NotAPath { key: key.to_owned() });
    }
    let unwritable = |cause| Skipped::Unwritable { key: key.to_owned(), cause };
    let above = path.parent().expect("a key has at least one part, so its path has a parent");
    fs::create_dir_all(above).map_err(unwritable)?;
    fs::write(&path, value).map_err(unwritable)
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStringExt;

    use super::*;

    const SMALL: Limits = Limits { key_bytes_max: 12, value_bytes_max: 4 };

    #[test]
    fn regular_files_are_found_and_the_rest_is_named_with_its_reason() {
        let place = tempfile::tempdir().unwrap();
        let root = place.path();
        fs::create_dir_all(root.join("b/c")).unwrap();
        fs::create_dir_all(root.join("target/debug")).unwrap();
        for file in ["b/c/1", "a", "target/debug/x"] {
            fs::write(root.join(file), file).unwrap();
        }
        fs::write(root.join(OsString::from_vec(vec![b'f', 0xff])), "").unwrap();
        std::os::unix::fs::symlink("a", root.join("link")).unwrap();

        let (files, skipped) = files_below(root, &["target".into()]).unwrap();

        let keys: Vec<&str> = files.iter().map(|file| file.key.as_str()).collect();
        assert_eq!(keys, ["a", "b/c/1"]);
        let mut codes: Vec<String> =
            skipped.iter().map(|one| one.to_string()[..5].to_owned()).collect();
        codes.sort();
        assert_eq!(codes, ["Q1711", "Q1712"]);
        assert!(files_below(&root.join("a"), &[]).is_err());
    }

    #[test]
    fn what_the_cluster_would_refuse_is_not_sent() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("file");
        let file = TreeFile { path: path.clone(), key: "file".to_owned() };
        let code = |key: &str| content(&file, key, SMALL).unwrap_err().to_string()[..5].to_owned();
        assert_eq!(code("file"), "Q1715");
        fs::write(&path, "12345").unwrap();
        assert_eq!(code("file"), "Q1713");
        assert_eq!(code("thirteen-byte"), "Q1714");
        fs::write(&path, "1234").unwrap();
        assert_eq!(content(&file, "twelve-bytes", SMALL).unwrap(), b"1234");
    }

    #[test]
    fn no_key_leads_out_of_the_directory() {
        let place = tempfile::tempdir().unwrap();
        let root = place.path().join("out");
        fs::create_dir(&root).unwrap();
        std::os::unix::fs::symlink("..", root.join("up")).unwrap();
        std::os::unix::fs::symlink("../beside", root.join("link")).unwrap();

        for key in ["", "/a", "../a", "a/../../b", "a//b", "./a", "a/", "a\0b", "up/a/b", "link"] {
            let refused = write_exported(&root, key, b"x").unwrap_err().to_string();
            assert!(refused.starts_with("Q1716"), "{key:?}: {refused}");
        }
        let beside: Vec<_> = fs::read_dir(place.path()).unwrap().collect();
        assert_eq!(beside.len(), 1, "{beside:?}");

        write_exported(&root, "a/..b/c", b"x").unwrap();
        assert_eq!(fs::read(root.join("a/..b/c")).unwrap(), b"x");
        let refused = write_exported(&root, "a/..b", b"x").unwrap_err().to_string();
        assert!(refused.starts_with("Q1717"), "{refused}");
    }
}
