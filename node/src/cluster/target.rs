//! Whom `cluster start` and `join` are about: the one node that is ordered, and the cluster that is
//! to be joined, each by what is named or by the profile that knows it.
//!
//! Invariants
//! - An order goes to one node that was named, by an option or by `profiles use`; never to one that
//!   was guessed.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::net::SocketAddr;

use quorate_core::api::{ClientError, JoinBody, OrderedBody};

use super::ClusterError;
use crate::cli::NodesArguments;
use crate::command::CommandError;
use crate::login::Login;
use crate::nodes::{Asked, Nodes, Speaking};
use crate::place::Place;
use crate::profiles::{Profile, ProfileError, Profiles, Store, addresses_of};

/// Long enough for a joiner to be told its token, and to try again where nobody answers.
const TOKEN_MS: u64 = 10 * 60 * 1_000;

/// The node that an order is for.
pub(super) struct Target {
    pub(super) at: SocketAddr,
    pub(super) speaking: Speaking,
    profile: Option<(Store, String)>,
}

impl Target {
    /// The one that the arguments or the environment name, else the one that the profile was made
    /// from.
    pub(super) fn of(arguments: &NodesArguments) -> Result<Target, CommandError> {
        let asked = Asked::of(arguments, variable)?;
        let is_named = !arguments.nodes.is_empty()
            || variable("QUORATE_NODES").is_some_and(|nodes| !nodes.is_empty());
        let addresses = match &asked.profile {
            None if is_named => asked.addresses,
            None => Vec::new(), // those of the quick start are nobody's choice
            Some((store, name)) => match store.load()?.profiles.get(name) {
                Some(profile) => addresses_of(&profile.given)?,
                None => return Err(ProfileError::Unknown { name: name.clone() }.into()),
            },
        };
        match addresses[..] {
            [at] => Ok(Target { at, speaking: asked.speaking, profile: asked.profile }),
            _ => Err(ClusterError::NotOneNode { count: addresses.len() }.into()),
        }
    }

    /// Asks the node at `at`, which is where it was or where it will be; the profile follows it.
    pub(super) fn nodes(&self, at: SocketAddr) -> Nodes {
        let (speaking, profile) = (self.speaking.clone(), self.profile.clone());
        Asked { addresses: vec![at], list: None, profile, speaking }.nodes()
    }

    /// The node is of that cluster now, whose users hold on it: it is asked as one of them, also
    /// through the profile.
    pub(super) fn joined(&mut self, host: &Host) -> Result<(), ProfileError> {
        self.speaking.login.clone_from(&host.login);
        self.change(|profile| {
            profile.login.clone_from(&host.login);
            if let Some(list) = host.nodes.members() {
                profile.learn(list, host.cluster.as_deref());
            }
        })
    }

    /// The cluster's users do not know who asked here before.
    pub(super) fn is_stranger(&mut self) -> Result<(), ProfileError> {
        self.speaking.login = None;
        self.change(|profile| profile.login = None)?;
        if let Some((_, name)) = &self.profile {
            eprintln!("profile {name}: the cluster's users hold now; see `profiles set`");
        }
        Ok(())
    }

    fn change(&self, change: impl FnOnce(&mut Profile)) -> Result<(), ProfileError> {
        let Some((store, name)) = &self.profile else { return Ok(()) };
        store.change(|profiles| {
            profiles.profiles.get_mut(name).map(change);
            Ok(())
        })
    }
}

/// The cluster that is to be joined, as a profile knows it.
pub(super) struct Host {
    nodes: Nodes,
    /// What it is called.
    cluster: Option<String>,
    login: Option<Login>,
}

impl Host {
    /// By the profile that knows one of the addresses, which are what `members` stand for: rather
    /// the one that is named like one of them.
    pub(super) fn of(members: &[Place], addresses: &[SocketAddr]) -> Result<Host, CommandError> {
        let store = Store::of_user(variable);
        let profiles = store.as_ref().map_or(Ok(Profiles::default()), Store::load)?;
        let written: Vec<String> = members.iter().map(ToString::to_string).collect();
        let mut known: Vec<_> = profiles.knowing(addresses).collect();
        known.retain(|(_, profile)| profile.list.is_some());
        known.sort_by_key(|(name, _)| !written.contains(name));
        let Some((name, profile)) = known.first() else {
            return Err(ClusterError::NotInvited { members: written.join(", ") }.into());
        };
        // What the environment says is for the node that is ordered.
        let (keeps_login, cluster) = (profile.login.is_some(), profile.cluster.clone());
        let variable = |name: &str| {
            let is_login = ["QUORATE_USER", "QUORATE_PASSWORD", "QUORATE_FINGERPRINT"];
            variable(name).filter(|_| !keeps_login || !is_login.contains(&name))
        };
        let profile = Some((*name).clone());
        let asked = Asked::of(&NodesArguments { profile, ..NodesArguments::default() }, variable)?;
        let login = asked.speaking.login.clone();
        Ok(Host { nodes: asked.nodes(), cluster, login })
    }

    /// Makes a token and gives it to the node with the order, and where all the members are. If
    /// the order is refused, the token is taken back; if its outcome is not known, the token
    /// expires.
    pub(super) async fn let_in(
        &mut self,
        node: &mut Nodes,
        order: &mut JoinBody,
    ) -> Result<OrderedBody, ClientError> {
        let (token, made) = self.nodes.client().create_token(1, TOKEN_MS).await?;
        order.token = token.to_string();
        let members = self.nodes.members().into_iter().flat_map(|list| &list.members);
        order.nodes.extend(members.map(|member| member.api));
        let mut once = BTreeSet::new();
        order.nodes.retain(|at| once.insert(*at));
        let outcome = node.client().join_cluster(order).await;
        if let Err(ClientError::Refused(_)) = outcome
            && let Err(error) = self.nodes.client().revoke_token(made.id).await
        {
            eprintln!("token {} is not taken back: {error}", made.id);
        }
        outcome
    }
}

fn variable(name: &str) -> Option<OsString> {
    std::env::var_os(name)
}
