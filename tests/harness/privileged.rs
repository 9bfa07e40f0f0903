//! Faults that need root: a disk that gets full, and a firewall that drops datagrams.
//!
//! Invariants
//! - A mount is seen by the thread that made it and by its children only: it is gone with them,
//!   also when a test is killed.
//! - A rule names addresses of one block of tests, and is gone when its holder is dropped.

use std::ffi::CString;
use std::fs::File;
use std::io::{self, Write};
use std::net::IpAddr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

/// Name of the file that takes all room; see [`SmallDisk::fill`].
const FILLER: &str = "filler";

/// A file system in memory with little room. Unmounted when it is dropped.
#[derive(Debug)]
pub struct SmallDisk {
    at: PathBuf,
}

impl SmallDisk {
    /// Mounts it at `at`, which is made if it is missing, for this thread and what it starts.
    ///
    /// The error says why this machine does not allow it.
    pub fn mount(at: &Path, size_bytes: u64) -> io::Result<SmallDisk> {
        std::fs::create_dir_all(at)?;
        // SAFETY: no arguments but a flag; this thread alone gets mounts of its own.
        check(unsafe { libc::unshare(libc::CLONE_NEWNS) })?;
        // Without this the mount would spread to everybody else all the same.
        mount("none", Path::new("/"), "none", libc::MS_REC | libc::MS_PRIVATE, "")?;
        mount("quorate-test", at, "tmpfs", 0, &format!("size={size_bytes}"))?;
        Ok(SmallDisk { at: at.to_owned() })
    }

    /// Takes all the room that is left. Panics if the disk gives more than it can have.
    pub fn fill(&self) {
        let mut filler = File::create(self.at.join(FILLER)).expect("a directory entry has room");
        let zeros = vec![0; 4096];
        let full = (0..1_000_000).find_map(|_| filler.write_all(&zeros).err());
        let full = full.expect("a small disk gets full");
        assert_eq!(full.kind(), io::ErrorKind::StorageFull, "{full}");
    }

    /// Gives so much room back. Panics if the filler does not have it.
    pub fn leave(&self, size_bytes: u64) {
        let filler = File::options().write(true).open(self.at.join(FILLER));
        let filler = filler.expect("the disk was filled");
        let filled_bytes = filler.metadata().expect("an open file has a size").len();
        let rest_bytes = filled_bytes.checked_sub(size_bytes).expect("the filler has that room");
        filler.set_len(rest_bytes).expect("a file can be cut");
    }

    /// Gives all the room back.
    pub fn free(&self) {
        std::fs::remove_file(self.at.join(FILLER)).expect("the disk was filled");
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let at = c_string(self.at.as_os_str().as_bytes());
        // SAFETY: the call reads the string, which outlives it. Detached, because a daemon may
        // still have files open; the rest happens when it ends.
        let _ = unsafe { libc::umount2(at.as_ptr(), libc::MNT_DETACH) };
    }
}

fn mount(what: &str, at: &Path, kind: &str, flags: u64, options: &str) -> io::Result<()> {
    let (what, at) = (c_string(what.as_bytes()), c_string(at.as_os_str().as_bytes()));
    let (kind, options) = (c_string(kind.as_bytes()), c_string(options.as_bytes()));
    let (what, at, kind) = (what.as_ptr(), at.as_ptr(), kind.as_ptr());
    // SAFETY: the call reads the strings, which outlive it.
    check(unsafe { libc::mount(what, at, kind, flags, options.as_ptr().cast()) })
}

fn c_string(bytes: &[u8]) -> CString {
    CString::new(bytes).expect("paths and options have no zero byte")
}

fn check(result: i32) -> io::Result<()> {
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// A firewall between nodes, until it is dropped.
#[derive(Debug)]
pub struct DatagramBlock {
    table: String,
}

impl DatagramBlock {
    /// Drops every datagram that one of `addresses` sends to port `port` of another. Its sender
    /// hears nothing of it, as with a firewall on the way.
    ///
    /// The error says why this machine does not allow it.
    pub fn between(addresses: &[IpAddr], port: u16) -> io::Result<DatagramBlock> {
        static BLOCKS_COUNT: AtomicU32 = AtomicU32::new(0);
        let number = BLOCKS_COUNT.fetch_add(1, Ordering::Relaxed);
        let table = format!("quorate_test_{}_{number}", std::process::id());
        let texts: Vec<String> = addresses.iter().map(ToString::to_string).collect();
        let set = texts.join(", ");
        nft(&format!(
            "table ip {table} {{\nchain block {{\n\
             type filter hook input priority 0; policy accept;\n\
             ip saddr {{ {set} }} ip daddr {{ {set} }} udp dport {port} drop\n}}\n}}\n"
        ))?;
        Ok(DatagramBlock { table })
    }
}

impl Drop for DatagramBlock {
    fn drop(&mut self) {
        // If it fails there is no rule, or nobody who could take it away.
        let _ = nft(&format!("delete table ip {}\n", self.table));
    }
}

fn nft(rules: &str) -> io::Result<()> {
    let mut command = Command::new("nft");
    command.args(["-f", "-"]).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut nft = command.spawn()?;
    nft.stdin.take().expect("asked for a pipe").write_all(rules.as_bytes())?;
    let ended = nft.wait_with_output()?;
    if ended.status.success() {
        return Ok(());
    }
    Err(io::Error::other(String::from_utf8_lossy(&ended.stderr).into_owned()))
}
