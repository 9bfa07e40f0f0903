//! Skips: a test that this machine cannot run says so, instead of passing in silence.
//!
//! libtest captures what a passing test prints, so the line also goes to the file that the variable
//! `QUORATE_SKIPS` names; `tests/run` counts the lines and fails on one that it does not expect.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;

/// Names the file. Not set: skips are only printed.
pub const SKIPS_VARIABLE: &str = "QUORATE_SKIPS";

/// Reports that the test `name` did not run, and why. The caller then returns.
pub fn skip(name: &str, reason: &str) {
    report(std::env::var_os(SKIPS_VARIABLE).as_deref().map(Path::new), name, reason);
}

fn report(file: Option<&Path>, name: &str, reason: &str) {
    let line = format!("SKIPPED {name}: {reason}\n");
    print!("{line}");
    let Some(path) = file else { return };
    let appending = OpenOptions::new().append(true).create(true).open(path);
    let written = appending.and_then(|mut file| file.write_all(line.as_bytes()));
    written.expect("a skip that cannot be reported must not look like a pass");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_skip_is_a_line_of_the_file() {
        let place = tempfile::tempdir().expect("a temporary directory can be made");
        let path = place.path().join("skips");
        report(Some(&path), "cut", "needs root");
        report(Some(&path), "frozen", "needs nft");
        let text = std::fs::read_to_string(&path).expect("it was written");
        assert_eq!(text, "SKIPPED cut: needs root\nSKIPPED frozen: needs nft\n");
    }
}
