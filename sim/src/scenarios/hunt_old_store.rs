//! A disk that an older build has written, and a cluster of this build that grows out of it.
//!
//! The bytes are kept in the repository: nodes of one build understand each other whatever their
//! layouts, and only bytes that stay tell whether those have changed.
//!
//! Read next: `old_store.rs` for how the bytes are kept.

use super::old_store::OldStore;
use crate::cluster::{Cluster, Report, Setup, Workload};

/// Written by the first build that kept one; never written anew. A layout that is to change on
/// purpose gets a store of its own beside this one. The state machine of these tests is in it, too:
/// what `Objects` and `Recorded` write stays as well.
const FIRST: &str = include_str!("../../old_stores/1.txt");

/// The first node starts on a disk of an older build: its identity, a snapshot, and entries after
/// it. Two more join and are promoted, the first goes down, and what clients were told when the
/// disk was written is still there, by the word of nodes that have it from the log alone.
pub(super) fn a_store_of_an_older_build_is_served(seed: u64) -> Report {
    serve(seed, OldStore::parse(FIRST))
}

fn setup() -> Setup {
    Cluster::of(3).tune(|shared| {
        shared.founders_count = Some(1);
        shared.snapshot_entries_count = 100;
    })
}

fn serve(seed: u64, store: OldStore) -> Report {
    let OldStore { files, told } = store;
    assert!(told.len() >= 3, "a store that holds nothing proves nothing");
    let mut cluster = setup().disk(files).seed(seed);
    let remember = |(name, value, index): &(String, String, u64)| {
        (name.clone(), cluster.remember(name, value, *index))
    };
    let acked: Vec<_> = told.iter().map(remember).collect();
    cluster.start_writers(Workload::default());
    let joined = [cluster.add_member("n2"), cluster.add_member("n3")];
    cluster.promote(&joined);
    cluster.run_for_ms(cluster.choose("hunt_old_store.together_ms", 1).between(0, 500));
    cluster.cut_power(&["n1"]);
    for (name, acked) in &acked {
        cluster.read(name).sees(acked);
    }
    cluster.restore_power(&["n1"]);
    cluster.stop_writers();
    cluster.within_ms(10_000).one_leader_and_equal_logs();
    cluster.check_invariants()
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use quorate_core::history::Outcome;

    use super::*;
    use crate::world::run_isolated;

    /// Enough for a snapshot, and some entries after it.
    const WRITES_COUNT: u64 = 104;
    const NAMES_COUNT: u64 = 10;

    /// What a node of this build leaves on its disk.
    fn written() -> OldStore {
        let mut cluster = setup().links(Default::default()).seed(1);
        for number in 0..WRITES_COUNT {
            let name = format!("old-{}", number % NAMES_COUNT);
            let _acked = cluster.write(&name, &format!("v{number}")).acked_within_ms(2_000);
        }
        // The newest snapshot is written, and the log behind it compacted.
        cluster.run_for_ms(2_000);
        cluster.cut_power(&["n1"]);
        let told = cluster.ledger().operations().iter().rev().take(NAMES_COUNT as usize);
        let told = told.zip((0..WRITES_COUNT).rev()).map(|(one, number)| {
            assert_eq!(one.outcome, Outcome::Acknowledged);
            let index = one.log_index.expect("an acknowledged write has an index");
            (one.key.clone(), format!("v{number}"), index)
        });
        let disk = cluster.world().disk(cluster.machine("n1"));
        let paths = ["", "log"].map(|dir| disk.list(dir.as_ref()).expect("the disk is well"));
        let content = |path: &PathBuf| {
            let bytes = disk.read(path).expect("the disk is well").expect("it was listed");
            (path.clone(), bytes)
        };
        OldStore { told: told.collect(), files: paths.iter().flatten().map(content).collect() }
    }

    /// With `QUORATE_KEEP_STORE=FILE` it is kept: how the first was, and the next will be.
    #[test]
    fn a_store_of_this_build_is_served_as_well() {
        let text = run_isolated(|| written().to_text());
        if let Some(path) = std::env::var_os("QUORATE_KEEP_STORE") {
            assert!(text.len() < 64 << 10, "{} bytes are too many to keep", text.len());
            std::fs::write(path, &text).expect("the place is writable");
        }
        let report = run_isolated(move || serve(2, OldStore::parse(&text)));
        assert!(report.acknowledged_count > NAMES_COUNT, "{report:?}");
    }
}
