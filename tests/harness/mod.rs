//! The harness for process tests, and the contracts both worlds keep.

pub mod contracts;
