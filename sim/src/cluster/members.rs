//! Changing who belongs to the cluster, as an operator would through the leader.

use quorate_core::error::MembershipError;
use quorate_core::ids::NodeId;
use quorate_core::membership::{ChangeMembers, Role};

use super::ask::Asked;
use super::setup::member;
use super::{Cluster, DEFAULT_BOUND_MS};

impl Cluster {
    /// A node that waits for it becomes a learner; returns its id once it has caught up.
    pub fn add_member(&mut self, name: &str) -> NodeId {
        let number = u8::try_from(self.place(name) + 1).expect("a cluster has few nodes");
        let settings = member(number);
        let (public_key, becomes, zone) = (None, Role::Full, None);
        let added = self.change_members(ChangeMembers::Add { settings, public_key, becomes, zone });
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
