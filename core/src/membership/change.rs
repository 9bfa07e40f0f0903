//! Change: the steps of one change of the members, and of finishing one that was interrupted.
//!
//! Pure. Consensus changes first and the roster's roles after, so that after a crash in between
//! the next elected node can tell what is missing: see [`repair`].

use std::collections::{BTreeSet, VecDeque};

use super::promotion::{Candidate, promoted};
use super::view::View;
use super::{ChangeMembers, Liveness, Member, Role, Roster, RosterChange, RosterOutcome};
use crate::error::MembershipError;
use crate::ids::NodeId;
use crate::observe::{mark, planted};
use crate::replication::ConsensusReport;

/// One step, ordered from replication.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Order {
    /// `membership::ProposeRoster`.
    ProposeRoster(RosterChange),
    /// `membership::AddLearner`.
    AddLearner(NodeId),
    /// `membership::ChangeVoters`.
    ChangeVoters(Vec<NodeId>),
    /// `membership::DropLearner`.
    DropLearner(NodeId),
}

/// A change under way. One order is out at a time.
#[derive(Debug)]
pub(super) struct Change {
    /// Who waits for it; `None` for a repair.
    pub(super) request: Option<u64>,
    /// Whom it is about.
    pub(super) ids: Vec<NodeId>,
    orders: VecDeque<Order>,
    /// The member that the first order adds is to catch up before the change is complete.
    is_adding: bool,
}

impl Change {
    fn new(request: Option<u64>, ids: Vec<NodeId>, orders: impl Into<VecDeque<Order>>) -> Change {
        Change { request, ids, orders: orders.into(), is_adding: false }
    }

    /// The first entry of a cluster. Nobody waits for it.
    pub(super) fn founding(change: RosterChange) -> Change {
        Change::new(None, Vec::new(), [Order::ProposeRoster(change)])
    }

    /// The next order, or `None` if the change is complete.
    pub(super) fn next(&mut self) -> Option<Order> {
        self.orders.pop_front()
    }

    /// A roster change was applied: a joiner has its id now.
    pub(super) fn note_outcome(&mut self, outcome: &RosterOutcome) {
        if std::mem::take(&mut self.is_adding) {
            self.ids.clone_from(&outcome.ids);
            self.orders.extend(outcome.ids.iter().copied().map(Order::AddLearner));
        }
    }
}

/// What has to be known to plan a change.
pub(super) struct Situation<'a> {
    pub(super) this: NodeId,
    pub(super) roster: &'a Roster,
    pub(super) view: &'a View,
    pub(super) consensus: &'a ConsensusReport,
}

/// The steps of a requested change, or why it is refused.
pub(super) fn plan(
    request: u64,
    change: ChangeMembers,
    at: &Situation<'_>,
) -> Result<Change, MembershipError> {
    let planned = match change {
        ChangeMembers::Add { settings, public_key, becomes, zone } => {
            let change = RosterChange::AddLearner { settings, public_key, becomes, zone };
            let mut change = Change::new(None, Vec::new(), [Order::ProposeRoster(change)]);
            change.is_adding = true;
            Ok(change)
        }
        ChangeMembers::Promote(ids) => plan_promotion(sorted(ids), at),
        ChangeMembers::Remove(ids) => plan_removal(sorted(ids), at),
    };
    match planned {
        Ok(change) => Ok(Change { request: Some(request), ..change }),
        Err(detail) => Err(MembershipError::Refused { detail }),
    }
}

/// Who votes already is left as it is: an order whose outcome was not known may be repeated.
fn plan_promotion(asked: Vec<NodeId>, at: &Situation<'_>) -> Result<Change, String> {
    let votes = |id: &NodeId| {
        let role = at.roster.get(*id).map(|member| member.role);
        matches!(role, Some(Role::Full | Role::Witness)) && at.consensus.voters.contains(id)
    };
    let ids: Vec<NodeId> = asked.iter().copied().filter(|id| !votes(id)).collect();
    if ids.is_empty() && !asked.is_empty() {
        return Ok(Change::new(None, asked, []));
    }
    let change = RosterChange::Promote { ids: ids.clone() };
    // The roster's own rules, tried on a copy: what it will refuse is not even begun.
    at.roster.clone().apply(at.roster.changed_at(), change.clone())?;
    for id in &ids {
        match at.view.liveness(*id) {
            Liveness::Alive => {}
            Liveness::Suspect | Liveness::Down => {
                return Err(format!("{id} is not seen alive and would be a dead vote"));
            }
        }
    }
    let mut orders: Vec<Order> = ids.iter().copied().map(Order::AddLearner).collect();
    let voters: BTreeSet<NodeId> = at.consensus.voters.iter().chain(&ids).copied().collect();
    orders.push(Order::ChangeVoters(voters.into_iter().collect()));
    orders.push(Order::ProposeRoster(change));
    Ok(Change::new(None, asked, orders))
}

fn plan_removal(ids: Vec<NodeId>, at: &Situation<'_>) -> Result<Change, String> {
    if ids.contains(&at.this) {
        return Err(format!("{} leads and cannot remove itself; hand leadership over", at.this));
    }
    let change = RosterChange::Remove { ids: ids.clone() };
    at.roster.clone().apply(at.roster.changed_at(), change.clone())?;
    let mut orders = Vec::new();
    if ids.iter().any(|id| at.consensus.voters.contains(id)) {
        let stay = at.consensus.voters.iter().filter(|id| !ids.contains(id));
        orders.push(Order::ChangeVoters(stay.copied().collect()));
    }
    let learners = ids.iter().filter(|id| at.consensus.learners.contains(id));
    orders.extend(learners.copied().map(Order::DropLearner));
    orders.push(Order::ProposeRoster(change));
    Ok(Change::new(None, ids, orders))
}

/// What an interrupted change left undone, one thing at a time. Called on an elected node while
/// nothing else is under way and both sides have been still for a while.
///
/// A joint membership that is still in effect was on its way to its goal: until it is there, no
/// other change can begin. A learner outside consensus was being added. A voter whose role says
/// learner was being promoted. A full node or witness outside consensus was being removed; and so
/// was a learner of consensus that is no member.
pub(super) fn repair(at: &Situation<'_>) -> Option<Change> {
    let (voters, learners) = (&at.consensus.voters, &at.consensus.learners);
    if let Some(goal) = &at.consensus.joint_goal {
        if planted("joint_change_left_unfinished") {
            return None;
        }
        mark("membership.joint_change_finished");
        return Some(Change::new(None, goal.clone(), [Order::ChangeVoters(goal.clone())]));
    }
    for member in at.roster.members() {
        let id = member.id;
        let order = match (member.role, voters.contains(&id), learners.contains(&id)) {
            // A joiner that died half way must not hold up whoever comes after it.
            (Role::Learner, false, false) if !is_expected(at, id) => continue,
            (Role::Learner, false, false) => Order::AddLearner(id),
            (Role::Learner, true, _) => {
                Order::ProposeRoster(RosterChange::Promote { ids: vec![id] })
            }
            (Role::Full | Role::Witness, false, false) => {
                Order::ProposeRoster(RosterChange::Remove { ids: vec![id] })
            }
            (Role::Learner, false, true) => continue,
            (Role::Full | Role::Witness, true, _) => continue,
            // A voter that consensus holds as a learner: a promotion whose joint change is to come.
            (Role::Full | Role::Witness, false, true) => continue,
        };
        return Some(Change::new(None, vec![id], [order]));
    }
    let stray = learners.iter().find(|id| at.roster.get(**id).is_none())?;
    Some(Change::new(None, vec![*stray], [Order::DropLearner(*stray)]))
}

/// Whether a learner that consensus does not know is to be added now: one that has joined by a
/// token is, once it is seen alive.
fn is_expected(at: &Situation<'_>, id: NodeId) -> bool {
    at.roster.admissions().joined(id).is_none() || at.view.liveness(id) == Liveness::Alive
}

/// The promotion of learners that have joined by a token, as soon as they may. Called where
/// [`repair`] has nothing to do. Their log has caught up before they vote: the first orders of a
/// promotion wait for that.
pub(super) fn promotion(at: &Situation<'_>) -> Option<Change> {
    let candidates: Vec<Candidate> =
        at.roster.members().filter_map(|it| candidate(at, it)).collect();
    let ids = promoted(at.consensus.voters.len(), &candidates);
    if ids.is_empty() {
        return None;
    }
    let change = plan_promotion(ids, at).ok()?;
    mark("membership.learners_promoted");
    Some(change)
}

fn candidate(at: &Situation<'_>, member: &Member) -> Option<Candidate> {
    let id = member.id;
    let joined = at.roster.admissions().joined(id)?;
    let is_learner = member.role == Role::Learner && at.consensus.learners.contains(&id);
    let is_alive = at.view.liveness(id) == Liveness::Alive;
    is_learner.then_some(Candidate { id, wants_vote: joined.wants_vote, is_alive })
}

fn sorted(mut ids: Vec<NodeId>) -> Vec<NodeId> {
    ids.sort_unstable();
    ids
}
