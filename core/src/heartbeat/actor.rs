//! The shell around [`Heartbeat`]: clock, timer, link and reports. It decides nothing.

use std::hash::BuildHasher;
use std::time::Duration;

use actix::prelude::*;

use super::state::{Effect, Heartbeat, Input, Pulse, Tuning};
use super::{AskPulse, PathChanged, Paused, PeerHealth, PeerLoss, PeerPulse, SetPeers};
use crate::codec::{self, Channel};
use crate::config::ClusterSettings;
use crate::ids::NodeId;
use crate::last_inputs::{self, ActorName};
use crate::link::{Link, Received};
use crate::observe::planted;
use crate::ports::Env;

/// Frames that may wait; more than a few per peer are late anyway.
const MAILBOX_COUNT_MAX: usize = 256;
/// How often UDP is tried again while TCP is used.
const UDP_RETRY_MS: u64 = 3_000;

/// Who hears of changes.
#[derive(Clone)]
pub struct Reports {
    /// This node was paused: to leader.
    pub paused: Recipient<Paused>,
    /// A peer's health changed: to leader and membership.
    pub health: Vec<Recipient<PeerHealth>>,
    /// A peer became lossy, or is it no more: to replication.
    pub loss: Recipient<PeerLoss>,
    /// A peer's path changed: to membership.
    pub path: Recipient<PathChanged>,
}

/// The heartbeat actor of one node.
pub struct HeartbeatActor {
    node: NodeId,
    env: Env,
    link: Link,
    reports: Reports,
    state: Heartbeat,
    timer: Option<SpawnHandle>,
}

impl HeartbeatActor {
    /// Pings nobody before the first [`SetPeers`].
    pub fn new(
        node: NodeId,
        env: &Env,
        link: Link,
        settings: &ClusterSettings,
        reports: Reports,
    ) -> HeartbeatActor {
        let tuning = Tuning {
            ping_interval_ms: settings.ping_interval_ms,
            missed_pings_max: settings.missed_pings_max,
            pause_ms: settings.lease_ms / 2,
            udp_retry_ms: UDP_RETRY_MS,
        };
        let state = Heartbeat::new(tuning, env.clock.now().ns);
        HeartbeatActor { node, env: env.clone(), link, reports, state, timer: None }
    }

    /// The whole shell: read the clock once, step, perform the effects in order.
    fn advance(&mut self, input: Input, ctx: &mut Context<Self>) {
        let now = self.env.clock.now();
        let _running = last_inputs::note(ActorName::Heartbeat, self.node, now, input.brief());
        let mut effects = Vec::new();
        self.state.step(now, input, &mut effects);
        if planted("effects_in_any_order") {
            // As a hash table gives them out: its keys are drawn anew each time.
            let drawn = std::hash::RandomState::new();
            effects.sort_by_cached_key(|effect| drawn.hash_one(format!("{effect:?}")));
        }
        for effect in effects {
            self.perform(effect, ctx);
        }
    }

    /// The only place where this actor touches the world. Exhaustive: no `_` arm.
    fn perform(&mut self, effect: Effect, ctx: &mut Context<Self>) {
        let node = self.node;
        match effect {
            Effect::ReportPause { length_ms } => {
                tracing::warn!(%node, length_ms, "this node was paused");
                self.reports.paused.do_send(Paused { length_ms });
            }
            Effect::Send { to, address, path, pulse } => {
                self.link.send(to, address, path, Channel::Heartbeat, &codec::encode(&pulse));
            }
            Effect::ReportHealth { peer, health } => {
                tracing::info!(%node, %peer, ?health, "peer health changed");
                for report in &self.reports.health {
                    report.do_send(PeerHealth { peer, health });
                }
            }
            Effect::ReportPath { peer, path } => {
                tracing::info!(%node, %peer, ?path, "path to peer changed");
                self.reports.path.do_send(PathChanged { peer, path });
            }
            Effect::ReportLoss { peer, is_lossy } => {
                tracing::info!(%node, %peer, is_lossy, "losses on the way to a peer changed");
                self.reports.loss.do_send(PeerLoss { peer, is_lossy });
            }
            Effect::ResetStream { peer } => self.link.reset(peer),
            Effect::SetTimer { at } => {
                if let Some(earlier) = self.timer.take() {
                    ctx.cancel_future(earlier);
                }
                let wait: Duration = at.since(self.env.clock.now());
                let fire = |actor: &mut Self, ctx: &mut Context<Self>| {
                    actor.timer = None;
                    actor.advance(Input::TimerFired, ctx);
                };
                self.timer = Some(ctx.run_later(wait, fire));
            }
        }
    }
}

impl Actor for HeartbeatActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        ctx.set_mailbox_capacity(MAILBOX_COUNT_MAX);
    }
}

impl Handler<Received> for HeartbeatActor {
    type Result = ();

    fn handle(&mut self, received: Received, ctx: &mut Context<Self>) {
        match codec::decode::<Pulse>("ping or pong", &received.payload) {
            Ok(pulse) => {
                let Received { from, address, path, payload: _ } = received;
                self.advance(Input::PulseReceived { from, address, path, pulse }, ctx);
            }
            // The frame's checksum held, so its sender means something that this build does not
            // know: worth a look while debugging, and never a flood.
            Err(error) => tracing::debug!(node = %self.node, %error, "pulse refused"),
        }
    }
}

impl Handler<SetPeers> for HeartbeatActor {
    type Result = ();

    fn handle(&mut self, SetPeers { peers }: SetPeers, ctx: &mut Context<Self>) {
        self.advance(Input::PeersSet { peers }, ctx);
    }
}

impl Handler<AskPulse> for HeartbeatActor {
    type Result = MessageResult<AskPulse>;

    fn handle(&mut self, AskPulse: AskPulse, _ctx: &mut Context<Self>) -> Self::Result {
        let pulses: Vec<PeerPulse> = self.state.pulses();
        MessageResult(pulses)
    }
}
