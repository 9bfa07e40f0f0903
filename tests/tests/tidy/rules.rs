//! Rules about code: who depends on whom, what a pure module may touch, names, sizes.
//!
//! Every rule is a function of the tree, so that `found.rs` can show it a small one with a fault.
//!
//! Read next: [`RULES`].

use std::collections::BTreeSet;

use crate::source::{File, Token, Tree, is_word};

const FILE_LINES_COUNT_MAX: usize = 500;
const ACTOR_LINES_COUNT_MAX: usize = 200;
/// Of `tests/run`: what it does must be seen at a glance.
const RUN_LINES_COUNT_MAX: usize = 60;
const FUNCTION_LINES_COUNT_MAX: usize = 60;
const LINE_COLUMNS_COUNT_MAX: usize = 100;

/// One thing to mend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The rule that found it, as in [`RULES`].
    pub rule: &'static str,
    pub path: String,
    /// From 1; 1 if the whole file is meant.
    pub line: usize,
    pub what: String,
    /// What to do.
    pub advice: &'static str,
}

impl std::fmt::Display for Violation {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Violation { rule, path, line, what, advice } = self;
        write!(out, "{path}:{line}: {rule}: {what}; {advice}")
    }
}

/// Collects what one rule finds.
pub struct Findings {
    rule: &'static str,
    advice: &'static str,
    pub found: Vec<Violation>,
}

impl Findings {
    pub fn of(rule: &'static str, advice: &'static str) -> Findings {
        Findings { rule, advice, found: Vec::new() }
    }

    pub fn add(&mut self, path: &str, line: usize, what: String) {
        let (rule, advice) = (self.rule, self.advice);
        self.found.push(Violation { rule, path: path.to_owned(), line, what, advice });
    }
}

pub type Rule = fn(&Tree) -> Vec<Violation>;

/// The rules about code, by name.
pub const RULES: &[(&str, Rule)] = &[
    ("dependencies", dependencies),
    ("purity", purity),
    ("header", header),
    ("file size", file_size),
    ("function size", function_size),
    ("line length", line_length),
    ("unwrap", unwrap),
    ("forbidden words", forbidden_words),
    ("one way to make a node", one_way_to_make_a_node),
    ("library rooms", library_rooms),
    ("certain order", certain_order),
    ("one choice stream", one_choice_stream),
];

/// What each crate may stand on. `tests` and `benches` stand on everything.
const MAY_DEPEND_ON: &[(&str, &[&str])] = &[
    ("core", &[]),
    ("net", &["quorate-core"]),
    ("sim", &["quorate-core"]),
    ("node", &["quorate-core", "quorate-net"]),
    ("tests", &["quorate-core", "quorate-net", "quorate-sim", "quorate-node"]),
    // Their daemons are those of the tests' harness.
    ("benches", &["quorate-core", "quorate-net", "quorate-sim", "quorate-node", "quorate-tests"]),
];

fn dependencies(tree: &Tree) -> Vec<Violation> {
    let advice = "move the code to the crate it belongs to (ARCHITECTURE, \"Crates\")";
    let mut findings = Findings::of("dependencies", advice);
    for file in tree.files.iter().filter(|file| file.path.ends_with("/Cargo.toml")) {
        let name = file.path.trim_end_matches("/Cargo.toml");
        let known = MAY_DEPEND_ON.iter().find(|(crate_name, _)| *crate_name == name);
        let Some((_, allowed)) = known else {
            findings.add(&file.path, 1, format!("crate {name} has no place in the order"));
            continue;
        };
        let mut section = "";
        for (at, line) in file.text.lines().enumerate() {
            if line.starts_with('[') {
                section = line;
            }
            let key = line.split(['.', '=', ' ']).next().unwrap_or("");
            let is_entry = section.contains("dependencies") && key.starts_with("quorate-");
            if is_entry && !allowed.contains(&key) {
                findings.add(&file.path, at + 1, format!("{name} depends on {key}"));
            }
        }
    }
    findings.found
}

/// What a pure module never names: clocks, randomness, I/O, threads, `async`, actors, ports.
const IMPURE: &[&str] = &[
    "async",
    "await",
    "actix",
    "tokio",
    "rand",
    "getrandom",
    "SystemTime",
    "Instant",
    "UNIX_EPOCH",
    "thread",
    "fs",
    "io",
    "process",
    "TcpStream",
    "TcpListener",
    "UdpSocket",
    "Env",
    "Clock",
    "Entropy",
    "Disk",
    "Lane",
    "Net",
    "Arc",
    "Rc",
    "Mutex",
    "RefCell",
    "HashMap",
    "HashSet",
    "println",
    "eprintln",
    "tracing",
];

/// Holds for every `state.rs` of `core`, and for every file whose header says that it is pure.
fn purity(tree: &Tree) -> Vec<Violation> {
    let advice = "let it come in as an input, or leave as an effect that the shell performs";
    let mut findings = Findings::of("purity", advice);
    let says_so = |file: &File| {
        let header = file.text.lines().take_while(|line| line.starts_with("//!"));
        header.into_iter().any(|line| line.starts_with("//! Pure"))
    };
    let is_pure = |file: &&File| file.name() == "state.rs" || says_so(file);
    for file in tree.rust().filter(|file| file.path.starts_with("core/src/")).filter(is_pure) {
        for token in file.tokens() {
            if IMPURE.contains(&token.text) && !file.is_test(token.line) {
                findings.add(&file.path, token.line, format!("a pure module names {}", token.text));
            }
        }
    }
    findings.found
}

fn header(tree: &Tree) -> Vec<Violation> {
    let advice = "begin with `//! Name: what it decides`, what it never does, and where to read on";
    let mut findings = Findings::of("header", advice);
    for file in tree.rust().filter(|file| !file.text.starts_with("//! ")) {
        findings.add(&file.path, 1, "the first line is no module header".to_owned());
    }
    findings.found
}

/// Counts code and comments; blank lines are free.
fn file_size(tree: &Tree) -> Vec<Violation> {
    let advice = "part it along a decision that it makes";
    let mut findings = Findings::of("file size", advice);
    for file in tree.files.iter().filter(|file| file.is_rust() || file.path == "tests/run") {
        let limit = match file.name() {
            "actor.rs" => ACTOR_LINES_COUNT_MAX,
            "run" => RUN_LINES_COUNT_MAX,
            _ => FILE_LINES_COUNT_MAX,
        };
        let count = file.text.lines().filter(|line| !line.trim().is_empty()).count();
        if count > limit {
            findings.add(&file.path, 1, format!("{count} lines, at most {limit} are allowed"));
        }
    }
    findings.found
}

fn function_size(tree: &Tree) -> Vec<Violation> {
    let advice = "give its steps names of their own";
    let mut findings = Findings::of("function size", advice);
    for file in tree.rust() {
        for function in file.functions() {
            let (name, count) = (function.name, function.lines_count);
            if count > FUNCTION_LINES_COUNT_MAX {
                let limit = FUNCTION_LINES_COUNT_MAX;
                let what = format!("fn {name} has {count} lines, at most {limit} are allowed");
                findings.add(&file.path, function.line, what);
            }
        }
    }
    findings.found
}

fn line_length(tree: &Tree) -> Vec<Violation> {
    let mut findings = Findings::of("line length", "break the line, or the string with `\\`");
    for file in tree.rust() {
        for (at, line) in file.text.lines().enumerate() {
            let count = line.chars().count();
            if count > LINE_COLUMNS_COUNT_MAX {
                let what = format!("{count} columns, at most {LINE_COLUMNS_COUNT_MAX} are allowed");
                findings.add(&file.path, at + 1, what);
            }
        }
    }
    findings.found
}

fn unwrap(tree: &Tree) -> Vec<Violation> {
    let advice = "say why it holds with `expect(\"...\")`, or return an error";
    let mut findings = Findings::of("unwrap", advice);
    for file in tree.rust() {
        let tokens = file.tokens();
        for pair in tokens.windows(2) {
            let line = pair[1].line;
            if pair[0].text == "." && pair[1].text == "unwrap" && !file.is_test(line) {
                findings.add(&file.path, line, "unwrap outside a test".to_owned());
            }
        }
    }
    findings.found
}

/// The words of GLOSSARY's section "Forbidden words": the first backquoted word of each row.
pub fn forbidden_list(tree: &Tree) -> Vec<&str> {
    let glossary = tree.get("GLOSSARY.md").map_or("", |file| &file.text);
    let section = glossary.split("## Forbidden words").nth(1).unwrap_or("");
    let section = section.split("\n## ").next().unwrap_or("");
    let rows = section.lines().filter_map(|line| line.strip_prefix("| `"));
    rows.filter_map(|row| row.split('`').next()).collect()
}

/// A name is ours unless it is reached through `.` or `::`, or imported: then somebody else chose
/// it, or its declaration is found elsewhere.
fn forbidden_words(tree: &Tree) -> Vec<Violation> {
    let advice = "use the word that GLOSSARY.md gives instead";
    let mut findings = Findings::of("forbidden words", advice);
    let forbidden = forbidden_list(tree);
    for file in tree.rust() {
        let tokens = file.tokens();
        let imported = imported_names(&tokens);
        for (at, token) in tokens.iter().enumerate() {
            let before = at.checked_sub(1).map_or("", |at| tokens[at].text);
            let is_range = at >= 2 && before == "." && tokens[at - 2].text == ".";
            let is_reached = (before == "." && !is_range) || before == ":" && is_path(&tokens, at);
            if !is_word(token.text) || is_reached || imported.contains(token.text) {
                continue;
            }
            let words = words_of(token.text);
            if let Some(word) = words.iter().find(|word| forbidden.contains(&word.as_str())) {
                findings.add(&file.path, token.line, format!("{} says {word}", token.text));
            }
        }
    }
    findings.found
}

/// Whether the word at `at` follows `::`, and not the single colon of a type.
fn is_path(tokens: &[Token<'_>], at: usize) -> bool {
    at >= 2 && tokens[at - 1].text == ":" && tokens[at - 2].text == ":"
}

/// Names that `use` brings in under the name their owner chose (not those after `as`).
fn imported_names<'a>(tokens: &[Token<'a>]) -> BTreeSet<&'a str> {
    let mut names = BTreeSet::new();
    let mut is_import = false;
    for (at, token) in tokens.iter().enumerate() {
        let is_renamed = at > 0 && tokens[at - 1].text == "as";
        match token.text {
            "use" => is_import = true,
            ";" => is_import = false,
            word if is_import && is_word(word) && !is_renamed => {
                names.insert(word);
            }
            _ => {}
        }
    }
    names
}

/// `OplogIndex`, `oplog_index` and `OPLOG_INDEX` alike: `oplog`, `index`. A plural `s` is dropped.
pub fn words_of(name: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut was_lower = false;
    for sign in name.chars() {
        if sign == '_' || (sign.is_uppercase() && was_lower) {
            words.push(String::new());
        }
        was_lower = sign.is_lowercase() || sign.is_numeric();
        if sign != '_' {
            words.last_mut().expect("there is a first word").extend(sign.to_lowercase());
        }
    }
    let singular = |word: String| word.strip_suffix('s').map(str::to_owned).unwrap_or(word);
    words.into_iter().map(singular).collect()
}

/// `sim` and `tests` get whole nodes from `node::start`; they name no part that it wires.
fn one_way_to_make_a_node(tree: &Tree) -> Vec<Violation> {
    let advice = "start a whole node with quorate_core::node::start";
    let mut findings = Findings::of("one way to make a node", advice);
    let core = tree.rust().filter(|file| file.path.starts_with("core/src/"));
    let mut parts: BTreeSet<&str> = core.flat_map(actors_of).collect();
    parts.extend(["Router", "Raft", "Consensus", "axum", "openraft", "foca"]);
    let is_outside = |file: &&File| ["sim/", "tests/"].iter().any(|at| file.path.starts_with(at));
    for file in tree.rust().filter(is_outside) {
        for token in file.tokens().iter().filter(|token| parts.contains(token.text)) {
            findings.add(&file.path, token.line, format!("names {}", token.text));
        }
    }
    findings.found
}

/// The `Name` of each `impl Actor for Name` outside tests.
fn actors_of(file: &File) -> Vec<&str> {
    let tokens = file.tokens();
    let is_actor = |found: &&[Token<'_>]| {
        found[0].text == "Actor" && found[1].text == "for" && !file.is_test(found[0].line)
    };
    tokens.windows(3).filter(is_actor).map(|found| found[2].text).collect()
}

/// Libraries that one place alone may name, so that they can be replaced there.
const ROOMS: &[(&str, &str)] = &[
    ("turmoil", "sim/src/world/"),
    ("openraft", "core/src/replication/consensus/"),
    ("foca", "core/src/membership/gossip.rs"),
];

fn library_rooms(tree: &Tree) -> Vec<Violation> {
    let mut findings = Findings::of("library rooms", "keep it behind types of our own there");
    for file in tree.rust() {
        for token in file.tokens() {
            let foreign = ROOMS.iter().find(|(library, room)| {
                token.text.starts_with(library) && !file.path.starts_with(room)
            });
            if let Some((library, room)) = foreign {
                findings.add(&file.path, token.line, format!("only {room} may name {library}"));
            }
        }
    }
    findings.found
}

/// tokio draws lots, with a number that no seed sets, in these two places: which branch of a
/// `select!` is looked at first, and which reader of its `watch` is woken first.
fn certain_order(tree: &Tree) -> Vec<Violation> {
    let advice = "begin select! with `biased;`, and use crate::watch";
    let mut findings = Findings::of("certain order", advice);
    let runs_simulated =
        |file: &&File| ["core/src/", "sim/src/"].iter().any(|place| file.path.starts_with(place));
    for file in tree.rust().filter(runs_simulated) {
        let tokens = file.tokens();
        let is = |at: usize, text: &str| tokens.get(at).is_some_and(|token| token.text == text);
        for (at, token) in tokens.iter().enumerate().filter(|(_, token)| !file.is_test(token.line))
        {
            let is_select = token.text == "select" && is(at + 1, "!");
            if is_select && !is(at + 3, "biased") {
                findings.add(&file.path, token.line, "select! without biased".to_owned());
            }
            let is_path = token.text == "sync" && is(at + 3, "watch") && is(at + 4, ":");
            if is_path {
                findings.add(&file.path, token.line, "names tokio's watch".to_owned());
            }
            let is_import = token.text == "use" && is(at + 1, "tokio") && is(at + 4, "sync");
            let statement = tokens[at..].iter().take_while(|token| token.text != ";");
            if is_import && statement.into_iter().any(|token| token.text == "watch") {
                findings.add(&file.path, token.line, "names tokio's watch".to_owned());
            }
        }
    }
    findings.found
}

/// Where randomness comes from that is no choice: generators, and collections whose order is drawn.
const LOTS: &[&str] = &[
    "rand",
    "getrandom",
    "fastrand",
    "SmallRng",
    "StdRng",
    "ThreadRng",
    "RandomState",
    "HashMap",
    "HashSet",
];

/// A draw outside of the choice stream has no site: it cannot be edited, and its neighbours hear of
/// it. So is a number that is computed from the seed itself.
fn one_choice_stream(tree: &Tree) -> Vec<Violation> {
    const ROOM: &str = "sim/src/choices/";
    let advice = "draw at a site of its own: Choices::site, Choices::chosen or Cluster::choose";
    let mut findings = Findings::of("one choice stream", advice);
    let is_outside =
        |file: &&File| file.path.starts_with("sim/src/") && !file.path.starts_with(ROOM);
    for file in tree.rust().filter(is_outside) {
        let tokens = file.tokens();
        for (at, token) in tokens.iter().enumerate().filter(|(_, token)| !file.is_test(token.line))
        {
            if LOTS.contains(&token.text) {
                findings.add(&file.path, token.line, format!("names {}", token.text));
            }
            let next = tokens.get(at + 1).map_or("", |next| next.text);
            if token.text == "seed" && ["%", "^"].contains(&next) {
                findings.add(&file.path, token.line, format!("computes with seed {next}"));
            }
        }
    }
    findings.found
}
