//! Linearizability: some order of all operations, as the clients saw them begin and end, explains
//! every answer, those of reads included.
//!
//! Judged two times. The version order takes the order from the log indexes of the answers; the
//! search looks at times and values alone, so that no fault in the indexes can please it. What the
//! search gives up counts against the run beyond one operation in a hundred.
//!
//! Source: Herlihy & Wing 1990, section 2; core/src/history/version_order.rs and wing_gong.rs.

use quorate_core::history::Operation;
use quorate_core::history::contradiction::Contradiction;
use quorate_core::history::version_order::VersionOrder;
use quorate_core::history::wing_gong::{self, Limits};

/// Largest share of operations about which the search may know nothing.
const UNKNOWN_SHARE_MAX: f64 = 0.01;
/// How many contradictions of each judge a failure shows.
const TOLD_COUNT_MAX: usize = 10;

/// What is wrong with the whole history of one run, one line each; nothing if all is well.
pub(super) fn findings(history: &[Operation]) -> Vec<String> {
    let order = VersionOrder::of(history);
    let found = wing_gong::judge(history, Limits::default());
    let told = |contradictions: Vec<Contradiction>| {
        let told = contradictions.into_iter().take(TOLD_COUNT_MAX);
        told.map(|one| one.text(history))
    };
    let share = found.unknown_share();
    let mut findings: Vec<String> =
        told(order.contradictions).chain(told(found.contradictions)).collect();
    if share > UNKNOWN_SHARE_MAX {
        let (unknown, all) = (found.unknown_count, found.operations_count);
        findings.push(format!("whether {unknown} of {all} operations have an order is not known"));
    }
    findings
}
