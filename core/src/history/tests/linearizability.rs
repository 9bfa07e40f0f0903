//! The classical histories, each with what the version order and the search say to it.

use super::op;
use crate::history::Operation;
use crate::history::contradiction::Law;
use crate::history::version_order::VersionOrder;
use crate::history::wing_gong::{self, Limits, Opinion};

/// What a history is called, its lines, and the law that its first contradiction breaks.
type Case = (&'static str, &'static [&'static str], Option<Law>);

const RIGHT: Option<Law> = None;
const NEWEST: Option<Law> = Some(Law::NewestWrite);

fn judged(lines: &[&str]) -> (Option<Law>, Opinion) {
    let history: Vec<Operation> = lines.iter().map(|line| op(line)).collect();
    let order = VersionOrder::of(&history);
    order.contradictions.iter().for_each(|one| assert!(!one.text(&history).is_empty()));
    let opinion = wing_gong::judge(&history, Limits::default()).opinion();
    (order.contradictions.first().map(|one| one.law), opinion)
}

/// Cases about which both say the same: with times and values alone they are right or wrong.
const CASES: &[Case] = &[
    ("nothing was asked", &[], RIGHT),
    ("one after the other", &["put a=1 @1 1-2", "get a=1 @1 3-4", "put a=2 @2 5-6"], RIGHT),
    ("nothing is there before the first write", &["get a @0 1-2", "put a=1 @1 3-4"], RIGHT),
    ("nothing is there after it", &["put a=1 @1 1-2", "get a @1 3-4"], NEWEST),
    ("a stale read", &["put a=1 @1 1-2", "put a=2 @2 3-4", "get a=1 @2 5-6"], NEWEST),
    (
        "a stale read that admits its index",
        &["put a=1 @1 1-2", "put a=2 @2 3-4", "get a=1 @1 5-6"],
        Some(Law::RealTime),
    ),
    (
        "a lost update",
        &["put a=1 @1 1-2", "put a=2 @2 3-4", "get a=2 @2 5-6", "get a=1 @3 7-8"],
        NEWEST,
    ),
    ("what nobody wrote", &["put a=1 @1 1-2", "get a=9 @1 3-4"], Some(Law::SomebodyWrote)),
    ("what was refused", &["put a=1 no 1-2", "get a=1 @1 3-4"], Some(Law::RefusedNever)),
    ("what comes later", &["get a=1 @2 1-2", "put a=1 @3 3-4"], Some(Law::NotFromLater)),
    ("what begins later", &["get a=1 @2 1-2", "put a=1 ? 3-4"], Some(Law::NotFromLater)),
    ("an unknown write that never comes", &["put a=1 ? 1-2", "get a @3 3-4"], RIGHT),
    (
        "an unknown write that comes late",
        &["put a=1 @1 1-2", "put a=2 ? 3-4", "get a=1 @2 5-6", "get a=2 @4 7-8"],
        RIGHT,
    ),
    (
        "an unknown write, and then the old value",
        &["put a=1 @1 1-2", "put a=2 ? 3-4", "get a=2 @3 5-6", "get a=1 @4 7-8"],
        NEWEST,
    ),
    (
        "an unknown write that takes effect twice",
        &["put a=1 ? 1-2", "get a=1 @2 3-4", "put a=2 @3 5-6", "get a=1 @5 7-8"],
        Some(Law::UnknownOnce),
    ),
    (
        "two unknown writes of one value",
        &["put a=1 ? 1-2", "put a=1 ? 1-2", "get a=1 @2 3-4", "put a=2 @3 5-6", "get a=1 @5 7-8"],
        RIGHT,
    ),
    ("a delete", &["put a=1 @1 1-2", "delete a @2 3-4", "get a @2 5-6"], RIGHT),
    ("a delete without effect", &["put a=1 @1 1-2", "delete a @2 3-4", "get a=1 @2 5-6"], NEWEST),
    ("a delete by itself", &["put a=1 @1 1-2", "delete a no 3-4", "get a @2 5-6"], NEWEST),
    (
        "an unknown delete, once",
        &["put a=1 @1 1-2", "delete a ? 1-2", "get a @4 3-4", "put a=2 @5 5-6", "get a=2 @5 7-8"],
        RIGHT,
    ),
    (
        "an unknown delete, twice",
        &["put a=1 @1 1-2", "delete a ? 1-2", "get a @4 3-4", "put a=2 @5 5-6", "get a @7 7-8"],
        Some(Law::UnknownOnce),
    ),
    (
        "writes at once, the first wins",
        &["put a=1 @2 1-9", "put a=2 @1 1-9", "get a=1 @2 10-11", "get a=1 @2 12-13"],
        RIGHT,
    ),
    (
        "writes at once, the second wins",
        &["put a=1 @1 1-9", "put a=2 @2 1-9", "get a=2 @2 10-11", "get a=2 @2 12-13"],
        RIGHT,
    ),
    (
        "writes at once, and each wins",
        &["put a=1 @1 1-9", "put a=2 @2 1-9", "get a=2 @2 10-11", "get a=1 @2 12-13"],
        NEWEST,
    ),
    ("a read at once with its write", &["put a=1 @1 1-9", "get a=1 @1 1-9"], RIGHT),
    ("a read that ends when its write begins", &["get a=1 @1 1-2", "put a=1 @1 2-3"], RIGHT),
    (
        "during a write the old value, then the new one",
        &["put a=1 @1 1-2", "put a=2 @2 3-9", "get a=1 @1 4-5", "get a=2 @2 6-7"],
        RIGHT,
    ),
    (
        "during a write the new value, then the old one",
        &["put a=1 @1 1-2", "put a=2 @2 3-9", "get a=2 @2 4-5", "get a=1 @2 6-7"],
        NEWEST,
    ),
    ("a read without an answer", &["put a=1 @1 1-2", "get a=9 ? 3-4", "get a=9 no 3-4"], RIGHT),
    ("keys apart", &["put a=1 @1 1-2", "put b=2 @2 3-4", "get a=1 @2 5-6"], RIGHT),
];

#[test]
fn classical_histories_are_judged_the_same_by_both() {
    for (name, lines, law) in CASES {
        let opinion = if law.is_some() { Opinion::Contradiction } else { Opinion::Linearizable };
        assert_eq!(judged(lines), (*law, opinion), "{name}");
    }
}

/// What only the version order can see, because times and values alone have an order.
#[test]
fn indexes_that_lie_are_seen_by_the_version_order_alone() {
    let cases: &[Case] = &[
        (
            "two writes, one entry",
            &["put a=1 @1 1-9", "put b=1 @1 1-9"],
            Some(Law::OneWritePerEntry),
        ),
        ("one key after the other", &["put a=1 @2 1-2", "put b=1 @1 3-4"], Some(Law::RealTime)),
        (
            "a write that a read had passed",
            &["get a @3 1-2", "put a=1 @3 3-4"],
            Some(Law::RealTime),
        ),
        ("a write without an index", &["put a=1 ok 1-2"], Some(Law::WriteHasIndex)),
        ("times that go back", &["put a=1 @1 2-1"], Some(Law::TimesInOrder)),
        (
            "writes at once in the other order",
            &["put a=1 @2 1-9", "put a=2 @1 1-9", "get a=2 @2 10-11"],
            NEWEST,
        ),
        (
            "an unknown write without an entry left",
            &["put a=1 @1 1-2", "put a=2 ? 3-4", "put b=1 @2 3-4", "get a=2 @2 5-6"],
            Some(Law::UnknownOnce),
        ),
        (
            "two unknown writes with one entry left",
            &["put a=1 ? 1-2", "put b=1 ? 1-2", "get a=1 @1 3-4", "get b=1 @1 3-4"],
            Some(Law::UnknownOnce),
        ),
    ];
    for (name, lines, law) in cases {
        assert_eq!(judged(lines), (*law, Opinion::Linearizable), "{name}");
    }
}

/// What only the search can see: a read that names no index.
#[test]
fn a_read_without_an_index_is_counted_and_judged_by_the_search() {
    let lines = ["put a=1 @1 1-2", "put a=2 @2 3-4", "get a=1 ok 5-6"];
    assert_eq!(judged(&lines), (None, Opinion::Contradiction));
    let history: Vec<Operation> = lines.iter().map(|line| op(line)).collect();
    let VersionOrder { reads_count, reads_without_index_count, .. } = VersionOrder::of(&history);
    assert_eq!((reads_count, reads_without_index_count), (0, 1));
}

#[test]
fn a_contradiction_of_the_search_names_the_answer_and_what_stood_against_it() {
    let lines = ["put a=1 @1 1-2", "put a=2 @2 3-4", "get b @2 3-4", "get a=1 @2 5-6"];
    let history: Vec<Operation> = lines.iter().map(|line| op(line)).collect();
    let found = wing_gong::judge(&history, Limits::default());
    let [contradiction] = &found.contradictions[..] else { panic!("{found:?}") };
    assert_eq!(
        (contradiction.law, &contradiction.operations[..]),
        (Law::SomeOrder, &[3, 0, 1][..])
    );
    let text = contradiction.text(&history);
    assert!(
        text.starts_with("history: \"a\": no order of the operations explains the answer: line 4")
    );
}

/// Deletes that overlap leave choices open, so a bound of few steps is exceeded. The rest, after a
/// moment of rest, is judged all the same.
#[test]
fn a_window_that_is_given_up_is_counted_and_hides_nothing_after_it() {
    let hard = [
        "put a=0 @1 1-2",
        "delete a @2 3-20",
        "delete a @3 4-20",
        "delete a @4 5-20",
        "put a=1 @5 6-20",
        "put a=2 @6 7-20",
    ];
    let limits = Limits { steps_count_max: 6, operations_count_max: 100 };
    let judged = |more: &[&str], limits| {
        let lines = [&hard[..], more].concat();
        let history: Vec<Operation> = lines.iter().map(|line| op(line)).collect();
        wing_gong::judge(&history, limits)
    };
    let judged_wholly = judged(&["get a=1 @6 21-22"], Limits::default());
    assert_eq!(judged_wholly.opinion(), Opinion::Linearizable);
    let given_up = judged(&[], limits);
    assert_eq!(given_up.opinion(), Opinion::Unknown);
    assert!((1..=6).contains(&given_up.unknown_count), "{given_up:?}");
    assert!(given_up.unknown_share() > 0.0);

    // Both may be there, so neither is a contradiction; the one and then the other is.
    for value in [1, 2] {
        let reads = [format!("get a={value} @6 23-24"), format!("get a={value} @6 25-26")];
        let opinion = judged(&[&reads[0], &reads[1]], limits).opinion();
        assert_eq!(opinion, Opinion::Unknown, "{value}");
    }
    let mixed = judged(&["get a=1 @6 23-24", "get a=2 @6 25-26"], limits);
    assert_eq!(mixed.opinion(), Opinion::Contradiction);
    let stale = judged(&["put a=5 @7 23-24", "get a=1 @7 25-26"], limits);
    assert_eq!(stale.opinion(), Opinion::Contradiction);
}
