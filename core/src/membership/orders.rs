//! Whom membership talks to: what it orders from replication, and to whom it reports.

use actix::prelude::*;
use futures_util::future::{FutureExt, LocalBoxFuture};

use super::state::Order;
use super::{
    AddLearner, AddressLearnt, ChangeVoters, DropLearner, ProposeRoster, RosterOutcome, ViewChanged,
};
use crate::error::MembershipError;
use crate::heartbeat::SetPeers;

/// What is ordered from replication.
#[derive(Clone)]
pub struct Orders {
    /// Writes a roster change.
    pub propose_roster: Recipient<ProposeRoster>,
    /// Adds a learner to consensus.
    pub add_learner: Recipient<AddLearner>,
    /// Changes the voters.
    pub change_voters: Recipient<ChangeVoters>,
    /// Takes a learner out of consensus.
    pub drop_learner: Recipient<DropLearner>,
}

/// Whom membership talks to.
#[derive(Clone)]
pub struct Outside {
    /// Heartbeat, which pings whom it is told.
    pub heartbeat: Recipient<SetPeers>,
    /// Replication.
    pub orders: Orders,
    /// Who wants to know how members are seen.
    pub view: Vec<Recipient<ViewChanged>>,
    /// Who connects to members.
    pub addresses: Vec<Recipient<AddressLearnt>>,
}

/// What came of an order; a roster outcome where a roster change was ordered.
pub(super) type Outcome = Result<Option<RosterOutcome>, MembershipError>;

impl Orders {
    /// Sends one order. Resolves with its outcome, or fails if replication has ended.
    pub(super) fn send(
        &self,
        order: Order,
    ) -> LocalBoxFuture<'static, Result<Outcome, MailboxError>> {
        let nothing = |done: Result<(), MembershipError>| done.map(|()| None);
        match order {
            Order::ProposeRoster(change) => {
                let sent = self.propose_roster.send(ProposeRoster { change });
                sent.map(|sent| sent.map(|done| done.map(Some))).boxed_local()
            }
            Order::AddLearner(id) => {
                let sent = self.add_learner.send(AddLearner { id });
                sent.map(move |sent| sent.map(nothing)).boxed_local()
            }
            Order::ChangeVoters(voters) => {
                let sent = self.change_voters.send(ChangeVoters { voters });
                sent.map(move |sent| sent.map(nothing)).boxed_local()
            }
            Order::DropLearner(id) => {
                let sent = self.drop_learner.send(DropLearner { id });
                sent.map(move |sent| sent.map(nothing)).boxed_local()
            }
        }
    }
}
