//! The shell: requests come in, the state decides, consensus and the applied state do the work.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::rc::Rc;

use actix::prelude::*;

use super::ConsensusReport;
use super::consensus::{Consensus, Lines, SharedMachine, Watched};
use super::handlers::{Flush, Write};
use super::parts::{Learn, Parts, Reports};
use super::state::{Effect, Input, Replication, RequestNumber};
use super::store::LogStore;
use super::work::{self, PendingRead, PendingWrite, Tasks};
use crate::ids::NodeId;
use crate::last_inputs::{self, ActorName};
use crate::ports::Env;
use crate::watch;

/// Requests that may wait in the mailbox.
const MAILBOX_COUNT: usize = 16_384;

pub(crate) struct ReplicationActor {
    pub(super) env: Env,
    pub(super) this: NodeId,
    pub(super) consensus: Consensus,
    pub(super) machine: SharedMachine,
    pub(super) lines: Lines,
    pub(super) log: LogStore,
    pub(super) tasks: Tasks,
    pub(super) write_timeout_ms: u64,
    pub(super) confirm_timeout_ms: u64,
    pub(super) silence_ms_max: u64,
    pub(super) state: Replication,
    pub(super) reports: Reports,
    pub(super) reported: Option<ConsensusReport>,
    pub(super) facts: Watched,
    /// Who leads, for those who wait for an answer from who led.
    pub(super) leads: watch::Sender<Option<NodeId>>,
    next: RequestNumber,
    writes: BTreeMap<RequestNumber, PendingWrite>,
    pub(super) reads: BTreeMap<RequestNumber, PendingRead>,
    pub(super) batch: Vec<PendingWrite>,
    /// Writes that were admitted and have no outcome yet.
    pub(super) in_flight: Rc<Cell<u64>>,
    /// Told why consensus ended by itself.
    pub(super) ended: watch::Sender<Option<String>>,
    /// Notes where a member says to be, for the next connection to it.
    pub(super) learn: Learn,
}

impl ReplicationActor {
    pub(crate) fn new(parts: Parts) -> ReplicationActor {
        let Parts {
            env,
            this,
            consensus,
            machine,
            lines,
            log,
            tasks,
            write_timeout_ms,
            silence_ms_max,
            reports,
            ended,
            learn,
        } = parts;
        let facts = consensus.watched();
        ReplicationActor {
            env,
            this,
            consensus,
            machine,
            lines,
            log,
            tasks,
            write_timeout_ms,
            confirm_timeout_ms: silence_ms_max * 2,
            silence_ms_max,
            state: Replication::new(this, silence_ms_max),
            reports,
            reported: None,
            leads: watch::channel(facts.leader).0,
            facts,
            next: 0,
            writes: BTreeMap::new(),
            reads: BTreeMap::new(),
            batch: Vec::new(),
            in_flight: Rc::default(),
            ended,
            learn,
        }
    }

    pub(super) fn advance(&mut self, input: Input, ctx: &mut Context<Self>) {
        let now = self.env.clock.now();
        let _running = last_inputs::note(ActorName::Replication, self.this, now, input.brief());
        let mut effects = Vec::new();
        self.state.step(self.consensus.leader_age_ms(), input, &mut effects);
        for effect in effects {
            self.perform(effect, ctx);
        }
    }

    /// The only place where this actor touches the world.
    fn perform(&mut self, effect: Effect, ctx: &mut Context<Self>) {
        match effect {
            Effect::Propose { write } => {
                if self.batch.is_empty() {
                    ctx.notify(Flush);
                }
                let pending = self.take_write(write);
                self.batch.push(pending);
            }
            Effect::Forward { write, to } => {
                let pending = self.take_write(write);
                work::forward(self, pending, to);
            }
            Effect::RefuseWrite { write, error } => {
                let pending = self.take_write(write);
                work::resolve(&self.in_flight, pending, Err(error));
            }
            Effect::Confirm { from } => work::confirm(self, from, ctx.address()),
            Effect::ServeReads { reads, index } => {
                let reads = reads.iter().map(|read| self.take_read(*read)).collect();
                work::serve(self, reads, index);
            }
            Effect::RefuseReads { reads, error } => {
                reads.iter().for_each(|read| self.take_read(*read).refuse(error.clone()));
            }
            Effect::TakeSnapshot => work::snapshot(self),
        }
    }

    pub(super) fn leader(&self) -> Option<NodeId> {
        self.state.leader()
    }

    fn take_write(&mut self, write: RequestNumber) -> PendingWrite {
        self.writes.remove(&write).expect("each write has its bytes until it is resolved")
    }

    pub(super) fn admit(&mut self, write: Write, ctx: &mut Context<Self>) {
        self.next += 1;
        let number = self.next;
        let (pending, input) = match write {
            Write::New(pending) => {
                let waiting_count = self.in_flight.get();
                self.in_flight.set(waiting_count + 1);
                let (size_bytes, is_forwarded) = (pending.size_bytes(), pending.is_forwarded());
                let write = number;
                (pending, Input::WriteAsked { write, size_bytes, waiting_count, is_forwarded })
            }
            Write::Bounced(pending) => {
                let is_forwarded = pending.is_forwarded();
                (pending, Input::WriteBounced { write: number, is_forwarded })
            }
        };
        self.writes.insert(number, pending);
        self.advance(input, ctx);
    }

    fn take_read(&mut self, read: RequestNumber) -> PendingRead {
        self.reads.remove(&read).expect("each read has its question until it is resolved")
    }

    pub(super) fn ask_read(&mut self, pending: PendingRead, ctx: &mut Context<Self>) {
        self.next += 1;
        self.reads.insert(self.next, pending);
        self.advance(Input::ReadAsked { read: self.next }, ctx);
    }
}

impl Actor for ReplicationActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        ctx.set_mailbox_capacity(MAILBOX_COUNT);
        work::watch(&self.consensus, ctx.address());
    }
}
