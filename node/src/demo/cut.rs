//! Cuts the network between two groups of addresses of this machine, with nftables.
//!
//! Needs root and `nft`. Clients at other addresses still reach both groups.
//!
//! Invariants
//! - The rules are in a table of this process's own, and gone when the [`Cut`] is dropped.
//! - They are gone as well when this process is killed: the table belongs to an `nft` that waits
//!   for more on a pipe from here, and goes with it. A table that stayed would cut off whoever gets
//!   these addresses next.
//!
//! Source: nft(8), table flag `owner` (Linux 5.12).

use std::io::{self, Write};
use std::net::IpAddr;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// `nft` takes some milliseconds; a machine under load a hundred times that.
const TAKES_MAX: Duration = Duration::from_secs(5);

/// A cut that heals when it is dropped.
#[derive(Debug)]
pub struct Cut {
    table: String,
    owner: Child,
}

impl Cut {
    /// Drops every packet from one group to the other, both ways. The error says why it could not.
    pub fn between(group: &[IpAddr], others: &[IpAddr]) -> io::Result<Cut> {
        let set = |addresses: &[IpAddr]| {
            let texts: Vec<String> = addresses.iter().map(ToString::to_string).collect();
            texts.join(", ")
        };
        let (group, others, table) = (set(group), set(others), own_table());
        let rules = format!(
            "add table ip {table} {{ flags owner; chain cut {{ \
             type filter hook output priority 0; policy accept; \
             ip saddr {{ {group} }} ip daddr {{ {others} }} drop; \
             ip saddr {{ {others} }} ip daddr {{ {group} }} drop; }}; }}\n"
        );
        check(&rules)?;
        let mut cut = Cut { table, owner: start_owner()? };
        cut.order(&rules)?;
        let began = Instant::now();
        while run(&["list", "table", "ip", &cut.table], "").is_err() {
            if began.elapsed() > TAKES_MAX {
                return Err(io::Error::other(format!("nft made no table within {TAKES_MAX:?}")));
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(cut)
    }

    fn order(&mut self, rules: &str) -> io::Result<()> {
        self.owner.stdin.as_mut().expect("asked for a pipe").write_all(rules.as_bytes())
    }
}

impl Drop for Cut {
    fn drop(&mut self) {
        // The table goes with its owner, but some time later; this is at once. If it fails there is
        // nothing to heal.
        let _ = self.order(&format!("delete table ip {}\nquit\n", self.table));
        self.owner.stdin.take();
        let _ = self.owner.wait();
    }
}

fn own_table() -> String {
    format!("quorate_demo_{}", std::process::id())
}

/// An `nft` that takes rules from a pipe until this process ends. It would keep them in a file of
/// the home directory as well, were there one.
fn start_owner() -> io::Result<Child> {
    let mut nft = Command::new("nft");
    nft.arg("-i").env("HOME", "/dev/null");
    nft.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()
}

/// Why this machine cannot cut its network; `None` if it can.
pub fn missing() -> Option<String> {
    // SAFETY: geteuid has no arguments and no failure.
    if unsafe { libc::geteuid() } != 0 {
        return Some("needs root".to_owned());
    }
    let table = format!("add table ip {} {{ flags owner; }}\n", own_table());
    check(&table).err().map(|error| format!("nft: {error}"))
}

/// The error is what `nft` says against these rules, which are not made.
fn check(rules: &str) -> io::Result<()> {
    run(&["--check", "-f", "-"], rules)
}

fn run(arguments: &[&str], rules: &str) -> io::Result<()> {
    let mut nft = Command::new("nft")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()?;
    nft.stdin.take().expect("asked for a pipe").write_all(rules.as_bytes())?;
    let ended = nft.wait_with_output()?;
    if ended.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&ended.stderr);
    Err(io::Error::other(said.lines().next().unwrap_or("failed without a word").to_owned()))
}
