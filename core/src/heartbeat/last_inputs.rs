//! What the log shows of heartbeat's inputs if the process panics.
//!
//! Pure.

use super::state::{Input, Pulse};
use crate::last_inputs::Brief;

impl Input {
    /// Its name and what tells it from the next one.
    pub(super) fn brief(&self) -> Brief {
        match self {
            Input::TimerFired => Brief::of("TimerFired"),
            Input::PulseReceived { from, address: _, path: _, pulse } => {
                let (name, sequence) = match pulse {
                    Pulse::Ping { sequence } => ("PingReceived", *sequence),
                    Pulse::Pong { sequence } => ("PongReceived", *sequence),
                };
                Brief::of(name).with("from", from.0).with("sequence", sequence)
            }
            Input::PeersSet { peers } => Brief::of("PeersSet").with("count", peers.len() as u64),
        }
    }
}
