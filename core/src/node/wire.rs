//! Wiring: four actors made and introduced to each other. It decides nothing.

use std::collections::BTreeSet;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;

use super::answering::NodeAnswering;
use super::book::AddressBook;
use super::identity::Own;
use super::registrar::Registrar;
use super::reporter::Reporter;
use super::start::{Doors, Opened};
#[cfg(feature = "api")]
use super::users::Usher;
use super::{Inner, NodeHandle, StartError};
use crate::codec::Protocols;
use crate::config::Settings;
use crate::heartbeat::{HeartbeatActor, Reports as PulseReports};
use crate::ids::NodeId;
use crate::leader::actor::{Commands, LeaderActor};
use crate::leader::{Leadership, RecordApplied};
use crate::link::Link;
use crate::membership::{MembershipActor, Orders, Outside, Roster, RosterApplied};
use crate::observe::planted;
use crate::ports::{Env, Listener};
use crate::replication::{
    Applied, AppliedListener, Consensus, Lines, LogStore, Parts, ReplicationActor, Reports,
    SharedMachine, SnapshotStore, StartConsensus, Tasks,
};
use crate::rpc::{Calling, Refused, Server};
#[cfg(feature = "api")]
use crate::security::Edge;
use crate::security::{KnownKeys, Protection};
use crate::watch;

/// How long a call between nodes may take before its connection counts as dead, in election
/// timeouts: a disk that stalls is slow, a peer that stays silent this long is gone.
const CALL_TIMEOUTS_COUNT: u64 = 4;
/// After so many election timeouts without a word a leader counts as none.
const SILENT_TIMEOUTS_COUNT: u64 = 2;

/// Tells the actors what the log has made.
struct Applying {
    leader: Recipient<RecordApplied>,
    membership: Recipient<RosterApplied>,
    book: AddressBook,
    keys: KnownKeys,
    roster: watch::Sender<Roster>,
}

impl AppliedListener for Applying {
    fn record_applied(&self, applied: RecordApplied) {
        self.leader.do_send(applied);
    }

    fn roster_changed(&self, roster: &Roster) {
        self.book.follow(roster);
        self.keys.follow(roster);
        self.roster.send_replace(roster.clone());
        self.membership.do_send(RosterApplied { roster: roster.clone() });
    }
}

/// The actors' contexts exist before the actors, because each needs the others' addresses.
struct Contexts {
    leader: Context<LeaderActor>,
    membership: Context<MembershipActor>,
    heartbeat: Context<HeartbeatActor>,
}

/// What every part needs to know.
struct Common {
    env: Env,
    settings: Settings,
    own: Own,
    book: AddressBook,
    link: Link,
    protection: Protection,
    keys: KnownKeys,
    refused: Refused,
    tasks: Tasks,
}

/// The ends that are written to.
struct Senders {
    leadership: watch::Sender<Leadership>,
    roster: watch::Sender<Roster>,
    ended: watch::Sender<Option<String>>,
}

/// The ends that are watched.
#[derive(Clone)]
struct Watches {
    leadership: watch::Receiver<Leadership>,
    roster: watch::Receiver<Roster>,
    ended: watch::Receiver<Option<String>>,
}

/// Makes the actors of a node, introduces them, and opens its doors.
pub(super) async fn run(
    env: Env,
    settings: Settings,
    opened: Opened,
) -> Result<NodeHandle, StartError> {
    let Opened { own, doors, log, snapshots, applied } = opened;
    let Doors { consensus: listener, link, api, protection, keys } = doors;
    let book = AddressBook::new(&settings, &own.founders);
    let (refused, tasks) = (Refused::default(), Tasks::default());
    let common = Common { env, settings, own, book, link, protection, keys, refused, tasks };
    let contexts =
        Contexts { leader: Context::new(), membership: Context::new(), heartbeat: Context::new() };
    let (senders, watches) = common.watches();
    let machine = common.machine(applied, snapshots, &contexts, senders.roster);
    let lines = common.lines();
    let refused = |error: io::Error| StartError::Consensus { detail: error.to_string() };
    let starting = common.consensus(log.clone(), machine.clone(), lines.clone());
    let consensus = starting.await.map_err(refused)?;
    let replication = ReplicationActor::new(Parts {
        env: common.env.clone(),
        this: common.own.identity.node,
        consensus: consensus.clone(),
        machine,
        lines,
        log,
        tasks: common.tasks.clone(),
        write_timeout_ms: common.settings.cluster.write_timeout_ms,
        silence_ms_max: common.settings.cluster.election_timeout_ms_max * SILENT_TIMEOUTS_COUNT,
        reports: Reports {
            consensus: vec![
                contexts.leader.address().recipient(),
                contexts.membership.address().recipient(),
            ],
            acked: contexts.leader.address().recipient(),
        },
        ended: senders.ended,
        learn: {
            let book = common.book.clone();
            Box::new(move |node, at| book.learn(node, at))
        },
    })
    .start();
    let handle = common.handle(&contexts, &replication, &watches);
    // Before anybody can ask: a founder that has voted can found no more, and if the one that it
    // voted for died now, nobody would know who the voters are.
    if let Err(error) = common.found(&consensus).await {
        handle.stop().await;
        return Err(refused(error));
    }
    common.open(listener, consensus.clone(), &replication, &watches);
    common.introduce(contexts, &replication, senders.leadership);
    #[cfg(feature = "api")]
    common.serve_api(api, &handle);
    #[cfg(not(feature = "api"))]
    drop(api);
    let (node, boot_count) = (common.own.identity.node, common.own.boot_count);
    tracing::info!(%node, boot_count, "node started");
    Ok(handle)
}

impl Common {
    fn watches(&self) -> (Senders, Watches) {
        let unknown = Leadership::unknown(self.own.identity.node, self.env.clock.now());
        let (leadership_sender, leadership) = watch::channel(unknown);
        let (roster_sender, roster) = watch::channel(Roster::default());
        let (ended_sender, ended) = watch::channel(None);
        let senders =
            Senders { leadership: leadership_sender, roster: roster_sender, ended: ended_sender };
        (senders, Watches { leadership, roster, ended })
    }

    fn machine(
        &self,
        mut applied: Applied,
        snapshots: SnapshotStore,
        contexts: &Contexts,
        roster: watch::Sender<Roster>,
    ) -> SharedMachine {
        applied.listen(Arc::new(Applying {
            leader: contexts.leader.address().recipient(),
            membership: contexts.membership.address().recipient(),
            book: self.book.clone(),
            keys: self.keys.clone(),
            roster,
        }));
        SharedMachine::new(applied, snapshots)
    }

    fn lines(&self) -> Lines {
        let book = self.book.clone();
        let lookup = Arc::new(move |node| book.consensus(node));
        let timeout_ms = self.settings.cluster.election_timeout_ms_max * CALL_TIMEOUTS_COUNT;
        Lines::new(Calling {
            env: self.env.clone(),
            this: self.own.identity,
            lookup,
            connect_ms_max: timeout_ms,
            protection: self.protection.clone(),
            speaks: Protocols::OURS,
        })
    }

    async fn consensus(
        &self,
        log: LogStore,
        machine: SharedMachine,
        lines: Lines,
    ) -> io::Result<Consensus> {
        #[cfg(feature = "observed")]
        log.tell_opened(self.own.identity.node, self.own.place.address);
        Consensus::start(StartConsensus {
            env: self.env.clone(),
            this: self.own.identity.node,
            cluster: self.settings.cluster.clone(),
            lines,
            log,
            machine,
        })
        .await
    }

    /// Writes down who the founders are, if this node is one of them and has no log yet.
    async fn found(&self, consensus: &Consensus) -> io::Result<()> {
        let founders_count = self.own.founders.len() as u64;
        let founders: BTreeSet<NodeId> = (1..=founders_count).map(NodeId).collect();
        if !founders.contains(&self.own.identity.node) {
            return Ok(());
        }
        if planted("doors_open_before_founding") {
            let consensus = consensus.clone();
            self.tasks.spawn(async move {
                // Longer than an election takes: others ask meanwhile.
                tokio::time::sleep(Duration::from_millis(500)).await;
                let _ = consensus.found(founders).await;
            });
            return Ok(());
        }
        consensus.found(founders).await
    }

    /// Lets the other nodes in, and writes into the roster what this node has to say.
    fn open(
        &self,
        listener: Box<dyn Listener>,
        consensus: Consensus,
        replication: &Addr<ReplicationActor>,
        watches: &Watches,
    ) {
        let server = Server {
            env: self.env.clone(),
            this: self.own.identity,
            protection: self.protection.clone(),
            with: Rc::new(NodeAnswering { consensus, replication: replication.clone() }),
            refused: self.refused.clone(),
            speaks: Protocols::OURS,
        };
        self.tasks.spawn(server.serve(listener));
        let registrar = Registrar {
            this: self.own.identity.node,
            public_key: self.own.key.verifying_key().to_bytes(),
            // Elsewhere its own address says nothing.
            place: self.settings.cluster.follow_moves.then(|| self.own.place.clone()),
            roster: watches.roster.clone(),
            replication: replication.clone(),
        };
        self.tasks.spawn(registrar.run());
    }

    /// Starts the three actors that were only addresses so far.
    fn introduce(
        &self,
        contexts: Contexts,
        replication: &Addr<ReplicationActor>,
        leadership: watch::Sender<Leadership>,
    ) {
        let (this, cluster) = (self.own.identity.node, &self.settings.cluster);
        let leader = contexts.leader.address();
        let membership = contexts.membership.address();
        let heartbeat = contexts.heartbeat.address();
        let commands = Commands {
            pause_writes: replication.clone().recipient(),
            propose_record: replication.clone().recipient(),
            ask_progress: replication.clone().recipient(),
            transfer_leadership: replication.clone().recipient(),
        };
        let reports = PulseReports {
            paused: leader.clone().recipient(),
            health: vec![leader.recipient(), membership.clone().recipient()],
            loss: replication.clone().recipient(),
            path: membership.clone().recipient(),
        };
        let orders = Orders {
            propose_roster: replication.clone().recipient(),
            add_learner: replication.clone().recipient(),
            change_voters: replication.clone().recipient(),
            drop_learner: replication.clone().recipient(),
        };
        let outside = Outside {
            heartbeat: heartbeat.clone().recipient(),
            orders,
            view: Vec::new(),
            addresses: vec![replication.clone().recipient()],
        };
        let (env, link) = (&self.env, &self.link);
        let boots = self.own.boot_count;
        contexts.leader.run(LeaderActor::new(this, cluster, env, commands, leadership));
        contexts.heartbeat.run(HeartbeatActor::new(this, env, link.clone(), cluster, reports));
        let founders = self.own.founders.clone();
        let actor =
            MembershipActor::new(this, env, link.clone(), cluster, founders, boots, outside);
        contexts.membership.run(actor);
        self.link.deliver_to(heartbeat.recipient(), membership.recipient());
        let link = self.link.clone();
        self.tasks.at_end(move || link.close());
    }

    fn handle(
        &self,
        contexts: &Contexts,
        replication: &Addr<ReplicationActor>,
        watches: &Watches,
    ) -> NodeHandle {
        let reporter = Reporter {
            since: self.env.clock.now(),
            env: self.env.clone(),
            identity: self.own.identity,
            name: self.own.place.name.clone(),
            settings: self.settings.clone(),
            book: self.book.clone(),
            link: self.link.clone(),
            refused: self.refused.clone(),
            leadership: watches.leadership.clone(),
            facts: replication.clone().recipient(),
            pulse: contexts.heartbeat.address().recipient(),
            view: contexts.membership.address().recipient(),
        }
        .start();
        let inner = Inner {
            identity: self.own.identity,
            order: self.own.order,
            place: self.own.place.clone(),
            secret: self.own.secret.clone(),
            env: self.env.clone(),
            #[cfg(feature = "api")]
            local_admin: self.settings.security.local_admin.clone(),
            propose: replication.clone().recipient(),
            read: replication.clone().recipient(),
            switchover: contexts.leader.address().recipient(),
            members: contexts.membership.address().recipient(),
            roster_write: replication.clone().recipient(),
            status: reporter.recipient(),
            stop: replication.clone().recipient(),
            leadership: watches.leadership.clone(),
            roster: watches.roster.clone(),
            ended: watches.ended.clone(),
        };
        NodeHandle { inner: Arc::new(inner) }
    }

    #[cfg(feature = "api")]
    fn serve_api(&self, listener: Option<Box<dyn Listener>>, handle: &NodeHandle) {
        if let Some(usher) = Usher::of(handle) {
            self.tasks.spawn(usher.run());
        }
        let Some(listener) = listener else { return };
        let Own { secret, key, place, .. } = &self.own;
        let edge = Edge::new(secret.as_ref(), key, place.address, &self.env);
        tracing::info!(api = %place.api(), fingerprint = %edge.fingerprint(), "api open");
        let entry = crate::api::Entry::new(edge, self.settings.cluster.is_network_private);
        let router = crate::api::router(handle.clone());
        let count_max = self.settings.api.connections_count_max;
        let (stop, stopping) = watch::channel(false);
        self.tasks.at_end(move || drop(stop));
        tokio::task::spawn_local(crate::api::serve(listener, entry, router, count_max, stopping));
    }
}
