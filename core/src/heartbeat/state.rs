//! Heartbeat: judges which peers are responsive from the pings they answer, and by which path.
//!
//! Pure. Time comes in as `now`, results leave as [`Effect`]s; timer and mailbox are in `actor.rs`.
//!
//! Invariants
//! - One lost ping changes nothing: a peer is `Silent` only after `missed_pings_max` of them.
//! - A pause of this node is reported before any other effect of its step, and is no peer's fault.
//! - Over one path a peer gets at most one ping per interval.
//!
//! Read next: [`Heartbeat::step`], then `tests.rs` for the life of one peer as a table.
//! Source: Chandra & Toueg 1996, section 4 (unreliable failure detectors); Dadgar, Phillips &
//! Currey 2018, section IV.A (local health: who is slow himself judges others more slowly).

use std::collections::BTreeMap;
use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use super::peer::Peer;
use super::{Health, PeerPulse};
use crate::ids::NodeId;
use crate::link::Path;
use crate::observe::{mark, mark_if};
use crate::ports::Now;

/// Timers between one reduction of [`Heartbeat::slowness`] and the next.
const TIMERS_COUNT_TO_RECOVER: u32 = 8;
/// Four times the usual patience is enough: a node that is slower still has other troubles.
const SLOWNESS_MAX: u32 = 3;

/// The numbers that the judgement depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tuning {
    /// How often each peer is pinged.
    pub ping_interval_ms: u64,
    /// Unanswered pings in a row after which a peer is silent.
    pub missed_pings_max: u32,
    /// A timer later than this means that the node was paused. Half the lease.
    pub pause_ms: u64,
    /// How often a peer that is reached over TCP is tried over UDP again.
    pub udp_retry_ms: u64,
}

/// What travels as payload on the heartbeat channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Pulse {
    /// Wants a [`Pulse::Pong`] with the same sequence number, by the path it came.
    Ping {
        /// Unique among the pings of one start of the sender.
        sequence: u64,
    },
    /// Answers a ping.
    Pong {
        /// That of the ping.
        sequence: u64,
    },
}

/// What the state machine is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// The timer asked for by [`Effect::SetTimer`].
    TimerFired,
    /// A ping or pong arrived.
    PulseReceived {
        /// From whom.
        from: NodeId,
        /// Where it came from.
        address: SocketAddr,
        /// How it came.
        path: Path,
        /// Which.
        pulse: Pulse,
    },
    /// Whom to ping from now on, and where.
    PeersSet {
        /// All of them; this node is not among them.
        peers: Vec<(NodeId, SocketAddr)>,
    },
}

/// What the shell is asked to do, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Tell leader that this node did not run.
    ReportPause {
        /// How late the timer was.
        length_ms: u64,
    },
    /// Send a ping or pong.
    Send {
        /// To whom.
        to: NodeId,
        /// Where.
        address: SocketAddr,
        /// How.
        path: Path,
        /// Which.
        pulse: Pulse,
    },
    /// Tell leader and membership how a peer is.
    ReportHealth {
        /// The peer.
        peer: NodeId,
        /// What it is.
        health: Health,
    },
    /// Tell membership how a peer is reached.
    ReportPath {
        /// The peer.
        peer: NodeId,
        /// By which path.
        path: Path,
    },
    /// Tell replication whether a good part of what is sent to a peer, or comes from it, is lost.
    ReportLoss {
        /// The peer.
        peer: NodeId,
        /// Whether it is so.
        is_lossy: bool,
    },
    /// Give up the stream to a peer: nothing comes back over it.
    ResetStream {
        /// The peer.
        peer: NodeId,
    },
    /// Fire the timer, instead of any that was set before.
    SetTimer {
        /// When.
        at: Now,
    },
}

/// The state machine. One per node.
#[derive(Debug)]
pub struct Heartbeat {
    tuning: Tuning,
    peers: BTreeMap<NodeId, Peer>,
    next_sequence: u64,
    /// When the timer is due; after a pause was noticed, the moment it was noticed.
    timer_due: Option<Now>,
    /// The interval that ends with the next timer contains a pause.
    is_interval_void: bool,
    /// How many times more patience than usual: 0 for a node that keeps its own times.
    slowness: u32,
    timers_in_time_count: u32,
}

impl Heartbeat {
    /// Without peers. `first_sequence` should differ from start to start (the clock will do), so
    /// that a late pong to an earlier start answers nothing.
    pub fn new(tuning: Tuning, first_sequence: u64) -> Heartbeat {
        Heartbeat {
            tuning,
            peers: BTreeMap::new(),
            next_sequence: first_sequence,
            timer_due: None,
            is_interval_void: false,
            slowness: 0,
            timers_in_time_count: 0,
        }
    }

    /// The only function that changes this state. Effects are performed in order.
    pub fn step(&mut self, now: Now, input: Input, out: &mut Vec<Effect>) {
        let first = out.len();
        self.notice_pause(now, out);
        match input {
            Input::TimerFired => self.judge_and_ping(now, out),
            Input::PulseReceived { from, address, path, pulse } => match pulse {
                Pulse::Ping { sequence } => self.answer(from, address, path, sequence, out),
                Pulse::Pong { sequence } => self.note_pong(now, from, path, sequence, out),
            },
            Input::PeersSet { peers } => self.set_peers(now, peers, out),
        }
        self.assert_invariants(&out[first..]);
    }

    /// All peers, for status and metrics.
    pub fn pulses(&self) -> Vec<PeerPulse> {
        self.peers.iter().map(|(id, peer)| peer.pulse(*id)).collect()
    }

    /// Whatever wakes the node after a pause finds the timer overdue, and says so first.
    fn notice_pause(&mut self, now: Now, out: &mut Vec<Effect>) {
        let Some(due) = self.timer_due else { return };
        let length_ms = now.ms_since(due);
        if length_ms <= self.tuning.pause_ms {
            return;
        }
        mark("heartbeat.pause_noticed");
        out.push(Effect::ReportPause { length_ms });
        self.timer_due = Some(now);
        self.is_interval_void = true;
        self.slowness = (self.slowness + 1).min(SLOWNESS_MAX);
        self.timers_in_time_count = 0;
    }

    fn judge_and_ping(&mut self, now: Now, out: &mut Vec<Effect>) {
        let is_void = std::mem::take(&mut self.is_interval_void);
        if !is_void {
            self.recover_slowly();
        }
        let missed_max = self.tuning.missed_pings_max.saturating_mul(1 + self.slowness);
        let late_from = (1 + self.slowness) * 2;
        for (id, peer) in &mut self.peers {
            let ended = peer.end_interval(is_void);
            if let Some(health) = peer.judge(late_from, missed_max) {
                mark_if(health == Health::Silent, "heartbeat.peer_silent");
                out.push(Effect::ReportHealth { peer: *id, health });
            }
            if let Some(path) = ended.path {
                out.push(Effect::ReportPath { peer: *id, path });
            }
            if let Some(is_lossy) = ended.is_lossy {
                mark_if(is_lossy, "heartbeat.peer_lossy");
                out.push(Effect::ReportLoss { peer: *id, is_lossy });
            }
            if ended.is_stream_mute {
                out.push(Effect::ResetStream { peer: *id });
            }
            let (udp, tcp) = peer.paths_to_ping(now, self.tuning.udp_retry_ms);
            for path in [udp.then_some(Path::Udp), tcp.then_some(Path::Tcp)].into_iter().flatten() {
                let sequence = self.next_sequence;
                self.next_sequence = sequence.wrapping_add(1);
                peer.note_ping(now, path, sequence);
                let pulse = Pulse::Ping { sequence };
                out.push(Effect::Send { to: *id, address: peer.address, path, pulse });
            }
        }
        self.set_timer(now, out);
    }

    fn set_timer(&mut self, now: Now, out: &mut Vec<Effect>) {
        let at = now.plus_ms(self.tuning.ping_interval_ms);
        self.timer_due = Some(at);
        out.push(Effect::SetTimer { at });
    }

    fn recover_slowly(&mut self) {
        self.timers_in_time_count += 1;
        if self.timers_in_time_count >= TIMERS_COUNT_TO_RECOVER {
            self.timers_in_time_count = 0;
            self.slowness = self.slowness.saturating_sub(1);
        }
    }

    /// Everyone of the cluster gets an answer, known or not: a joiner learns so that it is heard.
    /// Over TCP the sender's port says nothing, so there only a known address can be answered.
    fn answer(
        &self,
        from: NodeId,
        address: SocketAddr,
        path: Path,
        sequence: u64,
        out: &mut Vec<Effect>,
    ) {
        let known = self.peers.get(&from).map(|peer| peer.address);
        let answer_to = match path {
            Path::Udp => Some(address),
            Path::Tcp => known,
        };
        if let Some(address) = answer_to {
            let pulse = Pulse::Pong { sequence };
            out.push(Effect::Send { to: from, address, path, pulse });
        }
    }

    fn note_pong(
        &mut self,
        now: Now,
        from: NodeId,
        path: Path,
        sequence: u64,
        out: &mut Vec<Effect>,
    ) {
        let Some(peer) = self.peers.get_mut(&from) else { return };
        if !peer.note_pong(now, path, sequence) {
            return; // a duplicate, or an answer to something we never asked
        }
        if peer.health != Health::Responsive {
            peer.health = Health::Responsive;
            out.push(Effect::ReportHealth { peer: from, health: Health::Responsive });
        }
        if let Some(path) = peer.choose_path(path) {
            out.push(Effect::ReportPath { peer: from, path });
        }
    }

    /// Who stays keeps its statistics; who is new starts as `Late` until the first word from it.
    fn set_peers(&mut self, now: Now, peers: Vec<(NodeId, SocketAddr)>, out: &mut Vec<Effect>) {
        let wanted: BTreeMap<NodeId, SocketAddr> = peers.into_iter().collect();
        self.peers.retain(|id, _| wanted.contains_key(id));
        for (id, address) in wanted {
            let peer = self.peers.entry(id).or_insert_with(|| Peer::at(address));
            peer.address = address;
        }
        if self.timer_due.is_none() {
            self.set_timer(now, out);
        }
    }

    /// Called at the end of every step, in release builds too.
    fn assert_invariants(&self, effects: &[Effect]) {
        let is_pause = |effect: &Effect| matches!(effect, Effect::ReportPause { .. });
        assert!(!effects.iter().skip(1).any(is_pause), "a pause is reported first, and once");
        assert!(self.slowness <= SLOWNESS_MAX, "patience has an end");
    }
}
