//! Datagrams: authenticated, encrypted, and accepted once.
//!
//! Pure. Every datagram says in which session of its sender it was made and, as far as the sender
//! knows, for which session of its receiver; a session lasts from one start of a node to the next.
//! A receiver takes only what was made for its present session, so that nothing recorded before
//! its start can be played to it. Whoever names another session is told the right one by an empty
//! datagram, a greeting, and its datagram is dropped: the first one between two nodes is lost.
//!
//! | offset | size | field, big-endian |
//! | --- | --- | --- |
//! | 0 | 4 | magic `QRD1` |
//! | 4 | 4 | number of the cluster's key, 0 |
//! | 8 | 8 | from |
//! | 16 | 16 | session of the sender: its boot count, then 8 random bytes |
//! | 32 | 8 | number of the datagram in its session, from 1 |
//! | 40 | 16 | session of the receiver; zeros if it is not known |
//! | 56 | n | the frame, encrypted; empty in a greeting |
//! | 56 + n | 16 | tag over all of it |
//!
//! Invariants
//! - A key and a number are used for one datagram only.
//! - A datagram is accepted at most once, and none of an earlier boot of its sender is after one
//!   of a later.
//! - Nothing is learnt from a datagram that was not made for the present session.
//! - An answer is not longer than what it answers.
//!
//! Source: RFC 8439 (ChaCha20-Poly1305), RFC 4303 section 3.4.3 (the window).

use std::collections::BTreeMap;
use std::fmt;

use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};

use super::ClusterSecret;
use super::window::Window;
use crate::codec::{CodecError, Fields};
use crate::ids::NodeId;
use crate::observe::{Told, mark, planted, tell};

const MAGIC: [u8; 4] = *b"QRD1";
/// The only key there is until keys can be changed.
const KEY_NUMBER: u32 = 0;
const HEADER_SIZE_BYTES: usize = 56;
const TAG_SIZE_BYTES: usize = 16;
/// What protection adds to a frame, in bytes.
pub(crate) const PROTECTION_SIZE_BYTES: usize = HEADER_SIZE_BYTES + TAG_SIZE_BYTES;

/// One run of one node, from its start to its end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Session {
    /// How often the node has booted, this time included; 0 in the session that nobody has.
    boot_count: u64,
    random: [u8; 8],
}

impl Session {
    fn to_bytes(self) -> [u8; 16] {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&self.boot_count.to_be_bytes());
        bytes[8..].copy_from_slice(&self.random);
        bytes
    }
}

#[derive(Debug, PartialEq, Eq)]
struct Header {
    from: NodeId,
    session: Session,
    number: u64,
    to: Session,
}

impl Header {
    fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HEADER_SIZE_BYTES);
        bytes.extend(MAGIC);
        bytes.extend(KEY_NUMBER.to_be_bytes());
        bytes.extend(self.from.0.to_be_bytes());
        bytes.extend(self.session.to_bytes());
        bytes.extend(self.number.to_be_bytes());
        bytes.extend(self.to.to_bytes());
        bytes
    }

    fn of(bytes: &[u8]) -> Result<Header, CodecError> {
        let mut fields = Fields::of("datagram", bytes);
        let magic = fields.u32()?.to_be_bytes();
        if magic != MAGIC {
            let detail = format!("a datagram begins with {:08x}", u32::from_be_bytes(magic));
            return Err(CodecError::Unprotected { detail });
        }
        let key_number = fields.u32()?;
        if key_number != KEY_NUMBER {
            let detail = format!("a datagram is made with key {key_number}");
            return Err(CodecError::Unprotected { detail });
        }
        let from = NodeId(fields.u64()?);
        let session = session_in(&mut fields)?;
        let number = fields.u64()?;
        let to = session_in(&mut fields)?;
        Ok(Header { from, session, number, to })
    }
}

fn session_in(fields: &mut Fields<'_>) -> Result<Session, CodecError> {
    let boot_count = fields.u64()?;
    Ok(Session { boot_count, random: fields.u64()?.to_be_bytes() })
}

/// What came of a datagram.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Revealed {
    /// A frame for this node, and who has made it.
    Frame(NodeId, Vec<u8>),
    /// The sender's present session is known now.
    Greeted,
    /// Its sender does not know this node's session: these bytes tell it.
    Greet(Vec<u8>),
}

/// The session of a peer in which it sends at present.
struct Incoming {
    session: Session,
    key: LessSafeKey,
    window: Window,
}

/// One node's datagrams, in and out.
pub(crate) struct Datagrams {
    secret: ClusterSecret,
    this: NodeId,
    session: Session,
    key: LessSafeKey,
    /// Of the last datagram that was sent; 0 before the first.
    number: u64,
    peers: BTreeMap<NodeId, Incoming>,
}

impl fmt::Debug for Datagrams {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (this, number) = (self.this, self.number);
        out.debug_struct("Datagrams").field("this", &this).field("number", &number).finish()
    }
}

impl Datagrams {
    /// `boot_count` grows from start to start of the node; `random` is never the same twice.
    pub(crate) fn new(
        secret: &ClusterSecret,
        this: NodeId,
        boot_count: u64,
        random: [u8; 8],
    ) -> Datagrams {
        let session = Session { boot_count, random };
        let key = key_of(secret, this, session);
        Datagrams { secret: secret.clone(), this, session, key, number: 0, peers: BTreeMap::new() }
    }

    /// The datagram that carries `frame` to `to`.
    pub(crate) fn protect(&mut self, to: NodeId, frame: &[u8]) -> Vec<u8> {
        let session = self.peers.get(&to).map(|peer| peer.session).unwrap_or_default();
        self.sealed(session, frame)
    }

    /// Reads a datagram, if it is authentic and was made for this session.
    pub(crate) fn reveal(&mut self, datagram: &[u8]) -> Result<Revealed, CodecError> {
        let header = Header::of(&datagram[..datagram.len().min(HEADER_SIZE_BYTES)])?;
        if header.from == self.this {
            let detail = format!("a datagram comes as this node, {}", self.this);
            return Err(CodecError::Unprotected { detail });
        }
        let known = self.peers.get_mut(&header.from);
        let known = known.filter(|known| known.session == header.session);
        let is_for_this_session = header.to == self.session || planted("datagram_of_any_session");
        let Some(known) = known else {
            let key = key_of(&self.secret, header.from, header.session);
            let frame = opened(&key, &header, datagram)?;
            if !is_for_this_session {
                return Ok(self.greeting(header.session));
            }
            return self.adopt(key, &header, frame);
        };
        let frame = opened(&known.key, &header, datagram)?;
        if !is_for_this_session {
            return Ok(self.greeting(header.session));
        }
        if !known.window.accepts(header.number) && !planted("datagram_accepted_twice") {
            return Err(CodecError::Replayed { from: header.from, number: header.number });
        }
        Ok(self.taken(&header, frame))
    }

    /// The peer has started anew, or is heard for the first time.
    fn adopt(
        &mut self,
        key: LessSafeKey,
        header: &Header,
        frame: Vec<u8>,
    ) -> Result<Revealed, CodecError> {
        let earlier = self.peers.get(&header.from);
        if earlier.is_some_and(|known| known.session.boot_count >= header.session.boot_count) {
            return Err(CodecError::Replayed { from: header.from, number: header.number });
        }
        let mut window = Window::default();
        window.accepts(header.number);
        self.peers.insert(header.from, Incoming { session: header.session, key, window });
        Ok(self.taken(header, frame))
    }

    fn taken(&self, header: &Header, frame: Vec<u8>) -> Revealed {
        let Header { from, session, number, .. } = *header;
        tell(Told::DatagramTaken { by: self.this, from, session: session.to_bytes(), number });
        match frame.is_empty() {
            true => Revealed::Greeted,
            false => Revealed::Frame(from, frame),
        }
    }

    fn greeting(&mut self, to: Session) -> Revealed {
        mark("security.greeted");
        Revealed::Greet(self.sealed(to, &[]))
    }

    fn sealed(&mut self, to: Session, frame: &[u8]) -> Vec<u8> {
        self.number += 1;
        let header = Header { from: self.this, session: self.session, number: self.number, to };
        let mut bytes = header.to_bytes();
        let aad = Aad::from(header.to_bytes());
        bytes.extend(frame);
        let (_, content) = bytes.split_at_mut(HEADER_SIZE_BYTES);
        let tag = self.key.seal_in_place_separate_tag(nonce(self.number), aad, content);
        let tag = tag.expect("a datagram is not too long for its cipher");
        bytes.extend(tag.as_ref());
        bytes
    }
}

fn key_of(secret: &ClusterSecret, from: NodeId, session: Session) -> LessSafeKey {
    let key = secret.key(&[b"datagrams", &from.0.to_be_bytes(), &session.to_bytes()]);
    LessSafeKey::new(UnboundKey::new(&CHACHA20_POLY1305, &key).expect("32 bytes are a key"))
}

fn nonce(number: u64) -> Nonce {
    let mut bytes = [0; 12];
    bytes[4..].copy_from_slice(&number.to_be_bytes());
    Nonce::assume_unique_for_key(bytes)
}

/// The frame in a datagram, if a node with the secret has made it.
fn opened(key: &LessSafeKey, header: &Header, datagram: &[u8]) -> Result<Vec<u8>, CodecError> {
    let (head, content) = datagram.split_at(HEADER_SIZE_BYTES);
    let mut content = content.to_vec();
    let frame = key.open_in_place(nonce(header.number), Aad::from(head), &mut content);
    let size_bytes = match frame {
        Ok(frame) => frame.len(),
        Err(ring::error::Unspecified) => {
            let detail = format!("a datagram as of {} is not authentic", header.from);
            return Err(CodecError::Unprotected { detail });
        }
    };
    content.truncate(size_bytes);
    Ok(content)
}
