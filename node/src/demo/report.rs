//! The demo's result: facts, one per line.

use std::time::Instant;

use quorate_core::history::register::Verdict;
use serde_json::{Map, Value, json};

use crate::command::{self, CommandError};
use crate::exit::Exit;

/// Findings that are printed; more are counted.
const FINDINGS_COUNT_MAX: usize = 20;

/// Facts in the order in which they were found.
#[derive(Debug)]
pub(super) struct Report {
    facts: Vec<Fact>,
    findings: Vec<String>,
    begun: Instant,
}

#[derive(Debug)]
struct Fact {
    /// The name for programs; it ends in its unit.
    name: &'static str,
    /// The name for people.
    label: String,
    value: Value,
}

impl Report {
    pub(super) fn new() -> Report {
        Report { facts: Vec::new(), findings: Vec::new(), begun: Instant::now() }
    }

    /// Tells the person in front of the terminal what happens.
    pub(super) fn tell(&self, text: &str) {
        eprintln!("{:>5.1} s  {text}", self.begun.elapsed().as_secs_f64());
    }

    pub(super) fn fact(&mut self, name: &'static str, label: &str, value: impl Into<Value>) {
        self.facts.push(Fact { name, label: label.to_owned(), value: value.into() });
    }

    /// Something is wrong that no verdict would notice.
    pub(super) fn finding(&mut self, text: String) {
        self.findings.push(text);
    }

    /// Adds the verdicts of all clusters as the last facts.
    pub(super) fn conclude(&mut self, verdicts: &[Verdict]) {
        let sum = |part: fn(&Verdict) -> usize| verdicts.iter().map(part).sum::<usize>();
        self.fact("keys_count", "keys compared", sum(|verdict| verdict.keys_count));
        let sources = sum(|verdict| verdict.sources.len());
        self.fact("sources_count", "at so many nodes and data directories", sources);
        let acknowledged = sum(|verdict| verdict.acknowledged_count);
        self.fact("acknowledged_count", "writes acknowledged", acknowledged);
        self.fact("lost_count", "writes lost", sum(|verdict| verdict.lost_count));
        self.fact(
            "unknown_count",
            "writes of unknown outcome",
            sum(|verdict| verdict.unknown_count),
        );
        let all = verdicts.iter().flat_map(|verdict| verdict.findings.iter().cloned());
        self.findings.extend(all);
        self.fact(
            "duration_ms",
            "duration of the demo, ms",
            self.begun.elapsed().as_millis() as u64,
        );
    }

    pub(super) fn is_good(&self) -> bool {
        self.findings.is_empty()
    }

    pub(super) fn print(&self, json: bool) -> Result<Exit, CommandError> {
        for finding in self.findings.iter().take(FINDINGS_COUNT_MAX) {
            eprintln!("WRONG  {finding}");
        }
        if self.findings.len() > FINDINGS_COUNT_MAX {
            eprintln!("WRONG  and {} more", self.findings.len() - FINDINGS_COUNT_MAX);
        }
        if json {
            command::print_json(&self.json())
        } else {
            command::print(self.table().as_bytes())
        }
    }

    fn json(&self) -> Value {
        let facts: Map<String, Value> =
            self.facts.iter().map(|fact| (fact.name.to_owned(), fact.value.clone())).collect();
        json!({ "version": 1, "good": self.is_good(), "facts": facts, "findings": self.findings })
    }

    fn table(&self) -> String {
        let width = self.facts.iter().map(|fact| fact.label.len()).max().unwrap_or_default();
        let line = |fact: &Fact| {
            let value = match &fact.value {
                Value::String(text) => text.clone(),
                other => other.to_string(),
            };
            format!("{:<width$}  {value}\n", fact.label)
        };
        let lines: String = self.facts.iter().map(line).collect();
        let verdict = if self.is_good() { "nothing was lost" } else { "NOT GOOD, see above" };
        format!("\n{lines}{:<width$}  {verdict}\n", "verdict")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_has_one_fact_per_line_and_the_verdict_last() {
        let mut report = Report::new();
        report.fact("took_over_after_ms", "n2 took over after, ms", 120);
        report.fact("nft", "cut by nft", "skipped: needs root");
        let expected = "\nn2 took over after, ms  120\n\
                        cut by nft              skipped: needs root\n\
                        verdict                 nothing was lost\n";
        assert_eq!(report.table(), expected);
        assert_eq!(report.json()["facts"]["took_over_after_ms"], 120);

        report.finding("n1: a key is missing".to_owned());
        assert!(report.table().ends_with("NOT GOOD, see above\n"));
        assert_eq!(report.json()["good"], false);
    }
}
