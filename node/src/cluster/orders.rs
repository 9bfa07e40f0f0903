//! `quorate cluster start` and `join`: orders to one node that has no cluster, and the wait until
//! it is what it was ordered to be.
//!
//! The node carries the order out by itself; whoever stops waiting can look at `cluster status`.

use std::io::IsTerminal;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use clap::Args;
use quorate_core::api::{JoinBody, OrderedBody, StartBody};
use quorate_core::ids::NodeId;
use quorate_core::status::{MemberStatus, Status};
use serde::Serialize;

use super::ClusterError;
use super::target::{Host, Target};
use crate::cli::NodesArguments;
use crate::command::{self, CommandError};
use crate::exit::Exit;
use crate::nodes::{Nodes, exit_of};
use crate::place::Place;
use crate::profiles::addresses_of;

/// Between two looks at the node.
const PAUSE: Duration = Duration::from_millis(100);
/// How long one look may take.
const LOOK_MS: u64 = 500;
/// From then on people are told how far the node is.
const QUIET: Duration = Duration::from_secs(1);

/// What a node is of which no more is told.
const STRANGER: &str = "member";

/// What both orders say.
#[derive(Args, Clone, Debug)]
pub struct OrderArguments {
    /// The node that is to start or join: exactly one, or that of the profile
    #[command(flatten)]
    nodes: NodesArguments,
    /// What the node is called from here on; without it, node.name of its settings
    #[arg(long, value_name = "NAME")]
    cluster_node_name: Option<String>,
    /// Where the other nodes reach it; without it, node.address of its settings
    #[arg(long, value_name = "ADDRESS")]
    cluster_host_ip: Option<IpAddr>,
    /// Seconds to wait; afterwards the exit code is 8, and the node goes on
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    timeout: u64,
    /// For programs
    #[arg(long)]
    json: bool,
}

/// `cluster start`.
#[derive(Args, Clone, Debug)]
pub struct StartArguments {
    #[command(flatten)]
    order: OrderArguments,
}

/// `cluster join`.
#[derive(Args, Clone, Debug)]
pub struct JoinArguments {
    /// Any members of the cluster, as ADDRESS[:PORT]. Without a token a profile has to know one
    #[arg(value_name = "ADDRESS", required = true, value_delimiter = ',')]
    members: Vec<Place>,
    /// The text that `cluster token create` has printed
    #[arg(long, env = "QUORATE_JOIN_TOKEN", hide_env_values = true)]
    token: Option<String>,
    /// Let it vote as soon as it has caught up, even if the number of voters is even then
    #[arg(long)]
    vote: bool,
    #[command(flatten)]
    order: OrderArguments,
}

#[derive(Serialize)]
struct OrderedOutput<'a> {
    version: u32,
    cluster_id: &'a str,
    node: &'a str,
    name: &'a str,
    api: SocketAddr,
    state: &'static str,
}

/// Makes a cluster of the node.
pub(super) async fn start(arguments: StartArguments) -> Result<Exit, CommandError> {
    let StartArguments { order } = arguments;
    let began = Instant::now();
    let (target, mut nodes) = found(&order).await?;
    let body = StartBody { name: order.cluster_node_name.clone(), address: order.cluster_host_ip };
    let ordered = nodes.client().start_cluster(&body).await?;
    let state = reached(&order, &ordered, (began, &target), |status| match status.leader {
        Some(leader) if leader == status.node && status.has_leader() => Ok("leader"),
        Some(_) | None => Err("does not lead yet"),
    });
    print(&order, &ordered, state.await?)?;
    let at = Place::from(ordered.api);
    eprintln!(
        "others join with `quorate profiles use THEIR_ADDRESS` and `quorate cluster join {at}`, or \
         by a token: `quorate cluster token create --node {at}`"
    );
    Ok(Exit::Good)
}

/// Lets the node join.
pub(super) async fn join(arguments: JoinArguments) -> Result<Exit, CommandError> {
    let JoinArguments { members, token, vote, order } = arguments;
    let began = Instant::now();
    let addresses = addresses_of(&members)?;
    let mut host = match token {
        Some(_) => None,
        None => Some(Host::of(&members, &addresses)?),
    };
    let (mut target, mut nodes) = found(&order).await?;
    let (name, address) = (order.cluster_node_name.clone(), order.cluster_host_ip);
    let token = token.unwrap_or_default();
    let mut body = JoinBody { name, address, nodes: addresses, token, vote };
    let ordered = match &mut host {
        None => nodes.client().join_cluster(&body).await?,
        Some(host) => host.let_in(&mut nodes, &mut body).await?,
    };
    drop(nodes);
    if let Some(host) = &host {
        target.joined(host)?;
    }
    let state = reached(&order, &ordered, (began, &target), |status| {
        if status.applied_index < status.commit_index || !status.has_leader() {
            return Err("has not caught up yet");
        }
        match status.node {
            node if status.voters.contains(&node) => Ok("voter"),
            node if !status.learners.contains(&node) => Err("is not reached by its leader yet"),
            _ if vote || will_vote(status) => Err("does not vote yet"),
            _ => Ok("learner"),
        }
    });
    let state = state.await?;
    print(&order, &ordered, state)?;
    match state {
        "learner" => eprintln!("it votes once another node joins, or at once by `join --vote`"),
        STRANGER => target.is_stranger()?,
        _ => {}
    }
    Ok(Exit::Good)
}

/// Whether the node is about to be made a voter, without having asked: an odd number would vote.
fn will_vote(status: &Status) -> bool {
    let is_alive = |id: &&NodeId| {
        let member = status.members.iter().find(|member| member.id == **id);
        **id == status.node || member.is_some_and(MemberStatus::answers)
    };
    (status.voters.len() + status.learners.iter().filter(is_alive).count()) % 2 == 1
}

/// The node that is meant, which answers; from here on it may take as long as was said.
async fn found(order: &OrderArguments) -> Result<(Target, Nodes), CommandError> {
    let target = Target::of(&order.nodes)?;
    let mut nodes = target.nodes(target.at);
    nodes.client().find().await?;
    let limit_ms = order.timeout.saturating_mul(1_000);
    Ok((target, nodes.with_deadline_ms(limit_ms, limit_ms)))
}

/// Waits until the node is as far as `judge` wants it, and returns that. The node is asked how far
/// it is once it says that it is ready: before that nobody may be let in by whom it knows.
async fn reached(
    order: &OrderArguments,
    ordered: &OrderedBody,
    (began, target): (Instant, &Target),
    judge: impl Fn(&Status) -> Result<&'static str, &'static str>,
) -> Result<&'static str, CommandError> {
    // It has the same key as before.
    let mut node = target.nodes(ordered.api).with_deadline_ms(LOOK_MS, LOOK_MS);
    let mut told = "";
    loop {
        let judged = match node.client().ready().await {
            Err(_) => Err("is not ready yet"),
            Ok(()) => match node.status().await {
                Ok(status) => judge(&status),
                // It tells strangers no more than that.
                Err(error) if exit_of(&error) == Exit::Unauthorised => Ok(STRANGER),
                Err(_) => Err("does not answer yet"),
            },
        };
        let state = match judged {
            Ok(reached) => return Ok(reached),
            Err(state) => state,
        };
        let waited = began.elapsed();
        if waited >= Duration::from_secs(order.timeout) {
            let (name, waited_ms) = (ordered.name.clone(), waited.as_millis());
            let node = ordered.node;
            return Err(ClusterError::NotReady { name, node, state, waited_ms }.into());
        }
        if waited > QUIET && told != state && std::io::stderr().is_terminal() {
            eprintln!("{} is {} of its cluster, and {state}", ordered.name, ordered.node);
            told = state;
        }
        tokio::time::sleep(PAUSE).await;
    }
}

fn print(
    order: &OrderArguments,
    ordered: &OrderedBody,
    state: &'static str,
) -> Result<(), CommandError> {
    let OrderedBody { cluster_id, node, name, api } = ordered;
    let id = node.to_string();
    if order.json {
        let api = *api;
        command::print_json(&OrderedOutput {
            version: 1,
            cluster_id,
            node: &id,
            name,
            api,
            state,
        })?;
    }
    eprintln!("{name} is {id} of cluster {cluster_id}, a {state}");
    Ok(())
}
