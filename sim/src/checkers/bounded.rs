//! What waits or is kept stays below a bound with a name: queues, the log, open files, sockets.
//!
//! Looks, every [`LOOK_INTERVAL_MS`] of simulated time, at the open files and sockets of every
//! machine, and at the greatest depth so far of each queue for which core names a bound: writes and
//! reads that replication has admitted, writes that the log has not yet made durable. The entries
//! that a log keeps are counted at each append. The mailboxes of actix tell nobody their depth. But
//! an actor handles all that waits in one turn, and simulated time stands still meanwhile: how many
//! inputs an actor handles at one instant is at least the depth that its mailbox had. Questions
//! about its state, which are no inputs, are not counted. Not looked at: the memory of the process,
//! which other runs share (the soak looks).
//!
//! Source: Gregg 2013, section 2.5.9 (the USE method: each resource, its utilisation, saturation,
//! errors); issue 3.

use std::collections::BTreeMap;

use quorate_core::ids::{LogIndex, NodeId};
use quorate_core::last_inputs::ActorName;
use quorate_core::observe::{self, MostInputs, Told};

use super::{Checker, Machines, Seen};

/// Between two looks at machines and queues.
const LOOK_INTERVAL_MS: u64 = 250;
/// Open files of one machine.
const HANDLES_COUNT_MAX: usize = 64;
/// Sockets of one machine, in any state.
const SOCKETS_COUNT_MAX: usize = 256;
/// Entries that a log keeps beyond those of two snapshots: what replicas that are behind are sent,
/// and what is appended while a snapshot is written, or while consensus still means to send a dark
/// member what it lacks. A leader was seen that compacted nothing for 2.6 s, in which an overload
/// appended 4,200.
const KEPT_ENTRIES_COUNT: u64 = 8_000;

/// Inputs that the heartbeat of a node handles at one instant, and so the most that may wait in its
/// mailbox. In 300 storms it was 43: a machine that was frozen for seconds goes on.
const HEARTBEAT_INPUTS_COUNT_MAX: u64 = 256;
/// The same of membership. In 300 storms it was 40.
const MEMBERSHIP_INPUTS_COUNT_MAX: u64 = 256;
/// The same of replication. In 300 storms it was 54; what waits for consensus has its own bounds.
const REPLICATION_INPUTS_COUNT_MAX: u64 = 256;
/// The same of the leader actor, which hears of changes only. In 300 storms it was 9.
const LEADER_INPUTS_COUNT_MAX: u64 = 64;

/// Watches the sizes of everything.
#[derive(Debug)]
pub struct Bounded {
    entries_count_max: u64,
    /// Of each log: the last entry that is gone.
    gone: BTreeMap<NodeId, LogIndex>,
    look_at_ms: u64,
}

impl Bounded {
    /// For nodes that take a snapshot after so many entries.
    pub fn new(snapshot_entries_count: u64) -> Bounded {
        Bounded::keeping(snapshot_entries_count, KEPT_ENTRIES_COUNT)
    }

    /// The same, where so few are written that a log keeps fewer beyond those of two snapshots.
    pub fn keeping(snapshot_entries_count: u64, kept_entries_count: u64) -> Bounded {
        let entries_count_max = 2 * snapshot_entries_count + kept_entries_count;
        Bounded { entries_count_max, gone: BTreeMap::new(), look_at_ms: 0 }
    }
}

fn check(name: &str, what: &str, count: usize, count_max: usize) -> Result<(), String> {
    if count <= count_max {
        return Ok(());
    }
    Err(format!("{name} has {count} {what}, and {count_max} are the most that it should"))
}

fn inputs_count_max(actor: ActorName) -> u64 {
    match actor {
        ActorName::Membership => MEMBERSHIP_INPUTS_COUNT_MAX,
        ActorName::Heartbeat => HEARTBEAT_INPUTS_COUNT_MAX,
        ActorName::Replication => REPLICATION_INPUTS_COUNT_MAX,
        ActorName::Leader => LEADER_INPUTS_COUNT_MAX,
    }
}

fn check_inputs(most: &MostInputs) -> Result<(), String> {
    let MostInputs { actor, node, count } = most;
    let count_max = inputs_count_max(*actor);
    if *count <= count_max {
        return Ok(());
    }
    Err(format!("{actor} of {node} handled {count} inputs at one instant, {count_max} at most"))
}

impl Checker for Bounded {
    fn check(&mut self, _seen: &[Seen]) -> Result<(), String> {
        Ok(())
    }

    fn hear(&mut self, told: &Told) -> Result<(), String> {
        match told {
            Told::LogOpened { by, .. } => drop(self.gone.remove(by)),
            Told::Compacted { by, upto, .. } => drop(self.gone.insert(*by, *upto)),
            Told::Appended { by, index, .. } => {
                let gone = *self.gone.entry(*by).or_insert(LogIndex(index.0.saturating_sub(1)));
                let count = index.0.saturating_sub(gone.0);
                if count > self.entries_count_max {
                    let most = self.entries_count_max;
                    return Err(format!("the log of {by} keeps {count} entries, {most} at most"));
                }
            }
            Told::Elected { .. } | Told::VoteGranted { .. } | Told::Committed { .. } => {}
            Told::IdGiven { .. } | Told::ActingBegan { .. } | Told::ActingEnded { .. } => {}
            Told::VotersAppended { .. } | Told::Durable { .. } | Told::Truncated { .. } => {}
            Told::RosterFollowed { .. } | Told::MemberSeen { .. } => {}
            Told::DatagramTaken { .. } => {}
        }
        Ok(())
    }

    fn look(&mut self, machines: &dyn Machines) -> Result<(), String> {
        if machines.now_ms() < self.look_at_ms {
            return Ok(());
        }
        self.look_at_ms = machines.now_ms() + LOOK_INTERVAL_MS;
        for depth in observe::depths() {
            let (count, count_max) = (depth.count, depth.count_max);
            if count > count_max {
                let place = depth.place;
                return Err(format!("{place}: {count} wait, and {count_max} are the most"));
            }
        }
        observe::most_inputs().iter().try_for_each(check_inputs)?;
        for held in machines.held() {
            check(&held.name, "files open", held.handles_count, HANDLES_COUNT_MAX)?;
            check(&held.name, "sockets", held.sockets_count, SOCKETS_COUNT_MAX)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use quorate_core::ids::Term;
    use quorate_core::observe::Place;
    use quorate_core::replication::LogId;

    use super::super::Held;
    use super::*;
    use crate::cluster::{Cluster, Workload};
    use crate::run_isolated;

    /// Machines at a time, of which one holds so much open.
    struct Fake {
        now_ms: u64,
        handles_count: usize,
        sockets_count: usize,
    }

    impl Machines for Fake {
        fn synced(&self, _machine: IpAddr, _place: &Place) -> Option<LogId> {
            None
        }

        fn spoiled(&self, _machine: IpAddr) -> bool {
            false
        }

        fn now_ms(&self) -> u64 {
            self.now_ms
        }

        fn held(&self) -> Vec<Held> {
            let Fake { handles_count, sockets_count, .. } = *self;
            vec![Held { name: "n1".to_owned(), handles_count, sockets_count }]
        }
    }

    #[test]
    fn a_machine_that_holds_too_much_open_is_seen_at_the_next_look() {
        let mut checker = Bounded::new(100);
        let mut look = |now_ms, handles_count, sockets_count| {
            let machines = Fake { now_ms, handles_count, sockets_count };
            checker.look(&machines).err().unwrap_or_default()
        };
        assert_eq!(look(0, HANDLES_COUNT_MAX, SOCKETS_COUNT_MAX), "");
        assert_eq!(look(1, HANDLES_COUNT_MAX + 1, 0), "", "it has just looked");
        let text = format!(
            "n1 has {} files open, and {HANDLES_COUNT_MAX} are the most that it should",
            HANDLES_COUNT_MAX + 1
        );
        assert_eq!(look(LOOK_INTERVAL_MS, HANDLES_COUNT_MAX + 1, 0), text);
        assert_ne!(look(2 * LOOK_INTERVAL_MS, 0, SOCKETS_COUNT_MAX + 1), "");
        assert_eq!(look(3 * LOOK_INTERVAL_MS, 0, 0), "");
    }

    #[test]
    fn a_log_that_is_never_compacted_is_seen() {
        let by = NodeId(1);
        let appended = |index| {
            let (index, term) = (LogIndex(index), Term::default());
            Told::Appended { by, index, term, digest: 0 }
        };
        let compacted = |upto| Told::Compacted { by, upto: LogIndex(upto), term: Term::default() };
        let most = 2 * 100 + KEPT_ENTRIES_COUNT;
        let mut checker = Bounded::new(100);
        let mut heard = |told: Told| checker.hear(&told).err().unwrap_or_default();
        assert_eq!(heard(appended(1)), "");
        assert_eq!(heard(appended(most)), "");
        let text = format!("the log of n1 keeps {} entries, {most} at most", most + 1);
        assert_eq!(heard(appended(most + 1)), text);
        assert_eq!(heard(compacted(100)), "");
        assert_eq!(heard(appended(most + 100)), "");
        assert_ne!(heard(appended(most + 101)), "");
    }

    #[test]
    fn an_actor_with_too_many_inputs_at_one_instant_is_seen() {
        let most = |count| MostInputs { actor: ActorName::Leader, node: NodeId(2), count };
        assert_eq!(check_inputs(&most(LEADER_INPUTS_COUNT_MAX)), Ok(()));
        let text = "leader of n2 handled 65 inputs at one instant, 64 at most".to_owned();
        assert_eq!(check_inputs(&most(LEADER_INPUTS_COUNT_MAX + 1)), Err(text));
    }

    #[test]
    fn all_four_actors_of_every_node_are_counted_and_a_pause_fills_a_mailbox() {
        let counts = run_isolated(|| {
            let mut cluster = Cluster::of(3).seed(1);
            cluster.start_writers(Workload::default());
            let replica = (1..=3).map(|n| format!("n{n}")).find(|name| *name != cluster.leader());
            let replica = replica.expect("two of three do not lead");
            cluster.run_for_ms(1_000);
            let before = observe::most_inputs();
            cluster.freeze(&[&replica]);
            cluster.run_for_ms(2_000);
            cluster.thaw(&[&replica]);
            cluster.run_for_ms(1_000);
            (before, observe::most_inputs())
        });
        let most = |all: &[MostInputs]| all.iter().map(|one| one.count).max();
        assert_eq!((counts.0.len(), counts.1.len()), (12, 12), "{counts:?}");
        assert!(most(&counts.1) >= most(&counts.0).map(|before| 2 * before), "{counts:?}");
    }
}
