//! Wiring: the ports in, four actors made and introduced to each other, the ports of the node open.
//!
//! The order matters: identity and store first (nothing listens if they are damaged), then the
//! listeners (a taken port leaves no trace), then consensus and the actors.

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use actix::prelude::*;
use tokio::sync::watch;

use super::answering::NodeAnswering;
use super::book::AddressBook;
use super::identity::{self, Own};
use super::registrar::Registrar;
use super::{Inner, NodeHandle, StartError, Tasks};
use crate::config::Settings;
use crate::leader::actor::{Commands, LeaderActor};
use crate::leader::{Leadership, RecordApplied};
use crate::membership::Roster;
use crate::ports::{Env, Listener, enter_clock};
use crate::replication::machine::StateMachine;
use crate::replication::{
    Applied, AppliedListener, Consensus, Lines, LogStore, Parts, ReplicationActor, Reports,
    SharedMachine, SnapshotStore, StartConsensus,
};
use crate::rpc;

/// How long a call between nodes may take before its connection counts as dead, in election
/// timeouts: a disk that stalls is slow, a peer that stays silent this long is gone.
const CALL_TIMEOUTS_COUNT: u64 = 4;

/// Tells the actors what the log has made.
struct Applying {
    leader: Recipient<RecordApplied>,
    book: AddressBook,
    roster: watch::Sender<Roster>,
}

impl AppliedListener for Applying {
    fn record_applied(&self, applied: RecordApplied) {
        self.leader.do_send(applied);
    }

    fn roster_changed(&self, roster: &Roster) {
        self.book.follow(roster);
        self.roster.send_replace(roster.clone());
    }
}

/// Starts a node: the only way to make one. Call it inside a `LocalSet`, which then runs the node.
///
/// `machine` is the application's state, as it is before the first command. On an error nothing is
/// left running.
pub async fn start(
    env: Env,
    settings: Settings,
    machine: Box<dyn StateMachine>,
) -> Result<NodeHandle, StartError> {
    settings.validate()?;
    enter_clock(&env.clock);
    let own = identity::load(&env, &settings)?;
    let log = LogStore::open(env.disk.clone()).await?;
    let snapshots = SnapshotStore::open(env.disk.clone()).await?;
    let mut applied = Applied::new(machine);
    if let Some((meta, bytes)) = snapshots.newest().await? {
        let restored = applied.restore(meta, &bytes);
        restored.map_err(|error| StartError::Snapshot { detail: error.to_string() })?;
    }
    let (_, member) = settings.this_member().expect("settings were validated");
    let listener = listen(&env, member.consensus()).await?;
    let opened = Opened { own, log, snapshots, applied, listener };
    wire(env, settings, opened).await
}

/// What a node has in hand before anything runs.
struct Opened {
    own: Own,
    log: LogStore,
    snapshots: SnapshotStore,
    applied: Applied,
    listener: Box<dyn Listener>,
}

async fn listen(env: &Env, at: SocketAddr) -> Result<Box<dyn Listener>, StartError> {
    let failed = |error: std::io::Error| StartError::Port { at, detail: error.to_string() };
    env.net.listen(at).await.map_err(failed)
}

async fn wire(env: Env, settings: Settings, opened: Opened) -> Result<NodeHandle, StartError> {
    let Opened { own, log, snapshots, mut applied, listener } = opened;
    let this = own.identity.node;
    let book = AddressBook::new(&settings);
    let leader_ctx = Context::<LeaderActor>::new();
    let leader = leader_ctx.address();
    let (roster_sender, roster) = watch::channel(Roster::default());
    let (ended_sender, ended) = watch::channel(None);
    let (leadership_sender, leadership) =
        watch::channel(Leadership::unknown(this, env.clock.now()));

    applied.listen(Arc::new(Applying {
        leader: leader.clone().recipient(),
        book: book.clone(),
        roster: roster_sender,
    }));
    let machine = SharedMachine::new(applied, snapshots);
    let lookup = {
        let book = book.clone();
        Arc::new(move |node| book.consensus(node))
    };
    let timeout_ms = settings.cluster.election_timeout_ms_max * CALL_TIMEOUTS_COUNT;
    let lines = Lines::new(env.clone(), own.identity, lookup, timeout_ms);
    let consensus = Consensus::start(StartConsensus {
        env: env.clone(),
        this,
        cluster: settings.cluster.clone(),
        lines: lines.clone(),
        log: log.clone(),
        machine: machine.clone(),
    })
    .await
    .map_err(|error| StartError::Consensus { detail: error.to_string() })?;

    let replication = ReplicationActor::new(Parts {
        env: env.clone(),
        this,
        consensus: consensus.clone(),
        machine,
        lines,
        write_timeout_ms: settings.cluster.write_timeout_ms,
        reports: Reports {
            consensus: vec![leader.clone().recipient()],
            acked: leader.clone().recipient(),
        },
        ended: ended_sender,
    })
    .start();
    let commands = Commands {
        pause_writes: replication.clone().recipient(),
        propose_record: replication.clone().recipient(),
        ask_progress: replication.clone().recipient(),
        transfer_leadership: replication.clone().recipient(),
    };
    let acting = LeaderActor::new(this, &settings.cluster, &env, commands, leadership_sender);
    leader_ctx.run(acting);

    let answering =
        Rc::new(NodeAnswering { consensus: consensus.clone(), replication: replication.clone() });
    let tasks = Tasks::default();
    tasks.spawn(rpc::serve(env.clone(), own.identity, listener, answering));
    let founders = book.all().into_iter().map(|(id, _)| id).collect();
    consensus
        .found(founders)
        .await
        .map_err(|error| StartError::Consensus { detail: error.to_string() })?;
    let registrar = Registrar {
        this,
        public_key: own.key.verifying_key().to_bytes(),
        founders: settings.cluster.members.clone(),
        leadership: leadership.clone(),
        roster,
        replication: replication.clone(),
    };
    tasks.spawn(registrar.run());
    tracing::info!(node = %this, boot_count = own.boot_count, "node started");
    let inner = Inner {
        node: this,
        env,
        propose: replication.clone().recipient(),
        read: replication.clone().recipient(),
        switchover: leader.recipient(),
        stop: replication.recipient(),
        leadership,
        ended,
        consensus,
        log,
        tasks,
    };
    Ok(NodeHandle { inner: Arc::new(inner) })
}
