//! The kernel: delivers what is due, polls the machines that are ready, takes what they send.
//!
//! Invariants
//! - Everything at one instant happens before simulated time moves on.
//! - The machine that is polled first is drawn anew each round: ties are where orders are explored.
//! - No task runs outside a machine's `LocalSet`.
//!
//! Read next: [`Kernel::step`], then `stop.rs` for how a process ends.

use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::Context;

use quorate_core::ports::enter_clock;
use turmoil_net::{EnterGuard, KernelConfig, Net, NetstatState, Packet, TcpSegment, Transport};

use super::clock::MachineClock;
use super::context::{self, Entered};
use super::disk::{DiskState, Strike};
use super::link::{Due, FlowKey, Links, Retried, is_bare_ack};
use super::machine::{Boot, Machine, Process, RootWake, Sends};
use super::net::reset;
use super::tape::Tape;
use super::trace::{Kind, Line};
use super::watchdog::Watch;
use crate::choices::{Choices, Dice, number, pair};

/// Rounds at one instant after which the machines are said to run in circles.
const ROUNDS_COUNT_MAX: u64 = 100_000;
/// How many events a failure shows.
const FAILURE_EVENTS_COUNT: usize = 40;

/// The sockets below: machines can join until they are switched on.
enum Sockets {
    Declaring(Box<Net>),
    On(EnterGuard),
    Switching,
}

/// The state of a world that runs.
pub(super) struct Kernel {
    pub(super) choices: Choices,
    pub(super) machines: Vec<Machine>,
    pub(super) links: Links,
    pub(super) tape: Tape,
    pub(super) root: Arc<RootWake>,
    pub(super) watch: Arc<Watch>,
    sockets: Sockets,
    turns: Dice,
    packets: Vec<Packet>,
    /// The present instant, and how many rounds it took so far, in all steps together.
    rounds: (u64, u64),
}

impl Kernel {
    pub(super) fn new(choices: Choices, watch: Arc<Watch>) -> Kernel {
        // Retransmission and flow control of the sockets count polls instead of time: both are
        // switched off, and the links do what a retransmission would.
        let config = KernelConfig::default()
            .retx_threshold(u32::MAX)
            .retx_max(u32::MAX)
            .recv_buf_cap(1 << 30)
            .default_backlog(1 << 20);
        Kernel {
            machines: Vec::new(),
            links: Links::new(choices.clone()),
            tape: Tape::default(),
            root: Arc::default(),
            watch,
            sockets: Sockets::Declaring(Box::new(Net::with_config(config))),
            turns: choices.site("world.turn", 0),
            choices,
            packets: Vec::new(),
            rounds: (0, 0),
        }
    }

    /// Adds a machine without power. Panics once a machine was started.
    pub(super) fn add_machine(&mut self, name: &str, ip: IpAddr, boot: Boot) -> usize {
        let index = self.machines.len();
        let disk = DiskState::new(index, &self.choices);
        let clock = Arc::new(MachineClock::new(self.clock_start_ms(index, 0)));
        let Sockets::Declaring(net) = &mut self.sockets else {
            panic!("machine {name} must be declared before the first start");
        };
        self.machines.push(Machine {
            index,
            ip,
            host: net.add_host(ip),
            boot,
            boots_count: 0,
            has_power: false,
            process: None,
            frozen: None,
            poll_cost_us: 0,
            rests_until_us: 0,
            rests_count: 0,
            sends: Sends::new(&self.choices, index),
            usual: (0, disk.faults().latency_ms),
            arrived: Default::default(),
            port_clock: clock.clone(),
            clock,
            medium: disk.empty(),
            disk: Arc::new(disk),
        });
        self.links.add_machine(ip);
        context::with_trace(|trace| trace.name_machine(name));
        index
    }

    /// What a monotonic clock shows when its machine gets power.
    pub(super) fn clock_start_ms(&self, index: usize, boot: u64) -> u64 {
        let instance = pair(number(index), boot);
        self.choices.site("clock.start_ms", instance).between(5_000, 1_000_000)
    }

    pub(super) fn switch_on(&mut self) {
        if let Sockets::Declaring(_) = self.sockets {
            let before = std::mem::replace(&mut self.sockets, Sockets::Switching);
            if let Sockets::Declaring(net) = before {
                self.sockets = Sockets::On(net.enter());
            }
        }
    }

    /// The sockets, or `None` while nothing was ever started.
    pub(super) fn sockets(&self) -> Option<&EnterGuard> {
        match &self.sockets {
            Sockets::On(guard) => Some(guard),
            Sockets::Declaring(_) | Sockets::Switching => None,
        }
    }

    pub(super) fn start(&mut self, index: usize) {
        self.switch_on();
        let now_us = context::now_us();
        let boots_count = self.machines[index].boots_count + 1;
        let clock_start_ms = self.clock_start_ms(index, boots_count);
        let machine = &mut self.machines[index];
        assert!(machine.process.is_none(), "machine {index} runs already at {now_us} us");
        if !machine.has_power {
            machine.has_power = true;
            machine.clock.power_on(clock_start_ms);
        }
        machine.boots_count = boots_count;
        machine.disk.power_on(boots_count);
        let (boot, env) = (Rc::clone(&machine.boot), machine.env(&self.choices));
        machine.process = Some(Process::new(&self.root, boot, env));
        self.links.set_power(index, true);
        context::record_text(Some(index), Kind::World, &format!("start, boot {boots_count}"));
    }

    /// Lets everything happen that happens at this instant.
    pub(super) fn step(&mut self) {
        self.root.is_polling.store(true, Relaxed);
        let now_us = context::now_us();
        if self.rounds.0 != now_us {
            self.rounds = (now_us, 0);
        }
        loop {
            self.rounds.1 += 1;
            if self.rounds.1 > ROUNDS_COUNT_MAX {
                let ready = self.machines.iter().position(|machine| machine.is_ready(now_us));
                self.fail(ready, "tasks run in circles: time does not move on");
            }
            let delivered = self.deliver_due(now_us);
            let polled = self.poll_ready(now_us);
            if delivered || polled {
                self.take_sent(now_us);
            }
            let is_due = self.links.next_due_us().is_some_and(|at_us| at_us <= now_us);
            if !is_due && !self.machines.iter().any(|machine| machine.is_ready(now_us)) {
                self.root.is_polling.store(false, Relaxed);
                return;
            }
        }
    }

    fn deliver_due(&mut self, now_us: u64) -> bool {
        let mut delivered = false;
        while let Some(due) = self.links.pop_due(now_us) {
            match due {
                Due::Packet(packet) => self.arrive(packet),
                Due::Retry(key) => self.retry(now_us, key),
            }
            delivered = true;
        }
        delivered
    }

    /// A packet is at its machine's doorstep.
    fn arrive(&mut self, packet: Packet) {
        let Some(index) = self.links.machine_of(packet.dst) else {
            return;
        };
        if self.machines[index].hears() {
            self.deliver(index, packet);
        } else {
            self.machines[index].arrived.push_back(packet);
        }
    }

    /// Hands a packet to the sockets of its machine.
    pub(super) fn deliver(&self, index: usize, packet: Packet) {
        record_packet(index, &packet);
        if let Transport::Tcp(segment) = &packet.payload
            && segment.flags.rst
            && is_half_open(&packet, segment)
        {
            // The sockets never forget a half-open stream that was reset, but close one with its
            // listener.
            return;
        }
        self.sockets().expect("packets come from machines that run").deliver(packet);
    }

    fn retry(&mut self, now_us: u64, key: FlowKey) {
        let has_socket = turmoil_net::netstat(key.from.ip())
            .entries
            .iter()
            .any(|entry| entry.local == key.from && entry.peer == Some(key.to));
        match self.links.retry(now_us, key, has_socket) {
            Retried::Goes => {}
            Retried::GivenUp => {
                if let Some(index) = self.links.machine_of(key.from.ip()) {
                    self.deliver(index, reset(key.to, key.from));
                }
            }
        }
    }

    fn poll_ready(&mut self, now_us: u64) -> bool {
        let count = self.machines.len();
        let first = self.turns.between(0, count.max(1) as u64 - 1) as usize;
        let mut polled = false;
        for turn in 0..count {
            let index = (first + turn) % count;
            if self.machines[index].is_ready(now_us) {
                self.poll(index, now_us);
                polled = true;
            }
        }
        polled
    }

    fn poll(&mut self, index: usize, now_us: u64) {
        let machine = &mut self.machines[index];
        let process = machine.process.as_mut().expect("only a process is ready");
        process.wake.is_ready.store(false, Relaxed);
        machine.rests_until_us = now_us + machine.poll_cost_us;
        machine.rests_count += u64::from(machine.poll_cost_us > 0);
        self.watch.begin(index, now_us);
        {
            let _entered = Entered::new(index, machine.host);
            enter_clock(&machine.port_clock);
            // The tasks never come to an end that matters: a process is ended from outside.
            let _ = process.tasks.as_mut().poll(&mut Context::from_waker(&process.waker));
        }
        self.watch.end();
        for reset in context::take_resets() {
            self.deliver(index, reset);
        }
        if let Some(panic) = context::take_panic() {
            self.fail(Some(panic.machine), &panic.message);
        }
        let alive_count = tokio::runtime::Handle::current().metrics().num_alive_tasks();
        if alive_count > 0 {
            self.fail(Some(index), "a task was spawned outside the machine; use spawn_local");
        }
        match self.machines[index].disk.struck() {
            None => {}
            Some(Strike::Crash) => self.crash(index),
            Some(Strike::PowerCut) => self.cut_power(index),
        }
    }

    /// Moves what the machines have sent to the links.
    pub(super) fn take_sent(&mut self, now_us: u64) {
        let mut packets = std::mem::take(&mut self.packets);
        if let Some(sockets) = self.sockets() {
            sockets.egress_all(&mut packets);
        }
        for packet in packets.drain(..) {
            if self.leaves(&packet) {
                self.tape.pass(&packet);
                self.links.send(now_us, packet);
            }
        }
        self.packets = packets;
        self.end_struck_in_send();
    }

    /// Whether the packet leaves its machine, which may be struck in the middle of sending it.
    fn leaves(&mut self, packet: &Packet) -> bool {
        match self.links.machine_of(packet.src) {
            Some(index) if !is_bare_ack(packet) => self.machines[index].sends.pass(),
            Some(index) => self.machines[index].sends.struck.is_none(),
            None => true,
        }
    }

    fn end_struck_in_send(&mut self) {
        for index in 0..self.machines.len() {
            let sends = &mut self.machines[index].sends;
            let Some(how) = sends.struck.take() else {
                continue;
            };
            let text = format!("{how:?} in send {}", sends.count);
            context::record_text(Some(index), Kind::World, &text);
            match how {
                Strike::Crash => self.crash(index),
                Strike::PowerCut => self.cut_power(index),
            }
        }
    }

    /// The next instant at which something happens by itself, timers aside.
    pub(super) fn next_due_us(&self) -> Option<u64> {
        let now_us = context::now_us();
        let polls = self.machines.iter().filter_map(|machine| machine.next_poll_us(now_us));
        self.links.next_due_us().into_iter().chain(polls).min()
    }

    /// Ends the run: a machine did what no machine may do.
    pub(super) fn fail(&self, machine: Option<usize>, message: &str) -> ! {
        let now_us = context::now_us();
        let (name, events) = context::with_trace(|trace| {
            let name = machine.map_or("world", |index| trace.name(index)).to_owned();
            (name, trace.last(FAILURE_EVENTS_COUNT).join("\n"))
        });
        let seed = self.choices.seed();
        let now_ms = now_us / 1_000;
        panic!("seed {seed:#x}, {now_ms} ms, {name}: {message}\nlast events:\n{events}")
    }
}

/// Whether a reset meets a stream that its listener has not accepted.
fn is_half_open(packet: &Packet, segment: &TcpSegment) -> bool {
    let local = SocketAddr::new(packet.dst, segment.dst_port);
    let peer = Some(SocketAddr::new(packet.src, segment.src_port));
    turmoil_net::netstat(packet.dst).entries.iter().any(|entry| {
        entry.state == Some(NetstatState::SynReceived) && entry.local == local && entry.peer == peer
    })
}

fn record_packet(index: usize, packet: &Packet) {
    let endpoints = |from_port, to_port| {
        (SocketAddr::new(packet.src, from_port), SocketAddr::new(packet.dst, to_port))
    };
    let ports = |from: u16, to: u16| u64::from(from) << 16 | u64::from(to);
    let source = match packet.src {
        IpAddr::V4(ip) => u64::from(ip.to_bits()),
        IpAddr::V6(ip) => ip.to_bits() as u64,
    };
    match &packet.payload {
        Transport::Udp(datagram) => {
            let (from, to) = endpoints(datagram.src_port, datagram.dst_port);
            let size_bytes = datagram.payload.len();
            let words = [source, ports(from.port(), to.port())];
            context::record(Some(index), Kind::Frame, (&words, &datagram.payload), || {
                Line::Datagram { from, to, size_bytes }
            });
        }
        Transport::Tcp(segment) => {
            let (from, to) = endpoints(segment.src_port, segment.dst_port);
            let size_bytes = segment.payload.len();
            let flags = segment.flags;
            let bits = [flags.syn, flags.ack, flags.fin, flags.rst];
            let bits = bits.iter().fold(0_u64, |bits, bit| bits << 1 | u64::from(*bit));
            let position = u64::from(segment.seq) << 32 | u64::from(segment.ack);
            let words = [source, ports(from.port(), to.port()), bits, position];
            let what = match (flags.rst, flags.syn, flags.fin, size_bytes) {
                (true, ..) => "reset",
                (_, true, ..) => "open",
                (_, _, true, _) => "end",
                (_, _, _, 0) => "ack",
                _ => "data",
            };
            context::record(Some(index), Kind::Frame, (&words, &segment.payload), || {
                Line::Segment { from, to, what, size_bytes }
            });
        }
    }
}
