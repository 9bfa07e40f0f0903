//! The lives of peers as tables: time, input, effects as text.

use proptest::collection::vec;
use proptest::prelude::*;

use super::state::{Effect, Heartbeat, Input, Pulse, Tuning};
use super::*;
use crate::link::fake::address;

const N2: NodeId = NodeId(2);

/// A heartbeat with peers, and the last ping it sent on each path.
struct Table {
    state: Heartbeat,
    last_udp: u64,
    last_tcp: u64,
}

fn pinging(ping_interval_ms: u64, missed_pings_max: u32, peers: &[NodeId]) -> Table {
    let tuning = Tuning { ping_interval_ms, missed_pings_max, pause_ms: 117, udp_retry_ms: 1_000 };
    let mut table = Table { state: Heartbeat::new(tuning, 100), last_udp: 0, last_tcp: 0 };
    let peers: Vec<_> = peers.iter().map(|id| (*id, address(id.0))).collect();
    // The timer is set for one interval later; the tables begin there, at their 0.
    table.step_at(0, Input::PeersSet { peers });
    table
}

impl Table {
    fn step_at(&mut self, ms: u64, input: Input) -> String {
        let mut out = Vec::new();
        self.state.step(Now::from_ms(ms), input, &mut out);
        let text: Vec<String> = out.iter().filter_map(|effect| self.text(effect)).collect();
        text.join(", ")
    }

    fn text(&mut self, effect: &Effect) -> Option<String> {
        match effect {
            Effect::ReportPause { length_ms } => Some(format!("paused {length_ms}")),
            Effect::Send { to, path, pulse, .. } => Some(self.sent(*to, *path, *pulse)),
            Effect::ReportHealth { peer, health } => Some(format!("{peer} {health:?}")),
            Effect::ReportPath { peer, path } => Some(format!("{peer} by {path:?}")),
            Effect::ReportLoss { peer, is_lossy: true } => Some(format!("{peer} lossy")),
            Effect::ReportLoss { peer, is_lossy: false } => Some(format!("{peer} no more lossy")),
            Effect::ResetStream { peer } => Some(format!("reset {peer}")),
            Effect::SetTimer { .. } => None, // once per timer, always one interval later
        }
    }

    fn sent(&mut self, to: NodeId, path: Path, pulse: Pulse) -> String {
        let what = match pulse {
            Pulse::Ping { sequence } => {
                match path {
                    Path::Udp => self.last_udp = sequence,
                    Path::Tcp => self.last_tcp = sequence,
                }
                "ping".to_owned()
            }
            Pulse::Pong { sequence } => format!("pong {sequence} to"),
        };
        match path {
            Path::Udp => format!("{what} {to}"),
            Path::Tcp => format!("{what} {to} by tcp"),
        }
    }

    /// The peer answers the last ping of that path.
    fn pong(&self, path: Path) -> Input {
        let sequence = match path {
            Path::Udp => self.last_udp,
            Path::Tcp => self.last_tcp,
        };
        let pulse = Pulse::Pong { sequence };
        Input::PulseReceived { from: N2, address: address(2), path, pulse }
    }

    #[track_caller]
    fn check(&mut self, ms: u64, input: Input, expected: &str) {
        assert_eq!(self.step_at(ms, input), expected, "at {ms} ms");
    }

    #[track_caller]
    fn timer(&mut self, ms: u64, expected: &str) {
        self.check(ms, Input::TimerFired, expected);
    }

    #[track_caller]
    fn udp(&mut self, ms: u64, expected: &str) {
        self.check(ms, self.pong(Path::Udp), expected);
    }

    #[track_caller]
    fn tcp(&mut self, ms: u64, expected: &str) {
        self.check(ms, self.pong(Path::Tcp), expected);
    }
}

#[test]
fn a_peer_that_stops_answering_is_late_then_silent_then_responsive_again() {
    let mut peers = pinging(200, 3, &[N2]);
    peers.timer(200, "ping n2");
    peers.udp(201, "n2 Responsive"); // its first word
    peers.timer(400, "ping n2");
    peers.timer(600, "ping n2, ping n2 by tcp"); // one loss is not news
    peers.timer(800, "n2 Late, ping n2, ping n2 by tcp");
    peers.timer(1_000, "n2 Silent, ping n2, ping n2 by tcp");
    peers.timer(1_200, "n2 lossy, reset n2, ping n2, ping n2 by tcp"); // the stream is mute too
    peers.udp(1_250, "n2 Responsive");
    peers.udp(1_250, ""); // a duplicate pong says nothing new
    peers.timer(1_400, "ping n2");
}

#[test]
fn a_peer_that_was_never_heard_is_silent_after_as_many_pings_as_any_other() {
    let mut peers = pinging(200, 3, &[N2]);
    peers.timer(200, "ping n2");
    peers.timer(400, "ping n2, ping n2 by tcp");
    peers.timer(600, "ping n2, ping n2 by tcp");
    peers.timer(800, "n2 Silent, ping n2, ping n2 by tcp");
}

/// When the way to a peer that misses these pings is called lossy, and when no more.
fn losses_told(is_missed: fn(u64) -> bool) -> Vec<(u64, bool)> {
    let mut peers = pinging(200, 3, &[N2]);
    let mut told = Vec::new();
    for number in 1..=40_u64 {
        let text = peers.step_at(number * 200, Input::TimerFired);
        told.extend(text.contains("lossy").then(|| (number, text.contains("no more"))));
        if !is_missed(number) {
            peers.step_at(number * 200 + 1, peers.pong(Path::Udp));
        }
    }
    told
}

#[test]
fn a_peer_is_lossy_from_four_misses_of_sixteen_on_until_it_answers_six_times_in_a_row() {
    // Missed are 3, 6, 9, 12 and 15, each seen when its interval ends; 16 to 21 are the six.
    let told = losses_told(|number| number <= 15 && number.is_multiple_of(3));
    assert_eq!(told, [(13, false), (22, true)]);
}

#[test]
fn a_peer_whose_misses_are_fewer_is_lossy_until_they_are_two() {
    // Missed are 3, 6, 9, 12, then every sixth, so it never answers six times in a row: 12, 18 and
    // 24 are three of sixteen in 27, and two when 12 is forgotten.
    let told = losses_told(|number| match number {
        ..=12 => number.is_multiple_of(3),
        _ => number.is_multiple_of(6),
    });
    assert_eq!(told, [(13, false), (29, true)]);
}

#[test]
fn where_udp_is_blocked_the_path_is_tcp_until_udp_answers_again() {
    let mut peers = pinging(200, 3, &[N2]);
    peers.timer(200, "ping n2");
    peers.timer(400, "ping n2, ping n2 by tcp");
    peers.tcp(401, "n2 Responsive"); // never Late, let alone Silent
    peers.timer(600, "ping n2, ping n2 by tcp");
    peers.tcp(601, "");
    peers.timer(800, "n2 by Tcp, ping n2, ping n2 by tcp");
    peers.tcp(801, "");
    for ms in [1_000, 1_200, 1_400, 1_600] {
        peers.timer(ms, "ping n2 by tcp"); // one ping per interval, UDP only every second
        peers.tcp(ms + 1, "");
    }
    peers.timer(1_800, "ping n2, ping n2 by tcp");
    peers.udp(1_801, "n2 by Udp");
    peers.tcp(1_802, "");
    peers.timer(2_000, "ping n2");
}

#[test]
fn a_peer_that_comes_back_on_both_paths_keeps_udp_whichever_answer_is_first() {
    let mut peers = pinging(200, 9, &[N2]);
    peers.timer(200, "ping n2");
    for ms in [400, 600, 800] {
        peers.timer(ms, "ping n2, ping n2 by tcp");
    }
    peers.timer(1_000, "n2 lossy, reset n2, ping n2, ping n2 by tcp");
    peers.tcp(1_001, "n2 Responsive");
    peers.udp(1_002, "");
    peers.timer(1_200, "ping n2");
}

#[test]
fn a_pause_is_reported_before_all_else_and_no_peer_is_blamed_for_it() {
    let mut peers = pinging(200, 2, &[N2]);
    peers.timer(200, "ping n2");
    peers.udp(201, "n2 Responsive");
    peers.timer(400, "ping n2");
    peers.timer(600, "ping n2, ping n2 by tcp"); // one miss
    peers.timer(5_800, "paused 5000, ping n2, ping n2 by tcp");
    // A paused node doubles its patience: without the pause, these two make Late and Silent.
    peers.timer(6_000, "ping n2, ping n2 by tcp");
    peers.timer(6_200, "ping n2, ping n2 by tcp");
    peers.timer(6_400, "n2 Silent, n2 lossy, reset n2, ping n2, ping n2 by tcp");
}

#[test]
fn a_pause_is_noticed_by_whatever_wakes_the_node_and_reported_once() {
    let mut peers = pinging(200, 3, &[N2]);
    peers.timer(200, "ping n2");
    peers.udp(900, "paused 500, n2 Responsive");
    peers.timer(900, "ping n2");
    peers.timer(1_100, "ping n2, ping n2 by tcp"); // and the next timer is not late
}

#[test]
fn a_timer_as_late_as_half_the_lease_is_no_pause() {
    let mut peers = pinging(200, 3, &[N2]);
    peers.timer(317, "ping n2");
    peers.timer(317 + 200 + 118, "paused 118, ping n2");
}

#[test]
fn patience_returns_to_normal_when_the_timers_are_in_time_again() {
    let mut peers = pinging(200, 2, &[N2]);
    peers.timer(200, "ping n2");
    peers.timer(1_000, "paused 600, ping n2");
    for timer in 1..=9 {
        peers.udp(1_000 + timer * 200 - 100, if timer == 1 { "n2 Responsive" } else { "" });
        peers.timer(1_000 + timer * 200, "ping n2");
    }
    peers.timer(3_000, "ping n2, ping n2 by tcp");
    peers.timer(3_200, "n2 Silent, ping n2, ping n2 by tcp"); // two misses are enough again
}

#[test]
fn pings_are_answered_by_their_path_and_over_tcp_only_where_the_address_is_known() {
    let mut peers = pinging(200, 3, &[N2]);
    let ping = |from, path| {
        let pulse = Pulse::Ping { sequence: 7 };
        Input::PulseReceived { from: NodeId(from), address: address(9), path, pulse }
    };
    peers.check(10, ping(2, Path::Udp), "pong 7 to n2");
    peers.check(10, ping(2, Path::Tcp), "pong 7 to n2 by tcp");
    peers.check(10, ping(5, Path::Udp), "pong 7 to n5"); // a joiner
    peers.check(10, ping(5, Path::Tcp), "");
}

#[test]
fn a_pong_that_was_not_asked_for_changes_nothing() {
    let mut peers = pinging(200, 3, &[N2]);
    peers.timer(200, "ping n2");
    let pong = |from, sequence, path| {
        let pulse = Pulse::Pong { sequence };
        Input::PulseReceived { from: NodeId(from), address: address(2), path, pulse }
    };
    peers.check(210, pong(2, 99, Path::Udp), ""); // of an earlier start
    peers.check(210, pong(2, 100, Path::Tcp), ""); // not by the path it was asked
    peers.check(210, pong(3, 100, Path::Udp), ""); // of no peer
    peers.check(210, pong(2, 100, Path::Udp), "n2 Responsive");
}

#[test]
fn peers_that_stay_keep_their_statistics_and_the_timer_when_the_roster_changes() {
    let mut peers = pinging(200, 3, &[N2, NodeId(3)]);
    peers.timer(200, "ping n2, ping n3");
    peers.udp(202, ""); // n2's pong to n3's ping: not its own
    let sequence = 100;
    let pulse = Pulse::Pong { sequence };
    let path = Path::Udp;
    let pong = Input::PulseReceived { from: N2, address: address(2), path, pulse };
    peers.check(204, pong, "n2 Responsive");

    let moved = vec![(N2, address(8)), (NodeId(4), address(4))];
    peers.check(210, Input::PeersSet { peers: moved }, "");
    let pulses = peers.state.pulses();
    let round_trip = RoundTrip { last_us: 4_000, smoothed_us: 4_000, min_us: 4_000, max_us: 4_000 };
    assert_eq!(pulses[0].round_trip, Some(round_trip));
    assert_eq!((pulses[0].address, pulses[0].heard_at), (address(8), Some(Now::from_ms(204))));
    assert_eq!((pulses[1].peer, pulses[1].round_trip), (NodeId(4), None));
    peers.timer(400, "ping n2, ping n4");
}

#[test]
fn round_trips_are_smoothed_between_their_extremes() {
    let first = RoundTrip::with(None, 800);
    let second = RoundTrip::with(Some(first), 1_600);
    let expected = RoundTrip { last_us: 1_600, smoothed_us: 900, min_us: 800, max_us: 1_600 };
    assert_eq!(second, expected);
}

proptest! {
    /// Whatever arrives and however late the timers are: a peer that answered within the last
    /// interval is never called late or silent, and nothing is sent to others than asked for.
    #[test]
    fn a_peer_that_answers_is_never_blamed(steps in vec((0u64..900, any::<bool>()), 1..60)) {
        let mut peers = pinging(200, 2, &[N2]);
        let mut ms = 0;
        for (late_ms, by_tcp) in steps {
            ms += 200 + late_ms;
            let effects = peers.step_at(ms, Input::TimerFired);
            prop_assert!(!effects.contains("Late") && !effects.contains("Silent"), "{}", effects);
            prop_assert_eq!(late_ms > 117, effects.starts_with("paused"));
            let path = if by_tcp && effects.contains("by tcp") { Path::Tcp } else { Path::Udp };
            let answer = peers.step_at(ms, peers.pong(path));
            prop_assert!(!answer.contains("paused"));
        }
    }

    /// No bytes from the network make the decoder do anything but answer or refuse.
    #[test]
    fn hostile_bytes_are_refused_or_read_as_a_pulse(bytes in vec(any::<u8>(), 0..40)) {
        if let Ok(pulse) = crate::codec::decode::<Pulse>("ping or pong", &bytes) {
            let again = crate::codec::encode(&pulse);
            prop_assert_eq!(crate::codec::decode("ping or pong", &again), Ok(pulse));
        }
    }
}
