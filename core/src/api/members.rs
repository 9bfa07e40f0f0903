//! The member list that comes with every answer, so that a client's own never grows old.
//!
//! Read next: `race.rs` for what a client does with it.

use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};

use axum::http::HeaderValue;
use serde::{Deserialize, Serialize};

use super::json;
use crate::ids::{LogIndex, NodeId};
use crate::node::NodeHandle;
use crate::security::Fingerprint;

/// Who belongs to a cluster and where their APIs are, as of one entry of the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberList {
    /// The cluster's id, 32 hex digits.
    pub cluster_id: String,
    /// The entry that changed the list last: of two lists of one cluster the greater is newer.
    pub version: LogIndex,
    /// What the members' certificates lead to; absent without a secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authority: Option<Fingerprint>,
    /// Ascending by id. Empty only while the cluster is being founded; then no answer carries it.
    pub members: Vec<MemberPlace>,
}

impl MemberList {
    /// Whether it replaces `known`: it is of the same cluster, and a later entry made it.
    pub fn is_newer_than(&self, known: &MemberList) -> bool {
        self.cluster_id == known.cluster_id && self.version > known.version
    }
}

/// One member, and where it is asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberPlace {
    /// Its id, as a number: 2 is n2.
    pub id: NodeId,
    /// Its name.
    pub name: String,
    /// Where its API is, as the log has it.
    pub api: SocketAddr,
}

/// The list as the value of a header, made anew whenever the roster changes.
#[derive(Debug, Default)]
pub(super) struct MembersHeader {
    made: Mutex<Option<(LogIndex, HeaderValue)>>,
}

impl MembersHeader {
    /// `None` while there is nobody on the list.
    pub(super) fn of(&self, node: &NodeHandle) -> Option<HeaderValue> {
        let roster = node.inner.roster.borrow();
        let version = roster.changed_at();
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((of, value)) = &*made
            && *of == version
        {
            return Some(value.clone());
        }
        if roster.is_empty() {
            return None;
        }
        let place = |member: &crate::membership::Member| MemberPlace {
            id: member.id,
            name: member.settings.name.clone(),
            api: member.settings.api(),
        };
        let members = roster.members().map(place).collect();
        let (cluster_id, authority) = (node.cluster().to_string(), node.authority());
        let list = MemberList { cluster_id, version, authority, members };
        let value = header_value(&list);
        *made = Some((version, value.clone()));
        Some(value)
    }
}

/// JSON escapes all that a header must not hold, but for DEL, which a member's name may have.
fn header_value(list: &MemberList) -> HeaderValue {
    const DEL: u8 = 0x7f;
    let escaped = |byte: &u8| match *byte {
        DEL => b"\\u007f".to_vec(), // only a text holds one
        other => vec![other],
    };
    let text: Vec<u8> = json(list).iter().flat_map(escaped).collect();
    HeaderValue::from_bytes(&text).expect("no control character is left")
}
