//! Clients that do their deeds all the time, each one request after the other, at any node that
//! runs. What they see is judged with everything else when the run ends.
//!
//! Invariants
//! - A request on a plain register is sent once: what it was told is what goes into the ledger.
//! - Any other that changes something is sent again under its id until its outcome is known, or
//!   the clients are stopped.
//!
//! Read next: `deeds.rs` for what they do, `books.rs` for what is noted.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use quorate_core::error::{ReadError, WriteError};
use quorate_core::history::Outcome;
use quorate_core::ids::{LogIndex, RequestId};
use quorate_core::replication::{Answer, Consistency, Proposed};

use super::ask::Asked;
use super::books::Known;
use super::deeds::{Deed, Doer, Next, What};
use super::{Client, Cluster, Request};
use crate::checkers::Span;
use crate::choices::pair;

/// Pause before a client asks again what it has no answer to.
const AGAIN_MS: u64 = 40;

/// How much is done.
#[derive(Clone, Copy, Debug)]
pub struct Workload {
    /// Clients at the same time. Default 3.
    pub writers_count: usize,
    /// Pause of each between an outcome and its next request. Default 50.
    pub pause_ms: u64,
    /// Register names that are used in turn; 0 gives each write its own. Default 0.
    pub names_count: u64,
    /// Share of requests that read, from 0 to 1. Default 0.3.
    pub reads: f64,
    /// What the clients do, in turn. Default: all write registers.
    pub deeds: &'static [Deed],
}

impl Workload {
    /// Five clients, one for each deed.
    pub fn of_every_kind() -> Workload {
        const EVERY: [Deed; 5] =
            [Deed::Registers, Deed::Swaps, Deed::Lists, Deed::Inserts, Deed::Locks];
        Workload { writers_count: EVERY.len(), deeds: &EVERY, ..Workload::default() }
    }
}

impl Default for Workload {
    fn default() -> Workload {
        let deeds = &[Deed::Registers];
        Workload { writers_count: 3, pause_ms: 50, names_count: 0, reads: 0.3, deeds }
    }
}

/// A request that was sent.
struct Sent {
    what: What,
    id: RequestId,
    start_ms: u64,
    at: usize,
    /// An earlier attempt had no answer, so it may have taken effect.
    is_unknown: bool,
    asked: Question,
}

enum Question {
    Write(Asked<Result<Proposed, WriteError>>),
    Read(Asked<Result<Answer, ReadError>>),
}

/// What the last attempt came to.
enum Attempt {
    Known(Known),
    /// No answer: the client may ask again.
    Silent,
}

impl Question {
    fn is_over(&self) -> bool {
        match self {
            Question::Write(asked) => asked.is_over(),
            Question::Read(asked) => asked.is_over(),
        }
    }

    fn attempt(&self) -> Attempt {
        let answered = |index: LogIndex, reply: &Bytes| {
            let reply = String::from_utf8_lossy(reply).into_owned();
            Attempt::Known(Known::Answered { index, reply })
        };
        match self {
            Question::Write(asked) => match asked.answer() {
                Some(Ok(Proposed { index, reply, .. })) => answered(index, &reply),
                Some(Err(WriteError::OutcomeUnknown { .. })) | None => Attempt::Silent,
                Some(Err(_)) => Attempt::Known(Known::Refused),
            },
            Question::Read(asked) => match asked.answer() {
                Some(Ok(Answer { index, reply, .. })) => answered(index, &reply),
                Some(Err(_)) | None => Attempt::Known(Known::Refused),
            },
        }
    }
}

enum Doing {
    Resting {
        until_ms: u64,
    },
    Asking(Box<Sent>),
    /// Its last attempt had no answer; it asks again then.
    AskingAgain {
        sent: Box<Sent>,
        at_ms: u64,
    },
}

pub(super) struct Writers {
    workload: Workload,
    written_count: u64,
    last_acknowledged: Option<String>,
    /// By client, as are the two below.
    clients: Vec<Client>,
    doers: Vec<Doer>,
    doing: Vec<Doing>,
    /// Of which burst each is, if of any.
    bursts: Vec<Option<u64>>,
    ended: BTreeSet<u64>,
    acknowledged_counts: BTreeMap<u64, u64>,
}

/// Pause of a client of a burst.
const BURST_PAUSE_MS: u64 = 1;

impl Cluster {
    /// From here on clients ask, until [`Cluster::stop_writers`].
    pub fn start_writers(&mut self, workload: Workload) {
        let now_ms = self.world.now_ms();
        let numbers = 1..=workload.writers_count as u64;
        let deeds = workload.deeds.iter().cycle();
        self.writers = Some(Writers {
            workload,
            written_count: self.ledger.acknowledged_count,
            last_acknowledged: None,
            clients: numbers.clone().map(|number| Client::new(&self.choices, number)).collect(),
            doers: numbers.clone().zip(deeds).map(|(at, deed)| Doer::new(*deed, at)).collect(),
            doing: numbers.map(|at| Doing::Resting { until_ms: now_ms + (at - 1) * 7 }).collect(),
            bursts: vec![None; workload.writers_count],
            ended: BTreeSet::new(),
            acknowledged_counts: BTreeMap::new(),
        });
    }

    /// So many more clients join the workload, whose choices are at instances of this number; they
    /// write registers and hardly pause. Without a workload nothing happens.
    pub fn start_burst(&mut self, burst: u64, clients_count: u64) {
        let now_ms = self.world.now_ms();
        if let Some(writers) = &mut self.writers {
            for number in 1..=clients_count {
                let instance = pair(burst, number);
                writers.clients.push(Client::new(&self.choices, instance));
                writers.doers.push(Doer::new(Deed::Registers, instance));
                writers.doing.push(Doing::Resting { until_ms: now_ms });
                writers.bursts.push(Some(burst));
            }
        }
    }

    /// The clients of a burst leave, each after its outcome. Returns how many of its writes were
    /// acknowledged so far.
    pub fn end_burst(&mut self, burst: u64) -> u64 {
        let Some(writers) = &mut self.writers else { return 0 };
        writers.ended.insert(burst);
        writers.acknowledged_counts.get(&burst).copied().unwrap_or(0)
    }

    /// The clients ask no more; waits for the outcome of what is under way.
    pub fn stop_writers(&mut self) {
        let Some(mut writers) = self.writers.take() else {
            return;
        };
        let end_ms = self.world.now_ms() + super::DEFAULT_BOUND_MS;
        for (at, doing) in std::mem::take(&mut writers.doing).into_iter().enumerate() {
            match doing {
                Doing::Resting { .. } => {}
                Doing::AskingAgain { sent, .. } => {
                    self.note(&mut writers, at, &sent, &Known::Unknown);
                }
                Doing::Asking(sent) => {
                    self.drive(end_ms, &mut |_, _| sent.asked.is_over());
                    let known = match sent.asked.attempt() {
                        Attempt::Known(Known::Refused) if sent.is_unknown => Known::Unknown,
                        Attempt::Known(known) => known,
                        Attempt::Silent => Known::Unknown,
                    };
                    self.note(&mut writers, at, &sent, &known);
                }
            }
        }
    }

    /// Notes what is over and begins what is due; returns when to look again.
    pub(super) fn write_what_is_due(&mut self, now_ms: u64) -> Option<u64> {
        let mut writers = self.writers.take()?;
        let mut next_ms = now_ms + super::SLICE_MS;
        for at in 0..writers.doing.len() {
            let resting = Doing::Resting { until_ms: now_ms + writers.pause_ms(at) };
            let doing = match std::mem::replace(&mut writers.doing[at], resting) {
                Doing::Asking(sent) if sent.asked.is_over() => {
                    self.take_in(&mut writers, at, sent, now_ms)
                }
                Doing::Resting { .. } if writers.has_left(at) => continue,
                Doing::Resting { until_ms } if until_ms <= now_ms => {
                    self.begin(&mut writers, at, now_ms)
                }
                Doing::AskingAgain { sent, at_ms } if at_ms <= now_ms => {
                    self.ask_again(&writers.clients[at].clone(), sent, now_ms)
                }
                doing => doing,
            };
            next_ms = next_ms.min(match &doing {
                Doing::Resting { until_ms: at_ms } | Doing::AskingAgain { at_ms, .. } => {
                    (*at_ms).max(now_ms + 5)
                }
                Doing::Asking(_) => now_ms + 5,
            });
            writers.doing[at] = doing;
        }
        self.writers = Some(writers);
        Some(next_ms)
    }

    /// An attempt is over.
    fn take_in(
        &mut self,
        writers: &mut Writers,
        at: usize,
        mut sent: Box<Sent>,
        now_ms: u64,
    ) -> Doing {
        let is_over = match sent.asked.attempt() {
            // Only an answer settles what an earlier attempt has left open.
            Attempt::Known(Known::Refused) if sent.is_unknown => None,
            Attempt::Known(known) => Some(known),
            Attempt::Silent if !sent.what.is_repeated() => Some(Known::Unknown),
            Attempt::Silent => None,
        };
        match is_over {
            Some(known) => {
                self.note(writers, at, &sent, &known);
                Doing::Resting { until_ms: now_ms + writers.pause_ms(at) }
            }
            None => {
                sent.is_unknown = true;
                Doing::AskingAgain { sent, at_ms: now_ms + AGAIN_MS }
            }
        }
    }

    fn begin(&mut self, writers: &mut Writers, at: usize, now_ms: u64) -> Doing {
        let rests = Doing::Resting { until_ms: now_ms + writers.pause_ms(at) };
        let client = writers.clients[at].clone();
        let Some(node) = self.any_up(&client) else {
            return Doing::Resting { until_ms: now_ms + 5 };
        };
        let is_read = client.is_read.chance(writers.workload.reads);
        let doer = &mut writers.doers[at];
        let what = match doer.next(&client.object, is_read) {
            None => writers.next_of_registers(is_read),
            Some(Next::Ask(what)) => what,
            Some(Next::WriteBehind { lock, token }) => {
                self.books.locks.write(&lock, &doer.name, token);
                return rests;
            }
        };
        if let What::Unlock { lock, token } = &what {
            self.books.locks.freeing(lock, *token);
        }
        let id = client.request_id();
        let asked = self.ask_what(node, &what, id);
        let (start_ms, is_unknown) = (now_ms, false);
        Doing::Asking(Box::new(Sent { what, id, start_ms, at: node, is_unknown, asked }))
    }

    fn ask_again(&mut self, client: &Client, mut sent: Box<Sent>, now_ms: u64) -> Doing {
        let Some(node) = self.any_up(client) else {
            return Doing::AskingAgain { sent, at_ms: now_ms + AGAIN_MS };
        };
        sent.at = node;
        sent.asked = self.ask_what(node, &sent.what, sent.id);
        Doing::Asking(sent)
    }

    fn ask_what(&self, at: usize, what: &What, id: RequestId) -> Question {
        match what.command() {
            Ok(command) => Question::Write(self.ask_to_write(at, command, id)),
            Err(query) => Question::Read(self.ask_to_read(at, query, Consistency::Linearizable)),
        }
    }

    fn note(&mut self, writers: &mut Writers, at: usize, sent: &Sent, known: &Known) {
        let span = Span { start_ms: sent.start_ms, end_ms: self.world.now_ms() };
        self.books.note(&sent.what, span, known);
        if let Known::Answered { index, reply } = known {
            writers.doers[at].answered(&sent.what, *index, reply);
        }
        let request = |name: &String, value: &str| {
            let (name, value) = (name.clone(), value.to_owned());
            Request { name, value, start_ms: sent.start_ms, at: sent.at }
        };
        match &sent.what {
            What::Put { name, value } => {
                if known.outcome() == Outcome::Acknowledged {
                    writers.last_acknowledged = Some(name.clone());
                    if let Some(burst) = writers.bursts[at] {
                        *writers.acknowledged_counts.entry(burst).or_default() += 1;
                    }
                }
                self.note_put(&request(name, value), known);
            }
            What::Swap { name, expected: _, value } => {
                self.note_swap(&request(name, value), known);
            }
            What::Read { name } => self.note_read_of(&request(name, ""), known),
            What::Append { .. }
            | What::ReadList { .. }
            | What::Insert { .. }
            | What::Lock { .. }
            | What::Unlock { .. } => {}
        }
    }
}

impl Writers {
    /// The next write of a register, or a read of what was acknowledged last.
    fn next_of_registers(&mut self, is_read: bool) -> What {
        if let (true, Some(name)) = (is_read, self.last_acknowledged.clone()) {
            return What::Read { name };
        }
        self.written_count += 1;
        let number = self.written_count;
        let name = match self.workload.names_count {
            0 => format!("w{number:06}"),
            count => format!("w{:06}", number % count),
        };
        What::Put { name, value: format!("v{number}") }
    }
}

impl Writers {
    fn pause_ms(&self, at: usize) -> u64 {
        self.bursts[at].map_or(self.workload.pause_ms, |_| BURST_PAUSE_MS)
    }

    fn has_left(&self, at: usize) -> bool {
        self.bursts[at].is_some_and(|burst| self.ended.contains(&burst))
    }
}
