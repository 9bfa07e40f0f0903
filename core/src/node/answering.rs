//! What arrives on port 8300: consensus answers its own questions, replication the rest.

use actix::prelude::*;
use bytes::Bytes;
use futures_util::future::LocalBoxFuture;

use crate::codec::{EntryKind, decode, encode};
use crate::ids::NodeId;
use crate::replication::{
    AskReadIndex, Consensus, PendingWrite, Question, ReplicationActor, Reply, Write, outcome,
};
use crate::rpc::Answering;

/// Answers for one node.
pub(super) struct NodeAnswering {
    pub(super) consensus: Consensus,
    pub(super) replication: Addr<ReplicationActor>,
}

impl Answering for NodeAnswering {
    fn answer(&self, from: NodeId, request: Bytes) -> LocalBoxFuture<'static, Option<Bytes>> {
        let (consensus, replication) = (self.consensus.clone(), self.replication.clone());
        Box::pin(async move {
            let question: Question = match decode("question", &request) {
                Ok(question) => question,
                Err(error) => {
                    tracing::warn!(%from, %error, "a question cannot be read");
                    return None;
                }
            };
            let reply = match question {
                Question::ReadIndex => {
                    let index = replication.send(AskReadIndex).await.ok()?;
                    Reply::ReadIndex(index.ok())
                }
                Question::Write { kind, payload, request_id } => {
                    let kind = EntryKind::from_byte(kind).ok()?;
                    let (write, result) = PendingWrite::new(kind, payload, request_id, true);
                    replication.send(Write::New(write)).await.ok()?;
                    Reply::Write(outcome(result).await)
                }
                consensus_question @ (Question::Append { .. }
                | Question::Vote { .. }
                | Question::SnapshotPiece { .. }
                | Question::Transfer { .. }) => consensus.answer(consensus_question).await?,
            };
            Some(encode(&reply).into())
        })
    }
}
