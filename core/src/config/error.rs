//! Why settings are refused: each relation that does not hold has its code.

/// Why settings were refused. Nothing was opened or changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// Not TOML, a wrong type, or an unknown key.
    #[error("Q1301 settings cannot be read: {detail}; nothing was started; correct the file")]
    Malformed {
        /// What the parser says, with line and column.
        detail: String,
    },
    /// A table of a part that this build does not have.
    #[error("Q1302 [{table}] is not built in; nothing was started; remove the table")]
    NotBuiltIn {
        /// The table.
        table: &'static str,
    },
    /// A dead leader's lease must be over before a successor can be elected.
    #[error(
        "Q1303 lease_ms {lease_ms} with drift is {lease_ms_max} ms, beyond election_timeout_ms_max \
         {limit_ms}; nothing was started; lower lease_ms"
    )]
    LeaseOutlivesElection {
        /// As set.
        lease_ms: u64,
        /// With the worst drift.
        lease_ms_max: u64,
        /// The election timeout's upper end.
        limit_ms: u64,
    },
    /// Timeouts that no cluster could live with.
    #[error("Q1304 {detail}; nothing was started; correct [cluster]")]
    Timing {
        /// Which relation does not hold, with the numbers.
        detail: String,
    },
    /// Ports that cannot work.
    #[error("Q1305 {detail}; nothing was started; choose ports from 1 to 65535, each once")]
    Ports {
        /// Which port and why.
        detail: String,
    },
    /// A secret that protects nothing.
    #[error("Q1307 {detail}; nothing was started; write one: openssl rand -hex 32")]
    Secret {
        /// What is wrong with it.
        detail: String,
    },
    /// A password that protects nothing.
    #[error(
        "Q1311 {detail}; nothing was started; give another password, or none to have one drawn"
    )]
    AdminPassword {
        /// What is wrong with it.
        detail: String,
    },
    /// Members that cannot form a cluster.
    #[error("Q1306 {detail}; nothing was started; correct cluster.members or node.address")]
    Members {
        /// What is wrong with them.
        detail: String,
    },
}
