//! openraft's view of our log store.

use std::fmt::Debug;
use std::io;
use std::ops::{Bound, RangeBounds};

use openraft::storage::{IOFlushed, LogState, RaftLogReader, RaftLogStorage};
use openraft::type_config::alias::{EntryOf, LogIdOf, VoteOf};
use tokio::sync::oneshot;

use super::Types;
use super::convert::{from_entry, from_log_id, from_vote, to_entry, to_index, to_log_id, to_vote};
use crate::replication::store::{Done, LogStore};

/// Payload of one append to a follower, in bytes; at least one entry is sent.
const APPEND_SIZE_BYTES_MAX: usize = 1 << 20;

#[derive(Clone)]
pub(super) struct RaftLog(pub(super) LogStore);

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
        Ok(self.0.read(start, end).await?.into_iter().map(from_entry).collect())
    }

    async fn read_vote(&mut self) -> io::Result<Option<VoteOf<Types>>> {
        Ok(self.0.state().vote.map(from_vote))
    }

    async fn limited_get_log_entries(
        &mut self,
        start: u64,
        end: u64,
    ) -> io::Result<Vec<EntryOf<Types>>> {
        let mut size_bytes = 0;
        let entries = self.0.read(to_index(start).0, to_index(end).0).await?;
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
        let state = self.0.state();
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
        self.0.save_vote(to_vote(vote), done);
        durable.await
    }

    async fn save_committed(&mut self, committed: Option<LogIdOf<Types>>) -> io::Result<()> {
        self.0.save_committed(committed.as_ref().map(to_log_id));
        Ok(())
    }

    async fn read_committed(&mut self) -> io::Result<Option<LogIdOf<Types>>> {
        Ok(self.0.state().committed.map(from_log_id))
    }

    async fn append<I>(&mut self, entries: I, callback: IOFlushed<Types>) -> io::Result<()>
    where
        I: IntoIterator<Item = EntryOf<Types>> + Send,
        I::IntoIter: Send,
    {
        let entries = entries.into_iter().map(to_entry).collect();
        self.0.append(entries, Box::new(move |result| callback.io_completed(result)));
        Ok(())
    }

    async fn truncate_after(&mut self, last: Option<LogIdOf<Types>>) -> io::Result<()> {
        let (done, durable) = completion();
        self.0.truncate_after(last.as_ref().map(to_log_id), done);
        durable.await
    }

    async fn purge(&mut self, upto: LogIdOf<Types>) -> io::Result<()> {
        let (done, durable) = completion();
        self.0.compact(to_log_id(&upto), done);
        durable.await
    }
}
