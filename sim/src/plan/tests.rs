//! The plan is drawn as its choices say, and a storm counts what it did.

use std::panic::catch_unwind;

use super::*;
use crate::choices::{self, Edits, Keep};
use crate::run_isolated;

const THEME: Theme = Theme {
    name: "test",
    founders: &[("three", 3), ("five", 5)],
    waiting_count_max: 1,
    kinds: &ALL,
};

#[test]
fn every_kind_stands_at_its_own_place() {
    for (place, (name, kind)) in ALL.iter().enumerate() {
        assert_eq!((kind.place(), kind.name()), (place, *name));
    }
}

#[test]
fn a_gust_that_is_edited_leaves_the_others_as_they_were() {
    let drawn = Plan::draw(&Choices::new(4, Edits::default(), Keep::Nothing), THEME);
    let mut striking = drawn.gusts.iter().filter(|gust| gust.strikes);
    let off = striking.next().expect("a plan has gusts that strike").number;
    let other = striking.find(|gust| gust.kind != Kind::DiskFull);
    let other = other.expect("a plan has many gusts").number;
    let passes_by = Edits::default().with("test.gust.strikes", off, 1, 0);
    let another = passes_by.with("test.gust.fault", other, 1, Kind::DiskFull.place() as u64);
    let edited = Plan::draw(&Choices::new(4, another, Keep::Nothing), THEME);
    let changed = |(one, other): &(&Gust, &Gust)| one != other;
    let pairs = drawn.gusts.iter().zip(&edited.gusts);
    let numbers: Vec<u64> = pairs.filter(changed).map(|(gust, _)| gust.number).collect();
    assert_eq!(numbers, [off, other]);
    assert_eq!((drawn.gusts.len(), drawn.kinds), (edited.gusts.len(), edited.kinds));
}

#[test]
fn no_run_is_without_faults_and_each_run_lacks_some() {
    for seed in 1..=50 {
        let plan = Plan::draw(&Choices::new(seed, Edits::default(), Keep::Nothing), THEME);
        assert!((1..ALL.len()).contains(&plan.kinds.len()), "seed {seed}: {:?}", plan.kinds);
    }
}

#[test]
fn the_smallest_choices_are_the_simplest_plan() {
    let mut smallest = Edits::default();
    for site in ["nodes", "waiting", "always", "pause_ms_max", "lasts_ms_max", "gusts_count"] {
        smallest = smallest.with(&format!("test.{site}"), 0, 1, 0);
    }
    for kind in 0..ALL.len() as u64 {
        smallest = smallest.with("test.has", kind, 1, 0);
    }
    let plan = Plan::draw(&Choices::new(4, smallest, Keep::Nothing), THEME);
    assert_eq!((plan.founders_count, plan.nodes_count), (3, 3));
    assert_eq!(plan.kinds, [Kind::Crash]);
    assert_eq!(plan.gusts.len(), 15);
}

/// No node reads its wall clock.
const UNNOTICED: Theme = Theme {
    name: "unnoticed",
    founders: &[("three", 3)],
    waiting_count_max: 0,
    kinds: &[("wall clock jump", Kind::WallJump)],
};

/// Nobody reads a wall clock but for the dates of certificates.
fn without_certificates() -> Edits {
    Edits::default().with("weather.is_protected", 0, 1, 0)
}

#[test]
fn a_storm_that_nobody_notices_has_tested_too_little() {
    let told = catch_unwind(|| {
        run_isolated(|| {
            choices::tell(Choices::new(1, without_certificates(), Keep::Nothing));
            tell(1, UNNOTICED)
        })
    });
    let text = told.expect_err("clocks that nobody reads").downcast::<String>().unwrap();
    assert!(text.starts_with(TOO_LITTLE) && text.contains("wall clock jump 0/"), "{text}");
}

#[test]
fn a_storm_goes_on_until_somebody_notices() {
    const KINDS: &[(&str, Kind)] = &[("wall clock jump", Kind::WallJump), ("crash", Kind::Crash)];
    let jumps = |edits: Edits, gust| edits.with("unnoticed.gust.fault", gust, 1, 0);
    let place = Kind::WallJump.place() as u64;
    let edits = without_certificates().with("unnoticed.has", place, 1, 1);
    let edits = (1..ENCORES_FROM).fold(edits, jumps);
    let Report { coverage, .. } = run_isolated(|| {
        choices::tell(Choices::new(1, edits, Keep::Nothing));
        tell(1, Theme { kinds: KINDS, ..UNNOTICED })
    });
    let (jumps, crashes) = (coverage.of(Kind::WallJump), coverage.of(Kind::Crash));
    assert!(jumps.struck > 10 && jumps.bit == 0, "{coverage:?}");
    assert_eq!((crashes.struck, crashes.bit), (1, 1), "{coverage:?}");
}

#[test]
fn outside_the_core_processes_go_on_to_crash_while_it_serves() {
    const KINDS: &[(&str, Kind)] =
        &[("crash loop", Kind::CrashLoop), ("staggered outage", Kind::StaggeredOutage)];
    const THEME: Theme = Theme {
        name: "loops",
        founders: &[("three", 3), ("five", 5)],
        waiting_count_max: 0,
        kinds: KINDS,
    };
    let happened = |seed| {
        run_isolated(move || {
            let plan = Plan::draw(&Choices::of(seed), THEME);
            let (nodes_count, has_loops) =
                (plan.nodes_count, plan.kinds.contains(&Kind::CrashLoop));
            let mut cluster = Cluster::of(nodes_count as u8).seed(seed);
            let mut storm = Storm::new(&mut cluster, plan);
            storm.run_for_ms(500);
            let happened_count = storm.core_serves();
            cluster.check_invariants();
            (nodes_count, has_loops, happened_count)
        })
    };
    let told: Vec<(usize, bool, u64)> = (1..=8).map(happened).collect();
    // The core was asked three times, with half a second in between: some rounds of each loop.
    let goes_on = |(_, has_loops, count): &(usize, bool, u64)| !has_loops || *count >= 6;
    assert!(told.iter().all(goes_on), "{told:?}");
    assert!(told.iter().any(|(nodes_count, ..)| *nodes_count == 5), "{told:?}");
    assert!(told.iter().any(|(_, has_loops, _)| *has_loops), "{told:?}");
}
