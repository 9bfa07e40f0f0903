//! What the simulating thread knows at this moment: the time, whose code runs, and the trace.
//!
//! The ports must be `Send + Sync` and a world is neither, so what they share with it lives in
//! thread-locals. There is one world per thread at a time.
//!
//! Invariants
//! - Outside of [`Entered`] no machine is current: what runs then is the world itself.
//! - A silenced machine (its power is gone, or its process is being taken down) leaves no trace.
//!
//! Read next: `kernel.rs`, which enters the machines.

use std::cell::{Cell, RefCell};

use turmoil_net::{HostId, Packet};

use super::trace::{Kind, Line, Trace};

thread_local! {
    static CONTEXT: Context = const { Context::new() };
}

/// A panic on a machine, as the hook saw it.
#[derive(Clone, Debug)]
pub(super) struct Panic {
    pub(super) machine: usize,
    pub(super) message: String,
}

struct Context {
    is_up: Cell<bool>,
    now_us: Cell<u64>,
    machine: Cell<Option<(usize, HostId)>>,
    is_silenced: Cell<bool>,
    is_guarded: Cell<fn() -> bool>,
    panic: RefCell<Option<Panic>>,
    resets: RefCell<Vec<Packet>>,
    trace: RefCell<Option<Trace>>,
}

impl Context {
    const fn new() -> Context {
        Context {
            is_up: Cell::new(false),
            now_us: Cell::new(0),
            machine: Cell::new(None),
            is_silenced: Cell::new(false),
            is_guarded: Cell::new(|| false),
            panic: RefCell::new(None),
            resets: RefCell::new(Vec::new()),
            trace: RefCell::new(None),
        }
    }
}

/// Begins a world on this thread.
///
/// Panics if one is there already: the sockets below know only one.
pub(super) fn open() {
    CONTEXT.with(|context| {
        assert!(!context.is_up.get(), "another world lives on this thread; use run_isolated");
        context.is_up.set(true);
        context.now_us.set(0);
        context.is_guarded.set(|| false);
        context.panic.replace(None);
        context.resets.replace(Vec::new());
        context.trace.replace(Some(Trace::default()));
    });
}

/// Ends the world of this thread. Sockets that outlive it are leaked instead of closed.
pub(super) fn close() {
    CONTEXT.with(|context| {
        context.is_up.set(false);
        context.machine.set(None);
        context.trace.replace(None);
    });
}

pub(super) fn is_up() -> bool {
    CONTEXT.with(|context| context.is_up.get())
}

/// Simulated time since the world began.
pub(super) fn now_us() -> u64 {
    CONTEXT.with(|context| context.now_us.get())
}

pub(super) fn set_now_us(now_us: u64) {
    CONTEXT.with(|context| context.now_us.set(now_us));
}

/// Whose code runs, as an index, or `None` between the machines.
pub(super) fn machine() -> Option<usize> {
    CONTEXT.with(|context| context.machine.get()).map(|(index, _)| index)
}

pub(super) fn current_host() -> Option<HostId> {
    CONTEXT.with(|context| context.machine.get()).map(|(_, host)| host)
}

/// While it lives, code of one machine runs on this thread.
pub(super) struct Entered(());

impl Entered {
    pub(super) fn new(index: usize, host: HostId) -> Entered {
        turmoil_net::set_current(host);
        CONTEXT.with(|context| context.machine.set(Some((index, host))));
        Entered(())
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        CONTEXT.with(|context| {
            context.machine.set(None);
            context.is_silenced.set(false);
        });
    }
}

/// The current machine leaves no trace from here on: it has no power, or is being taken down.
pub(super) fn silence() {
    CONTEXT.with(|context| context.is_silenced.set(true));
}

pub(super) fn is_silenced() -> bool {
    CONTEXT.with(|context| context.is_silenced.get())
}

/// Names the function that says whether a panic is expected and caught where it happens.
pub(super) fn exempt_panics(is_guarded: fn() -> bool) {
    CONTEXT.with(|context| context.is_guarded.set(is_guarded));
}

/// Takes note of a panic. False if it is none of a machine's: then the usual hook must print it.
pub(super) fn note_panic(message: String) -> bool {
    let noted = CONTEXT.try_with(|context| {
        let Some((machine, _)) = context.machine.get() else {
            return false;
        };
        if context.is_silenced.get() || (context.is_guarded.get())() {
            return true;
        }
        if let Ok(mut first) = context.panic.try_borrow_mut() {
            first.get_or_insert(Panic { machine, message });
        }
        true
    });
    noted.unwrap_or(false)
}

pub(super) fn take_panic() -> Option<Panic> {
    CONTEXT.with(|context| context.panic.take())
}

/// Leaves a forged reset for the kernel, which delivers it after the current poll.
pub(super) fn reset_later(reset: Packet) {
    CONTEXT.with(|context| context.resets.borrow_mut().push(reset));
}

pub(super) fn take_resets() -> Vec<Packet> {
    CONTEXT.with(|context| context.resets.take())
}

/// Reads or changes the trace.
///
/// Panics without a world: whoever asks holds one, or runs inside one.
pub(super) fn with_trace<T>(act: impl FnOnce(&mut Trace) -> T) -> T {
    CONTEXT.with(|context| act(context.trace.borrow_mut().as_mut().expect("a world is open")))
}

/// Records an event of `machine` at this moment.
pub(super) fn record(
    machine: Option<usize>,
    kind: Kind,
    content: (&[u64], &[u8]),
    line: impl FnOnce() -> Line,
) {
    if is_silenced() || !is_up() {
        return;
    }
    let now_us = now_us();
    with_trace(|trace| trace.record(now_us, machine, kind, content, line()));
}

/// Records an event whose text says all of it.
pub(super) fn record_text(machine: Option<usize>, kind: Kind, text: &str) {
    record(machine, kind, (&[], text.as_bytes()), || Line::Text(text.to_owned()));
}
