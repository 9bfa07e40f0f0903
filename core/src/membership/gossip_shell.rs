//! The half of membership's shell that gossip needs: frames in, frames out, and its timer. It
//! decides nothing.

use actix::prelude::*;

use super::actor::MembershipActor;
use super::gossip::GossipEffect;
use super::state::Input;
use crate::codec::Channel;
use crate::last_inputs::Brief;

impl MembershipActor {
    pub(super) fn hear(&mut self, payload: &[u8], ctx: &mut Context<Self>) {
        let now = self.env.clock.now();
        let size_bytes = payload.len() as u64;
        let _running = self.note(now, Brief::of("GossipReceived").with("size_bytes", size_bytes));
        let mut out = Vec::new();
        self.gossip.hear(now, payload, &mut out);
        self.perform_gossip(out, ctx);
    }

    /// Performs what gossip asks for, then sets its next timer.
    pub(super) fn perform_gossip(&mut self, effects: Vec<GossipEffect>, ctx: &mut Context<Self>) {
        for effect in effects {
            match effect {
                GossipEffect::Send { to, address, payload } => {
                    let address = self.state.gossip_address(to, address);
                    let path = self.state.path(to);
                    self.link.send(to, address, path, Channel::Gossip, &payload);
                }
                GossipEffect::Heard { member, liveness, address } => {
                    self.advance(Input::Heard { member, liveness, address }, ctx);
                }
            }
        }
        let next = self.gossip.next_timer();
        if next == self.gossip_timer.map(|(at, _)| at) {
            return;
        }
        if let Some((_, earlier)) = self.gossip_timer.take() {
            ctx.cancel_future(earlier);
        }
        let Some(at) = next else { return };
        let wait = at.since(self.env.clock.now());
        let fire = |actor: &mut Self, ctx: &mut Context<Self>| {
            actor.gossip_timer = None;
            let now = actor.env.clock.now();
            let _running = actor.note(now, Brief::of("GossipTimerFired"));
            let mut out = Vec::new();
            actor.gossip.timer_fired(now, &mut out);
            actor.perform_gossip(out, ctx);
        };
        self.gossip_timer = Some((at, ctx.run_later(wait, fire)));
    }
}
