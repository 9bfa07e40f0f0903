//! The world's own random numbers: a counter and a mixer, the same on every platform and version.
//!
//! Nodes draw from `Entropy`, never from here, so that a fault more or less does not change what
//! a node draws.
//!
//! Read next: [`Dice`].
//! Source: Steele, Lea & Flood 2014, "Fast Splittable Pseudorandom Number Generators" (SplitMix64).

use std::sync::atomic::{AtomicU64, Ordering};

const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

/// Spreads every bit of `word` over the result. A bijection.
pub(super) fn mix(word: u64) -> u64 {
    let word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}

/// One stream of random numbers. Shared without a lock: the ports must be `Sync`.
#[derive(Debug)]
pub(super) struct Dice {
    state: AtomicU64,
}

impl Dice {
    /// The stream number `stream` of `seed`.
    pub(super) fn new(seed: u64, stream: u64) -> Dice {
        Dice { state: AtomicU64::new(mix(mix(seed.wrapping_add(STEP)) ^ stream)) }
    }

    pub(super) fn next(&self) -> u64 {
        mix(self.state.fetch_add(STEP, Ordering::Relaxed).wrapping_add(STEP))
    }

    /// A number from `min` to `max`, both included; `min` if `max` is smaller.
    pub(super) fn between(&self, min: u64, max: u64) -> u64 {
        match max.saturating_sub(min).checked_add(1) {
            Some(1) => min,
            Some(count) => min + self.next() % count,
            None => self.next(),
        }
    }

    /// True with this probability. 0 and 1 draw nothing, so that a fault that is off costs nothing.
    pub(super) fn chance(&self, probability: f64) -> bool {
        if probability <= 0.0 {
            return false;
        }
        if probability >= 1.0 {
            return true;
        }
        let unit = (self.next() >> 11) as f64 / (1_u64 << 53) as f64;
        unit < probability
    }
}
