//! Changing who belongs to the cluster, as an operator would through the leader.

use std::collections::{BTreeMap, BTreeSet};

use quorate_core::NodeHandle;
use quorate_core::error::MembershipError;
use quorate_core::ids::NodeId;
use quorate_core::membership::{ChangeMembers, Role};
use quorate_core::status::{MemberStatus, Status};

use super::ask::Asked;
use super::setup::member;
use super::{Cluster, DEFAULT_BOUND_MS};

/// A change of the members that somebody has asked for.
pub struct Changing(Asked<Result<Vec<NodeId>, MembershipError>>);

impl Changing {
    /// Whether it is answered, or the node that was asked is gone.
    pub fn is_over(&self) -> bool {
        self.0.is_over()
    }

    /// The ids it was about, if it was answered and is complete.
    pub fn done(&self) -> Option<Vec<NodeId>> {
        self.0.answer()?.ok()
    }
}

/// Who belongs to the cluster, as one node knows it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Roster {
    /// Id by name, of every member.
    pub ids: BTreeMap<String, NodeId>,
    /// Names of those that vote.
    pub voters: BTreeSet<String>,
    /// Names of those that are no learners: what has made voters of them is committed.
    pub promoted: BTreeSet<String>,
}

impl Cluster {
    /// The addition of a node that waits for it.
    pub fn addition(&self, name: &str) -> ChangeMembers {
        let number = u8::try_from(self.place(name) + 1).expect("a cluster has few nodes");
        let settings = member(number);
        let (public_key, becomes, zone) = (None, Role::Full, None);
        ChangeMembers::Add { settings, public_key, becomes, zone }
    }

    /// Asks one node for a change and waits for nothing.
    pub fn begin_change(&mut self, via: &str, change: ChangeMembers) -> Changing {
        let node = &self.nodes[self.place(via)];
        let ask = |node: NodeHandle| async move { node.change_members(change).await };
        Changing(Asked::ask(&self.world, node, ask))
    }

    /// Who belongs to the cluster, as its leader knows it; waits for one that leads without a
    /// change of the voters under way.
    pub fn roster(&mut self) -> Roster {
        let end_ms = self.world.now_ms() + DEFAULT_BOUND_MS;
        while self.world.now_ms() < end_ms {
            let at = self.leader_place();
            let ask = |node: NodeHandle| async move { node.status().await };
            let asked = Asked::ask(&self.world, &self.nodes[at], ask);
            if let Some(Some(status)) = self.wait_for(&asked, 1_000)
                && status.acting
                && !status.is_joint
            {
                return roster_of(&status);
            }
            self.run_for_ms(50);
        }
        self.fail("no leader says who the members are, or a change of them has no end")
    }

    fn are_all_keys_known(&self) -> bool {
        self.up().into_iter().all(|at| {
            let roster = self.nodes[at].handle().map(|handle| handle.roster());
            roster.is_some_and(|roster| {
                let mut members = roster.members().peekable();
                members.peek().is_some() && members.all(|member| member.public_key.is_some())
            })
        })
    }

    /// Runs until every node that runs has applied a roster with the keys of all members: from then
    /// on their clocks do not matter to each other.
    pub fn until_all_keys_are_known(&mut self) {
        let end_ms = self.world.now_ms() + DEFAULT_BOUND_MS;
        while !self.are_all_keys_known() {
            if self.world.now_ms() > end_ms {
                self.fail("not every member has told its key");
            }
            self.run_for_ms(50);
        }
    }

    /// A node that waits for it becomes a learner; returns its id once it has caught up.
    pub fn add_member(&mut self, name: &str) -> NodeId {
        let added = self.change_members(self.addition(name));
        *added.first().expect("an addition is about one member")
    }

    /// Learners become voters, all in one joint change.
    pub fn promote(&mut self, ids: &[NodeId]) {
        self.change_members(ChangeMembers::Promote(ids.to_vec()));
    }

    /// Asks for the same and goes on after so long, whatever has become of it.
    pub fn promote_for_ms(&mut self, ids: &[NodeId], ms: u64) {
        let at = self.leader_place();
        let change = ChangeMembers::Promote(ids.to_vec());
        let _asked = Asked::ask(&self.world, &self.nodes[at], |node| async move {
            node.change_members(change).await
        });
        self.run_for_ms(ms);
    }

    fn leader_place(&mut self) -> usize {
        let leader = self.leader();
        self.place(&leader)
    }

    /// Members leave for good.
    pub fn remove_members(&mut self, ids: &[NodeId]) {
        self.change_members(ChangeMembers::Remove(ids.to_vec()));
    }

    /// Asks whoever leads, again and again while that changes; fails the run if it stays refused.
    fn change_members(&mut self, change: ChangeMembers) -> Vec<NodeId> {
        let end_ms = self.world.now_ms() + DEFAULT_BOUND_MS;
        loop {
            let at = self.leader_place();
            let asked = change.clone();
            let question = Asked::ask(&self.world, &self.nodes[at], |node| async move {
                node.change_members(asked).await
            });
            match self.wait_for(&question, DEFAULT_BOUND_MS) {
                Some(Ok(ids)) => return ids,
                Some(Err(MembershipError::Refused { detail })) if self.world.now_ms() > end_ms => {
                    self.fail(&format!("{change:?} is refused: {detail}"))
                }
                other if self.world.now_ms() > end_ms => {
                    self.fail(&format!("{change:?} has no end: {other:?}"))
                }
                // Not the leader any more, or the member was not seen alive yet.
                Some(Err(_)) | None => self.run_for_ms(200),
            }
        }
    }
}

fn roster_of(status: &Status) -> Roster {
    let ids = status.members.iter().map(|member| (member.name.clone(), member.id)).collect();
    let names = |is_one: &dyn Fn(&MemberStatus) -> bool| {
        let found = status.members.iter().filter(|member| is_one(member));
        found.map(|member| member.name.clone()).collect()
    };
    let voters = names(&|member| status.voters.contains(&member.id));
    Roster { ids, voters, promoted: names(&|member| member.role != "learner") }
}
