//! Addresses: each cluster of a test gets a block of 127.0.0.0/8 for itself.
//!
//! Invariants
//! - Two clusters that live at once, in any process of this machine, never share a block. The
//!   demo's 127.0.0.x is in none.
//! - A block is free again when its holder ends, however it ends: the kernel drops the file lock.

use std::fs::File;
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;

/// The second octets used; the third is 0 to 255 in each.
const SECOND_OCTETS: std::ops::RangeInclusive<u8> = 100..=107;

/// 127.x.y.0/24, held until this is dropped.
#[derive(Debug)]
pub struct Block {
    second: u8,
    third: u8,
    _lock: File,
}

impl Block {
    /// Takes a free block. Fails if the temporary directory is not writable, or all are taken.
    pub fn take() -> io::Result<Block> {
        let place = std::env::temp_dir().join("quorate-test-blocks");
        std::fs::create_dir_all(&place)?;
        // Processes that start at once begin at different places, and so rarely try in vain.
        let first = std::process::id() as u8;
        let all = SECOND_OCTETS.flat_map(|second| (0..=255).map(move |third| (second, third)));
        for (second, third) in all {
            let third = first.wrapping_add(third);
            if let Some(lock) = try_lock(place.join(format!("127.{second}.{third}.lock")))? {
                return Ok(Block { second, third, _lock: lock });
            }
        }
        Err(io::Error::new(io::ErrorKind::AddrInUse, "all blocks of test addresses are taken"))
    }

    /// Its first address, by which a program is told to use this block.
    pub fn first(&self) -> IpAddr {
        self.address(0)
    }

    /// What its addresses begin with, as in `127.100.0`.
    pub fn name(&self) -> String {
        format!("127.{}.{}", self.second, self.third)
    }

    /// The address of node number `node`, from 1.
    ///
    /// Panics above 15: the addresses from 16 on are those of the links.
    pub fn node(&self, node: usize) -> IpAddr {
        assert!((1..16).contains(&node), "a block has addresses for nodes 1 to 15");
        self.address(node)
    }

    /// The address at which node `viewer` finds node `target` when its links lead through a proxy.
    pub fn link(&self, viewer: usize, target: usize) -> IpAddr {
        assert!((1..16).contains(&viewer) && (1..16).contains(&target), "nodes are 1 to 15");
        self.address(16 * viewer + target)
    }

    fn address(&self, last: usize) -> IpAddr {
        let last = u8::try_from(last).expect("16 * 15 + 15 fits an octet");
        IpAddr::V4(Ipv4Addr::new(127, self.second, self.third, last))
    }
}

/// `None` if another holder has it.
fn try_lock(path: PathBuf) -> io::Result<Option<File>> {
    let file = File::options().create(true).append(true).open(path)?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(std::fs::TryLockError::WouldBlock) => Ok(None),
        Err(std::fs::TryLockError::Error(error)) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn blocks_held_at_once_differ_and_no_two_addresses_of_a_block_are_the_same() {
        let held: Vec<Block> = (0..20).map(|_| Block::take().unwrap()).collect();
        let firsts: BTreeSet<IpAddr> = held.iter().map(|block| block.node(1)).collect();
        assert_eq!(firsts.len(), held.len());

        let links = (1..16).flat_map(|a| (1..16).map(move |b| (a, b)));
        let mut all: Vec<IpAddr> = links.map(|(a, b)| held[0].link(a, b)).collect();
        all.extend((1..16).map(|node| held[0].node(node)));
        let different: BTreeSet<&IpAddr> = all.iter().collect();
        assert_eq!(different.len(), all.len());
        assert!(all.iter().all(|address| !address.to_string().starts_with("127.0.0.")));
    }
}
