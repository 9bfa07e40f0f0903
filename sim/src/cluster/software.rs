//! Software of another kind than Quorate's nodes on the machines of a cluster: anything that takes
//! an [`Env`] meets the same faults.
//!
//! Invariants
//! - A handle lives as long as the process that gave it: after a crash there is none.
//!
//! Read next: [`Setup::software`](super::Setup::software), then `sim/examples/own_software.rs`.

use std::any::Any;
use std::cell::RefCell;
use std::future::Future;
use std::net::{IpAddr, Ipv4Addr};
use std::rc::Rc;

use futures_util::future::LocalBoxFuture;
use quorate_core::ports::Env;

use super::Cluster;
use crate::world::World;

/// Starts the software on one machine; what it returns is kept for the scenario.
pub(super) type Boot = Rc<dyn Fn(Env) -> LocalBoxFuture<'static, Rc<dyn Any>>>;

/// What a scenario demands of every instant.
pub(super) type Always = Box<dyn FnMut(&World) -> Result<(), String>>;

/// Hides the type of the handle.
pub(super) fn boot<H: 'static, F: Future<Output = H> + 'static>(
    start: impl Fn(Env) -> F + 'static,
) -> Boot {
    Rc::new(move |env| {
        let starting = start(env);
        Box::pin(async move { Rc::new(starting.await) as Rc<dyn Any> })
    })
}

/// The address of machine `number`, which counts from 1 as its name does.
pub fn address(number: u8) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(10, 0, 0, number))
}

impl Cluster {
    /// Asks the software of a machine through the handle that its start has returned, on that
    /// machine. `None` if no answer comes within `ms`: it does not run, has not started, or was too
    /// slow.
    ///
    /// Panics if its handle is no `H`.
    pub fn ask<H: Clone + 'static, T: 'static, F: Future<Output = T> + 'static>(
        &mut self,
        name: &str,
        ms: u64,
        question: impl FnOnce(H) -> F + 'static,
    ) -> Option<T> {
        let node = &self.nodes[self.place(name)];
        if !self.world.is_running(node.machine) {
            return None;
        }
        let handle = node.software_handle()?;
        let handle = handle.downcast_ref::<H>().expect("the start returns this type").clone();
        let answer = Rc::new(RefCell::new(None));
        let into = answer.clone();
        self.world.spawn(node.machine, move |_| async move {
            let answered = question(handle).await;
            *into.borrow_mut() = Some(answered);
        });
        let end_ms = self.world.now_ms() + ms;
        self.drive(end_ms, &mut |_, _| answer.borrow().is_some());
        answer.take()
    }

    /// From here on this holds at every instant; the run fails at the first one at which it says
    /// what is wrong.
    pub fn always(&mut self, holds: impl FnMut(&World) -> Result<(), String> + 'static) {
        self.always.push(Box::new(holds));
    }

    /// Ends the run as failed, with the line that repeats it.
    pub fn reject(&mut self, what: &str) -> ! {
        self.fail(what)
    }
}
