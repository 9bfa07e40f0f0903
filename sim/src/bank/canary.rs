//! The canary: runs that are fine, and lie to their checkers. Each must fail, for the lie.
//!
//! A tester that has gone blind finds nothing, and looks like a product without bugs.

use crate::cluster::{Cluster, Report};
use crate::scenarios::Scenario;

/// A run that lies, and what the checker must say.
struct Lie {
    scenario: Scenario,
    says: &'static str,
}

const LIES: [Lie; 3] = [
    Lie {
        scenario: Scenario { name: "canary_elected", tell: two_were_elected },
        says: "elected n1 and, as n2 says, n2",
    },
    Lie { scenario: Scenario { name: "canary_acting", tell: two_act }, says: "may act at once" },
    Lie {
        scenario: Scenario { name: "canary_acknowledged", tell: a_write_was_acknowledged },
        says: "never_written",
    },
];

/// Tells every lie; returns how many there are, or the first that somebody believed.
pub fn sing() -> Result<usize, String> {
    for Lie { scenario, says } in LIES {
        match scenario.run(1) {
            Err(text) if text.contains(says) => {}
            Err(text) => return Err(format!("{} fails for another reason: {text}", scenario.name)),
            Ok(_) => return Err(format!("{} passes: its checker is blind", scenario.name)),
        }
    }
    Ok(LIES.len())
}

fn quiet(seed: u64) -> Cluster {
    let mut cluster = Cluster::of(3).seed(seed);
    let _acked = cluster.write("colour", "blue").acked_within_ms(2_000);
    cluster
}

/// Nothing happens but the end.
fn end(mut cluster: Cluster) -> Report {
    cluster.within_ms(5_000).one_leader_and_equal_logs();
    cluster.check_invariants()
}

fn two_were_elected(seed: u64) -> Report {
    let mut cluster = quiet(seed);
    cluster.pretend_two_elected();
    end(cluster)
}

fn two_act(seed: u64) -> Report {
    let mut cluster = quiet(seed);
    cluster.pretend_two_act();
    end(cluster)
}

fn a_write_was_acknowledged(seed: u64) -> Report {
    let mut cluster = quiet(seed);
    cluster.pretend_acknowledged("never_written");
    end(cluster)
}
