//! Random numbers. One stream per purpose, so that a draw added in one place leaves others alone.

use std::fmt::Debug;

use rand::rngs::SmallRng;

/// Where randomness comes from: the operating system, or the run's seed.
pub trait Entropy: Debug + Send + Sync {
    /// A fast generator for `purpose`, not for secrets.
    fn fork(&self, purpose: &'static str) -> SmallRng;
    /// Fills `bytes` for a secret or a name that must be unique in the world.
    fn fill(&self, purpose: &'static str, bytes: &mut [u8]);
}
