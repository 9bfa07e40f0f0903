//! openraft's view of our log store.

use std::fmt::Debug;
use std::io;
use std::ops::{Bound, RangeBounds};

use openraft::storage::{IOFlushed, LogState, RaftLogReader, RaftLogStorage};
use openraft::type_config::alias::{EntryOf, LogIdOf, VoteOf};
use tokio::sync::oneshot;

use super::Types;
use super::convert::{from_entry, from_log_id, from_vote, to_entry, to_index, to_log_id, to_vote};
use crate::ids::{LogIndex, NodeId};
use crate::observe::{Told, mark, planted, tell};
use crate::replication::store::{Done, LogStore};

/// Payload of one append to a follower, in bytes; at least one entry is sent.
const APPEND_SIZE_BYTES_MAX: usize = 1 << 20;

#[derive(Clone)]
pub(super) struct RaftLog {
    /// Whose log it is, for those who observe it.
    pub(super) this: NodeId,
    pub(super) store: LogStore,
}

/// A completion to hand to the store, and the wait for it.
fn completion() -> (Done, impl Future<Output = io::Result<()>> + Send) {
    let (sender, receiver) = oneshot::channel();
    let done: Done = Box::new(move |result| {
        // Nobody waits any more only while the node ends.
        let _ = sender.send(result);
    });
    let ended = || io::Error::new(io::ErrorKind::BrokenPipe, "the log writer has ended");
    (done, async move { receiver.await.unwrap_or_else(|_| Err(ended())) })
}

impl RaftLogReader<Types> for RaftLog {
    async fn try_get_log_entries<RB: RangeBounds<u64> + Clone + Debug + Send>(
        &mut self,
        range: RB,
    ) -> io::Result<Vec<EntryOf<Types>>> {
        let start = match range.start_bound() {
            Bound::Included(at) => *at,
            Bound::Excluded(before) => before + 1,
            Bound::Unbounded => 0,
        };
        let end = match range.end_bound() {
            Bound::Included(at) => at.saturating_add(1),
            Bound::Excluded(at) => *at,
            Bound::Unbounded => u64::MAX,
        };
        let (start, end) = (to_index(start).0, to_index(end).0);
        Ok(self.store.read(start, end).await?.into_iter().map(from_entry).collect())
    }

    async fn read_vote(&mut self) -> io::Result<Option<VoteOf<Types>>> {
        Ok(self.store.state().vote.map(from_vote))
    }

    async fn limited_get_log_entries(
        &mut self,
        start: u64,
        end: u64,
    ) -> io::Result<Vec<EntryOf<Types>>> {
        let mut size_bytes = 0;
        let entries = self.store.read(to_index(start).0, to_index(end).0).await?;
        let fits = |entry: &crate::replication::store::StoredEntry| {
            let is_first = size_bytes == 0;
            size_bytes += entry.payload.size_bytes();
            is_first || size_bytes <= APPEND_SIZE_BYTES_MAX
        };
        Ok(entries.into_iter().take_while(fits).map(from_entry).collect())
    }
}

impl RaftLogStorage<Types> for RaftLog {
    type LogReader = RaftLog;

    async fn get_log_state(&mut self) -> io::Result<LogState<Types>> {
        let state = self.store.state();
        Ok(LogState {
            last_purged_log_id: state.compacted.map(from_log_id),
            last_log_id: state.last.map(from_log_id),
        })
    }

    async fn get_log_reader(&mut self) -> RaftLog {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &VoteOf<Types>) -> io::Result<()> {
        let (done, durable) = completion();
        let (by, vote) = (self.this, to_vote(vote));
        if vote.committed {
            tell(Told::Elected { by, node: vote.node, term: vote.term });
        }
        self.store.save_vote(vote, done);
        durable.await?;
        if !vote.committed {
            tell(Told::VoteGranted { by, to: vote.node, term: vote.term });
        }
        Ok(())
    }

    async fn save_committed(&mut self, committed: Option<LogIdOf<Types>>) -> io::Result<()> {
        let committed = committed.as_ref().map(to_log_id);
        if let Some(last) = committed {
            tell(Told::Committed { by: self.this, index: last.index, term: last.term });
        }
        self.store.save_committed(committed);
        Ok(())
    }

    async fn read_committed(&mut self) -> io::Result<Option<LogIdOf<Types>>> {
        Ok(self.store.state().committed.map(from_log_id))
    }

    async fn append<I>(&mut self, entries: I, callback: IOFlushed<Types>) -> io::Result<()>
    where
        I: IntoIterator<Item = EntryOf<Types>> + Send,
        I::IntoIter: Send,
    {
        let entries: Vec<_> = entries.into_iter().map(to_entry).collect();
        let done = move |result| callback.io_completed(result);
        #[cfg(feature = "observed")]
        let done = self.store.telling(self.this, &entries, done);
        self.store.append(entries, Box::new(done));
        Ok(())
    }

    async fn truncate_after(&mut self, last: Option<LogIdOf<Types>>) -> io::Result<()> {
        mark("log.truncated");
        let (done, durable) = completion();
        let last = last.as_ref().map(to_log_id);
        let after = last.map_or(LogIndex(0), |id| id.index);
        tell(Told::Truncated { by: self.this, after });
        self.store.truncate_after(last, done);
        durable.await
    }

    async fn purge(&mut self, upto: LogIdOf<Types>) -> io::Result<()> {
        mark("log.compacted");
        if planted("log_never_compacted") {
            return Ok(());
        }
        let (done, durable) = completion();
        let upto = to_log_id(&upto);
        tell(Told::Compacted { by: self.this, upto: upto.index, term: upto.term });
        self.store.compact(upto, done);
        durable.await
    }
}
