//! The machines of the nodes, as checkers see them.

use std::net::IpAddr;

use quorate_core::ids::NodeId;
use quorate_core::observe::Place;
use quorate_core::replication::{LogId, entry_at, file_at};

use super::address;
use super::faults::Atlas;
use super::node::Node;
use super::pretence::Pretended;
use crate::checkers::{Held, Machines, Seen};
use crate::world::World;

/// All of them, at one instant.
pub(super) struct Looked<'a> {
    pub(super) nodes: &'a [Node],
    pub(super) world: &'a World,
    pub(super) atlas: &'a Atlas,
    pub(super) pretended: &'a Pretended,
}

impl Looked<'_> {
    /// Whether the process of that node runs and does not stand still.
    pub(super) fn is_awake(&self, seen: &[Seen], node: NodeId) -> bool {
        let found = seen.iter().find(|one| one.leadership.node == node);
        found.is_some_and(|one| self.world.frozen(self.nodes[one.at].machine).is_none())
    }

    fn place(&self, machine: IpAddr) -> Option<usize> {
        let mut numbers = (1..=u8::MAX).zip(0..self.nodes.len());
        numbers.find(|(number, _)| address(*number) == machine).map(|(_, at)| at)
    }
}

impl Machines for Looked<'_> {
    fn synced(&self, machine: IpAddr, place: &Place) -> Option<LogId> {
        let node = &self.nodes[self.place(machine)?];
        let at = (place.offset, place.size_bytes);
        let bytes = self.world.synced_bytes(node.machine, &file_at(place), at)?;
        entry_at(place, &bytes)
    }

    fn spoiled(&self, machine: IpAddr) -> bool {
        self.place(machine).is_some_and(|at| self.atlas.is_spoiled(at))
    }

    fn now_ms(&self) -> u64 {
        self.world.now_ms()
    }

    fn held(&self) -> Vec<Held> {
        let held = |node: &Node| Held {
            name: node.name.clone(),
            handles_count: self.world.handles_count(node.machine),
            sockets_count: self.world.sockets_count(node.machine),
        };
        self.nodes.iter().map(held).chain(self.pretended.held()).collect()
    }
}
