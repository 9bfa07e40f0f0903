//! The shell's handlers for changes of the members, ordered by membership.

use actix::prelude::*;

use super::actor::ReplicationActor;
use super::handlers::Write;
use super::work::{self, PendingWrite};
use crate::codec::{EntryKind, decode, encode};
use crate::error::{MembershipError, WriteError};
use crate::ids::RequestId;
use crate::membership::{
    AddLearner, AddressLearnt, ChangeVoters, DropLearner, ProposeRoster, RosterOutcome,
};

impl Handler<ProposeRoster> for ReplicationActor {
    type Result = ResponseFuture<Result<RosterOutcome, MembershipError>>;

    fn handle(&mut self, order: ProposeRoster, ctx: &mut Context<Self>) -> Self::Result {
        let this = self.this;
        let payload = encode(&order.change).into();
        // Not forwarded: only the leader's membership may change the members.
        let (write, result) =
            PendingWrite::new(EntryKind::Membership, payload, RequestId::NONE, true);
        self.admit(Write::New(write), ctx);
        Box::pin(async move {
            let proposed = work::outcome(result).await.map_err(|error| match error {
                WriteError::OutcomeUnknown { waited_ms } => {
                    MembershipError::OutcomeUnknown { waited_ms }
                }
                WriteError::NotLeader { .. } | WriteError::NoLeader { .. } => {
                    MembershipError::NotLeader { this }
                }
                WriteError::Overloaded { .. }
                | WriteError::TooLarge { .. }
                | WriteError::Stopping { .. }
                | WriteError::HandingOver => MembershipError::Refused { detail: error.to_string() },
            })?;
            let applied: Result<RosterOutcome, String> =
                decode("roster outcome", &proposed.reply).expect("our own state wrote it");
            applied.map_err(|detail| MembershipError::Refused { detail })
        })
    }
}

impl Handler<AddLearner> for ReplicationActor {
    type Result = ResponseFuture<Result<(), MembershipError>>;

    fn handle(&mut self, AddLearner { id }: AddLearner, _: &mut Context<Self>) -> Self::Result {
        let consensus = self.consensus.clone();
        Box::pin(async move { consensus.add_learner(id).await })
    }
}

impl Handler<ChangeVoters> for ReplicationActor {
    type Result = ResponseFuture<Result<(), MembershipError>>;

    fn handle(&mut self, order: ChangeVoters, _: &mut Context<Self>) -> Self::Result {
        let consensus = self.consensus.clone();
        Box::pin(async move { consensus.change_voters(order.voters.into_iter().collect()).await })
    }
}

impl Handler<DropLearner> for ReplicationActor {
    type Result = ResponseFuture<Result<(), MembershipError>>;

    fn handle(&mut self, DropLearner { id }: DropLearner, _: &mut Context<Self>) -> Self::Result {
        let consensus = self.consensus.clone();
        Box::pin(async move { consensus.drop_learner(id).await })
    }
}

impl Handler<AddressLearnt> for ReplicationActor {
    type Result = ();

    fn handle(&mut self, learnt: AddressLearnt, _: &mut Context<Self>) {
        (self.learn)(learnt.node, learnt.membership);
    }
}
