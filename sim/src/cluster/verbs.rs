//! What a client does by name: one write, one read, and what must come of it.

use bytes::Bytes;
use quorate_core::error::{ReadError, WriteError};
use quorate_core::history::register::Source;
use quorate_core::ids::RequestId;
use quorate_core::observe;
use quorate_core::replication::{Answer, Consistency, Proposed};

use super::ask::Asked;
use super::{Cluster, DEFAULT_BOUND_MS, Objects, Report, Request, objects};
use crate::choices::mix;

/// How long a client waits for one node before it asks another; longer after each that has not
/// answered, who may only be far away.
pub(super) const ATTEMPT_MS: u64 = 300;
const ATTEMPT_MS_MAX: u64 = 1_200;
/// Pause of a client that was refused.
pub(super) const PAUSE_MS: u64 = 20;
/// Pause between two such readings.
const READING_PAUSE_MS: u64 = 50;
/// How often all nodes are read, until they are read between two commands.
const READINGS_COUNT_MAX: u64 = 20;

/// Why a request was refused, without the details.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    /// Q1001
    NotLeader,
    /// Q1002
    OutcomeUnknown,
    /// Q1003
    NoLeader,
    /// Q1004
    Overloaded,
    /// Q1005
    TooLarge,
    /// Q1006
    Stopping,
    /// Q1007
    HandingOver,
}

impl Code {
    /// The code of an error.
    pub fn of(error: &WriteError) -> Code {
        match error {
            WriteError::NotLeader { .. } => Code::NotLeader,
            WriteError::OutcomeUnknown { .. } => Code::OutcomeUnknown,
            WriteError::NoLeader { .. } => Code::NoLeader,
            WriteError::Overloaded { .. } => Code::Overloaded,
            WriteError::TooLarge { .. } => Code::TooLarge,
            WriteError::Stopping { .. } => Code::Stopping,
            WriteError::HandingOver => Code::HandingOver,
        }
    }
}

/// A write that was acknowledged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acked {
    pub(super) value: String,
}

/// A write that waits for what must come of it.
#[must_use]
#[derive(Debug)]
pub struct Write<'a> {
    cluster: &'a mut Cluster,
    name: String,
    value: String,
    /// Who is asked, in turns; whoever runs if this is empty.
    via: Vec<usize>,
}

/// A read that waits for what it must see.
#[must_use]
#[derive(Debug)]
pub struct Read<'a> {
    cluster: &'a mut Cluster,
    name: String,
}

impl Cluster {
    /// A client writes, at any node that runs.
    pub fn write(&mut self, name: &str, value: &str) -> Write<'_> {
        Write { cluster: self, name: name.to_owned(), value: value.to_owned(), via: Vec::new() }
    }

    /// A client reads, linearizably, at any node that runs.
    pub fn read(&mut self, name: &str) -> Read<'_> {
        Read { cluster: self, name: name.to_owned() }
    }

    /// Sends a command to any node that runs; waits for its outcome. For own state machines.
    pub fn propose(&mut self, command: Bytes) -> Option<Result<Proposed, WriteError>> {
        let (at, id) = (self.any_up(&self.caller)?, self.caller.request_id());
        let asked = self.ask_to_write(at, command, id);
        self.wait_for(&asked, DEFAULT_BOUND_MS)
    }

    /// Asks one node's own state, however old.
    pub fn stale_read(&mut self, name: &str, query: Bytes) -> Option<Bytes> {
        let at = self.place(name);
        let asked = self.ask_to_read(at, query, Consistency::Stale);
        Some(self.wait_for(&asked, DEFAULT_BOUND_MS)?.ok()?.reply)
    }

    pub(super) fn ask_to_write(
        &self,
        at: usize,
        command: Bytes,
        id: RequestId,
    ) -> Asked<Result<Proposed, WriteError>> {
        Asked::ask(
            &self.world,
            &self.nodes[at],
            |node| async move { node.propose(command, id).await },
        )
    }

    pub(super) fn ask_to_read(
        &self,
        at: usize,
        query: Bytes,
        how: Consistency,
    ) -> Asked<Result<Answer, ReadError>> {
        Asked::ask(&self.world, &self.nodes[at], |node| async move { node.read(query, how).await })
    }

    /// Every node that runs holds exactly what clients were told, and no checker has complained.
    ///
    /// Call it when the logs are equal. Ends the workload.
    pub fn check_invariants(&mut self) -> Report {
        self.stop_writers();
        let replicas = self.replicas();
        let source = |(name, objects): &(String, Objects)| Source {
            name: name.clone(),
            contents: objects.contents(),
        };
        let sources: Vec<Source> = replicas.iter().map(source).collect();
        if let Err(wrong) = self.ledger.check(&sources) {
            self.fail(&wrong);
        }
        for (name, objects) in &replicas {
            if let [wrong, ..] = &self.books.findings(objects)[..] {
                self.fail(&format!("{name}: {wrong}"));
            }
        }
        self.report()
    }

    /// Everything that each running node holds, all after the same entries.
    fn replicas(&mut self) -> Vec<(String, Objects)> {
        for _ in 0..READINGS_COUNT_MAX {
            let before = self.reached();
            let mut indexes = before.values().map(|(index, _)| index);
            let first = indexes.next();
            // A write of unknown outcome may come through after the logs were equal: it reaches one
            // node after the other.
            if indexes.all(|index| Some(index) == first) {
                let replicas = self.up().into_iter().map(|at| self.replica(at)).collect();
                if self.reached() == before {
                    return replicas;
                }
            }
            self.run_for_ms(READING_PAUSE_MS);
        }
        let reached = self.reached();
        self.fail(&format!(
            "the nodes do not come to the same entry, though nobody writes: {reached:?}"
        ))
    }

    fn replica(&mut self, at: usize) -> (String, Objects) {
        let name = self.nodes[at].name.clone();
        let Some(text) = self.stale_read(&name, Bytes::new()) else {
            self.fail(&format!("{name} answers no question about its own state"));
        };
        let Some(objects) = Objects::parse(&text) else {
            self.fail(&format!("the state of {name} is not that of the objects"));
        };
        (name, objects)
    }

    pub(super) fn acknowledged_count(&self) -> u64 {
        self.ledger.acknowledged_count + self.books.acknowledged_count
    }

    /// What the run has come to so far.
    pub fn report(&self) -> Report {
        Report {
            event_hash: mix(self.world.event_hash() ^ observe::inputs_digest()),
            events_count: self.world.events_count(),
            simulated_ms: self.world.now_ms(),
            acknowledged_count: self.acknowledged_count(),
            refused_count: self.ledger.refused_count,
            unknown_count: self.ledger.unknown_count,
            tokens_count: self.tokens.len() as u64,
            margins: self.margins.margins,
            false_downs_count: self.members_agree.borrow().false_downs_count,
            coverage: self.coverage,
            marks: observe::marks(),
        }
    }
}

impl<'a> Write<'a> {
    /// Sends it to this node and no other.
    pub fn via(self, name: &str) -> Self {
        self.via_any_of(&[name])
    }

    /// Sends it to these nodes in turns, and to no other.
    pub fn via_any_of(mut self, names: &[&str]) -> Self {
        self.via = self.cluster.places(names);
        self
    }

    /// It is acknowledged within this time, by as many attempts as it takes, under one request id.
    pub fn acked_within_ms(self, ms: u64) -> Acked {
        let Write { cluster, name, value, via } = self;
        let start_ms = cluster.world.now_ms();
        let end_ms = start_ms + ms;
        let id = cluster.caller.request_id();
        let (mut last, mut patience_ms) = ("no node runs".to_owned(), ATTEMPT_MS);
        let mut turns = via.iter().copied().cycle();
        while cluster.world.now_ms() < end_ms {
            let left_ms = end_ms - cluster.world.now_ms();
            let Some(at) = turns.next().or_else(|| cluster.any_up(&cluster.caller)) else {
                cluster.run_for_ms(PAUSE_MS.min(left_ms));
                continue;
            };
            let asked = cluster.ask_to_write(at, objects::put(&name, &value), id);
            let answer = cluster.wait_for(&asked, left_ms.min(patience_ms));
            match answer {
                Some(Ok(_)) => {
                    let request = Request { name, value, start_ms, at };
                    cluster.note_write(&request, answer.as_ref());
                    return Acked { value: request.value };
                }
                Some(Err(error)) => last = error.to_string(),
                None => {
                    last = format!("no answer from {}", cluster.nodes[at].name);
                    patience_ms = (2 * patience_ms).min(ATTEMPT_MS_MAX);
                }
            }
            cluster.run_for_ms(PAUSE_MS.min(end_ms.saturating_sub(cluster.world.now_ms())));
        }
        cluster.fail(&format!("{name} = {value} was not acknowledged within {ms} ms: {last}"))
    }

    /// One attempt is answered with this code.
    pub fn refused(self, code: Code) {
        let Attempt { cluster, request, answer } = self.attempt(DEFAULT_BOUND_MS);
        cluster.note_write(&request, answer.as_ref());
        match answer {
            Some(Err(error)) if Code::of(&error) == code => {}
            other => {
                let node = &cluster.nodes[request.at].name;
                cluster.fail(&format!("{node} should refuse a write with {code:?}: {other:?}"));
            }
        }
    }

    /// Nobody acknowledges it within this time; the node may say no, or nothing.
    pub fn not_acked_within_ms(self, ms: u64) {
        let Attempt { cluster, request, answer } = self.attempt(ms);
        cluster.note_write(&request, answer.as_ref());
        if let Some(Ok(proposed)) = answer {
            let (node, Request { name, value, .. }) = (&cluster.nodes[request.at].name, &request);
            cluster.fail(&format!("{node} acknowledged {name} = {value}: {proposed:?}"));
        }
    }

    /// Sends it once and waits. Ends the run if no node runs.
    fn attempt(self, ms: u64) -> Attempt<'a> {
        let Write { cluster, name, value, via } = self;
        let Some(at) = via.first().copied().or_else(|| cluster.any_up(&cluster.caller)) else {
            cluster.fail("no node runs that could be asked to write");
        };
        let start_ms = cluster.world.now_ms();
        let id = cluster.caller.request_id();
        let asked = cluster.ask_to_write(at, objects::put(&name, &value), id);
        let answer = cluster.wait_for(&asked, ms);
        Attempt { cluster, request: Request { name, value, start_ms, at }, answer }
    }
}

/// A write that was sent once: `None` if no answer came in time.
struct Attempt<'a> {
    cluster: &'a mut Cluster,
    request: Request,
    answer: Option<Result<Proposed, WriteError>>,
}

impl Read<'_> {
    /// It is answered within the default bound, and with this value.
    pub fn sees(self, acked: &Acked) {
        let Read { cluster, name } = self;
        let end_ms = cluster.world.now_ms() + DEFAULT_BOUND_MS;
        let mut patience_ms = ATTEMPT_MS;
        while cluster.world.now_ms() < end_ms {
            if let Some(at) = cluster.any_up(&cluster.caller) {
                let start_ms = cluster.world.now_ms();
                let query = Bytes::from(name.clone());
                let asked = cluster.ask_to_read(at, query, Consistency::Linearizable);
                if let Some(Ok(answer)) = cluster.wait_for(&asked, patience_ms) {
                    let value = acked.value.clone();
                    let request = Request { name, value, start_ms, at };
                    let seen = cluster.note_read(&request, &answer);
                    if seen != request.value {
                        let Request { name, value, .. } = request;
                        cluster.fail(&format!("a read of {name} sees {seen:?}, not {value:?}"));
                    }
                    return;
                }
                patience_ms = (2 * patience_ms).min(ATTEMPT_MS_MAX);
            }
            cluster.run_for_ms(PAUSE_MS);
        }
        cluster.fail(&format!("no read of {name} was answered"))
    }
}
