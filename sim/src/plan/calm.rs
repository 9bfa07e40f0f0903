//! The calm after the storm: first a core of the quorum must serve alone, then all must agree.
//!
//! The core is a majority of the voters. Every fault ends on its nodes and between them; on the
//! others, and between them and the core, every fault goes on: a process that crashes again and
//! again does so until the core has served, an outage takes one node after the other, and whoever
//! else is down stays down. A run that has such kinds has them there, in the calm, too.
//!
//! Source: Kyle Kingsbury's and TigerBeetle's liveness mode (heal a core of the replicas only, and
//! require progress); promise 1 for what must hold when all are back.

use std::collections::BTreeSet;

use super::storm::{Active, GRACE_MS, Holds, Step, Storm};
use super::strike::{crash_and_start, loop_ms, outage_of};
use super::{Gust, Kind};
use crate::cluster::Happens;

/// Within this time a core has a leader, and a client its answer.
const CORE_BOUND_MS: u64 = 10_000;
/// Between two requests to a core, while something goes on outside of it.
const CORE_PAUSE_MS: u64 = 500;
/// What goes on outside a core does so for as long, unless the core has served before.
const GOES_ON_MS: u64 = 6 * CORE_BOUND_MS;
/// Number of the first gust that strikes in the calm.
pub(super) const CALM_FROM: u64 = 201;
/// Within this time all nodes agree.
const AGREEMENT_BOUND_MS: u64 = 30_000;

impl Storm<'_> {
    /// Ends the storm: the core serves, then everybody.
    pub(super) fn calm(&mut self) {
        // Whose change is answered is in doubt no more; nobody waits for the others.
        self.end_those(|active| matches!(active.holds, Holds::Members(_)));
        self.core_serves();
        self.end_rest();
        // One that is gone now may have led.
        self.cluster.within_ms(CORE_BOUND_MS).one_leads();
        self.settle_members();
        let calm = self.cluster.write("weather", "calm").acked_within_ms(CORE_BOUND_MS);
        self.cluster.stop_writers();
        let absent = |at: &usize| !self.standings[*at].is_member();
        let absent: Vec<&str> =
            (0..self.names.len()).filter(absent).map(|at| self.names[at].as_str()).collect();
        self.cluster.within_ms(AGREEMENT_BOUND_MS).one_leader_and_equal_logs_without(&absent);
        self.cluster.read("weather").sees(&calm);
        self.cluster.within_ms(AGREEMENT_BOUND_MS).members_agree();
    }

    /// A core is healed and serves. Returns how often something happened outside of it meanwhile.
    pub(super) fn core_serves(&mut self) -> u64 {
        let core = self.core();
        self.strike_outside(&core);
        self.release_core(&core);
        let names: Vec<String> = core.iter().map(|at| self.names[*at].clone()).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        self.cluster.within_ms(CORE_BOUND_MS).one_leads();
        for value in ["first", "second", "third"] {
            let write = self.cluster.write("core", value).via_any_of(&names);
            write.acked_within_ms(CORE_BOUND_MS);
            if self.cluster.has_more_to_happen() {
                self.cluster.run_for_ms(CORE_PAUSE_MS);
            }
        }
        self.cluster.nothing_goes_on()
    }

    /// Of the members outside the core one begins to crash again and again, and the others go down
    /// one after the other, if the run has such kinds.
    fn strike_outside(&mut self, core: &BTreeSet<usize>) {
        for (nth, kind) in (0..).zip([Kind::CrashLoop, Kind::StaggeredOutage]) {
            if !self.plan.kinds.contains(&kind) {
                continue;
            }
            let (theme, limits) = (self.plan.theme, self.plan.limits);
            let drawn = Gust::draw(self.cluster.choices(), theme, CALM_FROM + nth, limits);
            let is_free = |at: &usize| !core.contains(at) && self.is_process_free(*at);
            let outside: Vec<usize> = self.circle(&drawn).into_iter().filter(is_free).collect();
            let Some(node) = outside.first().copied().filter(|_| drawn.strikes) else { continue };
            let gust = Gust { kind, node, ..drawn };
            let struck = if kind == Kind::CrashLoop {
                self.crash_loop(&gust)
            } else {
                Some(outage_of(outside.into_iter().collect(), &gust, gust.scaled(100, 1_000)))
            };
            struck.into_iter().for_each(|struck| self.begun(gust, struck));
        }
    }

    /// What gusts had still to do outside the core happens while the core serves, and a crash loop
    /// does not come to its end.
    fn go_on(&mut self) {
        let (now_ms, mut due) = (self.now_ms(), Vec::new());
        for active in &self.active {
            let steps = active.steps.iter().copied();
            due.extend(steps.clone());
            // The loop of a gust whose last step is over stands still with it.
            if active.gust.kind == Kind::CrashLoop && !active.targets.is_empty() {
                let round_ms = loop_ms(&active.gust);
                let last_ms = steps.map(|(due_ms, _)| due_ms).max().unwrap_or(now_ms);
                let rounds = (last_ms..now_ms + GOES_ON_MS).step_by(round_ms as usize).skip(1);
                let at = active.gust.node;
                due.extend(rounds.flat_map(|ms| crash_and_start(ms, at)));
            }
        }
        for (due_ms, step) in due {
            let happens = match step {
                Step::Crash(_) => Happens::Crash,
                Step::PowerCut(_) => Happens::PowerCut,
                Step::Start(_) => Happens::Start,
            };
            self.cluster.goes_on(due_ms, step.at(), happens);
        }
    }

    /// A majority of the voters, as the plan chooses, and all who may be among them.
    fn core(&self) -> BTreeSet<usize> {
        let mut voters = self.voters();
        let lost_count = self.standings.iter().filter(|standing| standing.is_lost()).count();
        let count = (voters.len() + lost_count) / 2 + 1;
        let site = self.cluster.choose(&format!("{}.core", self.plan.theme.name), 0);
        for place in 0..count {
            let other = site.between(place as u64, voters.len() as u64 - 1) as usize;
            voters.swap(place, other);
        }
        let is_in_doubt = |at: &usize| self.standings[*at].is_in_doubt();
        let in_doubt = (0..self.names.len()).filter(is_in_doubt);
        voters.into_iter().take(count).chain(in_doubt).collect()
    }

    fn release_core(&mut self, core: &BTreeSet<usize>) {
        for place in 0..self.active.len() {
            let mut active = self.active.remove(place);
            self.release(&mut active, core);
            self.active.insert(place, active);
        }
        self.go_on();
        self.cluster.run_for_ms(GRACE_MS);
        let now_ms = self.now_ms();
        self.revive(now_ms);
        // No fault of the plan explains a node of the core that does not run.
        assert!(core.iter().all(|at| self.is_running(*at)), "the core does not run: {core:?}");
    }

    fn end_those(&mut self, are_meant: impl Fn(&Active) -> bool) {
        while let Some(place) = self.active.iter().position(&are_meant) {
            let active = self.active.remove(place);
            self.end(active);
        }
    }

    fn end_rest(&mut self) {
        self.end_those(|_| true);
        self.cluster.run_for_ms(GRACE_MS);
        let now_ms = self.now_ms();
        self.revive(now_ms);
        let stays_away = |at: &usize| self.standings[*at].stays_away();
        let absent: Vec<usize> =
            (0..self.names.len()).filter(|at| !stays_away(at) && !self.is_running(*at)).collect();
        assert!(absent.is_empty(), "the storm has not ended everywhere: {absent:?}");
    }
}
