//! Dice: where the choices of one site are made, by a counter and a mixer.
//!
//! Invariants
//! - The `k`-th value of a site is a function of seed, name, instance and `k`, on every platform
//!   and in every version: the golden values in `tests.rs` do not change.
//! - A value keeps the bounds of its draw, also one that an edit forces.
//! - A draw takes no lock, unless it is recorded.
//!
//! Read next: [`Dice::between`].
//! Source: Steele, Lea & Flood 2014, "Fast Splittable Pseudorandom Number Generators" (SplitMix64).

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use super::Choice;

const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

/// Spreads every bit of `word` over the result. A bijection.
pub(crate) fn mix(word: u64) -> u64 {
    let word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}

/// Choices of a run, in the order in which they were made.
pub(super) type Record = Arc<Mutex<Vec<Choice>>>;

/// One site of one run.
#[derive(Debug)]
pub(super) struct Site {
    start: u64,
    drawn_count: AtomicU64,
    /// `None` at most sites, whose draws cost nothing more than the number.
    watch: Option<Watch>,
}

/// What is done at a site beyond drawing.
#[derive(Debug)]
pub(super) struct Watch {
    pub(super) name: String,
    pub(super) instance: u64,
    /// By `k`.
    pub(super) forced: BTreeMap<u64, u64>,
    pub(super) record: Option<Record>,
}

impl Site {
    pub(super) fn new(seed: u64, name: &str, instance: u64, watch: Option<Watch>) -> Site {
        let seed = mix(seed.wrapping_add(STEP));
        let named = name.bytes().fold(seed, |word, byte| mix(word ^ u64::from(byte)));
        Site { start: mix(named ^ instance), drawn_count: AtomicU64::new(0), watch }
    }

    pub(super) fn drawn_count(&self) -> u64 {
        self.drawn_count.load(Ordering::Relaxed)
    }

    /// The next choice: `usual` makes it of a random word, unless an edit forces another.
    fn choose(&self, (min, max): (u64, u64), names: Names, usual: impl Fn(u64) -> u64) -> u64 {
        let k = self.drawn_count.fetch_add(1, Ordering::Relaxed) + 1;
        let drawn = usual(mix(self.start.wrapping_add(k.wrapping_mul(STEP))));
        match &self.watch {
            None => drawn,
            Some(watch) => watch.settle(k, (min, max), names, drawn),
        }
    }
}

impl Watch {
    fn settle(&self, k: u64, (min, max): (u64, u64), names: Names, drawn: u64) -> u64 {
        let value = self.forced.get(&k).map_or(drawn, |forced| (*forced).clamp(min, max));
        if let Some(record) = &self.record {
            let means = names.map(|name| name(value).to_owned());
            let (site, instance) = (self.name.clone(), self.instance);
            let choice = Choice { site, instance, k, min, max, value, means };
            record.lock().expect("no code panics while it holds this").push(choice);
        }
        value
    }
}

/// What a value means to a reader, where the number does not say it.
type Names<'a> = Option<&'a dyn Fn(u64) -> &'static str>;

/// Makes the choices of one site. Clones go on counting where the others stopped.
#[derive(Clone, Debug)]
pub struct Dice(pub(super) Arc<Site>);

impl Dice {
    /// Any number.
    pub fn word(&self) -> u64 {
        self.0.choose((0, u64::MAX), None, |word| word)
    }

    /// A number from `min` to `max`, both included; `min` if `max` is not larger, which is no
    /// choice and is not counted as one.
    pub fn between(&self, min: u64, max: u64) -> u64 {
        match max.saturating_sub(min).checked_add(1) {
            Some(1) => min,
            Some(count) => self.0.choose((min, max), None, |word| min + word % count),
            None => self.word(),
        }
    }

    /// True with this probability; as a choice 0 or 1. Probabilities of 0 and 1 leave no choice.
    pub fn chance(&self, probability: f64) -> bool {
        if probability <= 0.0 {
            return false;
        }
        if probability >= 1.0 {
            return true;
        }
        let unit = |word: u64| (word >> 11) as f64 / (1_u64 << 53) as f64;
        self.0.choose((0, 1), None, |word| u64::from(unit(word) < probability)) == 1
    }

    /// One of these, each as likely; as a choice its place from 0, and its name for readers.
    ///
    /// Panics if there is none.
    pub fn one_of<'a, T>(&self, table: &'a [(&'static str, T)]) -> &'a T {
        let last = table.len().checked_sub(1).expect("there is something to choose from") as u64;
        let name = |value: u64| table[value as usize].0;
        let at = match last {
            0 => 0,
            _ => self.0.choose((0, last), Some(&name), |word| word % (last + 1)),
        };
        &table[at as usize].1
    }
}
