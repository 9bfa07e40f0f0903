//! Frames: a header that says whose bytes these are, then the bytes.
//!
//! The same 64-byte header opens every frame on 8300, 8301 (TCP and UDP) and 22000, big-endian:
//!
//! | offset | size | field |
//! | --- | --- | --- |
//! | 0 | 4 | magic `QRT1` |
//! | 4 | 2 | protocol version |
//! | 6 | 1 | channel |
//! | 7 | 1 | zero |
//! | 8 | 16 | cluster id |
//! | 24 | 8 | lineage |
//! | 32 | 2 | generation |
//! | 34 | 2 | zero |
//! | 36 | 8 | from |
//! | 44 | 8 | to (0: whoever listens) |
//! | 52 | 4 | payload length |
//! | 56 | 4 | CRC-32 of the payload |
//! | 60 | 4 | CRC-32 of bytes 0 to 59 |

use std::fmt;

use bytes::Bytes;

use super::{CodecError, Fields};
use crate::ids::{ClusterId, Generation, Lineage, NodeId};
use crate::observe::planted;

/// The protocol this build speaks first.
pub const PROTOCOL_VERSION: u16 = 1;
/// The oldest protocol it still accepts: the one before, once there is one.
pub const PROTOCOL_VERSION_OLDEST: u16 = 1;
/// What the header of a handshake states, for ever: any two builds can read each other's.
pub const HANDSHAKE_PROTOCOL: u16 = 1;
/// Size of the header in bytes.
pub const FRAME_HEADER_SIZE_BYTES: usize = 64;
/// The largest payload of one frame in bytes. Larger things travel in pieces.
pub const FRAME_SIZE_BYTES_MAX: usize = 16 << 20;

/// A range of protocols, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Protocols {
    /// The oldest one.
    pub oldest: u16,
    /// The newest one.
    pub newest: u16,
}

impl Protocols {
    /// What this build speaks.
    pub const OURS: Protocols =
        Protocols { oldest: PROTOCOL_VERSION_OLDEST, newest: PROTOCOL_VERSION };

    /// One protocol and no other.
    pub const fn only(protocol: u16) -> Protocols {
        Protocols { oldest: protocol, newest: protocol }
    }

    const fn contains(self, protocol: u16) -> bool {
        self.oldest <= protocol && protocol <= self.newest
    }
}

impl fmt::Display for Protocols {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.oldest == self.newest {
            return write!(out, "{}", self.newest);
        }
        write!(out, "{} to {}", self.oldest, self.newest)
    }
}

const MAGIC: u32 = u32::from_be_bytes(*b"QRT1");

/// What a frame's payload is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Channel {
    /// The first frame of each direction of a stream.
    Handshake,
    /// A question that wants an answer.
    Request,
    /// Its answer.
    Response,
    /// A ping or its pong.
    Heartbeat,
    /// Membership gossip.
    Gossip,
}

impl Channel {
    const fn to_byte(self) -> u8 {
        match self {
            Channel::Handshake => 1,
            Channel::Request => 2,
            Channel::Response => 3,
            Channel::Heartbeat => 4,
            Channel::Gossip => 5,
        }
    }

    fn from_byte(byte: u8) -> Result<Channel, CodecError> {
        match byte {
            1 => Ok(Channel::Handshake),
            2 => Ok(Channel::Request),
            3 => Ok(Channel::Response),
            4 => Ok(Channel::Heartbeat),
            5 => Ok(Channel::Gossip),
            other => Err(CodecError::Malformed {
                what: "frame header",
                detail: format!("unknown channel {other}"),
            }),
        }
    }
}

/// Who a node is, as every frame states it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The cluster.
    pub cluster: ClusterId,
    /// Its chain of recoveries.
    pub lineage: Lineage,
    /// Its number of recoveries.
    pub generation: Generation,
    /// The node.
    pub node: NodeId,
}

/// The fixed part of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameHeader {
    /// The protocol it is written in.
    pub protocol: u16,
    /// What the payload is.
    pub channel: Channel,
    /// The sender.
    pub from: Identity,
    /// The addressee; `NodeId(0)` is whoever listens there.
    pub to: NodeId,
    /// Payload size in bytes.
    pub size_bytes: u32,
    /// CRC-32 of the payload.
    pub checksum: u32,
}

/// A frame whose checksum holds and whose sender belongs to our cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Who, to whom, what.
    pub header: FrameHeader,
    /// The bytes.
    pub payload: Bytes,
}

/// The protocol two nodes speak: the newest that both know.
///
/// The error names both ranges, and so does that of the other side.
pub fn negotiate(ours: Protocols, theirs: Protocols) -> Result<u16, CodecError> {
    let chosen = ours.newest.min(theirs.newest);
    if ours.contains(chosen) && theirs.contains(chosen) {
        return Ok(chosen);
    }
    Err(CodecError::Protocol { theirs, ours })
}

/// The bytes of one frame where nothing was negotiated: a handshake, or a frame on 8301. It is
/// written in the oldest protocol spoken, which every node that may be in the cluster can read.
///
/// Panics if `payload` exceeds [`FRAME_SIZE_BYTES_MAX`]: the caller cuts it.
pub fn encode_frame(from: &Identity, to: NodeId, channel: Channel, payload: &[u8]) -> Vec<u8> {
    let protocol = match channel {
        Channel::Handshake => HANDSHAKE_PROTOCOL,
        Channel::Request | Channel::Response | Channel::Heartbeat | Channel::Gossip => {
            PROTOCOL_VERSION_OLDEST
        }
    };
    encode_frame_in(protocol, from, to, channel, payload)
}

/// The bytes of one frame in the protocol that its connection has negotiated.
///
/// Panics if `payload` exceeds [`FRAME_SIZE_BYTES_MAX`]: the caller cuts it.
pub fn encode_frame_in(
    protocol: u16,
    from: &Identity,
    to: NodeId,
    channel: Channel,
    payload: &[u8],
) -> Vec<u8> {
    assert!(payload.len() <= FRAME_SIZE_BYTES_MAX, "a frame's payload is cut by its sender");
    let mut bytes = Vec::with_capacity(FRAME_HEADER_SIZE_BYTES + payload.len());
    bytes.extend(MAGIC.to_be_bytes());
    bytes.extend(protocol.to_be_bytes());
    bytes.extend([channel.to_byte(), 0]);
    bytes.extend(from.cluster.0);
    bytes.extend(from.lineage.0.to_be_bytes());
    bytes.extend(from.generation.0.to_be_bytes());
    bytes.extend([0, 0]);
    bytes.extend(from.node.0.to_be_bytes());
    bytes.extend(to.0.to_be_bytes());
    bytes.extend((payload.len() as u32).to_be_bytes());
    bytes.extend(crc32fast::hash(payload).to_be_bytes());
    bytes.extend(crc32fast::hash(&bytes).to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// Refuses the beginning of a stream's next frame as soon as it shows that it is none of ours:
/// the magic once its four bytes are there, the protocol once its two are.
pub(crate) fn check_opening(bytes: &[u8], accepted: Protocols) -> Result<(), CodecError> {
    let Some((magic, rest)) = bytes.split_first_chunk() else { return Ok(()) };
    let magic = u32::from_be_bytes(*magic);
    if magic != MAGIC {
        return Err(CodecError::Magic(magic));
    }
    let Some(protocol) = rest.first_chunk() else { return Ok(()) };
    check_protocol(u16::from_be_bytes(*protocol), accepted)
}

fn check_protocol(protocol: u16, accepted: Protocols) -> Result<(), CodecError> {
    if accepted.contains(protocol) {
        return Ok(());
    }
    Err(CodecError::Protocol { theirs: Protocols::only(protocol), ours: accepted })
}

/// Reads a header and checks all that it states: magic, checksum, protocol, size.
///
/// `bytes` are exactly [`FRAME_HEADER_SIZE_BYTES`]. Who sent it is for
/// [`FrameHeader::check_sender`].
pub fn decode_header(bytes: &[u8]) -> Result<FrameHeader, CodecError> {
    decode_header_in(bytes, Protocols::OURS)
}

/// The same where only `accepted` may be spoken.
pub fn decode_header_in(bytes: &[u8], accepted: Protocols) -> Result<FrameHeader, CodecError> {
    let mut fields = Fields::of("frame header", bytes);
    let magic = fields.u32()?;
    if magic != MAGIC {
        return Err(CodecError::Magic(magic));
    }
    let protocol = fields.u16()?;
    let channel = fields.u8()?;
    fields.u8()?;
    let cluster = ClusterId(fields.array()?);
    let lineage = Lineage(fields.u64()?);
    let generation = Generation(fields.u16()?);
    fields.u16()?;
    let node = NodeId(fields.u64()?);
    let to = NodeId(fields.u64()?);
    let size_bytes = fields.u32()?;
    let checksum = fields.u32()?;
    check_sum(&bytes[..FRAME_HEADER_SIZE_BYTES - 4], fields.u32()?)?;
    fields.end()?;
    check_protocol(protocol, accepted)?;
    if size_bytes as usize > FRAME_SIZE_BYTES_MAX {
        let limit_bytes = FRAME_SIZE_BYTES_MAX as u64;
        return Err(CodecError::TooLarge { size_bytes: size_bytes.into(), limit_bytes });
    }
    let channel = Channel::from_byte(channel)?;
    let from = Identity { cluster, lineage, generation, node };
    Ok(FrameHeader { protocol, channel, from, to, size_bytes, checksum })
}

impl FrameHeader {
    /// Refuses frames of other clusters and lineages, and frames meant for another node.
    pub fn check_sender(&self, this: &Identity) -> Result<(), CodecError> {
        let same = self.from.cluster == this.cluster && self.from.lineage == this.lineage;
        if !same {
            let name = |who: &Identity| format!("{}/{}", who.cluster, who.lineage.0);
            return Err(CodecError::Cluster { theirs: name(&self.from), ours: name(this) });
        }
        if self.to != NodeId(0) && self.to != this.node {
            return Err(CodecError::Misrouted { to: self.to, this: this.node });
        }
        Ok(())
    }

    /// Refuses a payload that is not the one the header was made for.
    pub fn check_payload(&self, payload: &[u8]) -> Result<(), CodecError> {
        if planted("frame_checksum_not_checked") {
            return Ok(());
        }
        check_sum(payload, self.checksum)
    }
}

/// Reads one whole frame, as it arrives in a datagram.
pub fn decode_frame(bytes: &[u8], this: &Identity) -> Result<Frame, CodecError> {
    let head = bytes.len().min(FRAME_HEADER_SIZE_BYTES);
    let header = decode_header(&bytes[..head])?;
    header.check_sender(this)?;
    let payload = &bytes[FRAME_HEADER_SIZE_BYTES..];
    if payload.len() != header.size_bytes as usize {
        let detail = format!("{} bytes announced, {} came", header.size_bytes, payload.len());
        return Err(CodecError::Malformed { what: "frame", detail });
    }
    header.check_payload(payload)?;
    Ok(Frame { header, payload: Bytes::copy_from_slice(payload) })
}

pub(super) fn check_sum(bytes: &[u8], expected: u32) -> Result<(), CodecError> {
    let found = crc32fast::hash(bytes);
    if found == expected { Ok(()) } else { Err(CodecError::Checksum { found, expected }) }
}
