//! What goes wrong between machines.
//!
//! Read next: `../link.rs` for what a link does.

use super::super::link::{Flap, Link, LinkSettings};
use super::super::trace::Kind;
use super::super::{MachineId, US_PER_MS, World, context};

impl World {
    /// Cuts every link between the two groups, both ways.
    pub fn partition(&self, one: &[MachineId], other: &[MachineId]) {
        self.partition_one_way(one, other);
        self.partition_one_way(other, one);
    }

    /// Cuts every link from one group to the other; the way back stays.
    pub fn partition_one_way(&self, from: &[MachineId], to: &[MachineId]) {
        self.links_event("cut", from, to);
        self.each_link(from, to, |link| link.is_cut = true);
    }

    /// Drops all datagrams between the two groups, both ways; streams pass.
    pub fn block_datagrams(&self, one: &[MachineId], other: &[MachineId]) {
        self.links_event("block datagrams", one, other);
        self.each_link(one, other, |link| link.drops_datagrams = true);
        self.each_link(other, one, |link| link.drops_datagrams = true);
    }

    /// Somebody begins to record what datagrams pass, between any two machines.
    pub fn record_datagrams(&self) {
        context::record_text(None, Kind::World, "somebody records datagrams");
        self.kernel.borrow_mut().tape.begin();
    }

    /// The recorded datagrams are sent once more, all at once; how many there are. Links treat them
    /// like any others. Ends the recording.
    pub fn play_recorded(&self) -> usize {
        let mut kernel = self.kernel.borrow_mut();
        let packets = kernel.tape.recorded();
        let count = packets.len();
        let text = format!("somebody sends {count} recorded datagrams again");
        context::record_text(None, Kind::World, &text);
        let now_us = context::now_us();
        packets.into_iter().for_each(|packet| kernel.links.send(now_us, packet));
        count
    }

    /// From here on the links between the two groups are cut for so long, whole for as long, and so
    /// on, both ways; it begins with a cut.
    pub fn flap(&self, one: &[MachineId], other: &[MachineId], period_ms: u64) {
        self.links_event(&format!("flap every {period_ms} ms"), one, other);
        let since_us = context::now_us();
        let flap = Flap { since_us, period_us: period_ms.max(1) * US_PER_MS };
        self.each_link(one, other, |link| link.flap = Some(flap));
        self.each_link(other, one, |link| link.flap = Some(flap));
    }

    /// Ends every partition, every flapping and every block of datagrams. Streams go on at their
    /// next retry. How links behave that are whole stays ([`World::set_links`]).
    pub fn heal(&self) {
        context::record_text(None, Kind::World, "heal all links");
        self.kernel.borrow_mut().links.all_links_mut().for_each(Link::heal);
    }

    /// The same, of the links among these machines only.
    pub fn heal_among(&self, ids: &[MachineId]) {
        self.links_event("heal", ids, ids);
        self.each_link(ids, ids, Link::heal);
    }

    /// Sets how all links behave.
    pub fn set_links(&self, settings: LinkSettings) {
        context::record_text(None, Kind::World, &format!("all links: {settings:?}"));
        for link in self.kernel.borrow_mut().links.all_links_mut() {
            link.settings = settings;
        }
    }

    /// Sets how the link between two machines behaves, both ways.
    pub fn set_link(&self, one: MachineId, other: MachineId, settings: LinkSettings) {
        self.set_link_one_way(one, other, settings);
        self.set_link_one_way(other, one, settings);
    }

    /// Sets how one direction behaves.
    pub fn set_link_one_way(&self, from: MachineId, to: MachineId, settings: LinkSettings) {
        self.links_event(&format!("{settings:?}"), &[from], &[to]);
        self.each_link(&[from], &[to], |link| link.settings = settings);
    }

    /// Changes how every direction from one group to the other behaves, `what` saying how.
    pub fn change_links(
        &self,
        (from, to): (&[MachineId], &[MachineId]),
        what: &str,
        change: impl Fn(&mut LinkSettings),
    ) {
        self.links_event(what, from, to);
        self.each_link(from, to, |link| change(&mut link.settings));
    }

    pub(super) fn each_link(&self, from: &[MachineId], to: &[MachineId], act: impl Fn(&mut Link)) {
        let mut kernel = self.kernel.borrow_mut();
        for from in from {
            for to in to {
                if let Some(link) = kernel.links.link_mut(from.0, to.0) {
                    act(link);
                }
            }
        }
    }

    fn links_event(&self, text: &str, from: &[MachineId], to: &[MachineId]) {
        let names =
            |ids: &[MachineId]| ids.iter().map(|id| self.name(*id)).collect::<Vec<_>>().join(" ");
        let text = format!("{} -> {}: {text}", names(from), names(to));
        context::record_text(None, Kind::World, &text);
    }
}
