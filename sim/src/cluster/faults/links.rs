//! What goes wrong between nodes.

use super::super::Cluster;
use crate::world::LinkSettings;

impl Cluster {
    /// Cuts every link between these nodes and all others, both ways.
    pub fn partition(&mut self, names: &[&str]) {
        let inside = self.places(names);
        self.world.partition(&self.machines_of(&inside), &self.others_than(&inside));
    }

    /// Cuts every link from the first nodes to the others; the way back stays.
    pub fn partition_one_way(&mut self, from: &[&str], to: &[&str]) {
        let (from, to) = (self.places(from), self.places(to));
        self.world.partition_one_way(&self.machines_of(&from), &self.machines_of(&to));
    }

    /// Cuts the two groups off from each other, and neither from the nodes that are in none: these
    /// are the bridge.
    pub fn bridge(&mut self, one: &[&str], other: &[&str]) {
        let (one, other) = (self.places(one), self.places(other));
        self.world.partition(&self.machines_of(&one), &self.machines_of(&other));
    }

    /// Each node hears only the one before and the one after it; the last and the first are such.
    pub fn ring(&mut self) {
        let count = self.nodes.len();
        for one in 0..count {
            for other in one + 1..count {
                let distance = (other - one).min(count - (other - one));
                if distance > 1 {
                    let ends = [self.nodes[one].machine, self.nodes[other].machine];
                    self.world.partition(&ends[..1], &ends[1..]);
                }
            }
        }
    }

    /// Cuts every link between these nodes and all others for so long, heals them for as long, and
    /// so on.
    pub fn flap(&mut self, names: &[&str], period_ms: u64) {
        let inside = self.places(names);
        self.world.flap(&self.machines_of(&inside), &self.others_than(&inside), period_ms);
    }

    /// Cuts every link between this node and all but these, both ways.
    pub fn cut_off(&mut self, name: &str, but: &[&str]) {
        let inside = self.places(but);
        self.world.partition(&[self.machine(name)], &self.others_than(&inside));
    }

    /// Ends every partition, and every flapping.
    pub fn heal(&mut self) {
        self.world.heal();
    }

    /// The same, among these nodes only.
    pub fn heal_among(&mut self, names: &[&str]) {
        self.world.heal_among(&self.machines_of(&self.places(names)));
    }

    /// This share of all packets between these nodes and any other is lost.
    pub fn lose_packets(&mut self, names: &[&str], share: f64) {
        self.change_links_of(names, &format!("loss {share}"), |link| link.loss = share);
    }

    /// This share of their datagrams arrives twice.
    pub fn duplicate_datagrams(&mut self, names: &[&str], share: f64) {
        let what = format!("duplication {share}");
        self.change_links_of(names, &what, |link| link.duplication = share);
    }

    /// This share of their packets takes 10 to 100 times as long.
    pub fn delay_some_packets(&mut self, names: &[&str], share: f64) {
        let what = format!("heavy tail {share}");
        self.change_links_of(names, &what, |link| link.heavy_tail = share);
    }

    /// This share of their datagrams is overtaken by later ones.
    pub fn reorder_datagrams(&mut self, names: &[&str], share: f64) {
        let what = format!("reordering {share}");
        self.change_links_of(names, &what, |link| link.reordering = share);
    }

    /// This share of their packets arrives with a wrong byte.
    pub fn corrupt_packets(&mut self, names: &[&str], share: f64) {
        let what = format!("corruption {share}");
        self.change_links_of(names, &what, |link| link.corruption = share);
    }

    /// Somebody in the network records the datagrams from here on, for [`Cluster::play_recorded`].
    pub fn record_datagrams(&mut self) {
        self.world.record_datagrams();
    }

    /// What was recorded is sent once more, all at once, as if by those who had sent it; how many
    /// datagrams there are. Nothing more is recorded.
    pub fn play_recorded(&mut self) -> usize {
        self.world.play_recorded()
    }

    /// Packets from the first nodes to the others take so long; the way back is as it was.
    pub fn slow_one_way(&mut self, from: &[&str], to: &[&str], ms_min: u64, ms_max: u64) {
        let ends = (self.machines_of(&self.places(from)), self.machines_of(&self.places(to)));
        let what = format!("latency {ms_min} to {ms_max} ms");
        self.world.change_links((&ends.0, &ends.1), &what, |link| {
            (link.latency_us_min, link.latency_us_max) = (ms_min * 1_000, ms_max * 1_000);
        });
    }

    /// Both directions of every link that one of these nodes is an end of.
    fn change_links_of(&self, names: &[&str], what: &str, change: impl Fn(&mut LinkSettings)) {
        let ends = self.machines_of(&self.places(names));
        let all = self.others_than(&[]);
        self.world.change_links((&ends, &all), what, &change);
        self.world.change_links((&all, &ends), what, &change);
    }
}
