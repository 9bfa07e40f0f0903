//! `quorate cluster`: how it begins and grows, who belongs to it, how it fares, and who is to lead.

mod members;
mod orders;
mod set_active;
mod status;
mod target;
#[cfg(test)]
mod tests;
mod token;

use std::fmt;

use clap::Subcommand;
use quorate_core::ids::NodeId;
use quorate_core::status::Fact;

use crate::cli::NodesArguments;
use crate::command::{self, CommandError};
use crate::exit::Exit;
use crate::nodes::Nodes;
use crate::profiles::ProfileError;

/// What can be done with a cluster.
#[derive(Debug, Subcommand)]
pub enum ClusterCommand {
    /// Make a cluster of a node that has none: its first member, which leads it
    Start(orders::StartArguments),
    /// Let a node that has no cluster join one; ends with 0 once it has caught up
    Join(orders::JoinArguments),
    /// Invite nodes into the cluster, and take invitations back
    #[command(subcommand)]
    Token(token::TokenCommand),
    /// Who leads, who votes, how far each node is, and how many more may be lost
    Status {
        /// Whom to ask
        #[command(flatten)]
        nodes: NodesArguments,
        /// For programs
        #[arg(long)]
        json: bool,
    },
    /// Look at the members
    #[command(subcommand)]
    Nodes(MembersCommand),
    /// Hand leadership over to a member, losing nothing; ends with 0 once it leads
    SetActive {
        /// Its name, or its id as n2
        member: String,
        /// Whom to ask
        #[command(flatten)]
        nodes: NodesArguments,
    },
    /// Ask for the member list and keep it in the profile; every other command does so as well
    UpdateProfile {
        /// Whom to ask
        #[command(flatten)]
        nodes: NodesArguments,
    },
}

/// How to look at the members.
#[derive(Debug, Subcommand)]
pub enum MembersCommand {
    /// One line per member, as the leader sees it
    List {
        /// Whom to ask
        #[command(flatten)]
        nodes: NodesArguments,
        /// For programs
        #[arg(long)]
        json: bool,
    },
    /// All about one member, as the leader sees it; exit code 5 if there is none of that name
    Get {
        /// Its name, or its id as n2
        member: String,
        /// Whom to ask
        #[command(flatten)]
        nodes: NodesArguments,
        /// For programs
        #[arg(long)]
        json: bool,
    },
}

/// Why a command about members was not obeyed.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    /// Nobody has that name or id.
    #[error("Q1761 {member:?} is no member; nothing was changed; see `cluster nodes list`")]
    NoSuchMember {
        /// What was asked for.
        member: String,
    },
    /// There is nothing to do.
    #[error("Q1762 {member} leads already; nothing was changed; name another member")]
    LeadsAlready {
        /// Its name.
        member: String,
    },
    /// It was asked, and somebody else leads.
    #[error(
        "Q1763 {member} does not lead after {waited_ms} ms, {leader} does; leadership may have \
         moved; look at `cluster status` and try again"
    )]
    NotTaken {
        /// Who was to lead.
        member: String,
        /// How long was waited.
        waited_ms: u128,
        /// Who leads instead.
        leader: String,
    },
    /// An order must not reach another node than is meant.
    #[error(
        "Q1765 an order is for one node, and {count} are named; nothing was changed; \
         name the node that is to start or join with --node, or by `profiles use`"
    )]
    NotOneNode {
        /// How many were named.
        count: usize,
    },
    /// Nobody could let the node in.
    #[error(
        "Q1767 no profile knows the cluster of {members}, and no token is given; nothing was \
         changed; use `profiles use` with a member first, or give --token"
    )]
    NotInvited {
        /// Which cluster was meant.
        members: String,
    },
    /// The order was carried out, and the node is on its way.
    #[error(
        "Q1766 {name} is {node} of its cluster, and {state} after {waited_ms} ms; it goes on; \
         look at `cluster status`"
    )]
    NotReady {
        /// Its name.
        name: String,
        /// Its id.
        node: NodeId,
        /// How far it is.
        state: &'static str,
        /// How long was waited.
        waited_ms: u128,
    },
    /// The command needs a profile.
    #[error("Q1764 no profile is in use; nothing was changed; make one with `profiles use`")]
    NoProfile,
}

impl ClusterError {
    /// The exit code that says the same.
    pub fn exit(&self) -> Exit {
        match self {
            ClusterError::NoSuchMember { .. } | ClusterError::NoProfile => Exit::NotFound,
            ClusterError::LeadsAlready { .. } => Exit::Conflict,
            ClusterError::NotTaken { .. } | ClusterError::NotReady { .. } => Exit::TimedOut,
            ClusterError::NotOneNode { .. } | ClusterError::NotInvited { .. } => Exit::Usage,
        }
    }
}

/// Does what the command says and prints why not.
pub fn run(command: ClusterCommand) -> Exit {
    command::run(perform(command))
}

async fn perform(command: ClusterCommand) -> Result<Exit, CommandError> {
    match command {
        ClusterCommand::Start(arguments) => orders::start(arguments).await,
        ClusterCommand::Join(arguments) => orders::join(arguments).await,
        ClusterCommand::Token(command) => token::perform(command).await,
        ClusterCommand::Status { nodes, json } => {
            status::print(Nodes::of(&nodes)?.status().await?, json)
        }
        ClusterCommand::Nodes(MembersCommand::List { nodes, json }) => {
            members::print_all(&Nodes::of(&nodes)?.status_of_leader().await?, json)
        }
        ClusterCommand::Nodes(MembersCommand::Get { member, nodes, json }) => {
            members::print_one(&Nodes::of(&nodes)?.status_of_leader().await?, member, json)
        }
        ClusterCommand::SetActive { member, nodes } => {
            set_active::perform(&mut Nodes::of(&nodes)?, member).await
        }
        ClusterCommand::UpdateProfile { nodes } => update_profile(&nodes).await,
    }
}

async fn update_profile(arguments: &NodesArguments) -> Result<Exit, CommandError> {
    let mut nodes = Nodes::of(arguments)?;
    let Some(name) = nodes.profile().map(str::to_owned) else {
        return Err(ClusterError::NoProfile.into());
    };
    nodes.status().await?;
    nodes.keep()?;
    let list = nodes.members().ok_or(ProfileError::NotFounded)?;
    let (count, version) = (list.members.len(), list.version);
    eprintln!("profile {name}: {count} members as of log index {version}");
    command::print(b"")
}

/// What is known, and how long ago it was confirmed; a dash if nothing is.
fn shown<T: fmt::Display>(known: Option<&Fact<T>>) -> String {
    known.map_or("-".to_owned(), |known| format!("{}, {} ms ago", known.value, known.age_ms))
}
