//! The law of leadership, at most one node acts at any true time, checked on small models.
//!
//! Both step real [`Leader`]s, each with a clock of its own rate, and let every message between
//! consensus and a leader come as late as the run likes. `fixed.rs` knows only voters that stay,
//! and reduces consensus to elections and a log; `changing.rs` changes the voters, among which
//! `consensus.rs` keeps a log per node and sends frames that may be held back or lost.
//!
//! Read next: `fixed.rs`, then `changing.rs`.

mod changing;
mod consensus;
mod fixed;
mod world;

use super::state::Leader;
use crate::config::ClusterSettings;
use crate::ids::NodeId;
use crate::ports::Now;

/// Wide, so that runs often end up between a lease and a lease with drift.
const DRIFT_PERCENT: u64 = 20;
const LEASE_MS: u64 = 100;

/// Nodes count from 0 in the models, ids from 1.
fn id(node: usize) -> NodeId {
    NodeId(node as u64 + 1)
}

fn fresh_leader(node: usize, now: Now) -> Leader {
    let mut settings = ClusterSettings::of(Vec::new());
    settings.lease_ms = LEASE_MS;
    settings.clock_drift_percent_max = DRIFT_PERCENT;
    Leader::new(id(node), settings, now)
}

/// What a node's clock shows: each has its own start, and one of the two extreme rates.
fn clock(true_ms: u64, node: usize, is_fast: bool) -> Now {
    let percent = if is_fast { 100 + DRIFT_PERCENT } else { 100 };
    Now { ns: true_ms * 10_000 * percent }.plus_ms(node as u64 * 7_777)
}
