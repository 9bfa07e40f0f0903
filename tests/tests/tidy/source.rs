//! The source tree as the rules see it: code without comments and strings, and what is a test.
//!
//! A small reader of Rust's surface, not a parser: it knows comments, literals, braces and the
//! attributes that mark tests. That is enough for the rules, and needs no library.
//!
//! Invariants
//! - `File::code` has the same lines and columns as the text it was made from.
//! - A file that only `#[cfg(test)] mod name;` reaches counts as a test from its first line.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// One file of the repository.
#[derive(Clone, Debug)]
pub struct File {
    /// From the repository's root, with `/`.
    pub path: String,
    pub text: String,
    /// For Rust: the text with comments and the insides of literals blanked. Else empty.
    pub code: String,
    /// String literals, escapes at line ends undone: line from 1, content.
    pub strings: Vec<(usize, String)>,
    /// Lines, from 1, that are compiled for tests only.
    test_lines: BTreeSet<usize>,
}

/// An identifier, a number, or one sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Token<'a> {
    /// From 1.
    pub line: usize,
    pub text: &'a str,
}

/// A function with a body.
#[derive(Debug, PartialEq, Eq)]
pub struct Function<'a> {
    pub name: &'a str,
    /// Of the word `fn`, from 1.
    pub line: usize,
    /// From there to the closing brace.
    pub lines_count: usize,
}

/// All files that the rules read.
#[derive(Debug, Default)]
pub struct Tree {
    pub files: Vec<File>,
}

impl File {
    pub fn new(path: &str, text: &str) -> File {
        let (code, strings) = match path.ends_with(".rs") {
            true => blank(text),
            false => (String::new(), Vec::new()),
        };
        let mut file = File {
            path: path.to_owned(),
            text: text.to_owned(),
            code,
            strings,
            test_lines: BTreeSet::new(),
        };
        file.test_lines = test_lines(&file.tokens());
        if path.starts_with("tests/tests/") {
            file.mark_as_test();
        }
        file
    }

    pub fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }

    pub fn name(&self) -> &str {
        self.path.rsplit('/').next().expect("a path has a last part")
    }

    pub fn is_test(&self, line: usize) -> bool {
        self.test_lines.contains(&line)
    }

    pub fn tokens(&self) -> Vec<Token<'_>> {
        tokens(&self.code)
    }

    /// Every function with a body, nested ones too.
    pub fn functions(&self) -> Vec<Function<'_>> {
        let tokens = self.tokens();
        let mut found = Vec::new();
        for at in 0..tokens.len() {
            let Some(name) = tokens.get(at + 1).filter(|_| tokens[at].text == "fn") else {
                continue;
            };
            if let Some(end) = is_word(name.text).then(|| end_of_item(&tokens, at)).flatten() {
                let line = tokens[at].line;
                let lines_count = tokens[end].line - line + 1;
                found.push(Function { name: name.text, line, lines_count });
            }
        }
        found
    }

    /// Files that this one declares as test modules: each as path without `.rs`.
    fn test_modules(&self) -> Vec<String> {
        let (folder, name) = self.path.rsplit_once('/').unwrap_or(("", &self.path));
        let is_root = ["mod.rs", "lib.rs", "main.rs"].contains(&name);
        let folder = match is_root {
            true => folder.to_owned(),
            false => format!("{folder}/{}", name.trim_end_matches(".rs")),
        };
        let tokens = self.tokens();
        let texts: Vec<&str> = tokens.iter().map(|token| token.text).collect();
        let declares = |at: &usize| {
            self.is_test(tokens[*at].line)
                && texts[*at] == "mod"
                && texts.get(at + 2).is_some_and(|sign| *sign == ";")
        };
        let modules = (0..texts.len()).filter(declares);
        modules.map(|at| format!("{folder}/{}", texts[at + 1])).collect()
    }

    fn mark_as_test(&mut self) {
        self.test_lines = (1..=self.text.lines().count()).collect();
    }
}

impl Tree {
    pub fn new(files: Vec<File>) -> Tree {
        let mut tree = Tree { files };
        let modules: Vec<String> = tree.rust().flat_map(File::test_modules).collect();
        for file in &mut tree.files {
            let is_below = |module: &String| {
                let rest = file.path.strip_prefix(module.as_str());
                rest.is_some_and(|rest| rest == ".rs" || rest.starts_with('/'))
            };
            if modules.iter().any(is_below) {
                file.mark_as_test();
            }
        }
        tree
    }

    /// The repository this test was built from. Build products and hidden folders are left out.
    pub fn of_repository() -> Tree {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests has a parent");
        let mut files = Vec::new();
        let mut folders = vec![PathBuf::from(root)];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(&folder).expect("a folder of the repository").flatten() {
                let path = entry.path();
                let name = entry.file_name().to_string_lossy().into_owned();
                if path.is_dir() && !name.starts_with('.') && name != "target" {
                    folders.push(path);
                } else if [".rs", ".md", ".toml", "/run"]
                    .iter()
                    .any(|end| format!("/{name}").ends_with(end))
                {
                    let text = fs::read_to_string(&path).expect("source is UTF-8");
                    let path = path.strip_prefix(root).expect("it is below the root");
                    files.push(File::new(&path.to_string_lossy(), &text));
                }
            }
        }
        files.sort_by(|a, b| a.path.cmp(&b.path));
        Tree::new(files)
    }

    pub fn rust(&self) -> impl Iterator<Item = &File> {
        self.files.iter().filter(|file| file.is_rust())
    }

    pub fn get(&self, path: &str) -> Option<&File> {
        self.files.iter().find(|file| file.path == path)
    }
}

pub fn is_word(text: &str) -> bool {
    text.starts_with(|first: char| first.is_alphabetic() || first == '_')
}

fn tokens(code: &str) -> Vec<Token<'_>> {
    let is_part = |sign: char| sign.is_alphanumeric() || sign == '_';
    let mut found = Vec::new();
    for (at, line) in code.lines().enumerate() {
        let mut rest = line.trim_start();
        while let Some(first) = rest.chars().next() {
            let size = match is_part(first) {
                true => rest.find(|sign| !is_part(sign)).unwrap_or(rest.len()),
                false => first.len_utf8(),
            };
            found.push(Token { line: at + 1, text: &rest[..size] });
            rest = rest[size..].trim_start();
        }
    }
    found
}

/// The token that ends the item which begins at `start`; nothing if it has no body.
fn end_of_item(tokens: &[Token<'_>], start: usize) -> Option<usize> {
    let mut depth = 0_usize;
    for (at, token) in tokens.iter().enumerate().skip(start) {
        match token.text {
            "(" | "[" | "{" => depth += 1,
            ")" | "]" => depth = depth.checked_sub(1)?,
            "}" if depth <= 1 => return (depth == 1).then_some(at),
            "}" => depth -= 1,
            ";" if depth == 0 => return None,
            _ => {}
        }
    }
    None
}

/// Lines of items under `#[cfg(test)]` (also `all(test, ..)`), `#[test]` and `proptest!`.
fn test_lines(tokens: &[Token<'_>]) -> BTreeSet<usize> {
    let mut lines = BTreeSet::new();
    for at in 0..tokens.len() {
        let begins = |words: &[&str]| {
            words
                .iter()
                .enumerate()
                .all(|(step, word)| tokens.get(at + step).is_some_and(|token| token.text == *word))
        };
        let is_marked = begins(&["#", "[", "cfg", "(", "test"])
            || begins(&["#", "[", "cfg", "(", "all", "(", "test"])
            || begins(&["#", "[", "test", "]"])
            || begins(&["proptest", "!", "{"]);
        if !is_marked {
            continue;
        }
        let closing = |token: &Token<'_>| token.text == "]" || token.text == "!";
        let attribute_end = at + tokens[at..].iter().position(closing).unwrap_or(0) + 1;
        let end = end_of_item(tokens, attribute_end).unwrap_or_else(|| {
            let rest = &tokens[attribute_end..];
            let size = rest.iter().position(|token| token.text == ";").unwrap_or(0);
            attribute_end + size
        });
        let end_line = tokens.get(end).map_or(tokens[at].line, |token| token.line);
        lines.extend(tokens[at].line..=end_line);
    }
    lines
}

/// Text without comments and the insides of literals, and the string literals.
fn blank(text: &str) -> (String, Vec<(usize, String)>) {
    let signs: Vec<char> = text.chars().collect();
    let mut reader = Blanking { signs: &signs, at: 0, line: 1, code: String::new() };
    let mut strings = Vec::new();
    while let Some(sign) = reader.peek(0) {
        let is_inside_word = reader.at > 0
            && (signs[reader.at - 1].is_alphanumeric() || signs[reader.at - 1] == '_');
        match sign {
            '/' if reader.peek(1) == Some('/') => {
                while reader.peek(0).is_some_and(|sign| sign != '\n') {
                    reader.hide();
                }
            }
            '/' if reader.peek(1) == Some('*') => reader.block_comment(),
            '"' => strings.push((reader.line, reader.string())),
            'r' if !is_inside_word || reader.is_after_byte_prefix() => match reader.raw_hashes() {
                Some(hashes) => strings.push((reader.line, reader.raw_string(hashes))),
                None => reader.keep(),
            },
            '\'' => reader.quote(),
            _ => reader.keep(),
        }
    }
    (reader.code, strings)
}

struct Blanking<'a> {
    signs: &'a [char],
    at: usize,
    line: usize,
    code: String,
}

impl Blanking<'_> {
    fn peek(&self, ahead: usize) -> Option<char> {
        self.signs.get(self.at + ahead).copied()
    }

    fn step(&mut self, shown: impl Fn(char) -> char) {
        let sign = self.signs[self.at];
        self.line += usize::from(sign == '\n');
        self.code.push(if sign == '\n' { sign } else { shown(sign) });
        self.at += 1;
    }

    fn keep(&mut self) {
        self.step(|sign| sign);
    }

    fn hide(&mut self) {
        self.step(|_| ' ');
    }

    fn hide_up_to(&mut self, count: usize) {
        (0..count).for_each(|_| {
            if self.at < self.signs.len() {
                self.hide();
            }
        });
    }

    fn block_comment(&mut self) {
        let mut depth = 0;
        loop {
            match (self.peek(0), self.peek(1)) {
                (Some('/'), Some('*')) => depth += 1,
                (Some('*'), Some('/')) => depth -= 1,
                (None, _) => return,
                _ => {
                    self.hide();
                    continue;
                }
            }
            self.hide_up_to(2);
            if depth == 0 {
                return;
            }
        }
    }

    fn string(&mut self) -> String {
        let mut content = String::new();
        self.keep();
        while let Some(sign) = self.peek(0).filter(|sign| *sign != '"') {
            let next = self.peek(1);
            if sign == '\\' && next == Some('\n') {
                self.hide_up_to(2); // a line end that is not part of the string
                while self.peek(0).is_some_and(|sign| sign == ' ') {
                    self.hide();
                }
            } else if sign == '\\' {
                content.extend(next);
                self.hide_up_to(2);
            } else {
                content.push(sign);
                self.hide();
            }
        }
        self.hide_up_to(1);
        content
    }

    fn is_after_byte_prefix(&self) -> bool {
        self.at > 0 && ['b', 'c'].contains(&self.signs[self.at - 1])
    }

    /// How many `#` stand between this `r` and a quote; nothing if this begins no raw string.
    fn raw_hashes(&self) -> Option<usize> {
        let rest = &self.signs[self.at + 1..];
        let hashes = rest.iter().take_while(|sign| **sign == '#').count();
        (rest.get(hashes) == Some(&'"')).then_some(hashes)
    }

    fn raw_string(&mut self, hashes: usize) -> String {
        let mut content = String::new();
        self.hide_up_to(hashes + 2);
        while let Some(sign) = self.peek(0) {
            let is_end = sign == '"' && (1..=hashes).all(|ahead| self.peek(ahead) == Some('#'));
            if is_end {
                self.hide_up_to(hashes + 1);
                break;
            }
            content.push(sign);
            self.hide();
        }
        content
    }

    /// A character literal is blanked, a lifetime stays.
    fn quote(&mut self) {
        if self.peek(1) == Some('\\') {
            self.hide_up_to(3);
            while self.peek(0).is_some_and(|sign| sign != '\'') {
                self.hide();
            }
            self.hide_up_to(1);
        } else if self.peek(2) == Some('\'') {
            self.hide_up_to(3);
        } else {
            self.keep();
        }
    }
}
