//! A client that is not sure, and asks for the same once more under the same request id.

use bytes::Bytes;
use quorate_core::ids::{LogIndex, RequestId};

use super::{Cluster, Request, objects};

/// How long such a client waits for an answer.
const ANSWER_MS: u64 = 2_000;

/// A write that was acknowledged, with all that a repeat needs.
#[derive(Clone, Debug)]
pub struct Sent {
    command: Bytes,
    id: RequestId,
    index: LogIndex,
    reply: Bytes,
}

impl Cluster {
    /// Sends a write; `None` if it was not acknowledged.
    pub fn send_once(&mut self, name: &str, value: &str) -> Option<Sent> {
        let (command, id) = (objects::put(name, value), self.caller.request_id());
        let at = self.any_up(&self.caller)?;
        let start_ms = self.world.now_ms();
        let asked = self.ask_to_write(at, command.clone(), id);
        let answer = self.wait_for(&asked, ANSWER_MS);
        let (name, value) = (name.to_owned(), value.to_owned());
        self.note_write(&Request { name, value, start_ms, at }, answer.as_ref());
        let proposed = answer?.ok()?;
        Some(Sent { command, id, index: proposed.index, reply: proposed.reply })
    }

    /// Sends it again, to whichever node; whoever acknowledges it must say what was said before.
    /// True if somebody did.
    pub fn send_again(&mut self, sent: &Sent) -> bool {
        let Some(at) = self.any_up(&self.caller) else { return false };
        let asked = self.ask_to_write(at, sent.command.clone(), sent.id);
        let Some(Ok(again)) = self.wait_for(&asked, ANSWER_MS) else { return false };
        if (again.index, &again.reply) != (sent.index, &sent.reply) {
            let (first, second) = (sent.index, again.index);
            self.fail(&format!("a request was executed at {first} and, repeated, at {second}"));
        }
        true
    }
}
