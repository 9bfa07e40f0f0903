//! What the log says, and its newest entries, in memory.

use std::collections::BTreeMap;

use super::{LogId, StoredEntry, StoredVote};

/// Durable entries kept in memory for replication; older ones are read from the disk.
const CACHED_COUNT_MAX: usize = 4_096;
/// Bytes of commands kept in memory with them.
const CACHED_SIZE_BYTES_MAX: usize = 8 << 20;

/// What the store holds when it is opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Opened {
    pub(crate) vote: Option<StoredVote>,
    pub(crate) committed: Option<LogId>,
    pub(crate) compacted: Option<LogId>,
    pub(crate) last: Option<LogId>,
}

/// The newest entries, and what was not yet written: visible at once, durable later.
#[derive(Debug, Default)]
pub(super) struct Tail {
    pub(super) entries: BTreeMap<u64, StoredEntry>,
    pub(super) opened: Opened,
    /// Entries up to here are durable, so they may leave the memory.
    durable_index: u64,
    /// Size of the commands in `entries`.
    size_bytes: usize,
    /// How often entries were dropped at the end.
    pub(super) truncations_count: u64,
}

impl Tail {
    /// The entry follows the last one.
    pub(super) fn insert(&mut self, entry: StoredEntry) {
        self.opened.last = Some(entry.id);
        self.size_bytes += entry.payload.size_bytes();
        self.entries.insert(entry.id.index.0, entry);
    }

    /// Drops the entries after `last`; `None` drops all.
    pub(super) fn truncate_after(&mut self, last: Option<LogId>) {
        let first_index = last.map_or(0, |id| id.index.0 + 1);
        self.truncations_count += 1;
        self.entries.split_off(&first_index);
        self.measure();
        self.opened.last = last.or(self.opened.compacted);
        self.durable_index = self.durable_index.min(first_index.saturating_sub(1));
    }

    /// Drops the entries up to `upto`.
    pub(super) fn compact(&mut self, upto: LogId) {
        self.entries = self.entries.split_off(&(upto.index.0 + 1));
        self.measure();
        self.opened.compacted = Some(upto);
        self.opened.last = self.opened.last.max(Some(upto));
    }

    /// Entries up to `index` are durable, as they were when `truncations_count` was this.
    pub(super) fn note_durable(&mut self, index: u64, truncations_count: u64) {
        if truncations_count != self.truncations_count {
            return; // others may have these indexes now; a later append says up to where it holds
        }
        self.durable_index = self.durable_index.max(index);
        while self.entries.len() > CACHED_COUNT_MAX || self.size_bytes > CACHED_SIZE_BYTES_MAX {
            let Some(oldest) = self.entries.first_entry() else { return };
            if *oldest.key() > self.durable_index {
                return;
            }
            self.size_bytes -= oldest.remove().payload.size_bytes();
        }
    }

    fn measure(&mut self) {
        self.size_bytes = self.entries.values().map(|entry| entry.payload.size_bytes()).sum();
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::super::StoredPayload;
    use super::*;
    use crate::ids::{Generation, LogIndex, Term};

    fn entry(election: u64, index: u64) -> StoredEntry {
        let id = LogId { term: Term::new(Generation(0), election), index: LogIndex(index) };
        let payload = StoredPayload::Command(Bytes::from(vec![0; 1 << 20]));
        StoredEntry { id, payload }
    }

    #[test]
    fn a_truncated_entry_that_becomes_durable_late_takes_no_other_out_of_the_memory() {
        let mut tail = Tail::default();
        (1..=8).for_each(|index| tail.insert(entry(1, index)));
        let of_the_first = tail.truncations_count;
        tail.truncate_after(Some(entry(1, 4).id));
        (5..=16).for_each(|index| tail.insert(entry(2, index)));
        tail.note_durable(8, of_the_first);
        assert_eq!(tail.entries.len(), 16, "5 to 8 are others now, and not durable");

        tail.note_durable(16, tail.truncations_count);
        assert!(tail.entries.len() < 16, "memory is limited");
        assert_eq!(tail.entries.keys().next_back(), Some(&16));
    }
}
