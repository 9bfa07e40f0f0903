//! Half of an even cluster goes down, in every way there is.

use super::WRITTEN_BY_MS;
use crate::cluster::{Cluster, Report, Workload};

/// By then the lease of whoever led has run out, and what was committed has reached its clients.
const LEASE_OVER_MS: u64 = 1_600;

/// Which half goes down.
#[derive(Clone, Copy, Debug)]
enum Half {
    /// Everybody in the zone `east`, or in `west`.
    Zone(usize),
    WithLeader,
    WithoutLeader,
}

const HALVES: [(&str, Half); 4] = [
    ("zone east", Half::Zone(0)),
    ("zone west", Half::Zone(1)),
    ("half with the leader", Half::WithLeader),
    ("half without the leader", Half::WithoutLeader),
];

/// Half of four or six nodes in two zones goes down: at once or one by one, with the leader or
/// without, by crash, power or cut links; the halves take turns. While half is away nobody
/// acknowledges anything once the lease is over; afterwards all is there.
pub(super) fn half_of_the_cluster_goes_down(seed: u64) -> Report {
    let choices = crate::choices::Choices::of(seed);
    let nodes_count = *choices.chosen("half_outage.nodes", 0).one_of(&[("four", 4), ("six", 6)]);
    let mut cluster = Cluster::of(nodes_count).seed(seed);
    let blue = cluster.write("colour", "blue").acked_within_ms(2_000);
    cluster.start_writers(Workload::default());
    let rounds_count = cluster.choose("half_outage.rounds", 0).between(2, 4);
    for round in 1..=rounds_count {
        half_is_away(&mut cluster, round);
    }
    cluster.within_ms(WRITTEN_BY_MS).acknowledged(10);
    cluster.stop_writers();
    cluster.within_ms(15_000).one_leader_and_equal_logs();
    cluster.read("colour").sees(&blue);
    cluster.check_invariants()
}

/// The nodes of that half, in the order in which they go down.
fn names_of(cluster: &mut Cluster, half: Half) -> Vec<String> {
    let leader = cluster.leader();
    let names = cluster.names();
    let count = names.len() / 2;
    let others = names.iter().filter(|name| **name != leader).cloned();
    match half {
        Half::Zone(zone) => names[zone * count..][..count].to_vec(),
        Half::WithLeader => others.take(count - 1).chain([leader.clone()]).collect(),
        Half::WithoutLeader => others.take(count).collect(),
    }
}

fn half_is_away(cluster: &mut Cluster, round: u64) {
    let site =
        |cluster: &Cluster, name: &str| cluster.choose(&format!("half_outage.{name}"), round);
    cluster.run_for_ms(site(cluster, "pause_ms").between(300, 1_000));
    let half = *site(cluster, "half").one_of(&HALVES);
    let gap_ms = site(cluster, "gap_ms").between(0, 1) * site(cluster, "gap_ms").between(0, 900);
    let how = *site(cluster, "how").one_of(&[("crash", 0), ("power cut", 1), ("partition", 2)]);
    let names = names_of(cluster, half);
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    for name in &names {
        match how {
            0 => cluster.crash(&[name]),
            1 => cluster.cut_power(&[name]),
            // Its links to the others go down; those inside of the half stay.
            _ => cluster.cut_off(name, &names),
        }
        cluster.run_for_ms(gap_ms);
    }
    cluster.within_ms(LEASE_OVER_MS).nobody_leads();
    cluster.run_for_ms(100); // what was committed before reaches its clients
    let before_count = cluster.ledger().acknowledged_count;
    cluster.run_for_ms(site(cluster, "lasts_ms").between(500, 3_000));
    let during_count = cluster.ledger().acknowledged_count - before_count;
    assert!(during_count == 0, "{during_count} writes were acknowledged by half of the cluster");
    match how {
        0 | 1 => cluster.restart(&names),
        _ => cluster.heal(),
    }
    cluster.within_ms(10_000).one_leads();
    cluster.write("after", &round.to_string()).acked_within_ms(5_000);
}
