//! A cluster of whole nodes in the simulated world, in the words of an incident report.
//!
//! It starts nodes with `node::start` and talks to them through their handles only. Every instant
//! of a run is seen by the checkers; the first thing that is wrong ends the run.
//!
//! Invariants
//! - Names are `n1`, `n2`, ...; bounds are milliseconds of simulated time.
//! - Everything left to chance is a choice of the run ([`Cluster::choose`]).
//!
//! Read next: [`Cluster`], then `scenarios/` for how it is used.

mod ask;
mod books;
mod deeds;
mod diagram;
mod ended;
mod enlisting;
mod excused;
mod faults;
mod goes_on;
mod machines;
mod members;
mod members_agree;
mod node;
mod noted;
mod objects;
mod passwords;
mod pretence;
mod refused;
mod repeats;
mod second;
mod setup;
mod software;
mod switchover;
mod through_api;
mod verbs;
mod within;
mod workload;

#[cfg(test)]
mod tests;

pub use deeds::Deed;
pub use members::{Changing, Roster};
pub use objects::Objects;
pub use passwords::FIRST_PASSWORD;
pub use repeats::Sent;
pub use second::{STORIES, SecondCluster, Stage, Story};
pub use setup::{Setup, StateMachines};
pub use software::address;
pub use verbs::{Acked, Code, Read, Write};
pub use within::Within;
pub use workload::Workload;

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::rc::Rc;

use quorate_core::ids::{FencingToken, LogIndex, RequestId};
use quorate_core::observe::Marks;

use crate::checkers::{Checker, History, Ledger, MarginWatch, Margins, MembersAgree, Seen};
use crate::choices::{Choices, Dice};
use crate::plan::Coverage;
use crate::world::{MachineId, World};
use ask::Asked;
use books::Books;
use diagram::Diagram;
pub(crate) use diagram::keep_diagram;
use excused::{Excused, see};
use faults::Atlas;
pub use faults::Rot;
pub(crate) use goes_on::Happens;
use machines::Looked;
use node::Node;
use noted::Request;
pub(crate) use noted::keep_history;
use pretence::Pretended;
use workload::Writers;

/// How many of the last events a failure shows.
const FAILURE_EVENTS_COUNT: usize = 60;
/// How long clients wait where the scenario names no bound.
const DEFAULT_BOUND_MS: u64 = 10_000;
/// Longest stretch between two looks at the workload while nothing is due.
const SLICE_MS: u64 = 100;

thread_local! {
    /// Name of the scenario that runs on this thread, for the line that repeats it.
    static SCENARIO: Cell<Option<&'static str>> = const { Cell::new(None) };
}

/// Says which scenario this thread runs.
pub(crate) fn name_scenario(name: &'static str) {
    SCENARIO.set(Some(name));
}

/// What a run came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Report {
    /// Equal exactly if two runs were equal.
    pub event_hash: u64,
    /// How many events it stands for.
    pub events_count: u64,
    /// How long it took, in simulated time.
    pub simulated_ms: u64,
    /// Writes that were acknowledged.
    pub acknowledged_count: u64,
    /// Writes that were refused, without effect.
    pub refused_count: u64,
    /// Writes whose outcome nobody knows.
    pub unknown_count: u64,
    /// How many nodes were seen to act, each time with another token.
    pub tokens_count: u64,
    /// How long nobody could act while that passed from one to another.
    pub margins: Margins,
    /// How often a node called a member down whose process ran.
    pub false_downs_count: u64,
    /// The telling places of the nodes' code that the run has met.
    pub marks: Marks,
    /// What struck of the run's fault plan, and what of it changed something.
    pub coverage: Coverage,
}

/// What a client leaves to chance, at sites of its own: one more or less leaves the others alone.
#[derive(Clone, Debug)]
struct Client {
    /// Which of the nodes that run it asks.
    node: Dice,
    is_read: Dice,
    /// Which of the objects that clients share.
    object: Dice,
    request_id: Dice,
}

impl Client {
    /// Number 0 calls the verbs, the writers count from 1.
    fn new(choices: &Choices, number: u64) -> Client {
        Client {
            node: choices.chosen("client.node", number),
            is_read: choices.chosen("client.is_read", number),
            object: choices.site("client.object", number),
            request_id: choices.site("client.request_id", number),
        }
    }

    fn request_id(&self) -> RequestId {
        let high = u128::from(self.request_id.word());
        RequestId(high << 64 | u128::from(self.request_id.word()) | 1)
    }
}

/// Whole nodes under faults, and their clients.
pub struct Cluster {
    world: World,
    choices: Choices,
    nodes: Vec<Node>,
    history: History,
    checkers: Vec<Box<dyn Checker>>,
    always: Vec<software::Always>,
    ledger: Ledger,
    books: Books,
    writers: Option<Writers>,
    /// `None` unless somebody wants to see it.
    diagram: Option<Diagram>,
    atlas: Atlas,
    /// The one who calls the verbs.
    caller: Client,
    /// Every token with which a node was seen to act.
    tokens: BTreeSet<FencingToken>,
    margins: MarginWatch,
    members_agree: Rc<RefCell<MembersAgree>>,
    excused: Excused,
    coverage: Coverage,
    goes_on: goes_on::GoesOn,
    pretended: Pretended,
}

impl Cluster {
    /// That many voters, with the default settings, each on its own machine.
    pub fn of(nodes_count: u8) -> Setup {
        Setup::of(nodes_count)
    }

    /// The world below, for faults that have no verb here.
    pub fn world(&self) -> &World {
        &self.world
    }

    /// The machine of a node. Panics if there is no such name.
    pub fn machine(&self, name: &str) -> MachineId {
        self.nodes[self.place(name)].machine
    }

    /// Every name, in order.
    pub fn names(&self) -> Vec<String> {
        self.nodes.iter().map(|node| node.name.clone()).collect()
    }

    /// Lets this much simulated time pass, with the workload going on.
    pub fn run_for_ms(&mut self, ms: u64) {
        let end_ms = self.world.now_ms() + ms;
        self.drive(end_ms, &mut |_, _| false);
    }

    /// Adds a checker of the scenario's own.
    pub fn check_with(&mut self, checker: Box<dyn Checker>) {
        self.checkers.push(checker);
    }

    /// Where the scenario itself chooses: moments, victims, kinds of faults. Recorded.
    pub fn choose(&self, site: &str, instance: u64) -> Dice {
        self.choices.chosen(site, instance)
    }

    /// The same, at sites that others name.
    pub(crate) fn choices(&self) -> &Choices {
        &self.choices
    }

    /// What clients were told so far.
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// Notes what a fault of the plan has done. It becomes part of the report.
    pub(crate) fn note_faults(&mut self, note: impl FnOnce(&mut Coverage)) {
        note(&mut self.coverage);
    }

    /// The place of the node that may act, as far as the checkers count it.
    pub(crate) fn acting(&self) -> Option<usize> {
        let seen = see(&self.nodes, &self.world, &self.excused, &self.tokens);
        seen.iter().find(|node| node.may_act).map(|node| node.at)
    }

    fn place(&self, name: &str) -> usize {
        let found = self.nodes.iter().position(|node| node.name == name);
        found.unwrap_or_else(|| panic!("the cluster has no node {name}"))
    }

    fn places(&self, names: &[&str]) -> Vec<usize> {
        names.iter().map(|name| self.place(name)).collect()
    }

    fn machines_of(&self, places: &[usize]) -> Vec<MachineId> {
        places.iter().map(|at| self.nodes[*at].machine).collect()
    }

    /// The nodes that run and have a handle.
    fn up(&self) -> Vec<usize> {
        (0..self.nodes.len()).filter(|at| self.nodes[*at].is_up(&self.world)).collect()
    }

    /// A node that runs, as the client chooses.
    fn any_up(&self, client: &Client) -> Option<usize> {
        let up = self.up();
        let last = up.len().checked_sub(1)?;
        Some(up[client.node.between(0, last as u64) as usize])
    }

    /// Runs until `is_true`, asked after every instant, or until `end_ms`; says which.
    ///
    /// Every instant goes through the checkers, and the writers write when they are due.
    fn drive(&mut self, end_ms: u64, is_true: &mut dyn FnMut(&[Seen], &World) -> bool) -> bool {
        loop {
            let now_ms = self.world.now_ms();
            self.let_happen(now_ms);
            let next_ms = self.write_what_is_due(now_ms).unwrap_or(now_ms + SLICE_MS);
            let next_ms = self.next_to_happen_ms().map_or(next_ms, |due_ms| due_ms.min(next_ms));
            let limit_ms = next_ms.clamp(now_ms + 1, now_ms + SLICE_MS).min(end_ms);
            let (nodes, checkers) = (&self.nodes, &mut self.checkers);
            let (history, tokens) = (&self.history, &mut self.tokens);
            let (diagram, always) = (&mut self.diagram, &mut self.always);
            let (margins, members) = (&mut self.margins, &self.members_agree);
            let (excused, atlas) = (&self.excused, &self.atlas);
            let pretended = &self.pretended;
            let (mut wrong, mut is_one_ending) = (None, false);
            let met = self.world.run_until_true(limit_ms.saturating_sub(now_ms), |world| {
                let mut seen = see(nodes, world, excused, tokens);
                pretended.falsify(&mut seen);
                if let Some(diagram) = diagram {
                    diagram.look(nodes, &seen, world);
                }
                margins.look(&seen, world.now_us());
                tokens.extend(seen.iter().filter(|n| n.may_act).filter_map(|n| n.leadership.token));
                let looked = Looked { nodes, world, atlas, pretended };
                wrong = look(&seen, &looked, (checkers, members), history).err();
                let mut demanded = always.iter_mut().map(|holds| holds(world));
                wrong = wrong.take().or_else(|| demanded.find_map(Result::err));
                is_one_ending = nodes.iter().any(|node| node.is_ending(world));
                wrong.is_some() || is_one_ending || is_true(&seen, world)
            });
            if let Some(wrong) = wrong {
                self.fail(&wrong);
            }
            if is_one_ending {
                // What was waited for is asked again, without it and at the same instant.
                let ending = self.nodes.iter().filter(|node| node.is_ending(&self.world));
                ending.for_each(|node| node.end(&self.world));
                continue;
            }
            if met {
                return true;
            }
            if self.world.now_ms() >= end_ms {
                return false;
            }
        }
    }

    /// Asks one node something and waits; `None` if no answer came in time.
    fn wait_for<T: Clone + 'static>(&mut self, asked: &Asked<T>, limit_ms: u64) -> Option<T> {
        let end_ms = self.world.now_ms() + limit_ms;
        self.drive(end_ms, &mut |_, _| asked.is_over());
        asked.answer()
    }

    /// How far each running node has come, and the number over its state.
    fn reached(&self) -> BTreeMap<usize, (LogIndex, u64)> {
        self.up().into_iter().map(|at| (at, self.history.reached(at))).collect()
    }

    /// Ends the run: what was promised does not hold.
    fn fail(&mut self, what: &str) -> ! {
        if let Some(diagram) = &mut self.diagram {
            diagram.fail(what);
        }
        let events = self.world.last_events(FAILURE_EVENTS_COUNT).join("\n");
        let now_ms = self.world.now_ms();
        let again = again(SCENARIO.get(), &self.choices);
        panic!("at {now_ms} ms: {what}\nagain: {again}\nlast events:\n{events}")
    }
}

impl fmt::Debug for Cluster {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            out,
            "cluster of {}, seed {}, {:?}",
            self.nodes.len(),
            self.choices.seed(),
            self.world
        )
    }
}

/// The line that repeats a run. Edits do not fit into it; they are in the run's choice file.
pub(crate) fn again(scenario: Option<&str>, choices: &Choices) -> String {
    let (seed, edits_count) = (choices.seed(), choices.edits().count());
    let again = match scenario {
        Some(name) => format!("cargo run -p quorate-sim -- run {name} --seed {seed}"),
        None => format!("seed {seed}"),
    };
    match edits_count {
        0 => again,
        count => format!("{again}, with {count} edited choices"),
    }
}

/// The first thing that is wrong with what is seen.
fn look(
    seen: &[Seen],
    looked: &Looked<'_>,
    (checkers, members): (&mut [Box<dyn Checker>], &RefCell<MembersAgree>),
    history: &History,
) -> Result<(), String> {
    for node in looked.nodes {
        if let Some(reason) = node.failed(looked.world) {
            return Err(format!("{} ended by itself: {reason}", node.name));
        }
    }
    for told in looked.pretended.told() {
        members.borrow_mut().hear(&told);
        checkers.iter_mut().try_for_each(|checker| checker.hear(&told))?;
    }
    members.borrow_mut().look(|node| looked.is_awake(seen, node));
    checkers.iter_mut().try_for_each(|checker| checker.look(looked))?;
    checkers.iter_mut().try_for_each(|checker| checker.check(seen))?;
    history.violation().map_or(Ok(()), Err)
}
