//! The counter of `net/examples` under faults: a simulation finds the bug that is planted in it.
//!
//! `cargo run -p quorate-sim --example counter_under_faults`. Ends with 0 if the sound counter
//! passes every seed and each broken one is caught, and prints the seed that caught it.

#[path = "../../net/examples/counter/machine.rs"]
mod machine;

use std::cell::Cell;
use std::process::ExitCode;

use bytes::Bytes;
use machine::Counter;
use quorate_core::codec::CodecError;
use quorate_core::ids::LogIndex;
use quorate_core::{SnapshotJob, StateMachine};
use quorate_sim::cluster::Cluster;
use quorate_sim::run_isolated;

const SEEDS_COUNT: u64 = 5;

thread_local! {
    static APPLIED_COUNT: Cell<u64> = const { Cell::new(0) };
}

/// Which bug is planted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bug {
    /// None: the counter as it is.
    None,
    /// The snapshot forgets the lowest four bits of the number.
    SnapshotForgets,
    /// The result depends on what else this process has done.
    ApplyDiffers,
}

/// The counter with a bug around it.
struct Planted {
    counter: Counter,
    bug: Bug,
}

impl StateMachine for Planted {
    fn apply(&mut self, index: LogIndex, command: &[u8]) -> Bytes {
        let count = APPLIED_COUNT.replace(APPLIED_COUNT.get() + 1);
        if self.bug == Bug::ApplyDiffers && count % 50 == 49 {
            return self.counter.apply(index, b"1000");
        }
        self.counter.apply(index, command)
    }

    fn query(&self, query: &[u8]) -> Bytes {
        self.counter.query(query)
    }

    fn snapshot(&self) -> SnapshotJob {
        let whole = self.counter.snapshot();
        match self.bug {
            Bug::SnapshotForgets => Box::new(move || {
                let mut bytes = whole().to_vec();
                bytes[7] &= 0xf0;
                bytes.into()
            }),
            Bug::None | Bug::ApplyDiffers => whole,
        }
    }

    fn restore(&mut self, snapshot: &[u8]) -> Result<(), CodecError> {
        self.counter.restore(snapshot)
    }
}

/// Counts while nodes crash and come back, long enough for snapshots to be taken and used.
fn count_under_faults(seed: u64, bug: Bug) {
    let setup = Cluster::of(3).tune(|cluster| cluster.snapshot_entries_count = 100);
    let setup = setup.machine(move || Planted { counter: Counter::default(), bug });
    let mut cluster = setup.seed(seed);
    for round in 0..3 {
        for addend in 1..=60 {
            let _ = cluster.propose(Bytes::from((addend + round).to_string()));
        }
        let name = format!("n{}", cluster.choose("counter.crash.node", round).between(1, 3));
        cluster.crash(&[&name]);
        cluster.run_for_ms(1_000);
        cluster.restart(&[&name]);
        cluster.run_for_ms(1_000);
    }
    cluster.within_ms(10_000).one_leader_and_equal_logs();
}

/// What the simulation says of the bug: the first seed that shows it, and how.
fn found(bug: Bug) -> Option<(u64, String)> {
    (1..=SEEDS_COUNT).find_map(|seed| {
        let run = std::panic::catch_unwind(|| run_isolated(move || count_under_faults(seed, bug)));
        let text = run.err().map(|panicked| {
            let text = panicked.downcast_ref::<String>().cloned().unwrap_or_default();
            text.lines().next().unwrap_or_default().to_owned()
        })?;
        Some((seed, text))
    })
}

fn main() -> ExitCode {
    // A bug that is found shows as a panic, and is told below.
    std::panic::set_hook(Box::new(|_| ()));
    let mut is_as_expected = true;
    for bug in [Bug::None, Bug::SnapshotForgets, Bug::ApplyDiffers] {
        match found(bug) {
            Some((seed, text)) => {
                println!("{bug:?}: found with seed {seed}: {text}");
                // A run that fails for another reason has found nothing.
                is_as_expected &= bug != Bug::None && text.contains("has another state");
            }
            None => {
                println!("{bug:?}: nothing found in {SEEDS_COUNT} seeds");
                is_as_expected &= bug == Bug::None;
            }
        }
    }
    if is_as_expected { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
