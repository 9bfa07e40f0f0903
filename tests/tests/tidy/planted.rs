//! Rules about what a tester orders and observes: planted bugs, telling places, and that no daemon
//! has either.
//!
//! Read next: [`RULES`]; `sim/src/bank/bugs.rs` and `core/src/observe/marks.rs` for the lists.

use std::collections::{BTreeMap, BTreeSet};

use crate::documents::promise_lines;
use crate::rules::{Findings, Rule, Violation};
use crate::source::{File, Tree};

/// The rules about planted bugs and marks, by name.
pub const RULES: &[(&str, Rule)] =
    &[("planted bugs", planted_bugs), ("broken promises", broken_promises), ("marks", marks)];

const BANK: &str = "sim/src/bank/bugs.rs";
const MARKS: &str = "core/src/observe/marks.rs";

/// Each string of the file that stands in a call of one of these, with its line.
fn called_with<'a>(file: &'a File, calls: &[&str]) -> Vec<(usize, &'a str)> {
    let lines: Vec<&str> = file.text.lines().collect();
    let is_call = |(line, text): &&(usize, String)| {
        let whole = lines.get(line - 1).copied().unwrap_or("");
        let ends = format!("\"{text}\")");
        calls.iter().any(|call| whole.contains(&format!("{call}("))) && whole.contains(&ends)
    };
    let strings = file.strings.iter().filter(|(line, _)| !file.is_test(*line));
    strings.filter(is_call).map(|(line, text)| (*line, text.as_str())).collect()
}

/// The bugs of the bank: name, line, and the promises that each breaks.
fn bank(tree: &Tree) -> BTreeMap<&str, (usize, BTreeSet<u32>)> {
    let mut bank = BTreeMap::new();
    let mut last = None;
    for (at, line) in tree.get(BANK).map_or("", |file| &file.text).lines().enumerate() {
        let line = line.trim();
        if let Some(name) = line.strip_prefix("name: \"") {
            last = name.split('"').next();
            bank.extend(last.map(|name| (name, (at + 1, BTreeSet::new()))));
        }
        let entry = last.and_then(|name| bank.get_mut(name));
        if let (Some(numbers), Some((_, promises))) = (line.strip_prefix("promises: &["), entry) {
            let numbers = numbers.split(']').next().unwrap_or("").split(',');
            promises.extend(numbers.filter_map(|number| number.trim().parse::<u32>().ok()));
        }
    }
    bank
}

/// A bug of the code is in the bank, and one of the bank in the code, once each.
fn planted_bugs(tree: &Tree) -> Vec<Violation> {
    let advice = "keep one entry in sim/src/bank/bugs.rs for each `planted(\"name\")`";
    let mut findings = Findings::of("planted bugs", advice);
    let bank = bank(tree);
    let mut in_code = BTreeSet::new();
    let is_code = |file: &&File| {
        ["core/src/", "node/src/", "sim/src/"].iter().any(|place| file.path.starts_with(place))
            && !file.path.starts_with("core/src/observe/")
    };
    for file in tree.rust().filter(is_code) {
        for (line, name) in called_with(file, &["planted"]) {
            in_code.insert(name);
            if !bank.contains_key(name) {
                findings.add(&file.path, line, format!("{name} is not in the bank"));
            }
        }
    }
    for (name, (line, _)) in bank.iter().filter(|(name, _)| !in_code.contains(*name)) {
        findings.add(BANK, *line, format!("no code plants {name}"));
    }
    findings.found
}

/// A promise of README names after "Planted:" the bugs that turn it red, as the bank has them: at
/// least one.
fn broken_promises(tree: &Tree) -> Vec<Violation> {
    let advice = "name the bug in both, README and sim/src/bank/bugs.rs, or plant one";
    let mut findings = Findings::of("broken promises", advice);
    let bank = bank(tree);
    let mut numbers = BTreeSet::new();
    for (line, promise) in promise_lines(tree) {
        let Some(number) = promise.split('.').next().and_then(|number| number.parse().ok()) else {
            continue;
        };
        numbers.insert(number);
        let planted = promise.split("Planted:").nth(1).unwrap_or("");
        let named: BTreeSet<&str> = planted.split('`').skip(1).step_by(2).collect();
        let breaks = |(_, (_, promises)): &(_, &(usize, BTreeSet<u32>))| promises.contains(&number);
        let known: BTreeSet<&str> = bank.iter().filter(breaks).map(|(name, _)| *name).collect();
        for name in named.symmetric_difference(&known) {
            let what = format!("{name} breaks promise {number} in one of the two only");
            findings.add("README.md", line, what);
        }
        if named.is_empty() {
            findings.add("README.md", line, format!("no planted bug breaks promise {number}"));
        }
    }
    for (name, (line, promises)) in &bank {
        if promises.is_empty() || !promises.is_subset(&numbers) {
            findings.add(BANK, *line, format!("{name} breaks no promise of README"));
        }
    }
    findings.found
}

/// A telling place has one line in the list and stands in one place of the code.
fn marks(tree: &Tree) -> Vec<Violation> {
    let advice = "keep one line in core/src/observe/marks.rs for each `mark(\"room.fact\")`";
    let mut findings = Findings::of("marks", advice);
    let list = tree.get(MARKS).map_or("", |file| &file.text);
    let listed: BTreeSet<&str> = list
        .lines()
        .filter_map(|line| line.trim().strip_prefix("mark(\"")?.split('"').next())
        .collect();
    let mut in_code: BTreeMap<&str, usize> = BTreeMap::new();
    let is_code =
        |file: &&File| file.path.starts_with("core/src/") && !file.path.contains("/observe/");
    for file in tree.rust().filter(is_code) {
        for (line, name) in called_with(file, &["mark", "mark_if"]) {
            *in_code.entry(name).or_default() += 1;
            if !listed.contains(name) {
                findings.add(&file.path, line, format!("{name} is not in the list of marks"));
            } else if in_code[name] == 2 {
                findings.add(&file.path, line, format!("{name} stands in two places"));
            }
        }
    }
    for name in listed.iter().filter(|name| !in_code.contains_key(*name)) {
        findings.add(MARKS, 1, format!("no code marks {name}"));
    }
    findings.found
}

#[test]
fn a_daemon_that_is_built_alone_has_neither_marks_nor_planted_bugs() {
    let tree = |package: &str| {
        let output = std::process::Command::new(env!("CARGO"))
            .args(["tree", "--offline", "--package", package, "--edges", "features,no-dev"])
            .output()
            .expect("cargo runs, as it runs this test");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let feature = |name: &str| format!("quorate-core feature \"{name}\"");
    let (daemon, simulator) = (tree("quorate-node"), tree("quorate-sim"));
    assert!(daemon.contains(&feature("api")), "features are told like this: {daemon}");
    for name in ["observed", "planted-bugs"] {
        assert!(!daemon.contains(&feature(name)), "the daemon has {name}: {daemon}");
    }
    assert!(simulator.contains(&feature("observed")), "{simulator}");
    assert!(!simulator.contains(&feature("planted-bugs")), "bugs are ordered, never built in");
}
