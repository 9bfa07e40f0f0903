//! One gust of a plan: what strikes, whom, when and how hard. Every gust draws the same choices,
//! whatever its kind, so that an edit of one of them leaves the others as they were.

use super::{Kind, Theme};
use crate::choices::Choices;

/// The share of gusts that strike. The others are a pause and nothing else.
const STRIKES_PROBABILITY: f64 = 0.97;
/// A gust's strength is given in percent.
const STRENGTH_MAX: u64 = 100;

/// Who stands on one side of a partition, or goes down with a half.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The gust's node. Of an outage that takes half: it and those after it.
    Alone,
    /// Half of the members, from the gust's node on.
    Half,
    /// Half of the members with the leader among them.
    WithLeader,
    /// Half of the members without the leader.
    WithoutLeader,
    /// Every node of the zone in which the gust's node stands.
    Zone,
}

const SIDES: [(&str, Side); 5] = [
    ("alone", Side::Alone),
    ("half", Side::Half),
    ("half with the leader", Side::WithLeader),
    ("half without the leader", Side::WithoutLeader),
    ("zone", Side::Zone),
];

/// One gust.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gust {
    /// From 1; the instance of its sites.
    pub number: u64,
    /// Calm before it.
    pub pause_ms: u64,
    /// False for a gust that passes by: it is a pause and nothing else.
    pub strikes: bool,
    /// What it is.
    pub kind: Kind,
    /// Whom it meets, by place in the cluster.
    pub node: usize,
    /// How long it lasts, where it does not end at once.
    pub lasts_ms: u64,
    /// How hard it is, from 0 to 100.
    pub strength: u64,
    /// Who is on its node's side.
    pub side: Side,
    /// A set of nodes, one bit each, neither empty nor all; or a direction.
    pub set: u64,
}

/// Bounds of a run's gusts.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) nodes_count: usize,
    pub(super) pause_ms_max: u64,
    pub(super) lasts_ms_max: u64,
}

impl Gust {
    /// The gust with this number, which counts from 1.
    pub(super) fn draw(choices: &Choices, theme: Theme, number: u64, limits: Limits) -> Gust {
        let site = |name| choices.chosen(&format!("{}.gust.{name}", theme.name), number);
        let nodes_count = limits.nodes_count as u64;
        Gust {
            number,
            pause_ms: site("pause_ms").between(20, limits.pause_ms_max),
            strikes: site("strikes").chance(STRIKES_PROBABILITY),
            kind: *site("fault").one_of(theme.kinds),
            node: site("node").between(1, nodes_count) as usize - 1,
            lasts_ms: site("lasts_ms").between(50, limits.lasts_ms_max),
            strength: site("strength").between(0, STRENGTH_MAX),
            side: *site("side").one_of(&SIDES),
            set: site("set").between(1, (1 << nodes_count) - 2),
        }
    }

    /// A number between these, as strong as the gust.
    pub(super) fn scaled(&self, min: u64, max: u64) -> u64 {
        min + (max - min) * self.strength / STRENGTH_MAX
    }

    /// A size, ahead or backwards.
    pub(super) fn signed(&self, size: u64) -> i64 {
        let size = i64::try_from(size).expect("a gust's sizes are small");
        if self.is_reversed() { -size } else { size }
    }

    /// Whether it goes the second of two ways: to the others, backwards, by power.
    pub(super) fn is_reversed(&self) -> bool {
        self.set.is_multiple_of(2)
    }
}
