//! The first seed of a sweep: the same for everyone who has the same commit.

use std::process::Command;

/// How many digits of the hash make a seed: eight bytes.
const DIGITS_COUNT: usize = 16;

/// The first eight bytes of the hash of the commit's tree, as `git rev-parse HEAD^{tree}` says it
/// in the current folder. What was changed since the commit is not in it.
pub(super) fn first_seed() -> Result<u64, String> {
    let advice = "name the first seed: --from SEED";
    let asked = Command::new("git").args(["rev-parse", "--verify", "HEAD^{tree}"]).output();
    let output = asked.map_err(|error| format!("git cannot be run: {error}; {advice}"))?;
    if !output.status.success() {
        return Err(format!("this folder has no commit of a repository; {advice}"));
    }
    let hash = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    let digits = hash.get(..DIGITS_COUNT).unwrap_or(&hash);
    u64::from_str_radix(digits, 16)
        .map_err(|error| format!("{hash:?} is no tree hash: {error}; {advice}"))
}
