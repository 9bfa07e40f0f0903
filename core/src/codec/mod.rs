//! Bytes: how values become bytes and back, on the wire and on disk.
//!
//! One module speaks bincode, so that every limit and every check stands in one place. Layouts
//! that must stay readable for ever (frame header, log entry, snapshot) are written out by hand
//! and held by golden-bytes tests.
//!
//! Invariants
//! - Decoding never trusts a length: it is checked before memory is taken.
//! - Bytes that are left over are an error, not ignored.
//!
//! Read next: `frame.rs`, `entry.rs`, `snapshot.rs`. Source: bincode 2.0.1, `config::standard()`.

mod entry;
mod frame;
mod refusals;
mod snapshot;
#[cfg(test)]
mod tests;

pub use entry::{ENTRY_VERSION, Entry, EntryKind};
pub(crate) use frame::check_opening;
pub use frame::{
    Channel, FRAME_HEADER_SIZE_BYTES, FRAME_SIZE_BYTES_MAX, Frame, FrameHeader, HANDSHAKE_PROTOCOL,
    Identity, PROTOCOL_VERSION, PROTOCOL_VERSION_OLDEST, Protocols, decode_frame, decode_header,
    decode_header_in, encode_frame, encode_frame_in, negotiate,
};
pub(crate) use refusals::Refusals;
pub use snapshot::{SNAPSHOT_VERSION, Section, SnapshotKind, decode_sections, encode_sections};

use serde::Serialize;
use serde::de::DeserializeOwned;

/// The largest single value that is encoded or decoded, in bytes.
pub const VALUE_SIZE_BYTES_MAX: usize = 64 << 20;

/// Why bytes were not accepted. Nothing was changed by reading them.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    /// The peer or file is not ours, or damaged.
    #[error("Q1201 not a Quorate frame (magic {0:08x}); dropped; check who sends to this port")]
    Magic(u32),
    /// The peer speaks a protocol that this build does not.
    #[error(
        "Q1202 protocol {theirs} is not spoken here (only {ours}); dropped; \
         upgrade one release at a time"
    )]
    Protocol {
        /// What the peer offered, or what its frame is written in.
        theirs: Protocols,
        /// What may be spoken here: what this build knows, or what the connection negotiated.
        ours: Protocols,
    },
    /// The peer belongs to another cluster or lineage.
    #[error("Q1203 frame of cluster {theirs}, this is {ours}; dropped; check cluster.members")]
    Cluster {
        /// Theirs, with lineage.
        theirs: String,
        /// Ours, with lineage.
        ours: String,
    },
    /// A length that cannot be right.
    #[error("Q1204 size {size_bytes} exceeds {limit_bytes} bytes; dropped; nothing was read")]
    TooLarge {
        /// What was announced.
        size_bytes: u64,
        /// What is allowed.
        limit_bytes: u64,
    },
    /// The bytes are damaged.
    #[error("Q1205 checksum {found:08x} should be {expected:08x}; dropped; the sender retries")]
    Checksum {
        /// Computed from the bytes.
        found: u32,
        /// Written beside them.
        expected: u32,
    },
    /// The bytes end early, go on too long, or do not fit the type.
    #[error("Q1206 malformed {what}: {detail}; dropped; nothing was changed")]
    Malformed {
        /// What was read.
        what: &'static str,
        /// What did not fit.
        detail: String,
    },
    /// A frame that is meant for another node: an address now belongs to someone else.
    #[error("Q1207 frame for {to} reached {this}; dropped; the roster's address is old")]
    Misrouted {
        /// Addressee, `NodeId` as number.
        to: crate::ids::NodeId,
        /// The node that got it.
        this: crate::ids::NodeId,
    },
    /// A connection on which nobody introduces itself, or too slowly.
    #[error("Q1208 no whole frame in {waited_ms} ms; closed; check who connects to this port")]
    Silent {
        /// How long was waited.
        waited_ms: u64,
    },
    /// Whoever sent this has not shown that it belongs to the cluster.
    #[error(
        "Q1209 not a node of this cluster: {detail}; dropped; compare security.secret_file and \
         clocks"
    )]
    Unprotected {
        /// What was shown instead.
        detail: String,
    },
    /// A datagram that came before, or is of an earlier start of its sender.
    #[error(
        "Q1210 datagram {number} of {from} is not new; dropped; was its data directory put back?"
    )]
    Replayed {
        /// Who made it.
        from: crate::ids::NodeId,
        /// Its number in its session.
        number: u64,
    },
    /// A frame of another node than the one whose key opened the connection.
    #[error("Q1213 {peer} sends as {from}; closed; look at what runs on {peer}")]
    Impostor {
        /// Whose key it is.
        peer: crate::ids::NodeId,
        /// Whose frame it says to be.
        from: crate::ids::NodeId,
    },
}

fn config() -> impl bincode::config::Config {
    bincode::config::standard().with_limit::<VALUE_SIZE_BYTES_MAX>()
}

/// The bytes of `value`. Panics if it cannot be encoded: that is a type of ours that serde
/// refuses, or one beyond [`VALUE_SIZE_BYTES_MAX`], which the limits at the edges exclude.
pub fn encode<T: Serialize>(value: &T) -> Vec<u8> {
    bincode::serde::encode_to_vec(value, config()).expect("our types encode")
}

/// The value in `bytes`, all of which must belong to it. `what` names it in the error.
pub fn decode<T: DeserializeOwned>(what: &'static str, bytes: &[u8]) -> Result<T, CodecError> {
    let malformed = |detail: String| CodecError::Malformed { what, detail };
    let (value, consumed) = bincode::serde::decode_from_slice(bytes, config())
        .map_err(|error| malformed(error.to_string()))?;
    if consumed == bytes.len() {
        return Ok(value);
    }
    Err(malformed(format!("{} bytes left over", bytes.len() - consumed)))
}

/// The value that `bytes` begin with, and its size in bytes. For formats that put several values
/// one after the other; their owner checks that nothing is left over.
pub(crate) fn decode_first<T: DeserializeOwned>(bytes: &[u8]) -> Result<(T, usize), CodecError> {
    bincode::serde::decode_from_slice(bytes, config())
        .map_err(|error| CodecError::Malformed { what: "value", detail: error.to_string() })
}

/// A reader of fixed layouts: takes big-endian numbers off the front.
pub(crate) struct Fields<'a> {
    what: &'static str,
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    pub(crate) fn of(what: &'static str, bytes: &'a [u8]) -> Fields<'a> {
        Fields { what, rest: bytes }
    }

    pub(crate) fn take(&mut self, size_bytes: usize) -> Result<&'a [u8], CodecError> {
        let Some((head, rest)) = self.rest.split_at_checked(size_bytes) else {
            let detail = format!("{size_bytes} bytes wanted, {} are left", self.rest.len());
            return Err(CodecError::Malformed { what: self.what, detail });
        };
        self.rest = rest;
        Ok(head)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], CodecError> {
        Ok(self.take(N)?.try_into().expect("take returns what was asked for"))
    }

    pub(crate) fn u8(&mut self) -> Result<u8, CodecError> {
        Ok(self.array::<1>()?[0])
    }

    pub(crate) fn u16(&mut self) -> Result<u16, CodecError> {
        Ok(u16::from_be_bytes(self.array()?))
    }

    pub(crate) fn u32(&mut self) -> Result<u32, CodecError> {
        Ok(u32::from_be_bytes(self.array()?))
    }

    pub(crate) fn u64(&mut self) -> Result<u64, CodecError> {
        Ok(u64::from_be_bytes(self.array()?))
    }

    pub(crate) fn u128(&mut self) -> Result<u128, CodecError> {
        Ok(u128::from_be_bytes(self.array()?))
    }

    pub(crate) fn end(self) -> Result<(), CodecError> {
        if self.rest.is_empty() {
            return Ok(());
        }
        let detail = format!("{} bytes left over", self.rest.len());
        Err(CodecError::Malformed { what: self.what, detail })
    }
}
