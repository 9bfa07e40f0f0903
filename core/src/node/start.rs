//! Starting a node: identity and store, then the listeners, then the actors.
//!
//! In this order nothing listens while the store is damaged. A first start that finds a port taken
//! leaves the new identity and an empty store behind, and nothing else.

use std::io;
use std::net::SocketAddr;

use super::identity::{self, Own};
use super::wire;
use super::{NodeHandle, StartError};
use crate::config::Settings;
use crate::link::Link;
use crate::observe::mark;
use crate::ports::{Env, Listener, enter_clock};
use crate::replication::machine::StateMachine;
use crate::replication::{Applied, LogStore, SnapshotStore, check_fits};

/// What a node has in hand before anything runs.
pub(super) struct Opened {
    pub(super) own: Own,
    pub(super) log: LogStore,
    pub(super) snapshots: SnapshotStore,
    pub(super) applied: Applied,
    pub(super) consensus: Box<dyn Listener>,
    pub(super) link: Link,
    pub(super) api: Option<Box<dyn Listener>>,
}

/// Starts a node: the only way to make one. Call it inside a `LocalSet`, which then runs the node.
///
/// `machine` is the application's state as it is before the first command. On an error nothing is
/// left running.
pub async fn start(
    env: Env,
    settings: Settings,
    machine: Box<dyn StateMachine>,
) -> Result<NodeHandle, StartError> {
    settings.validate()?;
    enter_clock(&env.clock);
    let own = identity::load(&env, &settings)?;
    let (log, snapshots, applied) = open_store(&env, machine).await?;
    let (_, member) = settings.this_member().expect("settings were validated");
    let consensus = listen(&env, member.consensus()).await?;
    let membership = member.membership();
    let link = Link::open(&env, own.identity, membership).await.map_err(taken(membership))?;
    let api = match settings.api.enabled {
        true => Some(listen(&env, member.api()).await?),
        false => None,
    };
    wire::run(env, settings, Opened { own, log, snapshots, applied, consensus, link, api }).await
}

/// The log, the snapshots, and the state as of the newest of them.
async fn open_store(
    env: &Env,
    machine: Box<dyn StateMachine>,
) -> Result<(LogStore, SnapshotStore, Applied), StartError> {
    let mut salt = [0; 8];
    env.entropy.fill("journal", &mut salt);
    let log = LogStore::open(env.disk.clone(), u64::from_be_bytes(salt)).await?;
    let snapshots = SnapshotStore::open(env.disk.clone()).await?;
    let mut applied = Applied::new(machine);
    if let Some((meta, bytes)) = snapshots.newest().await? {
        mark("snapshot.restored_at_start");
        let restored = applied.restore(meta, &bytes);
        restored.map_err(|error| StartError::Snapshot { detail: error.to_string() })?;
    }
    check_fits(&log, applied.index())?;
    Ok((log, snapshots, applied))
}

async fn listen(env: &Env, at: SocketAddr) -> Result<Box<dyn Listener>, StartError> {
    env.net.listen(at).await.map_err(taken(at))
}

fn taken(at: SocketAddr) -> impl Fn(io::Error) -> StartError {
    move |error| StartError::Port { at, detail: error.to_string() }
}
