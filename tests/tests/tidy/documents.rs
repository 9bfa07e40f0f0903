//! Rules about documents: links lead somewhere, promises have tests, every code is explained once.
//!
//! Read next: [`RULES`].

use std::collections::{BTreeMap, BTreeSet};

use crate::rules::{Findings, Rule, Violation, forbidden_list};
use crate::source::{File, Tree};

/// The rules about documents, by name.
pub const RULES: &[(&str, Rule)] = &[
    ("links", links),
    ("headers lead on", headers_lead_on),
    ("promises", promises),
    ("one meaning", one_meaning),
    ("explained codes", explained_codes),
    ("glossary", glossary),
    ("settings", settings),
];

fn documents(tree: &Tree) -> impl Iterator<Item = &File> {
    tree.files.iter().filter(|file| file.path.ends_with(".md"))
}

/// Targets of `[text](target)` outside code blocks, each with its line.
fn link_targets(text: &str) -> Vec<(usize, &str)> {
    let mut targets = Vec::new();
    let mut is_code = false;
    for (at, line) in text.lines().enumerate() {
        is_code ^= line.trim_start().starts_with("```");
        if is_code {
            continue;
        }
        for rest in line.split("](").skip(1) {
            targets.extend(rest.split(')').next().map(|target| (at + 1, target)));
        }
    }
    targets
}

/// Headings as links name them: lower case, spaces as `-`, other signs left out.
fn anchors(text: &str) -> BTreeSet<String> {
    let anchor = |title: &str| {
        let lower = title.trim().to_lowercase();
        let kept = lower.chars().filter(|sign| sign.is_alphanumeric() || " -_".contains(*sign));
        kept.collect::<String>().replace(' ', "-")
    };
    let headings = text.lines().filter(|line| line.starts_with('#'));
    headings.map(|line| anchor(line.trim_start_matches('#'))).collect()
}

/// `path` seen from the folder of `from`, without `..`.
fn resolve(from: &str, path: &str) -> String {
    let mut parts: Vec<&str> = from.split('/').collect();
    parts.pop();
    for part in path.split('/') {
        match part {
            ".." => drop(parts.pop()),
            "." | "" => {}
            part => parts.push(part),
        }
    }
    parts.join("/")
}

fn links(tree: &Tree) -> Vec<Violation> {
    let mut findings = Findings::of("links", "name a file and heading that exist");
    for file in documents(tree) {
        for (line, target) in link_targets(&file.text) {
            if target.contains("://") {
                continue;
            }
            let (path, anchor) = target.split_once('#').unwrap_or((target, ""));
            let path = if path.is_empty() { file.path.clone() } else { resolve(&file.path, path) };
            let is_folder = |other: &File| other.path.starts_with(&format!("{path}/"));
            let Some(found) = tree.get(&path) else {
                if !tree.files.iter().any(is_folder) && !exists(&path) {
                    findings.add(&file.path, line, format!("{target} leads nowhere"));
                }
                continue;
            };
            if !anchor.is_empty() && !anchors(&found.text).contains(anchor) {
                findings.add(&file.path, line, format!("{path} has no heading #{anchor}"));
            }
        }
    }
    findings.found
}

/// Files that the tree does not hold, such as `tests/run`, are looked up on the disk.
fn exists(path: &str) -> bool {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    !path.is_empty() && root.join(path).exists()
}

/// A `.rs` file that a module header names in backquotes exists: beside it, below it, or from the
/// root of its crate or of the repository.
fn headers_lead_on(tree: &Tree) -> Vec<Violation> {
    let mut findings = Findings::of("headers lead on", "name the file where it is today");
    for file in tree.rust() {
        let header = file.text.lines().take_while(|line| line.starts_with("//!"));
        for (at, line) in header.enumerate() {
            let quoted = line.split('`').skip(1).step_by(2);
            for name in quoted.filter(|name| name.ends_with(".rs") && !name.contains(' ')) {
                let crate_folder = file.path.split('/').next().unwrap_or("");
                let below = file.path.trim_end_matches(".rs");
                let places = [
                    resolve(&file.path, name),
                    format!("{below}/{name}"),
                    resolve(&resolve(&file.path, "mod.rs").replace("/mod.rs", ""), name),
                    format!("{crate_folder}/src/{name}"),
                    name.to_owned(),
                ];
                if !places.iter().any(|place| tree.get(place).is_some()) {
                    findings.add(&file.path, at + 1, format!("there is no {name}"));
                }
            }
        }
    }
    findings.found
}

/// The numbered lines of README's section on promises, each with its line number.
pub fn promise_lines(tree: &Tree) -> Vec<(usize, &str)> {
    let Some(readme) = tree.get("README.md") else { return Vec::new() };
    let section = readme.text.split("\n## Promises\n").nth(1).unwrap_or("");
    let section = section.split("\n## ").next().unwrap_or("");
    let before = readme.text.find("\n## Promises\n").map_or("", |at| &readme.text[..at]);
    let first_line = before.lines().count() + 2;
    section
        .lines()
        .enumerate()
        .filter(|(_, line)| line.starts_with(|first: char| first.is_ascii_digit()))
        .map(|(at, line)| (first_line + at + 1, line))
        .collect()
}

/// The names of functions below `#[test]`, with or without other attributes between.
fn tests_of(text: &str) -> Vec<&str> {
    let (mut is_test, mut names) = (false, Vec::new());
    for line in text.lines().map(str::trim) {
        if line.starts_with("#[") {
            is_test |= line == "#[test]";
            continue;
        }
        let name = line.strip_prefix("fn ").and_then(|rest| rest.split(['(', '<']).next());
        names.extend(name.filter(|_| is_test));
        is_test = false;
    }
    names
}

/// Each numbered promise of README names its tests in backquotes after "Checked by".
fn promises(tree: &Tree) -> Vec<Violation> {
    let advice = "name a test or property that exists, or promise less";
    let mut findings = Findings::of("promises", advice);
    if tree.get("README.md").is_none() {
        return findings.found;
    }
    let names: BTreeSet<&str> = tree.rust().flat_map(|file| tests_of(&file.text)).collect();
    let items = promise_lines(tree);
    if items.is_empty() {
        findings.add("README.md", 1, "the section Promises has no numbered line".to_owned());
    }
    for (line, item) in items {
        let checked_by = item.split("Checked by").nth(1).unwrap_or("");
        let checked_by = checked_by.split("Planted:").next().unwrap_or("");
        let tests: Vec<&str> = checked_by.split('`').skip(1).step_by(2).collect();
        if tests.is_empty() {
            findings.add("README.md", line, "a promise without `Checked by`".to_owned());
        }
        for test in tests.into_iter().filter(|test| !names.contains(test)) {
            findings.add("README.md", line, format!("there is no test {test}"));
        }
    }
    findings.found
}

/// Every text with a code, outside tests: code, the rest, where.
fn coded_texts(tree: &Tree) -> Vec<(&str, &str, &str, usize)> {
    let mut texts = Vec::new();
    for file in tree.rust().filter(|file| file.path.contains("/src/")) {
        for (line, text) in file.strings.iter().filter(|(line, _)| !file.is_test(*line)) {
            let is_coded = text.len() > 6
                && text.starts_with('Q')
                && text[1..].chars().take(4).all(|digit| digit.is_ascii_digit())
                && text[1..].chars().nth(4) == Some(' ');
            if is_coded {
                texts.push((&text[..5], &text[6..], file.path.as_str(), *line));
            }
        }
    }
    texts
}

/// What happened: the text up to its first `;`.
fn first_part(text: &str) -> &str {
    text.split(';').next().unwrap_or(text)
}

fn one_meaning(tree: &Tree) -> Vec<Violation> {
    let advice = "take the next free number of its group (core/src/error.rs)";
    let mut findings = Findings::of("one meaning", advice);
    let mut first: BTreeMap<&str, &str> = BTreeMap::new();
    for (code, text, path, line) in coded_texts(tree) {
        let known = *first.entry(code).or_insert(text);
        if first_part(known) != first_part(text) {
            let what = format!("{code} means {:?} elsewhere", first_part(known));
            findings.add(path, line, what);
        }
    }
    let mut owners: BTreeMap<&str, &str> = BTreeMap::new();
    for (code, text, path, line) in coded_texts(tree) {
        let owner = *owners.entry(text).or_insert(code);
        if owner != code {
            findings.add(path, line, format!("{code} has the text of {owner}"));
        }
    }
    findings.found
}

/// Rows `| Q1001 | text | meaning |` of docs/errors.md against the code, both ways.
fn explained_codes(tree: &Tree) -> Vec<Violation> {
    const PATH: &str = "docs/errors.md";
    let advice = "keep one row per code in docs/errors.md, with the text as in the code";
    let mut findings = Findings::of("explained codes", advice);
    let page = tree.get(PATH).map_or("", |file| &file.text);
    let mut rows: BTreeMap<&str, (usize, &str)> = BTreeMap::new();
    for (at, line) in page.lines().enumerate().filter(|(_, line)| line.starts_with("| Q")) {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        if cells.len() != 5 || cells[3].is_empty() {
            findings.add(PATH, at + 1, "a row has code, text and meaning".to_owned());
            continue;
        }
        if rows.insert(cells[1], (at + 1, cells[2])).is_some() {
            findings.add(PATH, at + 1, format!("{} has two rows", cells[1]));
        }
    }
    let texts = coded_texts(tree);
    for (code, text, path, line) in &texts {
        let Some((_, row)) = rows.get(code) else {
            findings.add(path, *line, format!("{code} is not explained"));
            continue;
        };
        if !row.trim_matches('`').starts_with(first_part(text)) {
            findings.add(path, *line, format!("{code} has another text than its row"));
        }
    }
    let used: BTreeSet<&str> = texts.iter().map(|(code, ..)| *code).collect();
    for (code, (line, _)) in rows.iter().filter(|(code, _)| !used.contains(*code)) {
        findings.add(PATH, *line, format!("no code of ours says {code}"));
    }
    findings.found
}

/// The list that the rule "forbidden words" reads has the words it was founded with.
fn glossary(tree: &Tree) -> Vec<Violation> {
    const WORDS: [&str; 10] = [
        "master",
        "slave",
        "oplog",
        "epoch",
        "ballot",
        "watermark",
        "split",
        "netsplit",
        "takeover",
        "failback",
    ];
    let advice = "keep the table of the section \"Forbidden words\"";
    let mut findings = Findings::of("glossary", advice);
    let listed = forbidden_list(tree);
    for word in WORDS.iter().filter(|word| !listed.contains(word)) {
        findings.add("GLOSSARY.md", 1, format!("{word} is missing"));
    }
    findings.found
}

/// Every public field that a settings file can set has its row `| name |` in docs/settings.md.
fn settings(tree: &Tree) -> Vec<Violation> {
    let mut findings = Findings::of("settings", "keep one row per setting in docs/settings.md");
    let page = tree.get("docs/settings.md").map_or("", |file| &file.text);
    let is_config = |file: &&File| {
        ["core/src/config.rs", "core/src/config/"].iter().any(|room| file.path.starts_with(room))
    };
    for config in tree.rust().filter(is_config) {
        for (line, name) in fields_of_settings(config) {
            if !page.contains(&format!("| `{name}` |")) {
                findings.add(&config.path, line, format!("{name} is not in docs/settings.md"));
            }
        }
    }
    findings.found
}

/// The fields that a settings file can set, with their lines.
fn fields_of_settings(config: &File) -> Vec<(usize, &str)> {
    let (mut fields, mut is_settings, mut is_skipped) = (Vec::new(), false, false);
    for (at, line) in config.code.lines().enumerate() {
        if line.starts_with("pub struct ") {
            is_settings = line.contains("Settings {") && !line.contains("struct Settings {");
        } else if line.starts_with('}') {
            is_settings = false;
        }
        if let Some(field) = line.strip_prefix("    pub ").filter(|_| is_settings && !is_skipped) {
            fields.push((at + 1, field.split(':').next().unwrap_or(field)));
        }
        is_skipped = line.contains("#[serde(skip)]");
    }
    fields
}
