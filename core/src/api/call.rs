//! One call of a client: rounds of attempts, until one settles it or its time is over.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use axum::http::header::RETRY_AFTER;
use axum::http::{HeaderMap, Method, StatusCode};
use bytes::Bytes;

use super::client::ClientError;
use super::race::{Asking, Attempted, Connection, Failure, Places, Race};
use super::{INDEX_HEADER, MemberList, Problem, guard};
use crate::ids::RequestId;
use crate::observe::planted;
use crate::ports::Env;
use crate::security::Trust;
use crate::status::Status;

/// Pause between two rounds: longer than a refusal takes, shorter than an election.
const RETRY_PAUSE_MS: u64 = 20;
/// How long an address is asked alone before the next one is asked as well: longer than a node
/// needs that has nothing else to do.
const HEAD_START_MS: u64 = 50;

/// When a call may be sent again, and to two nodes at the same time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Repeat {
    /// It changes nothing.
    Read,
    /// It is applied once, however often it is sent.
    Write(RequestId),
    /// It changes nothing, and only an answer that knows of a leader settles it.
    Look,
    /// It changes nothing, and the leader is to answer; without one, whoever does.
    ReadOfLeader,
    /// Only if it cannot have taken effect; it is for the leader alone.
    IfRefused,
}

impl Repeat {
    pub(super) fn may_write(self) -> bool {
        match self {
            Repeat::Read | Repeat::Look | Repeat::ReadOfLeader => false,
            Repeat::Write(_) | Repeat::IfRefused => true,
        }
    }
}

pub(super) struct Call {
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) body: Bytes,
    pub(super) repeat: Repeat,
}

impl Call {
    pub(super) fn read(path: String) -> Call {
        Call { method: Method::GET, path, body: Bytes::new(), repeat: Repeat::Read }
    }
}

#[derive(Clone, Debug)]
pub(super) struct Reply {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

/// How a call ended: with a success, or an error and the reply that gave it.
pub(super) type Ended = Result<Reply, (ClientError, Option<Reply>)>;

/// What a reply means for its call.
enum Verdict {
    Final(Ended),
    /// Refused here; final unless another attempt may have written.
    Refused(Problem, Reply),
    /// It is a node of another cluster, or of none: final if there is nobody else.
    Foreign(Problem, Reply),
    /// Another node, or a later attempt, may tell more.
    Open,
}

/// How long what may take.
#[derive(Clone, Copy, Debug)]
struct Limits {
    call_ms: u64,
    attempt_ms: u64,
    /// A call that nobody has answered in any way ends then.
    unanswered_ms: u64,
}

/// The nodes of a cluster, and the connection to one of them.
pub(super) struct Calls {
    env: Env,
    places: Places,
    asking: Asking,
    connection: Option<Connection>,
    limits: Limits,
}

/// What is known after some attempts without a final answer.
#[derive(Default)]
struct Tried {
    may_have_written: bool,
    /// Whether a node has answered, whatever it said.
    is_answered: bool,
    problem: Option<Problem>,
    /// The refusal of a node of another cluster.
    foreign: Option<Problem>,
    /// Somebody let nobody in for a moment.
    slowed: Option<Problem>,
    /// Who answered and is no node.
    alien: Option<String>,
    /// Who answered and is not trusted.
    distrusted: Option<String>,
    /// Who answered a look, and knows of no leader.
    leaderless: Option<(SocketAddr, Reply)>,
    last: String,
    /// What each address did when it was asked last.
    each: BTreeMap<SocketAddr, String>,
}

impl Calls {
    pub(super) fn new(env: Env, given: Vec<SocketAddr>) -> Calls {
        let limits = Limits { call_ms: 10_000, attempt_ms: 2_000, unanswered_ms: 2_500 };
        let (asking, connection) = Default::default();
        Calls { env, places: Places::of(given), asking, connection, limits }
    }

    pub(super) fn trust(&mut self, trust: Trust) {
        self.asking.trust = trust;
        self.connection = None;
    }

    pub(super) fn limit_ms(&mut self, call_ms: u64, attempt_ms: u64) {
        self.limits = Limits { call_ms, attempt_ms, unanswered_ms: call_ms };
    }

    pub(super) fn authorize(&mut self, user: &str, password: &str) {
        self.asking.authorization = Some(guard::authorization(user, password));
    }

    /// Who answered last, or is asked first.
    pub(super) fn address(&self) -> SocketAddr {
        self.places.last()
    }

    pub(super) fn list(&self) -> Option<&MemberList> {
        self.places.list()
    }

    pub(super) fn learn(&mut self, list: MemberList) {
        self.places.learn(list);
    }

    /// Tries until something settles the call, or its time is over.
    pub(super) async fn perform(&mut self, call: Call) -> Ended {
        let Limits { call_ms, attempt_ms, unanswered_ms } = self.limits;
        let began = self.env.clock.now();
        let call = Rc::new(call);
        let mut tried = Tried::default();
        loop {
            let waited_ms = self.env.clock.now().ms_since(began);
            let end_ms = if tried.is_answered { call_ms } else { call_ms.min(unanswered_ms) };
            if waited_ms >= end_ms {
                return Err((tried.give_up(waited_ms), None));
            }
            let limit_ms = attempt_ms.min(end_ms - waited_ms);
            let ended = match call.repeat {
                Repeat::IfRefused | Repeat::ReadOfLeader => {
                    self.ask_leader(&call, limit_ms, &mut tried).await
                }
                Repeat::Read | Repeat::Look | Repeat::Write(_) => {
                    self.race(&call, limit_ms, &mut tried).await
                }
            };
            if let Some(ended) = ended {
                return ended;
            }
            if tried.may_have_written && call.repeat == Repeat::IfRefused {
                return Err((tried.give_up(waited_ms), None));
            }
            self.connection = None;
            let left_ms = end_ms.saturating_sub(self.env.clock.now().ms_since(began));
            tokio::time::sleep(Duration::from_millis(left_ms.min(RETRY_PAUSE_MS))).await;
        }
    }

    /// One round: asks one address after the other, the next as soon as one is late or has failed.
    async fn race(&mut self, call: &Rc<Call>, limit_ms: u64, tried: &mut Tried) -> Option<Ended> {
        let mut race = Race::new(&self.env, &self.asking, call, limit_ms);
        let mut head_start_ms = HEAD_START_MS;
        match self.connection.take() {
            // It has answered before, and may have much to do now.
            Some(kept) => {
                head_start_ms = limit_ms / 4;
                race.ask(&self.places, kept.at, Some(kept));
            }
            None => drop(race.ask_next(&self.places)),
        }
        let (mut refused, mut are_all_asked, mut has_waited) = (None, false, false);
        let (mut foreign, mut are_all_foreign) = (None, true);
        while !race.is_idle() {
            let is_late_noticed = !are_all_asked && !planted("addresses_asked_in_turn");
            let wait_ms = is_late_noticed.then_some(head_start_ms);
            if let Some(attempted) = race.first(wait_ms, &mut self.places).await {
                match self.judge(call, attempted, tried) {
                    Verdict::Final(ended) => return Some(ended),
                    Verdict::Refused(problem, reply) => refused = Some((problem, reply)),
                    Verdict::Foreign(problem, reply) => foreign = Some((problem, reply)),
                    Verdict::Open => are_all_foreign = false,
                }
                let is_harmless = !call.repeat.may_write() || !race.is_in_doubt();
                if refused.is_some() && is_harmless {
                    break;
                }
            } else if call.repeat.may_write() && race.is_in_doubt() && !has_waited {
                // A node lives and has the write: it may have much to do, as one that is known.
                (has_waited, head_start_ms) = (true, limit_ms / 4);
                continue;
            }
            head_start_ms = HEAD_START_MS;
            are_all_asked = refused.is_some() || !race.ask_next(&self.places);
        }
        let (problem, reply) = refused.or(foreign.filter(|_| are_all_foreign))?;
        if tried.may_have_written {
            tried.problem = Some(problem);
            return None;
        }
        Some(Err((ClientError::Refused(problem), Some(reply))))
    }

    /// One round for what only the leader takes: whoever answers says where it is.
    async fn ask_leader(
        &mut self,
        call: &Rc<Call>,
        limit_ms: u64,
        tried: &mut Tried,
    ) -> Option<Ended> {
        let look = Rc::new(Call { repeat: Repeat::Look, ..Call::read("/cluster".to_owned()) });
        let told = match self.race(&look, limit_ms, tried).await {
            Some(Ok(reply)) => reply,
            Some(Err(error)) => return Some(Err(error)),
            None => {
                // All were asked, and none knows of a leader: one says so in its own words.
                let (at, reply) = tried.leaderless.take()?;
                self.places.set_last(at);
                reply
            }
        };
        let leader = leader_in(&told);
        if call.repeat == Repeat::ReadOfLeader && leader.is_none_or(|at| at == self.places.last()) {
            return Some(Ok(told));
        }
        let at = leader.unwrap_or(self.places.last());
        let kept = self.connection.take().filter(|kept| kept.at == at);
        let mut race = Race::new(&self.env, &self.asking, call, limit_ms);
        race.ask(&self.places, at, kept);
        let attempted = race.first(None, &mut self.places).await?;
        match self.judge(call, attempted, tried) {
            Verdict::Final(ended) => Some(ended),
            Verdict::Refused(problem, reply) | Verdict::Foreign(problem, reply) => {
                Some(Err((ClientError::Refused(problem), Some(reply))))
            }
            // The leader is there for its members, and not for this client.
            Verdict::Open if call.repeat == Repeat::ReadOfLeader => Some(Ok(told)),
            Verdict::Open => None,
        }
    }

    /// Notes what an attempt says. The connection of one that answered is kept.
    fn judge(&mut self, call: &Call, attempted: Attempted, tried: &mut Tried) -> Verdict {
        let Attempted { at, was_sent, outcome } = attempted;
        match outcome {
            Ok((reply, connection)) => {
                let verdict = tried.judge(call, at, reply, was_sent);
                if !matches!(verdict, Verdict::Open | Verdict::Foreign(..)) {
                    self.places.set_last(at);
                    self.connection = Some(connection);
                }
                verdict
            }
            Err(Failure::NotTrusted(detail)) => {
                tried.distrusted = Some(format!("{at}: {detail}"));
                tried.note(at, detail);
                Verdict::Open
            }
            Err(Failure::Broken(detail)) => {
                let may_have_written = was_sent && call.repeat.may_write();
                tried.may_have_written |= may_have_written;
                tried.is_answered |= may_have_written; // to the question whether it is there
                tried.note(at, detail);
                Verdict::Open
            }
        }
    }
}

impl Tried {
    fn note(&mut self, at: SocketAddr, detail: String) {
        self.last = format!("{at}: {detail}");
        self.each.insert(at, detail);
    }

    /// How a reply settles the call. If that was not sent, the reply is that of somebody who was
    /// asked whether it is a node, and is none of ours.
    fn judge(&mut self, call: &Call, at: SocketAddr, reply: Reply, was_sent: bool) -> Verdict {
        if reply.status.is_success() && was_sent {
            self.is_answered = true;
            if call.repeat == Repeat::Look && leader_in(&reply).is_none() {
                self.leaderless = Some((at, reply));
                return Verdict::Open;
            }
            return Verdict::Final(Ok(reply));
        }
        let Ok(problem) = serde_json::from_slice::<Problem>(&reply.body) else {
            let detail = format!("status {} without a code of ours", reply.status);
            // Something stands between; whether it passed a write on is anyone's guess.
            self.may_have_written |= was_sent && call.repeat.may_write();
            self.alien = Some(format!("{at}: {detail}"));
            self.note(at, detail);
            return Verdict::Open;
        };
        self.note(at, problem.to_string());
        if reply.status == StatusCode::MISDIRECTED_REQUEST {
            self.foreign = Some(problem.clone());
            return Verdict::Foreign(problem, reply);
        }
        self.is_answered = true;
        if reply.status.is_server_error() {
            let is_refused = reply.status == StatusCode::SERVICE_UNAVAILABLE;
            self.may_have_written |= !is_refused && was_sent && call.repeat.may_write();
            self.problem = Some(problem);
            return Verdict::Open;
        }
        if reply.status == StatusCode::TOO_MANY_REQUESTS && is_soon(&reply) {
            self.slowed = Some(problem);
            return Verdict::Open;
        }
        // With an index the log itself refused: had an earlier attempt been applied, its reply
        // would have been repeated.
        if reply.headers.contains_key(INDEX_HEADER) {
            return Verdict::Final(Err((ClientError::Refused(problem), Some(reply))));
        }
        Verdict::Refused(problem, reply)
    }

    fn give_up(self, waited_ms: u64) -> ClientError {
        let Tried { may_have_written, alien, distrusted, last, each, .. } = self;
        let problem = self.problem.or(self.foreign).or(self.slowed);
        match (may_have_written, problem, distrusted, alien) {
            (true, ..) => ClientError::OutcomeUnknown { waited_ms, last },
            (false, Some(problem), ..) => ClientError::Refused(problem),
            (false, None, Some(detail), _) => ClientError::NotTrusted { detail },
            (false, None, None, Some(detail)) => ClientError::NotQuorate { detail },
            (false, None, None, None) => ClientError::Unreachable { waited_ms, each: told(&each) },
        }
    }
}

/// Where the leader's API is, by what a node says of its cluster.
fn leader_in(cluster: &Reply) -> Option<SocketAddr> {
    let status: Status = serde_json::from_slice(&cluster.body).ok()?;
    status.leader_member().map(|leader| leader.api)
}

/// Whether the wait that the reply asks for is over within a second.
fn is_soon(reply: &Reply) -> bool {
    let after_s = reply.headers.get(RETRY_AFTER).and_then(|after| after.to_str().ok());
    after_s.and_then(|after| after.parse().ok()).is_some_and(|after_s: u64| after_s <= 1)
}

fn told(each: &BTreeMap<SocketAddr, String>) -> String {
    let each: Vec<String> = each.iter().map(|(at, did)| format!("{at}: {did}")).collect();
    each.join(", ")
}
