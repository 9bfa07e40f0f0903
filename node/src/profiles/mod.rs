//! `quorate profiles`: which cluster the commands ask, and where its members are.
//!
//! A profile is made from any member's address. From then on it follows the cluster by itself:
//! each answer carries the member list, and a newer one replaces the one that is kept.

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
use crate::nodes::{Nodes, exit_of};
use crate::place::{Place, PlaceError};

/// What can be done with profiles.
#[derive(Debug, Subcommand)]
pub enum ProfilesCommand {
    /// Use a cluster from here on: any member's address, several with commas between, or the name
    /// of a profile that exists
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
        ProfilesCommand::Use { target, name, fingerprint } => {
            make_current(&store, &target, name, fingerprint)?;
        }
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

fn make_current(
    store: &Store,
    target: &str,
    name: Option<String>,
    fingerprint: Option<Fingerprint>,
) -> Result<(), ProfileError> {
    let known = store.load()?.profiles.remove(target).filter(|_| name.is_none());
    let pins: Vec<_> = known.iter().flat_map(Profile::fingerprints).chain(fingerprint).collect();
    let made = match &known {
        None => Some(ask(&places(target)?, pins)?),
        // It is in use whether or not anybody answers just now.
        Some(profile) => match ask(&profile.given, pins) {
            Ok(made) => Some(made),
            Err(ProfileError::Ask(ClientError::Unreachable { .. })) => None,
            Err(error) => return Err(error),
        },
    };
    let name = name.unwrap_or(target.to_owned());
    let (profile, leader) = store.change(|profiles| {
        let leader = made.as_ref().and_then(|(_, status)| status.leader_member());
        let leader = leader.map(|leader| leader.name.clone());
        if let Some((profile, _)) = made {
            check_name(profiles, &name, &profile.list)?;
            profiles.profiles.insert(name.clone(), profile);
        }
        let profile = profiles.profiles.get(&name).cloned();
        let profile = profile.ok_or(ProfileError::Unknown { name: name.clone() })?;
        profiles.current = Some(name.clone());
        Ok((profile, leader))
    })?;
    let leader = leader.map_or(String::new(), |leader| format!(", leader {leader}"));
    let members_count = profile.list.members.len();
    eprintln!(
        "profile {name} in use: cluster {}, {members_count} members{leader}",
        profile.cluster
    );
    Ok(())
}

/// Makes a profile of what the first node says that answers. Without pins whoever it is.
fn ask(given: &[Place], pins: Vec<Fingerprint>) -> Result<(Profile, Status), ProfileError> {
    let addresses = addresses_of(given)?;
    let seen = Seen::default();
    let trust = match pins.is_empty() {
        true => Trust::FirstUse(seen.clone()),
        false => Trust::Pinned(pins.clone()),
    };
    let asked = quorate_net::block_on(async {
        let mut nodes = Nodes::trusting(&addresses, trust);
        let status = nodes.status().await?;
        Ok::<_, ClientError>((status, nodes.members().cloned()))
    });
    let refused = |cause| ProfileError::File { path: "the runtime".into(), cause };
    let (status, list) = asked.map_err(refused)??;
    let list = list.ok_or(ProfileError::NotFounded)?;
    if let Some(shown) = seen.get() {
        eprintln!("fingerprint {shown} taken on trust; compare it with what the daemon logs");
    }
    let (cluster, given) = (status.cluster.clone(), given.to_vec());
    let trust = pins.into_iter().chain(seen.get()).collect();
    Ok((Profile { cluster, given, trust, list }, status))
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

fn check_name(profiles: &Profiles, name: &str, list: &MemberList) -> Result<(), ProfileError> {
    let found = list.cluster_id.clone();
    match profiles.profiles.get(name).map(|profile| profile.list.cluster_id.clone()) {
        Some(known) if known != found => {
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
    #[serde(flatten)]
    profile: &'a Profile,
}

fn print_all(profiles: &Profiles, json: bool) -> Result<Exit, CommandError> {
    let current = profiles.current.as_deref();
    if json {
        let all = profiles.profiles.iter();
        let all = all.map(|(name, profile)| ProfileOutput { name, profile }).collect();
        return command::print_json(&ListOutput { version: 1, current, profiles: all });
    }
    let mut text = format!("  {:<24}{:<24}{}\n", "PROFILE", "CLUSTER", "MEMBERS");
    for (name, profile) in &profiles.profiles {
        let star = if current == Some(name) { '*' } else { ' ' };
        let members = profile.list.members.iter().map(|member| member.name.as_str());
        let members = members.collect::<Vec<_>>().join(", ");
        text += &format!("{star} {name:<24}{:<24}{members}\n", profile.cluster);
    }
    command::print(text.as_bytes())
}

fn print_current(profiles: &Profiles, json: bool) -> Result<Exit, CommandError> {
    let current = profiles.current.as_deref().and_then(|name| {
        profiles.profiles.get(name).map(|profile| ProfileOutput { name, profile })
    });
    let Some(output) = current else {
        return Err(ClusterError::NoProfile.into());
    };
    if json {
        return command::print_json(&CurrentOutput { version: 1, profile: output });
    }
    let ProfileOutput { name, profile } = output;
    let given = profile.given.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let mut text = format!(
        "profile  {name}\ncluster  {} ({})\ngiven    {given}\nmembers  as of log index {}\n",
        profile.cluster, profile.list.cluster_id, profile.list.version
    );
    for member in &profile.list.members {
        let place = Place::from(member.api).to_string();
        text += &format!("         {:<5}{:<24}{place}\n", member.id.to_string(), member.name);
    }
    command::print(text.as_bytes())
}
