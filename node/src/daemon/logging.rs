//! The daemon's log: lines on stderr, as text or as JSON, filtered by the environment.

use std::env::{self, VarError};

use quorate_core::replication::LOG_FILTER_DEFAULT;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::FmtSpan;

use super::StartError;

/// Which events are logged, as `tracing_subscriber` filters: `warn`, `info,quorate_core=debug`.
pub const LOG_VARIABLE: &str = "QUORATE_LOG";
/// `text` or `json`.
pub const LOG_FORMAT_VARIABLE: &str = "QUORATE_LOG_FORMAT";

/// Starts to log. Called once per process.
pub fn start() -> Result<(), StartError> {
    let filter_text = variable(LOG_VARIABLE, LOG_FILTER_DEFAULT)?;
    let filter = EnvFilter::try_new(&filter_text)
        .map_err(|cause| unusable(LOG_VARIABLE, &filter_text, &cause.to_string()))?;
    let format = variable(LOG_FORMAT_VARIABLE, "text")?;
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_span_events(FmtSpan::NONE)
        .with_writer(std::io::stderr);
    match format.as_str() {
        "text" => lines.with_ansi(is_terminal()).init(),
        "json" => lines.json().flatten_event(true).init(),
        _ => return Err(unusable(LOG_FORMAT_VARIABLE, &format, "text and json are known")),
    }
    Ok(())
}

fn is_terminal() -> bool {
    std::io::IsTerminal::is_terminal(&std::io::stderr())
}

fn variable(name: &'static str, default: &str) -> Result<String, StartError> {
    match env::var(name) {
        Ok(value) => Ok(value),
        Err(VarError::NotPresent) => Ok(default.to_owned()),
        Err(VarError::NotUnicode(value)) => {
            Err(unusable(name, &value.to_string_lossy(), "it is no UTF-8"))
        }
    }
}

fn unusable(name: &'static str, value: &str, detail: &str) -> StartError {
    let (value, detail) = (value.to_owned(), detail.to_owned());
    StartError::Variable { name, value, detail }
}
