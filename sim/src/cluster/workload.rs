//! Clients that write all the time, each one request after the other, at any node that runs.
//!
//! Every write has a name of its own unless the workload says otherwise, so that each lost one is
//! missed. Now and then a client reads what was acknowledged before, linearizably. What it sees is
//! judged with everything else when the run ends.
//!
//! Invariants
//! - One attempt per write: what it was told is what goes into the ledger.

use bytes::Bytes;
use quorate_core::error::{ReadError, WriteError};
use quorate_core::replication::{Answer, Consistency, Proposed};

use super::ask::Asked;
use super::{Client, Cluster, Request, register};

/// How much is written.
#[derive(Clone, Copy, Debug)]
pub struct Workload {
    /// Clients that write at the same time. Default 3.
    pub writers_count: usize,
    /// Pause of each between an outcome and its next write. Default 50.
    pub pause_ms: u64,
    /// Names that are used in turn; 0 gives each write its own. Default 0.
    pub names_count: u64,
    /// Share of requests that read. Default 0.3.
    pub reads: f64,
}

impl Default for Workload {
    fn default() -> Workload {
        Workload { writers_count: 3, pause_ms: 50, names_count: 0, reads: 0.3 }
    }
}

enum Doing {
    Resting { until_ms: u64 },
    Writing { request: Request, asked: Asked<Result<Proposed, WriteError>> },
    Reading { request: Request, asked: Asked<Result<Answer, ReadError>> },
}

pub(super) struct Writers {
    workload: Workload,
    written_count: u64,
    last_acknowledged: Option<String>,
    /// By writer, as is `doing`.
    clients: Vec<Client>,
    doing: Vec<Doing>,
}

impl Cluster {
    /// From here on clients write, until [`Cluster::stop_writers`].
    pub fn start_writers(&mut self, workload: Workload) {
        let now_ms = self.world.now_ms();
        let resting = (0..workload.writers_count as u64)
            .map(|at| Doing::Resting { until_ms: now_ms + at * 7 })
            .collect();
        let clients = (1..=workload.writers_count as u64)
            .map(|number| Client::new(&self.choices, number))
            .collect();
        self.writers = Some(Writers {
            workload,
            written_count: self.ledger.acknowledged_count,
            last_acknowledged: None,
            clients,
            doing: resting,
        });
    }

    /// The clients write no more; waits for the outcome of what is under way.
    pub fn stop_writers(&mut self) {
        let Some(mut writers) = self.writers.take() else {
            return;
        };
        let end_ms = self.world.now_ms() + super::DEFAULT_BOUND_MS;
        for doing in std::mem::take(&mut writers.doing) {
            if let Doing::Resting { .. } = doing {
                continue;
            }
            self.drive(end_ms, &mut |_, _| doing.is_over());
            self.note(&doing, &mut writers);
        }
    }

    /// Notes what is over and begins what is due; returns when to look again.
    pub(super) fn write_what_is_due(&mut self, now_ms: u64) -> Option<u64> {
        let mut writers = self.writers.take()?;
        let mut next_ms = now_ms + super::SLICE_MS;
        for at in 0..writers.doing.len() {
            if writers.doing[at].is_over() {
                let pause_ms = writers.workload.pause_ms;
                let resting = Doing::Resting { until_ms: now_ms + pause_ms };
                let done = std::mem::replace(&mut writers.doing[at], resting);
                self.note(&done, &mut writers);
            }
            match writers.doing[at] {
                Doing::Resting { until_ms } if until_ms <= now_ms => {
                    if let Some(doing) = self.next_request(&mut writers, at) {
                        writers.doing[at] = doing;
                    }
                    next_ms = next_ms.min(now_ms + 5);
                }
                Doing::Resting { until_ms } => next_ms = next_ms.min(until_ms),
                Doing::Writing { .. } | Doing::Reading { .. } => next_ms = next_ms.min(now_ms + 5),
            }
        }
        self.writers = Some(writers);
        Some(next_ms)
    }

    fn next_request(&mut self, writers: &mut Writers, writer: usize) -> Option<Doing> {
        let client = writers.clients[writer].clone();
        let at = self.any_up(&client)?;
        let is_read = client.is_read.chance(writers.workload.reads);
        if let (true, Some(name)) = (is_read, writers.last_acknowledged.clone()) {
            let query = Bytes::from(name.clone());
            let asked = self.ask_to_read(at, query, Consistency::Linearizable);
            let (value, start_ms) = (String::new(), self.world.now_ms());
            let request = Request { name, value, start_ms, at };
            return Some(Doing::Reading { request, asked });
        }
        writers.written_count += 1;
        let number = writers.written_count;
        let name = match writers.workload.names_count {
            0 => format!("w{number:06}"),
            count => format!("w{:06}", number % count),
        };
        let value = format!("v{number}");
        let id = client.request_id();
        let asked = self.ask_to_write(at, register::command(&name, &value), id);
        let request = Request { name, value, start_ms: self.world.now_ms(), at };
        Some(Doing::Writing { request, asked })
    }

    fn note(&mut self, doing: &Doing, writers: &mut Writers) {
        match doing {
            Doing::Resting { .. } => {}
            Doing::Writing { request, asked } => {
                let answer = asked.answer();
                if let Some(Ok(_)) = answer {
                    writers.last_acknowledged = Some(request.name.clone());
                }
                self.note_write(request, answer.as_ref());
            }
            Doing::Reading { request, asked } => {
                if let Some(Ok(answer)) = asked.answer() {
                    let _judged_later = self.note_read(request, &answer);
                }
            }
        }
    }
}

impl Doing {
    fn is_over(&self) -> bool {
        match self {
            Doing::Resting { .. } => false,
            Doing::Writing { asked, .. } => asked.is_over(),
            Doing::Reading { asked, .. } => asked.is_over(),
        }
    }
}
