//! Gossip among nodes in memory: latency and loss by seed, and the clock moves from event to event.

use std::collections::BTreeMap;

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use super::Liveness;
use super::gossip::{Gossip, GossipEffect, GossipTuning};
use crate::ids::NodeId;
use crate::link::fake::address;
use crate::ports::Now;

/// All nodes of one run. Frames take 0.2 to 3 ms.
struct World {
    nodes: BTreeMap<NodeId, Gossip>,
    frames: BTreeMap<(Now, u64), (NodeId, Vec<u8>)>,
    frames_count: u64,
    frozen_until: BTreeMap<NodeId, Now>,
    links: SmallRng,
    loss_percent: f64,
    seen: BTreeMap<(NodeId, NodeId), Liveness>,
    /// Time, who, of whom: every verdict `Down`.
    downs: Vec<(u64, NodeId, NodeId)>,
    now: Now,
}

impl World {
    fn of(count: u64, seed: u64, loss_percent: f64) -> World {
        let mut world = World {
            nodes: BTreeMap::new(),
            frames: BTreeMap::new(),
            frames_count: 0,
            frozen_until: BTreeMap::new(),
            links: SmallRng::seed_from_u64(seed),
            loss_percent,
            seen: BTreeMap::new(),
            downs: Vec::new(),
            now: Now::from_ms(1_000),
        };
        (1..=count).for_each(|id| world.start(id, 1, seed));
        world
    }

    /// Starts a node that knows of everyone, and announces it the way `view.rs` does.
    fn start(&mut self, id: u64, start: u64, seed: u64) {
        let rng = SmallRng::seed_from_u64(seed << 16 | start << 8 | id);
        let tuning = GossipTuning::default();
        self.nodes.insert(NodeId(id), Gossip::new(NodeId(id), address(id), start, tuning, rng));
        self.announce_missing();
    }

    fn announce_missing(&mut self) {
        let all: Vec<NodeId> = self.nodes.keys().copied().collect();
        for from in &all {
            for to in all.iter().filter(|to| *to != from) {
                let seen = self.seen.get(&(*from, *to));
                if matches!(seen, Some(Liveness::Alive | Liveness::Suspect)) {
                    continue;
                }
                let (now, mut out) = (self.now, Vec::new());
                let gossip = self.nodes.get_mut(from).unwrap();
                gossip.announce(now, *to, address(to.0), &mut out);
                self.perform(*from, out);
            }
        }
    }

    fn perform(&mut self, by: NodeId, effects: Vec<GossipEffect>) {
        for effect in effects {
            match effect {
                GossipEffect::Send { to, payload, .. } => {
                    if self.links.random_range(0.0..100.0) < self.loss_percent {
                        continue;
                    }
                    let wait_ns = self.links.random_range(200_000..3_000_000);
                    let due = Now { ns: self.now.ns + wait_ns };
                    self.frames.insert((due, self.frames_count), (to, payload.to_vec()));
                    self.frames_count += 1;
                }
                GossipEffect::Heard { member, liveness, .. } => {
                    self.seen.insert((by, member), liveness);
                    if liveness == Liveness::Down {
                        self.downs.push((self.now.ms(), by, member));
                    }
                }
            }
        }
    }

    fn is_frozen(&self, node: NodeId) -> bool {
        self.frozen_until.get(&node).is_some_and(|until| self.now < *until)
    }

    /// Runs for so long, one event after the other; every 250 ms all announce to whom they miss.
    fn run_ms(&mut self, ms: u64) {
        let end = self.now.plus_ms(ms);
        let mut announce_at = self.now;
        while self.now < end {
            let frame = self.frames.first_key_value().map(|((due, _), _)| *due);
            let awake = self.nodes.iter().filter(|(id, _)| !self.is_frozen(**id));
            let timer = awake.filter_map(|(_, gossip)| gossip.next_timer()).min();
            let thaw = self.frozen_until.values().copied().filter(|at| *at > self.now).min();
            let next = [frame, timer, thaw, Some(announce_at)].into_iter().flatten().min();
            self.now = next.unwrap().max(self.now).min(end);
            if self.now >= announce_at {
                announce_at = self.now.plus_ms(250);
                self.announce_missing();
            }
            self.fire_timers();
            self.deliver();
        }
    }

    fn fire_timers(&mut self) {
        let all: Vec<NodeId> = self.nodes.keys().copied().collect();
        for id in all.into_iter().filter(|id| !self.is_frozen(*id)).collect::<Vec<_>>() {
            let (now, mut out) = (self.now, Vec::new());
            self.nodes.get_mut(&id).unwrap().timer_fired(now, &mut out);
            self.perform(id, out);
        }
    }

    fn deliver(&mut self) {
        while let Some(entry) = self.frames.first_entry()
            && entry.key().0 <= self.now
        {
            let (to, payload) = entry.remove();
            if self.is_frozen(to) {
                // The machine's socket keeps it until the node runs again.
                let due = (self.frozen_until[&to], self.frames_count);
                self.frames.insert(due, (to, payload));
                self.frames_count += 1;
                continue;
            }
            let (now, mut out) = (self.now, Vec::new());
            let Some(gossip) = self.nodes.get_mut(&to) else { continue };
            gossip.hear(now, &payload, &mut out);
            self.perform(to, out);
        }
    }

    fn crash(&mut self, id: u64) {
        self.nodes.remove(&NodeId(id));
        self.seen.retain(|(by, _), _| *by != NodeId(id));
    }

    fn all_see(&self, of: u64, liveness: Liveness) -> bool {
        let others = self.nodes.keys().filter(|by| **by != NodeId(of));
        others.into_iter().all(|by| self.seen.get(&(*by, NodeId(of))) == Some(&liveness))
    }
}

#[test]
fn all_members_find_each_other_in_any_order_of_starts_despite_loss() {
    for seed in 0..20 {
        let mut world = World::of(5, seed, 5.0);
        world.run_ms(3_000);
        assert!((1..=5).all(|id| world.all_see(id, Liveness::Alive)), "seed {seed}");
    }
}

/// The bounds are those of the design: half of the failures within 2 s, nearly all within 5 s.
#[test]
fn a_crashed_member_is_called_down_by_all_within_the_goal() {
    for members_count in [3, 5, 10] {
        let mut waits_ms = Vec::new();
        for seed in 0..40 {
            let mut world = World::of(members_count, seed, 1.0);
            world.run_ms(3_000 + seed * 37);
            world.crash(2);
            let crashed_at = world.now;
            while !world.all_see(2, Liveness::Down) {
                world.run_ms(20);
                assert!(world.now.ms_since(crashed_at) < 10_000, "seed {seed}: never seen down");
            }
            waits_ms.push(world.now.ms_since(crashed_at));
        }
        waits_ms.sort_unstable();
        let (half, most) = (waits_ms[waits_ms.len() / 2], waits_ms[waits_ms.len() - 1]);
        assert!(half <= 2_000, "{members_count} members: p50 is {half} ms, {waits_ms:?}");
        assert!(most <= 5_000, "{members_count} members: worst is {most} ms");
    }
}

#[test]
fn nobody_is_called_down_at_one_percent_loss() {
    for seed in 0..4 {
        let mut world = World::of(5, seed, 1.0);
        world.run_ms(10 * 60_000);
        assert_eq!(world.downs, [], "seed {seed}");
    }
}

#[test]
fn a_node_that_was_paused_calls_nobody_down_and_comes_back_under_a_higher_incarnation() {
    for seed in 0..10 {
        let mut world = World::of(3, seed, 0.0);
        world.run_ms(3_000);
        world.frozen_until.insert(NodeId(1), world.now.plus_ms(6_000));
        world.run_ms(5_900);
        assert!(world.all_see(1, Liveness::Down) || world.downs.len() >= 2, "seed {seed}");
        world.run_ms(5_000);
        let blamed = world.downs.iter().find(|(_, by, _)| *by == NodeId(1));
        assert_eq!(blamed, None, "seed {seed}");
        assert!((1..=3).all(|id| world.all_see(id, Liveness::Alive)), "seed {seed}");
    }
}

#[test]
fn a_restarted_member_is_alive_again_as_soon_as_it_speaks() {
    let mut world = World::of(3, 7, 0.0);
    world.run_ms(3_000);
    world.crash(3);
    world.run_ms(5_000);
    assert!(world.all_see(3, Liveness::Down));
    world.start(3, 2, 7);
    world.run_ms(500);
    assert!((1..=3).all(|id| world.all_see(id, Liveness::Alive)));
}

#[test]
fn the_same_seed_gives_the_same_run() {
    let run = |seed| {
        let mut world = World::of(5, seed, 10.0);
        world.run_ms(2_000);
        world.crash(4);
        world.run_ms(4_000);
        (world.frames_count, world.downs)
    };
    assert_eq!(run(3), run(3));
    assert_ne!(run(3), run(4));
}

#[test]
fn hostile_bytes_are_ignored() {
    let mut world = World::of(2, 1, 0.0);
    world.run_ms(1_000);
    let mut bytes = SmallRng::seed_from_u64(9);
    for size in 0..600 {
        let payload: Vec<u8> = (0..size % 60).map(|_| bytes.random()).collect();
        let mut out = Vec::new();
        world.nodes.get_mut(&NodeId(1)).unwrap().hear(world.now, &payload, &mut out);
        world.perform(NodeId(1), out);
    }
    world.run_ms(3_000);
    assert!((1..=2).all(|id| world.all_see(id, Liveness::Alive)));
}
