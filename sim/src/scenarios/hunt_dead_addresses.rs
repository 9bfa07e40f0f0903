//! A client that knows three addresses, of which two are dead.

use quorate_core::codec::encode;
use quorate_core::key_value::{Command, KeyValue};

use crate::cluster::{Cluster, Report};

/// By then a client that knows one living member has its answer.
const ANSWERED_BY_MS: u64 = 1_000;

/// Two of five nodes die, each in its own way: its process crashes, its machine goes dark, its
/// process stops and still accepts, its machine is suspended, or (the first only: with both of them
/// the client's node would be a majority) it lives and hears no other member but the one beside the
/// client. Somebody leads the others. A client that knows these two and one
/// that lives has its write acknowledged in less than a second, whoever leads, and knows all five
/// then.
pub(super) fn one_living_address_of_three_is_enough(seed: u64) -> Report {
    let mut cluster = Cluster::of(5).machine(KeyValue::new).links(Default::default()).seed(seed);
    let command = Command::Put { key: "shape".to_owned(), value: "round".into() };
    if !matches!(cluster.propose(encode(&command).into()), Some(Ok(_))) {
        cluster.reject("nobody is dead, and a write is not acknowledged");
    }
    let mut names = ["n1", "n2", "n3", "n4", "n5"];
    for at in (1..names.len()).rev() {
        let other = cluster.choose("hunt_dead_addresses.order", at as u64).between(0, at as u64);
        names.swap(at, other as usize);
    }
    let [host, first, second, alive, other] = names;
    for (number, victim) in [(1, first), (2, second)] {
        match cluster.choose("hunt_dead_addresses.dies", number).between(0, 5 - number) {
            0 => cluster.crash(&[victim]),
            1 => cluster.cut_power(&[victim]),
            2 => cluster.freeze_processes(&[victim]),
            3 => cluster.freeze(&[victim]),
            _ => cluster.bridge(&[victim], &[alive, other]),
        }
    }
    cluster.within_ms(10_000).another_leads(&[first, second]);
    cluster.run_for_ms(cluster.choose("hunt_dead_addresses.later_ms", 1).between(100, 2_000));

    let mut known = [first, second, alive];
    known.rotate_left(cluster.choose("hunt_dead_addresses.rotated", 1).between(0, 2) as usize);
    let list = cluster.put_through_api(host, &known, ("colour", "blue"), ANSWERED_BY_MS);
    if list.members.len() != 5 {
        cluster.reject(&format!("the client knows of {list:?} only"));
    }
    cluster.calm();
    cluster.restart_all();
    cluster.within_ms(20_000).one_leader_and_equal_logs();
    cluster.report()
}
