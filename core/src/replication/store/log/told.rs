//! What a log tells those who observe it: what it holds, and where on the disk that stands.
//!
//! Not there without the feature `observed`.
//!
//! Read next: `observe/mod.rs` for the events.

use std::io;
use std::net::IpAddr;
use std::path::PathBuf;

use super::super::journal::{entry_of, file_of};
use super::super::{LogId, StoredEntry, StoredPayload};
use super::{LogStore, lock};
use crate::codec::encode;
use crate::ids::{LogIndex, NodeId};
use crate::observe::{Place, Told, is_observed, tell};

/// The entry that stands at `place`; `None` if these bytes of the place are not the record of one.
pub fn entry_at(place: &Place, bytes: &[u8]) -> Option<LogId> {
    entry_of(place.group, bytes).map(|entry| entry.id)
}

/// The file that `place` is in, relative to the data directory.
pub fn file_at(place: &Place) -> PathBuf {
    file_of(place.segment)
}

fn digest(payload: &StoredPayload) -> u32 {
    crc32fast::hash(&encode(payload))
}

fn tell_entry(by: NodeId, entry: &StoredEntry) {
    let LogId { term, index } = entry.id;
    tell(Told::Appended { by, index, term, digest: digest(&entry.payload) });
    if let StoredPayload::Voters(voters) = &entry.payload {
        tell(Told::VotersAppended { by, index, term, sets: voters.sets.clone() });
    }
}

impl LogStore {
    /// The node has opened it. Of a long log only the newest entries are told, which are cached.
    pub(crate) fn tell_opened(&self, by: NodeId, address: IpAddr) {
        if !is_observed() {
            return;
        }
        tell(Told::LogOpened { by, address });
        let tail = lock(&self.shared.tail);
        if let Some(LogId { term, index: upto }) = tail.opened.compacted {
            tell(Told::Compacted { by, upto, term });
        }
        for (index, entry) in &tail.entries {
            tell_entry(by, entry);
            self.tell_durable(by, *index);
        }
    }

    /// Tells of entries that are appended now, and of their being durable when `done` is told.
    pub(in super::super::super) fn telling<D: FnOnce(io::Result<()>) + Send>(
        &self,
        by: NodeId,
        entries: &[StoredEntry],
        done: D,
    ) -> impl FnOnce(io::Result<()>) + Send + use<D> {
        let mut indexes = Vec::new();
        if is_observed() {
            entries.iter().for_each(|entry| tell_entry(by, entry));
            indexes.extend(entries.iter().map(|entry| entry.id.index.0));
        }
        let log = self.clone();
        move |result| {
            if result.is_ok() {
                indexes.into_iter().for_each(|index| log.tell_durable(by, index));
            }
            done(result);
        }
    }

    fn tell_durable(&self, by: NodeId, index: u64) {
        let place = self.shared.reader.place(index);
        tell(Told::Durable { by, index: LogIndex(index), place });
    }
}
