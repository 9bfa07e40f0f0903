//! How a process ends and a machine stands still: crash, power cut, freeze, thaw.
//!
//! Dropping a process runs destructors that a real crash would not run. Before it happens, its
//! streams are reset from below and its disk handles die, so that no destructor has an effect
//! outside; what it still sends is thrown away.
//!
//! Invariants
//! - After a crash the machine has no socket left, and its ports can be bound again.
//! - A crash keeps what was written; a power cut keeps what was synced, and what luck keeps.
//!
//! Read next: `kernel.rs` for the rest of the kernel, `faults/mod.rs` for the world's verbs.

use turmoil_net::{NetstatState, Packet};

use super::context::{self, Entered};
use super::disk::Strike;
use super::kernel::Kernel;
use super::machine::Freeze;
use super::net::reset;
use super::trace::Kind;

impl Kernel {
    /// The process dies (SIGKILL). Its system lives on: peers get resets, files keep every write.
    pub(super) fn crash(&mut self, index: usize) {
        if self.machines[index].process.is_none() {
            return;
        }
        context::record_text(Some(index), Kind::World, "crash");
        let resets = self.resets_to_peers(index);
        self.end_process(index);
        for reset in resets {
            self.links.send(context::now_us(), reset);
        }
        self.forget_freeze(index);
        self.take_in_arrived(index);
    }

    /// The machine loses power. Peers hear nothing; what was not synced is lost or torn.
    pub(super) fn cut_power(&mut self, index: usize) {
        if !self.machines[index].has_power {
            return;
        }
        context::record_text(Some(index), Kind::World, "power cut");
        let machine = &self.machines[index];
        if machine.disk.struck() != Some(Strike::PowerCut) {
            machine.medium.lose_power(machine.disk.faults().syncs_lie);
        }
        self.end_process(index);
        self.machines[index].has_power = false;
        self.machines[index].arrived.clear();
        self.links.set_power(index, false);
        self.links.forget_held_from(self.machines[index].ip);
        self.forget_freeze(index);
    }

    /// What a system sends for the streams of a process that was killed.
    fn resets_to_peers(&self, index: usize) -> Vec<Packet> {
        let mut resets = Vec::new();
        for entry in turmoil_net::netstat(self.machines[index].ip).entries {
            let is_known_to_peer = match entry.state {
                Some(
                    NetstatState::SynReceived
                    | NetstatState::Established
                    | NetstatState::FinWait1
                    | NetstatState::FinWait2
                    | NetstatState::CloseWait
                    | NetstatState::LastAck
                    | NetstatState::Closing,
                ) => true,
                Some(NetstatState::Listen | NetstatState::SynSent | NetstatState::Closed)
                | None => false,
            };
            if let (true, Some(peer)) = (is_known_to_peer, entry.peer) {
                resets.push(reset(entry.local, peer));
            }
        }
        resets
    }

    /// Takes the process down so that its destructors find nothing left to act on.
    pub(super) fn end_process(&mut self, index: usize) {
        let machine = &mut self.machines[index];
        let Some(process) = machine.process.take() else {
            return;
        };
        machine.disk.end_boot();
        machine.sends.end_boot();
        machine.rests_until_us = 0;
        let (ip, host) = (machine.ip, machine.host);
        if let Some(sockets) = self.sockets() {
            for entry in turmoil_net::netstat(ip).entries {
                // A half-open stream is closed by its listener; a reset would make it linger.
                let is_half_open = entry.state == Some(NetstatState::SynReceived);
                if let (false, Some(peer)) = (is_half_open, entry.peer) {
                    sockets.deliver(reset(peer, entry.local));
                }
            }
        }
        {
            let _entered = Entered::new(index, host);
            context::silence();
            drop(process);
        }
        context::take_resets();
        let mut packets = Vec::new();
        if let Some(sockets) = self.sockets() {
            sockets.egress_all(&mut packets);
        }
        for packet in packets.into_iter().filter(|packet| packet.src != ip) {
            self.links.send(context::now_us(), packet);
        }
    }

    pub(super) fn freeze(&mut self, index: usize, how: Freeze) {
        let machine = &mut self.machines[index];
        assert!(machine.frozen.is_none(), "machine {index} is frozen already");
        machine.frozen = Some(how);
        if how == Freeze::MachineUnseen {
            machine.clock.pause();
        }
        context::record_text(Some(index), Kind::World, &format!("freeze {how:?}"));
    }

    /// The machine goes on: it gets what had arrived, and its late timers fire.
    pub(super) fn thaw(&mut self, index: usize) {
        if self.machines[index].frozen.is_none() {
            return;
        }
        context::record_text(Some(index), Kind::World, "thaw");
        self.forget_freeze(index);
        self.take_in_arrived(index);
    }

    /// Gives the machine's system what came while the machine was suspended.
    fn take_in_arrived(&mut self, index: usize) {
        while let Some(packet) = self.machines[index].arrived.pop_front() {
            self.deliver(index, packet);
        }
        self.take_sent(context::now_us());
    }

    fn forget_freeze(&mut self, index: usize) {
        let machine = &mut self.machines[index];
        if machine.frozen.take() == Some(Freeze::MachineUnseen) {
            machine.clock.resume();
        }
    }
}
