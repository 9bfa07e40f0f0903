//! Randomness from the operating system.
//!
//! The purposes of the port exist for the simulator, where each has a stream of its own; here
//! every draw is independent, so they change nothing.

use quorate_core::ports::Entropy;
use rand::rngs::{SmallRng, SysRng};
use rand::{SeedableRng, TryRng};

/// Draws from the operating system's generator.
///
/// Panics where the system gives no randomness: a node without it could make neither keys nor
/// names, and Linux fails here only on a broken machine.
#[derive(Clone, Copy, Debug)]
pub struct OsEntropy;

impl Entropy for OsEntropy {
    fn fork(&self, _purpose: &'static str) -> SmallRng {
        SmallRng::try_from_rng(&mut SysRng).expect("the operating system gives random bytes")
    }

    fn fill(&self, _purpose: &'static str, bytes: &mut [u8]) {
        SysRng.try_fill_bytes(bytes).expect("the operating system gives random bytes");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::Rng;

    #[test]
    fn two_streams_differ_even_for_one_purpose() {
        let mut first = OsEntropy.fork("election");
        let mut second = OsEntropy.fork("election");
        assert_ne!(first.next_u64(), second.next_u64());

        let (mut one, mut other) = ([0_u8; 32], [0_u8; 32]);
        OsEntropy.fill("key", &mut one);
        OsEntropy.fill("key", &mut other);
        assert_ne!(one, other);
        assert_ne!(one, [0; 32]);
    }
}
