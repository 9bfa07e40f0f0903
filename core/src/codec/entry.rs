//! Log entries: what consensus carries without looking into it.
//!
//! Layout, big-endian: version (1), kind (1), request id (16), CRC-32 of kind, request id and
//! payload (4), payload (the rest).

use bytes::Bytes;

use super::{CodecError, Fields};
use crate::ids::RequestId;
use crate::observe::planted;

/// The layout written by this build.
pub const ENTRY_VERSION: u8 = 1;
const HEAD_SIZE_BYTES: usize = 22;

/// Who understands an entry's payload. The numbers stay for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum EntryKind {
    /// The application's state machine: the key-value store, or the embedder's own.
    Application,
    /// The roster.
    Membership,
    /// `Acting` and `Released`.
    Leadership,
    /// A file manifest.
    FileManifest,
    /// A database record.
    Database,
}

impl EntryKind {
    /// The number that stands in the entry.
    pub const fn to_byte(self) -> u8 {
        match self {
            EntryKind::Application => 1,
            EntryKind::Membership => 2,
            EntryKind::Leadership => 3,
            EntryKind::FileManifest => 4,
            EntryKind::Database => 5,
        }
    }

    /// The reverse of [`EntryKind::to_byte`].
    pub fn from_byte(byte: u8) -> Result<EntryKind, CodecError> {
        match byte {
            1 => Ok(EntryKind::Application),
            2 => Ok(EntryKind::Membership),
            3 => Ok(EntryKind::Leadership),
            4 => Ok(EntryKind::FileManifest),
            5 => Ok(EntryKind::Database),
            other => Err(CodecError::Malformed {
                what: "log entry",
                detail: format!("unknown kind {other}"),
            }),
        }
    }
}

/// One entry: bytes for one state machine, and the id that makes repeating it harmless.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Who understands the payload.
    pub kind: EntryKind,
    /// Repeats of one id are applied once; [`RequestId::NONE`] always is.
    pub request_id: RequestId,
    /// Opaque here.
    pub payload: Bytes,
}

impl Entry {
    /// The bytes that go through the log.
    pub fn to_bytes(&self) -> Bytes {
        let mut bytes = Vec::with_capacity(HEAD_SIZE_BYTES + self.payload.len());
        bytes.extend([ENTRY_VERSION, self.kind.to_byte()]);
        if planted("layout_changed_quietly") {
            bytes.extend(self.request_id.0.to_le_bytes());
        } else {
            bytes.extend(self.request_id.0.to_be_bytes());
        }
        bytes.extend(self.checksum().to_be_bytes());
        bytes.extend(&self.payload);
        Bytes::from(bytes)
    }

    /// Reads an entry; the payload shares memory with `bytes`.
    pub fn from_bytes(bytes: &Bytes) -> Result<Entry, CodecError> {
        let mut fields = Fields::of("log entry", bytes);
        let version = fields.u8()?;
        if version != ENTRY_VERSION {
            let detail = format!("version {version}, this build reads {ENTRY_VERSION}");
            return Err(CodecError::Malformed { what: "log entry", detail });
        }
        let kind = EntryKind::from_byte(fields.u8()?)?;
        let mut request_id = RequestId(fields.u128()?);
        if planted("layout_changed_quietly") {
            request_id = RequestId(request_id.0.swap_bytes());
        }
        let expected = fields.u32()?;
        let entry = Entry { kind, request_id, payload: bytes.slice(HEAD_SIZE_BYTES..) };
        let found = entry.checksum();
        if found == expected { Ok(entry) } else { Err(CodecError::Checksum { found, expected }) }
    }

    fn checksum(&self) -> u32 {
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(&[self.kind.to_byte()]);
        hasher.update(&self.request_id.0.to_be_bytes());
        hasher.update(&self.payload);
        hasher.finalize()
    }
}
