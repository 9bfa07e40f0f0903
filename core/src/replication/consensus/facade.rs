//! What the replication actor and the answering side may ask of consensus, in our own words.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use openraft::async_runtime::WatchReceiver;
use openraft::errors::{ChangeMembershipError, ClientWriteError, RaftError};
use openraft::impls::EmptyNode;
use openraft::raft::WriteResult;
use openraft::{ChangeMembers, Config, Raft, RaftMetrics, ReadPolicy, ServerState, SnapshotPolicy};
use tokio::sync::Notify;

use super::ages::FrameAges;
use super::convert::{from_index, to_index, to_log_id, to_vote};
use super::log::RaftLog;
use super::machine::SharedMachine;
use super::network::{Factory, Lines};
use super::pace::Pace;
use super::runtime::NodeRuntime;
use super::watch::OrderedWatch;
use super::{Command, Outcome, Types};
use crate::config::ClusterSettings;
use crate::error::{MembershipError, WriteError};
use crate::ids::{LogIndex, NodeId};
use crate::observe::{mark_if, planted};
use crate::ports::{Env, Now, sleep_until};
use crate::replication::store::{LogId, LogStore, SnapshotMeta, StoredVote};
use crate::replication::{Progress, RaftRole};

/// Entries kept before a snapshot, so that a follower that was away briefly needs no snapshot.
const KEPT_ENTRIES_COUNT: u64 = 1_000;

/// How long a learner may take to catch up before whoever waits for it is told.
const CATCH_UP_TIMEOUT: Duration = Duration::from_secs(60);

/// A running consensus instance. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Consensus {
    pub(super) raft: Raft<Types, SharedMachine>,
    env: Env,
    pub(super) this: NodeId,
    ages: Arc<FrameAges>,
    pub(super) receiving: Arc<Mutex<Option<Receiving>>>,
    pub(super) pace: Pace,
    /// Whether this node leads without a quorum, and shows itself only now and then.
    pub(super) is_alone: Arc<AtomicBool>,
    pub(super) lines: Lines,
    /// Whether it is silent at this moment.
    pub(super) is_silent: Arc<AtomicBool>,
    /// To whom, and from whom, a good part of all packets is lost.
    pub(super) lossy: Arc<Mutex<BTreeSet<NodeId>>>,
    /// Told whenever a leader's frame was accepted.
    pub(super) followed: Arc<Notify>,
    write_timeout: Duration,
}

/// A snapshot that is coming in, piece by piece.
pub(super) struct Receiving {
    pub(super) vote: StoredVote,
    pub(super) meta: SnapshotMeta,
    pub(super) bytes: Vec<u8>,
}

/// The facts that others follow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Watched {
    pub(crate) vote: StoredVote,
    pub(crate) role: RaftRole,
    pub(crate) leader: Option<NodeId>,
    pub(crate) voters: Vec<NodeId>,
    pub(crate) learners: Vec<NodeId>,
    /// The voters that a joint change under way leads to.
    pub(crate) joint_goal: Option<Vec<NodeId>>,
    pub(crate) last_index: LogIndex,
    pub(crate) commit_index: LogIndex,
    pub(crate) applied_index: LogIndex,
    pub(crate) snapshot_index: LogIndex,
    /// When the newest frame was sent that a quorum confirmed.
    pub(crate) quorum_acked_at: Option<Now>,
    pub(crate) failed: Option<String>,
}

/// What consensus needs to start.
pub(crate) struct Start {
    pub(crate) env: Env,
    pub(crate) this: NodeId,
    pub(crate) cluster: ClusterSettings,
    pub(crate) lines: Lines,
    pub(crate) log: LogStore,
    pub(crate) machine: SharedMachine,
}

fn raft_config(cluster: &ClusterSettings) -> Result<Config, openraft::ConfigError> {
    Config {
        cluster_name: cluster.name.clone(),
        heartbeat_interval: cluster.heartbeat_interval_ms,
        heartbeat_min_interval: Some(cluster.heartbeat_interval_ms * 2 / 3),
        election_timeout_min: cluster.election_timeout_ms_min,
        election_timeout_max: cluster.election_timeout_ms_max,
        install_snapshot_timeout: 60_000,
        max_payload_entries: 1_024,
        replication_lag_threshold: cluster.snapshot_entries_count.saturating_mul(2),
        snapshot_policy: SnapshotPolicy::LogsSinceLast(cluster.snapshot_entries_count),
        max_in_snapshot_log_to_keep: KEPT_ENTRIES_COUNT.min(cluster.snapshot_entries_count),
        purge_batch_size: 256,
        enable_pre_vote: Some(true),
        enable_leader_restore: Some(false),
        ..Config::default()
    }
    .validate()
}

impl Consensus {
    /// Starts consensus on what the store holds. Call it inside the node's `LocalSet`.
    pub(crate) async fn start(start: Start) -> io::Result<Consensus> {
        let Start { env, this, cluster, lines, log, machine } = start;
        let config = raft_config(&cluster).map_err(io::Error::other)?;
        let ages = Arc::new(FrameAges::new(env.clock.now()));
        let is_silent = Arc::<AtomicBool>::default();
        let factory =
            Factory { lines: lines.clone(), ages: ages.clone(), is_silent: is_silent.clone() };
        let log = RaftLog { this, store: log };
        let seed = rand::Rng::next_u64(&mut env.entropy.fork("consensus"));
        let starting = Raft::new(this, Arc::new(config), factory, log, machine);
        let raft = NodeRuntime::scope(seed, starting).await.map_err(io::Error::other)?;
        let write_timeout = Duration::from_millis(cluster.write_timeout_ms);
        let (pace, followed, receiving) = (Pace::new(&cluster), Arc::default(), Arc::default());
        let (is_alone, lossy) = Default::default();
        Ok(Consensus {
            raft,
            env,
            this,
            ages,
            receiving,
            pace,
            is_alone,
            lines,
            is_silent,
            lossy,
            followed,
            write_timeout,
        })
    }

    /// Writes the founders as the first entry. Each of them does it, with the same members, before
    /// any other node can reach it; on a node that has a log, or has voted, it does nothing.
    pub(crate) async fn found(&self, members: BTreeSet<NodeId>) -> io::Result<()> {
        if self.raft.is_initialized().await.map_err(io::Error::other)? {
            if self.raft.metrics().borrow_watched().last_log_index.is_none() {
                let node = self.this;
                tracing::warn!(%node, "a founder has voted and has no log: it waits for a leader");
            }
            return Ok(());
        }
        let nodes: BTreeMap<NodeId, EmptyNode> =
            members.into_iter().map(|node| (node, EmptyNode::new())).collect();
        self.raft.initialize(nodes).await.map_err(io::Error::other)
    }

    /// Proposes entries together and resolves each, in order.
    pub(crate) async fn propose(
        &self,
        commands: Vec<Bytes>,
        mut resolve: impl FnMut(Result<Outcome, WriteError>),
    ) {
        let count = commands.len();
        if self.is_silent.load(Ordering::Relaxed) {
            let no_leader = || WriteError::NoLeader { this: self.this };
            return (0..count).for_each(|_| resolve(Err(no_leader())));
        }
        let unknown =
            || WriteError::OutcomeUnknown { waited_ms: self.write_timeout.as_millis() as u64 };
        let mut resolved = 0;
        let proposing = async {
            let commands = commands.into_iter().map(Command);
            let Ok(mut results) = self.raft.client_write_many(commands).await else { return };
            while let Some(Ok(result)) = results.next().await {
                resolve(self.judge(result));
                resolved += 1;
            }
        };
        // On the timeout, and when consensus has ended, the rest may still take effect.
        let _ = tokio::time::timeout(self.write_timeout, proposing).await;
        mark_if(resolved < count, "write.outcome_unknown");
        (resolved..count).for_each(|_| resolve(Err(unknown())));
    }

    fn judge(&self, result: WriteResult<Types>) -> Result<Outcome, WriteError> {
        match result {
            Ok(written) => Ok(written.response),
            // Refused before it was appended.
            Err(ClientWriteError::ForwardToLeader(forward)) => Err(match forward.leader_id {
                Some(leader) => WriteError::NotLeader { this: self.this, leader },
                None => WriteError::NoLeader { this: self.this },
            }),
            Err(_) => Err(WriteError::OutcomeUnknown { waited_ms: 0 }),
        }
    }

    /// Confirms with a quorum that this node still leads; the state that has applied the returned
    /// index answers linearizable reads that began before the call. `None` if it is not confirmed.
    pub(crate) async fn read_index(&self) -> Option<LogIndex> {
        if planted("read_without_barrier") {
            return Some(self.watched().applied_index);
        }
        // To ask is to be heard, and voters who hear a leader elect no other.
        if self.is_alone.load(Ordering::Relaxed) {
            return None;
        }
        let confirmed = self.raft.get_read_linearizer(ReadPolicy::ReadIndex).await.ok()?;
        Some(to_index(confirmed.read_log_id().log_id().index()))
    }

    /// Waits until `index` is applied here; false if consensus ended.
    pub(crate) async fn wait_applied(&self, index: LogIndex) -> bool {
        let wait = self.raft.wait(Some(self.write_timeout));
        wait.applied_index_at_least(Some(from_index(index)), "a read").await.is_ok()
    }

    /// Hands the term to `to`; openraft ignores it if `to` is behind.
    pub(crate) async fn transfer(&self, to: NodeId) {
        let _ = self.raft.trigger().transfer_leader(to).await;
    }

    /// Takes a snapshot now, for tests and for the end of a node.
    pub(crate) async fn snapshot_now(&self) {
        let _ = self.raft.trigger().snapshot().await;
    }

    /// How far the log of `of` is known to match.
    pub(crate) fn progress(&self, of: NodeId) -> Progress {
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow_watched();
        let matching = metrics.replication.as_ref().and_then(|all| all.get(&of).cloned().flatten());
        Progress {
            last_index: metrics.last_log_index.map_or(LogIndex(0), to_index),
            matching: matching.map_or(LogIndex(0), |id| to_index(id.index())),
        }
    }

    /// On the leader: how far each log is known to match, by ascending node.
    pub(crate) fn matching(&self) -> Vec<(NodeId, LogIndex)> {
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow_watched();
        let index = |id: &Option<_>| id.as_ref().map_or(LogIndex(0), |id| to_log_id(id).index);
        let all = metrics.replication.iter().flatten();
        all.map(|(node, matching)| (*node, index(matching))).collect()
    }

    /// Adds a learner; resolves once it has caught up.
    pub(crate) async fn add_learner(&self, id: NodeId) -> Result<(), MembershipError> {
        let adding = self.raft.add_learner(id, EmptyNode::new(), true);
        match tokio::time::timeout(CATCH_UP_TIMEOUT, adding).await {
            Ok(added) => self.judge_change(added.map(drop)),
            Err(_) => {
                let waited_ms = CATCH_UP_TIMEOUT.as_millis() as u64;
                Err(MembershipError::OutcomeUnknown { waited_ms })
            }
        }
    }

    /// Makes exactly `voters` the voters, by one joint change. Who is no voter any more leaves.
    pub(crate) async fn change_voters(
        &self,
        voters: BTreeSet<NodeId>,
    ) -> Result<(), MembershipError> {
        let change = ChangeMembers::ReplaceAllVoters(voters);
        let changed = self.raft.change_membership(change, false).await;
        self.judge_change(changed.map(drop))
    }

    /// Takes a learner out; nothing happens if it is not in.
    pub(crate) async fn drop_learner(&self, id: NodeId) -> Result<(), MembershipError> {
        let watched = self.watched();
        if !watched.learners.contains(&id) {
            return Ok(());
        }
        let change = ChangeMembers::RemoveNodes(BTreeSet::from([id]));
        let changed = self.raft.change_membership(change, false).await;
        self.judge_change(changed.map(drop))
    }

    fn judge_change(
        &self,
        changed: Result<(), RaftError<Types, ClientWriteError<Types>>>,
    ) -> Result<(), MembershipError> {
        let Err(error) = changed else { return Ok(()) };
        Err(match error {
            RaftError::APIError(ClientWriteError::ForwardToLeader(_)) => {
                MembershipError::NotLeader { this: self.this }
            }
            RaftError::APIError(ClientWriteError::ChangeMembershipError(
                ChangeMembershipError::InProgress(_),
            )) => MembershipError::UnderWay,
            RaftError::APIError(ClientWriteError::ChangeMembershipError(refusal)) => {
                MembershipError::Refused { detail: refusal.to_string() }
            }
            RaftError::APIError(_) | RaftError::Fatal(_) => {
                MembershipError::OutcomeUnknown { waited_ms: 0 }
            }
        })
    }

    /// The smallest age granted to `term`.
    pub(crate) fn granted_age_ms(&self, vote: StoredVote) -> u64 {
        self.ages.granted_age_ms(vote.term)
    }

    /// A leader's frame has arrived.
    pub(super) fn note_leader_frame(&self) {
        self.ages.note_leader_frame(self.env.clock.now());
    }

    /// What a leader sent was accepted.
    pub(super) fn note_followed(&self) {
        self.ages.note_followed(self.env.clock.now());
        self.followed.notify_one();
    }

    /// Milliseconds since that; `None` if it never was since the boot.
    pub(super) fn followed_age_ms(&self) -> Option<u64> {
        self.ages.followed_age_ms(self.env.clock.now())
    }

    pub(super) fn now(&self) -> Now {
        self.env.clock.now()
    }

    /// Milliseconds since a leader was last heard.
    pub(crate) fn leader_age_ms(&self) -> u64 {
        self.ages.age_ms(self.env.clock.now())
    }

    /// Whether a leader was heard since this node started.
    pub(crate) fn has_heard_leader(&self) -> bool {
        self.ages.has_heard()
    }

    /// The present facts.
    pub(crate) fn watched(&self) -> Watched {
        self.facts(&self.raft.metrics())
    }

    /// A sole voter is a quorum: it confirms itself by running, and only as of before it looked at
    /// its membership. A lease without end would outlive the others' election if it froze while
    /// they became voters.
    fn facts(&self, metrics: &impl WatchReceiver<OrderedWatch, RaftMetrics<Types>>) -> Watched {
        let now = self.env.clock.now();
        let mut facts = watched(&metrics.borrow_watched());
        if facts.is_sole(self.this) {
            facts.quorum_acked_at = Some(now);
        }
        facts
    }

    /// Calls `changed` with the facts whenever one has changed, at most every `pause_ms`; ends
    /// with consensus. What changes within a pause gathers until its end.
    pub(crate) async fn watch(&self, pause_ms: u64, mut changed: impl FnMut(Watched)) {
        let mut metrics = self.raft.metrics();
        let mut last = None;
        let mut quiet_until = self.env.clock.now();
        loop {
            let mut facts = self.facts(&metrics);
            // openraft also reports what nobody here follows; that must wake nobody.
            if last.as_ref() != Some(&facts) {
                sleep_until(&*self.env.clock, quiet_until).await;
                facts = self.facts(&metrics);
                changed(facts.clone());
                last = Some(facts.clone());
                quiet_until = self.env.clock.now().plus_ms(pause_ms);
            }
            let changed = metrics.changed();
            let is_over = match facts.is_sole(self.this) {
                true => self.pace.within_heartbeat(changed).await.is_some_and(|told| told.is_err()),
                false => changed.await.is_err(),
            };
            if is_over {
                return;
            }
        }
    }

    /// Ends consensus; the store keeps everything.
    pub(crate) async fn stop(&self) {
        let _ = self.raft.shutdown().await;
    }
}

impl Watched {
    /// Whether `node` leads and votes alone.
    fn is_sole(&self, node: NodeId) -> bool {
        self.role == RaftRole::Elected && self.voters == [node]
    }
}

fn watched(metrics: &RaftMetrics<Types>) -> Watched {
    let membership = metrics.membership_config.membership();
    let index = |id: Option<LogId>| id.map_or(LogIndex(0), |id| id.index);
    let joint_goal = match membership.get_joint_config().as_slice() {
        [_, .., goal] => Some(goal.iter().copied().collect()),
        [_] | [] => None,
    };
    let role = match metrics.state {
        ServerState::Learner => RaftRole::Learner,
        ServerState::Follower => RaftRole::Follower,
        ServerState::Candidate => RaftRole::Candidate,
        ServerState::Leader => RaftRole::Elected,
        ServerState::Shutdown => RaftRole::Follower,
    };
    Watched {
        vote: to_vote(&metrics.vote),
        role,
        leader: metrics.current_leader,
        voters: membership.voter_ids().collect(),
        learners: membership.learner_ids().collect(),
        joint_goal,
        last_index: metrics.last_log_index.map_or(LogIndex(0), to_index),
        commit_index: index(metrics.local_committed.as_ref().map(to_log_id)),
        applied_index: index(metrics.last_applied.as_ref().map(to_log_id)),
        snapshot_index: index(metrics.snapshot.as_ref().map(to_log_id)),
        quorum_acked_at: metrics
            .last_quorum_acked
            .map(|at| Now { ns: at.0.as_nanos().try_into().unwrap_or(u64::MAX) }),
        failed: metrics.running_state.as_ref().err().map(ToString::to_string),
    }
}
