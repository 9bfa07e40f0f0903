//! A run that is told two times.

use super::leader_crash::the_leader_crashes_and_comes_back;
use super::{Scenario, retell};
use crate::cluster::Report;

/// The death of a leader is told, and once more on a thread of its own, with the same seed. Both
/// are the same to the last byte on every wire and disk: nothing in a node is left to real chance.
pub(super) fn the_same_seed_is_told_two_times(seed: u64) -> Report {
    let first = the_leader_crashes_and_comes_back(seed);
    let again = Scenario { name: "hunt_chance", tell: the_leader_crashes_and_comes_back };
    let second = match retell(again, seed) {
        Ok(report) => report,
        Err(text) => panic!("what was told once fails when it is told again: {text}"),
    };
    assert!(first == second, "the same seed gives two runs: {first:?}, {second:?}");
    first
}
