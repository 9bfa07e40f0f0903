//! Whose key is whose, as far as this node has applied the log.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use crate::ids::NodeId;
use crate::membership::{PublicKey, Roster};

/// The keys that the roster names. Clones share them.
#[derive(Clone, Debug, Default)]
pub(crate) struct KnownKeys(Arc<Mutex<BTreeMap<PublicKey, NodeId>>>);

impl KnownKeys {
    /// Follows the roster.
    pub(crate) fn follow(&self, roster: &Roster) {
        let key = |member: &crate::membership::Member| Some((member.public_key?, member.id));
        *self.lock() = roster.members().filter_map(key).collect();
    }

    /// The member that has this key.
    pub(super) fn owner(&self, key: &PublicKey) -> Option<NodeId> {
        self.lock().get(key).copied()
    }

    /// Whether the roster names a key of this member.
    pub(super) fn has_key(&self, node: NodeId) -> bool {
        self.lock().values().any(|owner| *owner == node)
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<PublicKey, NodeId>> {
        self.0.lock().expect("no code panics while it holds the keys")
    }
}
