//! How each kind of fault ends.
//!
//! To end a gust is to release all of its nodes; the core of a quorum is released first, and the
//! rest later (`calm.rs`).
//!
//! Read next: [`Storm::release`], then `bites.rs` for whether it bit.

use std::collections::BTreeSet;

use super::calm::CALM_FROM;
use super::storm::{Active, GRACE_MS, Holds, How, Storm};

impl Storm<'_> {
    /// The gust is over, everywhere.
    pub(super) fn end(&mut self, mut active: Active) {
        let everywhere = (0..self.names.len()).collect();
        self.release(&mut active, &everywhere);
        // What strikes in the calm is no part of the storm, and makes none of a run without.
        if active.gust.number < CALM_FROM && self.bites(&active) {
            self.cluster.note_faults(|coverage| coverage.bit(active.gust.kind));
        }
    }

    /// Ends the gust on these nodes and between them; on all others it stays.
    pub(super) fn release(&mut self, active: &mut Active, nodes: &BTreeSet<usize>) {
        self.note_felt(active);
        active.steps.retain(|(_, step)| !nodes.contains(&step.at()));
        let released: Vec<usize> = active.targets.intersection(nodes).copied().collect();
        active.targets.retain(|at| !nodes.contains(at));
        if !released.is_empty() {
            active.until_ms = active.until_ms.min(self.now_ms());
        }
        match &mut active.holds {
            Holds::Process | Holds::Frozen | Holds::Armed => {
                for at in released {
                    let has_struck = self.release_process(&active.holds, at);
                    active.noted.came_true |= has_struck;
                }
            }
            Holds::Links { pairs, how } => {
                let is_inside =
                    |(from, to): &(usize, usize)| nodes.contains(from) && nodes.contains(to);
                let (ended, rest) = std::mem::take(pairs).into_iter().partition(is_inside);
                self.restore_links(ended, *how);
                self.apply_to_links(&rest, *how);
                *pairs = rest;
            }
            Holds::Drift => {
                for at in released {
                    self.cluster.drift_clock(&self.names[at], self.before.drift_ppm[at]);
                }
            }
            Holds::Wall => {
                for at in released {
                    self.cluster.set_wall_clock_offset(&self.names[at], 0);
                }
            }
            Holds::Nothing => {}
            Holds::Disk => {
                for at in released {
                    active.noted.came_true |= self.release_disk(at);
                }
            }
            Holds::Lost => {
                for at in released {
                    active.noted.came_true |= self.take_away(active.gust.kind, at);
                }
            }
            Holds::Speed => {
                for at in released {
                    self.cluster.slow_down(&self.names[at], 0);
                }
            }
            Holds::Members(changing) => {
                let done = changing.done();
                active.noted.came_true |= done.is_some();
                self.note_change(active.gust.kind, done);
            }
            Holds::Load => {
                let acknowledged_count = self.cluster.end_burst(active.gust.number);
                active.noted.came_true |= acknowledged_count > 0;
            }
        }
    }

    /// Returns whether the node has ended by itself.
    fn release_disk(&mut self, at: usize) -> bool {
        let (machine, world) = (self.machine(at), self.cluster.world());
        let (ms_min, ms_max) = self.before.disk_latency_ms[at];
        world.set_disk_full(machine, false);
        world.set_syncs_fail(machine, false);
        world.set_disk_stalls(machine, 0.0, 0);
        world.set_disk_latency(machine, ms_min, ms_max);
        if self.fragile.contains_key(&at) {
            self.fragile.insert(at, self.now_ms() + GRACE_MS);
        }
        self.cluster.ended(&self.names[at]).is_some()
    }

    /// Returns whether what an armed gust waited for has happened.
    fn release_process(&mut self, holds: &Holds, at: usize) -> bool {
        let is_running = self.is_running(at);
        self.cluster.thaw(&[&self.names[at]]);
        // To start it anew is what lifts a strike that has not come.
        if matches!(holds, Holds::Armed) && is_running {
            self.cluster.crash(&[&self.names[at]]);
        }
        self.start(at);
        !is_running
    }

    /// Does this to pairs, on top of what others do.
    pub(super) fn apply_to_links(&mut self, pairs: &BTreeSet<(usize, usize)>, how: How) {
        let world = self.cluster.world();
        for from in 0..self.names.len() {
            let to: Vec<_> =
                pairs.iter().filter(|pair| pair.0 == from).map(|pair| pair.1).collect();
            let (one, others) = (self.machine(from), to.iter().map(|at| self.machine(*at)));
            let others: Vec<_> = others.collect();
            match how {
                _ if others.is_empty() => {}
                How::Cut => world.partition_one_way(&[one], &others),
                How::DatagramsBlocked => world.block_datagrams(&[one], &others),
                How::Flaps(period_ms) => world.flap(&[one], &others, period_ms),
                How::Behaves(settings) => {
                    others.iter().for_each(|to| world.set_link_one_way(one, *to, settings));
                }
            }
        }
    }

    /// Ends this on pairs, as far as no other gust does the same to them.
    fn restore_links(&mut self, ended: BTreeSet<(usize, usize)>, how: How) {
        match how {
            How::Cut | How::DatagramsBlocked | How::Flaps(_) => self.cluster.heal(),
            How::Behaves(_) => {
                for pair in ended {
                    let settings = How::Behaves(self.before.links[&pair]);
                    self.apply_to_links(&[pair].into(), settings);
                }
            }
        }
        // One verb heals all links: what others hold is cut anew, at the same instant.
        let held = self.active.iter().filter_map(|active| match &active.holds {
            Holds::Links { pairs, how } => Some((pairs.clone(), *how)),
            Holds::Process | Holds::Frozen | Holds::Armed | Holds::Disk | Holds::Lost => None,
            Holds::Drift | Holds::Wall | Holds::Nothing | Holds::Speed => None,
            Holds::Members(_) | Holds::Load => None,
        });
        for (pairs, how) in held.collect::<Vec<_>>() {
            self.apply_to_links(&pairs, how);
        }
    }
}

impl Holds {
    /// Whether it is the process of a node.
    pub(super) fn is_of_process(&self) -> bool {
        matches!(self, Holds::Process | Holds::Frozen | Holds::Armed | Holds::Lost)
    }

    /// Whether it is a clock of a node.
    pub(super) fn is_of_clock(&self) -> bool {
        matches!(self, Holds::Drift | Holds::Wall)
    }

    /// Whether a node that is held so may be down.
    pub(super) fn is_of_node(&self) -> bool {
        self.is_of_process() || matches!(self, Holds::Disk)
    }
}
