//! Wakes consensus only when something may be due.
//!
//! openraft looks at its deadlines every fifth of a heartbeat, on every node, for as long as it
//! lives: most of what an idle node did. Here its ticks run only while an election may be near, and
//! a leader's heartbeats come from a timer of exactly their interval.
//!
//! Invariants
//! - Ticks run from a heartbeat before the shortest election timeout on, so no election is late.
//! - A leader that its quorum does not confirm is silent for long enough, again and again, that
//!   voters who hear only it may grant their votes to another.
//! - Only what this node accepted from a leader keeps it quiet: frames of a deposed one do not.

use std::future::Future;
use std::sync::atomic::Ordering;
use std::time::Duration;

use openraft::ServerState;
use openraft::async_runtime::WatchReceiver;

use super::facade::Consensus;
use crate::config::ClusterSettings;

/// Election timeouts without its quorum after which a leader counts as alone. Disks of a second and
/// more keep a quorum from answering for as long, and their leader must not be silenced.
const ALONE_TIMEOUTS_COUNT: u64 = 12;
/// Election timeouts for which it is silent then: two of them bring about an election.
const SILENT_TIMEOUTS_COUNT: u64 = 4;

/// The lengths that matter.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    heartbeat_ms: u64,
    /// Silence of the leader from which on openraft ticks.
    quiet_ms: u64,
    /// Time without a quorum's acknowledgement after which a leader is alone.
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
        Pace { heartbeat_ms, quiet_ms, alone_ms, silent_ms }
    }

    /// What comes within the interval of heartbeats; `None` if nothing does.
    pub(super) async fn within_heartbeat<T>(self, coming: impl Future<Output = T>) -> Option<T> {
        tokio::time::timeout(Duration::from_millis(self.heartbeat_ms), coming).await.ok()
    }

    /// `unconfirmed_ms`: since a quorum acknowledged this leader, or elected it; `None` if this
    /// node does not lead. `followed_age_ms`: since a leader's frame was accepted; `None` if none
    /// was since the boot.
    fn need(self, unconfirmed_ms: Option<u64>, followed_age_ms: Option<u64>) -> Need {
        match (unconfirmed_ms, followed_age_ms) {
            (Some(ms), _) if ms < self.alone_ms => Need::Heartbeat,
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
        matches!(self.pace.need(None, self.followed_age_ms()), Need::Nothing { .. })
    }

    /// Keeps consensus awake as far as it must be, until it ends.
    pub(crate) async fn keep_pace(&self) {
        let mut metrics = self.raft.server_metrics();
        let mut elected_at = None;
        loop {
            let is_elected = metrics.borrow_watched().state == ServerState::Leader;
            let now = self.now();
            elected_at = is_elected.then(|| elected_at.unwrap_or(now));
            let confirmed_at = elected_at.max(elected_at.and(self.watched().quorum_acked_at));
            let unconfirmed_ms = confirmed_at.map(|at| now.ms_since(at));
            let need = self.pace.need(unconfirmed_ms, self.followed_age_ms());
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

    #[test]
    fn ticks_run_while_an_election_may_be_near_and_only_then() {
        let (alone_ms, silent_ms) = (480, 960);
        let pace = Pace { heartbeat_ms: 30, quiet_ms: 120, alone_ms, silent_ms };
        let rows = [
            (Some(0), Some(0), Need::Heartbeat),
            (Some(479), None, Need::Heartbeat), // leads since its boot, heard nobody
            (Some(480), None, Need::Probe { silent_ms: 960 }), // its quorum is gone
            (None, Some(0), Need::Nothing { for_ms: 120 }),
            (None, Some(119), Need::Nothing { for_ms: 1 }),
            (None, Some(120), Need::Ticks),
            (None, Some(10_000), Need::Ticks),
            (None, None, Need::Ticks), // just booted: nobody may be there to be heard
        ];
        for (unconfirmed_ms, age_ms, need) in rows {
            assert_eq!(pace.need(unconfirmed_ms, age_ms), need, "{unconfirmed_ms:?} {age_ms:?}");
        }
    }

    #[test]
    fn ticks_begin_a_heartbeat_before_the_shortest_election_timeout() {
        let mut cluster = ClusterSettings::of(Vec::new());
        cluster.heartbeat_interval_ms = 30;
        cluster.election_timeout_ms_min = 150;
        assert_eq!(Pace::new(&cluster).quiet_ms, 120);
    }
}
