//! One peer as its pings see it: what it missed on each path, and how long its answers took.

use std::collections::VecDeque;
use std::net::SocketAddr;

use super::{Health, PeerPulse, RoundTrip};
use crate::ids::NodeId;
use crate::link::Path;
use crate::ports::Now;

/// Pings that may still be answered. Later answers are of no use to anyone.
const OPEN_PINGS_COUNT_MAX: usize = 8;
/// Intervals in a row in which TCP answered and UDP did not, until the path changes. TCP is asked
/// only after a first miss, so these are three misses: at 1 % loss each way a matter of hours.
const LONE_TCP_ANSWERS_TO_CHANGE: u32 = 2;
/// A peer of whose last 16 pings so many were missed counts as lossy; with so few it does no more,
/// nor after so many answers in a row: a link that was cut and is whole again.
const MISSED_COUNT_LOSSY: u32 = 4;
const MISSED_COUNT_WELL: u32 = 2;
const ANSWERS_IN_A_ROW_WELL: u32 = 6;
/// TCP pings lost in a row until the stream is given up.
const TCP_MISSES_TO_RESET: u32 = 3;

/// Losses on one path.
#[derive(Clone, Copy, Debug, Default)]
struct Lane {
    /// A ping was sent in this interval.
    is_asked: bool,
    /// A pong came in this interval.
    is_answered: bool,
    /// Pings in a row without an answer.
    missed_count: u32,
}

impl Lane {
    /// True if the ping of this interval was missed.
    fn end_interval(&mut self, is_void: bool) -> bool {
        let is_missed = self.is_asked && !self.is_answered && !is_void;
        self.missed_count = self.missed_count.saturating_add(u32::from(is_missed));
        (self.is_asked, self.is_answered) = (false, false);
        is_missed
    }

    fn note_pong(&mut self) {
        self.is_answered = true;
        self.missed_count = 0;
    }
}

/// What the end of an interval brings to light.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ended {
    /// The path to use from now on, if it is another one.
    pub(super) path: Option<Path>,
    /// The stream swallowed so many pings that it should be given up.
    pub(super) is_stream_mute: bool,
    /// Whether it loses a good part of what is sent, if that is news.
    pub(super) is_lossy: Option<bool>,
}

/// One peer.
#[derive(Debug)]
pub(super) struct Peer {
    pub(super) address: SocketAddr,
    pub(super) health: Health,
    path: Path,
    udp: Lane,
    tcp: Lane,
    /// Intervals in a row with a ping and without any answer.
    missed_count: u32,
    /// The last 16 intervals with a ping, one bit each: 1 if no answer came in it.
    missed: u16,
    is_lossy: bool,
    /// Intervals in a row in which TCP answered and UDP did not.
    lone_tcp_answers_count: u32,
    udp_retry_at: Now,
    open_pings: VecDeque<(u64, Path, Now)>,
    round_trip: Option<RoundTrip>,
    heard_at: Option<Now>,
}

impl Peer {
    pub(super) fn at(address: SocketAddr) -> Peer {
        Peer {
            address,
            health: Health::Late,
            path: Path::Udp,
            udp: Lane::default(),
            tcp: Lane::default(),
            missed_count: 0,
            missed: 0,
            is_lossy: false,
            lone_tcp_answers_count: 0,
            udp_retry_at: Now::default(),
            open_pings: VecDeque::new(),
            round_trip: None,
            heard_at: None,
        }
    }

    /// Closes the interval that a timer ends. Nothing was missed in one that holds a pause.
    pub(super) fn end_interval(&mut self, is_void: bool) -> Ended {
        let is_asked = self.udp.is_asked || self.tcp.is_asked;
        let is_tcp_answered = self.tcp.is_answered;
        let is_udp_answered = self.udp.is_answered;
        let is_udp_missed = self.udp.end_interval(is_void);
        let is_tcp_missed = self.tcp.end_interval(is_void);
        let is_missed = is_udp_missed || is_tcp_missed;
        if is_missed && !is_udp_answered && !is_tcp_answered {
            self.missed_count = self.missed_count.saturating_add(1);
        }
        if is_udp_missed && is_tcp_answered {
            self.lone_tcp_answers_count += 1;
        } else if is_udp_answered || is_tcp_missed {
            self.lone_tcp_answers_count = 0;
        }
        let is_changed =
            self.path == Path::Udp && self.lone_tcp_answers_count >= LONE_TCP_ANSWERS_TO_CHANGE;
        if is_changed {
            self.path = Path::Tcp;
        }
        let is_stream_mute =
            is_tcp_missed && self.tcp.missed_count.is_multiple_of(TCP_MISSES_TO_RESET);
        let is_lossy = match is_asked && !is_void {
            true => self.note_loss(!is_udp_answered && !is_tcp_answered),
            false => None,
        };
        Ended { path: is_changed.then_some(self.path), is_stream_mute, is_lossy }
    }

    /// Counts one interval more; returns whether the peer is lossy, if that is news.
    fn note_loss(&mut self, is_missed: bool) -> Option<bool> {
        self.missed = self.missed << 1 | u16::from(is_missed);
        if self.missed.trailing_zeros() >= ANSWERS_IN_A_ROW_WELL {
            self.missed = 0;
        }
        let is_lossy = match self.missed.count_ones() {
            MISSED_COUNT_LOSSY.. => true,
            ..=MISSED_COUNT_WELL => false,
            _ => self.is_lossy,
        };
        let is_news = std::mem::replace(&mut self.is_lossy, is_lossy) != is_lossy;
        is_news.then_some(is_lossy)
    }

    /// The health that follows from what was missed, if it is news. Silence never improves it.
    pub(super) fn judge(&mut self, late_from: u32, missed_max: u32) -> Option<Health> {
        let judged = if self.missed_count >= missed_max {
            Health::Silent
        } else if self.missed_count >= late_from {
            Health::Late
        } else {
            Health::Responsive
        };
        let is_worse = match (self.health, judged) {
            (Health::Responsive, Health::Late | Health::Silent) => true,
            (Health::Late, Health::Silent) => true,
            (Health::Responsive, Health::Responsive) => false,
            (Health::Late, Health::Responsive | Health::Late) => false,
            (Health::Silent, Health::Responsive | Health::Late | Health::Silent) => false,
        };
        is_worse.then(|| {
            self.health = judged;
            judged
        })
    }

    /// Whether to ping over UDP and over TCP. UDP is the usual path; TCP joins after the first
    /// miss; once TCP is the path, UDP is tried every `udp_retry_ms`.
    pub(super) fn paths_to_ping(&mut self, now: Now, udp_retry_ms: u64) -> (bool, bool) {
        match self.path {
            Path::Udp => (true, self.udp.missed_count > 0),
            Path::Tcp if now >= self.udp_retry_at => {
                self.udp_retry_at = now.plus_ms(udp_retry_ms);
                (true, true)
            }
            Path::Tcp => (false, true),
        }
    }

    pub(super) fn note_ping(&mut self, now: Now, path: Path, sequence: u64) {
        if self.open_pings.len() == OPEN_PINGS_COUNT_MAX {
            self.open_pings.pop_front();
        }
        self.open_pings.push_back((sequence, path, now));
        match path {
            Path::Udp => self.udp.is_asked = true,
            Path::Tcp => self.tcp.is_asked = true,
        }
    }

    /// Takes an answer; false if no open ping of that path has this number.
    pub(super) fn note_pong(&mut self, now: Now, path: Path, sequence: u64) -> bool {
        let is_it = |open: &(u64, Path, Now)| (open.0, open.1) == (sequence, path);
        let Some(at) = self.open_pings.iter().position(is_it) else { return false };
        let (_, _, sent_at) = self.open_pings.remove(at).expect("its position was just found");
        match path {
            Path::Udp => self.udp.note_pong(),
            Path::Tcp => self.tcp.note_pong(),
        }
        self.missed_count = 0;
        self.heard_at = Some(now);
        let sample_us = u64::try_from(now.since(sent_at).as_micros()).unwrap_or(u64::MAX);
        self.round_trip = Some(RoundTrip::with(self.round_trip, sample_us));
        true
    }

    /// A pong over UDP ends the use of TCP at once. Returns the path if that is a change.
    pub(super) fn choose_path(&mut self, heard: Path) -> Option<Path> {
        match (self.path, heard) {
            (Path::Tcp, Path::Udp) => {
                self.path = Path::Udp;
                self.lone_tcp_answers_count = 0;
                Some(Path::Udp)
            }
            (Path::Udp, Path::Udp | Path::Tcp) | (Path::Tcp, Path::Tcp) => None,
        }
    }

    pub(super) fn pulse(&self, id: NodeId) -> PeerPulse {
        PeerPulse {
            peer: id,
            address: self.address,
            health: self.health,
            path: self.path,
            missed_count: self.missed_count,
            heard_at: self.heard_at,
            round_trip: self.round_trip,
        }
    }
}

impl RoundTrip {
    /// The statistics after one more sample.
    ///
    /// Source: Jacobson 1988, appendix A (gain 1/8).
    pub(super) fn with(before: Option<RoundTrip>, sample_us: u64) -> RoundTrip {
        let Some(before) = before else {
            let (min_us, max_us) = (sample_us, sample_us);
            return RoundTrip { last_us: sample_us, smoothed_us: sample_us, min_us, max_us };
        };
        RoundTrip {
            last_us: sample_us,
            smoothed_us: before.smoothed_us - before.smoothed_us / 8 + sample_us / 8,
            min_us: before.min_us.min(sample_us),
            max_us: before.max_us.max(sample_us),
        }
    }
}
