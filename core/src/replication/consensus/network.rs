//! openraft's calls to other nodes, and the questions that travel on port 8300.
//!
//! Each kind of traffic has its own connection per peer, so that a heartbeat never waits behind a
//! snapshot, nor behind an append that waits for a disk.

use std::collections::BTreeMap;
use std::future::Future;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use openraft::errors::{NetworkError, RPCError, ReplicationClosed, StreamingError, Unreachable};
use openraft::impls::EmptyNode;
use openraft::network::{RPCOption, RaftNetworkFactory, RaftNetworkV2};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, VoteRequest, VoteResponse,
};
use openraft::raft::{TransferLeaderRequest, TransferLeaderResponse};
use openraft::type_config::alias::{SnapshotOf, VoteOf};
use serde::{Deserialize, Serialize};

use super::Types;
use super::ages::FrameAges;
use super::convert::{from_log_id, from_vote, to_entry, to_log_id, to_vote};
use super::machine::meta_of;
use crate::codec::{decode, encode};
use crate::error::WriteError;
use crate::ids::{LogIndex, NodeId, RequestId};
use crate::observe::planted;
use crate::replication::Proposed;
use crate::replication::store::{LogId, SnapshotMeta, StoredEntry, StoredVote};
use crate::rpc::{CallError, Calling, Client};

/// Bytes of a snapshot in one frame.
const PIECE_SIZE_BYTES: usize = 1 << 20;

/// What one node asks another on port 8300.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Question {
    /// Entries of the leader's log, or none: a heartbeat.
    Append {
        vote: StoredVote,
        previous: Option<LogId>,
        entries: Vec<StoredEntry>,
        committed: Option<LogId>,
    },
    /// A candidate wants a vote; `is_trial` asks whether it would get it.
    Vote { vote: StoredVote, last: Option<LogId>, is_transfer: bool, is_trial: bool },
    /// A piece of a snapshot, in order from offset 0; the last one installs it.
    SnapshotPiece {
        vote: StoredVote,
        meta: SnapshotMeta,
        /// Of this piece in the snapshot, from 0.
        offset: u64,
        bytes: Bytes,
        is_last: bool,
    },
    /// The leader hands its term over.
    Transfer { from: StoredVote, to: NodeId, last: Option<LogId> },
    /// How far must the log be applied for a linearizable read that begins now?
    ReadIndex,
    /// A write that arrived at a replica; `kind` as in `codec::EntryKind`.
    Write { kind: u8, payload: Bytes, request_id: RequestId },
}

/// The answers, in the order of the questions.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Reply {
    Append(AppendReply),
    /// `age_ms`: how long ago the voter last received a frame of an older leader.
    Vote {
        vote: StoredVote,
        is_granted: bool,
        last: Option<LogId>,
        age_ms: u64,
    },
    Snapshot {
        vote: StoredVote,
    },
    Transfer {
        is_accepted: bool,
    },
    ReadIndex(Option<LogIndex>),
    Write(Result<Proposed, WriteError>),
}

/// What became of an append.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum AppendReply {
    Success,
    PartialSuccess(Option<LogId>),
    Conflict,
    HigherVote(StoredVote),
}

/// The kinds of traffic that must not wait for each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Line {
    Append,
    Heartbeat,
    Snapshot,
    Vote,
    Forward,
}

/// All connections to other nodes on port 8300. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Lines {
    calling: Calling,
    clients: Arc<Mutex<BTreeMap<(NodeId, Line), Client>>>,
}

impl Lines {
    /// A call may take as long as a connection may take to be made; then that counts as dead.
    pub(crate) fn new(calling: Calling) -> Lines {
        Lines { calling, clients: Arc::default() }
    }

    /// Asks `to`; an answer of another kind than the question counts as none.
    pub(crate) async fn ask(
        &self,
        to: NodeId,
        line: Line,
        question: &Question,
    ) -> Result<Reply, CallError> {
        self.ask_within(to, line, question, self.calling.connect_ms_max).await
    }

    pub(crate) async fn ask_within(
        &self,
        to: NodeId,
        line: Line,
        question: &Question,
        timeout_ms: u64,
    ) -> Result<Reply, CallError> {
        let deadline = self.calling.env.clock.now().plus_ms(timeout_ms);
        let calling = self.client(to, line).call(encode(question).into(), deadline);
        let answer = calling.await?;
        decode("answer", &answer)
            .map_err(|error| CallError::NoAnswer { peer: to, detail: error.to_string() })
    }

    /// Gives up all connections on these lines: what waits in them for a better moment would arrive
    /// late, and say what is no longer meant.
    pub(super) fn hang_up(&self, lines: &[Line]) {
        let mut clients = self.clients.lock().expect("no code panics while it holds the lines");
        clients.retain(|(_, line), _| !lines.contains(line));
    }

    fn client(&self, to: NodeId, line: Line) -> Client {
        let mut clients = self.clients.lock().expect("no code panics while it holds the lines");
        let start = || Client::start(self.calling.clone(), to);
        clients.entry((to, line)).or_insert_with(start).clone()
    }
}

/// Makes openraft's connections.
pub(super) struct Factory {
    pub(super) lines: Lines,
    pub(super) ages: Arc<FrameAges>,
    /// A leader that is silent sends no entries either: to send is to be heard.
    pub(super) is_silent: Arc<AtomicBool>,
}

/// One peer on one line, as openraft calls it.
pub(super) struct Peer {
    to: NodeId,
    line: Line,
    lines: Lines,
    ages: Arc<FrameAges>,
    is_silent: Arc<AtomicBool>,
}

impl Factory {
    fn peer(&self, to: NodeId, line: Line) -> Peer {
        let (lines, ages) = (self.lines.clone(), self.ages.clone());
        Peer { to, line, lines, ages, is_silent: self.is_silent.clone() }
    }
}

impl RaftNetworkFactory<Types> for Factory {
    type Network = Peer;

    async fn new_client(&mut self, to: NodeId, _node: &EmptyNode) -> Peer {
        self.peer(to, Line::Append)
    }

    async fn new_heartbeat_client(&mut self, to: NodeId, _node: &EmptyNode) -> Peer {
        self.peer(to, Line::Heartbeat)
    }

    async fn new_snapshot_client(&mut self, to: NodeId, _node: &EmptyNode) -> Peer {
        self.peer(to, Line::Snapshot)
    }
}

fn rpc_error(error: CallError) -> RPCError<Types> {
    match error {
        CallError::Unreachable { .. } => RPCError::Unreachable(Unreachable::new(&error)),
        CallError::NoAnswer { .. } => RPCError::Network(NetworkError::new(&error)),
    }
}

fn odd_answer(reply: &Reply) -> RPCError<Types> {
    let error = io::Error::other(format!("an answer to another question: {reply:?}"));
    RPCError::Network(NetworkError::new(&error))
}

impl Peer {
    async fn ask(&self, line: Line, question: &Question) -> Result<Reply, RPCError<Types>> {
        self.lines.ask(self.to, line, question).await.map_err(rpc_error)
    }

    async fn ask_vote(
        &self,
        request: VoteRequest<Types>,
        is_trial: bool,
    ) -> Result<VoteResponse<Types>, RPCError<Types>> {
        let vote = to_vote(&request.vote);
        let last = request.last_log_id.as_ref().map(to_log_id);
        let is_transfer = request.leadership_transfer;
        // The candidate's own vote is one of the granting ones.
        let own_age_ms = self.ages.age_ms(self.lines.calling.env.clock.now());
        let question = Question::Vote { vote, last, is_transfer, is_trial };
        match self.ask(Line::Vote, &question).await? {
            Reply::Vote { vote: theirs, is_granted, last, age_ms } => {
                if !is_trial && (is_granted || theirs == vote) {
                    self.ages.note_granted(vote.term, age_ms.min(own_age_ms));
                }
                let last = last.map(from_log_id);
                Ok(VoteResponse::new(from_vote(theirs), last, is_granted))
            }
            odd => Err(odd_answer(&odd)),
        }
    }

    async fn send_pieces(
        &self,
        vote: StoredVote,
        snapshot: SnapshotOf<Types, Bytes>,
    ) -> Result<SnapshotResponse<Types>, StreamingError<Types>> {
        let meta = meta_of(&snapshot);
        let whole = snapshot.snapshot;
        let mut offset = 0;
        loop {
            let end = whole.len().min(offset + PIECE_SIZE_BYTES);
            let (bytes, is_last) = (whole.slice(offset..end), end == whole.len());
            let meta = meta.clone();
            let piece =
                Question::SnapshotPiece { vote, meta, offset: offset as u64, bytes, is_last };
            // Installing takes as long as the state is large; a wedged stream is noticed later.
            let timeout_ms = self.lines.calling.connect_ms_max * 10;
            let reply = self.lines.ask_within(self.to, Line::Snapshot, &piece, timeout_ms).await;
            match reply.map_err(rpc_error)? {
                Reply::Snapshot { vote: theirs } if is_last || theirs != vote => {
                    return Ok(SnapshotResponse::new(from_vote(theirs)));
                }
                Reply::Snapshot { .. } => offset = end,
                odd => return Err(odd_answer(&odd).into()),
            }
        }
    }
}

impl RaftNetworkV2<Types> for Peer {
    type SnapshotData = Bytes;

    async fn append_entries(
        &mut self,
        request: AppendEntriesRequest<Types>,
        _option: RPCOption,
    ) -> Result<AppendEntriesResponse<Types>, RPCError<Types>> {
        if self.is_silent.load(Ordering::Relaxed) {
            let detail = "this leader is silent".to_owned();
            return Err(rpc_error(CallError::Unreachable { peer: self.to, detail }));
        }
        self.ages.note_leader_frame(self.lines.calling.env.clock.now());
        let question = Question::Append {
            vote: to_vote(&request.vote),
            previous: request.prev_log_id.as_ref().map(to_log_id),
            entries: request.entries.into_iter().map(to_entry).collect(),
            committed: request.leader_commit.as_ref().map(to_log_id),
        };
        let asked = self.ask(self.line, &question).await;
        if asked.is_err() && planted("ack_without_quorum") {
            return Ok(AppendEntriesResponse::Success);
        }
        match asked? {
            Reply::Append(AppendReply::Success) => Ok(AppendEntriesResponse::Success),
            Reply::Append(AppendReply::PartialSuccess(upto)) => {
                Ok(AppendEntriesResponse::PartialSuccess(upto.map(from_log_id)))
            }
            Reply::Append(AppendReply::Conflict) => Ok(AppendEntriesResponse::Conflict),
            Reply::Append(AppendReply::HigherVote(vote)) => {
                Ok(AppendEntriesResponse::HigherVote(from_vote(vote)))
            }
            odd => Err(odd_answer(&odd)),
        }
    }

    async fn vote(
        &mut self,
        request: VoteRequest<Types>,
        _option: RPCOption,
    ) -> Result<VoteResponse<Types>, RPCError<Types>> {
        self.ask_vote(request, false).await
    }

    async fn pre_vote(
        &mut self,
        request: VoteRequest<Types>,
        _option: RPCOption,
    ) -> Result<VoteResponse<Types>, RPCError<Types>> {
        self.ask_vote(request, true).await
    }

    async fn full_snapshot(
        &mut self,
        vote: VoteOf<Types>,
        snapshot: SnapshotOf<Types, Bytes>,
        cancel: impl Future<Output = ReplicationClosed> + Send + 'static,
        _option: RPCOption,
    ) -> Result<SnapshotResponse<Types>, StreamingError<Types>> {
        tokio::select! {
            biased;
            closed = cancel => Err(closed.into()),
            sent = self.send_pieces(to_vote(&vote), snapshot) => sent,
        }
    }

    async fn transfer_leader(
        &mut self,
        request: TransferLeaderRequest<Types>,
        _option: RPCOption,
    ) -> Result<TransferLeaderResponse<Types>, RPCError<Types>> {
        let question = Question::Transfer {
            from: to_vote(request.from_leader()),
            to: *request.to_node_id(),
            last: request.last_log_id().map(to_log_id),
        };
        match self.ask(Line::Vote, &question).await? {
            // A refusal needs no detail: the leader retries only after the next election.
            Reply::Transfer { .. } => Ok(Ok(())),
            odd => Err(odd_answer(&odd)),
        }
    }
}
