//! Measurements, side by side with the rivals.
//!
//! Read next: `examples/`, one program per question; each says how to run it.

pub mod processes;
