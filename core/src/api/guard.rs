//! The guard at the API's door: asks for user and password, and lets each user do what its role
//! says. Where nobody set a local admin it does not exist, and anybody may ask anything.
//!
//! Who may ask is the cluster's users once this node has applied some, else its local admin. A
//! password takes tens of milliseconds to look at, on purpose, so that is done on a lane, one at a
//! time, and the node's own thread goes on; a right one is remembered as a keyed hash for as long
//! as its user's stays the same.
//!
//! Invariants
//! - A request reaches no handler behind [`ask`] without a caller that may do what it wants.
//! - While wrong passwords are slowed, nothing is compared, remembered ones neither: else guessing
//!   among these would have no limit.
//! - An unknown user costs as much time as a known one.
//! - No password, and no hash of one, is in a log line or an answer.
//!
//! Read next: [`ask`], [`Guard::admit`]; `users/slowing.rs` for who has to wait.

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::extract::{Request, State};
use axum::http::header::{AUTHORIZATION, HeaderMap, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::hmac;
use tokio::sync::oneshot;

use super::ApiError;
use super::serve::Peer;
use crate::membership::Roster;
use crate::node::NodeHandle;
use crate::observe::planted;
use crate::ports::{Env, Lane};
use crate::users::password::{UnfitPassword, check_password};
use crate::users::slowing::Slowing;
use crate::users::state::User;
use crate::users::{
    ADMIN, Access, LocalAdmin, PASSWORD_SIZE_BYTES_MAX, PasswordHash, Wish, is_password_of,
    is_user_name,
};
use crate::watch;

/// Passwords that may wait to be looked at, or to be hashed.
const WAITING_COUNT_MAX: usize = 16;
/// Right passwords that are remembered; of those beyond, the oldest is looked at again.
const REMEMBERED_COUNT_MAX: usize = 256;
/// Where a node shows a join token; that is its credential.
const ADMISSION_PATH: &str = "/api/v1/members";
/// Stands for the user among those who are slowed; no user has a name with a colon.
const JOINER: &str = "join:token";

/// Why a request was not let in.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EntryError {
    /// Retry does not help.
    #[error("Q1050 {source}; nothing was changed; choose another password")]
    Unfit {
        /// What is wrong with it.
        #[from]
        source: UnfitPassword,
    },
    /// Retry does not help.
    #[error(
        "Q1051 user or password is missing or wrong; nothing was changed; give --user and \
         --password"
    )]
    Stranger,
    /// Retry does not help.
    #[error("Q1052 {user} is a {access} and may not do this; nothing was changed; ask an admin")]
    NotAllowed {
        /// Who asks.
        user: String,
        /// What that user is.
        access: Access,
    },
    /// Retry helps after the wait.
    #[error("Q1053 what was shown before was wrong; nothing was changed; wait {wait_ms} ms")]
    Slowed {
        /// So long from now.
        wait_ms: u64,
    },
    /// Retry is safe.
    #[error("Q1054 {waiting_count} passwords wait already; nothing was changed; retry in a moment")]
    Busy {
        /// How many.
        waiting_count: usize,
    },
    /// Retry is safe, at another node too.
    #[error(
        "Q1055 the node has not applied its cluster's users yet; nothing was changed; retry, or \
         ask another node"
    )]
    NotReady,
    /// Retry does not help.
    #[error("Q1056 this node asks nobody for a password; nothing was changed; ask another node")]
    AsksNobody,
}

impl EntryError {
    pub(super) fn status(&self) -> StatusCode {
        match self {
            EntryError::Unfit { .. } => StatusCode::BAD_REQUEST,
            EntryError::Stranger => StatusCode::UNAUTHORIZED,
            EntryError::NotAllowed { .. } => StatusCode::FORBIDDEN,
            EntryError::Slowed { .. } => StatusCode::TOO_MANY_REQUESTS,
            EntryError::Busy { .. } | EntryError::NotReady => StatusCode::SERVICE_UNAVAILABLE,
            EntryError::AsksNobody => StatusCode::CONFLICT,
        }
    }

    pub(super) fn add_headers(&self, headers: &mut HeaderMap) {
        if let EntryError::Slowed { wait_ms } = self {
            headers.insert(RETRY_AFTER, HeaderValue::from(wait_ms.div_ceil(1_000)));
        } else if *self == EntryError::Stranger {
            let basic = HeaderValue::from_static("Basic realm=\"quorate\"");
            headers.insert(WWW_AUTHENTICATE, basic);
        }
    }
}

/// Who asks. An extension of every request that a [`Guard`] let in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Caller {
    pub(super) name: String,
    pub(super) access: Access,
}

impl Caller {
    /// `Ok` if the caller's role allows that.
    pub(super) fn may(&self, wish: Wish) -> Result<(), EntryError> {
        if self.access.allows(wish) {
            return Ok(());
        }
        Err(EntryError::NotAllowed { user: self.name.clone(), access: self.access })
    }
}

/// The answer was that a join token is none of ours. An extension of the response.
#[derive(Clone, Copy, Debug)]
pub(super) struct WrongToken;

type Tag = Vec<u8>;
/// From where, for whom, and with which password.
type Attempt = (IpAddr, String, Tag);

/// What changes from request to request.
#[derive(Default)]
struct Desk {
    slowing: Slowing,
    /// The newest last.
    remembered: VecDeque<Tag>,
    /// Who waits for what is being looked at.
    waiting: BTreeMap<Attempt, Vec<oneshot::Sender<bool>>>,
}

/// Asks every caller of one node for user and password.
pub(crate) struct Guard {
    env: Env,
    local_admin: LocalAdmin,
    /// `None` on a node without a cluster.
    roster: Option<watch::Receiver<Roster>>,
    lane: Arc<dyn Lane>,
    /// Of what is remembered; drawn anew at each start.
    key: hmac::Key,
    decoy: PasswordHash,
    /// New passwords that are being hashed.
    hashing_count: Arc<AtomicUsize>,
    desk: Mutex<Desk>,
}

impl Guard {
    /// For a member of a cluster; `None` if its API asks nobody.
    pub(super) fn of(node: &NodeHandle) -> Option<Arc<Guard>> {
        let local_admin = node.local_admin()?.clone();
        Some(Guard::new(node.env(), local_admin, Some(node.watch_roster())))
    }

    /// For a node without a cluster.
    pub(crate) fn of_waiting(env: &Env, local_admin: Option<&LocalAdmin>) -> Option<Arc<Guard>> {
        Some(Guard::new(env, local_admin?.clone(), None))
    }

    fn new(
        env: &Env,
        local_admin: LocalAdmin,
        roster: Option<watch::Receiver<Roster>>,
    ) -> Arc<Guard> {
        let mut key = [0; 32];
        env.entropy.fill("remembered passwords", &mut key);
        Arc::new(Guard {
            env: env.clone(),
            local_admin,
            roster,
            lane: env.disk.lane("passwords"),
            key: hmac::Key::new(hmac::HMAC_SHA256, &key),
            decoy: PasswordHash::decoy(),
            hashing_count: Arc::default(),
            desk: Mutex::default(),
        })
    }

    /// Who asks with these headers, from there.
    pub(super) async fn admit(
        self: &Arc<Guard>,
        peer: IpAddr,
        headers: &HeaderMap,
    ) -> Result<Caller, EntryError> {
        let (name, password) = credentials(headers).ok_or(EntryError::Stranger)?;
        self.check_slowed(&name, peer)?;
        let user = self.user(&name)?;
        let hash = user.as_ref().map_or(&self.decoy, |user| &user.hash);
        if password.len() > PASSWORD_SIZE_BYTES_MAX {
            self.note_failure(&name, peer);
            return Err(EntryError::Stranger);
        }
        let is_right = self.is_right(peer, &name, hash, password).await?;
        // The user may be another one by now.
        match (user, self.user(&name)?) {
            (Some(was), Some(User { hash, access })) if is_right && was.hash == hash => {
                self.desk().slowing.succeeded(&name, peer);
                Ok(Caller { name, access })
            }
            _ => Err(EntryError::Stranger),
        }
    }

    /// What is to be kept of a new password.
    pub(super) async fn hash(&self, password: String) -> Result<PasswordHash, EntryError> {
        check_password(&password)?;
        let waiting_count = self.hashing_count.fetch_add(1, Ordering::SeqCst);
        if waiting_count >= WAITING_COUNT_MAX {
            self.hashing_count.fetch_sub(1, Ordering::SeqCst);
            return Err(EntryError::Busy { waiting_count });
        }
        let mut salt = [0; 16];
        self.env.entropy.fill("password salt", &mut salt);
        let (hashed, hash) = oneshot::channel();
        let count = self.hashing_count.clone();
        // It runs to its end also if nobody waits for it any more.
        drop(self.lane.run(Box::new(move || {
            let _ = hashed.send(PasswordHash::new(&password, salt));
            count.fetch_sub(1, Ordering::SeqCst);
            Ok(())
        })));
        hash.await.map_err(|_| EntryError::NotReady)
    }

    fn check_slowed(&self, name: &str, peer: IpAddr) -> Result<(), EntryError> {
        match self.desk().slowing.wait_ms(self.env.clock.now(), name, peer) {
            Some(wait_ms) => Err(EntryError::Slowed { wait_ms }),
            None => Ok(()),
        }
    }

    fn note_failure(&self, user: &str, peer: IpAddr) {
        let slowed = self.desk().slowing.failed(self.env.clock.now(), user, peer);
        if slowed.is_news {
            let (failures_count, wait_ms) = (slowed.failures_count, slowed.wait_ms);
            tracing::warn!(user, %peer, failures_count, wait_ms, "wrong password");
        }
    }

    /// The user of that name, as of what this node has applied.
    fn user(&self, name: &str) -> Result<Option<User>, EntryError> {
        if let Some(roster) = &self.roster {
            let roster = roster.borrow();
            if !roster.users().is_empty() {
                return Ok(roster.users().get(name).cloned());
            }
        }
        if self.local_admin.is_superseded {
            return Err(EntryError::NotReady);
        }
        let hash = self.local_admin.hash.clone();
        Ok((name == ADMIN).then_some(User { hash, access: Access::Admin }))
    }

    async fn is_right(
        self: &Arc<Guard>,
        peer: IpAddr,
        name: &str,
        hash: &PasswordHash,
        password: String,
    ) -> Result<bool, EntryError> {
        let tag = self.tag(name, hash, &password);
        let (judged, verdict) = oneshot::channel();
        let attempt = (peer, name.to_owned(), tag);
        let is_first = {
            let mut desk = self.desk();
            if desk.remembered.contains(&attempt.2) {
                return Ok(true);
            }
            let waiting_count = desk.waiting.len();
            // One guess at a time: the wait after it holds for the next one.
            let is_other = |(at, user, tag): &Attempt| {
                (at, user) == (&attempt.0, &attempt.1) && tag != &attempt.2
            };
            let has_other = desk.waiting.keys().any(is_other);
            match desk.waiting.get_mut(&attempt) {
                Some(waiting) => {
                    waiting.push(judged);
                    false
                }
                None if has_other || waiting_count >= WAITING_COUNT_MAX => {
                    return Err(EntryError::Busy { waiting_count });
                }
                None => {
                    desk.waiting.insert(attempt.clone(), vec![judged]);
                    true
                }
            }
        };
        if is_first {
            self.look_at(attempt, hash.clone(), password);
        }
        verdict.await.map_err(|_| EntryError::NotReady)
    }

    /// Goes on also if nobody waits for it any more: a wrong password counts all the same.
    fn look_at(self: &Arc<Guard>, attempt: Attempt, hash: PasswordHash, password: String) {
        let guard = self.clone();
        let is_right = Arc::new(AtomicBool::new(false));
        let found = is_right.clone();
        let looking = self.lane.run(Box::new(move || {
            found.store(is_password_of(&hash, &password), Ordering::SeqCst);
            Ok(())
        }));
        tokio::task::spawn_local(async move {
            let is_looked_at = looking.await.is_ok();
            guard.judged(attempt, is_looked_at.then(|| is_right.load(Ordering::SeqCst)));
        });
    }

    /// `None` if the lane has ended: then nobody is told anything.
    fn judged(&self, attempt: Attempt, is_right: Option<bool>) {
        let waiting = self.desk().waiting.remove(&attempt).unwrap_or_default();
        let Some(is_right) = is_right else { return };
        let (peer, name, tag) = attempt;
        if is_right {
            let mut desk = self.desk();
            if !desk.remembered.contains(&tag) {
                desk.remembered.push_back(tag);
            }
            if desk.remembered.len() > REMEMBERED_COUNT_MAX {
                desk.remembered.pop_front();
            }
        } else {
            self.note_failure(&name, peer);
        }
        for judged in waiting {
            let _ = judged.send(is_right); // whoever asked may have gone
        }
    }

    /// What is remembered of a right password. Another hash of the same password has another.
    fn tag(&self, name: &str, hash: &PasswordHash, password: &str) -> Tag {
        let mut text = Vec::new();
        let phc = if planted("old_password_remembered") { "" } else { hash.phc() };
        for part in [name, phc, password] {
            text.extend((part.len() as u64).to_be_bytes());
            text.extend(part.as_bytes());
        }
        hmac::sign(&self.key, &text).as_ref().to_vec()
    }

    fn desk(&self) -> MutexGuard<'_, Desk> {
        // Whoever panics holding it ends the process.
        self.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Lets a request in whose caller may do what it wants, and refuses any other.
pub(super) async fn ask(
    State(guard): State<Option<Arc<Guard>>>,
    mut request: Request,
    next: Next,
) -> Response {
    let Some(guard) = guard else { return next.run(request).await };
    let peer = peer_of(request.extensions());
    if request.method() == Method::POST && request.uri().path() == ADMISSION_PATH {
        return ask_joiner(&guard, peer, request, next).await;
    }
    let caller = match guard.admit(peer, request.headers()).await {
        Ok(caller) => caller,
        Err(error) => return ApiError::from(error).into_response(),
    };
    if let Err(error) = caller.may(wish_of(request.method(), request.uri().path())) {
        return ApiError::from(error).into_response();
    }
    request.extensions_mut().insert(caller);
    next.run(request).await
}

/// A join token is a credential of its own, and wrong ones are slowed like passwords.
async fn ask_joiner(guard: &Guard, peer: IpAddr, request: Request, next: Next) -> Response {
    if let Err(error) = guard.check_slowed(JOINER, peer) {
        return ApiError::from(error).into_response();
    }
    let response = next.run(request).await;
    if response.extensions().get::<WrongToken>().is_some() {
        guard.note_failure(JOINER, peer);
    } else if response.status().is_success() {
        guard.desk().slowing.succeeded(JOINER, peer);
    }
    response
}

/// The address that a request comes from.
pub(super) fn peer_of(extensions: &axum::http::Extensions) -> IpAddr {
    let nobody = IpAddr::V4(Ipv4Addr::UNSPECIFIED); // only where no listener is
    extensions.get::<Peer>().map_or(nobody, |peer| peer.at.ip())
}

fn wish_of(method: &Method, path: &str) -> Wish {
    let is_below = |room: &str| path == room || path.starts_with(&format!("{room}/"));
    if method == Method::PUT && path.starts_with("/api/v1/users/") {
        return Wish::Own; // its handler knows whose it is
    }
    if is_below("/api/v1/users") || is_below("/api/v1/tokens") {
        return Wish::Govern;
    }
    if [Method::GET, Method::HEAD].contains(method) {
        return Wish::Read;
    }
    if is_below("/api/v1/kv") || path == "/api/v1/txn" { Wish::Write } else { Wish::Govern }
}

/// User and password of HTTP's Basic authentication (RFC 7617). A name that nobody can have
/// becomes the empty one, which nobody has.
fn credentials(headers: &HeaderMap) -> Option<(String, String)> {
    let (scheme, encoded) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = String::from_utf8(STANDARD.decode(encoded.trim()).ok()?).ok()?;
    let (name, password) = decoded.split_once(':')?;
    let name = if is_user_name(name) { name } else { "" };
    Some((name.to_owned(), password.to_owned()))
}

/// The header that says the same.
pub(super) fn authorization(user: &str, password: &str) -> HeaderValue {
    let encoded = STANDARD.encode(format!("{user}:{password}"));
    let mut value = HeaderValue::try_from(format!("Basic {encoded}")).expect("base64 is text");
    value.set_sensitive(true);
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_path_is_read_written_one_s_own_or_governed() {
        let table = [
            ("GET", "/cluster", Wish::Read),
            ("GET", "/metrics", Wish::Read),
            ("HEAD", "/api/v1/kv/a", Wish::Read),
            ("PUT", "/api/v1/kv/a", Wish::Write),
            ("DELETE", "/api/v1/kv/", Wish::Write),
            ("POST", "/api/v1/txn", Wish::Write),
            ("POST", "/api/v1/kvs", Wish::Govern),
            ("GET", "/api/v1/users", Wish::Govern),
            ("DELETE", "/api/v1/users/ann", Wish::Govern),
            ("PUT", "/api/v1/users/ann", Wish::Own),
            ("PUT", "/api/v1/users", Wish::Govern),
            ("GET", "/api/v1/tokens", Wish::Govern),
            ("POST", "/api/v1/tokens", Wish::Govern),
            ("POST", "/api/v1/leader/switchover", Wish::Govern),
            ("POST", "/api/v1/cluster/start", Wish::Govern),
            ("PATCH", "/anything", Wish::Govern),
        ];
        for (method, path, wish) in table {
            let method = Method::from_bytes(method.as_bytes()).expect("it is one");
            assert_eq!(wish_of(&method, path), wish, "{method} {path}");
        }
    }

    #[test]
    fn credentials_are_read_as_they_are_written_and_anything_else_is_none() {
        let read = |value: HeaderValue| {
            let mut headers = HeaderMap::new();
            headers.insert(AUTHORIZATION, value);
            let (user, password) = credentials(&headers)?;
            Some(format!("{user}|{password}"))
        };
        let text = |text: &str| read(HeaderValue::try_from(text).expect("it is text"));
        let shown = |text: &str| Some(text.to_owned());
        assert_eq!(read(authorization("ann", "a:b c")), shown("ann|a:b c"));
        assert!(authorization("ann", "a:b c").is_sensitive());
        assert_eq!(text("bAsIc YW5uOmE="), shown("ann|a"));
        assert_eq!(text("Basic OmE="), shown("|a"), "nobody has the empty name");
        assert_eq!(read(authorization(&"n".repeat(64), "a")), shown("|a"));
        for other in ["", "Basic", "Basic ", "Basic !", "Bearer YW5uOmE=", "Basic YW5u"] {
            assert_eq!(text(other), None, "{other}");
        }
    }
}
