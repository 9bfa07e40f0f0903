//! Between openraft's types and ours. openraft promises nothing about its own layouts, so only ours
//! are stored and sent.

use openraft::impls::EmptyNode;
use openraft::impls::leader_id_std::LeaderId;
use openraft::type_config::alias::{EntryOf, LogIdOf, StoredMembershipOf, VoteOf};
use openraft::{EntryPayload, Membership, Vote};

use super::{Command, Types};
use crate::ids::{LogIndex, NodeId};
use crate::replication::store::{LogId, StoredEntry, StoredPayload, StoredVote, StoredVoters};

pub(super) type RaftMembership = Membership<NodeId, EmptyNode>;

/// openraft counts entries from 0, we count from 1 and keep 0 for "nothing yet".
pub(super) fn to_index(raft_index: u64) -> LogIndex {
    LogIndex(raft_index.saturating_add(1))
}

/// The reverse of [`to_index`]. There is no entry 0; asking for it asks for the first.
pub(super) fn from_index(index: LogIndex) -> u64 {
    index.0.saturating_sub(1)
}

pub(super) fn to_log_id(id: &LogIdOf<Types>) -> LogId {
    LogId { term: **id.committed_leader_id(), index: to_index(id.index()) }
}

pub(super) fn from_log_id(id: LogId) -> LogIdOf<Types> {
    LogIdOf::<Types>::new_term_index(id.term, from_index(id.index))
}

pub(super) fn to_vote(vote: &VoteOf<Types>) -> StoredVote {
    let LeaderId { term, voted_for } = vote.leader_id;
    StoredVote { term, node: voted_for, committed: vote.committed }
}

pub(super) fn from_vote(vote: StoredVote) -> VoteOf<Types> {
    let leader_id = LeaderId { term: vote.term, voted_for: vote.node };
    Vote { leader_id, committed: vote.committed }
}

pub(super) fn to_entry(entry: EntryOf<Types>) -> StoredEntry {
    let payload = match entry.payload {
        EntryPayload::Blank => StoredPayload::Blank,
        EntryPayload::Normal(Command(bytes)) => StoredPayload::Command(bytes),
        EntryPayload::Membership(membership) => StoredPayload::Voters(to_voters(&membership)),
    };
    StoredEntry { id: to_log_id(&entry.log_id), payload }
}

pub(super) fn from_entry(entry: StoredEntry) -> EntryOf<Types> {
    let payload = match entry.payload {
        StoredPayload::Blank => EntryPayload::Blank,
        StoredPayload::Command(bytes) => EntryPayload::Normal(Command(bytes)),
        StoredPayload::Voters(voters) => EntryPayload::Membership(from_voters(&voters)),
    };
    EntryOf::<Types> { log_id: from_log_id(entry.id), payload }
}

pub(super) fn to_voters(membership: &RaftMembership) -> StoredVoters {
    StoredVoters {
        sets: membership.get_joint_config().clone(),
        nodes: membership.nodes().map(|(node, _)| *node).collect(),
    }
}

fn from_voters(voters: &StoredVoters) -> RaftMembership {
    Membership::new_with_defaults(voters.sets.clone(), voters.nodes.iter().copied())
}

pub(super) fn from_stored_voters(
    at: Option<LogId>,
    voters: &StoredVoters,
) -> StoredMembershipOf<Types> {
    StoredMembershipOf::<Types>::new(at.map(from_log_id), from_voters(voters))
}
