//! The ledger: what a client was told is done, on disk before the client asks for more.
//!
//! Invariants
//! - A line is with the operating system before [`Ledger::append`] returns: killing any process,
//!   the writer included, takes no acknowledged write out of it.
//! - A line that cannot be read is an error, never skipped: a shorter ledger would hide a loss.
//!
//! Read next: `core/src/history/mod.rs` for a line, `core/src/history/register.rs` for the verdict.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use quorate_core::history::{LineError, Operation, parse_lines};

/// Why a ledger is of no use. Each text: what happened; what changed; what to do.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// The file cannot be read or written.
    #[error("Q1731 ledger {}: {cause}; no verdict was given; check the path", path.display())]
    File {
        /// The ledger.
        path: PathBuf,
        /// What the system said.
        cause: io::Error,
    },
    /// A line is no operation.
    #[error(
        "Q1732 ledger {} line {line}: {cause}; no verdict was given; restore the line",
        path.display()
    )]
    Line {
        /// The ledger.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// What the parser said.
        cause: String,
    },
}

/// A ledger open for appending.
#[derive(Debug)]
pub struct Ledger {
    file: File,
    path: PathBuf,
}

impl Ledger {
    /// Opens the file, or makes it.
    pub fn open(path: &Path) -> Result<Ledger, LedgerError> {
        let file = File::options().create(true).append(true).open(path);
        let file = file.map_err(|cause| LedgerError::File { path: path.to_owned(), cause })?;
        Ok(Ledger { file, path: path.to_owned() })
    }

    /// Appends one line, in one write.
    pub fn append(&mut self, operation: &Operation) -> Result<(), LedgerError> {
        let written = self.file.write_all(operation.to_line().as_bytes());
        written.map_err(|cause| LedgerError::File { path: self.path.clone(), cause })
    }
}

/// Every line of a ledger, in order. A line that its writer has not ended yet is left out: it was
/// not acknowledged to anyone.
pub fn read(path: &Path) -> Result<Vec<Operation>, LedgerError> {
    let text = std::fs::read_to_string(path)
        .map_err(|cause| LedgerError::File { path: path.to_owned(), cause })?;
    parse_lines(&text).map_err(|LineError { line, detail }| LedgerError::Line {
        path: path.to_owned(),
        line,
        cause: detail,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use quorate_core::history::{OperationKind, Outcome, ValueHash};

    fn operation(key: &str) -> Operation {
        Operation {
            op: OperationKind::Put,
            key: key.to_owned(),
            value_hash: Some(ValueHash(u64::MAX)),
            start_ns: 1,
            end_ns: 2,
            outcome: Outcome::Acknowledged,
            log_index: Some(3),
            node: "127.0.0.11:8500".to_owned(),
        }
    }

    #[test]
    fn lines_come_back_in_order() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("ledger");
        let written = [operation("a\nb"), operation("\"")];
        let mut ledger = Ledger::open(&path).unwrap();
        written.iter().for_each(|one| ledger.append(one).unwrap());
        assert_eq!(read(&path).unwrap(), written);
    }

    #[test]
    fn a_half_written_end_is_left_out_and_a_broken_line_is_refused() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("ledger");
        Ledger::open(&path).unwrap().append(&operation("a")).unwrap();
        let good = std::fs::read_to_string(&path).unwrap();

        std::fs::write(&path, format!("{good}{}", &good[..20])).unwrap();
        assert_eq!(read(&path).unwrap(), [operation("a")]);

        std::fs::write(&path, format!("{}\n{good}", &good[..20])).unwrap();
        let refused = read(&path).unwrap_err().to_string();
        assert!(refused.contains("Q1732") && refused.contains("line 1"), "{refused}");
    }
}
