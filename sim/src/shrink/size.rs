//! Which of two runs is smaller, and what a run is made of, in words.
//!
//! First the faults that strike count, then machines, then counts, then what else is not as simple
//! as it could be: the smallest value of a draw is the simplest.
//!
//! Invariants
//! - No scenario is known here, only how sites are named.

use std::collections::BTreeMap;

use super::search::Told;
use crate::choices::Choice;

/// A choice here is 0 exactly if a fault passes by.
const FAULTS: &str = ".strikes";
/// How many nodes there are.
const NODES: [&str; 2] = [".nodes", ".nodes_count"];
/// How many of something else there are: gusts, operations, clients.
const COUNTS: &str = "_count";
/// Made all the time while a run goes on. To force some of them says nothing to a reader.
const STREAMS: &str = "client.";

/// What a choice decides, by the name of its site.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Fault,
    Nodes,
    Count,
    /// When, where, how long, which, how bad.
    Other,
    /// Not part of the plan.
    Stream,
}

pub(super) fn part_of(site: &str) -> Part {
    if site.starts_with(STREAMS) {
        Part::Stream
    } else if site.ends_with(FAULTS) {
        Part::Fault
    } else if NODES.iter().any(|end| site.ends_with(end)) {
        Part::Nodes
    } else if site.ends_with(COUNTS) {
        Part::Count
    } else {
        Part::Other
    }
}

/// How large a run is. The smaller one of two is also the one that compares as smaller.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size {
    /// Faults that strike.
    pub faults_count: u64,
    /// Machines of its world.
    pub machines_count: u64,
    /// All counts of the plan, and how many nodes it chose, each above its smallest.
    pub counts_sum: u64,
    /// Other choices of the plan that are not the smallest that they could be.
    pub odd_choices_count: u64,
    /// How far all of these are from their smallest.
    pub excess_sum: u64,
}

impl Size {
    /// The size of a run by what was recorded of it.
    pub fn of(told: &Told) -> Size {
        let machines_count = told.extent.machines_count;
        let mut size = Size { machines_count, ..Size::default() };
        for choice in told.choices.iter().filter(|choice| choice.value > choice.min) {
            let excess = choice.value - choice.min;
            match part_of(&choice.site) {
                Part::Fault => size.faults_count += 1,
                Part::Nodes | Part::Count => {
                    size.counts_sum = size.counts_sum.saturating_add(excess);
                }
                Part::Other => {
                    size.odd_choices_count += 1;
                    size.excess_sum = size.excess_sum.saturating_add(excess);
                }
                Part::Stream => {}
            }
        }
        size
    }
}

/// A run in one line: `2 of 17 gusts strike (3, 7), 3 nodes, 4210 ms, 5123 events`.
pub(super) fn text_of(told: &Told) -> String {
    let mut faults: BTreeMap<&str, Vec<&Choice>> = BTreeMap::new();
    for choice in told.choices.iter().filter(|choice| part_of(&choice.site) == Part::Fault) {
        faults.entry(&choice.site).or_default().push(choice);
    }
    let mut parts: Vec<String> =
        faults.iter().map(|(site, choices)| strikes(site, choices)).collect();
    let extent = told.extent;
    parts.push(format!("{} nodes", extent.machines_count));
    parts.push(format!("{} ms", extent.simulated_ms));
    parts.push(format!("{} events", extent.events_count));
    parts.join(", ")
}

/// Which of the faults of one site strike; they are named like the word before `.strikes`.
fn strikes(site: &str, choices: &[&Choice]) -> String {
    let before = site.trim_end_matches(FAULTS);
    let name = before.rsplit('.').next().unwrap_or(before);
    let all_count = choices.len();
    // Where one site draws for all of them, its draws are what is counted.
    let number = |choice: &&&Choice| match choices.iter().all(|one| one.k == 1) {
        true => choice.instance.to_string(),
        false => choice.k.to_string(),
    };
    let striking: Vec<String> =
        choices.iter().filter(|choice| choice.value > choice.min).map(|c| number(&c)).collect();
    match striking.len() {
        0 => format!("none of {all_count} {name}s strikes"),
        count => format!("{count} of {all_count} {name}s strike ({})", striking.join(", ")),
    }
}
