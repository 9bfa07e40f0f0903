//! Wakes consensus only when something may be due.
//!
//! openraft looks at its deadlines every fifth of a heartbeat, on every node, for as long as it
//! lives: most of what an idle node did. Here its ticks run only while an election may be near, and
//! a leader's heartbeats come from a timer of exactly their interval.
//!
//! Invariants
//! - Ticks run from a heartbeat before the shortest election timeout on, so no election is late.
//! - A leader that its quorum does not confirm, or whose links are so poor that it confirms it too
//!   seldom to let it act most of the time, is silent for long enough, again and again, that voters
//!   who hear only it may grant their votes to another.
//! - Only what this node accepted from a leader keeps it quiet: frames of a deposed one do not.

use std::future::Future;
use std::sync::atomic::Ordering;
use std::time::Duration;

use openraft::ServerState;
use openraft::async_runtime::WatchReceiver;

use super::facade::Consensus;
use crate::config::ClusterSettings;
use crate::ids::NodeId;
use crate::observe::planted;

/// Election timeouts without a lease after which a leader counts as alone. Disks of a second and
/// more keep a quorum from answering for as long, and their leader must not be silenced.
const ALONE_TIMEOUTS_COUNT: u64 = 12;
/// Election timeouts for which it is silent then: two of them bring about an election.
const SILENT_TIMEOUTS_COUNT: u64 = 4;

/// For each millisecond with a lease, a leader is forgiven the part of one without that this
/// divides: who has none for a third of the time will be silent, sooner or later.
const FORGIVEN_DIVISOR: u64 = 2;

/// The lengths that matter.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    heartbeat_ms: u64,
    /// Silence of the leader from which on openraft ticks.
    quiet_ms: u64,
    /// What a quorum's acknowledgement is good for.
    lease_ms: u64,
    /// Time without a lease after which a leader is alone.
    alone_ms: u64,
    /// How long it is silent then, each time.
    silent_ms: u64,
}

/// What consensus needs until the next look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Need {
    /// This node leads: show it, and look again after an interval.
    Heartbeat,
    /// This node leads, and no quorum confirms it: show it once, then be silent for so long. Voters
    /// who hear a leader grant no vote: with each heartbeat one that reaches too few of them would
    /// keep the others from electing anybody (Ongaro 2014, section 6.2).
    Probe { silent_ms: u64 },
    /// The leader is heard: nothing can be due for so long.
    Nothing { for_ms: u64 },
    /// An election may be due.
    Ticks,
}

impl Pace {
    pub(super) fn new(cluster: &ClusterSettings) -> Pace {
        let heartbeat_ms = cluster.heartbeat_interval_ms;
        let quiet_ms = cluster.election_timeout_ms_min.saturating_sub(heartbeat_ms);
        let alone_ms = cluster.election_timeout_ms_max.saturating_mul(ALONE_TIMEOUTS_COUNT);
        let silent_ms = cluster.election_timeout_ms_max.saturating_mul(SILENT_TIMEOUTS_COUNT);
        Pace { heartbeat_ms, quiet_ms, lease_ms: cluster.lease_ms, alone_ms, silent_ms }
    }

    /// How much time without a lease a leader has to answer for, `elapsed_ms` after it had to
    /// answer for `lapsed_ms`.
    ///
    /// Only links that lose packets to most voters are this leader's own trouble: another may have
    /// better ones. Disks that are slow everywhere would be as slow for every other, so what they
    /// delay is forgiven as soon as it comes.
    fn lapsed(
        self,
        lapsed_ms: u64,
        unconfirmed_ms: Option<u64>,
        elapsed_ms: u64,
        has_poor_links: bool,
    ) -> u64 {
        match unconfirmed_ms {
            None => 0,
            Some(ms) if ms >= self.lease_ms => lapsed_ms + elapsed_ms,
            Some(_) if has_poor_links && !planted("poor_links_are_forgiven") => {
                lapsed_ms.saturating_sub(elapsed_ms / FORGIVEN_DIVISOR)
            }
            Some(_) => 0,
        }
    }

    /// What comes within the interval of heartbeats; `None` if nothing does.
    pub(super) async fn within_heartbeat<T>(self, coming: impl Future<Output = T>) -> Option<T> {
        tokio::time::timeout(Duration::from_millis(self.heartbeat_ms), coming).await.ok()
    }

    /// `unconfirmed_ms`: since a quorum acknowledged this leader, or elected it; `None` if this
    /// node does not lead. `lapsed_ms`: as above. `followed_age_ms`: since a leader's frame was
    /// accepted; `None` if none was since the boot.
    fn need(
        self,
        unconfirmed_ms: Option<u64>,
        lapsed_ms: u64,
        followed_age_ms: Option<u64>,
    ) -> Need {
        match (unconfirmed_ms, followed_age_ms) {
            (Some(ms), _) if ms < self.lease_ms => Need::Heartbeat,
            (Some(_), _) if lapsed_ms < self.alone_ms => Need::Heartbeat,
            (Some(_), _) => Need::Probe { silent_ms: self.silent_ms },
            (None, Some(age_ms)) if age_ms < self.quiet_ms => {
                Need::Nothing { for_ms: self.quiet_ms - age_ms }
            }
            (None, _) => Need::Ticks,
        }
    }
}

impl Consensus {
    /// Whether a leader's frame was accepted so lately that no election can be due.
    pub(super) fn follows(&self) -> bool {
        matches!(self.pace.need(None, 0, self.followed_age_ms()), Need::Nothing { .. })
    }

    /// What heartbeat says about the way to a peer.
    pub(crate) fn note_loss(&self, peer: NodeId, is_lossy: bool) {
        let mut lossy = self.lossy.lock().expect("no code panics while it holds the peers");
        match is_lossy {
            true => lossy.insert(peer),
            false => lossy.remove(&peer),
        };
    }

    /// Whether packets get lost between this node and so many voters that the others, with it, are
    /// no majority.
    fn has_poor_links(&self) -> bool {
        let lossy = self.lossy.lock().expect("no code panics while it holds the peers");
        let voters = self.watched().voters;
        let well_count = voters.iter().filter(|voter| !lossy.contains(voter)).count();
        well_count < voters.len() / 2 + 1
    }

    /// Keeps consensus awake as far as it must be, until it ends.
    pub(crate) async fn keep_pace(&self) {
        let mut metrics = self.raft.server_metrics();
        let (mut elected_at, mut lapsed_ms, mut looked_at) = (None, 0, self.now());
        loop {
            let is_elected = metrics.borrow_watched().state == ServerState::Leader;
            let now = self.now();
            elected_at = is_elected.then(|| elected_at.unwrap_or(now));
            let confirmed_at = elected_at.max(elected_at.and(self.watched().quorum_acked_at));
            let unconfirmed_ms = confirmed_at.map(|at| now.ms_since(at));
            let (elapsed_ms, is_poor) = (now.ms_since(looked_at), self.has_poor_links());
            lapsed_ms = self.pace.lapsed(lapsed_ms, unconfirmed_ms, elapsed_ms, is_poor);
            looked_at = now;
            let need = self.pace.need(unconfirmed_ms, lapsed_ms, self.followed_age_ms());
            self.is_alone.store(matches!(need, Need::Probe { .. }), Ordering::Relaxed);
            self.raft.runtime_config().tick(need == Need::Ticks);
            let wait_ms = match need {
                Need::Heartbeat | Need::Ticks => self.pace.heartbeat_ms,
                Need::Nothing { for_ms } | Need::Probe { silent_ms: for_ms } => for_ms,
            };
            if is_elected && self.raft.trigger().heartbeat().await.is_err() {
                return;
            }
            // A change of role is looked at at once. A frame puts the timer off before it fires: a
            // node that follows is woken by its leader only.
            let wait = tokio::time::sleep(Duration::from_millis(wait_ms));
            tokio::select! {
                biased;
                changed = metrics.changed() => if changed.is_err() { return },
                () = self.followed.notified(), if !is_elected => {}
                () = wait => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PACE: Pace =
        Pace { heartbeat_ms: 30, quiet_ms: 120, lease_ms: 100, alone_ms: 480, silent_ms: 960 };

    #[test]
    fn ticks_run_while_an_election_may_be_near_and_only_then() {
        let rows = [
            (Some(0), 0, Some(0), Need::Heartbeat),
            (Some(99), 480, None, Need::Heartbeat), // leads since its boot, heard nobody
            (Some(100), 479, None, Need::Heartbeat),
            (Some(100), 480, None, Need::Probe { silent_ms: 960 }), // its quorum is gone
            (None, 0, Some(0), Need::Nothing { for_ms: 120 }),
            (None, 0, Some(119), Need::Nothing { for_ms: 1 }),
            (None, 0, Some(120), Need::Ticks),
            (None, 0, Some(10_000), Need::Ticks),
            (None, 0, None, Need::Ticks), // just booted: nobody may be there to be heard
        ];
        for (unconfirmed_ms, lapsed_ms, age_ms, need) in rows {
            let row = (unconfirmed_ms, lapsed_ms, age_ms);
            assert_eq!(PACE.need(unconfirmed_ms, lapsed_ms, age_ms), need, "{row:?}");
        }
    }

    /// A leader that is confirmed for so long, then not for so long, and so on: when it is silent.
    fn silent_after_ms(
        (with_lease_ms, without_ms): (u64, u64),
        has_poor_links: bool,
    ) -> Option<u64> {
        let mut lapsed_ms = 0;
        (0..100_000).step_by(10).find(|now_ms| {
            let in_turn_ms = now_ms % (with_lease_ms + without_ms);
            let unconfirmed_ms = if in_turn_ms < with_lease_ms { 0 } else { PACE.lease_ms };
            lapsed_ms = PACE.lapsed(lapsed_ms, Some(unconfirmed_ms), 10, has_poor_links);
            matches!(PACE.need(Some(unconfirmed_ms), lapsed_ms, None), Need::Probe { .. })
        })
    }

    #[test]
    fn a_leader_whose_links_cost_it_its_lease_most_of_the_time_is_silent() {
        assert_eq!(silent_after_ms((0, 10), true), Some(470));
        assert_eq!(silent_after_ms((0, 10), false), Some(470));
        assert_eq!(silent_after_ms((200, 300), true), Some(970)); // in the second lapse
        assert_eq!(silent_after_ms((200, 300), false), None); // slow disks, perhaps
        assert_eq!(silent_after_ms((700, 300), true), None);
        assert_eq!(PACE.lapsed(479, None, 10, true), 0, "who leads no more is forgiven");
    }

    #[test]
    fn ticks_begin_a_heartbeat_before_the_shortest_election_timeout() {
        let mut cluster = ClusterSettings::of(Vec::new());
        cluster.heartbeat_interval_ms = 30;
        cluster.election_timeout_ms_min = 150;
        assert_eq!(Pace::new(&cluster).quiet_ms, 120);
    }
}
