//! The ordinary verbs, in the second world.

use bytes::Bytes;
use quorate_core::history::register::Source;
use quorate_core::replication::Consistency;

use super::super::objects::put;
use super::super::verbs::{ATTEMPT_MS, Acked, PAUSE_MS};
use super::{SecondCluster, Stage};
use crate::checkers::Asked;
use crate::cluster::Objects;

impl SecondCluster {
    /// Lets this much simulated time pass.
    pub fn run_for_ms(&mut self, ms: u64) {
        self.drive(ms, |_| false);
    }

    /// One client writes, one request after the other, with a pause after each, for this long.
    /// Returns how many writes were acknowledged.
    pub fn write_for_ms(&mut self, ms: u64, pause_ms: u64) -> u64 {
        let end_ms = self.world.now_ms() + ms;
        let mut written_count = 0;
        while self.world.now_ms() < end_ms {
            let name = format!("w{:06}", written_count % 1_000);
            let left_ms = end_ms - self.world.now_ms();
            if self.try_write(&name, &format!("v{written_count}"), left_ms).is_none() {
                return written_count;
            }
            written_count += 1;
            let left_ms = end_ms.saturating_sub(self.world.now_ms());
            self.run_for_ms(pause_ms.min(left_ms));
        }
        written_count
    }

    /// Writes by as many attempts as it takes, under one request id.
    fn try_write(&mut self, name: &str, value: &str, ms: u64) -> Option<Acked> {
        let start_ms = self.world.now_ms();
        let (end_ms, id) = (start_ms + ms, self.request_id());
        let command = put(name, value);
        while self.world.now_ms() < end_ms {
            let left_ms = end_ms - self.world.now_ms();
            if let Some(at) = self.any_up() {
                let command = command.clone();
                let answer = self.ask(at, left_ms.min(ATTEMPT_MS), |node| async move {
                    node.propose(command, id).await
                });
                if let Some(Ok(proposed)) = answer {
                    let (end_ms, node) = (self.world.now_ms(), self.nodes[at].name.as_str());
                    let asked = Asked { name, value, start_ms, end_ms, node };
                    self.ledger.acknowledged(&asked, proposed.index.0);
                    return Some(Acked { value: value.to_owned() });
                }
            }
            self.run_for_ms(PAUSE_MS);
        }
        let asked = Asked { name, value, start_ms, end_ms: self.world.now_ms(), node: "?" };
        self.ledger.unknown(&asked);
        None
    }

    /// A linearizable read, by as many attempts as it takes.
    fn try_read(&mut self, name: &str, ms: u64) -> Option<String> {
        let end_ms = self.world.now_ms() + ms;
        while self.world.now_ms() < end_ms {
            let start_ms = self.world.now_ms();
            if let Some(at) = self.any_up() {
                let query = Bytes::from(name.to_owned());
                let answer = self.ask(at, ATTEMPT_MS, |node| async move {
                    node.read(query, Consistency::Linearizable).await
                });
                if let Some(Ok(answer)) = answer {
                    let value = String::from_utf8_lossy(&answer.reply).into_owned();
                    let (end_ms, node) = (self.world.now_ms(), self.nodes[at].name.as_str());
                    let asked = Asked { name, value: &value, start_ms, end_ms, node };
                    self.ledger.read(&asked, answer.index.0);
                    return Some(value);
                }
            }
            self.run_for_ms(PAUSE_MS);
        }
        None
    }

    /// Everything that a node holds, however old.
    fn replica(&mut self, at: usize) -> Objects {
        let asking = |node: quorate_core::NodeHandle| async move {
            node.read(Bytes::new(), Consistency::Stale).await
        };
        let answer = self.ask(at, ATTEMPT_MS, asking);
        let text = answer.and_then(Result::ok).map(|answer| answer.reply);
        let objects = text.and_then(|text| Objects::parse(&text));
        objects.unwrap_or_else(|| self.fail("a node answers no question about its own state"))
    }
}

impl Stage for SecondCluster {
    fn names(&self) -> Vec<String> {
        self.nodes.iter().map(|node| node.name.clone()).collect()
    }

    fn write(&mut self, name: &str, value: &str, within_ms: u64) -> Acked {
        let acked = self.try_write(name, value, within_ms);
        acked.unwrap_or_else(|| {
            self.fail(&format!("{name} = {value} was not acknowledged within {within_ms} ms"))
        })
    }

    fn write_in_vain(&mut self, name: &str, value: &str, via: &str, ms: u64) {
        let (at, id, start_ms) = (self.place(via), self.request_id(), self.world.now_ms());
        let command = put(name, value);
        let answer = self.ask(at, ms, |node| async move { node.propose(command, id).await });
        let asked = Asked { name, value, start_ms, end_ms: self.world.now_ms(), node: via };
        self.ledger.unknown(&asked);
        if let Some(Ok(proposed)) = answer {
            self.fail(&format!("{via} acknowledged {name} = {value}: {proposed:?}"));
        }
    }

    fn sees(&mut self, name: &str, acked: &Acked) {
        let seen = self.try_read(name, super::DEFAULT_BOUND_MS);
        if seen.as_ref() != Some(&acked.value) {
            self.fail(&format!("a read of {name} sees {seen:?}, not {:?}", acked.value));
        }
    }

    fn one_leads(&mut self, not: &[&str], within_ms: u64) -> String {
        let not: Vec<usize> = not.iter().map(|name| self.place(name)).collect();
        let acting = self.acting_within(within_ms, "nobody else may act", |acting| {
            acting.is_some_and(|at| !not.contains(&at))
        });
        self.nodes[acting.expect("the wait ended with one")].name.clone()
    }

    fn nobody_leads(&mut self, within_ms: u64) {
        self.acting_within(within_ms, "somebody may still act", |acting| acting.is_none());
    }

    fn crash(&mut self, name: &str) {
        let at = self.place(name);
        self.world.crash(self.nodes[at].machine);
        drop(self.nodes[at].left.take());
    }

    fn restart(&mut self, name: &str) {
        self.crash(name);
        let at = self.place(name);
        self.world.restart(self.nodes[at].machine);
    }

    fn cut_off(&mut self, names: &[&str]) {
        let inside: Vec<usize> = names.iter().map(|name| self.place(name)).collect();
        for at in &inside {
            for other in (0..self.nodes.len()).filter(|other| !inside.contains(other)) {
                self.world.cut(self.nodes[*at].machine, self.nodes[other].machine);
                self.cut.insert((*at, other));
            }
        }
    }

    fn heal(&mut self) {
        for (at, other) in std::mem::take(&mut self.cut) {
            self.world.mend(self.nodes[at].machine, self.nodes[other].machine);
        }
    }

    fn pass_ms(&mut self, ms: u64) {
        self.run_for_ms(ms);
    }

    fn settles(&mut self, within_ms: u64) {
        let (history, count) = (self.history.clone(), self.nodes.len());
        let met = self.drive(within_ms, |seen| {
            let first = history.reached(0);
            seen.len() == count
                && seen.iter().any(|node| node.may_act)
                && (0..count).all(|at| history.reached(at) == first)
        });
        if !met {
            self.fail("not every node has executed the same commands under one leader");
        }
        let sources: Vec<Source> = (0..count)
            .map(|at| {
                let contents = self.replica(at).contents();
                Source { name: self.nodes[at].name.clone(), contents }
            })
            .collect();
        if let Err(wrong) = self.ledger.check(&sources) {
            self.fail(&wrong);
        }
    }
}
