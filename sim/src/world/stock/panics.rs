//! Panics on machines of the second world: a task's handle swallows them, so a hook takes note.
//!
//! Read next: [`watched`], `../isolated.rs` for the hook of the first world.

use std::cell::{Cell, RefCell};
use std::panic;
use std::sync::Once;

thread_local! {
    static WATCH: Watch = const { Watch::new() };
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// No machine runs: panics are the tester's own.
    Off,
    /// The first panic is kept.
    Noting,
    /// A process is being taken down, and its panics with it.
    Silent,
}

struct Watch {
    mode: Cell<Mode>,
    is_guarded: Cell<fn() -> bool>,
    first: RefCell<Option<String>>,
}

impl Watch {
    const fn new() -> Watch {
        Watch {
            mode: Cell::new(Mode::Off),
            is_guarded: Cell::new(|| false),
            first: RefCell::new(None),
        }
    }
}

/// Puts the mode back to what it was.
pub(super) struct Reset(Mode);

impl Drop for Reset {
    fn drop(&mut self) {
        WATCH.with(|watch| watch.mode.set(self.0));
    }
}

/// While it lives, a panic on this thread is kept for [`take`].
pub(super) fn watched() -> Reset {
    WATCH.with(|watch| Reset(watch.mode.replace(Mode::Noting)))
}

/// While it lives, a panic on this thread is nobody's concern.
pub(super) fn silence() -> Reset {
    WATCH.with(|watch| Reset(watch.mode.replace(Mode::Silent)))
}

pub(super) fn exempt(is_guarded: fn() -> bool) {
    WATCH.with(|watch| watch.is_guarded.set(is_guarded));
}

pub(super) fn take() -> Option<String> {
    WATCH.with(|watch| watch.first.take())
}

/// Whether the panic is dealt with here.
fn note(text: impl FnOnce() -> String) -> bool {
    let noted = WATCH.try_with(|watch| match watch.mode.get() {
        Mode::Off => false,
        Mode::Silent => true,
        Mode::Noting => {
            if !(watch.is_guarded.get())()
                && let Ok(mut first) = watch.first.try_borrow_mut()
            {
                first.get_or_insert_with(text);
            }
            true
        }
    });
    noted.unwrap_or(false)
}

/// From here on, in the whole process, panics inside a step are kept.
pub(super) fn watch() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let usual = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            let text = || info.to_string();
            if !note(text) {
                usual(info);
            }
        }));
    });
}
