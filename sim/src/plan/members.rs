//! Changes of the members during a storm: who belongs to the cluster as far as the plan knows.
//!
//! Invariants
//! - One change is under way at a time, as the product has it.
//! - A change without an answer, or with a refusal, leaves its nodes in doubt until the calm, which
//!   asks the leader.

use std::collections::BTreeSet;

use quorate_core::ids::NodeId;
use quorate_core::membership::ChangeMembers;

use super::storm::{Active, Holds, Storm};
use super::strike::Struck;
use super::{Gust, Kind};

/// How long a change gets, at least.
const CHANGE_MS_MIN: u64 = 1_500;
/// A removal leaves at least so many voters: with fewer, one crash stops all.
pub(super) const VOTERS_COUNT_MIN: usize = 3;

/// What a node is to the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// Runs, and waits to be added.
    Waiting,
    Learner(NodeId),
    Voter(NodeId),
    /// Somebody has asked to add it.
    Joining,
    /// Somebody has asked to promote it.
    Rising(NodeId),
    /// Somebody has asked to remove it.
    Leaving(NodeId),
    /// Its disk is lost, or will be: it votes no more, but the others do not know.
    Lost(NodeId),
    Gone,
}

impl Standing {
    /// By place, before anything has changed.
    pub(super) fn at_first(founders_count: usize, nodes_count: usize) -> Vec<Standing> {
        let voter = |at: usize| Standing::Voter(NodeId(at as u64 + 1));
        let founders = (0..founders_count).map(voter);
        founders.chain(std::iter::repeat(Standing::Waiting)).take(nodes_count).collect()
    }

    /// Whether it belongs to the cluster, or may.
    pub(super) fn is_member(self) -> bool {
        match self {
            Standing::Learner(_) | Standing::Voter(_) | Standing::Rising(_) => true,
            Standing::Joining | Standing::Leaving(_) => true,
            Standing::Waiting | Standing::Lost(_) | Standing::Gone => false,
        }
    }

    pub(super) fn is_lost(self) -> bool {
        matches!(self, Standing::Lost(_))
    }

    /// Whether the plan never starts it again.
    pub(super) fn stays_away(self) -> bool {
        self.is_lost() || self == Standing::Gone
    }

    /// Whether it may count for a quorum that is not the plan's to know.
    pub(super) fn is_in_doubt(self) -> bool {
        match self {
            Standing::Rising(_) | Standing::Leaving(_) => true,
            Standing::Learner(_) | Standing::Voter(_) | Standing::Joining => false,
            Standing::Waiting | Standing::Lost(_) | Standing::Gone => false,
        }
    }
}

impl Storm<'_> {
    pub(super) fn add_member(&mut self, gust: &Gust) -> Option<Struck> {
        let at = self.standings.iter().position(|standing| *standing == Standing::Waiting)?;
        let change = self.cluster.addition(&self.names[at]);
        let struck = self.change(gust, change)?;
        self.standings[at] = Standing::Joining;
        Some(struck)
    }

    pub(super) fn promote_members(&mut self, gust: &Gust) -> Option<Struck> {
        let learner = |standing: &Standing| {
            if let Standing::Learner(id) = standing { Some(*id) } else { None }
        };
        let ids: Vec<NodeId> = self.standings.iter().filter_map(learner).collect();
        if ids.is_empty() {
            return None;
        }
        let struck = self.change(gust, ChangeMembers::Promote(ids))?;
        for standing in &mut self.standings {
            if let Standing::Learner(id) = *standing {
                *standing = Standing::Rising(id);
            }
        }
        Some(struck)
    }

    pub(super) fn remove_member(&mut self, gust: &Gust) -> Option<Struck> {
        let voters = self.voters();
        let leader = self.cluster.acting()?;
        let at = voters.iter().copied().find(|at| *at >= gust.node && *at != leader)?;
        let Standing::Voter(id) = self.standings[at] else { return None };
        if voters.len() <= VOTERS_COUNT_MIN {
            return None;
        }
        let struck = self.change(gust, ChangeMembers::Remove(vec![id]))?;
        self.standings[at] = Standing::Leaving(id);
        Some(struck)
    }

    /// Those that vote, without any doubt.
    pub(super) fn voters(&self) -> Vec<usize> {
        let votes = |at: &usize| matches!(self.standings[*at], Standing::Voter(_));
        (0..self.names.len()).filter(votes).collect()
    }

    /// Asks whoever leads, if somebody does and no change is under way.
    fn change(&mut self, gust: &Gust, change: ChangeMembers) -> Option<Struck> {
        let is_change = |active: &Active| matches!(active.holds, Holds::Members(_));
        let in_doubt =
            |standing: &Standing| standing.is_in_doubt() || *standing == Standing::Joining;
        if self.active.iter().any(is_change) || self.standings.iter().any(in_doubt) {
            return None;
        }
        let leader = self.names[self.cluster.acting()?].clone();
        let changing = self.cluster.begin_change(&leader, change);
        let lasts_ms = gust.lasts_ms.max(CHANGE_MS_MIN);
        Some(Struck::of(BTreeSet::new(), Holds::Members(changing), lasts_ms))
    }

    /// The change is complete, or nobody knows: then the doubt stays.
    pub(super) fn note_change(&mut self, kind: Kind, done: Option<Vec<NodeId>>) {
        let Some(ids) = done else { return };
        for at in 0..self.standings.len() {
            self.standings[at] = match (kind, self.standings[at]) {
                (Kind::MemberAdded, Standing::Joining) => {
                    Standing::Learner(*ids.first().expect("an addition is about one member"))
                }
                (Kind::MembersPromoted, Standing::Rising(id)) => Standing::Voter(id),
                (Kind::MemberRemoved, Standing::Leaving(_)) => {
                    self.cluster.cut_power(&[&self.names[at]]);
                    Standing::Gone
                }
                (_, standing) => standing,
            };
        }
    }

    /// Asks the leader who belongs to the cluster, and completes removals: no doubt is left. The
    /// leader itself does not leave: then it stays, and the roster says so.
    pub(super) fn settle_members(&mut self) {
        let leader = self.cluster.leader();
        let leaves = |(name, standing): (&String, &Standing)| match standing {
            Standing::Lost(id) => Some(*id),
            Standing::Leaving(id) if *name != leader => Some(*id),
            _ => None,
        };
        let roster = self.cluster.roster();
        let leaving: Vec<NodeId> =
            self.names.iter().zip(&self.standings).filter_map(leaves).collect();
        let left: Vec<NodeId> = leaving
            .into_iter()
            .filter(|id| roster.ids.values().any(|member| member == id))
            .collect();
        if !left.is_empty() {
            self.cluster.remove_members(&left);
        }
        let roster = self.cluster.roster();
        for (at, name) in self.names.clone().iter().enumerate() {
            self.standings[at] = match (self.standings[at], roster.ids.get(name)) {
                (_, Some(id)) if roster.voters.contains(name) => Standing::Voter(*id),
                (_, Some(id)) => Standing::Learner(*id),
                (Standing::Waiting | Standing::Joining, None) => Standing::Waiting,
                (_, None) => Standing::Gone,
            };
            // Neither keeps the log: it is not compared, and answers nobody.
            if !self.standings[at].is_member() {
                self.cluster.cut_power(&[name]);
            }
        }
    }
}
