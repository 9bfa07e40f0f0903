//! `shrink`: a smaller run that fails in the same way.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;

use super::minimise::{Shrank, shrink_for, stem};
use super::read;

#[derive(Debug, Args)]
pub(super) struct Shrink {
    /// The choice file of a failed run.
    file: PathBuf,
    /// Longest search, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 600,
        value_parser = clap::value_parser!(u64).range(1..))]
    seconds: u64,
    /// Where the smaller run is left; beside the file unless given.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

impl Shrink {
    pub(super) fn obey(self) -> bool {
        let Some((scenario, file)) = read(&self.file) else { return false };
        let beside = self.file.parent().unwrap_or(Path::new("."));
        let dir = self.out.as_deref().unwrap_or(beside);
        let wall = Duration::from_secs(self.seconds);
        let shrank = shrink_for(wall, scenario, &file, (dir, &stem(&self.file)), true);
        shrank == Shrank::Written
    }
}
