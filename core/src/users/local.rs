//! The local admin of one node: who may ask its API before its cluster has users.
//!
//! The file `admin.phc` in the data directory holds the hash of the password, and in a second line
//! whether the cluster's users have held on this node. From then on the local password counts for
//! nothing, also after a restart and before the log is applied again.
//!
//! Read next: [`LocalAdmin::load`]; `node/users.rs` for who makes it the cluster's.

use std::io;
use std::path::Path;

use super::PasswordHash;
use crate::ports::Disk;

/// Where it is kept, relative to the data directory.
pub const FILE: &str = "admin.phc";
/// The second line, once the cluster's users have held on this node.
const SUPERSEDED: &str = "superseded";

/// Who may ask a node that has applied no users.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalAdmin {
    /// Of the password.
    pub hash: PasswordHash,
    /// Whether the cluster's users have held on this node: then this password lets nobody in.
    pub is_superseded: bool,
}

impl LocalAdmin {
    /// What the data directory holds; `None` if there is no such file.
    pub fn load(disk: &dyn Disk) -> io::Result<Option<LocalAdmin>> {
        let Some(bytes) = disk.read(Path::new(FILE))? else { return Ok(None) };
        let text = String::from_utf8(bytes).unwrap_or_default();
        let mut lines = text.lines();
        let hash = lines.next().and_then(PasswordHash::of_phc);
        let is_superseded = match lines.next() {
            None => Some(false),
            Some(line) => (line == SUPERSEDED).then_some(true),
        };
        let (Some(hash), Some(is_superseded)) = (hash, is_superseded) else {
            let detail = format!("{FILE} is damaged: remove it, and give the password again");
            return Err(io::Error::new(io::ErrorKind::InvalidData, detail));
        };
        Ok(Some(LocalAdmin { hash, is_superseded }))
    }

    /// The same, superseded if the data directory says so: who starts a node need not know.
    pub(crate) fn kept_in(self, disk: &dyn Disk) -> io::Result<LocalAdmin> {
        let kept = LocalAdmin::load(disk)?;
        let was_superseded = kept.is_some_and(|kept| kept.is_superseded);
        Ok(LocalAdmin { is_superseded: self.is_superseded || was_superseded, ..self })
    }

    /// Puts it into the data directory, in one step.
    pub fn store(&self, disk: &dyn Disk) -> io::Result<()> {
        let mut text = format!("{}\n", self.hash.phc());
        if self.is_superseded {
            text += SUPERSEDED;
            text.push('\n');
        }
        disk.replace(Path::new(FILE), text.as_bytes())
    }
}
