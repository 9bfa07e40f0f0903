//! Where the other nodes are: the roster's addresses, overridden by this node's settings.
//!
//! An address is a hint. Settings win for the nodes they name, so that a cluster whose machines
//! all got new addresses starts again once its settings say so; frames carry ids, so a wrong
//! address reaches nobody by mistake.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};

use crate::config::{MemberSettings, Settings};
use crate::ids::NodeId;
use crate::membership::Roster;

/// Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct AddressBook {
    settings: Arc<Vec<MemberSettings>>,
    members: Arc<Mutex<BTreeMap<NodeId, MemberSettings>>>,
}

impl AddressBook {
    /// The founding members at their places.
    pub(crate) fn new(settings: &Settings) -> AddressBook {
        let members = &settings.cluster.members;
        let founders =
            members.iter().enumerate().map(|(at, member)| (NodeId(at as u64 + 1), member.clone()));
        AddressBook {
            settings: Arc::new(members.clone()),
            members: Arc::new(Mutex::new(founders.collect())),
        }
    }

    /// Follows the roster.
    pub(crate) fn follow(&self, roster: &Roster) {
        if roster.is_empty() {
            return;
        }
        let place = |member: &crate::membership::roster::Member| {
            let own = self.settings.iter().find(|known| known.name == member.settings.name);
            (member.id, own.unwrap_or(&member.settings).clone())
        };
        *self.lock() = roster.members().map(place).collect();
    }

    /// A member says to be elsewhere: its ports are those known, its address is the one it says.
    /// Not where the settings name it: an operator who writes an address down means it.
    pub(crate) fn learn(&self, node: NodeId, membership: SocketAddr) {
        let mut members = self.lock();
        let Some(member) = members.get_mut(&node) else { return };
        if !self.settings.iter().any(|known| known.name == member.name) {
            member.address = membership.ip();
            member.membership_port = membership.port();
        }
    }

    /// All places of a node.
    pub(crate) fn place(&self, of: NodeId) -> Option<MemberSettings> {
        self.lock().get(&of).cloned()
    }

    /// Where a node's consensus listens.
    pub(crate) fn consensus(&self, of: NodeId) -> Option<SocketAddr> {
        self.lock().get(&of).map(MemberSettings::consensus)
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<NodeId, MemberSettings>> {
        self.members.lock().expect("no code panics while it holds the book")
    }
}
