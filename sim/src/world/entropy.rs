//! Random numbers of a simulated node: fixed by seed, machine, boot, purpose and count.
//!
//! Invariants
//! - Two forks never give the same stream, also for one purpose.
//! - A draw for one purpose leaves the streams of all others as they were.
//!
//! Read next: `dice.rs` for the world's own randomness.

use std::collections::BTreeMap;
use std::sync::Mutex;

use quorate_core::ports::Entropy;
use rand::SeedableRng;
use rand::rngs::SmallRng;

use super::dice::{Dice, mix};

/// The entropy of one boot of one machine.
#[derive(Debug)]
pub(super) struct BootEntropy {
    seed: u64,
    forks_count: Mutex<BTreeMap<&'static str, u64>>,
}

impl BootEntropy {
    pub(super) fn new(seed: u64, machine: usize, boot: u64) -> BootEntropy {
        let seed = mix(mix(mix(seed) ^ machine as u64) ^ boot);
        BootEntropy { seed, forks_count: Mutex::default() }
    }

    /// A seed that was never given before in this boot.
    fn fork_seed(&self, purpose: &'static str) -> u64 {
        let mut forks_count = self.forks_count.lock().expect("no code panics while it holds this");
        let count = forks_count.entry(purpose).or_default();
        *count += 1;
        let name = purpose.bytes().fold(0, |hash, byte| mix(hash ^ u64::from(byte)));
        mix(mix(self.seed ^ name) ^ *count)
    }
}

impl Entropy for BootEntropy {
    fn fork(&self, purpose: &'static str) -> SmallRng {
        SmallRng::seed_from_u64(self.fork_seed(purpose))
    }

    fn fill(&self, purpose: &'static str, bytes: &mut [u8]) {
        let dice = Dice::new(self.fork_seed(purpose), 0);
        for chunk in bytes.chunks_mut(8) {
            chunk.copy_from_slice(&dice.next().to_le_bytes()[..chunk.len()]);
        }
    }
}
