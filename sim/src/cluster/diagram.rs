//! The diagram of a run: how each node fared, who led when, what clients asked, what was on the
//! way; kept for whoever draws it.
//!
//! Invariants
//! - It is looked at after every instant, so a stretch of a node begins and ends when it did.
//! - A run that is kept is the same run, with the same event hash.
//!
//! Read next: [`Diagram`], then `diagram/page.html`, which draws it.

use std::cell::RefCell;
use std::path::{Path, PathBuf};

use quorate_core::history::Operation;
use quorate_core::replication::RaftRole;
use serde::Serialize;

use super::Cluster;
use super::node::Node;
use crate::checkers::Seen;
use crate::world::{Condition, Fate, Message, World};

/// The page around a diagram; it looks for this text.
const PAGE: &str = include_str!("diagram/page.html");
const PLACE_OF_DATA: &str = "/*DIAGRAM*/null";

thread_local! {
    /// Where the diagram of a run on this thread is drawn.
    static PATH: RefCell<Option<PathBuf>> = const { RefCell::new(None) };
}

/// Says where runs on this thread draw their diagram, however they end.
pub(crate) fn keep_diagram(path: Option<PathBuf>) {
    PATH.set(path);
}

/// How a node fares, as a reader cares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Fares {
    Dark,
    Down,
    Frozen,
    /// It runs and has no handle yet.
    Starting,
    Learner,
    Follower,
    Candidate,
    /// It won the term and may not act.
    Elected,
    /// It may act.
    Leader,
}

/// A stretch of time in which nothing changes for a node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Stretch {
    node: usize,
    from_us: u64,
    until_us: u64,
    fares: Fares,
    generation: u64,
    election: u64,
}

/// What was kept of a run so far.
#[derive(Debug)]
pub(super) struct Diagram {
    path: PathBuf,
    over: Vec<Stretch>,
    /// By node, the stretch that goes on.
    present: Vec<Option<Stretch>>,
    failure: Option<String>,
}

/// Sent, arrives, from, to, port, what, bytes, whether it arrives.
type DrawnMessage = (u64, u64, usize, usize, u16, &'static str, usize, bool);

/// What the page draws.
#[derive(Serialize)]
struct Drawn<'a> {
    title: String,
    failure: Option<&'a str>,
    end_us: u64,
    nodes: Vec<&'a str>,
    stretches: Vec<&'a Stretch>,
    messages: Vec<DrawnMessage>,
    /// When, which machine, text.
    marks: Vec<(u64, Option<usize>, &'a str)>,
    operations: &'a [Operation],
}

impl Diagram {
    /// The diagram that this thread was asked to keep, if it was.
    pub(super) fn begin(world: &World, nodes_count: usize) -> Option<Diagram> {
        let path = PATH.take()?;
        world.keep_all();
        let present = vec![None; nodes_count];
        Some(Diagram { path, over: Vec::new(), present, failure: None })
    }

    /// Looks at every node, at the present instant.
    pub(super) fn look(&mut self, nodes: &[Node], seen: &[Seen], world: &World) {
        let now_us = world.now_us();
        for (at, node) in nodes.iter().enumerate() {
            let of_node = seen.iter().find(|seen| seen.at == at);
            let fares = fares(world.condition(node.machine), of_node);
            let term = of_node.map(|seen| seen.leadership.term).unwrap_or_default();
            let (generation, election) = (u64::from(term.generation().0), term.election());
            let is_same = self.present[at].as_ref().is_some_and(|present| {
                (present.fares, present.generation, present.election)
                    == (fares, generation, election)
            });
            if is_same {
                continue;
            }
            let (from_us, until_us) = (now_us, now_us);
            let next = Stretch { node: at, from_us, until_us, fares, generation, election };
            if let Some(ended) = self.present[at].replace(next) {
                self.over.push(Stretch { until_us: now_us, ..ended });
            }
        }
    }

    /// The run fails for this reason.
    pub(super) fn fail(&mut self, what: &str) {
        self.failure = Some(what.to_owned());
    }

    /// Draws it.
    pub(super) fn draw(&mut self, title: String, world: &World, operations: &[Operation]) {
        let recording = world.recording();
        let end_us = world.now_us();
        for present in self.present.iter_mut().flatten() {
            present.until_us = end_us;
        }
        let message = |one: &Message| {
            let Message { sent_us, arrives_us, from, to, port, what, size_bytes, fate } = *one;
            (sent_us, arrives_us, from, to, port, what, size_bytes, fate == Fate::Arrives)
        };
        let drawn = Drawn {
            title,
            failure: self.failure.as_deref(),
            end_us,
            nodes: recording.names.iter().map(String::as_str).collect(),
            stretches: self.over.iter().chain(self.present.iter().flatten()).collect(),
            messages: recording.messages.iter().map(message).collect(),
            marks: recording.marks.iter().map(|m| (m.at_us, m.machine, &*m.text)).collect(),
            operations,
        };
        match write(&self.path, &drawn) {
            Ok(()) => eprintln!("diagram: {}", self.path.display()),
            Err(error) => {
                eprintln!("diagram: {} cannot be written: {error}", self.path.display());
            }
        }
    }
}

fn fares(condition: Condition, seen: Option<&Seen>) -> Fares {
    match (condition, seen) {
        (Condition::Dark, _) => Fares::Dark,
        (Condition::Down, _) => Fares::Down,
        (Condition::Frozen, _) => Fares::Frozen,
        (Condition::Running, None) => Fares::Starting,
        (Condition::Running, Some(seen)) if seen.may_act => Fares::Leader,
        (Condition::Running, Some(seen)) => match seen.leadership.role {
            RaftRole::Learner => Fares::Learner,
            RaftRole::Follower => Fares::Follower,
            RaftRole::Candidate => Fares::Candidate,
            RaftRole::Elected => Fares::Elected,
        },
    }
}

fn write(path: &Path, drawn: &Drawn<'_>) -> std::io::Result<()> {
    let data = serde_json::to_string(drawn).map_err(std::io::Error::other)?;
    // Inside a script element this would end it.
    let data = data.replace("</", "<\\/");
    std::fs::write(path, PAGE.replacen(PLACE_OF_DATA, &data, 1))
}

impl Cluster {
    /// Draws the diagram if one was asked for; the run is over.
    pub(super) fn draw_diagram(&mut self, title: String) {
        if let Some(mut diagram) = self.diagram.take() {
            diagram.draw(title, &self.world, self.ledger.operations());
        }
    }
}
