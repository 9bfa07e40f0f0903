//! The shell of [`Leader`]: mailbox, clock, the watch that everyone reads, commands to replication.
//!
//! It decides nothing. Readers of the watch compare its lease with the clock themselves
//! ([`Leadership::may_act`]), so this actor need not run for a lease to end.
//!
//! Read next: [`LeaderActor::new`], then `state.rs`.

use std::collections::BTreeMap;
use std::sync::Arc;

use actix::prelude::*;
use futures_util::future::LocalBoxFuture;
use tokio::sync::oneshot;

use super::state::{Effect, Input, Leader};
use super::{Leadership, RecordApplied, Switchover};
use crate::config::ClusterSettings;
use crate::error::SwitchoverError;
use crate::heartbeat::{Paused, PeerHealth};
use crate::ids::NodeId;
use crate::last_inputs::{self, ActorName};
use crate::observe::planted;
use crate::ports::{Clock, Env, sleep_until};
use crate::replication::{
    AskProgress, ConsensusReport, PauseWrites, ProposeRecord, QuorumAcked, TransferLeadership,
};
use crate::watch;

/// Where the leader's commands go: all of them to replication.
#[derive(Clone)]
pub struct Commands {
    /// Stops client writes, or lets them go on.
    pub pause_writes: Recipient<PauseWrites>,
    /// Proposes a leadership record.
    pub propose_record: Recipient<ProposeRecord>,
    /// Asks how far a voter's log has come.
    pub ask_progress: Recipient<AskProgress>,
    /// Hands the term over.
    pub transfer_leadership: Recipient<TransferLeadership>,
}

type SwitchoverResult = Result<NodeId, SwitchoverError>;

/// Decides who may act, for one node.
pub struct LeaderActor {
    this: NodeId,
    state: Leader,
    clock: Arc<dyn Clock>,
    commands: Commands,
    published: watch::Sender<Leadership>,
    waiting: BTreeMap<u64, oneshot::Sender<SwitchoverResult>>,
    requests_count: u64,
}

impl LeaderActor {
    /// A node that has heard nothing yet; `published` starts as [`Leadership::unknown`].
    pub fn new(
        this: NodeId,
        cluster: &ClusterSettings,
        env: &Env,
        commands: Commands,
        published: watch::Sender<Leadership>,
    ) -> LeaderActor {
        LeaderActor::with_clock(this, cluster, env.clock.clone(), commands, published)
    }

    /// The clock is all of the world that it uses by itself.
    pub(super) fn with_clock(
        this: NodeId,
        cluster: &ClusterSettings,
        clock: Arc<dyn Clock>,
        commands: Commands,
        published: watch::Sender<Leadership>,
    ) -> LeaderActor {
        let state = Leader::new(this, cluster.clone(), clock.now());
        let waiting = BTreeMap::new();
        LeaderActor { this, state, clock, commands, published, waiting, requests_count: 0 }
    }

    /// The whole shell: read the clock once, step, perform the effects in order.
    fn advance(&mut self, input: Input, ctx: &mut Context<Self>) {
        let now = self.clock.now();
        let _running = last_inputs::note(ActorName::Leader, self.this, now, input.brief());
        let mut effects = Vec::new();
        self.state.step(now, input, &mut effects);
        for effect in effects {
            self.perform(effect, ctx);
        }
    }

    /// The only place where this actor touches the world.
    fn perform(&mut self, effect: Effect, ctx: &mut Context<Self>) {
        match effect {
            Effect::Publish(leadership) => self.publish(leadership),
            Effect::RenewLease { until } => {
                self.published.send_if_modified(|leadership| {
                    leadership.lease_until = until;
                    false // Readers compare it with their clock; nobody waits for it.
                });
            }
            Effect::SetTimer { at } => {
                let clock = self.clock.clone();
                let sleep = async move { sleep_until(&*clock, at).await }.into_actor(self);
                ctx.spawn(sleep.map(|(), actor, ctx| actor.advance(Input::TimerFired, ctx)));
            }
            Effect::PauseWrites { paused } => {
                self.commands.pause_writes.do_send(PauseWrites { paused });
            }
            Effect::Propose(record) => {
                self.commands.propose_record.do_send(ProposeRecord { record });
            }
            Effect::AskProgress { of } => {
                let asked = self.commands.ask_progress.send(AskProgress { of }).into_actor(self);
                ctx.spawn(asked.map(move |answer, actor, ctx| {
                    // Without an answer the state asks again.
                    if let Ok(progress) = answer {
                        actor.advance(Input::ProgressAnswered { of, progress }, ctx);
                    }
                }));
            }
            Effect::Transfer { to } => {
                self.commands.transfer_leadership.do_send(TransferLeadership { to });
            }
            Effect::TransferFailed { to, failed_count } => {
                tracing::warn!(node = %self.this, %to, failed_count, "transfer was not taken");
            }
            Effect::Answer { request, result } => {
                let asker = self.waiting.remove(&request);
                // Who asked may have gone; the hand-over goes on without them.
                let _ = asker.map(|asker| asker.send(result));
            }
        }
    }

    fn publish(&self, leadership: Leadership) {
        let Leadership { node, term, role, elected, token, .. } = &leadership;
        let is_acting = token.is_some();
        tracing::info!(%node, %term, ?role, ?elected, is_acting, "leadership changed");
        if is_acting || !planted("hand_over_before_demotion") {
            self.published.send_replace(leadership);
        }
    }
}

impl Actor for LeaderActor {
    type Context = Context<Self>;
}

impl Handler<ConsensusReport> for LeaderActor {
    type Result = ();

    fn handle(&mut self, report: ConsensusReport, ctx: &mut Context<Self>) {
        self.advance(Input::Consensus(report), ctx);
    }
}

impl Handler<RecordApplied> for LeaderActor {
    type Result = ();

    fn handle(&mut self, applied: RecordApplied, ctx: &mut Context<Self>) {
        self.advance(Input::RecordApplied(applied), ctx);
    }
}

impl Handler<QuorumAcked> for LeaderActor {
    type Result = ();

    fn handle(&mut self, acked: QuorumAcked, ctx: &mut Context<Self>) {
        self.advance(Input::QuorumAcked(acked), ctx);
    }
}

impl Handler<PeerHealth> for LeaderActor {
    type Result = ();

    fn handle(&mut self, health: PeerHealth, ctx: &mut Context<Self>) {
        self.advance(Input::PeerHealth(health), ctx);
    }
}

impl Handler<Paused> for LeaderActor {
    type Result = ();

    fn handle(&mut self, paused: Paused, ctx: &mut Context<Self>) {
        self.advance(Input::Paused(paused), ctx);
    }
}

impl Handler<Switchover> for LeaderActor {
    type Result = LocalBoxFuture<'static, SwitchoverResult>;

    fn handle(&mut self, Switchover { to }: Switchover, ctx: &mut Context<Self>) -> Self::Result {
        let request = self.requests_count;
        self.requests_count += 1;
        let (asker, answer) = oneshot::channel();
        self.waiting.insert(request, asker);
        self.advance(Input::Switchover { request, to }, ctx);
        let this = self.this;
        // The asker is dropped unanswered only when the node ends.
        Box::pin(async move { answer.await.unwrap_or(Err(SwitchoverError::NotLeader { this })) })
    }
}
