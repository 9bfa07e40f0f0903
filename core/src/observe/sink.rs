//! Where marks and events of a thread gather, while somebody observes it.
//!
//! Invariants
//! - Without an observer nothing gathers: a thread that nobody looks at keeps nothing.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

use super::marks::Marks;
use super::{Depth, MARKS, MostInputs, Told};
use crate::ids::NodeId;
use crate::last_inputs::ActorName;
use crate::ports::Now;

thread_local! {
    static IS_OBSERVED: Cell<bool> = const { Cell::new(false) };
    static MET: Cell<Marks> = const { Cell::new(Marks::NONE) };
    static DEPTHS: RefCell<Vec<Depth>> = const { RefCell::new(Vec::new()) };
    static TURNS: RefCell<BTreeMap<(NodeId, u8), Turn>> = const { RefCell::new(BTreeMap::new()) };
    static INPUTS_DIGEST: Cell<u64> = const { Cell::new(0) };
    static TOLD: RefCell<Vec<Told>> = const { RefCell::new(Vec::new()) };
}

/// Inputs that an actor handles at one reading of its clock.
struct Turn {
    now: Now,
    count: u64,
    most: MostInputs,
}

/// This thread is observed from here on; what was seen of it before is forgotten.
pub fn begin() {
    IS_OBSERVED.set(true);
    MET.set(Marks::NONE);
    TOLD.take();
    DEPTHS.take();
    TURNS.take();
    INPUTS_DIGEST.set(0);
}

/// The places that were reached on this thread so far.
pub fn marks() -> Marks {
    MET.get()
}

/// What happened on this thread since it was asked last, in that order.
pub fn take_told() -> Vec<Told> {
    TOLD.take()
}

/// The greatest depth of each place on this thread so far.
pub fn depths() -> Vec<Depth> {
    DEPTHS.with_borrow(Vec::clone)
}

/// The most inputs of each actor of each node on this thread so far.
pub fn most_inputs() -> Vec<MostInputs> {
    TURNS.with_borrow(|all| all.values().map(|turn| turn.most).collect())
}

/// One number over the inputs of all actors on this thread so far, in their order, each with its
/// node and time: fired timers and what actors tell each other, which reach no wire and no disk.
pub fn inputs_digest() -> u64 {
    INPUTS_DIGEST.get()
}

pub(super) fn handles(actor: ActorName, node: NodeId, now: Now, digest: impl FnOnce() -> u64) {
    if !is_observed() {
        return;
    }
    let words = [actor as u64, node.0, now.ns, digest()];
    let step =
        |hash: u64, word: u64| (hash ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29);
    INPUTS_DIGEST.set(words.into_iter().fold(INPUTS_DIGEST.get(), step));
    TURNS.with_borrow_mut(|all| {
        let most = MostInputs { actor, node, count: 0 };
        let turn = all.entry((node, actor as u8)).or_insert(Turn { now, count: 0, most });
        turn.count = if turn.now == now { turn.count + 1 } else { 1 };
        turn.now = now;
        turn.most.count = turn.most.count.max(turn.count);
    });
}

pub(super) fn depth(depth: Depth) {
    if !is_observed() {
        return;
    }
    DEPTHS.with_borrow_mut(|all| match all.iter_mut().find(|one| one.place == depth.place) {
        Some(one) => one.count = one.count.max(depth.count),
        None => all.push(depth),
    });
}

pub(super) fn mark(name: &'static str) {
    // The thread may be at its end, where nobody looks any more.
    if !is_observed() {
        return;
    }
    let at = MARKS.iter().position(|mark| mark.name == name);
    MET.set(MET.get().with(at.expect("the tidy test compares the names with the list")));
}

pub(super) fn tell_with(told: impl FnOnce() -> Told) {
    if is_observed() {
        let told = told();
        TOLD.with_borrow_mut(|all| all.push(told));
    }
}

/// Whether somebody looks at this thread.
pub(crate) fn is_observed() -> bool {
    IS_OBSERVED.try_with(Cell::get) == Ok(true)
}
