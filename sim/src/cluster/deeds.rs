//! What the clients of a workload do, one deed each, over and over; and the checkers in charge.
//!
//! - Registers: writes names and reads what was acknowledged. `nothing_lost`, `linearizable`.
//! - Swaps: compare-and-set on few registers that all share. `no_lost_update`, and those two.
//! - Lists: appends elements to few lists, and reads them. `exactly_once`.
//! - Inserts: takes names that others want, too. `unique_names`.
//! - Locks: takes a lock, writes behind it, frees it; or takes it away from a holder who keeps it
//!   long. `locks_by_token`.
//!
//! Pure: a deed is told what became of its request and says what the client asks next.
//!
//! Invariants
//! - Every value, element and owner is given once, so that the checkers can tell them apart.
//!
//! Read next: [`Doer::next`], `workload.rs` for who sends it.

use std::collections::BTreeMap;

use bytes::Bytes;
use quorate_core::ids::LogIndex;

use super::objects::{self, NOTHING};
use crate::choices::Dice;

/// How many registers, lists or locks the clients of one deed share.
const SHARED_COUNT: u64 = 3;
/// How often a client finds a lock held before it takes it away.
const PATIENCE_COUNT: u64 = 6;
/// How often a holder writes before it frees its lock.
const WRITES_PER_LOCK_COUNT: u64 = 3;

/// What a client does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deed {
    /// Writes and reads registers; one attempt for each request.
    Registers,
    /// Compare-and-set.
    Swaps,
    /// Appends to lists, again and again under one request id until it knows the outcome.
    Lists,
    /// Unique inserts.
    Inserts,
    /// Locks with fencing tokens.
    Locks,
}

/// One request, by what it means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum What {
    Put { name: String, value: String },
    Read { name: String },
    Swap { name: String, expected: String, value: String },
    Append { list: String, element: String },
    ReadList { list: String },
    Insert { name: String, owner: String },
    Lock { lock: String, owner: String },
    Unlock { lock: String, token: LogIndex },
}

impl What {
    /// The command to propose; the error is the query to ask instead.
    pub(super) fn command(&self) -> Result<Bytes, Bytes> {
        let text = match self {
            What::Put { name, value } => return Ok(objects::put(name, value)),
            What::Read { name } => return Err(name.clone().into()),
            What::ReadList { list } => return Err(format!("list {list}").into()),
            What::Swap { name, expected, value } => format!("swap {name} {expected} {value}"),
            What::Append { list, element } => format!("append {list} {element}"),
            What::Insert { name, owner } => format!("insert {name} {owner}"),
            What::Lock { lock, owner } => format!("lock {lock} {owner}"),
            What::Unlock { lock, token } => format!("unlock {lock} {}", token.0),
        };
        Ok(text.into())
    }

    /// Whether the ledger of registers counts it.
    pub(super) fn is_of_registers(&self) -> bool {
        match self {
            What::Put { .. } | What::Read { .. } | What::Swap { .. } => true,
            What::Append { .. }
            | What::ReadList { .. }
            | What::Insert { .. }
            | What::Lock { .. }
            | What::Unlock { .. } => false,
        }
    }

    /// Whether a client that does not know what became of it asks again, under the same id.
    pub(super) fn is_repeated(&self) -> bool {
        match self {
            What::Put { .. } | What::Read { .. } | What::ReadList { .. } => false,
            What::Swap { .. }
            | What::Append { .. }
            | What::Insert { .. }
            | What::Lock { .. }
            | What::Unlock { .. } => true,
        }
    }
}

/// What a client does next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// It asks the cluster.
    Ask(What),
    /// It writes to the resource behind a lock that it believes to hold.
    WriteBehind { lock: String, token: LogIndex },
}

/// A client with its deed.
#[derive(Clone, Debug)]
pub(super) struct Doer {
    pub(super) deed: Deed,
    /// Also its name as an owner.
    pub(super) name: String,
    done_count: u64,
    /// By register: what it was last seen to hold.
    seen: BTreeMap<String, String>,
    held: Option<(String, LogIndex)>,
    /// How often it has written behind its lock, or found the lock of another held.
    turns_count: u64,
    /// A lock that it has lost patience with.
    breaks: Option<(String, LogIndex)>,
}

impl Doer {
    /// Client `number`, from 1.
    pub(super) fn new(deed: Deed, number: u64) -> Doer {
        Doer {
            deed,
            name: format!("c{number}"),
            done_count: 0,
            seen: BTreeMap::new(),
            held: None,
            turns_count: 0,
            breaks: None,
        }
    }

    /// What it does next, unless its deed is [`Deed::Registers`], which the workload knows.
    pub(super) fn next(&mut self, shared: &Dice, is_read: bool) -> Option<Next> {
        let shared = |what: &str| format!("{what}{}", shared.between(1, SHARED_COUNT));
        self.done_count += 1;
        let unique = format!("{}.{}", self.name, self.done_count);
        Some(match self.deed {
            Deed::Registers => return None,
            Deed::Swaps => {
                let name = shared("swap");
                let expected = self.seen.get(&name).cloned();
                let expected = expected.unwrap_or_else(|| NOTHING.to_owned());
                Next::Ask(What::Swap { name, expected, value: unique })
            }
            Deed::Lists if is_read => Next::Ask(What::ReadList { list: shared("list") }),
            Deed::Lists => Next::Ask(What::Append { list: shared("list"), element: unique }),
            Deed::Inserts => {
                // Everyone counts alike, so that clients meet at the same names.
                let (name, owner) = (format!("name{}", self.done_count), self.name.clone());
                Next::Ask(What::Insert { name, owner })
            }
            Deed::Locks => self.next_with_lock(shared("lock"), unique),
        })
    }

    fn next_with_lock(&mut self, lock: String, owner: String) -> Next {
        if let Some((lock, token)) = self.breaks.take() {
            return Next::Ask(What::Unlock { lock, token });
        }
        let Some((held, token)) = self.held.clone() else {
            return Next::Ask(What::Lock { lock, owner });
        };
        self.turns_count += 1;
        if self.turns_count <= WRITES_PER_LOCK_COUNT {
            return Next::WriteBehind { lock: held, token };
        }
        (self.held, self.turns_count) = (None, 0);
        Next::Ask(What::Unlock { lock: held, token })
    }

    /// Its request was answered: with this by the entry at `index`, or by a read.
    pub(super) fn answered(&mut self, what: &What, index: LogIndex, reply: &str) {
        match what {
            What::Swap { name, expected: _, value } => {
                let holds = reply.strip_prefix("no ").unwrap_or(value);
                self.seen.insert(name.clone(), holds.to_owned());
            }
            What::Lock { lock, owner: _ } => match reply.strip_prefix("held ") {
                None => (self.held, self.turns_count) = (Some((lock.clone(), index)), 0),
                Some(token) => {
                    self.turns_count += 1;
                    let token = token.parse().map(LogIndex).ok();
                    if let (true, Some(token)) = (self.turns_count >= PATIENCE_COUNT, token) {
                        (self.breaks, self.turns_count) = (Some((lock.clone(), token)), 0);
                    }
                }
            },
            What::Put { .. }
            | What::Read { .. }
            | What::Append { .. }
            | What::ReadList { .. }
            | What::Insert { .. }
            | What::Unlock { .. } => {}
        }
    }
}
