//! The house rules, enforced by reading the source tree: rooms, names, sizes, documents.
//!
//! A failure says `file:line: rule: what; what to do`. A reasoned exception is a line of
//! [`EXCEPTIONS`]; one that is needed no longer fails as well.
//!
//! Read next: `tidy/rules.rs` and `tidy/documents.rs` for the rules, `tidy/found.rs` for the proof
//! that each of them finds something.

#[path = "tidy/documents.rs"]
mod documents;
#[path = "tidy/found.rs"]
mod found;
#[path = "tidy/planted.rs"]
mod planted;
#[path = "tidy/rules.rs"]
mod rules;
#[path = "tidy/source.rs"]
mod source;

use rules::{Rule, Violation};
use source::Tree;

/// A file that may break one rule.
struct Exception {
    rule: &'static str,
    path: &'static str,
    /// Why the rule would make this file worse.
    reason: &'static str,
}

const EXCEPTIONS: &[Exception] = &[];

fn all_rules() -> impl Iterator<Item = &'static (&'static str, Rule)> {
    rules::RULES.iter().chain(documents::RULES).chain(planted::RULES)
}

fn excused(violation: &Violation) -> bool {
    EXCEPTIONS.iter().any(|known| known.rule == violation.rule && known.path == violation.path)
}

#[test]
fn the_house_is_tidy() {
    let tree = Tree::of_repository();
    let violations = all_rules().flat_map(|(_, rule)| rule(&tree));
    let lines: Vec<String> =
        violations.filter(|found| !excused(found)).map(|found| found.to_string()).collect();
    assert!(lines.is_empty(), "{} things to mend:\n{}", lines.len(), lines.join("\n"));
}

#[test]
fn every_exception_is_needed_and_has_a_reason() {
    let tree = Tree::of_repository();
    for exception in EXCEPTIONS {
        let (_, rule) = all_rules()
            .find(|(name, _)| *name == exception.rule)
            .unwrap_or_else(|| panic!("there is no rule {:?}", exception.rule));
        let is_needed = rule(&tree).iter().any(|found| found.path == exception.path);
        assert!(is_needed, "{} keeps {:?} by now", exception.path, exception.rule);
        assert!(exception.reason.len() > 20, "{}: say why", exception.path);
    }
}
