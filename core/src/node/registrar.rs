//! What a node writes into the roster by itself: its own public key, and where it listens.
//!
//! Nobody else writes an address, so the roster holds of each member what it last said of itself;
//! `book.rs` says who reads it, and what counts more.

use std::time::Duration;

use actix::prelude::*;

use crate::codec::{EntryKind, decode, encode};
use crate::config::MemberSettings;
use crate::ids::{NodeId, RequestId};
use crate::membership::{Roster, RosterChange, RosterOutcome};
use crate::replication::{PendingWrite, ReplicationActor, Write, outcome};
use crate::watch;

/// Between two attempts, when a write was not acknowledged: an election is probably under way. Also
/// after a write, so that what it did is applied here before it is looked for.
const RETRY_PAUSE: Duration = Duration::from_millis(300);

pub(super) struct Registrar {
    pub(super) this: NodeId,
    pub(super) public_key: [u8; 32],
    /// Where this node listens. `None` if others reach it elsewhere, as only they know.
    pub(super) place: Option<MemberSettings>,
    pub(super) roster: watch::Receiver<Roster>,
    pub(super) replication: Addr<ReplicationActor>,
}

impl Registrar {
    /// Ends with the node: while the log is replayed, the roster may name an older place that
    /// happens to be the present one, and a later entry another.
    pub(super) async fn run(mut self) {
        loop {
            if let Some(change) = self.due() {
                let is_refused = self.write(change).await;
                tokio::time::sleep(RETRY_PAUSE).await;
                if !is_refused {
                    continue;
                }
            }
            if self.roster.changed().await.is_err() {
                return;
            }
        }
    }

    /// What the roster does not say yet. Key and place are their owner's to write, once the roster
    /// names the owner.
    fn due(&mut self) -> Option<RosterChange> {
        let (id, public_key) = (self.this, self.public_key);
        let roster = self.roster.borrow_and_update();
        let member = roster.get(id)?;
        if member.public_key != Some(public_key) {
            return Some(RosterChange::SetKey { id, public_key });
        }
        let settings = self.place.clone()?;
        let is_news = member.settings != settings;
        is_news.then_some(RosterChange::SetAddress { id, settings })
    }

    /// True if the roster refuses the change: then only another roster makes it worth repeating.
    async fn write(&self, change: RosterChange) -> bool {
        let payload = encode(&change).into();
        let (write, result) =
            PendingWrite::new(EntryKind::Membership, payload, RequestId::NONE, false);
        self.replication.do_send(Write::New(write));
        let Ok(written) = outcome(result).await else { return false };
        let applied: Result<RosterOutcome, String> =
            decode("roster outcome", &written.reply).unwrap_or_else(|error| Err(error.to_string()));
        let node = self.this;
        match applied {
            Ok(_) => tracing::info!(%node, ?change, "roster updated by its member"),
            Err(ref error) => tracing::warn!(%node, %error, "the roster refuses what it is told"),
        }
        applied.is_err()
    }
}
