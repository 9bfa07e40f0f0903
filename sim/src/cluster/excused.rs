//! What a fault explains: leases that a pause breaks which the node's clocks do not show.
//!
//! Invariants
//! - Nothing is excused that no fault of the scenario has brought about.
//! - An excuse is for the token that was held or won when the pause began, once a greater one is in
//!   use: what the node does with its own is for fencing to stop, and for the other checkers to
//!   judge.
//!
//! Source: promise 2 (where a hypervisor hides a pause, nothing the node can still do is harmful).

use std::collections::{BTreeMap, BTreeSet};

use quorate_core::ids::FencingToken;

use super::Cluster;
use super::node::Node;
use crate::checkers::Seen;
use crate::world::World;

/// By place in the cluster.
#[derive(Debug, Default)]
pub(super) struct Excused {
    /// Nodes with a pause that their clocks do not show, and the tokens they had or had won then.
    hidden: BTreeMap<usize, Option<FencingToken>>,
}

impl Excused {
    /// What counts of a node with a hidden pause: while it lasts the node does nothing, and once
    /// somebody else has acted with a greater token the old one counts for nothing.
    fn judged(&self, mut seen: Seen, is_frozen: bool, greatest: Option<FencingToken>) -> Seen {
        if let Some(token) = self.hidden.get(&seen.at)
            && *token == seen.leadership.token
        {
            seen.may_act &= !is_frozen && greatest <= *token;
        }
        seen
    }
}

impl Cluster {
    /// The node has a reason to end by itself, or none any more.
    pub(crate) fn let_end(&mut self, name: &str, may_end: bool) {
        self.nodes[self.place(name)].set_may_end(may_end);
    }

    /// The machine stands still and will not know: the lease it has is not counted any more.
    pub(super) fn hide_pause(&mut self, at: usize) {
        let seen = self.nodes[at].see(at, &self.world);
        let token = seen.and_then(|Seen { leadership, .. }| {
            // One that has won its term may learn only afterwards that it was let act.
            let has_won = leadership.elected == Some(leadership.node);
            leadership.token.or(has_won.then_some(FencingToken(leadership.term)))
        });
        self.excused.hidden.insert(at, token);
    }
}

/// All running nodes at this instant, as they are judged; `tokens` are those used so far.
pub(super) fn see(
    nodes: &[Node],
    world: &World,
    excused: &Excused,
    tokens: &BTreeSet<FencingToken>,
) -> Vec<Seen> {
    let seen = nodes.iter().enumerate().filter_map(|(at, node)| node.see(at, world));
    let seen: Vec<Seen> = seen.collect();
    if excused.hidden.is_empty() {
        return seen;
    }
    let acting = seen.iter().filter(|node| node.may_act).filter_map(|node| node.leadership.token);
    let greatest = acting.chain(tokens.last().copied()).max();
    let is_frozen = |at: usize| world.frozen(nodes[at].machine).is_some();
    let judged = seen.into_iter().map(|node| {
        let is_frozen = is_frozen(node.at);
        excused.judged(node, is_frozen, greatest)
    });
    judged.collect()
}
