//! Where the other nodes are: what the nodes themselves say, this node's settings, the roster.
//!
//! An address is a hint. Frames carry cluster and ids, so a wrong address reaches nobody by
//! mistake, and following one costs no safety: a node that is not reached has no say.
//!
//! The freshest word wins:
//! 1. where a living member says by gossip that it listens: it is there at this moment;
//! 2. this node's settings, so that a cluster whose machines all got new addresses starts again
//!    once its settings say so;
//! 3. the roster, which holds what each member last wrote there of itself.
//!
//! With `cluster.follow_moves = false` nobody's word counts: settings, then the roster.

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
    known: Arc<Mutex<Known>>,
}

#[derive(Debug, Default)]
struct Known {
    /// As the roster has them; before there is one, the founding members of the settings.
    members: BTreeMap<NodeId, MemberSettings>,
    /// Where they say that heartbeat and membership listen.
    said: BTreeMap<NodeId, SocketAddr>,
}

impl AddressBook {
    /// The founders at their places; where settings list members, these at theirs.
    pub(crate) fn new(settings: &Settings, founders: &[MemberSettings]) -> AddressBook {
        let members = &settings.cluster.members;
        let founders =
            founders.iter().enumerate().map(|(at, member)| (NodeId(at as u64 + 1), member.clone()));
        let known = Known { members: founders.collect(), said: BTreeMap::new() };
        AddressBook { settings: Arc::new(members.clone()), known: Arc::new(Mutex::new(known)) }
    }

    /// Follows the roster.
    pub(crate) fn follow(&self, roster: &Roster) {
        if roster.is_empty() {
            return;
        }
        let place =
            |member: &crate::membership::roster::Member| (member.id, member.settings.clone());
        self.lock().members = roster.members().map(place).collect();
    }

    /// A member says to be elsewhere.
    pub(crate) fn learn(&self, node: NodeId, membership: SocketAddr) {
        self.lock().said.insert(node, membership);
    }

    /// All places of a node. Gossip names one port only; the others are those of settings or
    /// roster, whichever knows the node at that place, or else those that were known before.
    pub(crate) fn place(&self, of: NodeId) -> Option<MemberSettings> {
        let known = self.lock();
        let member = known.members.get(&of)?;
        let named = self.settings.iter().find(|named| named.name == member.name);
        let Some(said) = known.said.get(&of) else { return Some(named.unwrap_or(member).clone()) };
        let is_there = |place: &&MemberSettings| place.membership() == *said;
        if let Some(place) = named.into_iter().chain([member]).find(is_there) {
            return Some(place.clone());
        }
        let mut moved = named.unwrap_or(member).clone();
        (moved.address, moved.membership_port) = (said.ip(), said.port());
        Some(moved)
    }

    /// Where a node's consensus listens.
    pub(crate) fn consensus(&self, of: NodeId) -> Option<SocketAddr> {
        self.place(of).as_ref().map(MemberSettings::consensus)
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().expect("no code panics while it holds the book")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{ClusterSettings, NodeSettings};
    use crate::ids::LogIndex;
    use crate::membership::RosterChange;

    /// Member n1 at 127.0.0.`last`, with a consensus port of its own.
    fn n1(last: u8, consensus_port: u16) -> MemberSettings {
        let address = [127, 0, 0, last].into();
        MemberSettings { consensus_port, ..MemberSettings::at("n1", address) }
    }

    fn book(settings: MemberSettings, roster: MemberSettings) -> AddressBook {
        let cluster = ClusterSettings::of(vec![settings]);
        let node = NodeSettings::listed("n1", "/nowhere");
        let settings = Settings::new(node, cluster);
        let book = AddressBook::new(&settings, settings.cluster.founders());
        let mut committed = Roster::default();
        let change = RosterChange::Found { members: vec![roster] };
        committed.apply(LogIndex(1), change).expect("an empty roster is founded");
        book.follow(&committed);
        book
    }

    #[test]
    fn the_node_itself_wins_over_settings_and_settings_over_the_roster() {
        // In settings, in the roster, said by the node; and where consensus is called then.
        let table = [
            (n1(1, 81), n1(1, 81), None, "127.0.0.1:81"),
            (n1(2, 82), n1(1, 81), None, "127.0.0.2:82"), // restarted with new settings
            (n1(1, 81), n1(2, 82), None, "127.0.0.1:81"), // old settings, until it is heard
            (n1(1, 81), n1(2, 82), Some(2), "127.0.0.2:82"), // with the ports that it registered
            (n1(2, 82), n1(1, 81), Some(2), "127.0.0.2:82"),
            (n1(1, 81), n1(2, 82), Some(1), "127.0.0.1:81"), // and back again
            (n1(1, 81), n1(1, 81), Some(3), "127.0.0.3:81"), // not registered yet
        ];
        for (settings, roster, said, expected) in table {
            let book = book(settings, roster);
            if let Some(last) = said {
                book.learn(NodeId(1), n1(last, 81).membership());
            }
            assert_eq!(book.consensus(NodeId(1)).expect("known").to_string(), expected);
        }
    }

    #[test]
    fn what_a_joiner_said_before_it_was_a_member_counts_once_it_is_one() {
        let book = book(n1(1, 81), n1(1, 81));
        book.learn(NodeId(2), n1(9, 81).membership());
        assert_eq!(book.place(NodeId(2)), None);
    }
}
