//! The bank holds together, and its canary dies. That the bugs are found takes a build of its own.

use std::collections::BTreeSet;

use super::*;
use crate::scenarios;

#[test]
fn the_canary_dies() {
    assert_eq!(canary::sing(), Ok(LIES.len()));
}

#[test]
fn each_checker_has_its_lie() {
    let files = include_str!("../checkers/mod.rs").lines();
    let name = |line: &'static str| line.strip_prefix("mod ")?.strip_suffix(';');
    let files: BTreeSet<&str> = files.filter_map(name).filter(|name| *name != "tests").collect();
    let lies: BTreeSet<&str> = LIES.iter().map(|lie| lie.checker).collect();
    assert_eq!(lies, files);
}

#[test]
fn each_bug_has_a_name_of_its_own_and_a_scenario_that_exists() {
    let names: BTreeSet<&str> = BUGS.iter().map(|bug| bug.name).collect();
    assert_eq!(names.len(), BUGS.len());
    for bug in BUGS {
        assert_eq!(by_name(bug.name).map(|found| found.what), Some(bug.what));
        // That a test exists which is named here is seen when it is run.
        let Finder::Scenario { name, seeds_count_max } = bug.found_by else { continue };
        assert!(scenarios::by_name(name).is_some(), "{} has no scenario", bug.name);
        assert!((1..=200).contains(&seeds_count_max), "{} is hunted for too long", bug.name);
    }
}
