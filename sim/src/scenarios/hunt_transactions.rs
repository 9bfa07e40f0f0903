//! Transactions whose conditions hold, and some whose conditions do not.

use bytes::Bytes;
use quorate_core::codec::{decode, encode};
use quorate_core::ids::LogIndex;
use quorate_core::key_value::{
    Check, Command, KeyValue, Operation, Query, QueryReply, Transaction,
};

use crate::cluster::{Cluster, Code, Report};

/// Each of them writes two keys, and every other one wants a key to be absent that is there.
const TRANSACTIONS_COUNT: u64 = 12;
/// By then every node has heard of the leader. Until then one may refuse, and is asked again.
const HEARD_WITHIN_MS: u64 = 2_000;

/// Transactions are proposed while leaders die. One whose condition fails leaves no key behind, and
/// one that is acknowledged has written both, on every node.
pub(super) fn a_transaction_happens_as_a_whole_or_not_at_all(seed: u64) -> Report {
    let mut cluster = Cluster::of(3).machine(KeyValue::default).seed(seed);
    let dies_after =
        cluster.choose("hunt_transactions.dies_after", 1).between(2, TRANSACTIONS_COUNT);
    let mut acked_count = 0;
    for number in 1..=TRANSACTIONS_COUNT {
        let put =
            |side: &str| Operation::Put { key: format!("{side}{number}"), value: "yes".into() };
        let is_refused = number % 2 == 0;
        let key = if is_refused { "left1".to_owned() } else { format!("left{number}") };
        let checks = vec![Check { key, expected: LogIndex(0) }];
        let operations = vec![put("left"), put("right")];
        let command = Command::Transaction(Transaction { checks, operations });
        let is_acked = propose(&mut cluster, &command);
        assert!(number > 1 || is_acked, "the first must be there for those that follow");
        acked_count += u64::from(is_acked);
        if number == dies_after {
            let leader = cluster.leader();
            cluster.crash(&[&leader]);
            cluster.within_ms(5_000).another_leads(&[&leader]);
            cluster.restart(&[&leader]);
        }
    }
    cluster.within_ms(10_000).one_leader_and_equal_logs();
    for name in cluster.names() {
        for number in 1..=TRANSACTIONS_COUNT {
            let there = ["left", "right"].map(|side| has(&mut cluster, &name, side, number));
            assert!(there[0] == there[1], "{name} has a part of transaction {number}: {there:?}");
            assert!(
                !(there[0] && number % 2 == 0),
                "{name} has executed transaction {number}, whose condition did not hold"
            );
        }
    }
    assert!(acked_count * 2 > TRANSACTIONS_COUNT, "{acked_count} were acknowledged");
    cluster.report()
}

fn propose(cluster: &mut Cluster, command: &Command) -> bool {
    let end_ms = cluster.world().now_ms() + HEARD_WITHIN_MS;
    loop {
        let told = cluster.propose(encode(command).into());
        let is_unknown = match &told {
            Some(Ok(_)) => return true,
            Some(Err(error)) => Code::of(error) == Code::OutcomeUnknown,
            None => true,
        };
        // What may have happened is not asked for again.
        if is_unknown || cluster.world().now_ms() >= end_ms {
            return false;
        }
        cluster.run_for_ms(20);
    }
}

fn has(cluster: &mut Cluster, name: &str, side: &str, number: u64) -> bool {
    let query = encode(&Query::Get { key: format!("{side}{number}") });
    let answer = cluster.stale_read(name, Bytes::from(query));
    let answer = answer.unwrap_or_else(|| panic!("{name} answers no question"));
    match decode("key-value answer", &answer) {
        Ok(QueryReply::Get(found)) => found.is_some(),
        other => panic!("{name} answers {other:?}"),
    }
}
