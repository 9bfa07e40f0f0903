//! The applied state: the application's machine, the cluster's own records, the request table.
//!
//! Invariants
//! - The same entries give the same state on every node.
//! - An entry is applied once, in the order of the log; a request id is executed once.
//! - A snapshot holds all of it: restoring one is as good as applying the entries.

use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::consensus::Outcome;
use super::machine::{SnapshotJob, StateMachine};
use super::requests::Requests;
use super::store::{LogId, SnapshotMeta, StoredVoters};
use crate::codec::{
    CodecError, Entry, EntryKind, Section, SnapshotKind, decode, decode_sections, encode,
    encode_sections,
};
use crate::ids::{LogIndex, RequestId};
use crate::leader::record::LeadershipRecords;
use crate::leader::{Record, RecordApplied};
use crate::membership::{Roster, RosterChange};
use crate::observe::{mark, planted};

/// What the cluster knows of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ClusterState {
    pub(crate) roster: Roster,
    pub(crate) leadership: LeadershipRecords,
    /// Where the last leadership record stands.
    pub(crate) leadership_at: LogIndex,
}

/// Told of what is applied. Called in log order, on the node's thread.
pub(crate) trait Listener: Send {
    /// A leadership record was applied, or refused.
    fn record_applied(&self, applied: RecordApplied);
    /// The roster is another one now.
    fn roster_changed(&self, roster: &Roster);
}

/// Everything that the log makes.
pub(crate) struct Applied {
    meta: SnapshotMeta,
    machine: Box<dyn StateMachine>,
    cluster: ClusterState,
    requests: Requests,
    since_snapshot_bytes: u64,
    listener: Option<Arc<dyn Listener + Sync>>,
}

impl Applied {
    /// The state before the first entry.
    pub(crate) fn new(machine: Box<dyn StateMachine>) -> Applied {
        Applied {
            meta: SnapshotMeta::default(),
            machine,
            cluster: ClusterState::default(),
            requests: Requests::default(),
            since_snapshot_bytes: 0,
            listener: None,
        }
    }

    /// Tells `listener` from here on, beginning with what stands.
    pub(crate) fn listen(&mut self, listener: Arc<dyn Listener + Sync>) {
        self.listener = Some(listener);
        self.tell_all();
    }

    /// What has been applied.
    pub(crate) fn meta(&self) -> &SnapshotMeta {
        &self.meta
    }

    /// Index of the last applied entry.
    pub(crate) fn index(&self) -> LogIndex {
        self.meta.last.map_or(LogIndex(0), |id| id.index)
    }

    /// How many requests a repeat would be recognised by.
    pub(crate) fn requests_count(&self) -> u64 {
        self.requests.count() as u64
    }

    /// Size of the entries applied since the last snapshot was captured.
    pub(crate) fn since_snapshot_bytes(&self) -> u64 {
        self.since_snapshot_bytes
    }

    /// Asks the application's machine.
    pub(crate) fn query(&self, query: &[u8]) -> Bytes {
        self.machine.query(query)
    }

    /// The first entry of a term, which says nothing.
    pub(crate) fn apply_blank(&mut self, id: LogId) -> Outcome {
        self.advance(id);
        Outcome { index: id.index, reply: Bytes::new() }
    }

    /// The voters from here on.
    pub(crate) fn apply_voters(&mut self, id: LogId, voters: StoredVoters) -> Outcome {
        self.advance(id);
        self.meta.voters = voters;
        self.meta.voters_at = Some(id);
        Outcome { index: id.index, reply: Bytes::new() }
    }

    /// Executes an entry, unless its request was executed before.
    ///
    /// An entry that this build cannot read ends the node: skipping it would make replicas differ.
    pub(crate) fn apply_command(&mut self, id: LogId, bytes: &Bytes) -> Outcome {
        self.advance(id);
        self.since_snapshot_bytes += bytes.len() as u64;
        let entry = Entry::from_bytes(bytes).unwrap_or_else(|error| {
            panic!("committed entry {} cannot be read: {error}", id.index);
        });
        if let Some((index, reply)) = self.repeat(entry.request_id) {
            mark("request.repeated");
            return Outcome { index, reply };
        }
        let reply = self.execute(id.index, &entry);
        self.requests.remember(entry.request_id, id.index, reply.clone());
        Outcome { index: id.index, reply }
    }

    fn repeat(&self, id: RequestId) -> Option<(LogIndex, Bytes)> {
        if id == RequestId::NONE || planted("duplicate_frame_applied_twice") {
            return None;
        }
        self.requests.reply(id)
    }

    fn execute(&mut self, index: LogIndex, entry: &Entry) -> Bytes {
        match entry.kind {
            EntryKind::Application => self.machine.apply(index, &entry.payload),
            EntryKind::Leadership => self.execute_record(index, &entry.payload),
            EntryKind::Membership => self.execute_roster(index, &entry.payload),
            EntryKind::FileManifest | EntryKind::Database => {
                panic!("entry {index} is of a part that this build does not have")
            }
        }
    }

    fn execute_record(&mut self, index: LogIndex, payload: &[u8]) -> Bytes {
        let record: Record = readable(index, decode("leadership record", payload));
        let accepted = self.cluster.leadership.apply(&record);
        if accepted {
            self.cluster.leadership_at = index;
        }
        if let Some(listener) = &self.listener {
            listener.record_applied(RecordApplied { index, record, accepted });
        }
        encode(&accepted).into()
    }

    fn execute_roster(&mut self, index: LogIndex, payload: &[u8]) -> Bytes {
        let change: RosterChange = readable(index, decode("roster change", payload));
        let outcome = self.cluster.roster.apply(index, change);
        if let (Ok(_), Some(listener)) = (&outcome, &self.listener) {
            listener.roster_changed(&self.cluster.roster);
        }
        encode(&outcome).into()
    }

    fn advance(&mut self, id: LogId) {
        let next = self.index().0 + 1;
        assert!(id.index.0 == next, "entry {} is applied where {next} should be", id.index);
        self.meta.last = Some(id);
    }

    /// Captures the state; the job does the work elsewhere.
    pub(crate) fn snapshot(&mut self) -> SnapshotJob {
        mark("snapshot.taken");
        self.since_snapshot_bytes = 0;
        let application = self.machine.snapshot();
        let (cluster, mut requests) = (self.cluster.clone(), self.requests.clone());
        if planted("snapshot_without_request_table") {
            requests = Requests::default();
        }
        Box::new(move || {
            let mut sections = vec![
                Section { kind: SnapshotKind::Application, bytes: application() },
                Section { kind: SnapshotKind::Cluster, bytes: encode(&cluster).into() },
                Section { kind: SnapshotKind::Requests, bytes: encode(&requests).into() },
            ];
            let admissions = cluster.roster.admissions();
            if !admissions.is_empty() {
                let bytes = encode(admissions).into();
                sections.push(Section { kind: SnapshotKind::Admissions, bytes });
            }
            let users = cluster.roster.users();
            if !users.is_empty() {
                let bytes = encode(users).into();
                sections.push(Section { kind: SnapshotKind::Users, bytes });
            }
            encode_sections(&sections)
        })
    }

    /// Becomes the state of a snapshot. On an error nothing has changed.
    pub(crate) fn restore(&mut self, meta: SnapshotMeta, bytes: &Bytes) -> Result<(), CodecError> {
        let sections = decode_sections(bytes)?;
        let find = |kind| sections.iter().find(move |section: &&Section| section.kind == kind);
        let section = |kind: SnapshotKind, what: &'static str| {
            let found = find(kind);
            let detail = format!("no {what} section");
            found.ok_or(CodecError::Malformed { what: "snapshot", detail })
        };
        let mut cluster: ClusterState =
            decode("cluster state", &section(SnapshotKind::Cluster, "cluster")?.bytes)?;
        if let Some(admissions) = find(SnapshotKind::Admissions) {
            cluster.roster.set_admissions(decode("admissions", &admissions.bytes)?);
        }
        if let Some(users) = find(SnapshotKind::Users) {
            cluster.roster.set_users(decode("users", &users.bytes)?);
        }
        let requests = decode("requests", &section(SnapshotKind::Requests, "requests")?.bytes)?;
        let application = section(SnapshotKind::Application, "application")?;
        self.machine.restore(&application.bytes)?;
        (self.meta, self.cluster, self.requests) = (meta, cluster, requests);
        self.tell_all();
        Ok(())
    }

    fn tell_all(&self) {
        let Some(listener) = &self.listener else { return };
        listener.roster_changed(&self.cluster.roster);
        if let Some(record) = self.cluster.leadership.last().cloned() {
            let index = self.cluster.leadership_at;
            listener.record_applied(RecordApplied { index, record, accepted: true });
        }
    }
}

/// A committed entry that cannot be read ends the node, as `apply_command` says.
fn readable<T>(index: LogIndex, decoded: Result<T, CodecError>) -> T {
    decoded.unwrap_or_else(|error| panic!("committed entry {index} cannot be read: {error}"))
}
