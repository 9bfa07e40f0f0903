//! What a node's handle does for those who want to join its cluster: entries that change the
//! roster, written through the log from any member.

use bytes::Bytes;

use super::NodeHandle;
use crate::codec::{EntryKind, Identity, decode, encode};
use crate::config::MemberSettings;
use crate::error::{MembershipError, WriteError};
use crate::ids::{LogIndex, NodeId, RequestId};
use crate::membership::{Join, RosterChange, RosterOutcome};
use crate::replication::{PendingWrite, Proposed, Write};

/// Why nobody was invited or admitted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AdmissionError {
    /// The log did not take it.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// The roster refuses: with the code of a `JoinRefusal`, or Q1032.
    #[error("{text}")]
    Refused {
        /// All of what is to be said.
        text: String,
    },
}

impl NodeHandle {
    /// Cluster, lineage, generation and node.
    pub fn identity(&self) -> Identity {
        self.inner.identity
    }

    /// The order by which this node started or joined its cluster, if it was one.
    pub fn order(&self) -> Option<RequestId> {
        Some(self.inner.order).filter(|order| *order != RequestId::NONE)
    }

    /// Its name, and where it listens.
    pub fn place(&self) -> &MemberSettings {
        &self.inner.place
    }

    /// Lets a node in that shows a join token; returns its id. Asking again changes nothing more.
    pub async fn admit(&self, join: Join, request: RequestId) -> Result<NodeId, AdmissionError> {
        let (_, outcome) = self.change_roster(&RosterChange::Join(join), request).await?;
        Ok(*outcome.ids.first().expect("a join is about one member"))
    }

    /// Makes a join token; returns its id.
    ///
    /// `expires_at_ms` is wall time in milliseconds since 1970, as this node's own clock has it.
    pub async fn invite(
        &self,
        secret_hash: [u8; 32],
        uses_count: u32,
        expires_at_ms: u64,
        request: RequestId,
    ) -> Result<LogIndex, AdmissionError> {
        let now_ms = self.wall_ms();
        let change = RosterChange::AddToken { secret_hash, uses_count, expires_at_ms, now_ms };
        Ok(self.change_roster(&change, request).await?.0)
    }

    /// Takes a join token back.
    pub async fn revoke(&self, id: LogIndex, request: RequestId) -> Result<(), AdmissionError> {
        self.change_roster(&RosterChange::RevokeToken { id }, request).await.map(drop)
    }

    /// Milliseconds since 1970, as this node's clock has it: for what people set limits to.
    pub(crate) fn wall_ms(&self) -> u64 {
        self.inner.env.clock.wall().0
    }

    pub(super) async fn change_roster(
        &self,
        change: &RosterChange,
        request: RequestId,
    ) -> Result<(LogIndex, RosterOutcome), AdmissionError> {
        let payload: Bytes = encode(change).into();
        let (write, written) = PendingWrite::new(EntryKind::Membership, payload, request, false);
        let stopping = |_| WriteError::Stopping { this: self.node() };
        self.inner.roster_write.send(Write::New(write)).await.map_err(stopping)?;
        // A node that ends leaves it unknown.
        let unknown = |_| WriteError::OutcomeUnknown { waited_ms: 0 };
        let Proposed { index, reply, .. } = written.await.map_err(unknown)??;
        let applied: Result<RosterOutcome, String> =
            decode("roster outcome", &reply).unwrap_or_else(|error| Err(error.to_string()));
        match applied {
            Ok(outcome) => Ok((index, outcome)),
            // What the roster says of tokens is whole; the other rules complete a sentence.
            Err(text) if text.starts_with('Q') => Err(AdmissionError::Refused { text }),
            Err(detail) => {
                let text = MembershipError::Refused { detail }.to_string();
                Err(AdmissionError::Refused { text })
            }
        }
    }
}
