//! One simulation, one thread: everything a thread keeps for itself starts anew.
//!
//! Also home of the panic hook: a panic in a task of a machine is swallowed by the task's handle,
//! and would let the machine live on as if nothing had happened.
//!
//! Read next: `context.rs` for [`context::note_panic`].

use std::panic;
use std::sync::Once;

use super::context;
use crate::choices;

/// Deep futures of whole nodes, built without optimisation, need more than the usual 2 MiB.
const STACK_SIZE_BYTES: usize = 32 << 20;

/// Runs one simulation on a fresh thread and returns what it returns; its panic becomes ours.
///
/// Simulations in parallel threads do not touch each other.
pub fn run_isolated<T: Send + 'static>(simulation: impl FnOnce() -> T + Send + 'static) -> T {
    #[cfg(feature = "planted-bugs")]
    let simulation = {
        let bug = quorate_core::observe::plant_of_this_thread();
        move || {
            quorate_core::observe::plant(bug);
            simulation()
        }
    };
    let thread = std::thread::Builder::new()
        .name("simulation".to_owned())
        .stack_size(STACK_SIZE_BYTES)
        .spawn(simulation)
        .expect("the system gives a thread");
    match thread.join() {
        Ok(result) => result,
        Err(panicked) => panic::resume_unwind(panicked),
    }
}

/// Tells a story for `k` = 1, 2, ..., each on a fresh thread, until one ends before what is planned
/// for its `k`-th operation has struck; returns how many were struck. So a short story is struck at
/// every operation it has, and not at those that a seed happens to meet.
///
/// `story` returns whether it was struck. Panics if one is still struck at `k_max`: a sweep that
/// stops in the middle of its story proves less than it says.
pub fn strike_everywhere(k_max: u64, story: impl Fn(u64) -> bool + Send + Sync + 'static) -> u64 {
    let story = std::sync::Arc::new(story);
    for k in 1..=k_max {
        let told = story.clone();
        if !run_isolated(move || told(k)) {
            return k - 1;
        }
    }
    panic!("the story has more than {k_max} operations; make it shorter")
}

/// From here on, in the whole process, a panic on a machine is noted for its kernel to find.
pub(super) fn watch_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let usual = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            let place = info.location().map(ToString::to_string).unwrap_or_default();
            let payload = info.payload();
            let text = payload
                .downcast_ref::<&str>()
                .copied()
                .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
                .unwrap_or("a value that is no text");
            let is_noted = context::note_panic(format!("panic at {place}: {text}"));
            if !is_noted && !choices::tells_trial() {
                usual(info);
            }
        }));
    });
}
