//! The application's side: a deterministic state machine whose commands are bytes.

use bytes::Bytes;

use crate::codec::CodecError;
use crate::ids::LogIndex;

/// Turns the state at one index into bytes; may run on another thread, later.
pub type SnapshotJob = Box<dyn FnOnce() -> Bytes + Send>;

/// A replicated service: the same commands in the same order give the same state on every node.
///
/// No method reads a clock, draws a random number or touches the world: what differs between two
/// nodes would make their states differ for ever. Bytes in `command` come from `propose`, which
/// anyone may call, so a command that makes no sense gets a reply that says so, not a panic.
pub trait StateMachine: Send + 'static {
    /// Executes one command. `index` is that of its entry; it only grows, and may skip.
    fn apply(&mut self, index: LogIndex, command: &[u8]) -> Bytes;

    /// Answers a question about the present state, without changing it.
    fn query(&self, query: &[u8]) -> Bytes;

    /// Captures the present state. Called on the node's thread, so it should only take hold of the
    /// state (a clone that shares memory, say); the job does the work.
    fn snapshot(&self) -> SnapshotJob;

    /// Becomes the state that a snapshot job of any node wrote. On an error nothing has changed.
    fn restore(&mut self, snapshot: &[u8]) -> Result<(), CodecError>;
}
