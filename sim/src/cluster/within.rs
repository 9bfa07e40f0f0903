//! Bounds: what must become true within some milliseconds.

use super::{Cluster, Roster, SLICE_MS};
use crate::checkers::Seen;

/// A bound that waits for its promise.
#[must_use]
#[derive(Debug)]
pub struct Within<'a> {
    pub(super) cluster: &'a mut Cluster,
    pub(super) ms: u64,
}

impl Cluster {
    /// What follows must become true within this time.
    pub fn within_ms(&mut self, ms: u64) -> Within<'_> {
        Within { cluster: self, ms }
    }

    /// The node that may act, and its name; waits for one.
    pub fn leader(&mut self) -> String {
        self.within_ms(super::DEFAULT_BOUND_MS).one_leads()
    }
}

fn acting(seen: &[Seen]) -> Option<usize> {
    seen.iter().find(|node| node.may_act).map(|node| node.at)
}

impl Within<'_> {
    /// No running node may act.
    pub fn nobody_leads(self) {
        self.wait("somebody may still act", |seen| acting(seen).is_none());
    }

    /// Clients were acknowledged so many writes since the run began. To be called while they write,
    /// by a scenario that has tested nothing if they did not: with slow disks it takes its time.
    pub fn acknowledged(self, count: u64) {
        let Within { cluster, ms } = self;
        let end_ms = cluster.world.now_ms() + ms;
        while cluster.acknowledged_count() < count {
            let now_ms = cluster.world.now_ms();
            if now_ms >= end_ms {
                let reached = cluster.acknowledged_count();
                cluster.fail(&format!("within {ms} ms: {reached} writes of {count} acknowledged"));
            }
            cluster.run_for_ms(SLICE_MS.min(end_ms - now_ms));
        }
    }

    /// One node may act; returns its name.
    pub fn one_leads(self) -> String {
        let mut leader = None;
        let cluster = self.wait("nobody may act", |seen| {
            leader = acting(seen);
            leader.is_some()
        });
        let at = leader.expect("the wait ended with one");
        cluster.nodes[at].name.clone()
    }

    /// One node may act that is none of these; returns its name.
    pub fn another_leads(self, than: &[&str]) -> String {
        let places = self.cluster.places(than);
        let mut leader = None;
        let cluster = self.wait("nobody else may act", |seen| {
            leader = acting(seen).filter(|at| !places.contains(at));
            leader.is_some()
        });
        let at = leader.expect("the wait ended with one");
        cluster.nodes[at].name.clone()
    }

    /// One node may act, every node runs, and all have executed the same commands.
    pub fn one_leader_and_equal_logs(self) {
        self.one_leader_and_equal_logs_without(&[]);
    }

    /// The same, of all nodes but these.
    pub fn one_leader_and_equal_logs_without(self, names: &[&str]) {
        let history = self.cluster.history.clone();
        let without = self.cluster.places(names);
        let places: Vec<usize> =
            (0..self.cluster.nodes.len()).filter(|at| !without.contains(at)).collect();
        self.wait("not every node has executed the same commands under one leader", |seen| {
            let first = history.reached(places[0]);
            let runs = |at: &usize| seen.iter().any(|node| node.at == *at);
            acting(seen).is_some()
                && places.iter().all(|at| runs(at) && history.reached(*at) == first)
        });
    }

    /// The leader says that so many members vote. A joint change that is not committed yet would
    /// leave the others without a leader if this one died.
    pub fn so_many_vote(self, count: usize) {
        let Within { cluster, ms } = self;
        let end_ms = cluster.world.now_ms() + ms;
        loop {
            let Roster { voters, promoted, .. } = cluster.roster();
            if voters.len() == count && voters == promoted {
                return;
            }
            if cluster.world.now_ms() >= end_ms {
                cluster.fail(&format!("within {ms} ms: {voters:?} vote, and not {count}"));
            }
            cluster.run_for_ms(SLICE_MS);
        }
    }

    fn wait<'a>(self, otherwise: &str, mut is_true: impl FnMut(&[Seen]) -> bool) -> &'a mut Cluster
    where
        Self: 'a,
    {
        let Within { cluster, ms } = self;
        let end_ms = cluster.world.now_ms() + ms;
        if !cluster.drive(end_ms, &mut |seen, _| is_true(seen)) {
            let reached = cluster.reached();
            cluster.fail(&format!("within {ms} ms: {otherwise}; reached {reached:?}"));
        }
        cluster
    }
}
