//! Asks the nodes of a cluster on behalf of a command: those that it names, or those of a profile.
//!
//! `quorate_core::api::Client` does the asking, and tries again where that is safe. What a command
//! needs besides is here: a client without a data directory, lists of any length, and exit codes.

use std::ffi::OsString;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use quorate_core::api::{
    Answered, Client, ClientError, FoundBody, KeyBody, ListOf, MemberList, WriteBody,
};
use quorate_core::ids::{LogIndex, NodeId};
use quorate_core::ports::{Blocks, Disk, Env, Lane, OpenHow};
use quorate_core::replication::Consistency;
use quorate_core::security::{Fingerprint, Trust};
use quorate_core::status::Status;
use quorate_net::{BootClock, OsEntropy, TokioNet};

use crate::cli::NodesArguments;
use crate::exit::Exit;
use crate::login::Login;
use crate::profiles::{Profile, ProfileError, Profiles, Store, addresses_of, places};

/// Where the nodes of the quick start are; asked if there is neither a profile nor an option.
const QUICK_START: [&str; 3] = ["127.0.0.11:8500", "127.0.0.12:8500", "127.0.0.13:8500"];

/// The nodes of one cluster, as one client sees them.
pub struct Nodes {
    client: Client,
    profile: Option<(Store, String)>,
    /// What the cluster is called, once that was heard.
    cluster: Option<String>,
}

/// Whom a command asks, and the profile that says so, if one does.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) addresses: Vec<SocketAddr>,
    pub(crate) list: Option<MemberList>,
    pub(crate) profile: Option<(Store, String)>,
    pub(crate) speaking: Speaking,
}

/// How nodes are spoken with.
#[derive(Clone, Debug)]
pub struct Speaking {
    /// What they show who they are by.
    pub trust: Trust,
    /// As whom they are asked; `None` for nobody.
    pub login: Option<Login>,
}

impl Asked {
    /// By the arguments, else by the environment, else by the profile in use.
    pub(crate) fn of(
        arguments: &NodesArguments,
        variable: impl Fn(&str) -> Option<OsString>,
    ) -> Result<Asked, ProfileError> {
        let login = |kept| Login::of(&arguments.login, &variable, kept);
        let alone = |addresses: Vec<SocketAddr>| {
            let pins = match arguments.fingerprint {
                Some(one) => vec![one],
                None => known_to_profiles(&addresses, &variable)?,
            };
            let speaking = Speaking { trust: Trust::Pinned(pins), login: login(None)? };
            Ok(Asked { addresses, list: None, profile: None, speaking })
        };
        let text = |name| variable(name)?.into_string().ok().filter(|text| !text.is_empty());
        let mut named = arguments.profile.clone();
        if !arguments.nodes.is_empty() {
            return alone(addresses_of(&arguments.nodes)?);
        }
        if let (None, Some(nodes)) = (&named, text("QUORATE_NODES")) {
            return alone(addresses_of(&places(&nodes)?)?);
        }
        named = named.or(text("QUORATE_PROFILE"));
        let store = Store::of_user(&variable);
        let mut profiles = store.as_ref().map_or(Ok(Profiles::default()), Store::load)?;
        let chosen = named.clone().or(profiles.current.take());
        let (Some(store), Some(name)) = (store, chosen) else {
            return match named {
                Some(_) => Err(ProfileError::NoHome),
                None => alone(QUICK_START.map(|at| at.parse().expect("an address")).to_vec()),
            };
        };
        let Some(profile) = profiles.profiles.remove(&name) else {
            return Err(ProfileError::Unknown { name });
        };
        let mut addresses: Vec<SocketAddr> = profile.addresses().collect();
        if addresses.is_empty() {
            addresses = addresses_of(&profile.given)?;
        }
        let Profile { list, trust, login: kept, .. } = profile;
        let trust = Trust::Pinned(trust.into_iter().chain(arguments.fingerprint).collect());
        let speaking = Speaking { trust, login: login(kept)? };
        Ok(Asked { addresses, list, profile: Some((store, name)), speaking })
    }

    /// Who is ready to ask them.
    pub(crate) fn nodes(self) -> Nodes {
        let Asked { addresses, list, profile, speaking: Speaking { trust, login } } = self;
        let client = Client::new(env(), addresses).trusting(trust);
        let client = match login {
            Some(Login { user, password }) => client.with_credentials(&user, &password),
            None => client,
        };
        let client = match list {
            Some(list) => client.knowing(list),
            None => client,
        };
        Nodes { client, profile, cluster: None }
    }
}

/// What nodes that are named directly are known by: as the user's profiles know these addresses.
fn known_to_profiles(
    addresses: &[SocketAddr],
    variable: impl Fn(&str) -> Option<OsString>,
) -> Result<Vec<Fingerprint>, ProfileError> {
    let profiles = Store::of_user(&variable).map_or(Ok(Profiles::default()), |it| it.load())?;
    Ok(profiles.knowing(addresses).flat_map(|(_, profile)| profile.fingerprints()).collect())
}

impl Nodes {
    /// Nodes on this machine, asked as that user, or as nobody. Panics if `addresses` is empty:
    /// there would be nobody to ask.
    pub fn new(addresses: &[SocketAddr], login: Option<Login>) -> Nodes {
        let trust = Trust::Pinned(Vec::new());
        Nodes::speaking(addresses, Speaking { trust, login })
    }

    /// Nodes that are spoken with like that. Panics if `addresses` is empty.
    pub fn speaking(addresses: &[SocketAddr], speaking: Speaking) -> Nodes {
        Asked { addresses: addresses.to_vec(), list: None, profile: None, speaking }.nodes()
    }

    /// Those that the arguments name, else those that the environment names (each of them nodes, or
    /// else a profile), else those of the profile in use.
    pub fn of(arguments: &NodesArguments) -> Result<Nodes, ProfileError> {
        Ok(Asked::of(arguments, |name| std::env::var_os(name))?.nodes())
    }

    /// The same for so many workers; the first of them keeps the profile.
    pub fn of_workers(
        arguments: &NodesArguments,
        workers_count: usize,
    ) -> Result<Vec<Nodes>, ProfileError> {
        let first = Asked::of(arguments, |name| std::env::var_os(name))?;
        let other = Asked { profile: None, ..first.clone() };
        let others = std::iter::repeat_n(other, workers_count.saturating_sub(1));
        Ok([first].into_iter().chain(others).map(Asked::nodes).collect())
    }

    /// Who asks them.
    pub fn client(&mut self) -> &mut Client {
        &mut self.client
    }

    /// How long a call may take with all its attempts, and how long one attempt.
    #[must_use]
    pub fn with_deadline_ms(mut self, call_ms: u64, attempt_ms: u64) -> Nodes {
        self.client.set_deadline_ms(call_ms, attempt_ms);
        self
    }

    /// The newest member list that was heard of.
    pub fn members(&self) -> Option<&MemberList> {
        self.client.members()
    }

    /// Who answered last.
    pub fn address(&self) -> SocketAddr {
        self.client.address()
    }

    /// Reads one key; the value is `None` if there is none.
    pub async fn get(
        &mut self,
        key: &str,
        how: Consistency,
    ) -> Result<Answered<Option<FoundBody>>, ClientError> {
        self.client.get(key, how).await
    }

    /// Every key that begins with `prefix`, in byte order, page by page. Keys written meanwhile
    /// may be in it or not; each page is linearizable unless `how` says otherwise. Index and age
    /// are those of the oldest page.
    pub async fn list(
        &mut self,
        prefix: &str,
        keys_only: bool,
        how: Consistency,
    ) -> Result<Answered<Vec<KeyBody>>, ClientError> {
        let mut of = ListOf { prefix: prefix.to_owned(), keys_only, ..ListOf::default() };
        let first = self.client.list(&of, how).await?;
        let Answered { value: mut page, mut index, leader, mut age_ms } = first;
        let mut keys: Vec<KeyBody> = Vec::new();
        loop {
            let is_empty = page.keys.is_empty();
            keys.extend(page.keys);
            if !page.has_more || is_empty {
                return Ok(Answered { value: keys, index, leader, age_ms });
            }
            of.after = keys.last().map(|last| last.key.clone());
            let next = self.client.list(&of, how).await?;
            // Another node may have answered, and have applied less.
            (index, age_ms) = (index.min(next.index), age_ms.max(next.age_ms));
            page = next.value;
        }
    }

    /// Sets a key.
    pub async fn put(
        &mut self,
        key: &str,
        value: Bytes,
    ) -> Result<Answered<WriteBody>, ClientError> {
        self.client.put(key, value).await
    }

    /// Sets a key if its modify index is `expected` (0: no such key).
    pub async fn cas(
        &mut self,
        key: &str,
        expected: u64,
        value: Bytes,
    ) -> Result<Answered<WriteBody>, ClientError> {
        self.client.cas(key, LogIndex(expected), Some(value)).await
    }

    /// Removes a key.
    pub async fn delete(&mut self, key: &str) -> Result<Answered<WriteBody>, ClientError> {
        self.client.delete(key).await
    }

    /// The profile that these are from, if any.
    pub fn profile(&self) -> Option<&str> {
        self.profile.as_ref().map(|(_, name)| name.as_str())
    }

    /// What the leader says of itself and its cluster; without a leader, what any node says.
    pub async fn status_of_leader(&mut self) -> Result<Status, ClientError> {
        let status = self.client.status_of_leader().await?;
        Ok(self.heard(status))
    }

    /// Hands leadership to the member of that name; returns once it leads.
    pub async fn switchover(&mut self, to: &str) -> Result<NodeId, ClientError> {
        self.client.switchover(Some(to)).await
    }

    /// What a node says of itself and its cluster.
    pub async fn status(&mut self) -> Result<Status, ClientError> {
        let status = self.client.status().await?;
        Ok(self.heard(status))
    }

    fn heard(&mut self, status: Status) -> Status {
        self.cluster = Some(status.cluster.clone());
        status
    }
}

/// The profile follows: what was learnt about the members outlives the command.
impl Drop for Nodes {
    fn drop(&mut self) {
        if let Err(error) = self.keep() {
            eprintln!("the profile does not follow: {error}");
        }
    }
}

impl Nodes {
    /// Keeps a user's new password in the profile, if the profile asks as that user.
    pub fn keep_password(&self, user: &str, password: &str) -> Result<(), ProfileError> {
        let Some((store, name)) = &self.profile else { return Ok(()) };
        let is_kept = |login: &&mut Login| login.user == user;
        store.change(|profiles| {
            let profile = profiles.profiles.get_mut(name);
            if let Some(login) = profile.and_then(|known| known.login.as_mut()).filter(is_kept) {
                login.password = password.to_owned();
            }
            Ok(())
        })
    }

    /// Writes into the profile what was learnt about the members; done when this is dropped, too.
    pub fn keep(&self) -> Result<(), ProfileError> {
        let (Some((store, name)), Some(list)) = (&self.profile, self.client.members()) else {
            return Ok(());
        };
        let learnt = |profile: &Profile| {
            let mut learnt = profile.clone();
            learnt.learn(list, self.cluster.as_deref());
            (learnt != *profile).then_some(learnt)
        };
        if store.load()?.profiles.get(name).and_then(learnt).is_none() {
            return Ok(());
        }
        store.change(|profiles| {
            if let Some(profile) = profiles.profiles.get_mut(name) {
                *profile = learnt(profile).unwrap_or(profile.clone());
            }
            Ok(())
        })
    }
}

/// The exit code that says the same as the error.
pub fn exit_of(error: &ClientError) -> Exit {
    match error {
        ClientError::Refused(problem) => match problem.code.as_str() {
            "Q1001" | "Q1003" | "Q1007" | "Q1011" | "Q1012" | "Q1021" => Exit::NoLeader,
            "Q1055" | "Q1611" | "Q1621" => Exit::NoLeader,
            "Q1022" | "Q1023" | "Q1105" | "Q1609" => Exit::Conflict,
            "Q1045" | "Q1046" | "Q1622" | "Q1623" | "Q1627" => Exit::Conflict,
            "Q1056" | "Q1058" | "Q1059" => Exit::Conflict,
            "Q1041" | "Q1042" | "Q1043" | "Q1044" | "Q1071" | "Q1614" => Exit::Unauthorised,
            "Q1051" | "Q1052" | "Q1053" => Exit::Unauthorised,
            "Q1048" | "Q1050" | "Q1060" | "Q1306" | "Q1603" | "Q1628" => Exit::Usage,
            "Q1057" | "Q1106" => Exit::NotFound,
            "Q1624" => Exit::DataAtRisk,
            code if code.starts_with("Q11") => Exit::Usage,
            _ => Exit::Failed,
        },
        ClientError::OutcomeUnknown { .. } => Exit::TimedOut,
        ClientError::Unreachable { .. } => Exit::NoLeader,
        ClientError::NotTrusted { .. } => Exit::Unauthorised,
        ClientError::NotQuorate { .. } => Exit::Failed,
    }
}

/// The real world of a client: any local address, and no disk.
fn env() -> Env {
    Env {
        clock: Arc::new(BootClock),
        net: Arc::new(TokioNet::new(Ipv4Addr::UNSPECIFIED.into())), // of either family
        disk: Arc::new(NoDisk),
        entropy: Arc::new(OsEntropy),
    }
}

/// A client keeps nothing, so it has no data directory that it could lock a node out of.
#[derive(Debug)]
struct NoDisk;

impl NoDisk {
    fn refuse<T>() -> io::Result<T> {
        Err(io::Error::new(io::ErrorKind::Unsupported, "a client has no data directory"))
    }
}

impl Disk for NoDisk {
    fn open(&self, _path: &Path, _how: OpenHow) -> io::Result<Box<dyn Blocks>> {
        NoDisk::refuse()
    }

    fn read(&self, _path: &Path) -> io::Result<Option<Vec<u8>>> {
        NoDisk::refuse()
    }

    fn replace(&self, _path: &Path, _bytes: &[u8]) -> io::Result<()> {
        NoDisk::refuse()
    }

    fn list(&self, _dir: &Path) -> io::Result<Vec<PathBuf>> {
        NoDisk::refuse()
    }

    fn rename(&self, _from: &Path, _to: &Path) -> io::Result<()> {
        NoDisk::refuse()
    }

    fn remove(&self, _path: &Path) -> io::Result<()> {
        NoDisk::refuse()
    }

    fn lane(&self, name: &'static str) -> Arc<dyn Lane> {
        panic!("lane {name}: a client has no blocking work")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::login::LoginArguments;
    use quorate_core::api::{MemberPlace, Problem};

    /// A user with the profiles `used`, which is in use, at 10.0.0.1 and `other` at 10.0.0.2.
    fn user() -> tempfile::TempDir {
        let home = tempfile::tempdir().expect("a temporary directory can be made");
        let store = Store::of_user(|_| Some(home.path().into())).expect("it has a home");
        let profile = |last: u8| {
            let api = SocketAddr::from(([10, 0, 0, last], 8500));
            let members = vec![MemberPlace { id: NodeId(1), name: "n1".to_owned(), api }];
            let (cluster_id, version) = ("00".repeat(16), LogIndex(1));
            let list = Some(MemberList { cluster_id, version, authority: None, members });
            let (cluster, given) = (Some("quorate".to_owned()), vec![api.into()]);
            Profile { cluster, given, trust: vec![fingerprint(last)], login: None, list }
        };
        let kept = store.change(|profiles| {
            profiles.profiles.insert("used".to_owned(), profile(1));
            profiles.profiles.insert("other".to_owned(), profile(2));
            profiles.current = Some("used".to_owned());
            Ok(())
        });
        kept.expect("it is written");
        home
    }

    fn fingerprint(letter: u8) -> Fingerprint {
        format!("{letter:02x}").repeat(32).parse().expect("64 digits")
    }

    #[test]
    fn nodes_that_are_named_show_that_they_are_those_of_the_profile_with_their_address() {
        let home = user();
        let pins = |nodes: &[&str], own: Option<u8>, has_home: bool| {
            let nodes = nodes.iter().map(|at| at.parse().expect("a place")).collect();
            let fingerprint = own.map(fingerprint);
            let login = LoginArguments::default();
            let arguments = NodesArguments { nodes, profile: None, fingerprint, login };
            let variable =
                |name: &str| (name == "QUORATE_HOME" && has_home).then(|| home.path().into());
            match Asked::of(&arguments, variable).expect("it is well").speaking.trust {
                Trust::Pinned(pins) => pins,
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(pins(&["10.0.0.2"], None, true), [fingerprint(2)], "as a profile knows it");
        assert_eq!(pins(&["10.0.0.2", "10.0.0.1"], None, true), [fingerprint(2), fingerprint(1)]);
        assert_eq!(pins(&["10.0.0.9"], None, true), [], "no profile knows it");
        assert_eq!(pins(&["10.0.0.2"], None, false), [], "nobody");
        assert_eq!(pins(&["127.0.0.1"], Some(7), true), [fingerprint(7)]);
        assert_eq!(pins(&[], None, true), [fingerprint(1)], "the profile in use");
    }

    /// Whom a command asks first, by its options and the environment; or the code of its refusal.
    fn asked(options: &[(&str, &str)], variables: &[(&str, &str)]) -> String {
        let of = |name: &str| options.iter().find(|(option, _)| *option == name);
        let nodes = of("--node").map(|(_, at)| vec![at.parse().expect("a place")]);
        let profile = of("--profile").map(|(_, name)| (*name).to_owned());
        let (nodes, login) = (nodes.unwrap_or_default(), LoginArguments::default());
        let arguments = NodesArguments { nodes, profile, fingerprint: None, login };
        let variable = |name: &str| {
            variables.iter().find(|(known, _)| *known == name).map(|(_, value)| value.into())
        };
        match Asked::of(&arguments, variable) {
            Ok(asked) => asked.addresses[0].to_string(),
            Err(error) => error.to_string()[..5].to_owned(),
        }
    }

    #[test]
    fn options_stand_above_variables_and_these_above_the_profile_in_use() {
        let home = user();
        let home = ("QUORATE_HOME", home.path().to_str().expect("it is text"));
        let (node, profile) = (("--node", "10.0.0.9"), ("--profile", "other"));
        let (nodes, named) = (("QUORATE_NODES", "10.0.0.8"), ("QUORATE_PROFILE", "other"));
        let (no_nodes, unnamed) = (("QUORATE_NODES", ""), ("QUORATE_PROFILE", ""));
        let unknown = ("QUORATE_PROFILE", "unknown");
        assert_eq!(asked(&[node], &[home, nodes, named]), "10.0.0.9:8500");
        assert_eq!(asked(&[profile], &[home, nodes, unknown]), "10.0.0.2:8500");
        assert_eq!(asked(&[], &[home, nodes, named]), "10.0.0.8:8500");
        assert_eq!(asked(&[], &[home, no_nodes, named]), "10.0.0.2:8500");
        assert_eq!(asked(&[], &[home, no_nodes, unnamed]), "10.0.0.1:8500");
        assert_eq!(asked(&[], &[home]), "10.0.0.1:8500");
        assert_eq!(asked(&[], &[home, unknown]), "Q1756");
        // Without a home there are no profiles.
        assert_eq!(asked(&[], &[]), "127.0.0.11:8500");
        assert_eq!(asked(&[], &[named]), "Q1755");
        assert_eq!(asked(&[profile], &[]), "Q1755");
    }

    #[test]
    fn the_exit_code_of_an_error_follows_from_its_code() {
        let refused = |text: &str| exit_of(&ClientError::Refused(Problem::of(text)));
        assert_eq!(refused("Q1003 a; b; c"), Exit::NoLeader);
        assert_eq!(refused("Q1007 a; b; c"), Exit::NoLeader);
        assert_eq!(refused("Q1011 a; b; c"), Exit::NoLeader);
        assert_eq!(refused("Q1105 a; b; c"), Exit::Conflict);
        assert_eq!(refused("Q1106 a; b; c"), Exit::NotFound);
        assert_eq!(refused("Q1102 a; b; c"), Exit::Usage);
        assert_eq!(refused("Q1004 a; b; c"), Exit::Failed);
        assert_eq!(refused("Q1042 a; b; c"), Exit::Unauthorised);
        assert_eq!(refused("Q1045 a; b; c"), Exit::Conflict);
        assert_eq!(refused("Q1051 a; b; c"), Exit::Unauthorised);
        assert_eq!(refused("Q1059 a; b; c"), Exit::Conflict);
        assert_eq!(refused("Q1624 a; b; c"), Exit::DataAtRisk);
        let last = String::new();
        let unknown = ClientError::OutcomeUnknown { waited_ms: 1, last };
        assert_eq!(exit_of(&unknown), Exit::TimedOut);
        let nobody = ClientError::Unreachable { waited_ms: 1, each: String::new() };
        assert_eq!(exit_of(&nobody), Exit::NoLeader);
    }
}
