//! Who a node is, from its first start on: small files in its data directory.
//!
//! `identity` names cluster, lineage, node and how often the node has booted; `node.key` holds the
//! secret half of its ed25519 key pair; `cluster.secret` is there on a node that was ordered to
//! start or join a cluster; a file that its settings name counts more. Each is written in one step,
//! and the first two are never taken from settings again: a name that means another node than
//! before is refused.
//!
//! There are two kinds. One was made from `cluster.members`: the position there gives the id. The
//! other was made by an order to start or join a cluster, and keeps everything that members would
//! say: name, place, and whether this node founds the cluster alone.
//!
//! Read next: [`load`], `stored.rs` for the bytes, `enlist/` for who makes the second kind.

use std::path::Path;

use ed25519_dalek::SigningKey;

use super::StartError;
#[cfg(feature = "api")]
use super::stored::Ordered;
use super::stored::{IDENTITY, KEY, Made, SECRET, Stored, seal, unseal};
use crate::codec::Identity;
use crate::config::{MemberSettings, Settings};
#[cfg(feature = "api")]
use crate::ids::NodeId;
use crate::ids::{ClusterId, Generation, Lineage, RequestId};
use crate::ports::{Disk, Env};
use crate::security::{ClusterSecret, UnfitSecret};

/// A node's identity, its place, and its key pair.
pub(crate) struct Own {
    pub(crate) identity: Identity,
    /// From 1; 1 at the first start.
    pub(crate) boot_count: u64,
    pub(crate) key: SigningKey,
    /// What the settings say, else what was made or brought by an order.
    pub(crate) secret: Option<ClusterSecret>,
    /// Where it listens, and its name.
    pub(crate) place: MemberSettings,
    /// Who founds the cluster, in the order of their ids; nobody, on a node that joined one.
    pub(crate) founders: Vec<MemberSettings>,
    /// The order by which it started or joined its cluster; none if settings said so.
    pub(crate) order: RequestId,
}

/// What an order makes of a node that has no cluster.
#[cfg(feature = "api")]
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NewIdentity {
    pub(crate) identity: Identity,
    pub(crate) place: MemberSettings,
    /// Whether it is the only founder.
    pub(crate) founds: bool,
    pub(crate) order: RequestId,
    /// To be kept, unless the settings name one.
    pub(crate) secret: Option<ClusterSecret>,
}

/// Reads the identity, making it at the first start from listed members, and counts the boot. On an
/// error of settings nothing was written.
pub(super) fn load(env: &Env, settings: &Settings) -> Result<Own, StartError> {
    let mut stored = match read(&*env.disk)? {
        Some(stored) => stored,
        None => Stored::Listed(from_settings(settings)?),
    };
    let (place, founders) = check(&mut stored, settings)?;
    let secret = match (&settings.security.secret, &stored) {
        (Some(secret), _) => Some(secret.clone()),
        (None, Stored::Ordered(_)) => kept_secret(&*env.disk)?,
        // What is there was left by an order that was cut off.
        (None, Stored::Listed(_)) => None,
    };
    settings.check_reach(&place, secret.is_some())?;
    let key = load_key(env, stored.boot_count() == 0)?;
    *stored.boot_count_mut() += 1;
    write(&*env.disk, &stored)?;
    let (identity, boot_count, order) = (stored.identity(), stored.boot_count(), stored.order());
    Ok(Own { identity, boot_count, key, secret, place, founders, order })
}

/// The secret that an order has made or brought.
fn kept_secret(disk: &dyn Disk) -> Result<Option<ClusterSecret>, StartError> {
    let Some(bytes) = disk.read(Path::new(SECRET)).map_err(refused)? else { return Ok(None) };
    let text: String = unseal(&bytes, SECRET)?;
    let unfit =
        |error: UnfitSecret| StartError::Damaged { file: SECRET, detail: error.to_string() };
    ClusterSecret::from_text(&text).map(Some).map_err(unfit)
}

/// Where the node of this data directory listens, as [`load`] will say; `None` if there is no
/// identity. Nothing is changed.
pub(crate) fn place(env: &Env, settings: &Settings) -> Result<Option<MemberSettings>, StartError> {
    let Some(mut stored) = read(&*env.disk)? else { return Ok(None) };
    check(&mut stored, settings).map(|(place, _)| Some(place))
}

/// Writes the identity that an order makes. Afterwards the node starts as that, for ever.
#[cfg(feature = "api")]
pub(crate) fn make(env: &Env, settings: &Settings, new: &NewIdentity) -> Result<(), StartError> {
    let NewIdentity { identity, place, founds, order, secret } = new;
    let Identity { cluster, lineage, generation, node } = *identity;
    let written = written(settings, &place.name);
    let stored = Stored::Ordered(Ordered {
        version: Ordered::VERSION,
        cluster,
        lineage,
        generation,
        node,
        boot_count: 0,
        place: place.clone(),
        written,
        founds: *founds,
        order: *order,
    });
    let path = Path::new(SECRET);
    match secret {
        Some(secret) => env.disk.replace(path, &seal(&secret.text())).map_err(refused)?,
        // An order that was cut off may have left one.
        None if env.disk.read(path).map_err(refused)?.is_some() => {
            env.disk.remove(path).map_err(refused)?;
        }
        None => {}
    }
    // Last: from here on the node is a member.
    write(&*env.disk, &stored)
}

/// The identity of a founder, before its first boot.
fn from_settings(settings: &Settings) -> Result<Made, StartError> {
    let (node, member) = settings.this_member().ok_or(StartError::NoCluster)?;
    Ok(Made {
        version: Made::VERSION,
        cluster: cluster_id(&settings.cluster.name),
        lineage: Lineage(0),
        generation: Generation(0),
        node,
        name: member.name.clone(),
        boot_count: 0,
    })
}

/// Whether the settings are those of this node; where it is, and who founds its cluster.
fn check(
    stored: &mut Stored,
    settings: &Settings,
) -> Result<(MemberSettings, Vec<MemberSettings>), StartError> {
    let refuse = |detail: String| Err(StartError::Identity { detail });
    match stored {
        Stored::Listed(made) => {
            let Some((node, member)) = settings.this_member() else {
                let detail = format!("{:?} was founded from cluster.members", made.name);
                return refuse(format!("{detail}, which the settings do not list any more"));
            };
            if made.name != member.name || made.node != node {
                let (was, is, of) = (&made.name, &member.name, made.node);
                let detail = format!("this data directory is that of {was:?} ({of})");
                return refuse(format!("{detail}, the settings say {is:?} ({node})"));
            }
            if made.cluster != cluster_id(&settings.cluster.name) {
                let name = &settings.cluster.name;
                return refuse(format!("it belongs to another cluster than {name:?}"));
            }
            Ok((member.clone(), settings.cluster.founders().to_vec()))
        }
        Stored::Ordered(ordered) => {
            let name = ordered.place.name.clone();
            if settings.lists_members() && settings.node.name != name {
                let (of, is) = (ordered.node, &settings.node.name);
                return refuse(format!(
                    "this data directory is that of {name:?} ({of}), the settings say {is:?}"
                ));
            }
            // Settings that were changed since then know better where the node is.
            let now = written(settings, &name);
            if now != ordered.written {
                (ordered.place, ordered.written) = (now.clone(), now);
            }
            let founders = ordered.founds.then(|| ordered.place.clone());
            Ok((ordered.place.clone(), founders.into_iter().collect()))
        }
    }
}

/// Where the settings say that the node of this name is.
fn written(settings: &Settings, name: &str) -> MemberSettings {
    let place = settings.place().expect("settings were validated");
    MemberSettings { name: name.to_owned(), ..place }
}

fn read(disk: &dyn Disk) -> Result<Option<Stored>, StartError> {
    let Some(bytes) = disk.read(Path::new(IDENTITY)).map_err(refused)? else { return Ok(None) };
    Stored::from_bytes(&bytes).map(Some)
}

fn write(disk: &dyn Disk, stored: &Stored) -> Result<(), StartError> {
    disk.replace(Path::new(IDENTITY), &stored.to_bytes()).map_err(refused)
}

fn refused(error: std::io::Error) -> StartError {
    StartError::Disk { detail: error.to_string() }
}

/// The node's key pair; makes it if there is none, at the first start only: afterwards the others
/// know the node by it.
pub(crate) fn load_key(env: &Env, is_first_start: bool) -> Result<SigningKey, StartError> {
    let path = Path::new(KEY);
    if let Some(bytes) = env.disk.read(path).map_err(refused)? {
        let seed: [u8; 32] = unseal(&bytes, KEY)?;
        return Ok(SigningKey::from_bytes(&seed));
    }
    if !is_first_start {
        return Err(StartError::Damaged { file: KEY, detail: "it is missing".to_owned() });
    }
    let mut seed = [0; 32];
    env.entropy.fill("node key", &mut seed);
    env.disk.replace(path, &seal(&seed)).map_err(refused)?;
    Ok(SigningKey::from_bytes(&seed))
}

/// The id of a cluster that is founded from settings: every founding node must derive the same.
///
/// FNV-1a over 128 bits; it tells clusters apart, it protects nothing.
fn cluster_id(name: &str) -> ClusterId {
    const OFFSET: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
    const PRIME: u128 = 0x0000_0000_0100_0000_0000_0000_0000_013b;
    let hash =
        name.bytes().fold(OFFSET, |hash, byte| (hash ^ u128::from(byte)).wrapping_mul(PRIME));
    ClusterId(hash.to_be_bytes())
}

/// The id of a cluster that an order starts: random, so that no two are ever the same.
#[cfg(feature = "api")]
pub(crate) fn random_cluster_id(env: &Env) -> ClusterId {
    let mut id = [0; 16];
    env.entropy.fill("cluster id", &mut id);
    ClusterId(id)
}

/// The identity of the node that starts a cluster: its first.
#[cfg(feature = "api")]
pub(crate) fn first_of(cluster: ClusterId) -> Identity {
    Identity { cluster, lineage: Lineage(0), generation: Generation(0), node: NodeId(1) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{ClusterSettings, NodeSettings};
    use crate::link::fake::World;
    use crate::ports::testing::MemoryDisk;

    #[test]
    fn the_id_of_a_name_never_changes() {
        assert_eq!(cluster_id("").to_string(), "6c62272e07bb014262b821756295c58d");
        assert_eq!(cluster_id("a").to_string(), "d228cb696f1a8caf78912b704e4a8964");
        assert_ne!(cluster_id("quorate"), cluster_id("quorate2"));
    }

    fn settings(address: u8) -> Settings {
        let node = NodeSettings {
            address: Some([127, 0, 0, address].into()),
            ..NodeSettings::listed("", "/data")
        };
        Settings::new(node, ClusterSettings::of(Vec::new()))
    }

    fn ordered(place: u8, written: u8) -> Stored {
        let at = |name: &str, last: u8| MemberSettings::at(name, [127, 0, 0, last].into());
        let Identity { cluster, lineage, generation, node } = first_of(ClusterId([7; 16]));
        Stored::Ordered(Ordered {
            version: Ordered::VERSION,
            cluster,
            lineage,
            generation,
            node,
            boot_count: 3,
            place: at("n1", place),
            written: at("n1", written),
            founds: true,
            order: RequestId(9),
        })
    }

    #[test]
    fn an_order_says_where_the_node_is_until_its_settings_change() {
        // Where the order put it, what the settings said then, what they say; where it is.
        for (place, written, now, expected) in [(1, 1, 1, 1), (5, 1, 1, 5), (5, 1, 2, 2)] {
            let mut stored = ordered(place, written);
            let (place, founders) = check(&mut stored, &settings(now)).expect("its own settings");
            assert_eq!(place, MemberSettings::at("n1", [127, 0, 0, expected].into()));
            assert_eq!(founders, [place]);
        }
    }

    #[test]
    fn a_key_that_is_lost_is_not_replaced_by_another() {
        let disk = std::sync::Arc::new(MemoryDisk::default());
        let env = Env { disk: disk.clone(), ..World::new().env(1) };
        let node = NodeSettings::listed("n1", "/nowhere");
        let members = vec![MemberSettings::at("n1", [127, 0, 0, 1].into())];
        let settings = Settings::new(node, ClusterSettings::of(members));
        let first = load(&env, &settings).expect("a first start makes both");
        let second = load(&env, &settings).expect("a second finds both");
        assert_eq!(first.key.to_bytes(), second.key.to_bytes());
        disk.remove(Path::new(KEY)).expect("it is there");
        let refused = load(&env, &settings).err().expect("the others know the old key");
        assert!(refused.to_string().starts_with("Q1506 node.key is damaged: it is missing"));
    }

    #[test]
    fn settings_of_another_node_or_kind_are_refused() {
        let at = |name: &str| MemberSettings::at(name, [127, 0, 0, 1].into());
        let listed = |names: &[&str]| {
            let members = names.iter().map(|name| at(name)).collect();
            Settings::new(NodeSettings::listed(names[0], "/data"), ClusterSettings::of(members))
        };
        let made = || Stored::Listed(from_settings(&listed(&["n1"])).expect("it is listed"));
        let table = [
            (ordered(1, 1), listed(&["n2"]), "Q1503 this data directory is that of \"n1\" (n1)"),
            (made(), listed(&["n2"]), "Q1503 this data directory is that of \"n1\" (n1)"),
            (made(), listed(&["n0", "n1"]), "Q1503 this data directory is that of \"n1\" (n1)"),
            (made(), settings(1), "Q1503 \"n1\" was founded from cluster.members, which the"),
        ];
        for (mut stored, settings, expected) in table {
            let refused = check(&mut stored, &settings).expect_err("refused").to_string();
            assert!(refused.starts_with(expected), "{refused}");
        }
        assert!(check(&mut ordered(1, 1), &listed(&["n1"])).is_ok());
    }
}
