//! Who a node is, from its first start on: two small files in its data directory.
//!
//! `identity` names cluster, lineage, node and how often the node has booted; `node.key` holds the
//! secret half of its ed25519 key pair. Both are written in one step, and never taken from
//! settings again: a name that means another node than before is refused.

use std::path::Path;

use ed25519_dalek::SigningKey;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::StartError;
use crate::codec::{Identity, decode, encode};
use crate::config::Settings;
use crate::ids::{ClusterId, Generation, Lineage, NodeId};
use crate::ports::Env;

const IDENTITY: &str = "identity";
const KEY: &str = "node.key";

/// The content of `identity`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Stored {
    version: u8,
    cluster: ClusterId,
    lineage: Lineage,
    generation: Generation,
    node: NodeId,
    name: String,
    boot_count: u64,
}

/// A node's identity, and its key pair.
pub(crate) struct Own {
    pub(crate) identity: Identity,
    /// From 1; 1 at the first start.
    pub(crate) boot_count: u64,
    pub(crate) key: SigningKey,
}

/// Reads the identity, making it at the first start, and counts the boot.
pub(super) fn load(env: &Env, settings: &Settings) -> Result<Own, StartError> {
    let (node, member) = settings.this_member().expect("settings were validated");
    let disk_error = |error: std::io::Error| StartError::Disk { detail: error.to_string() };
    let path = Path::new(IDENTITY);
    let mut stored = match env.disk.read(path).map_err(disk_error)? {
        Some(bytes) => unseal(&bytes, IDENTITY)?,
        None => Stored {
            version: 1,
            cluster: cluster_id(&settings.cluster.name),
            lineage: Lineage(0),
            generation: Generation(0),
            node,
            name: member.name.clone(),
            boot_count: 0,
        },
    };
    if stored.name != member.name || stored.node != node {
        let (was, is) = (&stored.name, &member.name);
        let detail = format!(
            "this data directory is that of {was:?} ({}), the settings say {is:?} ({node})",
            stored.node
        );
        return Err(StartError::Identity { detail });
    }
    if stored.cluster != cluster_id(&settings.cluster.name) {
        let detail = format!("it belongs to another cluster than {:?}", settings.cluster.name);
        return Err(StartError::Identity { detail });
    }
    let key = load_key(env, stored.boot_count == 0)?;
    stored.boot_count += 1;
    env.disk.replace(path, &seal(&stored)).map_err(disk_error)?;
    let Stored { cluster, lineage, generation, node, boot_count, .. } = stored;
    Ok(Own { identity: Identity { cluster, lineage, generation, node }, boot_count, key })
}

/// The others know the node by its key: it is made at the first start only.
fn load_key(env: &Env, is_first_start: bool) -> Result<SigningKey, StartError> {
    let disk_error = |error: std::io::Error| StartError::Disk { detail: error.to_string() };
    let path = Path::new(KEY);
    if let Some(bytes) = env.disk.read(path).map_err(disk_error)? {
        let seed: [u8; 32] = unseal(&bytes, KEY)?;
        return Ok(SigningKey::from_bytes(&seed));
    }
    if !is_first_start {
        return Err(StartError::Damaged { file: KEY, detail: "it is missing".to_owned() });
    }
    let mut seed = [0; 32];
    env.entropy.fill("node key", &mut seed);
    env.disk.replace(path, &seal(&seed)).map_err(disk_error)?;
    Ok(SigningKey::from_bytes(&seed))
}

fn seal<T: Serialize>(value: &T) -> Vec<u8> {
    let bytes = encode(value);
    let mut sealed = crc32fast::hash(&bytes).to_be_bytes().to_vec();
    sealed.extend(bytes);
    sealed
}

fn unseal<T: DeserializeOwned>(sealed: &[u8], file: &'static str) -> Result<T, StartError> {
    let damaged = |detail: String| StartError::Damaged { file, detail };
    let (checksum, bytes) =
        sealed.split_at_checked(4).ok_or_else(|| damaged("it is too short".to_owned()))?;
    if checksum != crc32fast::hash(bytes).to_be_bytes() {
        return Err(damaged("its checksum does not hold".to_owned()));
    }
    decode("identity", bytes).map_err(|error| damaged(error.to_string()))
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{ClusterSettings, MemberSettings, NodeSettings};
    use crate::link::fake::World;
    use crate::ports::Disk;
    use crate::ports::testing::MemoryDisk;

    #[test]
    fn the_id_of_a_name_never_changes() {
        assert_eq!(cluster_id("").to_string(), "6c62272e07bb014262b821756295c58d");
        assert_eq!(cluster_id("a").to_string(), "d228cb696f1a8caf78912b704e4a8964");
        assert_ne!(cluster_id("quorate"), cluster_id("quorate2"));
    }

    #[test]
    fn a_file_of_which_any_byte_is_wrong_or_missing_is_refused_by_name() {
        let sealed = seal(&[7_u8; 32]);
        assert_eq!(unseal::<[u8; 32]>(&sealed, KEY).ok(), Some([7; 32]));
        let shorter = (0..sealed.len()).map(|size| sealed[..size].to_vec());
        let flipped = (0..sealed.len()).map(|at| {
            let mut bytes = sealed.clone();
            bytes[at] ^= 1;
            bytes
        });
        for bytes in shorter.chain(flipped) {
            let refused = unseal::<[u8; 32]>(&bytes, KEY).expect_err("it is damaged").to_string();
            assert!(refused.starts_with("Q1506 node.key is damaged: "), "{refused}");
        }
    }

    #[test]
    fn a_key_that_is_lost_is_not_replaced_by_another() {
        let disk = std::sync::Arc::new(MemoryDisk::default());
        let env = Env { disk: disk.clone(), ..World::new().env(1) };
        let node = NodeSettings { name: "n1".to_owned(), data_dir: "/nowhere".into() };
        let members = vec![MemberSettings::at("n1", [127, 0, 0, 1].into())];
        let settings = Settings::new(node, ClusterSettings::of(members));
        let first = load(&env, &settings).expect("a first start makes both");
        let second = load(&env, &settings).expect("a second finds both");
        assert_eq!(first.key.to_bytes(), second.key.to_bytes());
        disk.remove(Path::new(KEY)).expect("it is there");
        let refused = load(&env, &settings).err().expect("the others know the old key");
        assert!(refused.to_string().starts_with("Q1506 node.key is damaged: it is missing"));
    }
}
