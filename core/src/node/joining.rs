//! What a node's handle does for those who want to join its cluster: entries that change the
//! roster, written through the log from any member.

use std::time::Duration;

use bytes::Bytes;

use super::NodeHandle;
use crate::codec::{EntryKind, Identity, decode, encode};
use crate::config::MemberSettings;
use crate::error::{MembershipError, WriteError};
use crate::ids::{LogIndex, NodeId, RequestId};
use crate::membership::{Join, JoinRefusal, RosterChange, RosterOutcome};
use crate::replication::{PendingWrite, Proposed, Write};

/// How long this node may take to apply that somebody was let in.
const APPLIED_MS_MAX: u64 = 2_000;

/// Why nobody was invited or admitted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AdmissionError {
    /// The log did not take it.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// Retry helps, or another node.
    #[error(
        "Q1061 this node has not applied join token {token} yet; nothing was changed; retry, or \
         ask another node"
    )]
    NotYet {
        /// The token.
        token: LogIndex,
    },
    /// The roster refuses: with the code of a `JoinRefusal`, or Q1032.
    #[error("{text}")]
    Refused {
        /// All of what is to be said.
        text: String,
    },
}

impl AdmissionError {
    fn of(refusal: JoinRefusal) -> AdmissionError {
        AdmissionError::Refused { text: refusal.to_string() }
    }
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
    ///
    /// Who shows no token of this cluster writes nothing into its log. And a request id that was
    /// used before is answered as it was then, whatever that was about: the member that comes back
    /// is who asks, by its key, or nobody is let in.
    pub async fn admit(&self, join: Join, request: RequestId) -> Result<NodeId, AdmissionError> {
        let (token, public_key) = (join.token, join.public_key);
        {
            let roster = self.inner.roster.borrow();
            if roster.changed_at() < token {
                return Err(AdmissionError::NotYet { token });
            }
            roster.admissions().known(&join).map_err(AdmissionError::of)?;
        }
        let (_, outcome) = self.change_roster(&RosterChange::Join(join), request).await?;
        let id = outcome.ids.first().copied();
        let id = id.ok_or_else(|| AdmissionError::of(JoinRefusal::Unknown))?;
        let mut roster = self.inner.roster.clone();
        let applied = roster.wait_for(|roster| roster.get(id).is_some());
        let in_time = tokio::time::timeout(Duration::from_millis(APPLIED_MS_MAX), applied).await;
        let unknown = || WriteError::OutcomeUnknown { waited_ms: APPLIED_MS_MAX };
        in_time.map_err(|_| unknown())?.map_err(|_| unknown())?;
        let roster = self.inner.roster.borrow();
        match roster.get(id).and_then(|member| member.public_key) == Some(public_key) {
            true => Ok(id),
            false => Err(AdmissionError::of(JoinRefusal::Unknown)),
        }
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
