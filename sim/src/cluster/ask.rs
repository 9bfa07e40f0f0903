//! A question to a node, asked by a client that sits on the node's machine.
//!
//! Invariants
//! - Each question is over exactly once: answered, or the process died.

use std::cell::RefCell;
use std::future::Future;
use std::rc::Rc;

use quorate_core::NodeHandle;
use quorate_core::ports::Env;

use super::node::Node;
use crate::world::World;

/// Whether, and how, a question is over.
enum Progress<T> {
    Waiting,
    Answered(T),
    Died,
}

/// A question that may be over.
pub(super) struct Asked<T>(Rc<RefCell<Progress<T>>>);

/// Says that the process died, unless there was an answer before.
struct Guard<T>(Rc<RefCell<Progress<T>>>);

impl<T> Drop for Guard<T> {
    fn drop(&mut self) {
        let mut progress = self.0.borrow_mut();
        if let Progress::Waiting = *progress {
            *progress = Progress::Died;
        }
    }
}

impl<T: Clone + 'static> Asked<T> {
    /// Asks a node that runs. Without a handle the question dies at once.
    pub(super) fn ask<F: Future<Output = T> + 'static>(
        world: &World,
        node: &Node,
        question: impl FnOnce(NodeHandle) -> F,
    ) -> Asked<T> {
        match node.handle() {
            Some(handle) => Asked::from(world, node, |_| question(handle)),
            None => Asked(Rc::new(RefCell::new(Progress::Died))),
        }
    }

    /// Asks whom the question likes, from the machine of a node whose process runs.
    pub(super) fn from<F: Future<Output = T> + 'static>(
        world: &World,
        node: &Node,
        question: impl FnOnce(Env) -> F,
    ) -> Asked<T> {
        let progress = Rc::new(RefCell::new(Progress::Waiting));
        let guard = Guard(progress.clone());
        world.spawn(node.machine, |env| {
            let asking = question(env);
            async move {
                let answer = asking.await;
                *guard.0.borrow_mut() = Progress::Answered(answer);
            }
        });
        Asked(progress)
    }

    pub(super) fn is_over(&self) -> bool {
        !matches!(*self.0.borrow(), Progress::Waiting)
    }

    /// The answer, if there is one.
    pub(super) fn answer(&self) -> Option<T> {
        match &*self.0.borrow() {
            Progress::Answered(answer) => Some(answer.clone()),
            Progress::Waiting | Progress::Died => None,
        }
    }
}
