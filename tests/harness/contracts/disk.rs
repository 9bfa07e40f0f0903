//! The disk contract: files at positions, files replaced in one step, names.
//!
//! Called directly and not on a lane, as a node may before it serves anything.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use quorate_core::ports::{Blocks, Disk, Env, OpenHow};

/// Asserts what a node may expect of its data directory, which must be empty.
pub async fn disk(env: Env) {
    let disk = env.disk.as_ref();
    a_fresh_directory_is_empty(disk);
    a_file_is_made_only_if_asked(disk);
    bytes_are_where_they_were_written(&*created(disk, "log/positions"));
    a_short_read_is_an_error(&*created(disk, "log/short"));
    a_file_grows_with_zeros_and_is_cut(&*created(disk, "log/size"));
    two_handles_see_one_file(disk);
    a_replaced_file_has_the_new_content_only(disk);
    a_missing_file_reads_as_none(disk);
    a_listing_is_sorted_and_names_files_only(disk);
    a_renamed_file_keeps_its_content(disk);
    a_removed_file_is_gone(disk);
    paths_stay_inside_the_directory(disk);
}

fn created(disk: &dyn Disk, path: &str) -> Box<dyn Blocks> {
    disk.open(Path::new(path), OpenHow::CreateIfMissing).expect("a file can be made")
}

fn content(disk: &dyn Disk, path: &str) -> Option<Vec<u8>> {
    disk.read(Path::new(path)).expect("a file can be read")
}

fn replace(disk: &dyn Disk, path: &str, bytes: &[u8]) {
    disk.replace(Path::new(path), bytes).expect("a file can be replaced");
}

fn listed(disk: &dyn Disk, dir: &str) -> Vec<PathBuf> {
    disk.list(Path::new(dir)).expect("a directory can be listed")
}

fn a_fresh_directory_is_empty(disk: &dyn Disk) {
    assert_eq!(listed(disk, ""), Vec::<PathBuf>::new(), "the world's own files are not listed");
}

fn a_file_is_made_only_if_asked(disk: &dyn Disk) {
    for path in ["absent", "absent-dir/absent"] {
        let missing = disk.open(Path::new(path), OpenHow::Existing).map_err(|error| error.kind());
        assert_eq!(missing.map(|_| ()), Err(ErrorKind::NotFound), "{path}");
        assert_eq!(content(disk, path), None, "a refused open left {path} behind");
    }
    assert!(created(disk, "made/in/depth").is_empty().expect("a file has a size"));
    created(disk, "made/in/depth").write_at(0, b"kept").expect("a file takes bytes");
    let existing = disk.open(Path::new("made/in/depth"), OpenHow::Existing);
    assert_eq!(existing.expect("it exists").len().expect("a file has a size"), 4);
    assert_eq!(created(disk, "made/in/depth").len().expect("a file has a size"), 4);
}

fn bytes_are_where_they_were_written(blocks: &dyn Blocks) {
    blocks.write_at(10, b"0123456789").expect("a file grows by a write");
    assert_eq!(blocks.len().expect("a file has a size"), 20);
    blocks.write_at(12, b"xy").expect("a file takes bytes");
    blocks.sync_data().expect("a file can be synced");

    let mut all = [0xff; 20];
    blocks.read_at(0, &mut all).expect("written bytes can be read");
    assert_eq!(&all, b"\0\0\0\0\0\0\0\0\0\x0001xy456789", "the gap reads as zeros");
    let mut middle = [0; 3];
    blocks.read_at(11, &mut middle).expect("written bytes can be read");
    assert_eq!(&middle, b"1xy");
}

fn a_short_read_is_an_error(blocks: &dyn Blocks) {
    blocks.write_at(0, b"four").expect("a file takes bytes");
    for (offset, size_bytes) in [(0, 5), (3, 2), (4, 1), (100, 1)] {
        let short = blocks.read_at(offset, &mut vec![0; size_bytes]).map_err(|error| error.kind());
        assert_eq!(short, Err(ErrorKind::UnexpectedEof), "{size_bytes} bytes at {offset}");
    }
    blocks.read_at(4, &mut []).expect("nothing can be read anywhere");
    assert_eq!(blocks.len().expect("a file has a size"), 4, "a read grew the file");
}

fn a_file_grows_with_zeros_and_is_cut(blocks: &dyn Blocks) {
    blocks.write_at(0, b"abcdef").expect("a file takes bytes");
    blocks.set_len(3).expect("a file can be cut");
    assert_eq!(blocks.len().expect("a file has a size"), 3);
    blocks.set_len(8).expect("a file can grow");
    let mut all = [0xff; 8];
    blocks.read_at(0, &mut all).expect("grown bytes can be read");
    assert_eq!(&all, b"abc\0\0\0\0\0", "cut bytes came back");
    blocks.sync_data().expect("a file can be synced");
    blocks.set_len(0).expect("a file can be emptied");
    assert!(blocks.is_empty().expect("a file has a size"));
}

fn two_handles_see_one_file(disk: &dyn Disk) {
    let (one, other) = (created(disk, "log/shared"), created(disk, "log/shared"));
    one.write_at(0, b"seen").expect("a file takes bytes");
    let mut seen = [0; 4];
    other.read_at(0, &mut seen).expect("written bytes can be read before they are durable");
    assert_eq!(&seen, b"seen");
}

fn a_replaced_file_has_the_new_content_only(disk: &dyn Disk) {
    replace(disk, "state/vote", b"the first and longer one");
    assert_eq!(content(disk, "state/vote").as_deref(), Some(&b"the first and longer one"[..]));
    replace(disk, "state/vote", b"second");
    assert_eq!(content(disk, "state/vote").as_deref(), Some(&b"second"[..]));
    replace(disk, "state/vote", b"");
    assert_eq!(content(disk, "state/vote").as_deref(), Some(&b""[..]), "empty is not missing");
    assert_eq!(listed(disk, "state"), [PathBuf::from("state/vote")], "something stayed beside it");
}

fn a_missing_file_reads_as_none(disk: &dyn Disk) {
    assert_eq!(content(disk, "nothing"), None);
    assert_eq!(content(disk, "no/such/place"), None);
}

fn a_listing_is_sorted_and_names_files_only(disk: &dyn Disk) {
    for path in ["many/b", "many/a", "many/c", "many/deeper/d", "many/a1"] {
        replace(disk, path, path.as_bytes());
    }
    let expected = ["many/a", "many/a1", "many/b", "many/c"].map(PathBuf::from);
    assert_eq!(listed(disk, "many"), expected);
    for path in listed(disk, "many") {
        disk.open(&path, OpenHow::Existing).expect("a listed path can be opened");
    }
    assert_eq!(listed(disk, "many/deeper"), [PathBuf::from("many/deeper/d")]);
    assert_eq!(listed(disk, "no-such-dir"), Vec::<PathBuf>::new());
    replace(disk, "at-the-top", b"");
    assert_eq!(listed(disk, ""), [PathBuf::from("at-the-top")], "directories are not listed");
}

fn a_renamed_file_keeps_its_content(disk: &dyn Disk) {
    let rename = |from: &str, to: &str| disk.rename(Path::new(from), Path::new(to));
    replace(disk, "old/name", b"content");
    rename("old/name", "other/place/name").expect("a file can change its directory");
    assert_eq!(content(disk, "old/name"), None);
    assert_eq!(content(disk, "other/place/name").as_deref(), Some(&b"content"[..]));

    replace(disk, "old/name", b"next");
    rename("old/name", "other/place/name").expect("a file can take the place of another");
    assert_eq!(content(disk, "other/place/name").as_deref(), Some(&b"next"[..]));

    let missing = rename("old/name", "elsewhere").map_err(|error| error.kind());
    assert_eq!(missing, Err(ErrorKind::NotFound));
    assert_eq!(content(disk, "elsewhere"), None);
}

fn a_removed_file_is_gone(disk: &dyn Disk) {
    replace(disk, "gone/one", b"first life");
    replace(disk, "gone/other", b"stays");
    disk.remove(Path::new("gone/one")).expect("a file can be removed");
    assert_eq!(content(disk, "gone/one"), None);
    assert_eq!(listed(disk, "gone"), [PathBuf::from("gone/other")]);
    let again = disk.remove(Path::new("gone/one")).map_err(|error| error.kind());
    assert_eq!(again, Err(ErrorKind::NotFound));
    assert!(created(disk, "gone/one").is_empty().expect("a file has a size"), "bytes came back");
}

fn paths_stay_inside_the_directory(disk: &dyn Disk) {
    for path in ["/absolute", "../above", "in/../../out", ".hidden"] {
        let path = Path::new(path);
        let refusals = [
            disk.open(path, OpenHow::CreateIfMissing).map(|_| ()),
            disk.read(path).map(|_| ()),
            disk.replace(path, b""),
            disk.list(path).map(|_| ()),
            disk.rename(path, Path::new("at-the-top")),
            disk.rename(Path::new("at-the-top"), path),
        ];
        for refused in refusals {
            let refused = refused.map_err(|error| error.kind());
            assert_eq!(refused, Err(ErrorKind::InvalidInput), "{}", path.display());
        }
    }
}
