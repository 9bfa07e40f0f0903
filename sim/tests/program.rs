//! The program as its users meet it: choice files are written, edited and told again.

use std::path::Path;
use std::process::{Command, Output};

use quorate_sim::choices::{ChoiceFile, Edit};
use quorate_sim::past;

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
    let sites = ["strikes", "pause_ms", "lasts_ms"].map(|name| format!("storm.gust.{name}"));
    // From 101 on are those that strike while too little was tested.
    let gusts = (1..=15).chain(101..=140);
    let mut edits: Vec<Edit> =
        gusts.flat_map(|gust| sites.each_ref().map(|site| edit(gust, site))).collect();
    edits.push(edit(0, "storm.gusts_count"));
    // A storm in which nothing strikes proves nothing.
    let (scenario, seed) = ("storm".to_owned(), 3);
    let (event_hash, failure, choices) = (None, None, Vec::new());
    let file = ChoiceFile { scenario, seed, edits, event_hash, failure, choices };
    file.write(&place.path().join("short")).expect("it can be written");

    let words = ["replay", "short", "--out", "failures"];
    let failed = quorate_sim(place.path(), &[&words[..], &["--no-shrink"]].concat());
    assert_eq!(failed.status.code(), Some(1));
    let said = text(&failed.stderr);
    assert!(said.contains("run storm --seed 3, with 166 edited choices"), "{said}");
    assert!(said.contains("the faults did not bite"), "{said}");
    let line = "choices: cargo run -p quorate-sim -- replay failures/storm-3.choices.json";
    assert!(said.contains(line), "{said}");
    let left = ChoiceFile::read(&place.path().join("failures/storm-3.choices.json"));
    let left = left.expect("the failure has left it");
    assert_eq!((left.edits.len(), left.event_hash), (166, None));
    assert!(left.failure.as_ref().is_some_and(|reason| reason.contains("the faults did not bite")));
    assert!(left.choices.iter().any(|choice| choice.site == "client.node"));
    assert!(!said.contains("smaller: "), "{said}");

    // A smaller one would explain nothing, so it is searched only where that is asked for.
    let failed = quorate_sim(place.path(), &words);
    let said = text(&failed.stderr);
    assert!(said.contains("shrink: too little was tested, so a smaller run"), "{said}");
    assert!(!said.contains("smaller: "), "{said}");
    let words = ["shrink", "short", "--seconds", "10", "--out", "smaller"];
    let shrunk = quorate_sim(place.path(), &words);
    let said = text(&shrunk.stderr);
    assert!(shrunk.status.success(), "{said}");
    assert!(said.contains("shrink: faults after 1 runs"), "{said}");
    assert!(said.contains("\nsmaller: none of 55 gusts strikes, "), "{said}");
    assert!(!said.contains("panicked at"), "the tries are not printed: {said}");
    let line = "choices: cargo run -p quorate-sim -- replay smaller/short.small.choices.json";
    assert!(said.contains(line), "{said}");
    let smallest = place.path().join("smaller/short.small.choices.json");
    let smallest = ChoiceFile::read(&smallest).expect("the search has left it");
    assert!(
        smallest.failure.as_ref().is_some_and(|reason| reason.contains("the faults did not bite"))
    );
    let odd_count = |file: &ChoiceFile| {
        let plan = file.choices.iter().filter(|choice| !choice.site.starts_with("client."));
        plan.filter(|choice| choice.value > choice.min).count()
    };
    assert!(odd_count(&smallest) < odd_count(&left));
}

#[test]
fn a_run_that_ends_well_has_no_smaller_one() {
    let place = tempfile::tempdir().expect("a temporary directory can be made");
    let run = ["run", "growth", "--seed", "2", "--choices", "run.json"];
    assert!(quorate_sim(place.path(), &run).status.success());
    let shrunk = quorate_sim(place.path(), &["shrink", "run.json"]);
    assert_eq!(shrunk.status.code(), Some(1));
    let said = text(&shrunk.stderr);
    assert!(said.contains("the run does not fail as it did: ended well"), "{said}");
}

#[test]
fn a_sweep_begins_at_the_seed_of_the_commit_and_tells_what_it_came_to() {
    let place = tempfile::tempdir().expect("a temporary directory can be made");
    let words = ["sweep", "growth", "--seeds", "2", "--jobs", "2"];
    let refused = quorate_sim(place.path(), &words);
    assert_eq!(refused.status.code(), Some(1));
    assert!(text(&refused.stderr).contains("--from SEED"), "{}", text(&refused.stderr));

    let swept = quorate_sim(place.path(), &[&words[..], &["--from", "0x10"]].concat());
    let said = text(&swept.stdout);
    assert!(swept.status.success(), "{said}{}", text(&swept.stderr));
    assert!(said.contains("then seeds from 0x10\n"), "{said}");
    assert!(said.contains(", 0 failed, "), "{said}");
    assert!(said.contains("\nswept: ok. 1 passed; 0 failed; "), "{said}");

    let git = |words: &[&str]| {
        let who = ["-c", "user.name=n", "-c", "user.email=n@n"];
        let done = Command::new("git").current_dir(place.path()).args(who).args(words).output();
        assert!(done.expect("git is there").status.success(), "{words:?}");
    };
    git(&["init", "-q"]);
    git(&["commit", "-q", "--allow-empty", "-m", "nothing"]);
    let minutes = ["sweep", "growth", "--minutes", "0", "--jobs", "1"];
    let swept = quorate_sim(place.path(), &minutes);
    let said = text(&swept.stdout);
    // The hash of the empty tree is known to everyone.
    assert!(said.contains("then seeds from 0x4b825dc642cb6eb9\n"), "{said}");
    let past = past::all().expect("it can be read");
    let past_count = past.iter().filter(|failure| failure.scenario == "growth").count();
    assert!(said.contains(&format!("growth: {} seeds, 0 failed", past_count + 1)), "{said}");
    let again = "sweep growth --from 0x4b825dc642cb6eb9 --seeds 1";
    let last = said.lines().last().expect("it says something");
    assert_eq!(last, format!("again: cargo run --release -p quorate-sim -- {again}"));
}

/// What was found once is looked for first, each twice, as every sweep does.
#[test]
fn the_failures_of_the_past_end_well() {
    for failure in past::all().expect("the list can be read") {
        let scenario = failure.scenario().expect("it was looked up when the list was read");
        let choices = failure.choices();
        let told = scenario.run_twice_with(&choices);
        told.unwrap_or_else(|text| panic!("{text}\nonce: {}", failure.found));
        assert_eq!(failure.objection(&choices), None);
    }
    assert_eq!(past::parse("# none"), Ok(Vec::new()));
    let entry = "[[failure]]\nscenario = \"calm\"\nseed = 1\nfound = \"a\"\nwhen = \"b\"";
    let error = past::parse(entry).expect_err("nobody tells it");
    assert!(error.contains("there is no scenario calm"), "{error}");
    let known = entry.replace("calm", "storm");
    assert_eq!(past::parse(&known).expect("it is a list").len(), 1);
    past::parse(&known.replace("when", "whence")).expect_err("an unknown field");
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

/// That the table is complete, and not how fast anything is: this build is not optimised.
#[test]
fn the_bench_measures_every_figure_of_both_worlds() {
    let place = tempfile::tempdir().expect("a temporary directory can be made");
    let measured = quorate_sim(place.path(), &["bench", "--quick", "--json"]);
    assert!(measured.status.success(), "{}", text(&measured.stderr));
    let table: serde_json::Value =
        serde_json::from_slice(&measured.stdout).expect("the output is JSON");
    let figures = table["figures"].as_array().expect("a list");
    let names: Vec<&str> = figures.iter().filter_map(|figure| figure["name"].as_str()).collect();
    let worlds = ["", "second world: "].into_iter().flat_map(|world| {
        let nodes = [3, 5, 9].map(|count| format!("{world}{count} nodes, 10 writes/s"));
        nodes.into_iter().chain([format!("{world}50 gossip members")])
    });
    let others = [
        "version order",
        "second opinion (Wing, Gong, Lowe)",
        "seeds of 60 s on 2 threads",
        "seeds of `storm` on 2 threads",
    ];
    for name in worlds.chain(others.map(str::to_owned)) {
        assert!(names.contains(&name.as_str()), "{name} is not among {names:?}");
    }
    for figure in figures {
        let number = |field: &str| figure[field].as_f64().expect("a number");
        let (lowest, median) = (number("lowest"), number("median"));
        assert!(0.0 < lowest && lowest <= median && median <= number("highest"), "{figure}");
        assert!(number("wall_seconds") > 0.0 && number("runs_count") >= 1.0, "{figure}");
        assert!(number("cores_used") >= 0.0 && number("on_whole_cores") >= median, "{figure}");
        assert!(figure["what"].as_str().is_some_and(|what| !what.is_empty()), "{figure}");
    }
    let goals = figures.iter().filter(|figure| figure["goal"].is_number()).count();
    assert_eq!(goals, 4, "5 nodes, 50 members, the version order, seeds per minute");
}
