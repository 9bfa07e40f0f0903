//! Lines come back as they were, and each way to lie turns the verdict red.

mod linearizability;
mod properties;

use super::register::{Shown, Source, Verdict, judge};
use super::*;

#[test]
fn the_hash_has_the_published_test_vectors() {
    assert_eq!(ValueHash::of(b"").to_string(), "cbf29ce484222325");
    assert_eq!(ValueHash::of(b"a").to_string(), "af63dc4c8601ec8c");
    assert_eq!(ValueHash::of(b"foobar").to_string(), "85944171f73967e8");
}

#[test]
fn lines_come_back_in_order_and_look_like_this() {
    let written = [op("put a\nb=1 @3 1-2"), op("delete c ? 4-5")];
    let text: String = written.iter().map(Operation::to_line).collect();
    assert_eq!(parse_lines(&text).unwrap(), written);
    let first = concat!(
        r#"{"op":"put","key":"a\nb","value_hash":"af63ac4c86019afc","start_ns":1,"end_ns":2,"#,
        r#""outcome":"acknowledged","log_index":3,"node":"n1"}"#,
    );
    assert_eq!(text.lines().next(), Some(first));
}

#[test]
fn a_half_written_end_is_left_out_and_a_broken_line_is_an_error() {
    let good = op("put a=1 @3 1-2").to_line();
    assert_eq!(parse_lines(&format!("{good}{}", &good[..20])).unwrap().len(), 1);
    let error = parse_lines(&format!("{good}{}\n{good}", &good[..20])).unwrap_err();
    assert_eq!(error.line, 2);
    assert!(parse_lines("").unwrap().is_empty());
}

/// `put KEY=VALUE WHAT START-END`, `delete KEY WHAT START-END`, or `get` with what was seen, a
/// value or none; WHAT is `@index`, `?`, `no`, or `ok` for an answer without an index.
fn op(text: &str) -> Operation {
    let mut words = text.rsplitn(3, ' ');
    let mut word = || words.next().expect("an operation has four words");
    let (times, what, asked) = (word(), word(), word());
    let (kind, asked) = asked.split_once(' ').expect("it begins with its kind");
    let (key, value) = asked.split_once('=').map_or((asked, None), |(key, v)| (key, Some(v)));
    let (start, end) = times.split_once('-').expect("it ends with its times");
    let log_index = what.strip_prefix('@').map(|index| index.parse().unwrap());
    Operation {
        op: match kind {
            "put" => OperationKind::Put,
            "get" => OperationKind::Get,
            _ => OperationKind::Delete,
        },
        key: key.to_owned(),
        value_hash: value.map(|value| ValueHash::of(value.as_bytes())),
        start_ns: start.parse().unwrap(),
        end_ns: end.parse().unwrap(),
        outcome: match what {
            "?" => Outcome::Unknown,
            "no" => Outcome::Refused,
            _ => Outcome::Acknowledged,
        },
        log_index,
        node: "n1".to_owned(),
    }
}

/// What a source shows: `key=value@index`, by spaces.
fn source(name: &str, pairs: &str) -> Source {
    let shown = |text: &str| {
        let (key, rest) = text.split_once('=').expect("key=value@index");
        let (value, index) = rest.split_once('@').expect("key=value@index");
        let value_hash = ValueHash::of(value.as_bytes());
        (key.to_owned(), Shown { value_hash, modify_index: index.parse().unwrap() })
    };
    Source { name: name.to_owned(), contents: pairs.split_whitespace().map(shown).collect() }
}

fn verdict(history: &[&str], shown: &[&str]) -> Verdict {
    let history: Vec<Operation> = history.iter().map(|text| op(text)).collect();
    let sources: Vec<Source> =
        (1..).zip(shown).map(|(node, pairs)| source(&format!("n{node}"), pairs)).collect();
    judge(&history, &sources)
}

/// One key written twice, another once.
const LEDGER: [&str; 3] = ["put a=old @1 1-2", "put b=only @2 3-4", "put a=last @4 5-6"];
const WHOLE: &str = "a=last@4 b=only@2";

#[test]
fn sources_that_show_every_last_acknowledged_value_are_good() {
    let verdict = verdict(&LEDGER, &[WHOLE, WHOLE]);
    assert_eq!(verdict.findings, Vec::<String>::new());
    assert_eq!((verdict.acknowledged_count, verdict.lost_count), (3, 0));
    assert_eq!((verdict.keys_count, verdict.sources.len()), (2, 2));
}

#[test]
fn without_a_source_nothing_is_proven() {
    assert!(!verdict(&LEDGER, &[]).is_good());
}

/// What the first source shows, what the second shows, how many keys are lost, and what is said.
#[test]
fn each_fault_of_a_store_is_red_and_names_the_key() {
    let (old, last) = (ValueHash::of(b"old"), ValueHash::of(b"last"));
    let only = ValueHash::of(b"only");
    let table: &[(&str, &str, usize, String)] = &[
        (WHOLE, "a=last@4", 1, format!("n2: \"b\" acknowledged at 2 is {only}, shows nothing")),
        ("a=old@1 b=only@2", WHOLE, 1, format!("n1: \"a\" acknowledged at 4 is {last}, shows")),
        // An old value under the last index, and the last value under an old one.
        (
            WHOLE,
            "a=old@4 b=only@2",
            1,
            format!("n2: \"a\" acknowledged at 4 is {last}, shows {old}"),
        ),
        (WHOLE, "a=last@1 b=only@2", 1, format!("n2: \"a\" acknowledged at 4 is {last}, shows")),
        // Applied again, by both alike.
        ("a=last@7 b=only@2", "a=last@7 b=only@2", 1, "n1: \"a\" acknowledged at 4".to_owned()),
        (WHOLE, "a=last@4 b=only@2 z=x@9", 0, "n2: \"z\" was never written".to_owned()),
        (WHOLE, "a=x@9 b=only@2", 1, "n2: \"a\" acknowledged at 4".to_owned()),
        ("", "", 2, "n1: \"a\" acknowledged at 4".to_owned()),
    ];
    for (one, other, lost_count, said) in table {
        let verdict = verdict(&LEDGER, &[one, other]);
        assert_eq!(verdict.lost_count, *lost_count, "{one} | {other}: {verdict:?}");
        assert!(verdict.findings[0].starts_with(said), "{one} | {other}: {verdict:?}");
    }
}

#[test]
fn one_ledger_line_too_many_is_red_whatever_it_says() {
    let too_many = [
        "put c=x @5 7-8", // a write that nobody made
        "put a=x @5 7-8",
        "put a=old @5 7-8",
        "put a=last @4 5-6", // a line twice
        "put b=only @2 3-4",
        "put a=x @2 3-4", // an entry that is another key's
        "put a=x @3 7-8", // one that had passed when the write began
        "delete b @5 7-8",
    ];
    for line in too_many {
        let ledger = [&LEDGER[..], &[line]].concat();
        assert!(!verdict(&ledger, &[WHOLE]).is_good(), "{line}");
    }
}

/// The ledger goes on with these lines; then these contents are good, and those are not.
#[test]
fn an_unknown_write_stands_only_where_its_place_in_the_order_allows_it() {
    let table: &[(&[&str], &[&str], &[&str])] = &[
        // After the last acknowledged write: there or not, and no third value.
        (
            &["put a=new ? 7-8"],
            &[WHOLE, "a=new@5 b=only@2"],
            &["a=new@4 b=only@2", "a=new@1 b=only@2", "a=old@1 b=only@2", "a=x@5 b=only@2"],
        ),
        // It began before the last acknowledged write and ended unknown: either order is possible,
        // but what stands has the greater index.
        (
            &["put a=new ? 5-9"],
            &[WHOLE, "a=new@5 b=only@2"],
            &["a=new@3 b=only@2", "a=new@4 b=only@2"],
        ),
        // It is never explained by an index that was acknowledged before it began.
        (
            &["put c=new ? 7-8"],
            &[WHOLE, "a=last@4 b=only@2 c=new@5"],
            &["a=last@4 b=only@2 c=new@4", "a=last@4 b=only@2 c=new@3"],
        ),
        // Of another key it explains nothing.
        (&["put c=new ? 7-8"], &[], &["a=last@4 b=new@5"]),
        // An acknowledged write supersedes it for ever.
        (
            &["put a=new ? 7-8", "put a=newest @6 9-10"],
            &["a=newest@6 b=only@2"],
            &["a=new@5 b=only@2", "a=last@4 b=only@2"],
        ),
        // But not one that came before it.
        (
            &["put a=new ? 7-8", "put a=newest @6 9-10", "put a=late ? 9-9"],
            &["a=newest@6 b=only@2", "a=new@7 b=only@2", "a=late@8 b=only@2"],
            &["a=late@5 b=only@2"],
        ),
        // A delete leaves no index.
        (&["delete b ? 7-8"], &[WHOLE, "a=last@4"], &["b=only@2"]),
        (&["delete b @5 7-8"], &["a=last@4"], &[WHOLE]),
        (&["delete b @5 7-8", "put b=again ? 9-9"], &["a=last@4", "a=last@4 b=again@6"], &[WHOLE]),
        // A refused write stands nowhere.
        (&["put a=new no 7-8"], &[WHOLE], &["a=new@5 b=only@2"]),
        (&["put c=new no 7-8"], &[WHOLE], &["a=last@4 b=only@2 c=new@5"]),
    ];
    for (lines, good, bad) in table {
        let ledger = [&LEDGER[..], lines].concat();
        for shown in *good {
            let verdict = verdict(&ledger, &[shown, shown]);
            assert!(verdict.is_good(), "{lines:?} {shown}: {verdict:?}");
        }
        for shown in *bad {
            assert!(!verdict(&ledger, &[shown]).is_good(), "{lines:?} {shown}");
        }
    }
}

#[test]
fn sources_that_are_good_alone_and_differ_are_red() {
    let ledger = [&LEDGER[..], &["put a=new ? 7-8", "put c=new ? 9-9"]].concat();
    let table = [
        [WHOLE, "a=new@5 b=only@2"],
        ["a=new@5 b=only@2", "a=new@6 b=only@2"], // the same value, at another index
        [WHOLE, "a=last@4 b=only@2 c=new@5"],
    ];
    for shown in table {
        let alone = shown.map(|one| verdict(&ledger, &[one]).is_good());
        assert_eq!(alone, [true, true], "{shown:?}");
        let verdict = verdict(&ledger, &shown);
        assert_eq!((verdict.is_good(), verdict.lost_count), (false, 0), "{shown:?}");
        assert!(verdict.findings[0].contains(": n1 shows "), "{verdict:?}");
    }
}

#[test]
fn what_a_read_has_seen_stands_until_something_replaces_it() {
    let seen = ["put a=1 @1 1-2", "put a=2 ? 3-4", "get a=2 @5 5-6"];
    assert!(verdict(&seen, &["a=2@3"]).is_good());
    assert_eq!(verdict(&seen, &["a=2@3"]).reads_count, 1);
    for shown in ["a=1@1", "", "a=2@6"] {
        assert!(!verdict(&seen, &[shown]).is_good(), "{shown}");
    }
    let late = [&seen[..], &["put a=3 ? 1-2", "delete a ? 1-2"]].concat();
    for (shown, is_good) in [("a=2@2", true), ("a=3@6", true), ("a=3@4", false), ("", true)] {
        assert_eq!(verdict(&late, &[shown]).is_good(), is_good, "{shown}");
    }
    let empty = ["put a=1 ? 1-2", "get a @4 5-6"];
    for (shown, is_good) in [("", true), ("a=1@5", true), ("a=1@4", false)] {
        assert_eq!(verdict(&empty, &[shown]).is_good(), is_good, "{shown}");
    }
}

#[test]
fn a_stale_read_is_red_whatever_the_sources_show() {
    let history = ["put a=1 @1 1-2", "put a=2 @2 3-4", "get a=1 @2 5-6"];
    let verdict = verdict(&history, &["a=2@2"]);
    let (one, two) = (ValueHash::of(b"1"), ValueHash::of(b"2"));
    let text = format!(
        "history: \"a\": a read shows what was no longer, or not yet, the newest write: \
         line 3, read \"a\" of {one} at index 2 by n1 from 5 to 6 ns; \
         against line 1, put \"a\" of {one} at index 1 by n1 from 1 to 2 ns; \
         against line 2, put \"a\" of {two} at index 2 by n1 from 3 to 4 ns"
    );
    assert_eq!(verdict.findings, [text]);
}

#[test]
fn writers_of_one_key_at_once_may_be_ordered_either_way() {
    // Both under way at once: the later line may have the smaller index.
    let ledger = ["put a=one @6 1-9", "put a=two @5 2-8"];
    assert!(verdict(&ledger, &["a=one@6"]).is_good());
    assert!(!verdict(&ledger, &["a=two@5"]).is_good());
    // One after the other they may not.
    assert!(!verdict(&["put a=one @6 1-2", "put a=two @5 3-4"], &["a=one@6"]).is_good());
}
