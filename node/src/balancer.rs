//! `quorate lb config`: settings for a load balancer that follows the leader.
//!
//! The balancer asks each member's `/leader`, without credentials, and sends clients where that is
//! 200. Sessions with a member that is not the leader any more are ended, so that no client goes on
//! talking to it.

use clap::{Args, Subcommand};
use quorate_core::api::MemberList;

use crate::cli::NodesArguments;
use crate::command;
use crate::exit::Exit;
use crate::nodes::Nodes;
use crate::profiles::ProfileError;

/// What can be done for load balancers.
#[derive(Debug, Subcommand)]
pub enum BalancerCommand {
    /// Print settings
    #[command(subcommand)]
    Config(ConfigCommand),
}

/// For which load balancer.
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// A complete haproxy.cfg (HAProxy 2.2 or later)
    Haproxy(HaproxyArguments),
}

/// What HAProxy is to do.
#[derive(Args, Clone, Debug)]
pub struct HaproxyArguments {
    /// The service's port on each member
    #[arg(long, value_name = "PORT")]
    service_port: u16,
    /// Where HAProxy listens for clients
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "*:80")]
    listen: String,
    /// Send clients to a replica instead of the leader
    #[arg(long)]
    replica: bool,
    /// Whom to ask
    #[command(flatten)]
    nodes: NodesArguments,
}

/// Asks for the members, and prints.
pub fn run(BalancerCommand::Config(ConfigCommand::Haproxy(arguments)): BalancerCommand) -> Exit {
    command::run(async {
        let mut nodes = Nodes::of(&arguments.nodes)?;
        let status = nodes.status().await?;
        let list = nodes.members().ok_or(ProfileError::NotFounded)?;
        command::print(haproxy(&arguments, &status.cluster, list).as_bytes())
    })
}

/// A member that answers nothing is left after about a second, a new leader is found after a
/// quarter of one.
fn haproxy(arguments: &HaproxyArguments, cluster: &str, list: &MemberList) -> String {
    let HaproxyArguments { service_port, listen, replica, .. } = arguments;
    let part = if *replica { "replica" } else { "leader" };
    let mut text = format!(
        "# {part} of cluster {cluster}, members as of log index {}: quorate lb config haproxy
defaults
    mode tcp
    timeout connect 1s
    timeout client 1m
    timeout server 1m
    timeout check 500ms

frontend {part}
    bind {listen}
    default_backend {part}

backend {part}
    option httpchk HEAD /{part}
    http-check expect status 200
    default-server inter 250ms fall 2 rise 1 on-marked-down shutdown-sessions
",
        list.version
    );
    for member in &list.members {
        let (host, port) = (member.api.ip(), member.api.port());
        let name: String = member.name.chars().map(|c| if is_plain(c) { c } else { '_' }).collect();
        let id = member.id;
        text += &format!("    server {id}-{name} {host}:{service_port} check port {port}\n");
    }
    text
}

/// Whether HAProxy takes it in a name.
fn is_plain(c: char) -> bool {
    c.is_ascii_alphanumeric() || "-_.:".contains(c)
}
