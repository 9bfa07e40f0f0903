//! The program as its users meet it: choice files are written, edited and told again.

use std::path::Path;
use std::process::{Command, Output};

use quorate_sim::choices::{ChoiceFile, Edit};

fn quorate_sim(dir: &Path, words: &[&str]) -> Output {
    let mut program = Command::new(env!("CARGO_BIN_EXE_quorate-sim"));
    program.current_dir(dir).args(words).output().expect("the program is built with this test")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn a_run_is_kept_replayed_and_edited() {
    let place = tempfile::tempdir().expect("a temporary directory can be made");
    let path = place.path().join("run.json");
    let ran = quorate_sim(
        place.path(),
        &["run", "half_partition", "--seed", "2", "--choices", "run.json"],
    );
    assert!(ran.status.success(), "{}", text(&ran.stderr));
    assert!(text(&ran.stderr).contains("replay run.json"), "{}", text(&ran.stderr));

    let replayed = quorate_sim(place.path(), &["replay", "run.json"]);
    assert!(replayed.status.success(), "{}", text(&replayed.stderr));
    assert!(text(&replayed.stdout).contains("the same event hash as in the file"));
    assert!(text(&replayed.stdout).ends_with(&text(&ran.stdout)));

    let mut file = ChoiceFile::read(&path).expect("the run has left it");
    let begins = file.choices.iter().find(|choice| choice.site == "half_partition.begins_ms");
    let begins = begins.expect("the scenario chooses its moment");
    let value = if begins.value == begins.max { begins.min } else { begins.max };
    let (site, instance, k) = (begins.site.clone(), begins.instance, begins.k);
    file.edits.push(Edit { site: site.clone(), instance, k, value });
    file.edits.push(Edit { site, instance, k: 2, value });
    file.write(&path).expect("it can be written");
    let edited = quorate_sim(place.path(), &["replay", "run.json"]);
    assert!(text(&edited.stdout).contains("another event hash as in the file"));
    assert!(text(&edited.stderr).contains("this edit met no choice"), "{}", text(&edited.stderr));
}

#[test]
fn a_failure_leaves_a_choice_file_and_says_where() {
    let place = tempfile::tempdir().expect("a temporary directory can be made");
    let edit = |gust, site: &str| Edit { site: site.to_owned(), instance: gust, k: 1, value: 0 };
    let gust = |gust| [edit(gust, "storm.gust.strikes"), edit(gust, "storm.gust.pause_ms")];
    let mut edits: Vec<Edit> = (1..=10).flat_map(gust).collect();
    edits.push(edit(0, "storm.gusts_count"));
    // So short a storm leaves its clients no time to write.
    let (scenario, seed) = ("storm".to_owned(), 3);
    let (event_hash, failure, choices) = (None, None, Vec::new());
    let file = ChoiceFile { scenario, seed, edits, event_hash, failure, choices };
    file.write(&place.path().join("short")).expect("it can be written");

    let failed = quorate_sim(place.path(), &["replay", "short", "--out", "failures"]);
    assert_eq!(failed.status.code(), Some(1));
    let said = text(&failed.stderr);
    assert!(said.contains("run storm --seed 3, with 21 edited choices"), "{said}");
    assert!(said.contains("the clients hardly wrote"), "{said}");
    let line = "choices: cargo run -p quorate-sim -- replay failures/storm-3.choices.json";
    assert!(said.contains(line), "{said}");
    let left = ChoiceFile::read(&place.path().join("failures/storm-3.choices.json"));
    let left = left.expect("the failure has left it");
    assert_eq!((left.edits.len(), left.event_hash), (21, None));
    assert!(left.failure.is_some_and(|reason| reason.contains("the clients hardly wrote")));
    assert!(left.choices.iter().any(|choice| choice.site == "client.node"));
}

#[test]
fn what_is_no_choice_file_is_told_and_what_is_no_command_too() {
    let place = tempfile::tempdir().expect("a temporary directory can be made");
    std::fs::write(place.path().join("a"), "{}").expect("it can be written");
    let refused = quorate_sim(place.path(), &["replay", "a"]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(text(&refused.stderr).contains("a is no choice file: missing field"));
    let twice = ["run", "storm", "--seed", "1", "--seed", "2"];
    for words in [&twice[..], &["run", "storm"], &["sweep", "calm", "--seeds", "1"]] {
        let refused = quorate_sim(place.path(), words);
        assert_eq!(refused.status.code(), Some(2), "{words:?}");
        assert!(text(&refused.stderr).contains("--help"), "{words:?}: {refused:?}");
    }
    let refused = quorate_sim(place.path(), &["run", "calm", "--seed", "1"]);
    assert!(text(&refused.stderr).contains("there are leader_crash, "), "{refused:?}");
}

#[test]
fn a_run_is_drawn_as_one_page_and_stays_the_same_run() {
    let place = tempfile::tempdir().expect("a temporary directory can be made");
    let run = ["run", "leader_crash", "--seed", "3"];
    let plain = quorate_sim(place.path(), &[&run[..], &["--choices", "run.json"]].concat());
    let drawn = quorate_sim(place.path(), &[&run[..], &["--html", "run.html"]].concat());
    assert!(plain.status.success() && drawn.status.success(), "{}", text(&drawn.stderr));
    assert_eq!(text(&plain.stdout), text(&drawn.stdout), "the same event hash");
    let traced = quorate_sim(place.path(), &["trace", "run.json", "--html", "traced.html"]);
    assert!(traced.status.success(), "{}", text(&traced.stderr));

    let page = std::fs::read_to_string(place.path().join("run.html")).expect("it was written");
    let traced = std::fs::read_to_string(place.path().join("traced.html"));
    assert_eq!(page, traced.expect("it was written"));
    assert!(!page.contains("http"), "the page needs nothing but itself");
    let data = page.split_once("const run = ").and_then(|(_, rest)| rest.split_once(";\n"));
    let (data, _) = data.expect("the data is one line");
    let data: serde_json::Value = serde_json::from_str(data).expect("it is JSON");
    assert_eq!(data["nodes"], serde_json::json!(["n1", "n2", "n3"]));
    let fares = |name: &str| {
        let stretches = data["stretches"].as_array().expect("a list");
        stretches.iter().filter(|one| one["fares"] == name).count()
    };
    assert!(fares("down") >= 1, "the crashed leader");
    assert!(fares("leader") >= 2, "the old leader and its heir");
    let count = |name: &str| data[name].as_array().map_or(0, Vec::len);
    assert!(count("messages") > 100 && count("operations") > 3, "{}", page.len());
    let marks = data["marks"].as_array().expect("a list");
    assert!(marks.iter().any(|mark| mark[2].as_str().is_some_and(|text| text.contains("crash"))));
}
