//! Wakes consensus only when something may be due.
//!
//! openraft looks at its deadlines every fifth of a heartbeat, on every node, for as long as it
//! lives: most of what an idle node did. Here its ticks run only while an election may be near, and
//! a leader's heartbeats come from a timer of exactly their interval.
//!
//! Invariants
//! - Ticks run from a heartbeat before the shortest election timeout on, so no election is late;
//!   only who has poor links lets others stand first.
//! - A leader that its quorum does not confirm, or whose links are so poor that it confirms it too
//!   seldom to let it act most of the time, is silent for long enough, again and again, that voters
//!   who hear only it may grant their votes to another.
//! - Only what this node accepted from a leader keeps it quiet: frames of a deposed one do not.

use std::future::Future;
use std::sync::atomic::Ordering;
use std::time::Duration;

use openraft::ServerState;
use openraft::async_runtime::WatchReceiver;
use openraft::metrics::RaftServerMetrics;

use super::Types;
use super::facade::Consensus;
use super::network::Line;
use super::watch::OrderedWatch;
use crate::config::ClusterSettings;
use crate::ids::NodeId;
use crate::observe::planted;

/// Election timeouts without a lease after which a leader counts as alone. Disks of a second and
/// more keep a quorum from answering for as long, and their leader must not be silenced.
const ALONE_TIMEOUTS_COUNT: u64 = 12;
/// Election timeouts for which it is silent then: two of them bring about an election.
const SILENT_TIMEOUTS_COUNT: u64 = 4;

/// The same where its links are poor: another may have better ones, and disks have no part in it.
const POOR_TIMEOUTS_COUNT: u64 = 4;
/// Election timeouts for which it is silent then: what it has sent before still arrives for a
/// while, as its system sends again what got lost, and keeps voters from standing.
const POOR_SILENT_TIMEOUTS_COUNT: u64 = 14;
/// Election timeouts by which a node with poor links stands for election later than others: it
/// would lead as badly as the one before it. Others hear that one for as long as said above.
const LATE_TIMEOUTS_COUNT: u64 = 10;
/// For each millisecond with a lease, a leader is forgiven the part of one without that this
/// divides: who has none for a third of the time will be silent, sooner or later.
const FORGIVEN_DIVISOR: u64 = 2;

/// The lengths that matter.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    heartbeat_ms: u64,
    /// Silence of the leader from which on openraft ticks.
    quiet_ms: u64,
    /// So much longer of a node with poor links.
    late_ms: u64,
    /// What a quorum's acknowledgement is good for.
    lease_ms: u64,
    /// Time without a lease after which a leader is alone.
    alone_ms: u64,
    /// The same of one with poor links.
    poor_ms: u64,
    /// How long it is silent then, each time.
    silent_ms: u64,
    /// The same of one with poor links.
    poor_silent_ms: u64,
}

/// How a node leads, or follows.
#[derive(Clone, Copy, Debug)]
struct How {
    /// Since a quorum acknowledged this leader, or elected it; `None` if this node does not lead.
    unconfirmed_ms: Option<u64>,
    /// Since a leader's frame was accepted; `None` if none was since the boot.
    followed_age_ms: Option<u64>,
    /// Packets get lost between this node and so many voters that the others, with it, are no
    /// majority.
    has_poor_links: bool,
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
        let poor_ms = cluster.election_timeout_ms_max.saturating_mul(POOR_TIMEOUTS_COUNT);
        let late_ms = cluster.election_timeout_ms_max.saturating_mul(LATE_TIMEOUTS_COUNT);
        let poor_silent_ms =
            cluster.election_timeout_ms_max.saturating_mul(POOR_SILENT_TIMEOUTS_COUNT);
        let lease_ms = cluster.lease_ms;
        Pace {
            heartbeat_ms,
            quiet_ms,
            late_ms,
            lease_ms,
            alone_ms,
            poor_ms,
            silent_ms,
            poor_silent_ms,
        }
    }

    /// How much time without a lease a leader has to answer for, `elapsed_ms` after it had to
    /// answer for `lapsed_ms`.
    ///
    /// Only links that lose packets to most voters are this leader's own trouble: another may have
    /// better ones. Disks that are slow everywhere would be as slow for every other, so what they
    /// delay is forgiven as soon as it comes.
    fn lapsed(self, lapsed_ms: u64, how: How, elapsed_ms: u64) -> u64 {
        match how.unconfirmed_ms {
            None => 0,
            Some(ms) if ms >= self.lease_ms => lapsed_ms + elapsed_ms,
            Some(_) if how.has_poor_links => {
                lapsed_ms.saturating_sub(elapsed_ms / FORGIVEN_DIVISOR)
            }
            Some(_) => 0,
        }
    }

    /// What comes within the interval of heartbeats; `None` if nothing does.
    pub(super) async fn within_heartbeat<T>(self, coming: impl Future<Output = T>) -> Option<T> {
        tokio::time::timeout(Duration::from_millis(self.heartbeat_ms), coming).await.ok()
    }

    /// `lapsed_ms`: as above.
    fn need(self, how: How, lapsed_ms: u64) -> Need {
        let How { unconfirmed_ms, followed_age_ms, has_poor_links } = how;
        let (patience_ms, silent_ms, quiet_ms) = match has_poor_links {
            true => (self.poor_ms, self.poor_silent_ms, self.quiet_ms + self.late_ms),
            false => (self.alone_ms, self.silent_ms, self.quiet_ms),
        };
        match (unconfirmed_ms, followed_age_ms) {
            (Some(ms), _) if ms < self.lease_ms => Need::Heartbeat,
            (Some(_), _) if lapsed_ms < patience_ms => Need::Heartbeat,
            (Some(_), _) => Need::Probe { silent_ms },
            (None, Some(age_ms)) if age_ms < quiet_ms => {
                Need::Nothing { for_ms: quiet_ms - age_ms }
            }
            (None, _) => Need::Ticks,
        }
    }
}

impl Consensus {
    /// Whether a leader's frame was accepted so lately that no election can be due.
    pub(super) fn follows(&self) -> bool {
        self.followed_age_ms().is_some_and(|age_ms| age_ms < self.pace.quiet_ms)
    }

    /// What heartbeat says about the way to a peer.
    pub(crate) fn note_loss(&self, peer: NodeId, is_lossy: bool) {
        let mut lossy = self.lossy.lock().expect("no code panics while it holds the peers");
        match is_lossy {
            true => lossy.insert(peer),
            false => lossy.remove(&peer),
        };
    }

    fn has_poor_links(&self) -> bool {
        let lossy = self.lossy.lock().expect("no code panics while it holds the peers");
        let voters = self.watched().voters;
        let well_count = voters.iter().filter(|voter| !lossy.contains(voter)).count();
        well_count < voters.len() / 2 + 1 && !planted("poor_links_are_forgiven")
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
            let how = How {
                unconfirmed_ms: confirmed_at.map(|at| now.ms_since(at)),
                followed_age_ms: self.followed_age_ms(),
                has_poor_links: self.has_poor_links(),
            };
            lapsed_ms = self.pace.lapsed(lapsed_ms, how, now.ms_since(looked_at));
            looked_at = now;
            let need = self.pace.need(how, lapsed_ms);
            self.is_alone.store(matches!(need, Need::Probe { .. }), Ordering::Relaxed);
            self.raft.runtime_config().tick(need == Need::Ticks);
            if is_elected && self.raft.trigger().heartbeat().await.is_err() {
                return;
            }
            let wait_ms = match need {
                Need::Heartbeat | Need::Ticks => self.pace.heartbeat_ms,
                Need::Nothing { for_ms } => for_ms,
                Need::Probe { silent_ms } => {
                    self.keep_silent(&mut metrics, silent_ms, how.has_poor_links).await;
                    // Who was heard and answered meanwhile may try again.
                    let acked_at = self.watched().quorum_acked_at;
                    lapsed_ms = if acked_at >= Some(now) { 0 } else { lapsed_ms };
                    0
                }
            };
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

    /// Lets the heartbeat that was ordered go out, then none for so long, or until this node leads
    /// no more. Where links are poor, entries do not go out either: elsewhere they are what disks
    /// take their time for, and all of it would be lost.
    async fn keep_silent(
        &self,
        metrics: &mut impl WatchReceiver<OrderedWatch, RaftServerMetrics<Types>>,
        silent_ms: u64,
        has_poor_links: bool,
    ) {
        let no_more = async {
            while metrics.borrow_watched().state == ServerState::Leader {
                if metrics.changed().await.is_err() {
                    return;
                }
            }
        };
        let silence = async {
            tokio::time::sleep(Duration::from_millis(self.pace.heartbeat_ms)).await;
            if has_poor_links {
                self.is_silent.store(true, Ordering::Relaxed);
                self.lines.hang_up(&[Line::Append, Line::Heartbeat]);
            }
            tokio::time::sleep(Duration::from_millis(silent_ms)).await;
        };
        tokio::select! {
            biased;
            () = no_more => {}
            () = silence => {}
        }
        self.is_silent.store(false, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PACE: Pace = Pace {
        heartbeat_ms: 30,
        quiet_ms: 120,
        late_ms: 50,
        lease_ms: 100,
        alone_ms: 480,
        poor_ms: 240,
        silent_ms: 960,
        poor_silent_ms: 1_920,
    };

    fn leads(ms: u64, has_poor_links: bool) -> How {
        How { unconfirmed_ms: Some(ms), followed_age_ms: None, has_poor_links }
    }

    fn follows(followed_age_ms: Option<u64>, has_poor_links: bool) -> How {
        How { unconfirmed_ms: None, followed_age_ms, has_poor_links }
    }

    #[test]
    fn ticks_run_while_an_election_may_be_near_and_only_then() {
        let silent = |silent_ms| Need::Probe { silent_ms };
        let rows = [
            (leads(0, false), 0, Need::Heartbeat),
            (leads(99, false), 480, Need::Heartbeat),
            (leads(99, true), 480, Need::Heartbeat),
            (leads(100, false), 479, Need::Heartbeat),
            (leads(100, false), 480, silent(960)), // its quorum is gone
            (leads(100, true), 239, Need::Heartbeat),
            (leads(100, true), 240, silent(1_920)),
            (follows(Some(0), false), 0, Need::Nothing { for_ms: 120 }),
            (follows(Some(119), false), 0, Need::Nothing { for_ms: 1 }),
            (follows(Some(120), false), 0, Need::Ticks),
            (follows(Some(120), true), 0, Need::Nothing { for_ms: 50 }), // others stand first
            (follows(Some(170), true), 0, Need::Ticks),
            (follows(Some(10_000), false), 0, Need::Ticks),
            (follows(None, false), 0, Need::Ticks), // just booted: nobody may be there to be heard
        ];
        for (how, lapsed_ms, need) in rows {
            assert_eq!(PACE.need(how, lapsed_ms), need, "{how:?} {lapsed_ms}");
        }
    }

    /// A leader that is confirmed for so long, then not for so long, and so on: when it is silent.
    fn silent_after_ms(with_ms: u64, without_ms: u64, has_poor_links: bool) -> Option<u64> {
        let mut lapsed_ms = 0;
        (0..100_000).step_by(10).find(|now_ms| {
            let is_confirmed = now_ms % (with_ms + without_ms) < with_ms;
            let how = leads(if is_confirmed { 0 } else { PACE.lease_ms }, has_poor_links);
            lapsed_ms = PACE.lapsed(lapsed_ms, how, 10);
            matches!(PACE.need(how, lapsed_ms), Need::Probe { .. })
        })
    }

    #[test]
    fn a_leader_whose_links_cost_it_its_lease_most_of_the_time_is_silent() {
        assert_eq!(silent_after_ms(0, 10, true), Some(230));
        assert_eq!(silent_after_ms(0, 10, false), Some(470));
        assert_eq!(silent_after_ms(100, 200, true), Some(480)); // in the second lapse
        assert_eq!(silent_after_ms(100, 200, false), None); // slow disks, perhaps
        assert_eq!(silent_after_ms(200, 100, true), None);
        assert_eq!(PACE.lapsed(479, follows(None, true), 10), 0, "who leads no more is forgiven");
    }

    #[test]
    fn ticks_begin_a_heartbeat_before_the_shortest_election_timeout() {
        let mut cluster = ClusterSettings::of(Vec::new());
        cluster.heartbeat_interval_ms = 30;
        cluster.election_timeout_ms_min = 150;
        assert_eq!(Pace::new(&cluster).quiet_ms, 120);
    }

    #[test]
    fn silences_are_long_enough_for_others_to_stand_whatever_the_timeouts_are() {
        for timeout_ms in [300, 3_000] {
            let mut cluster = ClusterSettings::of(Vec::new());
            cluster.election_timeout_ms_max = timeout_ms;
            let pace = Pace::new(&cluster);
            // A voter waits for one timeout, and stands again after another.
            assert!(pace.silent_ms >= 2 * timeout_ms);
            // They stand before one with poor links does, and it is silent for longer than that.
            assert!(pace.late_ms >= 2 * timeout_ms);
            assert!(pace.poor_silent_ms >= pace.late_ms + 2 * timeout_ms);
            // Links are given up sooner than disks: another leader would wait for those as well.
            assert!(pace.lease_ms < pace.poor_ms && pace.poor_ms < pace.alone_ms);
        }
        let pace = Pace::new(&ClusterSettings::of(Vec::new()));
        assert!(pace.alone_ms > 2_000, "a disk may take more than a second");
    }
}
