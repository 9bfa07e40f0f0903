//! The search for one key: from answer to answer, with every possibility in between.
//!
//! Pure. `wing_gong.rs` says what it does and why; here is how.
//!
//! Invariants
//! - Operations are numbered by their begin; a possibility lists those without effect in order.
//! - In every possibility each operation that was answered has had its effect.
//!
//! Read next: [`Search::run`], then `Search::replaced` for one step.

use std::collections::{BTreeMap, BTreeSet};

use super::Limits;
use crate::history::{Operation, Outcome, ValueHash};

/// How many operations a contradiction names besides its answer.
const NAMED_COUNT_MAX: usize = 8;
/// The value of a register without one.
const NOTHING: usize = 0;

/// One operation that has to be explained.
#[derive(Clone, Copy, Debug)]
struct Item {
    /// Its place in the history.
    at: usize,
    start_ns: u64,
    /// `None` if its outcome is unknown.
    end_ns: Option<u64>,
    is_write: bool,
    /// Place in `values`.
    value: usize,
}

/// What is known beforehand of a value.
#[derive(Clone, Copy, Debug, Default)]
struct Value {
    /// Writes of it; the empty register at the start counts as one of nothing.
    writes_count: usize,
    first_write_ns: Option<u64>,
    last_read_ns: Option<u64>,
    /// One of its writes and its last read, as places in the history.
    writer: Option<usize>,
    reader: Option<usize>,
}

impl Value {
    fn is_written_once(&self) -> bool {
        self.writes_count <= 1
    }

    /// Whether a read of it begins later.
    fn is_read_after(&self, now_ns: u64) -> bool {
        self.last_read_ns.is_some_and(|last_ns| last_ns > now_ns)
    }
}

/// What the register may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Held {
    /// This value.
    Value(usize),
    /// Whatever was written before a window that was given up.
    Anything,
}

/// One way in which it may have gone so far.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Possibility {
    held: Held,
    /// Operations that have begun and had no effect, in order.
    without_effect: Vec<usize>,
}

/// How a search ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// Every answer outside of given-up windows is explained.
    Explained,
    /// No order explains the first of these operations.
    Contradicted {
        /// Places in the history.
        operations: Vec<usize>,
    },
}

/// More steps than one window may take.
struct TooMany;

pub(super) struct Search {
    limits: Limits,
    items: Vec<Item>,
    values: Vec<Value>,
    possibilities: BTreeSet<Possibility>,
    /// Where the last window that was given up has ended.
    resumed_ns: Option<u64>,
    steps_left: u64,
    pub(super) operations_count: usize,
    pub(super) unknown_count: usize,
    pub(super) windows_count: usize,
    pub(super) steps_count: u64,
}

impl Search {
    pub(super) fn of(history: &[Operation], places: &[usize], limits: Limits) -> Search {
        let mut places = places.to_vec();
        places.sort_by_key(|at| history[*at].start_ns);
        let nothing = Value { writes_count: 1, first_write_ns: Some(0), ..Value::default() };
        let (mut values, mut numbers) = (vec![nothing], BTreeMap::from([(None, NOTHING)]));
        let mut items = Vec::new();
        for at in places {
            let operation = &history[at];
            let value = number_of(operation.value_hash, &mut values, &mut numbers);
            let Operation { start_ns, end_ns, .. } = *operation;
            let is_write = operation.op.is_write();
            let known = &mut values[value];
            if is_write {
                known.writes_count += 1;
                known.first_write_ns = Some(known.first_write_ns.unwrap_or(start_ns).min(start_ns));
                known.writer = Some(at);
            } else {
                // They come in the order of their begins.
                (known.last_read_ns, known.reader) = (Some(start_ns), Some(at));
            }
            let is_acknowledged = operation.outcome == Outcome::Acknowledged;
            let end_ns = is_acknowledged.then_some(end_ns.max(start_ns));
            items.push(Item { at, start_ns, end_ns, is_write, value });
        }
        let operations_count = items.len();
        items.retain(|item| item.end_ns.is_some() || values[item.value].last_read_ns.is_some());
        Search {
            limits,
            items,
            values,
            possibilities: BTreeSet::from([Possibility {
                held: Held::Value(NOTHING),
                without_effect: Vec::new(),
            }]),
            resumed_ns: None,
            steps_left: limits.steps_count_max,
            operations_count,
            unknown_count: 0,
            windows_count: 1,
            steps_count: 0,
        }
    }

    /// Goes through all begins and answers in the order of time. At one instant begins come first:
    /// such operations overlap.
    pub(super) fn run(&mut self) -> Ended {
        let begins = self.items.iter().enumerate().map(|(item, one)| (one.start_ns, false, item));
        let answers = self.items.iter().enumerate();
        let answers = answers.filter_map(|(item, one)| Some((one.end_ns?, true, item)));
        let mut moments: Vec<(u64, bool, usize)> = begins.chain(answers).collect();
        moments.sort_unstable();

        let (mut under_way_count, mut in_window_count, mut is_given_up) = (0, 0, false);
        for (now_ns, is_answer, item) in moments {
            if !is_answer {
                in_window_count += 1;
                under_way_count += usize::from(self.items[item].end_ns.is_some());
                self.begin(item);
                continue;
            }
            under_way_count -= 1;
            if !is_given_up {
                match self.answer(item, now_ns) {
                    Ok(None) => {}
                    Ok(Some(operations)) => return Ended::Contradicted { operations },
                    Err(TooMany) => is_given_up = true,
                }
            }
            let count_max = self.limits.operations_count_max;
            let is_quiet = under_way_count == 0;
            if is_given_up && is_quiet {
                self.unknown_count += in_window_count;
                self.resume(now_ns);
                is_given_up = false;
            } else if is_given_up || in_window_count < count_max / if is_quiet { 2 } else { 1 } {
                continue;
            }
            in_window_count = 0;
            self.windows_count += 1;
            self.steps_left = self.limits.steps_count_max;
        }
        if is_given_up {
            self.unknown_count += in_window_count;
        }
        Ended::Explained
    }

    /// The operation has no effect so far, except a read of what is there.
    fn begin(&mut self, item: usize) {
        let Item { is_write, value, .. } = self.items[item];
        let begun = std::mem::take(&mut self.possibilities).into_iter().map(|mut one| {
            if is_write || one.held != Held::Value(value) {
                one.without_effect.push(item);
            }
            one
        });
        self.possibilities = begun.collect();
    }

    /// The operation has had its effect. Returns what contradicts that, if anything does.
    fn answer(&mut self, item: usize, now_ns: u64) -> Result<Option<Vec<usize>>, TooMany> {
        let before = std::mem::take(&mut self.possibilities);
        let mut open: Vec<Possibility> = before.iter().cloned().collect();
        let (mut met, mut after) = (BTreeSet::new(), BTreeSet::new());
        while let Some(one) = open.pop() {
            self.steps_left = self.steps_left.checked_sub(1).ok_or(TooMany)?;
            self.steps_count += 1;
            if one.without_effect.binary_search(&item).is_err() {
                after.insert(one);
                continue;
            }
            for next in self.next_of(&one, item, now_ns) {
                if met.insert(next.clone()) {
                    open.push(next);
                }
            }
        }
        let is_explained = !after.is_empty();
        self.possibilities = self.without_spendthrifts(after);
        Ok((!is_explained).then(|| self.evidence(item, &before, now_ns)))
    }

    /// Leaves out each possibility that differs from another only in having used more of the
    /// unknown writes: nobody has to use one, so whoever has more left can do all that it can.
    fn without_spendthrifts(&self, all: BTreeSet<Possibility>) -> BTreeSet<Possibility> {
        let mut alike: BTreeMap<(Held, Vec<usize>), Vec<Vec<usize>>> = BTreeMap::new();
        for Possibility { held, without_effect } in all {
            let is_owed = |item: &usize| self.items[*item].end_ns.is_some();
            let (owed, left): (Vec<usize>, Vec<usize>) =
                without_effect.into_iter().partition(is_owed);
            let lefts = alike.entry((held, owed)).or_default();
            let covers = |one: &[usize], other: &[usize]| {
                other.iter().all(|item| one.binary_search(item).is_ok())
            };
            if !lefts.iter().any(|one| covers(one, &left)) {
                lefts.retain(|one| !covers(&left, one));
                lefts.push(left);
            }
        }
        let joined = |((held, owed), lefts): ((Held, Vec<usize>), Vec<Vec<usize>>)| {
            lefts.into_iter().map(move |left| {
                let mut without_effect = [owed.as_slice(), left.as_slice()].concat();
                without_effect.sort_unstable();
                Possibility { held, without_effect }
            })
        };
        alike.into_iter().flat_map(joined).collect()
    }

    /// What one more effect makes of a possibility, on the way to that of `item`.
    fn next_of(&self, one: &Possibility, item: usize, now_ns: u64) -> Vec<Possibility> {
        let mut next = Vec::new();
        match one.held {
            Held::Value(held) if self.is_to_stay(held, now_ns) => return next,
            Held::Value(_) => {}
            Held::Anything => next.extend(self.guesses(one)),
        }
        let goal = self.items[item];
        let mut tried: BTreeSet<usize> = BTreeSet::new();
        for write in one.without_effect.iter().copied() {
            let Item { is_write, value, end_ns, .. } = self.items[write];
            let is_goal = write == item || (!goal.is_write && value == goal.value);
            let is_read = |read: &usize| {
                let Item { is_write, value: seen, .. } = self.items[*read];
                !is_write && seen == value
            };
            // What is written once is either hidden below or will be read: it is no way station.
            let is_on_the_way = !self.values[value].is_written_once()
                && (end_ns.is_some() || one.without_effect.iter().any(is_read));
            // Of unknown writes of one value the first to begin is as good as any other.
            let is_first = end_ns.is_some() || !tried.contains(&value);
            if is_write && is_first && (is_goal || is_on_the_way) {
                next.push(self.replaced(one, write, now_ns));
            }
            if is_write && end_ns.is_none() {
                tried.insert(value);
            }
        }
        next
    }

    /// Whether the value is read later, and nobody else writes it.
    fn is_to_stay(&self, value: usize, now_ns: u64) -> bool {
        let value = &self.values[value];
        value.is_written_once() && value.is_read_after(now_ns)
    }

    /// The write takes effect, and just before it everything that nobody will miss.
    fn replaced(&self, one: &Possibility, write: usize, now_ns: u64) -> Possibility {
        let there = self.items[write].value;
        let is_over = |value: usize| {
            self.values[value].is_written_once() && !self.values[value].is_read_after(now_ns)
        };
        let begun = |item: &usize| self.items[*item];
        let hidden: BTreeSet<usize> = one
            .without_effect
            .iter()
            .map(begun)
            .filter(|other| other.is_write && is_over(other.value))
            .map(|other| other.value)
            .collect();
        let stays = |item: &usize| {
            let Item { is_write, value, .. } = begun(item);
            *item != write && !hidden.contains(&value) && (is_write || value != there)
        };
        let without_effect = one.without_effect.iter().copied().filter(stays).collect();
        Possibility { held: Held::Value(there), without_effect }
    }

    /// After a window that was given up: each value that a waiting read shows may be there.
    fn guesses(&self, one: &Possibility) -> Vec<Possibility> {
        let items = || one.without_effect.iter().map(|item| (*item, self.items[*item]));
        let reads = items().filter(|(_, item)| !item.is_write).map(|(_, item)| item.value);
        let is_old = |value: &usize| {
            let first_ns = self.values[*value].first_write_ns;
            first_ns.is_some_and(|first_ns| Some(first_ns) <= self.resumed_ns)
        };
        let shown: BTreeSet<usize> = reads.filter(is_old).collect();
        let guess = |value: usize| {
            let stays = items().filter(|(_, item)| item.is_write || item.value != value);
            let without_effect = stays.map(|(number, _)| number).collect();
            Possibility { held: Held::Value(value), without_effect }
        };
        shown.into_iter().map(guess).collect()
    }

    /// Begins anew where nothing but unknown writes is under way.
    fn resume(&mut self, now_ns: u64) {
        let begun = self.items.iter().enumerate().take_while(|(_, item)| item.start_ns <= now_ns);
        let unknown = begun.filter(|(_, item)| item.end_ns.is_none());
        let without_effect = unknown.map(|(number, _)| number).collect();
        self.possibilities = BTreeSet::from([Possibility { held: Held::Anything, without_effect }]);
        self.resumed_ns = Some(now_ns);
    }

    /// The answer, what may have been there, and what was under way. Where a value had to stay for
    /// a read that begins later, that read is what cannot be.
    fn evidence(&self, item: usize, before: &BTreeSet<Possibility>, now_ns: u64) -> Vec<usize> {
        let held = || {
            before.iter().filter_map(|one| match one.held {
                Held::Value(value) => Some(value),
                Held::Anything => None,
            })
        };
        let stays = held().find(|value| self.is_to_stay(*value, now_ns));
        let (reader, read) = match stays {
            Some(value) => (self.values[value].reader, value),
            None => (None, self.items[item].value),
        };
        let under_way = before.iter().flat_map(|one| &one.without_effect);
        let answer = self.items[item].at;
        let named = [reader.unwrap_or(answer)]
            .into_iter()
            .chain(self.values[read].writer)
            .chain([answer])
            .chain(held().filter_map(|value| self.values[value].writer))
            .chain(under_way.map(|item| self.items[*item].at));
        let mut operations = Vec::new();
        for at in named {
            if operations.len() <= NAMED_COUNT_MAX && !operations.contains(&at) {
                operations.push(at);
            }
        }
        operations
    }
}

/// The place of a value, which is new or known.
fn number_of(
    value: Option<ValueHash>,
    values: &mut Vec<Value>,
    numbers: &mut BTreeMap<Option<ValueHash>, usize>,
) -> usize {
    *numbers.entry(value).or_insert_with(|| {
        values.push(Value::default());
        values.len() - 1
    })
}
