//! The disks of the nodes, as checkers see them.

use std::net::IpAddr;

use quorate_core::observe::Place;
use quorate_core::replication::{LogId, entry_at, file_at};

use super::address;
use super::faults::Atlas;
use super::node::Node;
use crate::checkers::Disks;
use crate::world::World;

/// The synced part of every disk.
pub(super) struct Synced<'a> {
    pub(super) nodes: &'a [Node],
    pub(super) world: &'a World,
    pub(super) atlas: &'a Atlas,
}

impl Synced<'_> {
    fn place(&self, machine: IpAddr) -> Option<usize> {
        let mut numbers = (1..=u8::MAX).zip(0..self.nodes.len());
        numbers.find(|(number, _)| address(*number) == machine).map(|(_, at)| at)
    }
}

impl Disks for Synced<'_> {
    fn synced(&self, machine: IpAddr, place: &Place) -> Option<LogId> {
        let node = &self.nodes[self.place(machine)?];
        let at = (place.offset, place.size_bytes);
        let bytes = self.world.synced_bytes(node.machine, &file_at(place), at)?;
        entry_at(place, &bytes)
    }

    fn spoiled(&self, machine: IpAddr) -> bool {
        self.place(machine).is_some_and(|at| self.atlas.is_spoiled(at))
    }
}
