//! Every rule finds its fault in a small tree, and finds nothing once it is mended.

use crate::all_rules;
use crate::rules::words_of;
use crate::source::{File, Function, Tree};

const GLOSSARY: &str = "## Forbidden words\n\n| word | say |\n| --- | --- |\n| `epoch` | term |\n";

fn tree(files: &[(&str, &str)]) -> Tree {
    Tree::new(files.iter().map(|(path, text)| File::new(path, text)).collect())
}

/// What the rule says, as `path:line`.
fn places(rule: &str, files: &[(&str, &str)]) -> Vec<String> {
    let (_, rule) = all_rules().find(|(name, _)| *name == rule).expect("a rule of that name");
    let found = rule(&tree(files));
    found.iter().map(|found| format!("{}:{}", found.path, found.line)).collect()
}

/// One file is enough for most rules: found at these lines, in this order.
#[track_caller]
fn check(rule: &str, path: &str, text: &str, lines: &[usize]) {
    let expected: Vec<String> = lines.iter().map(|line| format!("{path}:{line}")).collect();
    assert_eq!(places(rule, &[("GLOSSARY.md", GLOSSARY), (path, text)]), expected, "{rule}");
}

#[test]
fn a_rule_has_one_name() {
    let mut names: Vec<&str> = all_rules().map(|(name, _)| *name).collect();
    let count = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), count);
}

#[test]
fn comments_and_literals_are_no_code() {
    let text = "let a = \"fn x\"; // fn y\n/* fn /* z */ */ let b = 'f'; r#\"fn \" w\"# &'a str\n";
    let file = File::new("core/src/a.rs", text);
    assert!(!file.code.contains("fn"), "{}", file.code);
    assert!(file.code.contains("let b =") && file.code.contains("&'a str"), "{}", file.code);
    assert_eq!(file.strings, [(1, "fn x".to_owned()), (2, "fn \" w".to_owned())]);
    let broken = File::new("core/src/a.rs", "\"Q1001 one \\\n    two\"");
    assert_eq!(broken.strings, [(1, "Q1001 one two".to_owned())]);
}

#[test]
fn functions_are_measured_from_fn_to_brace() {
    let text = "impl A {\n  fn a(f: fn(u8)) -> [u8; 3] {\n    { 1 }\n  }\n  fn b();\n}\n";
    let file = File::new("core/src/a.rs", text);
    assert_eq!(file.functions(), [Function { name: "a", line: 2, lines_count: 3 }]);
}

#[test]
fn names_fall_into_words() {
    assert_eq!(words_of("OplogIndex"), ["oplog", "index"]);
    assert_eq!(words_of("EPOCHS_MAX"), ["epoch", "max"]);
    assert_eq!(words_of("splitter"), ["splitter"]);
}

#[test]
fn dependencies_run_one_way() {
    let rule = "dependencies";
    check(rule, "core/Cargo.toml", "[dev-dependencies]\nquorate-sim.workspace = true\n", &[2]);
    check(rule, "sim/Cargo.toml", "[dependencies]\nquorate-net = { path = \"../net\" }\n", &[2]);
    check(rule, "node/Cargo.toml", "[dependencies]\nquorate-net.workspace = true\n", &[]);
    check(rule, "other/Cargo.toml", "[package]\n", &[1]);
}

#[test]
fn pure_modules_are_pure() {
    let text = "//! A.\nuse actix::Addr;\nasync fn f() {}\nfn g(now: Now) -> Instant {}\n";
    check("purity", "core/src/leader/state.rs", text, &[2, 3, 4]);
    check("purity", "core/src/leader/actor.rs", text, &[]);
    check("purity", "core/src/a.rs", "//! A.\n//!\n//! Pure.\nuse std::fs;\n", &[4]);
    check("purity", "core/src/a/state.rs", "//! A.\n// async\n#[cfg(test)]\nuse tokio;\n", &[]);
}

#[test]
fn modules_open_with_a_header() {
    check("header", "net/src/a.rs", "use std::fs;\n", &[1]);
    check("header", "tests/harness/a.rs", "// A.\n", &[1]);
    check("header", "net/src/a.rs", "//! A: decides.\n", &[]);
}

#[test]
fn files_functions_and_lines_end() {
    let lines = |count: usize| "let a = 1;\n".repeat(count);
    check("file size", "core/src/a.rs", &lines(501), &[1]);
    check("file size", "core/src/a.rs", &(lines(500) + "\n\n"), &[]);
    check("file size", "core/src/a/actor.rs", &lines(201), &[1]);
    check("file size", "core/src/a/actor.rs", &lines(200), &[]);
    check("file size", "tests/run", &lines(61), &[1]);
    check("function size", "core/src/a.rs", &format!("\nfn f() {{\n{}}}\n", lines(59)), &[2]);
    check("function size", "core/src/a.rs", &format!("\nfn f() {{\n{}}}\n", lines(58)), &[]);
    check("line length", "core/src/a.rs", &format!("\n//{}\n", "é".repeat(99)), &[2]);
    check("line length", "core/src/a.rs", &format!("\n//{}\n", "é".repeat(98)), &[]);
}

#[test]
fn unwrap_stays_in_tests() {
    let code = "fn f() { a.unwrap() }\n";
    check("unwrap", "core/src/a.rs", code, &[1]);
    check("unwrap", "core/src/a.rs", "fn f() { a.unwrap_or(1) }\n", &[]);
    check("unwrap", "core/src/a.rs", &format!("#[cfg(test)]\nmod tests {{\n{code}}}\n"), &[]);
    check("unwrap", "core/src/a.rs", &format!("#[cfg(test)]\nmod tests;\n{code}"), &[3]);
    check("unwrap", "tests/tests/a.rs", code, &[]);
    check("unwrap", "tests/harness/a.rs", code, &[1]);

    let parent = ("core/src/a/mod.rs", "#[cfg(test)]\nmod shell_tests;\n");
    assert!(places("unwrap", &[parent, ("core/src/a/shell_tests.rs", code)]).is_empty());
    assert!(places("unwrap", &[parent, ("core/src/a/shell_tests/b.rs", code)]).is_empty());
    assert_eq!(places("unwrap", &[parent, ("core/src/a/shell.rs", code)]).len(), 1);
}

#[test]
fn forbidden_words_are_found_where_they_are_declared() {
    let rule = "forbidden words";
    let bad = "struct EpochId {\n  epoch: u64,\n}\nfn next_epoch() {}\nlet (a, epochs) = b;\n";
    check(rule, "core/src/a.rs", bad, &[1, 2, 4, 5]);
    check(rule, "core/src/a.rs", "use a::term as epoch;\n", &[1]);
    check(rule, "core/src/a.rs", "mod epoch;\nfor a in 0..epoch {}\n", &[1, 2]);
    let good = "use a::epoch;\nlet b = epoch(1);\nc.epoch(); c::epoch(); // epoch\n\"epoch\";\n";
    check(rule, "core/src/a.rs", good, &[]);
}

#[test]
fn only_start_makes_a_node() {
    let rule = "one way to make a node";
    let core = ("core/src/a/actor.rs", "impl Actor for LeaderActor {}\n");
    let bad = ("sim/src/a.rs", "let a = LeaderActor::new();\nRouter::new();\nRaft::new();\n");
    assert_eq!(places(rule, &[core, bad]), ["sim/src/a.rs:1", "sim/src/a.rs:2", "sim/src/a.rs:3"]);
    let good = ("sim/src/a.rs", "impl Actor for Ticker {}\nnode::start(env);\n");
    assert!(places(rule, &[core, good]).is_empty());
}

#[test]
fn libraries_stay_in_their_rooms() {
    let rule = "library rooms";
    check(rule, "sim/src/cluster.rs", "use turmoil_net::Host;\n", &[1]);
    check(rule, "sim/src/world/net.rs", "use turmoil_net::Host;\n", &[]);
    check(rule, "core/src/replication/actor.rs", "// openraft\nuse openraft::Raft;\n", &[2]);
    check(rule, "core/src/replication/consensus/a.rs", "use openraft::Raft;\n", &[]);
    check(rule, "core/src/membership/state.rs", "use foca::Foca;\n", &[1]);
}

#[test]
fn tokio_draws_no_lots() {
    let rule = "certain order";
    let code =
        "tokio::select! {\n  biased;\n  a = b => {}\n}\ntokio::select! {\n  a = b => {}\n}\n";
    check(rule, "core/src/a.rs", code, &[5]);
    check(rule, "net/src/a.rs", code, &[]);
    let imports = "use tokio::sync::watch;\nuse tokio::sync::{mpsc, watch};\nuse crate::watch;\n";
    check(rule, "sim/src/a.rs", imports, &[1, 2]);
    check(rule, "core/src/a.rs", "let a = tokio::sync::watch::channel(1);\n", &[1]);
    check(rule, "core/src/a.rs", "use tokio::sync::mpsc;\nuse crate::watch;\n", &[]);
}

#[test]
fn the_simulator_has_one_choice_stream() {
    let rule = "one choice stream";
    let code = "use rand::rngs::SmallRng;\nlet a = 1 + seed % 97;\nlet b = HashMap::new();\n";
    check(rule, "sim/src/scenarios/a.rs", code, &[1, 1, 2, 3]);
    check(rule, "sim/src/choices/a.rs", code, &[]);
    check(rule, "core/src/a.rs", code, &[]);
    check(rule, "sim/src/a.rs", "#[cfg(test)]\nuse rand::Rng;\n", &[]);
    check(rule, "sim/src/a.rs", "let a = Cluster::of(3).seed(seed); // seed % 2\n", &[]);
}

#[test]
fn links_lead_somewhere() {
    let page = "[a](b.md)\n[c](docs/d.md#two-words)\n```\n[no](link.md)\n```\n[e](https://x.y)\n";
    let target = ("docs/d.md", "# D\n\n## Two words\n");
    assert_eq!(places("links", &[("README.md", page), target]), ["README.md:1"]);
    let moved = ("docs/d.md", "# D\n");
    assert_eq!(places("links", &[("README.md", page), moved]), ["README.md:1", "README.md:2"]);
    check("headers lead on", "core/src/a/mod.rs", "//! A: see `b.rs`.\n", &[1]);
    let here = ("core/src/a/b.rs", "");
    assert!(
        places("headers lead on", &[("core/src/a/mod.rs", "//! See `b.rs`.\n"), here]).is_empty()
    );
}

#[test]
fn promises_name_tests_that_exist() {
    let code = ("core/src/a.rs", "#[test]\n#[cfg(unix)]\nfn it_holds() {}\nfn it_helps() {}\n");
    let readme = |line| format!("# R\n\n## Promises\n\n{line}\n\n## More\n");
    let said = |line| places("promises", &[code, ("README.md", &readme(line))]);
    assert_eq!(said("1. It holds. Checked by `it_holds`."), Vec::<String>::new());
    assert_eq!(said("1. It holds. Checked by `it_held`."), ["README.md:5"]);
    assert_eq!(said("1. It holds. Checked by `it_helps`."), ["README.md:5"], "no test");
    assert_eq!(said("1. It holds, `it_holds`."), ["README.md:5"]);
    assert_eq!(said("Nothing."), ["README.md:1"]);
}

#[test]
fn a_code_has_one_meaning_and_one_row() {
    let one = ("core/src/a.rs", "#[error(\"Q1001 no; wait\")]\n");
    let same = ("core/src/b.rs", "#[error(\"Q1001 no; hurry\")]\n");
    let other = ("core/src/b.rs", "\n#[error(\"Q1001 yes; wait\")]\n");
    let twin = ("core/src/b.rs", "\n#[error(\"Q1002 no; wait\")]\n");
    assert!(places("one meaning", &[one, same]).is_empty());
    assert_eq!(places("one meaning", &[one, other]), ["core/src/b.rs:2"]);
    assert_eq!(places("one meaning", &[one, twin]), ["core/src/b.rs:2"]);

    let row = |text| format!("| code | text | meaning |\n| --- | --- | --- |\n{text}\n");
    let said = |text| places("explained codes", &[one, ("docs/errors.md", &row(text))]);
    assert!(said("| Q1001 | `no; wait` | Because. |").is_empty());
    assert_eq!(said("| Q1001 | `yes; wait` | Because. |"), ["core/src/a.rs:1"]);
    assert_eq!(said(""), ["core/src/a.rs:1"]);
    assert_eq!(said("| Q1001 | `no` | Because. |\n| Q1002 | `a` | Why. |"), ["docs/errors.md:4"]);
    assert_eq!(said("| Q1001 | `no` | Because. |\n| Q1001 | `no` | Why. |"), ["docs/errors.md:4"]);
}

#[test]
fn lists_are_complete() {
    assert_eq!(places("glossary", &[("GLOSSARY.md", GLOSSARY)]).len(), 9);
    let config = "pub struct NodeSettings {\n    pub name: String,\n    pub data_dir: PathBuf,\n\
                  \x20   #[serde(skip)]\n    pub inner: u8,\n}\n";
    let page = "| `name` | its name |\n";
    let files = [("core/src/config.rs", config), ("docs/settings.md", page)];
    assert_eq!(places("settings", &files), ["core/src/config.rs:3"]);
    let files = [("core/src/config/node.rs", config), ("docs/settings.md", page)];
    assert_eq!(places("settings", &files), ["core/src/config/node.rs:3"]);
}

#[test]
fn a_planted_bug_is_in_code_and_bank() {
    let bank = |name: &str| format!("[\nBug {{\n    name: \"{name}\",\n    promises: &[1],\n}}]\n");
    let said = |code, bank: &str| {
        places("planted bugs", &[("core/src/a.rs", code), ("sim/src/bank/bugs.rs", bank)])
    };
    let code = "fn a() -> bool {\n    planted(\"a_bug\")\n}\n";
    assert_eq!(said(code, &bank("a_bug")), Vec::<String>::new());
    assert_eq!(said(code, &bank("b_bug")), ["core/src/a.rs:2", "sim/src/bank/bugs.rs:3"]);
}

#[test]
fn a_promise_names_the_bugs_that_break_it() {
    let bank = "[\nBug {\n    name: \"a_bug\",\n    promises: &[1, 2],\n}]\n";
    let said = |lines: &str| {
        let readme = format!("# R\n\n## Promises\n\n{lines}\n\n## More\n");
        places("broken promises", &[("sim/src/bank/bugs.rs", bank), ("README.md", &readme)])
    };
    let one = "1. It holds. Checked by `a`. Planted: `a_bug`.";
    let two = "2. So does it. Checked by `a`. Planted: `a_bug`.";
    assert_eq!(said(&format!("{one}\n{two}")), Vec::<String>::new());
    assert_eq!(said(&format!("{one}\n{two}\n3. No bug. Checked by `a`.")), ["README.md:7"]);
    assert_eq!(said(&format!("{one}\n2. Unsaid. Checked by `a`.")), ["README.md:6", "README.md:6"]);
    assert_eq!(said(one), ["sim/src/bank/bugs.rs:3"], "there is no promise 2");
}

#[test]
fn a_mark_is_listed_and_stands_in_one_place() {
    let list = "const MARKS: [Mark; 1] = [\n    mark(\"a.met\", \"it was\"),\n];\n";
    let said =
        |code| places("marks", &[("core/src/a.rs", code), ("core/src/observe/marks.rs", list)]);
    assert_eq!(said("fn a() {\n    mark(\"a.met\");\n}\n"), Vec::<String>::new());
    assert_eq!(said("fn a() {\n    mark_if(b, \"a.met\");\n}\n"), Vec::<String>::new());
    assert_eq!(said("fn a() {}\n"), ["core/src/observe/marks.rs:1"]);
    let twice = "fn a() {\n    mark(\"a.met\");\n    mark(\"a.met\");\n    mark(\"a.new\");\n}\n";
    assert_eq!(said(twice), ["core/src/a.rs:3", "core/src/a.rs:4"]);
}
