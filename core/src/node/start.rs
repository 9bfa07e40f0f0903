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
use crate::security::{KnownKeys, Protected, Protection};

/// What a node has in hand before anything runs.
pub(super) struct Opened {
    pub(super) own: Own,
    pub(super) doors: Doors,
    pub(super) log: LogStore,
    pub(super) snapshots: SnapshotStore,
    pub(super) applied: Applied,
}

/// Where others come in, and who is let in there.
pub(super) struct Doors {
    pub(super) consensus: Box<dyn Listener>,
    pub(super) link: Link,
    pub(super) api: Option<Box<dyn Listener>>,
    pub(super) protection: Protection,
    /// Follows the roster, once there is one.
    pub(super) keys: KnownKeys,
}

/// Starts a node: the only way to make one. Call it inside a `LocalSet`, which then runs the node.
///
/// `machine` is the application's state as it is before the first command. On an error nothing is
/// left running.
pub async fn start(
    env: Env,
    mut settings: Settings,
    machine: Box<dyn StateMachine>,
) -> Result<NodeHandle, StartError> {
    settings.validate()?;
    settings.security.check_is_read()?;
    enter_clock(&env.clock);
    if let Some(admin) = settings.security.local_admin.take() {
        let refused = |error: io::Error| StartError::Disk { detail: error.to_string() };
        settings.security.local_admin = Some(admin.kept_in(&*env.disk).map_err(refused)?);
    }
    let own = identity::load(&env, &settings)?;
    let (log, snapshots, applied) = open_store(&env, machine).await?;
    let doors = open_doors(&env, &settings, &own).await?;
    wire::run(env, settings, Opened { own, doors, log, snapshots, applied }).await
}

async fn open_doors(env: &Env, settings: &Settings, own: &Own) -> Result<Doors, StartError> {
    let keys = KnownKeys::default();
    let protection = match &own.secret {
        None => Protection::none(),
        Some(secret) => {
            let (node, boot_count) = (own.identity.node, own.boot_count);
            let of = Protected { node, boot_count, key: &own.key };
            Protection::new(secret, &of, keys.clone(), env)
        }
    };
    let place = &own.place;
    let consensus = listen(env, place.consensus()).await?;
    let membership = place.membership();
    let opening = Link::open(env, own.identity, membership, protection.clone());
    let link = opening.await.map_err(taken(membership))?;
    let api = match settings.api.enabled {
        true => Some(listen(env, place.api()).await?),
        false => None,
    };
    Ok(Doors { consensus, link, api, protection, keys })
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
