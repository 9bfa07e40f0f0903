//! What a node writes into the roster by itself: its own public key.

use std::time::Duration;

use actix::prelude::*;

use crate::codec::{EntryKind, encode};
use crate::ids::{NodeId, RequestId};
use crate::membership::{Roster, RosterChange};
use crate::replication::{PendingWrite, ReplicationActor, Write, outcome};
use crate::watch;

/// Between two attempts, when a write was not acknowledged: an election is probably under way.
const RETRY_PAUSE: Duration = Duration::from_millis(300);

pub(super) struct Registrar {
    pub(super) this: NodeId,
    pub(super) public_key: [u8; 32],
    pub(super) roster: watch::Receiver<Roster>,
    pub(super) replication: Addr<ReplicationActor>,
}

impl Registrar {
    /// Ends once the roster names this node's key.
    pub(super) async fn run(mut self) {
        loop {
            if self.is_registered() {
                return;
            }
            match self.due() {
                Some(change) => {
                    if !self.write(change).await {
                        tokio::time::sleep(RETRY_PAUSE).await;
                    }
                }
                None => {
                    if self.roster.changed().await.is_err() {
                        return;
                    }
                }
            }
        }
    }

    fn is_registered(&self) -> bool {
        let roster = self.roster.borrow();
        roster.get(self.this).is_some_and(|member| member.public_key == Some(self.public_key))
    }

    /// A key is its owner's to write, once the roster names the owner.
    fn due(&self) -> Option<RosterChange> {
        let (id, public_key) = (self.this, self.public_key);
        self.roster.borrow().get(id).map(|_| RosterChange::SetKey { id, public_key })
    }

    async fn write(&self, change: RosterChange) -> bool {
        let payload = encode(&change).into();
        let (write, result) =
            PendingWrite::new(EntryKind::Membership, payload, RequestId::NONE, false);
        self.replication.do_send(Write::New(write));
        outcome(result).await.is_ok()
    }
}
