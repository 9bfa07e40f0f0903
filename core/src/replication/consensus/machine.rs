//! openraft's view of the applied state.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard};

use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use openraft::EntryPayload;
use openraft::storage::{EntryResponder, RaftSnapshotBuilder, RaftStateMachine};
use openraft::type_config::alias::{LogIdOf, SnapshotMetaOf, SnapshotOf, StoredMembershipOf};

use super::Command;
use super::Types;
use super::convert::{from_log_id, from_stored_voters, to_log_id, to_voters};
use crate::observe::mark;
use crate::replication::applied::Applied;
use crate::replication::store::{SnapshotMeta, SnapshotStore};

/// The applied state, shared by consensus (which changes it) and the actor (which asks it). Both
/// run on the node's thread and neither waits while it holds it.
#[derive(Clone)]
pub(crate) struct SharedMachine {
    applied: Arc<Mutex<Applied>>,
    snapshots: SnapshotStore,
}

impl SharedMachine {
    /// The state as the newest snapshot has it, or as it begins.
    pub(crate) fn new(applied: Applied, snapshots: SnapshotStore) -> SharedMachine {
        SharedMachine { applied: Arc::new(Mutex::new(applied)), snapshots }
    }

    /// Looks at the state, or notes who listens to it.
    pub(crate) fn with<T>(&self, look: impl FnOnce(&mut Applied) -> T) -> T {
        look(&mut self.lock())
    }

    fn lock(&self) -> MutexGuard<'_, Applied> {
        self.applied.lock().expect("a state machine that panics ends the process")
    }
}

fn to_meta(meta: &SnapshotMetaOf<Types>) -> SnapshotMeta {
    SnapshotMeta {
        last: meta.last_log_id.as_ref().map(to_log_id),
        voters: to_voters(meta.last_membership.membership()),
        voters_at: meta.last_membership.log_id().as_ref().map(to_log_id),
    }
}

/// The reverse of [`to_meta`], also used for what travels.
pub(super) fn from_meta(meta: &SnapshotMeta) -> SnapshotMetaOf<Types> {
    SnapshotMetaOf::<Types> {
        last_log_id: meta.last.map(from_log_id),
        last_membership: from_stored_voters(meta.voters_at, &meta.voters),
    }
}

pub(super) fn meta_of(snapshot: &SnapshotOf<Types, Bytes>) -> SnapshotMeta {
    to_meta(&snapshot.meta)
}

impl RaftStateMachine<Types> for SharedMachine {
    type SnapshotData = Bytes;
    type SnapshotBuilder = SharedMachine;

    async fn applied_state(
        &mut self,
    ) -> io::Result<(Option<LogIdOf<Types>>, StoredMembershipOf<Types>)> {
        let applied = self.lock();
        let meta = applied.meta();
        Ok((meta.last.map(from_log_id), from_stored_voters(meta.voters_at, &meta.voters)))
    }

    async fn apply<S>(&mut self, mut entries: S) -> io::Result<()>
    where
        S: Stream<Item = io::Result<EntryResponder<Types>>> + Unpin + Send,
    {
        while let Some(next) = entries.next().await {
            let (entry, responder) = next?;
            let id = to_log_id(&entry.log_id);
            let outcome = match entry.payload {
                EntryPayload::Blank => self.lock().apply_blank(id),
                EntryPayload::Normal(Command(bytes)) => self.lock().apply_command(id, &bytes),
                EntryPayload::Membership(members) => {
                    self.lock().apply_voters(id, to_voters(&members))
                }
            };
            if let Some(responder) = responder {
                responder.send(outcome);
            }
        }
        Ok(())
    }

    async fn get_snapshot_builder(&mut self) -> SharedMachine {
        self.clone()
    }

    async fn install_snapshot(
        &mut self,
        meta: &SnapshotMetaOf<Types>,
        snapshot: Bytes,
    ) -> io::Result<()> {
        let meta = to_meta(meta);
        mark("snapshot.installed");
        // First the check: a snapshot that cannot be read must not replace one that can.
        self.lock().restore(meta.clone(), &snapshot).map_err(io::Error::other)?;
        self.snapshots.save(meta, move || snapshot).await?;
        Ok(())
    }

    async fn get_current_snapshot(&mut self) -> io::Result<Option<SnapshotOf<Types, Bytes>>> {
        let newest = self.snapshots.newest().await.map_err(io::Error::other)?;
        Ok(newest.map(|(meta, snapshot)| SnapshotOf::<Types, Bytes> {
            meta: from_meta(&meta),
            snapshot,
        }))
    }
}

impl RaftSnapshotBuilder<Types> for SharedMachine {
    type SnapshotData = Bytes;

    async fn build_snapshot(&mut self) -> io::Result<SnapshotOf<Types, Bytes>> {
        let (meta, job) = {
            let mut applied = self.lock();
            (applied.meta().clone(), applied.snapshot())
        };
        let snapshot = self.snapshots.save(meta.clone(), job).await?;
        Ok(SnapshotOf::<Types, Bytes> { meta: from_meta(&meta), snapshot })
    }
}
