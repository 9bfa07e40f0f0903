//! Snapshots: a section per kind of state, each with its own checksum.
//!
//! Layout, big-endian: magic `QRTS` (4), version (1), number of sections (1), then per section:
//! kind (1), length (8), CRC-32 (4), bytes. A reader that finds a kind it does not know refuses
//! the snapshot: dropping state silently would make two replicas differ.

use bytes::Bytes;

use super::frame::check_sum;
use super::{CodecError, Fields};

/// The layout written by this build.
pub const SNAPSHOT_VERSION: u8 = 1;
const MAGIC: u32 = u32::from_be_bytes(*b"QRTS");

/// Whose state a section holds. The numbers stay for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SnapshotKind {
    /// The application's state machine.
    Application,
    /// The roster, the `Acting` record, the next node id.
    Cluster,
    /// Which requests were applied, with their replies.
    Requests,
    /// Join tokens, and who has joined by one. Only there if there are any.
    Admissions,
    /// Who may ask the API. Only there if there is anybody.
    Users,
}

impl SnapshotKind {
    const fn to_byte(self) -> u8 {
        match self {
            SnapshotKind::Application => 1,
            SnapshotKind::Cluster => 2,
            SnapshotKind::Requests => 3,
            SnapshotKind::Admissions => 4,
            SnapshotKind::Users => 5,
        }
    }

    fn from_byte(byte: u8) -> Result<SnapshotKind, CodecError> {
        match byte {
            1 => Ok(SnapshotKind::Application),
            2 => Ok(SnapshotKind::Cluster),
            3 => Ok(SnapshotKind::Requests),
            4 => Ok(SnapshotKind::Admissions),
            5 => Ok(SnapshotKind::Users),
            other => Err(malformed(format!("unknown section {other}"))),
        }
    }
}

/// One section.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Section {
    /// Whose state.
    pub kind: SnapshotKind,
    /// The state, in its owner's layout.
    pub bytes: Bytes,
}

/// The bytes of a snapshot. At most 255 sections.
pub fn encode_sections(sections: &[Section]) -> Bytes {
    let size_bytes: usize = sections.iter().map(|section| section.bytes.len() + 13).sum();
    let mut bytes = Vec::with_capacity(6 + size_bytes);
    bytes.extend(MAGIC.to_be_bytes());
    bytes.push(SNAPSHOT_VERSION);
    bytes.push(u8::try_from(sections.len()).expect("there are fewer kinds than 256"));
    for section in sections {
        bytes.push(section.kind.to_byte());
        bytes.extend((section.bytes.len() as u64).to_be_bytes());
        bytes.extend(crc32fast::hash(&section.bytes).to_be_bytes());
        bytes.extend(&section.bytes);
    }
    Bytes::from(bytes)
}

/// Reads a snapshot; the sections share memory with `bytes`.
pub fn decode_sections(bytes: &Bytes) -> Result<Vec<Section>, CodecError> {
    let mut fields = Fields::of("snapshot", bytes);
    let magic = fields.u32()?;
    if magic != MAGIC {
        return Err(malformed(format!("magic {magic:08x}")));
    }
    let version = fields.u8()?;
    if version != SNAPSHOT_VERSION {
        return Err(malformed(format!("version {version}, this build reads {SNAPSHOT_VERSION}")));
    }
    let count = fields.u8()?;
    let mut sections = Vec::new();
    for _ in 0..count {
        let kind = SnapshotKind::from_byte(fields.u8()?)?;
        let size_bytes = fields.u64()?;
        let expected = fields.u32()?;
        let content = fields.take(usize::try_from(size_bytes).unwrap_or(usize::MAX))?;
        check_sum(content, expected)?;
        sections.push(Section { kind, bytes: bytes.slice_ref(content) });
    }
    fields.end()?;
    Ok(sections)
}

fn malformed(detail: String) -> CodecError {
    CodecError::Malformed { what: "snapshot", detail }
}
