//! The answering side of consensus: questions of other nodes, given to openraft.

use std::sync::MutexGuard;

use bytes::Bytes;
use openraft::raft::TransferLeaderRequest;
use openraft::raft::{AppendEntriesRequest, AppendEntriesResponse, VoteRequest, VoteResponse};
use openraft::type_config::alias::{LogIdOf, SnapshotOf};

use super::Types;
use super::convert::{from_entry, from_log_id, from_vote, to_log_id, to_vote};
use super::facade::{Consensus, Receiving};
use super::machine::from_meta;
use super::network::{AppendReply, Question, Reply};
use crate::ids::LogIndex;
use crate::observe::{mark_if, planted};
use crate::replication::store::{LogId, SnapshotMeta, StoredVote};

impl Consensus {
    /// Answers a question of consensus; `None` if it is none, or if consensus has ended.
    pub(crate) async fn answer(&self, question: Question) -> Option<Reply> {
        match question {
            Question::Append { vote, previous, entries, committed } => {
                self.note_leader_frame();
                let request = AppendEntriesRequest {
                    vote: from_vote(vote),
                    prev_log_id: previous.map(from_log_id),
                    entries: entries.into_iter().map(from_entry).collect(),
                    leader_commit: committed.map(from_log_id),
                };
                self.append(request).await
            }
            Question::Vote { vote, mut last, is_transfer, is_trial } => {
                if planted("vote_without_log_check") {
                    last = Some(LogId { term: vote.term, index: LogIndex(u64::MAX) });
                }
                let mut request = VoteRequest::new(from_vote(vote), last.map(from_log_id));
                request.leadership_transfer = is_transfer;
                self.vote(request, is_trial).await
            }
            Question::SnapshotPiece { vote, meta, offset, bytes, is_last } => {
                self.note_leader_frame();
                self.receive(vote, meta, offset, bytes, is_last).await
            }
            Question::Transfer { from, to, last } => {
                self.note_leader_frame();
                let last = last.map(from_log_id);
                let request = TransferLeaderRequest::new(from_vote(from), to, last);
                let accepted = self.raft.handle_transfer_leader(request).await.ok()?;
                Some(Reply::Transfer { is_accepted: accepted.is_ok() })
            }
            Question::ReadIndex | Question::Write { .. } => None,
        }
    }

    async fn append(&self, request: AppendEntriesRequest<Types>) -> Option<Reply> {
        let answer = match self.raft.append_entries(request).await.ok()? {
            AppendEntriesResponse::Success => AppendReply::Success,
            AppendEntriesResponse::PartialSuccess(upto) => {
                AppendReply::PartialSuccess(upto.as_ref().map(to_log_id))
            }
            AppendEntriesResponse::Conflict => AppendReply::Conflict,
            AppendEntriesResponse::HigherVote(vote) => AppendReply::HigherVote(to_vote(&vote)),
        };
        if !matches!(answer, AppendReply::HigherVote(_)) {
            self.note_followed();
        }
        Some(Reply::Append(answer))
    }

    async fn vote(&self, request: VoteRequest<Types>, is_trial: bool) -> Option<Reply> {
        let request_last = request.last_log_id;
        let answer = if is_trial {
            self.raft.pre_vote(request).await.ok()?
        } else {
            self.raft.vote(request).await.ok()?
        };
        self.mark_vote(&request_last, &answer);
        // Read after the vote is given: from then on no older leader is acknowledged.
        let age_ms = self.leader_age_ms();
        let vote = to_vote(&answer.vote);
        let last = answer.last_log_id.as_ref().map(to_log_id);
        Some(Reply::Vote { vote, is_granted: answer.vote_granted, last, age_ms })
    }

    /// Says which of the rules about votes has decided.
    fn mark_vote(&self, last: &Option<LogIdOf<Types>>, answer: &VoteResponse<Types>) {
        if answer.vote_granted {
            return mark_if(!self.has_heard_leader(), "vote.granted_after_restart");
        }
        mark_if(self.follows(), "vote.refused_leader_heard");
        mark_if(*last < answer.last_log_id && !self.follows(), "vote.refused_log_behind");
    }

    /// Collects pieces in order; a piece that does not follow starts over or is answered with
    /// nothing, which makes the sender begin again.
    async fn receive(
        &self,
        vote: StoredVote,
        meta: SnapshotMeta,
        offset: u64,
        bytes: Bytes,
        is_last: bool,
    ) -> Option<Reply> {
        let whole = {
            let mut receiving = self.receiving();
            if offset == 0 {
                *receiving = Some(Receiving { vote, meta: meta.clone(), bytes: Vec::new() });
            }
            let current = receiving.as_mut()?;
            let follows = current.vote == vote
                && current.meta == meta
                && current.bytes.len() as u64 == offset;
            if !follows {
                *receiving = None;
                return None;
            }
            current.bytes.extend_from_slice(&bytes);
            if !is_last {
                return Some(Reply::Snapshot { vote });
            }
            receiving.take()?
        };
        let snapshot = SnapshotOf::<Types, Bytes> {
            meta: from_meta(&whole.meta),
            snapshot: whole.bytes.into(),
        };
        let installed = self.raft.install_full_snapshot(from_vote(vote), snapshot).await.ok()?;
        Some(Reply::Snapshot { vote: to_vote(&installed.vote) })
    }

    fn receiving(&self) -> MutexGuard<'_, Option<Receiving>> {
        self.receiving.lock().expect("no code panics while it holds a snapshot")
    }
}
