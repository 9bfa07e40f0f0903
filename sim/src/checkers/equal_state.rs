//! State machine safety: equal commands, answers and states at equal log index, on every node, in
//! every life of it.
//!
//! Each node's machine is wrapped: it keeps one number over all it has executed and answered, which
//! travels in its snapshots, and compares it with what the first node had at that index. The state
//! itself is compared as well, by a number over the bytes of its snapshot: the larger it is, the
//! less often, so that a run spends about as much on it as on the commands. While it is below
//! [`STATE_BYTES`] every command is followed by such a look.
//!
//! What that misses: a state that differs for a while, without any answer that differs, and is the
//! same again at the next look.
//!
//! Source: Ongaro & Ousterhout 2014, figure 3.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use bytes::Bytes;
use quorate_core::codec::CodecError;
use quorate_core::ids::LogIndex;
use quorate_core::{SnapshotJob, StateMachine};

/// For so many bytes of the state one command passes without a look at it.
const STATE_BYTES: usize = 1_024;
/// How many of the latest commands are remembered; older ones of a node far behind go unchecked.
const REMEMBERED_COUNT_MAX: usize = 100_000;
/// Bytes that the wrapper puts before a snapshot: an index, a number, and two counts in one word.
/// They are on the disk that is kept in `old_stores/`, and so they stay.
const HEADER_SIZE_BYTES: usize = 24;

/// FNV-1a over 64 bits, going on from `hash`.
fn hashed(hash: u64, bytes: &[u8]) -> u64 {
    let step = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    bytes.iter().fold(hash, step)
}

/// What the cluster has executed, as far as any node has told. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct History(Arc<Mutex<Executed>>);

#[derive(Debug, Default)]
struct Executed {
    /// By index: number over everything up to it.
    digests: BTreeMap<LogIndex, u64>,
    /// By index: number over the state, where a node has looked at its own.
    states: BTreeMap<LogIndex, u64>,
    /// By place in the cluster: how far its present machine has come, and its number.
    reached: BTreeMap<usize, (LogIndex, u64)>,
    violation: Option<String>,
}

impl History {
    /// What two nodes disagreed on, if they ever did.
    pub fn violation(&self) -> Option<String> {
        self.lock().violation.clone()
    }

    /// How far the machine of a node has come, and the number over all of it.
    pub fn reached(&self, at: usize) -> (LogIndex, u64) {
        self.lock().reached.get(&at).copied().unwrap_or_default()
    }

    fn lock(&self) -> MutexGuard<'_, Executed> {
        self.0.lock().expect("no code panics while it holds the history")
    }

    fn tell(&self, at: usize, index: LogIndex, digest: u64) {
        let mut executed = self.lock();
        executed.reached.insert(at, (index, digest));
        let is_equal = is_what_the_first_had(&mut executed.digests, index, digest);
        executed.judge(is_equal, at, index);
    }

    fn tell_state(&self, at: usize, index: LogIndex, state: u64) {
        let mut executed = self.lock();
        let is_equal = is_what_the_first_had(&mut executed.states, index, state);
        executed.judge(is_equal, at, index);
    }
}

impl Executed {
    fn judge(&mut self, is_equal: bool, at: usize, index: LogIndex) {
        if !is_equal && self.violation.is_none() {
            let node = at + 1;
            self.violation =
                Some(format!("n{node} has another state than others had after entry {index}"));
        }
    }
}

/// True as well if nobody was first, or if it is forgotten who was.
fn is_what_the_first_had(all: &mut BTreeMap<LogIndex, u64>, index: LogIndex, number: u64) -> bool {
    let is_forgotten = all.len() >= REMEMBERED_COUNT_MAX
        && all.first_key_value().is_some_and(|(first, _)| index < *first);
    if is_forgotten {
        return true;
    }
    let first = *all.entry(index).or_insert(number);
    if all.len() > REMEMBERED_COUNT_MAX {
        all.pop_first();
    }
    first == number
}

/// A state machine that tells the history what it does.
pub struct Recorded {
    inner: Box<dyn StateMachine>,
    at: usize,
    history: History,
    index: LogIndex,
    digest: u64,
    commands_count: u64,
    /// The command after which the state is looked at next: the same on every node.
    look_at_count: u64,
}

impl Recorded {
    /// Wraps the machine of the node with that place in the cluster.
    pub fn new(inner: Box<dyn StateMachine>, at: usize, history: History) -> Recorded {
        history.lock().reached.remove(&at);
        let (index, digest, commands_count, look_at_count) = (LogIndex(0), 0, 0, 1);
        Recorded { inner, at, history, index, digest, commands_count, look_at_count }
    }

    fn fold(&mut self, bytes: &[u8]) {
        self.digest = hashed(hashed(self.digest, &bytes.len().to_be_bytes()), bytes);
    }
}

impl StateMachine for Recorded {
    fn apply(&mut self, index: LogIndex, command: &[u8]) -> Bytes {
        let reply = self.inner.apply(index, command);
        self.index = index;
        self.commands_count += 1;
        self.fold(&index.0.to_be_bytes());
        self.fold(command);
        self.fold(&reply);
        if self.commands_count == self.look_at_count {
            let state = (self.inner.snapshot())();
            self.history.tell_state(self.at, index, hashed(0, &state));
            self.look_at_count += 1 + (state.len() / STATE_BYTES) as u64;
        }
        self.history.tell(self.at, index, self.digest);
        reply
    }

    fn query(&self, query: &[u8]) -> Bytes {
        self.inner.query(query)
    }

    fn snapshot(&self) -> SnapshotJob {
        // Below: how many there were. Above: how many will pass before the next look.
        let pass_count = self.look_at_count - self.commands_count - 1;
        let numbers = [self.index.0, self.digest, self.commands_count | pass_count << 32];
        let inner = self.inner.snapshot();
        Box::new(move || {
            let header = numbers.into_iter().flat_map(u64::to_be_bytes);
            header.chain(inner()).collect()
        })
    }

    fn restore(&mut self, snapshot: &[u8]) -> Result<(), CodecError> {
        let (header, state) = snapshot.split_at_checked(HEADER_SIZE_BYTES).ok_or_else(|| {
            CodecError::Malformed { what: "recorded state", detail: "too short".to_owned() }
        })?;
        self.inner.restore(state)?;
        let number = |at: usize| {
            let bytes = &header[at * 8..at * 8 + 8];
            u64::from_be_bytes(bytes.try_into().expect("8 bytes were taken"))
        };
        (self.index, self.digest) = (LogIndex(number(0)), number(1));
        self.commands_count = number(2) & u64::from(u32::MAX);
        self.look_at_count = self.commands_count + 1 + (number(2) >> 32);
        self.history.tell(self.at, self.index, self.digest);
        Ok(())
    }
}
