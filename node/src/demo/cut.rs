//! Cuts the network between two groups of addresses of this machine, with nftables.
//!
//! Needs root and `nft`. Clients at other addresses still reach both groups.
//!
//! Invariants
//! - The rules are in a table of this process's own, and gone when the [`Cut`] is dropped.

use std::io::{self, Write};
use std::net::IpAddr;
use std::process::{Command, Stdio};

/// A cut that heals when it is dropped.
#[derive(Debug)]
pub struct Cut {
    table: String,
}

impl Cut {
    /// Drops every packet from one group to the other, both ways. The error says why it could not.
    pub fn between(group: &[IpAddr], others: &[IpAddr]) -> io::Result<Cut> {
        let cut = Cut { table: format!("quorate_demo_{}", std::process::id()) };
        let set = |addresses: &[IpAddr]| {
            let texts: Vec<String> = addresses.iter().map(ToString::to_string).collect();
            texts.join(", ")
        };
        let (group, others, table) = (set(group), set(others), &cut.table);
        nft(&format!(
            "table ip {table} {{\nchain cut {{\n\
             type filter hook output priority 0; policy accept;\n\
             ip saddr {{ {group} }} ip daddr {{ {others} }} drop\n\
             ip saddr {{ {others} }} ip daddr {{ {group} }} drop\n}}\n}}\n"
        ))?;
        Ok(cut)
    }
}

impl Drop for Cut {
    fn drop(&mut self) {
        // If it fails there is nothing to heal, or nobody who could.
        let _ = nft(&format!("delete table ip {}\n", self.table));
    }
}

/// Why this machine cannot cut its network; `None` if it can.
pub fn missing() -> Option<String> {
    // SAFETY: geteuid has no arguments and no failure.
    if unsafe { libc::geteuid() } != 0 {
        return Some("needs root".to_owned());
    }
    nft("list tables\n").err().map(|error| format!("nft: {error}"))
}

fn nft(rules: &str) -> io::Result<()> {
    let mut nft = Command::new("nft")
        .args(["-f", "-"])
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
