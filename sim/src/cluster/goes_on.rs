//! What goes on by itself while a scenario waits for something else.
//!
//! A verb such as "a write is acknowledged" lets time pass until it is. What is listed here happens
//! in that time: a process that crashes again and again does so while others are asked to serve.
//!
//! Invariants
//! - It happens at its millisecond, before the instant is looked at.
//!
//! Read next: [`Cluster::goes_on`].

use std::collections::BTreeMap;

use super::Cluster;

/// Something that happens to a node, if it can.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Happens {
    /// Its process dies.
    Crash,
    /// Its machine loses power.
    PowerCut,
    /// It starts.
    Start,
}

/// What is still to happen, by time; and how much has.
#[derive(Debug, Default)]
pub(super) struct GoesOn {
    due: BTreeMap<u64, Vec<(usize, Happens)>>,
    happened_count: u64,
}

impl Cluster {
    /// This happens to the node with this place at that time, while the scenario waits.
    pub(crate) fn goes_on(&mut self, at_ms: u64, at: usize, happens: Happens) {
        self.goes_on.due.entry(at_ms).or_default().push((at, happens));
    }

    /// Whether something is still to happen.
    pub(crate) fn has_more_to_happen(&self) -> bool {
        !self.goes_on.due.is_empty()
    }

    /// Nothing more happens by itself. Returns how often something did, in all of the run.
    pub(crate) fn nothing_goes_on(&mut self) -> u64 {
        self.goes_on.due.clear();
        self.goes_on.happened_count
    }

    pub(super) fn next_to_happen_ms(&self) -> Option<u64> {
        self.goes_on.due.first_key_value().map(|(at_ms, _)| *at_ms)
    }

    /// What is due happens. A node that is down cannot crash, and one that runs cannot start.
    pub(super) fn let_happen(&mut self, now_ms: u64) {
        while self.next_to_happen_ms().is_some_and(|at_ms| at_ms <= now_ms) {
            let (_, due) = self.goes_on.due.pop_first().expect("it was just seen");
            for (at, happens) in due {
                let name = self.nodes[at].name.clone();
                match (happens, self.is_running(&name)) {
                    (Happens::Crash, true) => self.crash(&[&name]),
                    (Happens::PowerCut, true) => self.cut_power(&[&name]),
                    (Happens::Start, false) => self.restart(&[&name]),
                    (Happens::Crash | Happens::PowerCut, false) | (Happens::Start, true) => {
                        continue;
                    }
                }
                self.goes_on.happened_count += 1;
            }
        }
    }
}
