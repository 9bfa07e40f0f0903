//! The node's part in who may ask its API: a leader makes its local admin the cluster's first user,
//! and every node keeps in mind that the cluster has users; and what its handle does for them.

use std::io;
use std::time::Duration;

use super::{AdmissionError, NodeHandle};
use crate::ids::RequestId;
use crate::membership::RosterChange;
use crate::ports::Env;
use crate::users::{ADMIN, LocalAdmin, UserChange};
use crate::watch;

/// Between two attempts, when a write was not acknowledged or the disk refused.
const RETRY_PAUSE: Duration = Duration::from_millis(300);

/// Follows the roster and the leadership until the cluster has users.
pub(super) struct Usher {
    local_admin: LocalAdmin,
    node: NodeHandle,
}

impl Usher {
    /// `None` if the API asks nobody, or has forgotten its local admin before.
    pub(super) fn of(node: &NodeHandle) -> Option<Usher> {
        let local_admin = node.inner.local_admin.clone().filter(|admin| !admin.is_superseded)?;
        Some(Usher { local_admin, node: node.clone() })
    }

    /// Ends once the cluster has users, and the data directory says so; or with the node.
    pub(super) async fn run(self) {
        let mut roster = self.node.inner.roster.clone();
        let mut leadership = self.node.inner.leadership.clone();
        loop {
            let (is_founded, has_users) = {
                let roster = roster.borrow_and_update();
                (!roster.is_empty(), !roster.users().is_empty())
            };
            leadership.borrow_and_update();
            if has_users {
                if self.supersede().await.is_ok() {
                    return;
                }
                tokio::time::sleep(RETRY_PAUSE).await;
                continue;
            }
            if is_founded && self.node.watch_leadership().may_act() {
                self.put_first().await;
                tokio::time::sleep(RETRY_PAUSE).await;
                continue;
            }
            let is_open = tokio::select! {
                biased;
                changed = roster.changed() => changed.is_ok(),
                changed = leadership.changed() => changed.is_ok(),
            };
            if !is_open {
                return;
            }
        }
    }

    async fn put_first(&self) {
        let (name, hash) = (ADMIN.to_owned(), self.local_admin.hash.clone());
        let change = RosterChange::User(UserChange::First { name, hash });
        let node = self.node.node();
        match self.node.change_roster(&change, RequestId::NONE).await {
            Ok(_) => {
                tracing::info!(%node, user = ADMIN, "the cluster's first user is the local admin");
            }
            Err(error) => tracing::debug!(%node, %error, "the cluster has no users yet"),
        }
    }

    async fn supersede(&self) -> io::Result<()> {
        let Env { disk, .. } = self.node.inner.env.clone();
        let admin = LocalAdmin { is_superseded: true, ..self.local_admin.clone() };
        let lane = disk.lane("local admin");
        let stored = lane.run(Box::new(move || admin.store(&*disk))).await;
        let node = self.node.node();
        match &stored {
            Ok(()) => tracing::info!(%node, "the cluster's users hold, the local admin does not"),
            Err(error) => tracing::warn!(%node, %error, "the local admin is not put away yet"),
        }
        stored
    }
}

impl NodeHandle {
    /// Changes the cluster's users; the same request, given again, is answered as the first.
    pub async fn change_user(
        &self,
        change: UserChange,
        request: RequestId,
    ) -> Result<(), AdmissionError> {
        self.change_roster(&RosterChange::User(change), request).await.map(drop)
    }

    /// The world as this node sees it.
    pub(crate) fn env(&self) -> &Env {
        &self.inner.env
    }

    /// Whose password the API asks for before the cluster has users.
    pub(crate) fn local_admin(&self) -> Option<&LocalAdmin> {
        self.inner.local_admin.as_ref()
    }

    /// Who belongs to the cluster, to be followed.
    pub(crate) fn watch_roster(&self) -> watch::Receiver<crate::membership::Roster> {
        self.inner.roster.clone()
    }
}
