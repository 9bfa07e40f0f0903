//! An own replicated service: a counter that adds up what it is sent.

use bytes::Bytes;
use quorate_core::codec::CodecError;
use quorate_core::ids::LogIndex;
use quorate_core::{SnapshotJob, StateMachine};

/// The sum of all commands, each a decimal number; what is none adds nothing.
#[derive(Clone, Debug, Default)]
pub struct Counter {
    sum: u64,
}

impl StateMachine for Counter {
    fn apply(&mut self, _index: LogIndex, command: &[u8]) -> Bytes {
        let addend = std::str::from_utf8(command).ok().and_then(|text| text.parse().ok());
        self.sum = self.sum.wrapping_add(addend.unwrap_or(0));
        self.query(&[])
    }

    fn query(&self, _query: &[u8]) -> Bytes {
        self.sum.to_string().into()
    }

    fn snapshot(&self) -> SnapshotJob {
        let sum = self.sum;
        Box::new(move || Bytes::copy_from_slice(&sum.to_be_bytes()))
    }

    fn restore(&mut self, snapshot: &[u8]) -> Result<(), CodecError> {
        let detail = "a counter's snapshot has 8 bytes".to_owned();
        let malformed = |_| CodecError::Malformed { what: "counter", detail };
        self.sum = u64::from_be_bytes(snapshot.try_into().map_err(malformed)?);
        Ok(())
    }
}
