//! Settings: what an operator writes down, and the relations that must hold between the numbers.
//!
//! Unknown keys are refused, and so are tables of parts that this build does not have. Relations
//! are checked once, by [`Settings::validate`], before anything is opened.
//!
//! Read next: [`Settings`], then `node/quorate.toml` for the commented example.

mod error;
mod security;
#[cfg(test)]
mod tests;

pub use error::ConfigError;
pub use security::SecuritySettings;

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::ids::NodeId;
use crate::observe::planted;

/// Consensus port unless set otherwise.
pub const CONSENSUS_PORT: u16 = 8300;
/// Heartbeat and membership port (TCP and UDP) unless set otherwise.
pub const MEMBERSHIP_PORT: u16 = 8301;
/// API port unless set otherwise.
pub const API_PORT: u16 = 8500;

/// All settings of one node.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// This node.
    pub node: NodeSettings,
    /// The cluster: the same on every node.
    #[serde(default = "unlisted")]
    pub cluster: ClusterSettings,
    /// The HTTP API.
    #[serde(default)]
    pub api: ApiSettings,
    /// What protects the nodes' talk with each other.
    #[serde(default)]
    pub security: SecuritySettings,
    /// Refused until the part exists.
    #[serde(default)]
    files: Option<toml::Value>,
    /// Refused until the part exists.
    #[serde(default)]
    database: Option<toml::Value>,
    /// Refused until the part exists.
    #[serde(default)]
    services: Option<toml::Value>,
}

/// `[node]`: what differs from node to node.
///
/// The place is used where `cluster.members` is not there; its ports are those of a member.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NodeSettings {
    /// Its name: one of `cluster.members`, or what it is called when it starts or joins a cluster.
    #[serde(default)]
    pub name: String,
    /// Where it keeps everything. Used by one process at a time.
    pub data_dir: PathBuf,
    /// Where the other nodes and the clients reach it, if `cluster.members` does not say so.
    pub address: Option<IpAddr>,
    /// TCP. Default 8300.
    #[serde(default = "consensus_port")]
    pub consensus_port: u16,
    /// TCP and UDP. Default 8301.
    #[serde(default = "membership_port")]
    pub membership_port: u16,
    /// TCP. Default 8500.
    #[serde(default = "api_port")]
    pub api_port: u16,
}

impl NodeSettings {
    /// A node whose place `cluster.members` says.
    pub fn listed(name: &str, data_dir: impl Into<PathBuf>) -> NodeSettings {
        NodeSettings {
            name: name.to_owned(),
            data_dir: data_dir.into(),
            address: None,
            consensus_port: CONSENSUS_PORT,
            membership_port: MEMBERSHIP_PORT,
            api_port: API_PORT,
        }
    }
}

/// One of `cluster.members`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MemberSettings {
    /// Unique in the cluster.
    pub name: String,
    /// Where the other nodes and the clients reach it.
    pub address: IpAddr,
    /// TCP. Default 8300.
    #[serde(default = "consensus_port")]
    pub consensus_port: u16,
    /// TCP and UDP. Default 8301.
    #[serde(default = "membership_port")]
    pub membership_port: u16,
    /// TCP. Default 8500.
    #[serde(default = "api_port")]
    pub api_port: u16,
}

impl MemberSettings {
    /// A member with the default ports.
    pub fn at(name: &str, address: IpAddr) -> MemberSettings {
        MemberSettings {
            name: name.to_owned(),
            address,
            consensus_port: CONSENSUS_PORT,
            membership_port: MEMBERSHIP_PORT,
            api_port: API_PORT,
        }
    }

    /// Where consensus listens.
    pub fn consensus(&self) -> SocketAddr {
        SocketAddr::new(self.address, self.consensus_port)
    }

    /// Where heartbeat and membership listen.
    pub fn membership(&self) -> SocketAddr {
        SocketAddr::new(self.address, self.membership_port)
    }

    /// Where the API listens.
    pub fn api(&self) -> SocketAddr {
        SocketAddr::new(self.address, self.api_port)
    }
}

/// `[cluster]`: the same on every node.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClusterSettings {
    /// Two clusters of different names never talk to each other. Default `quorate`.
    #[serde(default = "cluster_name")]
    pub name: String,
    /// The founders, in an order that is the same everywhere: it gives their first ids. Empty if
    /// the cluster is founded, or joined, by an order ([`enlist`](crate::enlist)).
    #[serde(default)]
    pub members: Vec<MemberSettings>,
    /// How often a leader shows itself. Default 30.
    #[serde(default = "heartbeat_interval_ms")]
    pub heartbeat_interval_ms: u64,
    /// The shortest wait of a voter before it campaigns. Default 150.
    #[serde(default = "election_timeout_ms_min")]
    pub election_timeout_ms_min: u64,
    /// The longest such wait, and the silence for which a voter grants no vote. Default 240.
    #[serde(default = "election_timeout_ms_max")]
    pub election_timeout_ms_max: u64,
    /// How long a leader may act without hearing from a majority. Default 235.
    #[serde(default = "lease_ms")]
    pub lease_ms: u64,
    /// Worst difference of two nodes' clock rates, in percent. Default 1.
    #[serde(default = "clock_drift_percent_max")]
    pub clock_drift_percent_max: u64,
    /// How often peers are pinged. Default 250.
    #[serde(default = "ping_interval_ms")]
    pub ping_interval_ms: u64,
    /// Unanswered pings in a row after which a peer is silent. Default 4.
    #[serde(default = "missed_pings_max")]
    pub missed_pings_max: u32,
    /// How long a write may take before its outcome is called unknown. Default 5,000.
    #[serde(default = "write_timeout_ms")]
    pub write_timeout_ms: u64,
    /// Applied entries after which a snapshot replaces the log before it. Default 50,000.
    #[serde(default = "snapshot_entries_count")]
    pub snapshot_entries_count: u64,
    /// Whether a member is followed to where it says to be. False where the members reach each
    /// other through proxies or translated addresses: then settings count. Default true.
    #[serde(default = "follow_moves")]
    pub follow_moves: bool,
    /// Set by a program whose network nobody else can enter, such as a simulated one: addresses
    /// other than loopback then need neither secret nor password. No settings file can set it.
    #[serde(skip)]
    pub is_network_private: bool,
    /// Set by a program: so many of `members`, from the first on, found the cluster; the others
    /// wait until they are added. `None`: all of them. No settings file can set it.
    #[serde(skip)]
    pub founders_count: Option<usize>,
}

/// `[api]`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ApiSettings {
    /// Whether the API listens at all. Default true.
    pub enabled: bool,
    /// Connections served at once; more wait in the system's queue. Default 4,096.
    pub connections_count_max: usize,
}

impl Default for ApiSettings {
    fn default() -> ApiSettings {
        ApiSettings { enabled: true, connections_count_max: 4_096 }
    }
}

fn unlisted() -> ClusterSettings {
    ClusterSettings::of(Vec::new())
}
fn consensus_port() -> u16 {
    CONSENSUS_PORT
}
fn membership_port() -> u16 {
    MEMBERSHIP_PORT
}
fn api_port() -> u16 {
    API_PORT
}
fn cluster_name() -> String {
    "quorate".to_owned()
}
fn heartbeat_interval_ms() -> u64 {
    30
}
fn election_timeout_ms_min() -> u64 {
    150
}
fn election_timeout_ms_max() -> u64 {
    240
}
fn lease_ms() -> u64 {
    235
}
fn clock_drift_percent_max() -> u64 {
    1
}
fn ping_interval_ms() -> u64 {
    250
}
fn missed_pings_max() -> u32 {
    4
}
fn write_timeout_ms() -> u64 {
    5_000
}
fn snapshot_entries_count() -> u64 {
    50_000
}
fn follow_moves() -> bool {
    true
}

impl ClusterSettings {
    /// The defaults for these members.
    pub fn of(members: Vec<MemberSettings>) -> ClusterSettings {
        ClusterSettings {
            name: cluster_name(),
            members,
            heartbeat_interval_ms: heartbeat_interval_ms(),
            election_timeout_ms_min: election_timeout_ms_min(),
            election_timeout_ms_max: election_timeout_ms_max(),
            lease_ms: lease_ms(),
            clock_drift_percent_max: clock_drift_percent_max(),
            ping_interval_ms: ping_interval_ms(),
            missed_pings_max: missed_pings_max(),
            write_timeout_ms: write_timeout_ms(),
            snapshot_entries_count: snapshot_entries_count(),
            follow_moves: follow_moves(),
            is_network_private: false,
            founders_count: None,
        }
    }

    /// The members that found the cluster, in the order that gives them their ids.
    pub fn founders(&self) -> &[MemberSettings] {
        let count = self.founders_count.unwrap_or(self.members.len());
        &self.members[..count.max(1).min(self.members.len())]
    }

    /// `duration_ms` on the slowest clock, rounded up, in milliseconds of the fastest.
    pub fn with_drift_ms(&self, duration_ms: u64) -> u64 {
        let percent = self.clock_drift_percent_max.saturating_add(100);
        duration_ms.saturating_mul(percent).div_ceil(100)
    }
}

impl Settings {
    /// Settings made by a program, with the API as by default.
    pub fn new(node: NodeSettings, cluster: ClusterSettings) -> Settings {
        let (api, security) = Default::default();
        Settings { node, cluster, api, security, files: None, database: None, services: None }
    }

    /// Parses and validates.
    pub fn from_toml(text: &str) -> Result<Settings, ConfigError> {
        let settings: Settings = toml::from_str(text)
            .map_err(|error| ConfigError::Malformed { detail: error.to_string() })?;
        settings.validate()?;
        Ok(settings)
    }

    /// This node's entry in `cluster.members` and its founding id (position, from 1). Who a node
    /// is stands in its data directory from its first start on: see `node::identity`.
    pub fn this_member(&self) -> Option<(NodeId, &MemberSettings)> {
        let named = |member: &&MemberSettings| member.name == self.node.name;
        let position = self.cluster.members.iter().position(|member| named(&member))?;
        Some((NodeId(position as u64 + 1), &self.cluster.members[position]))
    }

    /// Whether `cluster.members` is there.
    pub fn lists_members(&self) -> bool {
        !self.cluster.members.is_empty()
    }

    /// Where the settings say that this node is: its entry in `cluster.members`, or its own place.
    /// `None` if they say neither, which [`Settings::validate`] refuses.
    pub fn place(&self) -> Option<MemberSettings> {
        if self.lists_members() {
            return self.this_member().map(|(_, member)| member.clone());
        }
        let NodeSettings { name, address, consensus_port, membership_port, api_port, .. } =
            self.node.clone();
        let address = address?;
        Some(MemberSettings { name, address, consensus_port, membership_port, api_port })
    }

    /// Refuses to speak with other machines at `place` without a secret, or by an API that asks
    /// nobody for a password.
    pub(crate) fn check_reach(
        &self,
        place: &MemberSettings,
        has_secret: bool,
    ) -> Result<(), ConfigError> {
        if place.address.is_loopback() || self.cluster.is_network_private {
            return Ok(());
        }
        let has_api = self.api.enabled && cfg!(feature = "api");
        let detail = match (has_secret, has_api && self.security.local_admin.is_none()) {
            (false, _) => {
                format!("{} is no loopback address, and there is no secret", place.address)
            }
            (true, true) => format!("the API at {} would ask nobody for a password", place.api()),
            (true, false) => return Ok(()),
        };
        Err(ConfigError::Members { detail })
    }

    /// Checks every relation between fields. Nothing is opened.
    pub fn validate(&self) -> Result<(), ConfigError> {
        self.validate_tables()?;
        match self.lists_members() {
            true => self.validate_listed()?,
            false => self.validate_unlisted()?,
        }
        self.cluster.validate_timing()
    }

    fn validate_listed(&self) -> Result<(), ConfigError> {
        self.cluster.validate_members()?;
        if self.this_member().is_none() {
            let name = &self.node.name;
            return Err(ConfigError::Members {
                detail: format!("node.name {name:?} is not listed"),
            });
        }
        let open = self.cluster.members.iter().find(|member| !member.address.is_loopback());
        if let Some(open) = open
            && !self.cluster.is_network_private
            && !self.security.names_secret()
        {
            let detail = format!("{} is no loopback address", open.address);
            let detail = format!("{detail}, and there is no security.secret_file");
            return Err(ConfigError::Members { detail });
        }
        validate_ports(&self.cluster.members)
    }

    fn validate_unlisted(&self) -> Result<(), ConfigError> {
        let refuse = |detail: &str| Err(ConfigError::Members { detail: detail.to_owned() });
        let Some(place) = self.place() else {
            return refuse("there is neither cluster.members nor node.address");
        };
        if !self.api.enabled {
            return refuse("without cluster.members a node is told by its API what to do");
        }
        if !place.name.is_empty() {
            validate_name(&place.name)?;
        }
        validate_address(&place)?;
        validate_ports(&[place])
    }

    fn validate_tables(&self) -> Result<(), ConfigError> {
        let later =
            [("files", &self.files), ("database", &self.database), ("services", &self.services)];
        match later.into_iter().find(|(_, table)| table.is_some()) {
            Some((table, _)) => Err(ConfigError::NotBuiltIn { table }),
            None => Ok(()),
        }
    }
}

impl ClusterSettings {
    fn validate_members(&self) -> Result<(), ConfigError> {
        for (at, member) in self.members.iter().enumerate() {
            validate_name(&member.name)?;
            if self.members[..at].iter().any(|other| other.name == member.name) {
                let detail = format!("name {:?} is there twice", member.name);
                return Err(ConfigError::Members { detail });
            }
            validate_address(member)?;
        }
        Ok(())
    }

    fn validate_timing(&self) -> Result<(), ConfigError> {
        let refuse = |detail: String| Err(ConfigError::Timing { detail });
        let (min, max) = (self.election_timeout_ms_min, self.election_timeout_ms_max);
        let heartbeat = self.heartbeat_interval_ms;
        if heartbeat == 0 || self.lease_ms == 0 || self.ping_interval_ms == 0 {
            return refuse("an interval or lease of 0 ms".to_owned());
        }
        if heartbeat.saturating_mul(3) > min {
            let detail = format!("election_timeout_ms_min {min} is less than three heartbeats");
            return refuse(format!("{detail} of {heartbeat} ms"));
        }
        if min >= max {
            return refuse(format!("election_timeout_ms_min {min} is not below _max {max}"));
        }
        if self.clock_drift_percent_max > 50 {
            return refuse("clock_drift_percent_max is above 50".to_owned());
        }
        if self.missed_pings_max == 0 || self.snapshot_entries_count < 100 {
            return refuse("missed_pings_max 0, or snapshot_entries_count below 100".to_owned());
        }
        if self.write_timeout_ms < max {
            return refuse(format!("write_timeout_ms is below election_timeout_ms_max {max}"));
        }
        let lease_ms_max = self.with_drift_ms(self.lease_ms);
        if lease_ms_max > max && !planted("lease_not_checked") {
            let lease_ms = self.lease_ms;
            return Err(ConfigError::LeaseOutlivesElection {
                lease_ms,
                lease_ms_max,
                limit_ms: max,
            });
        }
        Ok(())
    }
}

/// Checks the name of a member, wherever it comes from.
pub(crate) fn validate_name(name: &str) -> Result<(), ConfigError> {
    if !name.is_empty() && name.len() <= 63 {
        return Ok(());
    }
    Err(ConfigError::Members { detail: format!("name {name:?} is not 1 to 63 bytes long") })
}

/// Checks whether a member can be there at all, wherever that place comes from.
pub(crate) fn validate_address(place: &MemberSettings) -> Result<(), ConfigError> {
    let address = place.address;
    if !address.is_unspecified() && !address.is_multicast() {
        return Ok(());
    }
    Err(ConfigError::Members { detail: format!("{address} is no address of one machine") })
}

fn validate_ports(members: &[MemberSettings]) -> Result<(), ConfigError> {
    let refuse = |detail: String| Err(ConfigError::Ports { detail });
    let mut taken: Vec<SocketAddr> = Vec::new();
    for member in members {
        for address in [member.consensus(), member.membership(), member.api()] {
            if address.port() == 0 {
                let who = if member.name.is_empty() { "the node" } else { &member.name };
                return refuse(format!("{who} has port 0"));
            }
            if taken.contains(&address) {
                return refuse(format!("{address} is used twice"));
            }
            taken.push(address);
        }
    }
    Ok(())
}
