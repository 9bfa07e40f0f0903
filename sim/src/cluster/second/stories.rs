//! Ordinary stories that both worlds are told. What is promised must hold in either; how long it
//! takes, and in which order, may differ.
//!
//! Read next: [`Stage`] for the verbs, `scenarios/` for the stories of the first world alone.

use super::super::Cluster;
use super::super::verbs::Acked;

/// What a story needs of a world with whole nodes in it. Each verb ends the run if what it promises
/// does not come true.
pub trait Stage {
    /// Every node, in order.
    fn names(&self) -> Vec<String>;
    /// A client writes, at any node, until it is acknowledged.
    fn write(&mut self, name: &str, value: &str, within_ms: u64) -> Acked;
    /// A client writes at this node, and is not told within this time that it is done.
    fn write_in_vain(&mut self, name: &str, value: &str, via: &str, ms: u64);
    /// A linearizable read shows what was acknowledged.
    fn sees(&mut self, name: &str, acked: &Acked);
    /// One node may act that is none of these; its name.
    fn one_leads(&mut self, not: &[&str], within_ms: u64) -> String;
    /// No node may act.
    fn nobody_leads(&mut self, within_ms: u64);
    /// The process dies.
    fn crash(&mut self, name: &str);
    /// It starts again.
    fn restart(&mut self, name: &str);
    /// No message passes between these and the others.
    fn cut_off(&mut self, names: &[&str]);
    /// All links are set right.
    fn heal(&mut self);
    /// This much simulated time passes.
    fn pass_ms(&mut self, ms: u64);
    /// One leads, every node has executed the same, and clients were told nothing else.
    fn settles(&mut self, within_ms: u64);
}

/// A story, its name, and how many nodes it needs.
#[derive(Clone, Copy)]
pub struct Story {
    /// For a failure to be told by.
    pub name: &'static str,
    /// Voters.
    pub nodes_count: u8,
    /// Tells it; panics if a promise does not hold.
    pub tell: fn(&mut dyn Stage),
}

/// Every story of both worlds.
pub const STORIES: [Story; 3] = [
    Story { name: "write_and_read", nodes_count: 3, tell: what_is_written_is_read },
    Story { name: "leader_crash", nodes_count: 3, tell: the_leader_crashes_and_comes_back },
    Story { name: "half_partition", nodes_count: 4, tell: half_of_the_cluster_is_cut_off },
];

/// Every acknowledged write is what the next read shows, wherever both are asked.
fn what_is_written_is_read(stage: &mut dyn Stage) {
    for round in 0..20 {
        let name = format!("key{}", round % 3);
        let acked = stage.write(&name, &format!("v{round}"), 1_000);
        stage.sees(&name, &acked);
    }
    stage.settles(5_000);
}

/// The leader's process dies, twice, and comes back. Each time another leads soon, clients can
/// write, and in the end nothing that was acknowledged is missing anywhere.
fn the_leader_crashes_and_comes_back(stage: &mut dyn Stage) {
    let blue = stage.write("colour", "blue", 2_000);
    for round in ["first", "second"] {
        let leader = stage.one_leads(&[], 3_000);
        stage.crash(&leader);
        stage.one_leads(&[&leader], 3_000);
        let away = stage.write("while_away", round, 3_000);
        stage.sees("while_away", &away);
        stage.restart(&leader);
        stage.pass_ms(1_000);
        stage.write("after", round, 3_000);
    }
    stage.settles(10_000);
    stage.sees("colour", &blue);
}

/// The leader and one more of four are cut off from the other two. The leader stops to act within
/// its lease, nobody acknowledges anything, and after the heal the cluster goes on by itself.
fn half_of_the_cluster_is_cut_off(stage: &mut dyn Stage) {
    let blue = stage.write("colour", "blue", 2_000);
    let leader = stage.one_leads(&[], 3_000);
    let others: Vec<String> = stage.names().into_iter().filter(|name| *name != leader).collect();
    stage.cut_off(&[&leader, &others[0]]);
    stage.nobody_leads(1_500);
    stage.write_in_vain("size", "small", &others[1], 1_000);
    stage.write_in_vain("size", "medium", &leader, 1_000);
    stage.pass_ms(2_000);

    stage.heal();
    stage.one_leads(&[], 10_000);
    let round = stage.write("shape", "round", 5_000);
    stage.pass_ms(1_000);
    stage.settles(10_000);
    stage.sees("colour", &blue);
    stage.sees("shape", &round);
}

impl Stage for Cluster {
    fn names(&self) -> Vec<String> {
        Cluster::names(self)
    }

    fn write(&mut self, name: &str, value: &str, within_ms: u64) -> Acked {
        Cluster::write(self, name, value).acked_within_ms(within_ms)
    }

    fn write_in_vain(&mut self, name: &str, value: &str, via: &str, ms: u64) {
        Cluster::write(self, name, value).via(via).not_acked_within_ms(ms);
    }

    fn sees(&mut self, name: &str, acked: &Acked) {
        self.read(name).sees(acked);
    }

    fn one_leads(&mut self, not: &[&str], within_ms: u64) -> String {
        self.within_ms(within_ms).another_leads(not)
    }

    fn nobody_leads(&mut self, within_ms: u64) {
        self.within_ms(within_ms).nobody_leads();
    }

    fn crash(&mut self, name: &str) {
        Cluster::crash(self, &[name]);
    }

    fn restart(&mut self, name: &str) {
        Cluster::restart(self, &[name]);
    }

    fn cut_off(&mut self, names: &[&str]) {
        self.partition(names);
    }

    fn heal(&mut self) {
        Cluster::heal(self);
    }

    fn pass_ms(&mut self, ms: u64) {
        self.run_for_ms(ms);
    }

    fn settles(&mut self, within_ms: u64) {
        self.within_ms(within_ms).one_leader_and_equal_logs();
        self.check_invariants();
    }
}
