//! A counter as a replicated state machine: each `+1` adds one.

use bytes::Bytes;
use quorate_core::codec::CodecError;
use quorate_core::ids::LogIndex;
use quorate_core::{SnapshotJob, StateMachine};

/// The whole state.
#[derive(Default)]
pub struct Counter {
    count: u64,
}

impl Counter {
    /// Reads an answer of [`StateMachine::apply`] or [`StateMachine::query`]; 0 if it is none.
    pub fn count_in(reply: &[u8]) -> u64 {
        reply.try_into().map_or(0, u64::from_be_bytes)
    }
}

impl StateMachine for Counter {
    fn apply(&mut self, _index: LogIndex, command: &[u8]) -> Bytes {
        if command == b"+1" {
            self.count += 1;
        }
        self.query(&[])
    }

    fn query(&self, _query: &[u8]) -> Bytes {
        Bytes::copy_from_slice(&self.count.to_be_bytes())
    }

    fn snapshot(&self) -> SnapshotJob {
        let count = self.count;
        Box::new(move || Bytes::copy_from_slice(&count.to_be_bytes()))
    }

    fn restore(&mut self, snapshot: &[u8]) -> Result<(), CodecError> {
        let malformed = |_| CodecError::Malformed { what: "counter", detail: "not 8 bytes".into() };
        self.count = u64::from_be_bytes(snapshot.try_into().map_err(malformed)?);
        Ok(())
    }
}
