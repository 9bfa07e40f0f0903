//! `quorate profiles`: which cluster the commands ask, and where its members are.
//!
//! A profile is made from any member's address. From then on it follows the cluster by itself:
//! each answer carries the member list, and a newer one replaces the one that is kept. It can be
//! made from a node that waits for a cluster, too, and follows it into that.

mod store;

pub use store::{Profile, Profiles, Store};

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Subcommand;
use quorate_core::api::{ClientError, MemberList};
use quorate_core::security::{Fingerprint, Seen, Trust};
use quorate_core::status::Status;
use serde::Serialize;

use crate::cluster::ClusterError;
use crate::command::{self, CommandError};
use crate::exit::Exit;
use crate::login::{Login, LoginArguments, LoginError};
use crate::nodes::{Nodes, Speaking, exit_of};
use crate::place::{Place, PlaceError};

/// What a node without a cluster says.
const NO_CLUSTER: &str = "Q1621";

/// What can be done with profiles.
#[derive(Debug, Subcommand)]
pub enum ProfilesCommand {
    /// Use a cluster from here on: any member's address, several with commas between, the address
    /// of a node that is to start or join one, or the name of a profile that exists
    Use {
        /// Whom to ask, as ADDRESS[:PORT], or the name
        #[arg(value_name = "ADDRESS|NAME")]
        target: String,
        /// Name of the new profile; the address as it is written, if none is given
        #[arg(long)]
        name: Option<String>,
        /// What the node shows who it is by: its daemon logs it. Without it whoever answers is
        /// believed this once
        #[arg(long, value_name = "64 DIGITS", env = "QUORATE_FINGERPRINT")]
        fingerprint: Option<Fingerprint>,
        /// As whom to ask; kept in the profile
        #[command(flatten)]
        login: LoginArguments,
    },
    /// Ask as another user, or with another password, once a node has accepted it
    Set {
        /// As whom to ask
        #[command(flatten)]
        login: LoginArguments,
    },
    /// Print all profiles; the one in use has a star
    List {
        /// For programs
        #[arg(long)]
        json: bool,
    },
    /// Print the profile in use; exit code 5 if there is none
    ShowCurrent {
        /// For programs
        #[arg(long)]
        json: bool,
    },
    /// Forget a profile; the cluster does not notice
    Delete {
        /// Which
        name: String,
    },
}

/// Why a profile cannot be used or kept.
#[derive(Debug, thiserror::Error)]
pub enum ProfileError {
    /// What is written is no address.
    #[error(transparent)]
    Place(#[from] PlaceError),
    /// A name that stands for no address.
    #[error("Q1752 {place}: {cause}; nothing was done; check the name, or write an address")]
    NoAddress {
        /// What was looked up.
        place: Place,
        /// What the system said.
        cause: io::Error,
    },
    /// The file is not one of ours.
    #[error(
        "Q1753 {} is damaged: {detail}; nothing was changed; mend or remove it",
        path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        detail: String,
    },
    /// The system refuses.
    #[error("Q1754 {}: {cause}; no profile was changed; check the directory", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        cause: io::Error,
    },
    /// This user has no home directory.
    #[error("Q1755 there is no home directory; nothing was changed; set QUORATE_HOME")]
    NoHome,
    /// No profile has that name.
    #[error("Q1756 there is no profile {name:?}; nothing was changed; see `profiles list`")]
    Unknown {
        /// What was asked for.
        name: String,
    },
    /// The name is taken.
    #[error(
        "Q1757 profile {name:?} is of another cluster ({known}, this one is {found}); nothing was \
         changed; delete it first, or give another --name"
    )]
    OtherCluster {
        /// The profile.
        name: String,
        /// The id of its cluster.
        known: String,
        /// The id of the cluster that answered.
        found: String,
    },
    /// The node that answered has no members to tell of.
    #[error("Q1758 the cluster has no members yet; nothing was changed; retry when it is founded")]
    NotFounded,
    /// As whom to ask.
    #[error(transparent)]
    Login(#[from] LoginError),
    /// The cluster's words, or that nobody answered.
    #[error(transparent)]
    Ask(#[from] ClientError),
}

impl ProfileError {
    /// The exit code that says the same.
    pub fn exit(&self) -> Exit {
        match self {
            ProfileError::Place(_) | ProfileError::NoAddress { .. } => Exit::Usage,
            ProfileError::Damaged { .. } | ProfileError::File { .. } | ProfileError::NoHome => {
                Exit::Failed
            }
            ProfileError::Unknown { .. } => Exit::NotFound,
            ProfileError::OtherCluster { .. } => Exit::Conflict,
            ProfileError::NotFounded => Exit::NoLeader,
            ProfileError::Login(error) => error.exit(),
            ProfileError::Ask(error) => exit_of(error),
        }
    }
}

/// Does what the command says and prints why not.
pub fn run(command: ProfilesCommand) -> Exit {
    perform(command).unwrap_or_else(|error| {
        eprintln!("{error}");
        error.exit()
    })
}

fn perform(command: ProfilesCommand) -> Result<Exit, CommandError> {
    let store = Store::of_user(|name| std::env::var_os(name)).ok_or(ProfileError::NoHome)?;
    match command {
        ProfilesCommand::Use { target, name, fingerprint, login } => {
            make_current(&store, &target, name, (fingerprint, &login))?;
        }
        ProfilesCommand::Set { login } => set_login(&store, &login)?,
        ProfilesCommand::List { json } => return print_all(&store.load()?, json),
        ProfilesCommand::ShowCurrent { json } => return print_current(&store.load()?, json),
        ProfilesCommand::Delete { name } => store.change(|profiles| {
            if profiles.profiles.remove(&name).is_none() {
                return Err(ProfileError::Unknown { name });
            }
            profiles.current = profiles.current.take().filter(|current| *current != name);
            Ok(())
        })?,
    }
    Ok(Exit::Good)
}

/// As whom the options, the environment, or else what is kept says.
fn login_of(
    arguments: &LoginArguments,
    kept: Option<Login>,
) -> Result<Option<Login>, ProfileError> {
    Ok(Login::of(arguments, |name| std::env::var_os(name), kept)?)
}

/// The profile in use asks as another user from here on, if the cluster lets that one in.
fn set_login(store: &Store, arguments: &LoginArguments) -> Result<(), CommandError> {
    let profiles = store.load()?;
    let current = profiles
        .current
        .and_then(|name| profiles.profiles.get(&name).cloned().map(|profile| (name, profile)));
    let (name, profile) = current.ok_or(ClusterError::NoProfile)?;
    let login = login_of(arguments, profile.login.clone())?;
    let login = login.ok_or(ProfileError::from(LoginError::Nobody))?;
    let members = profile.list.iter().flat_map(|list| &list.members);
    let members = members.map(|member| Place::from(member.api));
    let places: Vec<Place> = members.chain(profile.given.iter().cloned()).collect();
    let pins = profile.fingerprints().collect();
    let (asked, _) = ask(&places, pins, Some(login.clone()))?;
    let Login { user, .. } = login.clone();
    store.change(|profiles| {
        check_name(profiles, &name, asked.list.as_ref())?;
        if let Some(profile) = profiles.profiles.get_mut(&name) {
            profile.login = Some(login);
            asked.list.iter().for_each(|list| profile.learn(list, asked.cluster.as_deref()));
        }
        Ok(())
    })?;
    eprintln!("profile {name} asks as {user}");
    Ok(())
}

fn make_current(
    store: &Store,
    target: &str,
    name: Option<String>,
    (fingerprint, login): (Option<Fingerprint>, &LoginArguments),
) -> Result<(), ProfileError> {
    let known = store.load()?.profiles.remove(target).filter(|_| name.is_none());
    let pins: Vec<_> = known.iter().flat_map(Profile::fingerprints).chain(fingerprint).collect();
    let is_login_given = login.is_given();
    let login = login_of(login, known.as_ref().and_then(|profile| profile.login.clone()))?;
    let made = match &known {
        None => Some(ask(&places(target)?, pins, login)?),
        // It is in use whether or not anybody answers just now.
        Some(profile) => match ask(&profile.given, pins, login) {
            Ok(made) => Some(made),
            Err(ProfileError::Ask(ClientError::Unreachable { .. })) if !is_login_given => None,
            Err(error) => return Err(error),
        },
    };
    let name = name.unwrap_or(target.to_owned());
    let (profile, leader) = store.change(|profiles| {
        let status = made.as_ref().and_then(|(_, status)| status.as_ref());
        let leader = status.and_then(Status::leader_member).map(|leader| leader.name.clone());
        if let Some((profile, _)) = made {
            check_name(profiles, &name, profile.list.as_ref())?;
            profiles.profiles.insert(name.clone(), profile);
        }
        let profile = profiles.profiles.get(&name).cloned();
        let profile = profile.ok_or(ProfileError::Unknown { name: name.clone() })?;
        profiles.current = Some(name.clone());
        Ok((profile, leader))
    })?;
    let leader = leader.map_or(String::new(), |leader| format!(", leader {leader}"));
    match &profile.list {
        None => eprintln!("profile {name} in use: it waits for `cluster start` or `cluster join`"),
        Some(list) => eprintln!(
            "profile {name} in use: cluster {}, {} members{leader}",
            profile.cluster.as_deref().unwrap_or(&list.cluster_id),
            list.members.len(),
        ),
    }
    Ok(())
}

/// Makes a profile of what the first node says that answers. Without pins whoever it is. There is
/// no status of a node that waits for a cluster.
fn ask(
    given: &[Place],
    pins: Vec<Fingerprint>,
    login: Option<Login>,
) -> Result<(Profile, Option<Status>), ProfileError> {
    let addresses = addresses_of(given)?;
    let seen = Seen::default();
    let trust = match pins.is_empty() {
        true => Trust::FirstUse(seen.clone()),
        false => Trust::Pinned(pins.clone()),
    };
    let asked = quorate_net::block_on(async {
        // Whoever it is hears no password before it has been said who it is.
        let strangers = Speaking { trust: trust.clone(), login: None };
        Nodes::speaking(&addresses, strangers).client().find().await?;
        if let Some(shown) = seen.get() {
            eprintln!("fingerprint {shown} taken on trust; compare it with what the daemon logs");
        }
        let mut nodes = Nodes::speaking(&addresses, Speaking { trust, login: login.clone() });
        let status = match nodes.status().await {
            Err(ClientError::Refused(problem)) if problem.code == NO_CLUSTER => None,
            status => Some(status?),
        };
        Ok::<_, ClientError>((status, nodes.members().cloned()))
    });
    let refused = |cause| ProfileError::File { path: "the runtime".into(), cause };
    let (status, list) = asked.map_err(refused)??;
    if status.is_some() && list.is_none() {
        return Err(ProfileError::NotFounded);
    }
    let cluster = status.as_ref().map(|status| status.cluster.clone());
    let given = given.to_vec();
    let trust = pins.into_iter().chain(seen.get()).collect();
    Ok((Profile { cluster, given, trust, login, list }, status))
}

/// The places in a text, with commas between.
pub fn places(text: &str) -> Result<Vec<Place>, ProfileError> {
    Ok(text.split(',').map(str::parse).collect::<Result<_, _>>()?)
}

/// The addresses of all places, in their order. A name that has none fails only if no other place
/// has one.
pub fn addresses_of(places: &[Place]) -> Result<Vec<SocketAddr>, ProfileError> {
    let mut failed = None;
    let mut found = Vec::new();
    for place in places {
        match place.resolve() {
            Ok(addresses) => found.extend(addresses),
            Err(cause) => failed = Some(ProfileError::NoAddress { place: place.clone(), cause }),
        }
    }
    failed.filter(|_| found.is_empty()).map_or(Ok(found), Err)
}

/// A profile that has a cluster keeps to it.
fn check_name(
    profiles: &Profiles,
    name: &str,
    list: Option<&MemberList>,
) -> Result<(), ProfileError> {
    let known = profiles.profiles.get(name).and_then(|profile| profile.list.as_ref());
    let found = list.map(|list| &list.cluster_id);
    match known.map(|known| &known.cluster_id) {
        Some(known) if found != Some(known) => {
            let found = found.map_or("none", |found| found);
            let (known, found) = (known.to_owned(), found.to_owned());
            Err(ProfileError::OtherCluster { name: name.to_owned(), known, found })
        }
        Some(_) | None => Ok(()),
    }
}

#[derive(Serialize)]
struct ListOutput<'a> {
    version: u32,
    current: Option<&'a str>,
    profiles: Vec<ProfileOutput<'a>>,
}

#[derive(Serialize)]
struct CurrentOutput<'a> {
    version: u32,
    #[serde(flatten)]
    profile: ProfileOutput<'a>,
}

#[derive(Serialize)]
struct ProfileOutput<'a> {
    name: &'a str,
    /// `null`, as `list` is, while there is no cluster.
    cluster: Option<&'a str>,
    given: &'a [Place],
    /// Who asks. Never the password.
    user: Option<&'a str>,
    trust: &'a [Fingerprint],
    list: Option<&'a MemberList>,
}

impl<'a> ProfileOutput<'a> {
    fn of((name, profile): (&'a String, &'a Profile)) -> ProfileOutput<'a> {
        let Profile { cluster, given, login, trust, list } = profile;
        let user = login.as_ref().map(|login| login.user.as_str());
        let (cluster, list) = (cluster.as_deref(), list.as_ref());
        ProfileOutput { name, cluster, given, user, trust, list }
    }
}

fn print_all(profiles: &Profiles, json: bool) -> Result<Exit, CommandError> {
    let current = profiles.current.as_deref();
    if json {
        let all = profiles.profiles.iter().map(ProfileOutput::of).collect();
        return command::print_json(&ListOutput { version: 1, current, profiles: all });
    }
    let mut text = format!("  {:<24}{:<24}{}\n", "PROFILE", "CLUSTER", "MEMBERS");
    for (name, profile) in &profiles.profiles {
        let star = if current == Some(name) { '*' } else { ' ' };
        let members = profile.list.iter().flat_map(|list| &list.members);
        let members: Vec<_> = members.map(|member| member.name.as_str()).collect();
        let cluster = profile.cluster.as_deref().unwrap_or("-");
        text += &format!("{star} {name:<24}{cluster:<24}{}\n", members.join(", "));
    }
    command::print(text.as_bytes())
}

fn print_current(profiles: &Profiles, json: bool) -> Result<Exit, CommandError> {
    let current = profiles.current.as_deref();
    let current = current.and_then(|name| profiles.profiles.get_key_value(name));
    let current = current.map(ProfileOutput::of);
    let Some(output) = current else {
        return Err(ClusterError::NoProfile.into());
    };
    if json {
        return command::print_json(&CurrentOutput { version: 1, profile: output });
    }
    let ProfileOutput { name, cluster, given, user, list, .. } = output;
    let given = given.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let user = user.unwrap_or("-");
    let (cluster, of) = match list {
        None => ("none yet".to_owned(), "none".to_owned()),
        Some(list) => (
            format!("{} ({})", cluster.unwrap_or("-"), list.cluster_id),
            format!("as of log index {}", list.version),
        ),
    };
    let mut text = format!(
        "profile  {name}\ncluster  {cluster}\ngiven    {given}\nuser     {user}\nmembers  {of}\n"
    );
    for member in list.iter().flat_map(|list| &list.members) {
        let place = Place::from(member.api).to_string();
        text += &format!("         {:<5}{:<24}{place}\n", member.id.to_string(), member.name);
    }
    command::print(text.as_bytes())
}
