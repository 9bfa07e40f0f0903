//! `trace`: a run as a page.

use std::path::PathBuf;

use clap::Args;
use quorate_sim::choices::{Choices, Keep};
use quorate_sim::scenarios::Kept;

#[derive(Debug, Args)]
pub(super) struct Trace {
    /// A choice file.
    file: PathBuf,
    /// Where the page is written; it needs nothing but itself.
    #[arg(long, value_name = "OUT")]
    html: PathBuf,
}

impl Trace {
    /// Good if the page was written, also that of a run that fails.
    pub(super) fn obey(self) -> bool {
        let Some((scenario, file)) = super::read(&self.file) else { return false };
        let choices = Choices::new(file.seed, file.edits.into_iter().collect(), Keep::Nothing);
        let kept = Kept { diagram: Some(self.html.clone()), ..Kept::default() };
        if let Err(text) = scenario.run_keeping(&choices, kept) {
            eprintln!("{text}");
        }
        self.html.exists()
    }
}
