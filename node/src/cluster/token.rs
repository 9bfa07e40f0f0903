//! `quorate cluster token`: invitations into the cluster. The text of one is shown once, where it
//! is made: its secret is drawn here, and the cluster keeps a hash of it.

use std::time::{SystemTime, UNIX_EPOCH};

use clap::Subcommand;
use quorate_core::api::TokenBody;
use quorate_core::ids::LogIndex;
use serde::Serialize;

use crate::cli::NodesArguments;
use crate::command::{self, CommandError};
use crate::exit::Exit;
use crate::nodes::Nodes;

/// What can be done with join tokens.
#[derive(Debug, Subcommand)]
pub enum TokenCommand {
    /// Make a token and print it; it is shown only now
    Create {
        /// So many nodes may join by it
        #[arg(long, value_name = "COUNT", default_value_t = 1)]
        uses: u32,
        /// For so long, as 30m, 1h or 7d
        #[arg(long, value_name = "TIME", default_value = "1h", value_parser = duration_ms)]
        expires_in: u64,
        /// Whom to ask
        #[command(flatten)]
        nodes: NodesArguments,
        /// For programs
        #[arg(long)]
        json: bool,
    },
    /// Print all tokens that the cluster keeps, without their secrets
    List {
        /// Whom to ask
        #[command(flatten)]
        nodes: NodesArguments,
        /// For programs
        #[arg(long)]
        json: bool,
    },
    /// Take a token back; who has joined by it stays
    Revoke {
        /// Its number, as in the list
        id: u64,
        /// Whom to ask
        #[command(flatten)]
        nodes: NodesArguments,
    },
}

#[derive(Serialize)]
struct CreateOutput<'a> {
    version: u32,
    id: LogIndex,
    token: &'a str,
    uses_count: u32,
    expires_at_ms: u64,
}

#[derive(Serialize)]
struct ListOutput<'a> {
    version: u32,
    tokens: &'a [TokenBody],
}

/// Does what the command says.
pub(super) async fn perform(command: TokenCommand) -> Result<Exit, CommandError> {
    match command {
        TokenCommand::Create { uses, expires_in, nodes, json } => {
            let mut nodes = Nodes::of(&nodes)?;
            let (token, made) = nodes.client().create_token(uses, expires_in).await?;
            let (id, expires_at_ms, text) = (made.id, made.expires_at_ms, token.to_string());
            if json {
                let (token, uses_count) = (&text[..], uses);
                let output = CreateOutput { version: 1, id, token, uses_count, expires_at_ms };
                return command::print_json(&output);
            }
            let at = crate::place::Place::from(nodes.address());
            eprintln!(
                "token {id}, for {uses} node(s) within {}: on each, `quorate cluster join {at} \
                 --token TOKEN --node ITS_ADDRESS`",
                words(expires_in)
            );
            command::print(format!("{text}\n").as_bytes())
        }
        TokenCommand::List { nodes, json } => {
            let tokens = Nodes::of(&nodes)?.client().tokens().await?;
            if json {
                return command::print_json(&ListOutput { version: 1, tokens: &tokens });
            }
            let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            command::print(table(&tokens, since.as_millis() as u64).as_bytes())
        }
        TokenCommand::Revoke { id, nodes } => {
            Nodes::of(&nodes)?.client().revoke_token(LogIndex(id)).await?;
            eprintln!("token {id} is revoked");
            Ok(Exit::Good)
        }
    }
}

fn table(tokens: &[TokenBody], now_ms: u64) -> String {
    let mut text = format!("{:<10}{:<10}{:<11}{}\n", "ID", "STATE", "USES LEFT", "EXPIRES IN");
    for token in tokens {
        let left = match token.expires_at_ms.checked_sub(now_ms) {
            Some(left_ms) => words(left_ms),
            None => "-".to_owned(),
        };
        let (id, state) = (token.id.to_string(), &token.state);
        text += &format!("{id:<10}{state:<10}{:<11}{left}\n", token.uses_left);
    }
    text
}

const UNITS: [(&str, u64); 4] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000)];

/// As 30m, 1h or 7d.
fn duration_ms(text: &str) -> Result<u64, String> {
    let read = UNITS.iter().find_map(|(unit, unit_ms)| {
        let count: u64 = text.strip_suffix(unit)?.parse().ok()?;
        count.checked_mul(*unit_ms)
    });
    read.ok_or_else(|| format!("{text:?} is no time as 30m, 1h or 7d"))
}

/// In the largest unit of which there is at least one, rounded down.
fn words(ms: u64) -> String {
    let fits = UNITS.iter().find(|(_, unit_ms)| ms >= *unit_ms);
    fits.map_or("0s".to_owned(), |(unit, unit_ms)| format!("{}{unit}", ms / unit_ms))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_and_shown_in_one_unit() {
        for (text, ms, shown) in [
            ("45s", 45_000, "45s"),
            ("30m", 1_800_000, "30m"),
            ("1h", 3_600_000, "1h"),
            ("36h", 129_600_000, "1d"),
            ("7d", 604_800_000, "7d"),
        ] {
            assert_eq!(duration_ms(text), Ok(ms));
            assert_eq!(words(ms), shown);
        }
        for text in ["", "h", "1", "1w", "-1h", "99999999999999999d"] {
            assert!(duration_ms(text).is_err(), "{text}");
        }
    }
}
