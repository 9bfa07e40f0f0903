//! The links between machines: who hears whom, how late, and what gets lost.
//!
//! Datagrams are dropped, delayed, reordered, duplicated, corrupted.
//! A stream shows loss as delay only: its
//! segments stay in order, and one that cannot pass is held with all later ones and tried again
//! after a retransmission timeout that doubles, as long as its sender still has the socket.
//!
//! Invariants
//! - Segments of one flow arrive in the order they were sent: the sockets drop any other.
//! - Faults act when a packet is sent or tried again; what is under way arrives, unless the
//!   machine it goes to has no power.
//!
//! Read next: [`Links::send`], [`Links::retry`], `kernel.rs` for who calls them.

use std::cmp::{Ordering, Reverse};
use std::collections::{BTreeMap, BinaryHeap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;

use turmoil_net::{Packet, TcpSegment, Transport};

use super::context;
use super::felt::LinkCounts;
use super::recording::Fate;
use super::trace::Kind;
use crate::choices::{Choices, Dice, number, pair};

/// First retransmission timeout. Source: RFC 6298, and Linux's TCP_RTO_MIN.
const RETRY_MS_FIRST: u64 = 200;
/// Source: Linux's TCP_RTO_MAX.
const RETRY_MS_MAX: u64 = 120_000;
/// When a sender gives its stream up. Source: Linux's tcp_retries2 of 15, at its first timeout.
const GIVE_UP_MS: u64 = 924_600;
const US_PER_MS: u64 = 1_000;

/// How one direction between two machines behaves while it is not cut.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LinkSettings {
    /// Shortest time a packet is under way. Default 300.
    pub latency_us_min: u64,
    /// Longest time a packet is under way. Default 1200.
    pub latency_us_max: u64,
    /// Share of packets that are lost, from 0 to 1; a stream shows it as delay. Default 0.
    pub loss: f64,
    /// Share of datagrams that arrive twice, from 0 to 1. Default 0.
    pub duplication: f64,
    /// Share of packets that are under way 10 to 100 times as long, from 0 to 1. Default 0.
    pub heavy_tail: f64,
    /// Share of datagrams that are overtaken by those sent up to 10 times the longest latency
    /// later, from 0 to 1. Default 0.
    pub reordering: f64,
    /// Share of packets with one wrong byte that no checksum below has noticed, from 0 to 1.
    /// Default 0.
    pub corruption: f64,
}

impl Default for LinkSettings {
    fn default() -> LinkSettings {
        LinkSettings {
            latency_us_min: 300,
            latency_us_max: 1_200,
            loss: 0.0,
            duplication: 0.0,
            heavy_tail: 0.0,
            reordering: 0.0,
            corruption: 0.0,
        }
    }
}

/// What one direction between two machines leaves to chance.
#[derive(Debug)]
struct Lots {
    loss: Dice,
    duplication: Dice,
    delay: Dice,
    duplicate_delay: Dice,
    is_slow: Dice,
    slow_factor: Dice,
    is_overtaken: Dice,
    overtaken_us: Dice,
    is_corrupt: Dice,
    corrupt_byte: Dice,
    corrupt_mask: Dice,
}

/// A link that is cut and whole in turns.
#[derive(Clone, Copy, Debug)]
pub(super) struct Flap {
    pub(super) since_us: u64,
    pub(super) period_us: u64,
}

/// One direction between two machines.
#[derive(Clone, Debug)]
pub(super) struct Link {
    pub(super) settings: LinkSettings,
    /// How it behaves without faults.
    pub(super) usual: LinkSettings,
    pub(super) is_cut: bool,
    pub(super) flap: Option<Flap>,
    pub(super) drops_datagrams: bool,
    lots: Rc<Lots>,
    pub(super) counts: Rc<LinkCounts>,
}

impl Link {
    fn new(choices: &Choices, from: usize, to: usize) -> Link {
        let instance = pair(number(from), number(to));
        let site = |what: &str| choices.site(&format!("link.{what}"), instance);
        let lots = Lots {
            loss: site("loss"),
            duplication: site("duplication"),
            delay: site("delay_us"),
            duplicate_delay: site("duplicate_delay_us"),
            is_slow: site("is_slow"),
            slow_factor: site("slow_factor"),
            is_overtaken: site("is_overtaken"),
            overtaken_us: site("overtaken_us"),
            is_corrupt: site("is_corrupt"),
            corrupt_byte: site("corrupt_byte"),
            corrupt_mask: site("corrupt_mask"),
        };
        let (settings, usual, counts) = Default::default();
        let (is_cut, flap, drops_datagrams) = Default::default();
        Link { settings, usual, is_cut, flap, drops_datagrams, lots: Rc::new(lots), counts }
    }

    /// Ends what keeps packets from passing; how it behaves while it is whole stays.
    pub(super) fn heal(&mut self) {
        (self.is_cut, self.flap, self.drops_datagrams) = Default::default();
    }

    fn is_cut_at(&self, now_us: u64) -> bool {
        let is_down = |flap: Flap| ((now_us - flap.since_us) / flap.period_us).is_multiple_of(2);
        self.is_cut || self.flap.is_some_and(is_down)
    }

    /// How long the next packet is under way, if it goes the usual way.
    fn delay_us(&self) -> u64 {
        let usual_us = self.latency_us(&self.lots.delay);
        let delay_us = match self.lots.is_slow.chance(self.settings.heavy_tail) {
            true => usual_us.saturating_mul(self.lots.slow_factor.between(10, 100)),
            false => usual_us,
        };
        let is_late = delay_us > self.usual.latency_us_max;
        self.counts.note(|felt| felt.late_count += u64::from(is_late));
        delay_us
    }

    /// How much longer a datagram takes, so that later ones overtake it.
    fn overtaken_us(&self) -> u64 {
        let longest_us = self.settings.latency_us_max;
        match self.lots.is_overtaken.chance(self.settings.reordering) {
            true => {
                self.counts.note(|felt| felt.overtaken_count += 1);
                self.lots.overtaken_us.between(longest_us, longest_us.saturating_mul(10))
            }
            false => 0,
        }
    }

    /// Flips bits of one byte of the packet, if it is its lot.
    fn corrupt(&self, packet: &mut Packet) {
        let payload = match &mut packet.payload {
            Transport::Udp(datagram) => &mut datagram.payload,
            Transport::Tcp(segment) => &mut segment.payload,
        };
        if payload.is_empty() || !self.lots.is_corrupt.chance(self.settings.corruption) {
            return;
        }
        self.counts.note(|felt| felt.corrupted_count += 1);
        let mut bytes = payload.to_vec();
        let at = self.lots.corrupt_byte.between(0, bytes.len() as u64 - 1) as usize;
        bytes[at] ^= self.lots.corrupt_mask.between(1, 255) as u8;
        let (from, to, size_bytes) = (packet.src, packet.dst, bytes.len());
        *payload = bytes.into();
        let text = format!("byte {at} of {size_bytes} from {from} to {to} is corrupted");
        context::record_text(None, Kind::World, &text);
    }

    fn loses(&self) -> bool {
        self.lots.loss.chance(self.settings.loss)
    }

    fn duplicates(&self) -> bool {
        self.lots.duplication.chance(self.settings.duplication)
    }

    fn latency_us(&self, delay: &Dice) -> u64 {
        delay.between(self.settings.latency_us_min, self.settings.latency_us_max)
    }
}

/// One direction of one stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct FlowKey {
    pub(super) from: SocketAddr,
    pub(super) to: SocketAddr,
}

#[derive(Debug, Default)]
struct Flow {
    last_at_us: u64,
    held: VecDeque<Packet>,
    held_since_us: u64,
    retry_ms: u64,
}

/// What is due: a packet at its machine, or a held flow to be tried again.
#[derive(Debug)]
pub(super) enum Due {
    Packet(Packet),
    Retry(FlowKey),
}

#[derive(Debug)]
struct Slot {
    at_us: u64,
    sequence: u64,
    due: Due,
}

impl PartialEq for Slot {
    fn eq(&self, other: &Slot) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Slot {}

impl PartialOrd for Slot {
    fn partial_cmp(&self, other: &Slot) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Slot {
    fn cmp(&self, other: &Slot) -> Ordering {
        (self.at_us, self.sequence).cmp(&(other.at_us, other.sequence))
    }
}

/// What trying a held flow again came to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Retried {
    /// It went on, or will be tried again.
    Goes,
    /// The sender gives up: its socket must be reset.
    GivenUp,
}

/// All links, and every packet that is under way or held.
#[derive(Debug)]
pub(super) struct Links {
    machines: BTreeMap<IpAddr, usize>,
    has_power: Vec<bool>,
    /// By (from, to).
    table: BTreeMap<(usize, usize), Link>,
    under_way: BinaryHeap<Reverse<Slot>>,
    flows: BTreeMap<FlowKey, Flow>,
    flows_count_pruned: usize,
    sequence: u64,
    choices: Choices,
}

impl Links {
    pub(super) fn new(choices: Choices) -> Links {
        Links {
            machines: BTreeMap::new(),
            has_power: Vec::new(),
            table: BTreeMap::new(),
            under_way: BinaryHeap::new(),
            flows: BTreeMap::new(),
            flows_count_pruned: 0,
            sequence: 0,
            choices,
        }
    }

    pub(super) fn add_machine(&mut self, ip: IpAddr) {
        let index = self.has_power.len();
        for other in 0..index {
            for (from, to) in [(other, index), (index, other)] {
                self.table.insert((from, to), Link::new(&self.choices, from, to));
            }
        }
        self.machines.insert(ip, index);
        self.has_power.push(false);
    }

    pub(super) fn machine_of(&self, ip: IpAddr) -> Option<usize> {
        self.machines.get(&ip).copied()
    }

    pub(super) fn set_power(&mut self, machine: usize, has_power: bool) {
        self.has_power[machine] = has_power;
    }

    /// Both directions, in order; none for a machine and itself.
    pub(super) fn link_mut(&mut self, from: usize, to: usize) -> Option<&mut Link> {
        self.table.get_mut(&(from, to))
    }

    pub(super) fn all_links_mut(&mut self) -> impl Iterator<Item = &mut Link> {
        self.table.values_mut()
    }

    fn link(&self, from: IpAddr, to: IpAddr) -> Option<Link> {
        let pair = (self.machine_of(from)?, self.machine_of(to)?);
        self.table.get(&pair).cloned()
    }

    /// Takes a packet that has left its machine. One to nowhere vanishes, as on a real network.
    pub(super) fn send(&mut self, now_us: u64, packet: Packet) {
        let Some(link) = self.link(packet.src, packet.dst) else {
            return;
        };
        match &packet.payload {
            Transport::Udp(_) => self.send_datagram(now_us, &link, packet),
            Transport::Tcp(segment) => {
                let key = flow_key(&packet, segment);
                let (is_bare, is_reset) = (is_bare_ack(&packet), segment.flags.rst);
                self.prune_flows(now_us);
                let must_wait = !self.flows.entry(key).or_default().held.is_empty();
                let is_lost = link.is_cut_at(now_us) || (!is_bare && link.loses());
                if is_reset && is_lost && !must_wait {
                    return; // Nobody sends a reset twice.
                }
                if must_wait {
                    self.flow(key).held.push_back(packet);
                } else if is_lost {
                    link.counts.note(|felt| felt.lost_count += 1);
                    self.hold(now_us, key, packet);
                } else {
                    self.pass(now_us, &link, key, packet);
                }
            }
        }
    }

    fn send_datagram(&mut self, now_us: u64, link: &Link, mut packet: Packet) {
        if link.is_cut_at(now_us) || link.drops_datagrams || link.loses() {
            link.counts.note(|felt| felt.lost_count += 1);
            self.keep((now_us, now_us), &packet, Fate::Lost);
            return;
        }
        if link.duplicates() {
            // Drawn apart, so that a duplicate more leaves the other delays as they were.
            let at_us = now_us + link.latency_us(&link.lots.duplicate_delay);
            self.keep((now_us, at_us), &packet, Fate::Arrives);
            self.push(at_us, Due::Packet(packet.clone()));
        }
        let at_us = now_us + link.delay_us() + link.overtaken_us();
        link.corrupt(&mut packet);
        self.keep((now_us, at_us), &packet, Fate::Arrives);
        self.push(at_us, Due::Packet(packet));
    }

    /// Keeps the way of a packet, if this run is kept.
    fn keep(&self, times_us: (u64, u64), packet: &Packet, fate: Fate) {
        let way = (self.machine_of(packet.src), self.machine_of(packet.dst));
        let (Some(from), Some(to)) = way else { return };
        context::with_trace(|trace| {
            if let Some(recording) = &mut trace.recording {
                recording.message(times_us, (from, to), packet, fate);
            }
        });
    }

    fn push(&mut self, at_us: u64, due: Due) {
        self.sequence += 1;
        self.under_way.push(Reverse(Slot { at_us, sequence: self.sequence, due }));
    }

    fn flow(&mut self, key: FlowKey) -> &mut Flow {
        self.flows.entry(key).or_default()
    }

    fn pass(&mut self, now_us: u64, link: &Link, key: FlowKey, mut packet: Packet) {
        let earliest_us = now_us + link.delay_us();
        link.corrupt(&mut packet);
        let flow = self.flow(key);
        let at_us = earliest_us.max(flow.last_at_us);
        flow.last_at_us = at_us;
        self.keep((now_us, at_us), &packet, Fate::Arrives);
        self.push(at_us, Due::Packet(packet));
    }

    /// Keeps a segment that could not pass, and all that follow it, for the next try.
    fn hold(&mut self, now_us: u64, key: FlowKey, packet: Packet) {
        let flow = self.flow(key);
        if flow.held.is_empty() {
            flow.held_since_us = now_us;
            flow.retry_ms = RETRY_MS_FIRST;
            flow.held.push_back(packet);
            self.push(now_us + RETRY_MS_FIRST * US_PER_MS, Due::Retry(key));
        } else {
            flow.held.push_back(packet);
        }
    }

    /// Tries a held flow again. `has_socket`: its sender has not closed and forgotten it.
    pub(super) fn retry(&mut self, now_us: u64, key: FlowKey, has_socket: bool) -> Retried {
        let Some(link) = self.link(key.from.ip(), key.to.ip()) else {
            return Retried::Goes;
        };
        let has_power = self.machine_of(key.to.ip()).is_some_and(|index| self.has_power[index]);
        let flow = self.flow(key);
        if !has_socket {
            flow.held.clear();
            return Retried::Goes;
        }
        if now_us.saturating_sub(flow.held_since_us) >= GIVE_UP_MS * US_PER_MS {
            flow.held.clear();
            return Retried::GivenUp;
        }
        if !link.is_cut_at(now_us) && has_power {
            self.release(now_us, &link, key);
        }
        let flow = self.flow(key);
        if !flow.held.is_empty() {
            flow.retry_ms = (flow.retry_ms * 2).min(RETRY_MS_MAX);
            let at_us = now_us + flow.retry_ms * US_PER_MS;
            self.push(at_us, Due::Retry(key));
        }
        Retried::Goes
    }

    /// Lets held segments go, up to the first that is lost again.
    fn release(&mut self, now_us: u64, link: &Link, key: FlowKey) {
        while let Some(packet) = self.flow(key).held.pop_front() {
            if link.loses() {
                self.flow(key).held.push_front(packet);
                return;
            }
            let flow = self.flow(key);
            flow.held_since_us = now_us;
            flow.retry_ms = RETRY_MS_FIRST / 2; // The caller doubles it.
            self.pass(now_us, link, key, packet);
        }
    }

    /// The next thing that is due by `now_us`; segments for a machine without power are held.
    pub(super) fn pop_due(&mut self, now_us: u64) -> Option<Due> {
        while self.next_due_us().is_some_and(|at_us| at_us <= now_us) {
            let Reverse(slot) = self.under_way.pop().expect("it was there a line ago");
            let packet = match slot.due {
                Due::Retry(key) => return Some(Due::Retry(key)),
                Due::Packet(packet) => packet,
            };
            if self.machine_of(packet.dst).is_some_and(|index| self.has_power[index]) {
                return Some(Due::Packet(packet));
            }
            if let Transport::Tcp(segment) = &packet.payload
                && !segment.flags.rst
            {
                let key = flow_key(&packet, segment);
                self.hold(now_us, key, packet);
            }
        }
        None
    }

    pub(super) fn next_due_us(&self) -> Option<u64> {
        self.under_way.peek().map(|Reverse(slot)| slot.at_us)
    }

    /// Forgets what a machine had sent and nobody has passed on: its sockets are gone.
    pub(super) fn forget_held_from(&mut self, ip: IpAddr) {
        self.flows.retain(|key, _| key.from.ip() != ip);
    }

    /// Drops flows that say nothing any more, often enough to bound memory, seldom enough to be
    /// cheap.
    fn prune_flows(&mut self, now_us: u64) {
        if self.flows.len() >= (2 * self.flows_count_pruned).max(256) {
            self.flows.retain(|_, flow| !flow.held.is_empty() || flow.last_at_us > now_us);
            self.flows_count_pruned = self.flows.len();
        }
    }
}

fn flow_key(packet: &Packet, segment: &TcpSegment) -> FlowKey {
    FlowKey {
        from: SocketAddr::new(packet.src, segment.src_port),
        to: SocketAddr::new(packet.dst, segment.dst_port),
    }
}

/// An acknowledgement without data. Losing one is invisible, because the next says the same.
pub(super) fn is_bare_ack(packet: &Packet) -> bool {
    match &packet.payload {
        Transport::Udp(_) => false,
        Transport::Tcp(TcpSegment { flags, payload, .. }) => {
            payload.is_empty() && !flags.syn && !flags.fin && !flags.rst
        }
    }
}
