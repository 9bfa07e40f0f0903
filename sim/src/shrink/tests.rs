//! The search on stories that are pure functions of choices, on a real cluster with a planted
//! failure, and what counts as failing in the same way.

mod planted;

use std::collections::BTreeSet;

use proptest::collection::{btree_set, vec};
use proptest::prelude::*;

use super::*;
use crate::choices::{Choices, Edit, Edits, Extent, Keep};

const FAULTS: [(&str, ()); 3] = [("crash", ()), ("power cut", ()), ("freeze", ())];

/// What a story was told to do.
#[derive(Debug)]
struct Plan {
    nodes_count: u64,
    /// By number: whether it strikes, and its pause.
    gusts: Vec<(u64, bool, u64)>,
}

impl Plan {
    fn draw(choices: &Choices) -> Plan {
        let nodes = [("three", 3), ("five", 5), ("seven", 7)];
        let nodes_count = *choices.chosen("story.nodes", 0).one_of(&nodes);
        let gusts_count = choices.chosen("story.gusts_count", 0).between(2, 20);
        let gust = |number| {
            let site = |name: &str| choices.chosen(&format!("story.gust.{name}"), number);
            let strikes = site("strikes").chance(0.97);
            let (pause_ms, at) = (site("pause_ms").between(20, 799), site("fault"));
            at.one_of(&FAULTS);
            (number, strikes, pause_ms)
        };
        let gusts = (1..=gusts_count).map(gust).collect();
        // Clients choose all the time.
        let client = choices.chosen("client.node", 1);
        (0..200).for_each(|_| assert!(client.between(0, nodes_count) <= nodes_count));
        Plan { nodes_count, gusts }
    }

    fn strikes(&self, number: u64) -> bool {
        self.gusts.iter().any(|(gust, strikes, _)| *gust == number && *strikes)
    }

    fn pause_ms(&self, number: u64) -> u64 {
        self.gusts.iter().find(|(gust, ..)| *gust == number).map_or(0, |(_, _, ms)| *ms)
    }
}

/// Tells a story of which only the plan matters.
struct Stories<F> {
    seed: u64,
    why: F,
    runs_count: usize,
    runs_count_max: usize,
}

impl<F: Fn(&Plan) -> Option<&'static str>> Stories<F> {
    fn of(seed: u64, why: F) -> Stories<F> {
        Stories { seed, why, runs_count: 0, runs_count_max: usize::MAX }
    }

    /// The smallest run, and the value of each of its edits by site and instance.
    fn shrink(&mut self) -> Shrunk {
        shrink(Edits::default(), None, self).expect("the story fails")
    }
}

impl<F: Fn(&Plan) -> Option<&'static str>> Teller for Stories<F> {
    fn tell(&mut self, edits: &Edits) -> Option<Told> {
        if self.runs_count == self.runs_count_max {
            return None;
        }
        self.runs_count += 1;
        let choices = Choices::new(self.seed, edits.clone(), Keep::Chosen);
        let plan = Plan::draw(&choices);
        let pauses_ms: u64 = plan.gusts.iter().map(|(_, _, pause_ms)| pause_ms).sum();
        let events_count = plan.gusts.iter().filter(|(_, strikes, _)| *strikes).count() as u64;
        let machines_count = plan.nodes_count;
        let event_hash = plan.gusts.iter().fold(0, |hash, (gust, strikes, pause_ms)| {
            (hash % 0xffff_ffff * 31 + gust) * 31 + u64::from(*strikes) + pause_ms * 2
        });
        let extent = Extent { machines_count, simulated_ms: pauses_ms, events_count, event_hash };
        let failure = (self.why)(&plan).map(|why| format!("at {pauses_ms} ms: {why}"));
        let (choices, unmet) = (choices.recorded(), choices.unmet_edits());
        Some(Told { failure, choices, unmet, extent })
    }

    fn show(&mut self, _: Stage, _: &Shrunk) {}
}

fn values(told: &Told, site: &str) -> Vec<(u64, u64)> {
    let of_site = told.choices.iter().filter(|choice| choice.site == site);
    of_site.map(|choice| (choice.instance, choice.value)).collect()
}

fn striking(told: &Told) -> Vec<u64> {
    let strikes = values(told, "story.gust.strikes");
    strikes.into_iter().filter(|(_, value)| *value == 1).map(|(gust, _)| gust).collect()
}

#[test]
fn exactly_the_gusts_that_matter_are_left() {
    for seed in 1..=20 {
        let why = |plan: &Plan| (plan.strikes(3) && plan.strikes(7)).then_some("both struck");
        let mut stories = Stories::of(seed, why);
        if stories.tell(&Edits::default()).is_none_or(|told| told.failure.is_none()) {
            continue; // too short a story, or one of the two passes by
        }
        let shrunk = stories.shrink();
        assert!(shrunk.is_finished);
        assert_eq!(striking(&shrunk.told), [3, 7], "seed {seed}: {}", shrunk.text());
        assert_eq!(values(&shrunk.told, "story.nodes"), [(0, 0)]);
        assert_eq!(values(&shrunk.told, "story.gusts_count"), [(0, 7)]);
        assert!(values(&shrunk.told, "story.gust.pause_ms").iter().all(|(_, ms)| *ms == 20));
        let text = shrunk.text();
        assert!(
            text.starts_with("2 of 7 gusts strike (3, 7), 3 nodes, 140 ms, 2 events"),
            "{text}"
        );
        // Nothing that the story does not heed is forced: neither what a gust is, nor clients.
        let forced: BTreeSet<String> =
            shrunk.edits.list().into_iter().map(|edit| edit.site).collect();
        let allowed =
            ["story.gust.pause_ms", "story.gust.strikes", "story.gusts_count", "story.nodes"];
        assert!(forced.iter().all(|site| allowed.contains(&site.as_str())), "{forced:?}");
        assert!(stories.runs_count < 250, "seed {seed} took {} runs", stories.runs_count);
    }
}

#[test]
fn values_are_lowered_to_where_the_failure_begins() {
    let why = |plan: &Plan| {
        let is_late = plan.pause_ms(2) >= 137;
        (plan.nodes_count >= 5 && plan.strikes(2) && is_late).then_some("it was too late")
    };
    let fails = |seed: &u64| {
        let told = Stories::of(*seed, why).tell(&Edits::default());
        told.is_some_and(|told| told.failure.is_some())
    };
    let seeds: Vec<u64> = (1..40).filter(fails).take(5).collect();
    assert_eq!(seeds.len(), 5);
    for seed in seeds {
        let shrunk = Stories::of(seed, why).shrink();
        assert_eq!(striking(&shrunk.told), [2]);
        assert_eq!(shrunk.told.extent.machines_count, 5);
        assert_eq!(values(&shrunk.told, "story.gusts_count"), [(0, 2)]);
        assert_eq!(values(&shrunk.told, "story.gust.pause_ms"), [(1, 20), (2, 137)]);
    }
}

#[test]
fn a_run_that_fails_in_another_way_is_no_smaller_run() {
    // With few faults the clients of this story fail for a reason of its own.
    let why = |plan: &Plan| {
        let striking_count = plan.gusts.iter().filter(|(_, strikes, _)| *strikes).count();
        match (plan.strikes(1), striking_count) {
            (true, 4..) => Some("the first one struck"),
            (_, 0..4) => Some("hardly anything struck"),
            (false, _) => None,
        }
    };
    let shrunk = Stories::of(4, why).shrink();
    assert_eq!(striking(&shrunk.told).len(), 4, "{}", shrunk.text());
    assert!(striking(&shrunk.told).contains(&1));
    let failure = shrunk.told.failure.expect("it fails");
    assert!(failure.ends_with("the first one struck"), "{failure}");
}

#[test]
fn a_run_that_does_not_fail_like_its_file_is_not_searched() {
    let mut stories = Stories::of(4, |_| None);
    let told = shrink(Edits::default(), None, &mut stories).expect_err("it ends well");
    assert_eq!((told.map(|told| told.failure), stories.runs_count), (Some(None), 1));
    let mut stories = Stories::of(4, |_| Some("one thing"));
    let reason = Some("at 7 ms: another thing");
    shrink(Edits::default(), reason, &mut stories).expect_err("it fails otherwise");
    stories.runs_count_max = 1;
    assert!(shrink(Edits::default(), None, &mut stories).expect_err("no run is left").is_none());
}

#[test]
fn a_search_that_is_ended_gives_the_smallest_run_so_far() {
    let why = |plan: &Plan| (plan.strikes(1) && plan.strikes(2)).then_some("both struck");
    let mut counts: Vec<usize> = Vec::new();
    for runs_count_max in [1, 2, 4, 6, 8] {
        let mut stories = Stories::of(4, why);
        stories.runs_count_max = runs_count_max;
        let shrunk = stories.shrink();
        let is_over = stories.runs_count == runs_count_max;
        assert!(is_over != shrunk.is_finished && shrunk.told.failure.is_some());
        let again = Stories::of(4, why).tell(&shrunk.edits).expect("it may be told");
        assert_eq!(again.failure, shrunk.told.failure);
        assert_eq!(again.extent, shrunk.told.extent);
        counts.push(striking(&shrunk.told).len());
        assert!(striking(&shrunk.told).starts_with(&[1, 2]));
    }
    assert!(counts.is_sorted_by(|one, next| one >= next), "{counts:?}");
    assert!(counts.first() > counts.last(), "{counts:?}");
}

#[test]
fn edits_of_the_file_stay_only_if_they_matter() {
    let why = |plan: &Plan| (!plan.strikes(2) && plan.strikes(1)).then_some("the second passed by");
    let plain = Stories::of(4, why).tell(&Edits::default()).expect("it may be told");
    assert_eq!(plain.failure, None, "both strike");
    let edits = Edits::default().with("story.gust.strikes", 2, 1, 0);
    let edits = edits.with("story.gust.fault", 1, 1, 2).with("story.gone", 3, 1, 5);
    let shrunk = shrink(edits, None, &mut Stories::of(4, why)).expect("it fails");
    let forced = shrunk.edits.list();
    let is_there = |site: &str, instance: u64| {
        forced.iter().any(|edit: &Edit| edit.site == site && edit.instance == instance)
    };
    assert!(is_there("story.gust.strikes", 2), "{forced:?}");
    assert!(!is_there("story.gust.fault", 1) && !is_there("story.gone", 3), "{forced:?}");
}

proptest! {
    /// Where every larger list does it as well, exactly the needed elements are left.
    #[test]
    fn ddmin_finds_what_is_needed(count in 0..60u32, needed in btree_set(0..60u32, 0..6)) {
        let items: Vec<u32> = (0..count).collect();
        let needed: Vec<u32> = needed.into_iter().filter(|one| *one < count).collect();
        let mut asked_count = 0;
        let left = ddmin(&items, &mut |part| {
            asked_count += 1;
            needed.iter().all(|one| part.contains(one))
        });
        prop_assert_eq!(left, needed);
        prop_assert!(asked_count <= 60 * 60 + 3 * 60, "{} questions", asked_count);
    }

    /// Whatever is asked, it happens with what is left, and no longer without any one of them.
    #[test]
    fn what_ddmin_leaves_is_minimal(words in vec(any::<u64>(), 0..64), count in 1..12u32) {
        let items: Vec<u32> = (0..count).collect();
        let whole = items.clone();
        let happens = |part: &[u32]| {
            let bits = part.iter().fold(0_usize, |bits, one| bits | 1 << one);
            let word = words.get(bits / 64).copied().unwrap_or(bits as u64);
            part == whole.as_slice() || word >> (bits % 64) & 1 == 1
        };
        let left = ddmin(&items, &mut |part| happens(part));
        prop_assert!(happens(&left));
        for at in 0..left.len() {
            let mut without = left.clone();
            without.remove(at);
            prop_assert!(!happens(&without), "{:?} without {}", left, left[at]);
        }
    }
}

#[test]
fn failures_are_alike_without_numbers_names_tokens_and_times() {
    let alike = [
        (
            "at 1204 ms: n1 with token 1.2 and n3 with token 1.4 may act at once",
            "at 88 ms: n2 with token 2.7 and n5 with token 2.9 may act at once",
        ),
        (
            "at 9 ms: within 500 ms: nobody may act; reached {0: (LogIndex(3), 77)}",
            "at 7 ms: within 900 ms: nobody may act; reached {}",
        ),
        (
            "the clients hardly wrote: Report { event_hash: 12, tokens_count: 2 }",
            "the clients hardly wrote: Report { event_hash: 7, tokens_count: 3 }",
        ),
        (
            "at 1 ms: the write of \"colour\" gave Q1002 (no majority within 5 ms)",
            "at 1 ms: the write of \"si\\\"ze\" gave Q1002 (no majority within 60 ms)",
        ),
        (
            "seed 0x91, 7 ms, machine n2: panic at core/src/a.rs:12:3: it is some",
            "seed 0x7, 88 ms, machine n1: panic at core/src/a.rs:14:9: it is some",
        ),
    ];
    for (one, other) in alike {
        assert_eq!(kind_of(one), kind_of(other));
    }
    let different = [
        ("at 5 ms: nobody may act", "at 5 ms: somebody may still act"),
        ("at 5 ms: Q1002 no majority", "at 5 ms: Q1001 no majority"),
        ("at 5 ms: panic at a.rs:1:2: one", "at 5 ms: panic at a.rs:3:4: another"),
        ("a (one) b", "a (one) c"),
    ];
    for (one, other) in different {
        assert_ne!(kind_of(one), kind_of(other));
    }
    assert_eq!(kind_of("at 5 ms: n1 \"is\" [not, closed\nmore"), "at # ms: # # #");
    assert_eq!(kind_of("panic at core/src/a.rs:12:3: no"), "panic at core/src/a.rs:#:#: no");
    assert_eq!(kind_of(""), "");
}
