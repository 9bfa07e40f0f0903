//! Lies told to the checkers, for the canary: a checker that believes them sees nothing.
//!
//! A lie takes the way of what is true: what nodes tell, show and hold is falsified where a run
//! looks at it, and what clients were told where they note it.
//!
//! Read next: `bank/lies.rs`, which has a lie for each checker.

use std::cell::RefCell;

use quorate_core::StateMachine;
use quorate_core::ids::LogIndex;
use quorate_core::observe::{self, Told};

use super::books::Known;
use super::deeds::What;
use super::{Cluster, Objects, Request, Seen};
use crate::checkers::{Held, Recorded, Span};

/// What checkers are shown that is not so; nothing, but for a canary.
#[derive(Default)]
pub(super) struct Pretended {
    told: RefCell<Vec<Told>>,
    seen: Option<fn(&mut Vec<Seen>)>,
    held: Option<Held>,
}

impl Pretended {
    /// What has happened since somebody asked last, and what has not.
    pub(super) fn told(&self) -> impl Iterator<Item = Told> {
        observe::take_told().into_iter().chain(self.told.take())
    }

    /// Falsifies what is seen of the nodes.
    pub(super) fn falsify(&self, seen: &mut Vec<Seen>) {
        if let Some(falsify) = self.seen {
            falsify(seen);
        }
    }

    /// What a machine holds besides, as they say.
    pub(super) fn held(&self) -> Option<Held> {
        self.held.clone()
    }
}

impl Cluster {
    /// Tells the checkers, at their next look, of what has not happened.
    pub(crate) fn pretend_told(&mut self, told: Vec<Told>) {
        self.pretended.told.borrow_mut().extend(told);
    }

    /// From here on shows them the nodes in another way.
    pub(crate) fn pretend_seen(&mut self, falsify: fn(&mut Vec<Seen>)) {
        self.leader();
        self.pretended.seen = Some(falsify);
    }

    /// From here on shows them this beside what the machines hold open.
    pub(crate) fn pretend_held(&mut self, held: Held) {
        self.pretended.held = Some(held);
    }

    /// A node that is not there executes something else than the others, at the same index.
    pub(crate) fn pretend_executed(&mut self) {
        let (index, _) = self.history.reached(0);
        let nowhere = self.nodes.len();
        let machine = Box::new(Objects::default());
        let mut machine = Recorded::new(machine, nowhere, self.history.clone());
        machine.apply(index, b"never=written");
    }

    /// Puts an acknowledged write into the ledger that nobody has made.
    pub(crate) fn pretend_acknowledged(&mut self, name: &str) {
        let request = self.never_sent(name, "never written");
        let asked = super::noted::asked(&request, request.start_ms, "n1");
        self.ledger.acknowledged(&asked, 1);
    }

    /// Puts a read into the ledger that saw this value, at the first index.
    pub(crate) fn pretend_read(&mut self, name: &str, value: &str) {
        // Whatever was done has ended a moment ago.
        self.run_for_ms(5);
        let request = self.never_sent(name, value);
        let asked = super::noted::asked(&request, request.start_ms + 1, "n1");
        self.ledger.read(&asked, 1);
    }

    fn never_sent(&self, name: &str, value: &str) -> Request {
        let (name, value) = (name.to_owned(), value.to_owned());
        Request { name, value, start_ms: self.world.now_ms(), at: 0 }
    }

    /// Puts down an element that nobody has appended as appended.
    pub(crate) fn pretend_appended(&mut self) {
        let (list, element) = ("never".to_owned(), "appended".to_owned());
        self.pretend_noted(&What::Append { list, element }, "1");
    }

    /// Puts down a swap that expected what nobody had written as done.
    pub(crate) fn pretend_swapped(&mut self) {
        let [name, expected, value] = ["never", "this", "that"].map(str::to_owned);
        self.pretend_noted(&What::Swap { name, expected, value }, "ok");
    }

    /// Puts down a name as given to somebody who has not asked for it.
    pub(crate) fn pretend_inserted(&mut self) {
        let (name, owner) = ("never".to_owned(), "nobody".to_owned());
        self.pretend_noted(&What::Insert { name, owner }, "first");
    }

    /// Puts down one lock as given to two, with one token.
    pub(crate) fn pretend_locked(&mut self) {
        for owner in ["one", "other"] {
            let (lock, owner) = ("never".to_owned(), owner.to_owned());
            self.pretend_noted(&What::Lock { lock, owner }, "granted");
        }
    }

    fn pretend_noted(&mut self, what: &What, reply: &str) {
        let now_ms = self.world.now_ms();
        let span = Span { start_ms: now_ms, end_ms: now_ms };
        let known = Known::Answered { index: LogIndex(1), reply: reply.to_owned() };
        self.books.note(what, span, &known);
    }
}
