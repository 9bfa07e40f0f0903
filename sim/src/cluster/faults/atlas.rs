//! The atlas: whose disk may have lost what it acknowledged.
//!
//! Consensus survives what a minority forgets or breaks, and nothing survives more: a scenario that
//! spoils a majority by accident proves nothing but that.
//!
//! Invariants
//! - A minority of the nodes at most is in it, unless the scenario says that this is its point.
//! - A disk that lied leaves it once it has done what it said; one that is rotten, wiped, or lost
//!   power while it lied does not.
//!
//! Read next: `disks.rs`, whose verbs ask it.
//! Source: TigerBeetle's `src/testing/storage.zig` (`ClusterFaultAtlas`).

use std::collections::BTreeMap;

/// What is wrong with a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Spoiled {
    Lying,
    Rotten,
    Wiped,
}

/// Which nodes have a spoiled disk, by place.
#[derive(Debug, Default)]
pub(in super::super) struct Atlas {
    spoiled: BTreeMap<usize, Spoiled>,
    spares_nothing: bool,
}

impl Atlas {
    /// From here on the last good copy may go, too.
    pub(super) fn spare_nothing(&mut self) {
        self.spares_nothing = true;
    }

    /// Enters a disk. The error says why it must stay good.
    pub(super) fn spoil(
        &mut self,
        at: usize,
        nodes_count: usize,
        how: Spoiled,
    ) -> Result<(), String> {
        let others_count = self.spoiled.keys().filter(|other| **other != at).count();
        if !self.spares_nothing && 2 * (others_count + 1) >= nodes_count {
            let spoiled = &self.spoiled;
            return Err(format!(
                "of {nodes_count} disks these are spoiled: {spoiled:?}; one more is no minority, \
                 and may hold the last good copy; say even_the_last_good_copy() if that is the \
                 point"
            ));
        }
        match self.spoiled.get(&at) {
            // A lie does not make good what is gone.
            Some(Spoiled::Rotten | Spoiled::Wiped) if how == Spoiled::Lying => {}
            Some(_) | None => drop(self.spoiled.insert(at, how)),
        }
        Ok(())
    }

    /// The disk lies no longer.
    pub(super) fn note_honest(&mut self, at: usize, has_forgotten: bool) {
        match self.spoiled.get(&at) {
            Some(Spoiled::Lying) if !has_forgotten => drop(self.spoiled.remove(&at)),
            Some(Spoiled::Lying | Spoiled::Rotten | Spoiled::Wiped) | None => {}
        }
    }

    pub(in super::super) fn is_spoiled(&self, at: usize) -> bool {
        self.spoiled.contains_key(&at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_minority_may_be_spoiled_and_a_disk_that_kept_its_word_counts_no_more() {
        let mut atlas = Atlas::default();
        assert_eq!(atlas.spoil(0, 3, Spoiled::Lying), Ok(()));
        assert_eq!(atlas.spoil(0, 3, Spoiled::Lying), Ok(()), "it is one disk");
        assert!(atlas.spoil(1, 3, Spoiled::Rotten).is_err(), "two of three");
        atlas.note_honest(0, true);
        assert!(atlas.is_spoiled(0), "it has forgotten something");
        atlas.note_honest(0, false);
        assert!(!atlas.is_spoiled(0));
        assert_eq!(atlas.spoil(1, 3, Spoiled::Rotten), Ok(()));
        atlas.note_honest(1, false);
        assert!(atlas.is_spoiled(1), "it is still rotten");
        assert!(atlas.spoil(0, 2, Spoiled::Wiped).is_err(), "half of two");
        atlas.spare_nothing();
        assert_eq!(atlas.spoil(0, 3, Spoiled::Wiped), Ok(()));
    }
}
