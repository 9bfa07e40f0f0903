//! The bytes of the files that say who a node is: a checksum, and bincode behind it.
//!
//! The first byte of `identity` is its version. Both stay readable: 1 is made from
//! `cluster.members`, and read by every build; 2 by an order.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::StartError;
use crate::codec::{Identity, decode, encode};
use crate::config::MemberSettings;
use crate::ids::{ClusterId, Generation, Lineage, NodeId, RequestId};

pub(crate) const IDENTITY: &str = "identity";
pub(crate) const KEY: &str = "node.key";
/// The cluster's secret, if an order to start or join has made or brought it.
pub(crate) const SECRET: &str = "cluster.secret";

/// What is in `identity`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Stored {
    /// Version 1.
    Listed(Made),
    /// Version 2.
    Ordered(Ordered),
}

/// Made from `cluster.members`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Made {
    pub(super) version: u8,
    pub(super) cluster: ClusterId,
    pub(super) lineage: Lineage,
    pub(super) generation: Generation,
    pub(super) node: NodeId,
    pub(super) name: String,
    pub(super) boot_count: u64,
}

/// Made by an order to start or join a cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Ordered {
    pub(super) version: u8,
    pub(super) cluster: ClusterId,
    pub(super) lineage: Lineage,
    pub(super) generation: Generation,
    pub(super) node: NodeId,
    pub(super) boot_count: u64,
    /// Its name, and where it listens.
    pub(super) place: MemberSettings,
    /// What the settings said of its place at that time: other words since then count more.
    pub(super) written: MemberSettings,
    /// Whether it is the only founder.
    pub(super) founds: bool,
    /// The request that ordered it, to know a repeat.
    pub(super) order: RequestId,
}

impl Made {
    pub(super) const VERSION: u8 = 1;
}

impl Ordered {
    pub(super) const VERSION: u8 = 2;
}

impl Stored {
    pub(super) fn from_bytes(sealed: &[u8]) -> Result<Stored, StartError> {
        let bytes = opened(sealed, IDENTITY)?;
        let damaged = |error: crate::codec::CodecError| damaged(IDENTITY, error.to_string());
        match bytes.first() {
            Some(&Ordered::VERSION) => {
                decode("identity", bytes).map(Stored::Ordered).map_err(damaged)
            }
            Some(_) | None => decode("identity", bytes).map(Stored::Listed).map_err(damaged),
        }
    }

    pub(super) fn to_bytes(&self) -> Vec<u8> {
        match self {
            Stored::Listed(made) => seal(made),
            Stored::Ordered(ordered) => seal(ordered),
        }
    }

    pub(super) fn identity(&self) -> Identity {
        match *self {
            Stored::Listed(Made { cluster, lineage, generation, node, .. })
            | Stored::Ordered(Ordered { cluster, lineage, generation, node, .. }) => {
                Identity { cluster, lineage, generation, node }
            }
        }
    }

    pub(super) fn boot_count(&self) -> u64 {
        match self {
            Stored::Listed(made) => made.boot_count,
            Stored::Ordered(ordered) => ordered.boot_count,
        }
    }

    pub(super) fn boot_count_mut(&mut self) -> &mut u64 {
        match self {
            Stored::Listed(made) => &mut made.boot_count,
            Stored::Ordered(ordered) => &mut ordered.boot_count,
        }
    }

    pub(super) fn order(&self) -> RequestId {
        match self {
            Stored::Listed(_) => RequestId::NONE,
            Stored::Ordered(ordered) => ordered.order,
        }
    }
}

pub(super) fn seal<T: Serialize>(value: &T) -> Vec<u8> {
    let bytes = encode(value);
    let mut sealed = crc32fast::hash(&bytes).to_be_bytes().to_vec();
    sealed.extend(bytes);
    sealed
}

pub(super) fn unseal<T: DeserializeOwned>(
    sealed: &[u8],
    file: &'static str,
) -> Result<T, StartError> {
    decode("identity", opened(sealed, file)?).map_err(|error| damaged(file, error.to_string()))
}

/// What is behind the checksum, if that holds.
fn opened<'a>(sealed: &'a [u8], file: &'static str) -> Result<&'a [u8], StartError> {
    let (checksum, bytes) =
        sealed.split_at_checked(4).ok_or_else(|| damaged(file, "it is too short".to_owned()))?;
    if checksum != crc32fast::hash(bytes).to_be_bytes() {
        return Err(damaged(file, "its checksum does not hold".to_owned()));
    }
    Ok(bytes)
}

fn damaged(file: &'static str, detail: String) -> StartError {
    StartError::Damaged { file, detail }
}

#[cfg(test)]
mod tests {
    use super::*;

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

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[test]
    fn both_versions_of_an_identity_keep_their_golden_bytes() {
        let (cluster, lineage) = (ClusterId(*b"0123456789abcdef"), Lineage(0));
        let (generation, node) = (Generation(0), NodeId(2));
        let made = Stored::Listed(Made {
            version: Made::VERSION,
            cluster,
            lineage,
            generation,
            node,
            name: "n2".to_owned(),
            boot_count: 3,
        });
        let place = MemberSettings::at("n2", [127, 0, 0, 12].into());
        let ordered = Stored::Ordered(Ordered {
            version: Ordered::VERSION,
            cluster,
            lineage,
            generation,
            node,
            boot_count: 3,
            written: MemberSettings { api_port: 9500, ..place.clone() },
            place,
            founds: true,
            order: RequestId(9),
        });
        let cluster = "30313233343536373839616263646566";
        let place = "026e32007f00000cfb6c20fb6d20"; // name, address, two ports
        let table = [
            (made, format!("01{cluster}000002026e3203")),
            (ordered, format!("02{cluster}00000203{place}fb3421{place}fb1c250109")),
        ];
        for (stored, golden) in table {
            let bytes = stored.to_bytes();
            assert_eq!(hex(&bytes[4..]), golden);
            assert_eq!(Stored::from_bytes(&bytes).expect("just written"), stored);
        }
    }
}
