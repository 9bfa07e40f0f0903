//! The bytes of all keys.
//!
//! Layout, big-endian: version (1), CRC-32 of what follows (4), number of keys (8), then per key in
//! ascending byte order: key size (2), key, create index (8), modify index (8), value size (4),
//! value.

use bytes::Bytes;

use super::command::{Found, check_value};
use super::key_of;
use super::state::Keys;
use crate::codec::{CodecError, Fields};
use crate::ids::LogIndex;

/// The layout written by this build.
const KEYS_VERSION: u8 = 1;
const WHAT: &str = "key-value snapshot";

pub(super) fn to_bytes(keys: &Keys) -> Bytes {
    let size_bytes: usize =
        keys.iter().map(|(key, found)| 22 + key.len() + found.value.len()).sum();
    let mut bytes = Vec::with_capacity(13 + size_bytes);
    bytes.push(KEYS_VERSION);
    bytes.extend([0; 4]);
    bytes.extend((keys.len() as u64).to_be_bytes());
    for (key, found) in keys {
        bytes.extend(head(key, found));
        bytes.extend(&found.value);
    }
    let checksum = crc32fast::hash(&bytes[5..]);
    bytes[1..5].copy_from_slice(&checksum.to_be_bytes());
    bytes.into()
}

/// The checksum that [`to_bytes`] writes, without the bytes.
pub(super) fn digest(keys: &Keys) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&(keys.len() as u64).to_be_bytes());
    for (key, found) in keys {
        hasher.update(&head(key, found));
        hasher.update(&found.value);
    }
    hasher.finalize()
}

/// Everything of one key but its value.
fn head(key: &str, found: &Found) -> Vec<u8> {
    let key_size = u16::try_from(key.len()).expect("a key's size is limited when it is put");
    let value_size = u32::try_from(found.value.len()).expect("so is a value's");
    let mut bytes = Vec::with_capacity(22 + key.len());
    bytes.extend(key_size.to_be_bytes());
    bytes.extend(key.as_bytes());
    bytes.extend(found.create_index.0.to_be_bytes());
    bytes.extend(found.modify_index.0.to_be_bytes());
    bytes.extend(value_size.to_be_bytes());
    bytes
}

/// Reads all keys. Each value gets memory of its own, so that one small value does not keep a
/// whole snapshot alive.
pub(super) fn from_bytes(bytes: &[u8]) -> Result<Keys, CodecError> {
    let mut fields = Fields::of(WHAT, bytes);
    let version = fields.u8()?;
    if version != KEYS_VERSION {
        return Err(malformed(format!("version {version}, this build reads {KEYS_VERSION}")));
    }
    let expected = fields.u32()?;
    let found = crc32fast::hash(&bytes[5..]);
    if found != expected {
        return Err(CodecError::Checksum { found, expected });
    }
    let count = fields.u64()?;
    let mut keys = Keys::new();
    let mut last = "";
    for _ in 0..count {
        let key_size = fields.u16()?;
        let key = key_of(fields.take(key_size.into())?).map_err(|e| malformed(e.to_string()))?;
        if key <= last {
            return Err(malformed(format!("{key:?} stands after {last:?}")));
        }
        last = key;
        let create_index = LogIndex(fields.u64()?);
        let modify_index = LogIndex(fields.u64()?);
        let value_size = fields.u32()?;
        let value = Bytes::copy_from_slice(fields.take(value_size as usize)?);
        check_value(&value).map_err(|e| malformed(e.to_string()))?;
        keys.insert(key.to_owned(), Found { value, create_index, modify_index });
    }
    fields.end()?;
    Ok(keys)
}

fn malformed(detail: String) -> CodecError {
    CodecError::Malformed { what: WHAT, detail }
}
