//! Environment variables that stand above the settings file, so that one file serves all nodes.
//!
//! Invariants
//! - They are applied before anything is validated, so a wrong one is refused like a wrong line.

use quorate_core::config::{ConfigError, Settings};
use toml::{Table, Value};

use super::StartError;

/// How a variable's text becomes a setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Text,
    Number,
    Switch,
}

/// Variable, table, key, kind.
const OVERRIDES: &[(&str, &str, &str, Kind)] = &[
    ("QUORATE_NODE_NAME", "node", "name", Kind::Text),
    ("QUORATE_DATA_DIR", "node", "data_dir", Kind::Text),
    ("QUORATE_NODE_ADDRESS", "node", "address", Kind::Text),
    ("QUORATE_CONSENSUS_PORT", "node", "consensus_port", Kind::Number),
    ("QUORATE_MEMBERSHIP_PORT", "node", "membership_port", Kind::Number),
    ("QUORATE_API_PORT", "node", "api_port", Kind::Number),
    ("QUORATE_CLUSTER_NAME", "cluster", "name", Kind::Text),
    ("QUORATE_HEARTBEAT_INTERVAL_MS", "cluster", "heartbeat_interval_ms", Kind::Number),
    ("QUORATE_ELECTION_TIMEOUT_MS_MIN", "cluster", "election_timeout_ms_min", Kind::Number),
    ("QUORATE_ELECTION_TIMEOUT_MS_MAX", "cluster", "election_timeout_ms_max", Kind::Number),
    ("QUORATE_LEASE_MS", "cluster", "lease_ms", Kind::Number),
    ("QUORATE_CLOCK_DRIFT_PERCENT_MAX", "cluster", "clock_drift_percent_max", Kind::Number),
    ("QUORATE_PING_INTERVAL_MS", "cluster", "ping_interval_ms", Kind::Number),
    ("QUORATE_MISSED_PINGS_MAX", "cluster", "missed_pings_max", Kind::Number),
    ("QUORATE_WRITE_TIMEOUT_MS", "cluster", "write_timeout_ms", Kind::Number),
    ("QUORATE_SNAPSHOT_ENTRIES_COUNT", "cluster", "snapshot_entries_count", Kind::Number),
    ("QUORATE_FOLLOW_MOVES", "cluster", "follow_moves", Kind::Switch),
    ("QUORATE_SECRET_FILE", "security", "secret_file", Kind::Text),
    ("QUORATE_ADMIN_PASSWORD_FILE", "security", "admin_password_file", Kind::Text),
    ("QUORATE_API_ENABLED", "api", "enabled", Kind::Switch),
    ("QUORATE_API_CONNECTIONS_COUNT_MAX", "api", "connections_count_max", Kind::Number),
];

/// The settings in `text` with the variables of `environment` above them, validated.
pub fn settings(
    text: &str,
    environment: impl Fn(&str) -> Option<String>,
) -> Result<Settings, StartError> {
    let mut table: Table = toml::from_str(text)
        .map_err(|error| ConfigError::Malformed { detail: error.to_string() })?;
    let mut is_changed = false;
    for (variable, section, key, kind) in OVERRIDES {
        let Some(value) = environment(variable) else { continue };
        let section = table.entry(*section).or_insert_with(|| Value::Table(Table::new()));
        // A section that is no table is refused below, with the words of the parser.
        if let Some(section) = section.as_table_mut() {
            section.insert((*key).to_owned(), parsed(variable, &value, *kind)?);
            is_changed = true;
        }
    }
    // Unchanged text goes to the parser as it is, so that its lines are named as in the file.
    let effective = if is_changed { table.to_string() } else { text.to_owned() };
    Ok(Settings::from_toml(&effective)?)
}

fn parsed(variable: &'static str, value: &str, kind: Kind) -> Result<Value, StartError> {
    let refuse = |detail: &str| {
        Err(StartError::Variable {
            name: variable,
            value: value.to_owned(),
            detail: detail.to_owned(),
        })
    };
    match kind {
        Kind::Text => Ok(Value::from(value)),
        Kind::Number => match value.parse::<i64>() {
            Ok(number) => Ok(Value::from(number)),
            Err(_) => refuse("a whole number is wanted"),
        },
        Kind::Switch => match value.parse::<bool>() {
            Ok(switch) => Ok(Value::from(switch)),
            Err(_) => refuse("true or false is wanted"),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXAMPLE: &str = include_str!("../../quorate.toml");

    /// The example with `cluster.members` and what has no default, which it holds as comments.
    fn example_with_members() -> String {
        let (before, after) = EXAMPLE.split_once("# members = [").unwrap();
        let (members, rest) = after.split_once("\n# ]").unwrap();
        let members = members.replace("\n# ", "\n");
        format!("{before}members = [{members}\n]{rest}")
            .replace("# secret_file = ", "secret_file = ")
            .replace("# admin_password_file = ", "admin_password_file = ")
    }

    fn with(text: &str, variables: &[(&str, &str)]) -> Result<Settings, String> {
        let find = |name: &str| {
            let found = variables.iter().find(|(variable, _)| *variable == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        settings(text, find).map_err(|error| error.to_string())
    }

    #[test]
    fn the_example_holds_every_key_with_its_default() {
        let settings = with(EXAMPLE, &[]).unwrap();
        assert_eq!(settings.cluster, quorate_core::config::ClusterSettings::of(Vec::new()));
        assert_eq!(settings.api, quorate_core::config::ApiSettings::default());

        // Each overridable key stands in the example, and they are all there are but the members.
        assert!(settings.security.secret_file.is_none());
        assert!(settings.security.admin_password_file.is_none());
        let listed = with(&example_with_members(), &[]).unwrap();
        assert_eq!(listed.cluster.members.len(), 3);
        let table: Table = toml::from_str(&example_with_members()).unwrap();
        for (_, section, key, _) in OVERRIDES {
            assert!(table[*section].as_table().unwrap().contains_key(*key), "{section}.{key}");
        }
        let keys_count = |section: &str| table[section].as_table().unwrap().len();
        let all = keys_count("node") + keys_count("cluster") + keys_count("api");
        let all = all + keys_count("security");
        assert_eq!(all, OVERRIDES.len() + 1);
        assert_eq!(table.len(), 4);

        // What the settings would print of themselves names no key that the example lacks, but for
        // what only a program can set.
        const PROGRAMS_OWN: [&str; 2] = ["is_network_private", "founders_count"];
        let shown = format!("{:?} {:?} {:?}", settings.node, settings.cluster, settings.api);
        for word in shown.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_') {
            let is_key = shown.contains(&format!(" {word}: "));
            let is_in_file = is_key && !PROGRAMS_OWN.contains(&word);
            assert!(!is_in_file || EXAMPLE.contains(&format!("{word} = ")), "{word}");
        }
    }

    #[test]
    fn a_variable_stands_above_the_file_and_may_fill_a_gap() {
        let text = "[cluster]\nmembers = [{ name = \"n1\", address = \"127.0.0.1\" }]";
        let variables = [
            ("QUORATE_NODE_NAME", "n1"),
            ("QUORATE_DATA_DIR", "/tmp/n1"),
            ("QUORATE_LEASE_MS", "200"),
            ("QUORATE_API_ENABLED", "false"),
        ];
        let settings = with(text, &variables).unwrap();
        assert_eq!(settings.node.name, "n1");
        assert_eq!((settings.cluster.lease_ms, settings.api.enabled), (200, false));
    }

    #[test]
    fn wrong_values_are_refused_with_a_code_before_anything_starts() {
        let table = [
            (("QUORATE_LEASE_MS", "soon"), "Q1523 QUORATE_LEASE_MS=\"soon\": a whole number"),
            (("QUORATE_API_ENABLED", "yes"), "Q1523 QUORATE_API_ENABLED=\"yes\": true or false"),
            (("QUORATE_LEASE_MS", "-1"), "Q1301"),
            (("QUORATE_LEASE_MS", "900"), "Q1303"),
            (("QUORATE_NODE_NAME", "n9"), "Q1306"),
        ];
        for (variable, expected) in table {
            let refused = with(&example_with_members(), &[variable]).unwrap_err();
            assert!(refused.starts_with(expected), "{refused}");
        }
        let refused = with("[node]\nname = 1", &[]).unwrap_err();
        assert!(refused.starts_with("Q1301") && refused.contains("line 2"), "{refused}");
    }
}
