//! The chain of one key: its writes by index, and what each read may show between them.
//!
//! Pure. Part of the version order, whose header has the theorem.
//!
//! Going up the indexes, the key shows one value at a time. An acknowledged write replaces it at
//! its index. Where a read shows something else, an unknown write must have come in between: it is
//! used up, and the read before and this one bound its index. Of several that wrote the same value
//! the one that may have the smallest index is used: any later read accepts each of the others as
//! well, so no other choice explains more.
//!
//! Read next: [`Chain::follow`].

use std::collections::BTreeMap;
use std::ops::Bound::{Excluded, Unbounded};

use super::ValueHash;
use super::contradiction::{Contradiction, Law};
use super::version_order::Sighting;

/// How many objections one key may raise: the first say what is wrong.
const OBJECTIONS_COUNT_MAX: usize = 10;

/// A value; `None` is no value: before the first write, and after a delete.
type Value = Option<ValueHash>;

/// The writes and reads of one key.
#[derive(Clone, Debug, Default)]
pub(super) struct Chain {
    /// Acknowledged writes by index.
    writes: BTreeMap<u64, Write>,
    reads: Vec<Read>,
    /// Unknown writes that no read needs so far, by value; the one to use next is the last.
    unknown: BTreeMap<Value, Vec<Unknown>>,
    /// Unknown writes that a read has seen, and that read.
    seen: BTreeMap<Value, (usize, usize)>,
    refused: BTreeMap<Value, usize>,
    /// What the key shows after its last acknowledged operation.
    pub(super) standing: Standing,
}

#[derive(Clone, Copy, Debug)]
struct Write {
    at: usize,
    value: Value,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Read {
    index: u64,
    at: usize,
    value: Value,
}

/// A write that may have taken effect, at an index above `after_index`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Unknown {
    after_index: u64,
    at: usize,
}

/// What a key shows from one index to another, as far as clients know.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Standing {
    pub(super) value: Value,
    /// The write of the value has its index in `low..=high`.
    pub(super) low: u64,
    pub(super) high: u64,
    /// Whether a client was told that index; otherwise a read has shown that it is there.
    pub(super) is_acknowledged: bool,
    /// The greatest index at which it was seen.
    pub(super) last: u64,
    /// The operation that told so; `None` before the first.
    by: Option<usize>,
}

impl Chain {
    pub(super) fn wrote(&mut self, at: usize, value: Value, index: u64) {
        self.writes.insert(index, Write { at, value });
    }

    pub(super) fn read(&mut self, at: usize, value: Value, index: u64) {
        self.reads.push(Read { index, at, value });
    }

    pub(super) fn perhaps_wrote(&mut self, at: usize, value: Value, after_index: u64) {
        self.unknown.entry(value).or_default().push(Unknown { after_index, at });
    }

    pub(super) fn was_refused(&mut self, at: usize, value: Value) {
        self.refused.insert(value, at);
    }

    /// Whether a client was told that a write of the key is done.
    pub(super) fn has_acknowledged(&self) -> bool {
        !self.writes.is_empty()
    }

    /// Whether somebody asked to write it.
    pub(super) fn is_written(&self) -> bool {
        self.has_acknowledged()
            || !(self.unknown.is_empty() && self.seen.is_empty() && self.refused.is_empty())
    }

    /// Whether a refused write had the value.
    pub(super) fn has_refused(&self, value: Value) -> bool {
        self.refused.contains_key(&value)
    }

    /// Whether an unknown write that no read has used can have written `value` at `index`.
    pub(super) fn may_come(&self, value: Value, index: u64) -> bool {
        let unused = self.unknown.get(&value).into_iter().flatten();
        unused.into_iter().any(|write| write.after_index < index)
    }

    /// Goes up the indexes with every read, and leaves the end in `standing`.
    pub(super) fn follow(
        &mut self,
        contradictions: &mut Vec<Contradiction>,
        sightings: &mut Vec<Sighting>,
    ) {
        for unused in self.unknown.values_mut() {
            unused.sort_unstable_by(|a, b| b.cmp(a));
        }
        let mut reads = std::mem::take(&mut self.reads);
        reads.sort_unstable();
        let writes = std::mem::take(&mut self.writes);
        let mut coming = writes.iter().peekable();
        let mut objections_count = 0;
        for read in &reads {
            while let Some((index, write)) = coming.next_if(|(index, _)| **index <= read.index) {
                self.standing = Standing::of(*index, *write);
            }
            if read.value != self.standing.value {
                let Some(sighting) = self.use_unknown(*read) else {
                    if objections_count < OBJECTIONS_COUNT_MAX {
                        contradictions.push(self.objection(*read, &writes));
                        objections_count += 1;
                    }
                    continue;
                };
                let Sighting { above, high, .. } = sighting;
                let (value, low, is_acknowledged) = (read.value, above.saturating_add(1), false);
                self.standing = Standing { value, low, high, is_acknowledged, ..self.standing };
                sightings.push(sighting);
            }
            self.standing.last = read.index;
            self.standing.by = Some(read.at);
        }
        if let Some((index, write)) = coming.next_back() {
            self.standing = Standing::of(*index, *write);
        }
        (self.reads, self.writes) = (reads, writes);
    }

    /// Takes the unknown write that explains the read, if there is one.
    fn use_unknown(&mut self, read: Read) -> Option<Sighting> {
        let unused = self.unknown.get_mut(&read.value)?;
        let Unknown { at, after_index } = unused.pop_if(|next| next.after_index < read.index)?;
        self.seen.insert(read.value, (at, read.at));
        let above = self.standing.last.max(after_index);
        let replaced = self.standing.by;
        Some(Sighting { above, high: read.index, read: read.at, write: at, replaced })
    }

    /// Which law a read breaks that nothing explains, and against whom.
    fn objection(&self, read: Read, writes: &BTreeMap<u64, Write>) -> Contradiction {
        let of_value = |(_, write): &(&u64, &Write)| write.value == read.value;
        let earlier = writes.range(..=read.index).rev().find(of_value);
        let later = writes.range((Excluded(read.index), Unbounded)).find(of_value);
        let unused = self.unknown.get(&read.value).and_then(|unused| unused.last());
        let mut operations = vec![read.at];
        let law = if let Some((_, write)) = earlier {
            operations.push(write.at);
            operations.extend(self.standing.by);
            Law::NewestWrite
        } else if let Some((write, seen_by)) = self.seen.get(&read.value) {
            operations.extend([*write, *seen_by]);
            operations.extend(self.standing.by);
            Law::UnknownOnce
        } else if read.value.is_none() {
            operations.extend(self.standing.by);
            Law::NewestWrite
        } else if let Some(at) = later.map(|(_, write)| write.at).or(unused.map(|one| one.at)) {
            operations.push(at);
            Law::NotFromLater
        } else if let Some(at) = self.refused.get(&read.value) {
            operations.push(*at);
            Law::RefusedNever
        } else {
            operations.extend(self.standing.by);
            Law::SomebodyWrote
        };
        Contradiction { law, operations }
    }
}

impl Standing {
    fn of(index: u64, Write { at, value }: Write) -> Standing {
        let (low, high, last) = (index, index, index);
        Standing { value, low, high, is_acknowledged: true, last, by: Some(at) }
    }
}
