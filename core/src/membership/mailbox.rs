//! The messages that drive [`MembershipActor`]: one handler per message, each one input.

use actix::prelude::*;
use futures_util::future::FutureExt;

use super::actor::{MembershipActor, Reply};
use super::state::Input;
use super::{AskView, ChangeMembers, RosterApplied};
use crate::error::MembershipError;
use crate::heartbeat::{PathChanged, PeerHealth};
use crate::link::Received;
use crate::replication::ConsensusReport;

impl Handler<Received> for MembershipActor {
    type Result = ();

    fn handle(&mut self, received: Received, ctx: &mut Context<Self>) {
        self.hear(&received.payload, ctx);
    }
}

impl Handler<PeerHealth> for MembershipActor {
    type Result = ();

    fn handle(&mut self, PeerHealth { peer, health }: PeerHealth, ctx: &mut Context<Self>) {
        self.advance(Input::HealthChanged { peer, health }, ctx);
    }
}

impl Handler<PathChanged> for MembershipActor {
    type Result = ();

    fn handle(&mut self, PathChanged { peer, path }: PathChanged, ctx: &mut Context<Self>) {
        self.advance(Input::PathChanged { peer, path }, ctx);
    }
}

impl Handler<RosterApplied> for MembershipActor {
    type Result = ();

    fn handle(&mut self, RosterApplied { roster }: RosterApplied, ctx: &mut Context<Self>) {
        self.advance(Input::RosterApplied { roster }, ctx);
    }
}

impl Handler<ConsensusReport> for MembershipActor {
    type Result = ();

    fn handle(&mut self, report: ConsensusReport, ctx: &mut Context<Self>) {
        self.advance(Input::ConsensusChanged { report }, ctx);
    }
}

impl Handler<ChangeMembers> for MembershipActor {
    type Result = ResponseFuture<Reply>;

    fn handle(&mut self, change: ChangeMembers, ctx: &mut Context<Self>) -> Self::Result {
        let reply = self.request(change, ctx);
        let this = self.node();
        Box::pin(reply.map(move |got| got.unwrap_or(Err(MembershipError::NotLeader { this }))))
    }
}

impl Handler<AskView> for MembershipActor {
    type Result = MessageResult<AskView>;

    fn handle(&mut self, AskView: AskView, _ctx: &mut Context<Self>) -> Self::Result {
        MessageResult(self.table())
    }
}
