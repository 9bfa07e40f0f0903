//! The canary: runs that are fine, and lie to their checkers. Each must fail, for its lie.
//!
//! A tester that has gone blind finds nothing, and looks like a product without bugs. So does one
//! of which a checker is not wired in.
//!
//! Invariants
//! - Each file of `checkers/` has a lie; the same run without a lie passes.
//!
//! Read next: `lies.rs`.

use super::lies::{LIES, Lie};
use crate::cluster::{Cluster, Report};
use crate::scenarios::Scenario;

/// The seed says which lie is told, counted from 1; 0 is for none.
const CANARY: Scenario = Scenario { name: "canary", tell: a_quiet_run_lies };

/// Tells every lie; returns how many there are, or the first that somebody believed.
pub fn sing() -> Result<usize, String> {
    CANARY.run(0).map_err(|text| format!("a run without a lie fails: {text}"))?;
    for (seed, Lie { checker, says, .. }) in (1..).zip(LIES) {
        match CANARY.run(seed) {
            Err(text) if text.contains(says) => {}
            Err(text) => {
                return Err(format!("lie {seed}, for {checker}, fails for another reason: {text}"));
            }
            Ok(_) => return Err(format!("lie {seed} passes: {checker} is blind, or not asked")),
        }
    }
    Ok(LIES.len())
}

fn a_quiet_run_lies(seed: u64) -> Report {
    let mut cluster = Cluster::of(3).seed(seed);
    let _acked = cluster.write("colour", "blue").acked_within_ms(2_000);
    cluster.within_ms(5_000).one_leader_and_equal_logs();
    cluster.within_ms(5_000).members_agree();
    if let Some(lie) = seed.checked_sub(1) {
        (LIES[lie as usize].tell)(&mut cluster);
    }
    // Long enough for checkers that do not look at every instant.
    cluster.run_for_ms(1_000);
    cluster.within_ms(5_000).members_agree();
    cluster.nobody_was_called_down();
    cluster.check_invariants()
}
