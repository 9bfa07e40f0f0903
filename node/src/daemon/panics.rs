//! A panic anywhere ends the process: a node that lost one of its parts must not lead on.
//!
//! Invariants
//! - The process is gone before any other code of it runs on: abort, no unwinding. Exempt is only
//!   the opening of the store, which turns a panic over a damaged file into an error.
//! - What happened stands on stderr, whatever the log's format and level are.

use std::backtrace::Backtrace;
use std::io::Write;
use std::panic::PanicHookInfo;

/// From here on, a panic of any thread prints what it knows and aborts the process.
pub fn abort_on_panic() {
    std::panic::set_hook(Box::new(|panic| {
        if quorate_core::replication::is_panic_guarded() {
            return;
        }
        let text = report(panic, std::thread::current().name().unwrap_or("unnamed"));
        // If even stderr is gone, there is nobody left to tell.
        let _ = std::io::stderr().write_all(text.as_bytes());
        std::process::abort();
    }));
}

fn report(panic: &PanicHookInfo<'_>, thread: &str) -> String {
    let message = panic.payload_as_str().unwrap_or("a panic without a text");
    let place = panic.location().map_or("an unknown place".to_owned(), ToString::to_string);
    let backtrace = Backtrace::force_capture();
    format!(
        "Q1530 panic in thread {thread:?} at {place}: {message}; this process ends at once, what \
         it acknowledged is on disk; start it again, and report these lines\n{backtrace}\n"
    )
}
