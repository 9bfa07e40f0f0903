//! One member without consensus: its link and its membership actor on the ports of a world.
//!
//! For testers that want many members and no replication: gossip among fifty, of which in a real
//! cluster only few vote. Pings are left out as well, so gossip alone says who is alive.
//!
//! Invariants
//! - What consensus would be ordered is refused: nobody leads here.
//!
//! Read next: [`Alone::start`], `actor.rs` for what it starts.

use std::io;

use actix::prelude::*;

use super::{
    AddLearner, AddressLearnt, AskView, ChangeVoters, DropLearner, Liveness, MemberView,
    MembershipActor, Orders, Outside, ProposeRoster, RosterOutcome, ViewChanged,
};
use crate::codec::Identity;
use crate::config::ClusterSettings;
use crate::error::MembershipError;
use crate::heartbeat::SetPeers;
use crate::ids::{ClusterId, Generation, Lineage, NodeId};
use crate::link::{Link, Received};
use crate::ports::{Env, enter_clock};
use crate::security::Protection;

/// A member that gossips and does nothing else.
pub struct Alone {
    membership: Addr<MembershipActor>,
    _link: Link,
}

impl Alone {
    /// Starts the member with this place in the settings; the first is 0. Call it in a `LocalSet`.
    ///
    /// Fails if its port is taken. Panics if the settings have no such place.
    pub async fn start(env: &Env, settings: &ClusterSettings, at: usize) -> io::Result<Alone> {
        enter_clock(&env.clock);
        let node = NodeId(at as u64 + 1);
        let identity = Identity {
            cluster: ClusterId([7; 16]),
            lineage: Lineage(0),
            generation: Generation(0),
            node,
        };
        let link = Link::open(env, identity, settings.members[at].membership(), Protection::none())
            .await?;
        let founders = settings.founders().to_vec();
        let nobody = Nobody { node }.start();
        let outside = Outside {
            heartbeat: nobody.clone().recipient(),
            orders: Orders {
                propose_roster: nobody.clone().recipient(),
                add_learner: nobody.clone().recipient(),
                change_voters: nobody.clone().recipient(),
                drop_learner: nobody.clone().recipient(),
            },
            view: vec![nobody.clone().recipient()],
            addresses: vec![nobody.clone().recipient()],
        };
        let actor = MembershipActor::new(node, env, link.clone(), settings, founders, 1, outside);
        let membership = actor.start();
        link.deliver_to(nobody.recipient(), membership.clone().recipient());
        Ok(Alone { membership, _link: link })
    }

    /// How it sees the others.
    pub async fn view(&self) -> Vec<MemberView> {
        let table = self.membership.send(AskView).await.expect("it runs as long as its machine");
        table.members
    }

    /// How many others it sees alive.
    pub async fn alive_count(&self) -> usize {
        let view = self.view().await;
        view.iter().filter(|seen| seen.liveness == Liveness::Alive).count()
    }
}

/// Stands for everybody whom a member of a whole node talks to.
struct Nobody {
    node: NodeId,
}

impl Actor for Nobody {
    type Context = Context<Self>;
}

/// A report that nobody needs.
macro_rules! ignores {
    ($($message:ty),*) => {$(
        impl Handler<$message> for Nobody {
            type Result = ();
            fn handle(&mut self, _message: $message, _ctx: &mut Context<Self>) {}
        }
    )*};
}

/// An order that only a leader's node carries out.
macro_rules! refuses {
    ($($message:ty => $done:ty),*) => {$(
        impl Handler<$message> for Nobody {
            type Result = Result<$done, MembershipError>;
            fn handle(&mut self, _order: $message, _ctx: &mut Context<Self>) -> Self::Result {
                Err(MembershipError::NotLeader { this: self.node })
            }
        }
    )*};
}

ignores!(SetPeers, ViewChanged, AddressLearnt, Received);
refuses!(ProposeRoster => RosterOutcome, AddLearner => (), ChangeVoters => (), DropLearner => ());
