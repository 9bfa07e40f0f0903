//! Compare-and-set: each swap that was done followed the value it expected, so no update is lost.
//!
//! Values are given once, so the swaps of one register form a chain: by log index, each expects
//! what the one before has set, except where swaps of unknown outcome lead from one to the other.
//!
//! Source: Herlihy & Wing 1990, section 2, for the sequential meaning of a compare-and-set.

use std::collections::BTreeMap;

use quorate_core::ids::LogIndex;

/// Swaps of all registers.
#[derive(Clone, Debug, Default)]
pub struct Swaps(BTreeMap<String, OfOne>);

/// Swaps of one register.
#[derive(Clone, Debug, Default)]
struct OfOne {
    /// Acknowledged: what it expected and what it set, by the index of its entry.
    done: BTreeMap<LogIndex, (String, String)>,
    /// Of unknown outcome: what it expected, by what it would have set.
    unknown: BTreeMap<String, String>,
}

impl Swaps {
    /// A swap was acknowledged.
    pub fn done(&mut self, name: &str, index: LogIndex, expected: &str, value: &str) {
        let swap = (expected.to_owned(), value.to_owned());
        self.0.entry(name.to_owned()).or_default().done.insert(index, swap);
    }

    /// Nobody knows what became of a swap.
    pub fn unknown(&mut self, name: &str, expected: &str, value: &str) {
        let of_one = self.0.entry(name.to_owned()).or_default();
        of_one.unknown.insert(value.to_owned(), expected.to_owned());
    }

    /// How many were acknowledged.
    pub fn done_count(&self) -> usize {
        self.0.values().map(|of_one| of_one.done.len()).sum()
    }

    /// What is wrong, one line each; a register begins with `nothing`.
    pub fn findings(&self, nothing: &str) -> Vec<String> {
        let of = |(name, of_one): (&String, &OfOne)| of_one.finding(name, nothing);
        self.0.iter().filter_map(of).collect()
    }
}

impl OfOne {
    fn finding(&self, name: &str, nothing: &str) -> Option<String> {
        let mut held = nothing;
        for (index, (expected, value)) in &self.done {
            if !self.leads(held, expected) {
                return Some(format!(
                    "{name} was swapped from {expected} to {value} at {index:?}, and held {held}"
                ));
            }
            held = value;
        }
        None
    }

    /// Whether swaps of unknown outcome may have led from one value to the other.
    fn leads(&self, from: &str, to: &str) -> bool {
        let mut at = to;
        // Each step uses another swap: their values are given once.
        for _ in 0..=self.unknown.len() {
            if at == from {
                return true;
            }
            match self.unknown.get(at) {
                Some(expected) => at = expected,
                None => return false,
            }
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn swaps_form_a_chain_with_unknown_links() {
        let found = |done: &[(u64, &str, &str)], unknown: &[(&str, &str)]| {
            let mut swaps = Swaps::default();
            for (index, expected, value) in done {
                swaps.done("r", LogIndex(*index), expected, value);
            }
            unknown.iter().for_each(|(expected, value)| swaps.unknown("r", expected, value));
            swaps.findings("-").join("; ")
        };
        assert_eq!(found(&[(1, "-", "a"), (4, "a", "b")], &[]), "");
        assert_eq!(found(&[(1, "-", "a"), (4, "y", "b")], &[("a", "x"), ("x", "y")]), "");
        let lost = "r was swapped from a to c at LogIndex(5), and held b";
        assert_eq!(found(&[(1, "-", "a"), (4, "a", "b"), (5, "a", "c")], &[]), lost);
        let gap = "r was swapped from y to b at LogIndex(4), and held a";
        assert_eq!(found(&[(1, "-", "a"), (4, "y", "b")], &[("x", "y")]), gap);
        assert_eq!(found(&[(1, "-", "a"), (4, "y", "b")], &[("y", "y")]), gap, "no circle");
    }
}
