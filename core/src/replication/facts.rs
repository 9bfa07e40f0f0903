//! What the shell tells others about consensus: reports on changes, facts on request.

use super::actor::ReplicationActor;
use super::consensus::Watched;
use super::{Answer, ConsensusReport, QuorumAcked, ReplicationFacts};

impl ReplicationActor {
    pub(super) fn all_facts(&self) -> ReplicationFacts {
        let facts = self.consensus.watched();
        ReplicationFacts {
            leader: facts.leader,
            leader_age_ms: self.consensus.leader_age_ms(),
            last_index: facts.last_index,
            commit_index: facts.commit_index,
            applied_index: facts.applied_index,
            snapshot_index: facts.snapshot_index,
            voters: facts.voters,
            learners: facts.learners,
            is_joint: facts.joint_goal.is_some(),
            writes_waiting_count: self.in_flight.get(),
            requests_count: self.machine.with(|applied| applied.requests_count()),
            matching: self.consensus.matching(),
        }
    }

    /// A stale answer, at once.
    pub(super) fn answer_now(&self, query: &[u8]) -> Answer {
        let age_ms = match self.facts.quorum_acked_at {
            Some(acked_at) => self.env.clock.now().ms_since(acked_at),
            None if self.consensus.has_heard_leader() => self.consensus.leader_age_ms(),
            None => u64::MAX,
        };
        let leader = self.state.leader();
        self.machine.with(|applied| Answer {
            index: applied.index(),
            age_ms,
            reply: applied.query(query),
            leader,
        })
    }

    pub(super) fn report(&mut self, facts: Watched) {
        let report = ConsensusReport {
            term: facts.vote.term,
            role: facts.role,
            leader: facts.leader,
            voters: facts.voters.clone(),
            learners: facts.learners.clone(),
            joint_goal: facts.joint_goal.clone(),
            granted_age_ms: self.consensus.granted_age_ms(facts.vote),
        };
        if self.reported.as_ref() != Some(&report) {
            self.reports.consensus.iter().for_each(|to| to.do_send(report.clone()));
            self.reported = Some(report);
        }
        if let Some(sent_at) = facts.quorum_acked_at
            && facts.quorum_acked_at != self.facts.quorum_acked_at
        {
            self.reports.acked.do_send(QuorumAcked { term: facts.vote.term, sent_at });
        }
        if let Some(reason) = &facts.failed {
            self.ended.send_replace(Some(reason.clone()));
        }
        self.leads
            .send_if_modified(|leader| std::mem::replace(leader, facts.leader) != facts.leader);
        self.facts = facts;
    }
}
