//! The command line: what can be asked, in the words of the help texts.
//!
//! An edge: it parses, calls one function, and turns what that says into an exit code.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use quorate_core::security::Fingerprint;

use crate::exit::Exit;
use crate::login::LoginArguments;
use crate::place::Place;
use crate::{balancer, cluster, daemon, demo, kv, ports, profiles, users};

/// Keeps a service alive on a handful of machines.
#[derive(Debug, Parser)]
#[command(name = "quorate", version, after_help = EXIT_CODES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

const EXIT_CODES: &str = "Exit codes: 0 done, 1 failed, 2 wrong usage or input, 3 degraded, \
    4 no leader, 5 not found, 6 conflict, 7 not let in, 8 timed out (may still take effect), \
    9 refused because data could be lost, 10 partly done, 130 interrupted.";

#[derive(Debug, Subcommand)]
enum Command {
    /// Run a node on this machine
    #[command(subcommand)]
    Node(NodeCommand),
    /// Choose the cluster that the other commands ask
    #[command(subcommand)]
    Profiles(profiles::ProfilesCommand),
    /// Read and write keys
    #[command(subcommand)]
    Kv(kv::KvCommand),
    /// Start or join a cluster, look at it, and say who is to lead
    #[command(subcommand)]
    Cluster(cluster::ClusterCommand),
    /// Say who may ask the cluster, and as what
    #[command(subcommand)]
    Users(users::UsersCommand),
    /// Print every port that a daemon listens on
    Ports(ports::PortsArguments),
    /// Print settings for a load balancer that follows the leader
    #[command(subcommand)]
    Lb(balancer::BalancerCommand),
    /// Show on this machine, in a minute, that a dead leader and half a dead cluster lose nothing
    Demo(demo::DemoArguments),
    /// Write random values to a running cluster, each acknowledged one into a ledger first
    #[command(hide = true)]
    DemoWriter(demo::writer::WriterArguments),
    /// Compare ledgers with what nodes show and with what lies in data directories
    #[command(hide = true)]
    DemoVerdict(demo::check::CheckArguments),
}

#[derive(Debug, Subcommand)]
enum NodeCommand {
    /// Run this node until SIGTERM, which hands leadership over and ends with 0
    Run {
        /// The settings; `node/quorate.toml` in the sources is a commented example. Environment
        /// variables such as QUORATE_NODE_NAME, QUORATE_DATA_DIR and QUORATE_LEASE_MS stand above
        /// its lines; QUORATE_LOG filters the log and QUORATE_LOG_FORMAT is text or json
        #[arg(long, value_name = "FILE", env = "QUORATE_CONFIG")]
        config: PathBuf,
    },
}

/// Whom to ask.
#[derive(Args, Clone, Debug, Default)]
pub struct NodesArguments {
    /// APIs of the nodes to ask, instead of those of a profile; any member will do. QUORATE_NODES
    /// says the same. Without a profile: the three of the quick start, 127.0.0.11 to 127.0.0.13
    #[arg(long = "node", value_name = "ADDRESS[:PORT]", value_delimiter = ',')]
    pub nodes: Vec<Place>,
    /// The profile to use for this command. QUORATE_PROFILE says the same
    #[arg(long, value_name = "NAME", conflicts_with = "nodes")]
    pub profile: Option<String>,
    /// What a node shows who it is by: its daemon logs it. Without it nodes of --node on other
    /// machines must be in a profile
    #[arg(long, value_name = "64 DIGITS", env = "QUORATE_FINGERPRINT")]
    pub fingerprint: Option<Fingerprint>,
    /// As whom to ask
    #[command(flatten)]
    pub login: LoginArguments,
}

/// Parses the process's arguments and does what they say. Wrong usage ends the process with 2.
pub fn main() -> Exit {
    #[cfg(feature = "planted-bugs")]
    if let Ok(bug) = std::env::var("QUORATE_PLANTED_BUG") {
        quorate_core::observe::plant_everywhere(bug);
    }
    let Cli { command } = Cli::parse();
    match command {
        Command::Node(NodeCommand::Run { config }) => daemon::run(&config),
        Command::Profiles(command) => profiles::run(command),
        Command::Kv(command) => kv::run(command),
        Command::Cluster(command) => cluster::run(command),
        Command::Users(command) => users::run(command),
        Command::Ports(arguments) => ports::run(&arguments),
        Command::Lb(command) => balancer::run(command),
        Command::Demo(arguments) => demo::run(&arguments),
        Command::DemoWriter(arguments) => demo::writer::run(&arguments),
        Command::DemoVerdict(arguments) => demo::check::run(&arguments),
    }
}

/// `text` as a key, or its Q code: a key is UTF-8.
pub fn key(text: OsString) -> Result<String, quorate_core::key_value::KeyValueError> {
    text.into_string().map_err(|text| {
        let valid = text.as_encoded_bytes().utf8_chunks().next();
        let valid_size_bytes = valid.map_or(0, |chunk| chunk.valid().len() as u64);
        quorate_core::key_value::KeyValueError::KeyNotUtf8 { valid_size_bytes }
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStringExt;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        use clap::CommandFactory;
        Cli::command().debug_assert();
    }

    #[test]
    fn a_key_that_is_not_utf8_is_refused_with_its_code() {
        let refused = key(OsString::from_vec(vec![b'a', b'b', 0xff])).unwrap_err();
        let expected = "Q1103 the key is not UTF-8 after byte 2;";
        assert!(refused.to_string().starts_with(expected), "{refused}");
    }
}
