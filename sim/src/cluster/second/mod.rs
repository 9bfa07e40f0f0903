//! Whole nodes in the second world: the same settings, the same nodes and the same checkers on a
//! kernel that is not ours. For a cross-check, so it knows the ordinary verbs and no others.
//!
//! Invariants
//! - Every step is seen by the checkers, and the first thing that is wrong ends the run.
//! - A client sends one request after the other; each is noted with its outcome.
//!
//! Read next: [`SecondCluster`], then `stories.rs` for what both worlds are told.

mod stories;
#[cfg(test)]
mod tests;
mod verbs;

pub use stories::{STORIES, Stage, Story};

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fmt;
use std::future::Future;
use std::rc::Rc;

use quorate_core::NodeHandle;
use quorate_core::config::{ClusterSettings, NodeSettings, Settings};
use quorate_core::ids::RequestId;
use quorate_core::node::{self, LeadershipWatch};
use quorate_core::observe;
use quorate_core::ports::Env;

use super::setup::{member, secret};
use super::{DEFAULT_BOUND_MS, Objects, address};
use crate::checkers::{self, Checker, History, Ledger, Recorded, Seen};
use crate::choices::{Choices, Dice};
use crate::world::MachineId;
use crate::world::stock::StockWorld;

/// What a boot leaves for the tester.
#[derive(Default)]
struct Left {
    handle: Option<(NodeHandle, LeadershipWatch)>,
    failed: Option<String>,
}

struct Node {
    name: String,
    machine: MachineId,
    left: Rc<RefCell<Left>>,
}

/// Whole nodes, and one client.
pub struct SecondCluster {
    world: StockWorld,
    nodes: Vec<Node>,
    history: History,
    checkers: Vec<Box<dyn Checker>>,
    ledger: Ledger,
    /// Which node the client asks, and the ids of its requests.
    asks: Dice,
    request_ids: Dice,
    cut: BTreeSet<(usize, usize)>,
}

impl SecondCluster {
    /// That many voters with the default settings; runs until one of them acts.
    pub fn of(nodes_count: u8, seed: u64) -> SecondCluster {
        observe::begin();
        let world = StockWorld::new(seed);
        world.exempt_panics(quorate_core::replication::is_panic_guarded);
        let history = History::default();
        let mut shared = ClusterSettings::of((1..=nodes_count).map(member).collect());
        shared.is_network_private = true;
        let declare = |number: u8| {
            let name = format!("n{number}");
            let own = NodeSettings::listed(&name, "/data");
            let mut settings = Settings::new(own, shared.clone());
            settings.security.secret = Some(secret());
            let (left, history) = (Rc::<RefCell<Left>>::default(), history.clone());
            let leaves = left.clone();
            let at = usize::from(number) - 1;
            let machine = world.machine(&name, address(number), move |env| {
                let recorded = Recorded::new(Box::new(Objects::default()), at, history.clone());
                Box::pin(boot(env, settings.clone(), recorded, leaves.clone()))
            });
            Node { name, machine, left }
        };
        let nodes = (1..=nodes_count).map(declare).collect();
        let choices = Choices::of(seed);
        let mut cluster = SecondCluster {
            world,
            nodes,
            history,
            // What they see by looking into machines is for our own world: here they hear and see.
            checkers: checkers::all(shared.snapshot_entries_count),
            ledger: Ledger::default(),
            asks: choices.site("client.node", 0),
            request_ids: choices.site("client.request_id", 0),
            cut: BTreeSet::new(),
        };
        cluster.acting_within(DEFAULT_BOUND_MS, "nobody may act", |acting| acting.is_some());
        cluster
    }

    /// The world below.
    pub fn world(&self) -> &StockWorld {
        &self.world
    }

    fn place(&self, name: &str) -> usize {
        let found = self.nodes.iter().position(|node| node.name == name);
        found.unwrap_or_else(|| panic!("the cluster has no node {name}"))
    }

    fn handle(&self, at: usize) -> Option<NodeHandle> {
        self.nodes[at].left.borrow().handle.as_ref().map(|(handle, _)| handle.clone())
    }

    fn up(&self) -> Vec<usize> {
        (0..self.nodes.len()).filter(|at| self.handle(*at).is_some()).collect()
    }

    fn any_up(&self) -> Option<usize> {
        let up = self.up();
        let last = up.len().checked_sub(1)?;
        Some(up[self.asks.between(0, last as u64) as usize])
    }

    fn request_id(&self) -> RequestId {
        let high = u128::from(self.request_ids.word());
        RequestId(high << 64 | u128::from(self.request_ids.word()) | 1)
    }

    /// Runs until `is_true`, asked after every step, or until the time has passed; says which.
    fn drive(&mut self, limit_ms: u64, mut is_true: impl FnMut(&[Seen]) -> bool) -> bool {
        let (nodes, checkers, history) = (&self.nodes, &mut self.checkers, &self.history);
        let mut wrong = None;
        let met = self.world.run_until_true(limit_ms, |_| {
            let seen = see(nodes);
            wrong = look(&seen, nodes, checkers, history).err();
            wrong.is_some() || is_true(&seen)
        });
        if let Some(wrong) = wrong {
            self.fail(&wrong);
        }
        met
    }

    /// Asks one node something, on its machine; `None` if no answer came in time.
    fn ask<T: 'static, F: Future<Output = T> + 'static>(
        &mut self,
        at: usize,
        limit_ms: u64,
        question: impl FnOnce(NodeHandle) -> F,
    ) -> Option<T> {
        let asking = question(self.handle(at)?);
        let answer = Rc::new(RefCell::new(None));
        let into = answer.clone();
        self.world.spawn(self.nodes[at].machine, |_| async move {
            let answered = asking.await;
            *into.borrow_mut() = Some(answered);
        });
        self.drive(limit_ms, |_| answer.borrow().is_some());
        answer.take()
    }

    /// Waits until this is true of the node that may act; returns its place.
    fn acting_within(
        &mut self,
        ms: u64,
        otherwise: &str,
        is_true: impl Fn(Option<usize>) -> bool,
    ) -> Option<usize> {
        let mut acting = None;
        let met = self.drive(ms, |seen| {
            acting = seen.iter().find(|node| node.may_act).map(|node| node.at);
            is_true(acting)
        });
        if !met {
            self.fail(&format!("{otherwise} after {ms} ms"));
        }
        acting
    }

    fn fail(&self, what: &str) -> ! {
        panic!("second world, at {} ms: {what}", self.world.now_ms())
    }
}

impl fmt::Debug for SecondCluster {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "cluster of {} in a {:?}", self.nodes.len(), self.world)
    }
}

fn see(nodes: &[Node]) -> Vec<Seen> {
    let see = |(at, node): (usize, &Node)| {
        let left = node.left.borrow();
        let (_, watch) = left.handle.as_ref()?;
        let (may_act, left) = (watch.may_act(), watch.time_left());
        Some(Seen { at, leadership: watch.current(), may_act, left })
    };
    nodes.iter().enumerate().filter_map(see).collect()
}

/// The first thing that is wrong with what is seen.
fn look(
    seen: &[Seen],
    nodes: &[Node],
    checkers: &mut [Box<dyn Checker>],
    history: &History,
) -> Result<(), String> {
    for node in nodes {
        if let Some(reason) = &node.left.borrow().failed {
            return Err(format!("{} ended by itself: {reason}", node.name));
        }
    }
    for told in observe::take_told() {
        checkers.iter_mut().try_for_each(|checker| checker.hear(&told))?;
    }
    checkers.iter_mut().try_for_each(|checker| checker.check(seen))?;
    history.violation().map_or(Ok(()), Err)
}

async fn boot(env: Env, settings: Settings, machine: Recorded, leaves: Rc<RefCell<Left>>) {
    let handle = match node::start(env, settings, Box::new(machine)).await {
        Ok(handle) => handle,
        Err(error) => {
            leaves.borrow_mut().failed = Some(error.to_string());
            return;
        }
    };
    let watch = handle.watch_leadership();
    leaves.borrow_mut().handle = Some((handle.clone(), watch));
    let reason = handle.failed().await;
    leaves.borrow_mut().failed = Some(reason);
}
