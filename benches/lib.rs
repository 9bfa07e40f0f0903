//! Measurements, side by side with the rivals.
//!
//! Read next: `examples/`, one program per question; each says how to run it.

pub mod closed_loop;
pub mod etcd;
pub mod grpc;
pub mod raw;
