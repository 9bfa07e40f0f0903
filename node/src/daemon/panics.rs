//! A panic anywhere ends the process: a node that lost one of its parts must not lead on.
//!
//! Invariants
//! - The process is gone before any other code of it runs on: abort, no unwinding. Exempt is only
//!   the opening of the store, which turns a panic over a damaged file into an error.
//! - What happened stands on stderr, whatever the log's format and level are.
//! - A signal makes an actor panic only where [`TEST_VARIABLE`] was set at the start.

use std::backtrace::Backtrace;
use std::env;
use std::io::Write;

use quorate_core::last_inputs::{self, ActorName};
use quorate_core::observe::planted;
use tokio::signal::unix::{SignalKind, signal};

use super::StartError;

/// For tests only: the actor that panics at its next input after SIGUSR1.
pub const TEST_VARIABLE: &str = "QUORATE_TEST_PANIC";

/// From here on, a panic of any thread prints what it knows and aborts the process.
pub fn abort_on_panic() {
    std::panic::set_hook(Box::new(|panic| {
        if quorate_core::replication::is_panic_guarded() {
            return;
        }
        let text = text(
            std::thread::current().name().unwrap_or("unnamed"),
            &panic.location().map_or("an unknown place".to_owned(), ToString::to_string),
            panic.payload_as_str().unwrap_or("a panic without a text"),
            &last_inputs::report(),
            &Backtrace::force_capture().to_string(),
        );
        // If even stderr is gone, there is nobody left to tell.
        let _ = std::io::stderr().write_all(text.as_bytes());
        if planted("panic_ends_its_actor_only") {
            return;
        }
        std::process::abort();
    }));
}

/// The most useful lines come first: whoever reads a log reads its last screen upwards, and whoever
/// searches it finds the code.
fn text(thread: &str, place: &str, message: &str, inputs: &str, backtrace: &str) -> String {
    format!(
        "Q1530 panic in thread {thread:?} at {place}: {message}; this process ends at once, what \
         it acknowledged is on disk; start it again, and report these lines\n{inputs}{backtrace}\n"
    )
}

/// Lets a test choose the moment at which an actor panics. Nothing happens without the variable.
///
/// Call it inside the node's `LocalSet`.
pub fn panic_when_told() -> Result<(), StartError> {
    let Some(value) = env::var_os(TEST_VARIABLE) else { return Ok(()) };
    let value = value.to_string_lossy().into_owned();
    let Some(actor) = ActorName::from_name(&value) else {
        let detail = "membership, heartbeat, replication and leader are known".to_owned();
        return Err(StartError::Variable { name: TEST_VARIABLE, value, detail });
    };
    let mut told = signal(SignalKind::user_defined1())?;
    tracing::warn!(%actor, "SIGUSR1 will end this process by a panic; for tests only");
    tokio::task::spawn_local(async move {
        if told.recv().await.is_some() {
            last_inputs::panic_at_next_input(actor);
        }
    });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_says_where_and_why_and_what_the_actors_were_told() {
        let inputs = "actor: leader\nlast inputs of leader, oldest first:\n";
        let text = text("node", "a.rs:1:2", "it broke", inputs, "0: main");
        let expected = "Q1530 panic in thread \"node\" at a.rs:1:2: it broke; this process ends at \
            once, what it acknowledged is on disk; start it again, and report these lines\n\
            actor: leader\nlast inputs of leader, oldest first:\n0: main\n";
        assert_eq!(text, expected);
    }
}
