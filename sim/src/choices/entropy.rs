//! Random numbers of a simulated node: each purpose is a site of its own in each boot.
//!
//! Invariants
//! - Two forks never give the same stream, also for one purpose.
//! - A draw for one purpose leaves the streams of all others as they were, and the world's too.
//!
//! Read next: `dice.rs` for what a site draws.

use quorate_core::ports::Entropy;
use rand::SeedableRng;
use rand::rngs::SmallRng;

use super::{Choices, Dice, pair};

/// The entropy of one boot of one machine. A fork is one choice, its seed; bytes are choices of
/// eight bytes each.
#[derive(Debug)]
pub(crate) struct BootEntropy {
    choices: Choices,
    instance: u64,
}

impl BootEntropy {
    /// `machine` and `boot` count from 1.
    pub(crate) fn new(choices: Choices, machine: u64, boot: u64) -> BootEntropy {
        BootEntropy { choices, instance: pair(machine, boot) }
    }

    fn dice(&self, purpose: &'static str) -> Dice {
        self.choices.site(&format!("entropy.{purpose}"), self.instance)
    }
}

impl Entropy for BootEntropy {
    fn fork(&self, purpose: &'static str) -> SmallRng {
        SmallRng::seed_from_u64(self.dice(purpose).word())
    }

    fn fill(&self, purpose: &'static str, bytes: &mut [u8]) {
        let dice = self.dice(purpose);
        for chunk in bytes.chunks_mut(8) {
            chunk.copy_from_slice(&dice.word().to_le_bytes()[..chunk.len()]);
        }
    }
}
