//! The shell's handlers: requests, orders of the other actors, reports of its own tasks.

use actix::prelude::*;
use tokio::sync::oneshot;

use super::actor::ReplicationActor;
use super::consensus::Watched;
use super::state::Input;
use super::work::{self, PendingRead, PendingWrite};
use super::{
    Answer, AskFacts, AskProgress, Consistency, PauseWrites, Propose, ProposeRecord, Proposed,
    Read, ReplicationFacts, TransferLeadership,
};
use crate::codec::{EntryKind, encode};
use crate::error::{ReadError, WriteError};
use crate::heartbeat::PeerLoss;
use crate::ids::LogIndex;

/// A write on its way: asked here, sent by a replica, or refused by consensus. Sent by the node's
/// own code.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) enum Write {
    New(PendingWrite),
    Bounced(PendingWrite),
}

/// Up to which index must a replica apply before it serves a read? Sent by the answering side.
#[derive(Message)]
#[rtype(result = "Result<LogIndex, ReadError>")]
pub(crate) struct AskReadIndex;

/// The facts of consensus have changed. Sent by the task that watches it.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Facts(pub(crate) Watched);

/// A confirmation of reads has ended. Sent by the task that asked for it.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Confirmed {
    pub(crate) index: Option<LogIndex>,
    pub(crate) waited_ms: u64,
}

/// Proposes what has gathered. Sent by the actor to itself, behind what waits in its mailbox.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct Flush;

/// No more requests: the node ends. Sent by the node's handle; answered when all is durable.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Stop;

impl Handler<Propose> for ReplicationActor {
    type Result = ResponseFuture<Result<Proposed, WriteError>>;

    fn handle(
        &mut self,
        Propose { command, request_id }: Propose,
        ctx: &mut Context<Self>,
    ) -> Self::Result {
        let (pending, outcome) =
            PendingWrite::new(EntryKind::Application, command, request_id, false);
        self.admit(Write::New(pending), ctx);
        work::outcome(outcome)
    }
}

impl Handler<Write> for ReplicationActor {
    type Result = ();

    fn handle(&mut self, write: Write, ctx: &mut Context<Self>) {
        self.admit(write, ctx);
    }
}

impl Handler<Flush> for ReplicationActor {
    type Result = ();

    fn handle(&mut self, _: Flush, ctx: &mut Context<Self>) {
        let batch = std::mem::take(&mut self.batch);
        work::propose(self, batch, ctx.address());
    }
}

impl Handler<Read> for ReplicationActor {
    type Result = ResponseFuture<Result<Answer, ReadError>>;

    fn handle(
        &mut self,
        Read { query, consistency }: Read,
        ctx: &mut Context<Self>,
    ) -> Self::Result {
        match consistency {
            Consistency::Stale => {
                let answer = self.answer_now(&query);
                Box::pin(async move { Ok(answer) })
            }
            Consistency::Linearizable => {
                let (reply, answer) = oneshot::channel();
                self.ask_read(PendingRead::Query { query, reply }, ctx);
                let stopping = ReadError::Stopping { this: self.this };
                Box::pin(async move { answer.await.unwrap_or(Err(stopping)) })
            }
        }
    }
}

impl Handler<AskReadIndex> for ReplicationActor {
    type Result = ResponseFuture<Result<LogIndex, ReadError>>;

    fn handle(&mut self, _: AskReadIndex, ctx: &mut Context<Self>) -> Self::Result {
        let (reply, index) = oneshot::channel();
        self.ask_read(PendingRead::Index { reply }, ctx);
        let stopping = ReadError::Stopping { this: self.this };
        Box::pin(async move { index.await.unwrap_or(Err(stopping)) })
    }
}

impl Handler<Confirmed> for ReplicationActor {
    type Result = ();

    fn handle(&mut self, Confirmed { index, waited_ms }: Confirmed, ctx: &mut Context<Self>) {
        self.advance(Input::ReadsConfirmed { index, waited_ms }, ctx);
    }
}

impl Handler<Facts> for ReplicationActor {
    type Result = ();

    fn handle(&mut self, Facts(facts): Facts, ctx: &mut Context<Self>) {
        self.advance(Input::LeaderChanged { role: facts.role, leader: facts.leader }, ctx);
        let since_snapshot_bytes = self.machine.with(|applied| applied.since_snapshot_bytes());
        self.advance(Input::Applied { since_snapshot_bytes }, ctx);
        self.report(facts);
    }
}

impl Handler<PeerLoss> for ReplicationActor {
    type Result = ();

    fn handle(&mut self, PeerLoss { peer, is_lossy }: PeerLoss, _ctx: &mut Context<Self>) {
        self.consensus.note_loss(peer, is_lossy);
    }
}

impl Handler<PauseWrites> for ReplicationActor {
    type Result = ();

    fn handle(&mut self, PauseWrites { paused }: PauseWrites, ctx: &mut Context<Self>) {
        self.advance(Input::WritesPaused { paused }, ctx);
    }
}

impl Handler<Stop> for ReplicationActor {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, _: Stop, ctx: &mut Context<Self>) -> Self::Result {
        self.advance(Input::Stopping, ctx);
        work::stop(self)
    }
}

impl Handler<ProposeRecord> for ReplicationActor {
    type Result = ();

    /// Not held back while writes are paused: it is what a hand-over ends with.
    fn handle(&mut self, ProposeRecord { record }: ProposeRecord, ctx: &mut Context<Self>) {
        work::propose_own(self, EntryKind::Leadership, encode(&record).into(), ctx.address());
    }
}

impl Handler<AskProgress> for ReplicationActor {
    type Result = MessageResult<AskProgress>;

    fn handle(&mut self, AskProgress { of }: AskProgress, _: &mut Context<Self>) -> Self::Result {
        MessageResult(self.consensus.progress(of))
    }
}

impl Handler<TransferLeadership> for ReplicationActor {
    type Result = ();

    fn handle(&mut self, TransferLeadership { to }: TransferLeadership, _: &mut Context<Self>) {
        let consensus = self.consensus.clone();
        tokio::task::spawn_local(async move { consensus.transfer(to).await });
    }
}

impl Handler<AskFacts> for ReplicationActor {
    type Result = ReplicationFacts;

    fn handle(&mut self, _: AskFacts, _: &mut Context<Self>) -> ReplicationFacts {
        self.all_facts()
    }
}
