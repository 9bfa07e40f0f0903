//! Exit codes: what a script may rely on, the same for every command.

use std::process::ExitCode;

/// How a command ended. The numbers never change their meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Done.
    Good = 0,
    /// Failed; nothing more precise fits.
    Failed = 1,
    /// The command line or an input is wrong.
    Usage = 2,
    /// Answered, but the cluster is not whole.
    Degraded = 3,
    /// No leader took it: none is known, it has just changed, or the elected one has no quorum.
    NoLeader = 4,
    /// The key does not exist.
    NotFound = 5,
    /// Something else was there than expected.
    Conflict = 6,
    /// What was shown lets nobody in.
    Unauthorised = 7,
    /// Gave up waiting; it may still take effect.
    TimedOut = 8,
    /// Refused, because data could be lost.
    DataAtRisk = 9,
    /// Some of it was done, some was left out.
    Partial = 10,
    /// Ended by Ctrl-C or SIGTERM, after cleaning up; the number that shells use for Ctrl-C.
    Interrupted = 130,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit as u8)
    }
}
