//! The calm after the storm: first a core of the quorum must serve alone, then all must agree.
//!
//! The core is a majority of the voters. Every fault ends on its nodes and between them; on the
//! others, and between them and the core, every fault stays as it is: whoever is down stays down,
//! and what a gust had still to do there waits.
//!
//! Source: Kyle Kingsbury's and TigerBeetle's liveness mode (heal a core of the replicas only, and
//! require progress); promise 1 for what must hold when all are back.

use std::collections::BTreeSet;

use super::storm::{Active, GRACE_MS, Holds, Storm};

/// Within this time a core has a leader, and a client its answer.
const CORE_BOUND_MS: u64 = 10_000;
/// Within this time all nodes agree.
const AGREEMENT_BOUND_MS: u64 = 30_000;

impl Storm<'_> {
    /// Ends the storm: the core serves, then everybody.
    pub(super) fn calm(&mut self) {
        // Whose change is answered is in doubt no more; nobody waits for the others.
        self.end_those(|active| matches!(active.holds, Holds::Members(_)));
        let core = self.core();
        self.release_core(&core);
        let names: Vec<&str> = core.iter().map(|at| self.names[*at].as_str()).collect();
        self.cluster.within_ms(CORE_BOUND_MS).one_leads();
        for value in ["first", "second", "third"] {
            let write = self.cluster.write("core", value).via_any_of(&names);
            write.acked_within_ms(CORE_BOUND_MS);
        }
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
