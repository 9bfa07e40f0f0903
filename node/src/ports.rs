//! `quorate ports`: every port that a daemon listens on, for firewalls and their authors.

use std::path::PathBuf;

use clap::Args;
use quorate_core::config::{API_PORT, CONSENSUS_PORT, MEMBERSHIP_PORT, Settings};
use serde::Serialize;

use crate::command::{self, CommandError};
use crate::daemon;
use crate::exit::Exit;

/// Whose ports.
#[derive(Args, Clone, Debug)]
pub struct PortsArguments {
    /// Those of the node with these settings; without it the defaults
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// For programs
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct PortsOutput {
    version: u32,
    ports: Vec<Port>,
}

/// One port that a daemon listens on.
#[derive(Clone, Copy, Serialize)]
struct Port {
    port: u16,
    protocol: &'static str,
    name: &'static str,
    /// Who connects to it: `members`, or `members and clients`.
    from: &'static str,
    what_for: &'static str,
}

/// Prints them. Wrong settings end with 2.
pub fn run(arguments: &PortsArguments) -> Exit {
    let settings = match arguments.config.as_deref().map(daemon::settings_of).transpose() {
        Ok(settings) => settings,
        Err(error) => {
            eprintln!("{error}");
            return Exit::Usage;
        }
    };
    print(ports(settings.as_ref()), arguments.json).unwrap_or_else(|error| {
        eprintln!("{error}");
        error.exit()
    })
}

/// Those of a node with these settings; without any, the defaults.
fn ports(settings: Option<&Settings>) -> Vec<Port> {
    let (consensus, membership, api) = match settings {
        Some(settings) => {
            let place = settings.place().expect("settings were validated");
            let api = settings.api.enabled.then_some(place.api_port);
            (place.consensus_port, place.membership_port, api)
        }
        None => (CONSENSUS_PORT, MEMBERSHIP_PORT, Some(API_PORT)),
    };
    let port = |port, protocol, name, what_for| {
        let from = if name == "api" { "members and clients" } else { "members" };
        Port { port, protocol, name, from, what_for }
    };
    let mut ports = vec![
        port(consensus, "tcp", "consensus", "the log: votes, entries, snapshots, forwarded writes"),
        port(membership, "udp", "membership", "heartbeats and gossip"),
        port(membership, "tcp", "membership", "the same where UDP is blocked"),
    ];
    let what_for = "key-value, status, cluster control, health, metrics";
    ports.extend(api.map(|api| port(api, "tcp", "api", what_for)));
    ports
}

fn print(ports: Vec<Port>, json: bool) -> Result<Exit, CommandError> {
    if json {
        return command::print_json(&PortsOutput { version: 1, ports });
    }
    let mut text = format!("{:<12}{:<12}{:<22}{}\n", "PORT", "NAME", "FROM", "WHAT FOR");
    for Port { port, protocol, name, from, what_for } in ports {
        text += &format!("{:<12}{name:<12}{from:<22}{what_for}\n", format!("{port}/{protocol}"));
    }
    command::print(text.as_bytes())
}
