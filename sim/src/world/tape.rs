//! What somebody in the network has recorded, and plays again later.
//!
//! Read next: `faults/links.rs` for the verbs.

use turmoil_net::{Packet, Transport};

/// More would only take memory: what is played should be as old as can be.
const PACKETS_COUNT_MAX: usize = 2_000;

/// The first datagrams that passed since the recording began.
#[derive(Debug, Default)]
pub(super) struct Tape {
    is_recording: bool,
    packets: Vec<Packet>,
}

impl Tape {
    pub(super) fn begin(&mut self) {
        (self.is_recording, self.packets) = (true, Vec::new());
    }

    pub(super) fn pass(&mut self, packet: &Packet) {
        let is_wanted = self.is_recording && self.packets.len() < PACKETS_COUNT_MAX;
        if is_wanted && matches!(packet.payload, Transport::Udp(_)) {
            self.packets.push(packet.clone());
        }
    }

    /// What is on it, which it keeps; nothing more is recorded.
    pub(super) fn recorded(&mut self) -> Vec<Packet> {
        self.is_recording = false;
        self.packets.clone()
    }
}
