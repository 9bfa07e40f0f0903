//! One node on its machine: what boots there, and the handle it left for the scenario.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::net::IpAddr;
use std::rc::Rc;

use quorate_core::NodeHandle;
use quorate_core::config::Settings;
use quorate_core::enlist::enlist;
use quorate_core::node::{self, LeadershipWatch};
use quorate_core::ports::Env;

use super::setup::StateMachines;
use super::software;
use crate::checkers::{History, Recorded, Seen};
use crate::world::{MachineId, World};

/// What a boot of a node leaves for the scenario.
#[derive(Default)]
pub(super) struct Left {
    handle: Option<(NodeHandle, LeadershipWatch)>,
    /// Of other software than a node.
    software: Option<Rc<dyn Any>>,
    failed: Option<String>,
}

/// A node, running or not.
pub(super) struct Node {
    pub(super) name: String,
    pub(super) machine: MachineId,
    /// Its disk has given it a reason to end by itself.
    may_end: Cell<bool>,
    /// Why it did, until its next start.
    ended: RefCell<Option<String>>,
    left: Rc<RefCell<Left>>,
    /// Makes other settings of its own, at each boot from here on.
    spoils: Rc<Cell<Option<Spoil>>>,
}

/// Makes other settings of those of a node.
pub(super) type Spoil = fn(&mut Settings);

/// What a node is made of at each boot.
pub(super) struct Made {
    pub(super) settings: Settings,
    pub(super) machines: StateMachines,
    pub(super) history: History,
}

impl Node {
    /// Declares the machine of the node with that place; nothing runs yet.
    pub(super) fn declare(world: &World, at: usize, made: Made) -> Node {
        let place = made.settings.place().expect("the setup places every node");
        let (name, address) = (place.name, place.address);
        let (left, spoils) = (Rc::<RefCell<Left>>::default(), Rc::<Cell<Option<Spoil>>>::default());
        let (made, leaves, spoiled) = (Rc::new(made), left.clone(), spoils.clone());
        let machine = world.machine(&name, address, move |env| {
            let mut settings = made.settings.clone();
            if let Some(spoil) = spoiled.get() {
                spoil(&mut settings);
            }
            Box::pin(boot(env, at, settings, made.clone(), leaves.clone()))
        });
        let (may_end, ended) = (Cell::new(false), RefCell::default());
        Node { name, machine, may_end, ended, left, spoils }
    }

    /// Declares a machine with other software.
    pub(super) fn declare_software(
        world: &World,
        (name, address): (String, IpAddr),
        boot: software::Boot,
    ) -> Node {
        let left = Rc::<RefCell<Left>>::default();
        let leaves = left.clone();
        let machine = world.machine(&name, address, move |env| {
            let (starting, leaves) = (boot(env), leaves.clone());
            Box::pin(async move {
                let handle = starting.await;
                leaves.borrow_mut().software = Some(handle);
            })
        });
        let (may_end, ended, spoils) = Default::default();
        Node { name, machine, may_end, ended, left, spoils }
    }

    /// From its next boot on it has other settings, or its own again.
    pub(super) fn set_spoils(&self, spoils: Option<Spoil>) {
        self.spoils.set(spoils);
    }

    pub(super) fn software_handle(&self) -> Option<Rc<dyn Any>> {
        self.left.borrow().software.clone()
    }

    /// Starts the machine's process, without power and before.
    pub(super) fn start(&self, world: &World) {
        self.forget();
        self.ended.take();
        world.start(self.machine);
    }

    pub(super) fn set_may_end(&self, may_end: bool) {
        self.may_end.set(may_end);
    }

    /// Whether it has ended by itself and had a reason to, but its process is still there.
    pub(super) fn is_ending(&self, world: &World) -> bool {
        self.may_end.get() && world.is_running(self.machine) && self.left.borrow().failed.is_some()
    }

    /// Its program ends, as the real one does after such a failure.
    pub(super) fn end(&self, world: &World) {
        let reason = self.left.borrow().failed.clone();
        world.note(self.machine, &format!("ended by itself: {}", reason.as_deref().unwrap_or("?")));
        world.crash(self.machine);
        self.forget();
        *self.ended.borrow_mut() = reason;
    }

    pub(super) fn ended(&self) -> Option<String> {
        self.ended.borrow().clone()
    }

    /// Lets go of the handle of a process that has ended.
    pub(super) fn forget(&self) {
        let left = self.left.take();
        drop(left);
    }

    pub(super) fn is_up(&self, world: &World) -> bool {
        world.is_running(self.machine) && self.left.borrow().handle.is_some()
    }

    pub(super) fn handle(&self) -> Option<NodeHandle> {
        self.left.borrow().handle.as_ref().map(|(handle, _)| handle.clone())
    }

    /// Why the node could not go on, if it said so and had no reason to. One that was struck may
    /// say so with its last breath.
    pub(super) fn failed(&self, world: &World) -> Option<String> {
        if self.may_end.get() || !world.is_running(self.machine) {
            return None;
        }
        self.left.borrow().failed.clone()
    }

    /// What it knows at this instant, if its process runs.
    pub(super) fn see(&self, at: usize, world: &World) -> Option<Seen> {
        if !world.is_running(self.machine) {
            return None;
        }
        let left = self.left.borrow();
        let (_, watch) = left.handle.as_ref()?;
        let (may_act, left) = (watch.may_act(), watch.time_left());
        Some(Seen { at, leadership: watch.current(), may_act, left })
    }
}

/// The process of one boot. A node that ends by itself is noted; its program would end with it.
async fn boot(env: Env, at: usize, settings: Settings, made: Rc<Made>, leaves: Rc<RefCell<Left>>) {
    let machine = Box::new(Recorded::new((made.machines)(), at, made.history.clone()));
    let started = async {
        enlist(&env, &settings).await?;
        node::start(env, settings, machine).await
    };
    let handle = match started.await {
        Ok(handle) => handle,
        Err(error) => {
            leaves.borrow_mut().failed = Some(error.to_string());
            return;
        }
    };
    let watch = handle.watch_leadership();
    leaves.borrow_mut().handle = Some((handle.clone(), watch));
    let reason = handle.failed().await;
    leaves.borrow_mut().failed = Some(reason);
}
