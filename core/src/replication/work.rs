//! What the shell hands to tasks: waiting for consensus, for other nodes, for the disk.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::rc::Rc;
use std::time::Duration;

use actix::prelude::*;
use bytes::Bytes;
use tokio::sync::oneshot;

use super::actor::ReplicationActor;
use super::consensus::{Consensus, Line, Question, Reply};
use super::handlers::{Confirmed, Facts, Write};
use super::{Answer, Proposed};
use crate::codec::{Entry, EntryKind};
use crate::error::{ReadError, WriteError};
use crate::ids::{LogIndex, NodeId, RequestId};
use crate::observe::{mark, planted};
use crate::rpc::CallError;
use crate::watch;

/// The facts of consensus change with every entry; nobody needs them more often than this.
const WATCH_PAUSE_MS: u64 = 10;

/// A write that has no outcome yet.
pub(crate) struct PendingWrite {
    entry: Entry,
    is_forwarded: bool,
    reply: oneshot::Sender<Result<Proposed, WriteError>>,
}

impl PendingWrite {
    /// The write, and where its outcome will come.
    pub(crate) fn new(
        kind: EntryKind,
        payload: Bytes,
        request_id: RequestId,
        is_forwarded: bool,
    ) -> (PendingWrite, oneshot::Receiver<Result<Proposed, WriteError>>) {
        let (reply, outcome) = oneshot::channel();
        let entry = Entry { kind, request_id, payload };
        (PendingWrite { entry, is_forwarded, reply }, outcome)
    }

    /// As a log would that has applied it.
    #[cfg(test)]
    pub(crate) fn answer(self, proposed: Proposed) {
        let _ = self.reply.send(Ok(proposed)); // whoever asked may have gone
    }

    pub(crate) fn size_bytes(&self) -> u64 {
        self.entry.payload.len() as u64
    }

    pub(crate) fn is_forwarded(&self) -> bool {
        self.is_forwarded
    }
}

/// A read that has no answer yet.
pub(crate) enum PendingRead {
    /// A client of this node.
    Query { query: Bytes, reply: oneshot::Sender<Result<Answer, ReadError>> },
    /// A replica, which reads its own state.
    Index { reply: oneshot::Sender<Result<LogIndex, ReadError>> },
}

impl PendingRead {
    // A reply that nobody waits for any more is not news.
    pub(crate) fn refuse(self, error: ReadError) {
        match self {
            PendingRead::Query { reply, .. } => drop(reply.send(Err(error))),
            PendingRead::Index { reply } => drop(reply.send(Err(error))),
        }
    }
}

/// The outcome of a write; a node that ends leaves it unknown.
pub(crate) fn outcome(
    outcome: oneshot::Receiver<Result<Proposed, WriteError>>,
) -> ResponseFuture<Result<Proposed, WriteError>> {
    let unknown = WriteError::OutcomeUnknown { waited_ms: 0 };
    Box::pin(async move { outcome.await.unwrap_or(Err(unknown)) })
}

pub(super) fn resolve(
    in_flight: &Rc<Cell<u64>>,
    write: PendingWrite,
    result: Result<Proposed, WriteError>,
) {
    in_flight.set(in_flight.get() - 1);
    let _ = write.reply.send(result);
}

/// Proposes a batch; what consensus refuses comes back as bounced.
pub(super) fn propose(
    actor: &ReplicationActor,
    batch: Vec<PendingWrite>,
    back: Addr<ReplicationActor>,
) {
    let (consensus, leader) = (actor.consensus.clone(), actor.this);
    let in_flight = actor.in_flight.clone();
    tokio::task::spawn_local(async move {
        let commands = batch.iter().map(|write| write.entry.to_bytes()).collect();
        let mut batch = batch.into_iter();
        let proposing = consensus.propose(commands, |result| {
            let write = batch.next().expect("one outcome per command");
            match result {
                Ok(outcome) => {
                    let (index, reply) = (outcome.index, outcome.reply);
                    resolve(&in_flight, write, Ok(Proposed { index, reply, leader }));
                }
                Err(WriteError::NotLeader { .. } | WriteError::NoLeader { .. }) => {
                    back.do_send(Write::Bounced(write));
                }
                Err(error) => resolve(&in_flight, write, Err(error)),
            }
        });
        proposing.await;
    });
}

/// Proposes an entry of the node's own, whose outcome is seen when it is applied, or never.
pub(super) fn propose_own(
    actor: &ReplicationActor,
    kind: EntryKind,
    payload: Bytes,
    back: Addr<ReplicationActor>,
) {
    let (write, _outcome) = PendingWrite::new(kind, payload, RequestId::NONE, true);
    actor.in_flight.set(actor.in_flight.get() + 1);
    propose(actor, vec![write], back);
}

/// Sends a write to the leader, once.
///
/// A leader whose machine is dark says nothing for good. When another one is known, and the first
/// has not answered soon after, the outcome is unknown: the client may ask again, under its id.
pub(super) fn forward(actor: &ReplicationActor, write: PendingWrite, to: NodeId) {
    let (lines, this, in_flight) = (actor.lines.clone(), actor.this, actor.in_flight.clone());
    let (clock, leads) = (actor.env.clock.clone(), actor.leads.subscribe());
    // The leader gives up first, so that its own words arrive.
    let (waited_ms_max, patience_ms) = (actor.write_timeout_ms + 500, actor.silence_ms_max);
    tokio::task::spawn_local(async move {
        let began = clock.now();
        let Entry { kind, request_id, payload } = write.entry.clone();
        let question = Question::Write { kind: kind.to_byte(), payload, request_id };
        let answer = tokio::select! {
            biased;
            answer = lines.ask_within(to, Line::Forward, &question, waited_ms_max) => Some(answer),
            () = is_succeeded(to, leads, patience_ms) => None,
        };
        let waited_ms = clock.now().ms_since(began);
        let result = match answer {
            Some(Ok(Reply::Write(result))) => result,
            Some(Err(CallError::Unreachable { .. })) => Err(WriteError::NoLeader { this }),
            Some(Ok(_) | Err(CallError::NoAnswer { .. })) | None => {
                Err(WriteError::OutcomeUnknown { waited_ms })
            }
        };
        resolve(&in_flight, write, result);
    });
}

/// Waits until another than `leader` leads, and so long after; for ever if none does.
async fn is_succeeded(
    leader: NodeId,
    mut leads: watch::Receiver<Option<NodeId>>,
    patience_ms: u64,
) {
    if planted("forward_waits_for_the_old_leader")
        || leads.wait_for(|now| now.is_some_and(|now| now != leader)).await.is_err()
    {
        return std::future::pending().await;
    }
    tokio::time::sleep(Duration::from_millis(patience_ms)).await;
}

/// Asks a quorum, or the leader, up to where reads must see.
pub(super) fn confirm(
    actor: &ReplicationActor,
    from: Option<NodeId>,
    back: Addr<ReplicationActor>,
) {
    let (consensus, lines) = (actor.consensus.clone(), actor.lines.clone());
    // A leader that is gone must not hold up the reads that came after it went.
    let (clock, timeout_ms) = (actor.env.clock.clone(), actor.confirm_timeout_ms);
    tokio::task::spawn_local(async move {
        let began = clock.now();
        let asking = async {
            match from {
                None => consensus.read_index().await,
                Some(leader) => {
                    let question = Question::ReadIndex;
                    let asked = lines.ask_within(leader, Line::Forward, &question, timeout_ms);
                    match asked.await {
                        Ok(Reply::ReadIndex(index)) => index,
                        Ok(_) | Err(_) => None,
                    }
                }
            }
        };
        let limit = Duration::from_millis(timeout_ms);
        let index = tokio::time::timeout(limit, asking).await.unwrap_or(None);
        back.do_send(Confirmed { index, waited_ms: clock.now().ms_since(began) });
    });
}

/// Serves reads once the state has applied `index`.
pub(super) fn serve(actor: &ReplicationActor, reads: Vec<PendingRead>, index: LogIndex) {
    let (consensus, machine) = (actor.consensus.clone(), actor.machine.clone());
    let leader = actor.leader();
    let mut queries = Vec::new();
    for read in reads {
        match read {
            PendingRead::Query { query, reply } => queries.push((query, reply)),
            PendingRead::Index { reply } => drop(reply.send(Ok(index))),
        }
    }
    let serve = move |queries: Vec<(Bytes, oneshot::Sender<_>)>| {
        machine.with(|applied| {
            for (query, reply) in queries {
                let (index, answer) = (applied.index(), applied.query(&query));
                let _ = reply.send(Ok(Answer { index, age_ms: 0, reply: answer, leader }));
            }
        });
    };
    if queries.is_empty() {
        return;
    }
    if actor.machine.with(|applied| applied.index()) >= index {
        return serve(queries);
    }
    mark("read.waited_for_apply");
    let (clock, began) = (actor.env.clock.clone(), actor.env.clock.now());
    tokio::task::spawn_local(async move {
        if consensus.wait_applied(index).await {
            return serve(queries);
        }
        let waited_ms = clock.now().ms_since(began);
        for (_, reply) in queries {
            let _ = reply.send(Err(ReadError::NotConfirmed { waited_ms }));
        }
    });
}

/// Takes a snapshot because of the size of the log.
pub(super) fn snapshot(actor: &ReplicationActor) {
    let consensus = actor.consensus.clone();
    tokio::task::spawn_local(async move { consensus.snapshot_now().await });
}

/// Keeps consensus awake, and the actor informed, for as long as they live.
pub(super) fn watch(consensus: &Consensus, actor: Addr<ReplicationActor>) {
    let (consensus, paced) = (consensus.clone(), consensus.clone());
    tokio::task::spawn_local(async move { paced.keep_pace().await });
    tokio::task::spawn_local(async move {
        consensus.watch(WATCH_PAUSE_MS, |facts| actor.do_send(Facts(facts))).await;
    });
}

/// What ends with the node.
#[derive(Clone, Default)]
pub(crate) struct Tasks(Rc<RefCell<Vec<End>>>);

/// One thing to do at the end.
type End = Box<dyn FnOnce()>;

impl Tasks {
    /// Runs a local task until it or the node ends.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + 'static) {
        let handle = tokio::task::spawn_local(task).abort_handle();
        self.at_end(move || handle.abort());
    }

    /// Does something when the node ends.
    pub(crate) fn at_end(&self, end: impl FnOnce() + 'static) {
        self.0.borrow_mut().push(Box::new(end));
    }

    fn end(&self) {
        let ends = self.0.take();
        ends.into_iter().for_each(|end| end());
    }
}

/// Ends consensus, then the log, then whatever else the node runs.
pub(super) fn stop(actor: &ReplicationActor) -> ResponseFuture<()> {
    let (consensus, log) = (actor.consensus.clone(), actor.log.clone());
    let tasks = actor.tasks.clone();
    Box::pin(async move {
        consensus.stop().await;
        let (sender, flushed) = oneshot::channel();
        log.flush(Box::new(move |result| drop(sender.send(result))));
        // A log that cannot be flushed loses nothing acknowledged: only the commit index is older.
        let _ = flushed.await;
        tasks.end();
    })
}
