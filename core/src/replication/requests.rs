//! Which requests were applied, with their replies: a repeat is answered, not executed.
//!
//! Part of the replicated state, so its bounds are counted in entries and bytes, not in time: a
//! request id is remembered for the next [`REMEMBERED_COUNT_MAX`] writes that carry one, fewer if
//! their replies together exceed [`REMEMBERED_SIZE_BYTES_MAX`].

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::ids::{LogIndex, RequestId};

/// Remembered requests.
pub(crate) const REMEMBERED_COUNT_MAX: usize = 65_536;
/// Size of their replies together, in bytes.
pub(crate) const REMEMBERED_SIZE_BYTES_MAX: usize = 8 << 20;

/// The table of remembered requests, oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Requests {
    oldest_first: VecDeque<RequestId>,
    replies: BTreeMap<RequestId, (LogIndex, Bytes)>,
    size_bytes: usize,
}

impl Requests {
    /// The index and reply of an earlier execution.
    pub(crate) fn reply(&self, id: RequestId) -> Option<(LogIndex, Bytes)> {
        self.replies.get(&id).cloned()
    }

    /// Remembers an execution. An id of [`RequestId::NONE`] is not remembered.
    pub(crate) fn remember(&mut self, id: RequestId, index: LogIndex, reply: Bytes) {
        if id == RequestId::NONE {
            return;
        }
        self.size_bytes += reply.len();
        let earlier = self.replies.insert(id, (index, reply));
        assert!(earlier.is_none(), "a remembered request was executed again");
        self.oldest_first.push_back(id);
        while self.oldest_first.len() > REMEMBERED_COUNT_MAX
            || self.size_bytes > REMEMBERED_SIZE_BYTES_MAX
        {
            let Some(oldest) = self.oldest_first.pop_front() else { break };
            let forgotten = self.replies.remove(&oldest).expect("each id has its reply");
            self.size_bytes -= forgotten.1.len();
        }
        assert_eq!(self.oldest_first.len(), self.replies.len(), "the two sides of the table");
    }

    /// How many are remembered.
    pub(crate) fn count(&self) -> usize {
        self.oldest_first.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repeat_is_answered_as_the_first_time() {
        let mut requests = Requests::default();
        assert_eq!(requests.reply(RequestId(7)), None);
        requests.remember(RequestId(7), LogIndex(3), Bytes::from_static(b"ok"));
        assert_eq!(requests.reply(RequestId(7)), Some((LogIndex(3), Bytes::from_static(b"ok"))));
    }

    #[test]
    fn a_write_without_an_id_is_not_remembered() {
        let mut requests = Requests::default();
        requests.remember(RequestId::NONE, LogIndex(3), Bytes::new());
        assert_eq!(requests.count(), 0);
    }

    #[test]
    fn the_oldest_are_forgotten_first_by_count_and_by_size() {
        let mut requests = Requests::default();
        let count = REMEMBERED_COUNT_MAX as u64 + 10;
        for at in 1..=count {
            requests.remember(RequestId(at.into()), LogIndex(at), Bytes::new());
        }
        assert_eq!(requests.count(), REMEMBERED_COUNT_MAX);
        assert_eq!(requests.reply(RequestId(10)), None);
        assert!(requests.reply(RequestId(11)).is_some());

        let half = Bytes::from(vec![0; REMEMBERED_SIZE_BYTES_MAX / 2 + 1]);
        requests.remember(RequestId(1 << 40), LogIndex(count + 1), half.clone());
        requests.remember(RequestId(2 << 40), LogIndex(count + 2), half);
        assert_eq!(requests.count(), 1);
        assert!(requests.reply(RequestId(2 << 40)).is_some());
    }
}
