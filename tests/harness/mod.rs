//! The harness for process tests, and the contracts both worlds keep.
//!
//! Read next: [`cluster::Cluster`] for daemons, [`links::Links`] for faults between them.

pub mod binary;
pub mod block;
pub mod cluster;
pub mod contracts;
pub mod intruder;
pub mod links;
pub mod load;
pub mod network;
pub mod percentiles;
pub mod privileged;
pub mod processes;
pub mod skips;
pub mod steady;
