//! The shell around [`Membership`] and [`Gossip`]: clock, timers, link, orders and replies. It
//! decides nothing. The messages that drive it are in `mailbox.rs`, gossip's half of it is in
//! `gossip_shell.rs`.

use std::collections::BTreeMap;

use actix::prelude::*;
use tokio::sync::oneshot;

use super::gossip::{Gossip, GossipTuning};
use super::orders::Outside;
use super::state::{Effect, Input, Membership, Order};
use super::{AddressLearnt, ChangeMembers, ViewChanged, ViewTable};
use crate::config::{ClusterSettings, MemberSettings};
use crate::error::MembershipError;
use crate::heartbeat::SetPeers;
use crate::ids::NodeId;
use crate::last_inputs::{self, ActorName, Brief, Running};
use crate::link::Link;
use crate::observe::{Told, tell};
use crate::ports::{Env, Now};

/// Frames that may wait.
const MAILBOX_COUNT_MAX: usize = 256;

pub(super) type Reply = Result<Vec<NodeId>, MembershipError>;

/// The membership actor of one node.
pub struct MembershipActor {
    node: NodeId,
    pub(super) env: Env,
    pub(super) link: Link,
    outside: Outside,
    pub(super) state: Membership,
    pub(super) gossip: Gossip,
    waiting: BTreeMap<u64, oneshot::Sender<Reply>>,
    requests_count: u64,
    timer: Option<SpawnHandle>,
    /// With the time for which it is set.
    pub(super) gossip_timer: Option<(Now, SpawnHandle)>,
}

impl MembershipActor {
    /// `start` must grow from start to start of this node, or the others take its first words for
    /// old ones: a counter kept on disk.
    pub fn new(
        node: NodeId,
        env: &Env,
        link: Link,
        settings: &ClusterSettings,
        founders: Vec<MemberSettings>,
        start: u64,
        outside: Outside,
    ) -> MembershipActor {
        let tuning = GossipTuning { pause_ms: settings.lease_ms / 2, ..GossipTuning::default() };
        let rng = env.entropy.fork("gossip");
        let gossip = Gossip::new(node, link.address(), start, tuning, rng);
        MembershipActor {
            node,
            env: env.clone(),
            link,
            outside,
            state: Membership::new(node, founders, settings.follow_moves),
            gossip,
            waiting: BTreeMap::new(),
            requests_count: 0,
            timer: None,
            gossip_timer: None,
        }
    }

    /// The whole shell: read the clock once, step, perform the effects in order.
    pub(super) fn advance(&mut self, input: Input, ctx: &mut Context<Self>) {
        let now = self.env.clock.now();
        let _running = self.note(now, input.brief());
        let mut effects = Vec::new();
        self.state.step(now, input, &mut effects);
        for effect in effects {
            self.perform(now, effect, ctx);
        }
    }

    /// The only place where the state's effects touch the world. Exhaustive: no `_` arm.
    fn perform(&mut self, now: Now, effect: Effect, ctx: &mut Context<Self>) {
        let node = self.node;
        match effect {
            Effect::Announce { to, address } => {
                let mut out = Vec::new();
                self.gossip.announce(now, to, address, &mut out);
                self.perform_gossip(out, ctx);
            }
            Effect::SetPeers { peers } => self.outside.heartbeat.do_send(SetPeers { peers }),
            Effect::ReportView { member, liveness } => {
                tracing::info!(%node, %member, ?liveness, "member is seen differently");
                tell(Told::MemberSeen { by: node, member, liveness });
                let report = ViewChanged { member, liveness };
                self.outside.view.iter().for_each(|to| to.do_send(report));
            }
            Effect::ReportAddress { node: member, address } => {
                tracing::info!(%node, %member, %address, "member moved");
                let report = AddressLearnt { node: member, membership: address };
                self.outside.addresses.iter().for_each(|to| to.do_send(report));
            }
            Effect::Order(order) => self.order(order, ctx),
            Effect::Reply { request, result } => {
                tracing::info!(%node, request, ?result, "change of the members ended");
                if let Some(reply) = self.waiting.remove(&request) {
                    let _ = reply.send(result); // whoever asked may have gone
                }
            }
            Effect::SetTimer { at } => {
                if let Some(earlier) = self.timer.take() {
                    ctx.cancel_future(earlier);
                }
                self.timer = Some(ctx.run_later(at.since(now), |actor, ctx| {
                    actor.timer = None;
                    actor.advance(Input::TimerFired, ctx);
                }));
            }
        }
    }

    fn order(&mut self, order: Order, ctx: &mut Context<Self>) {
        tracing::info!(node = %self.node, ?order, "change of the members goes on");
        let done = self.outside.orders.send(order).into_actor(self).map(|outcome, actor, ctx| {
            // Replication ends only with the node, and then nobody leads here.
            let stopped = Err(MembershipError::NotLeader { this: actor.node });
            actor.advance(Input::OrderDone { outcome: outcome.unwrap_or(stopped) }, ctx);
        });
        ctx.spawn(done);
    }

    /// Keeps who asked until [`Effect::Reply`] names its request.
    pub(super) fn request(
        &mut self,
        change: ChangeMembers,
        ctx: &mut Context<Self>,
    ) -> oneshot::Receiver<Reply> {
        let (sender, reply) = oneshot::channel();
        let request = self.requests_count;
        self.requests_count += 1;
        self.waiting.insert(request, sender);
        self.advance(Input::ChangeRequested { request, change }, ctx);
        reply
    }

    pub(super) fn table(&self) -> ViewTable {
        self.state.table()
    }

    pub(super) fn node(&self) -> NodeId {
        self.node
    }

    pub(super) fn note(&self, now: Now, brief: Brief) -> Running {
        last_inputs::note(ActorName::Membership, self.node, now, brief)
    }
}

impl Actor for MembershipActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        ctx.set_mailbox_capacity(MAILBOX_COUNT_MAX);
        self.advance(Input::Started, ctx);
    }
}
