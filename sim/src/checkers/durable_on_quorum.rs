//! Commit durable on a quorum: what is reported as committed lies on the disks of a majority.
//!
//! Looks, for each entry, at the end of the instant in which a node first reports it as committed,
//! before any client is told. Of every voter that has counted the entry as durable it reads the
//! record from the *synced* part of the disk, at the place that the node has named, with its
//! checksum. The entry must be found so on a majority of each voter set of the membership that
//! stood last in the leader's log at that moment; a joint membership has two sets. An entry whose
//! node names no place for it counts as nowhere.
//!
//! Not looked at: entries that the reporting node has as a snapshot only, and whether the groups
//! before the record can be read, which were looked at when their own entries were committed.
//!
//! Excused: a disk that the scenario has made lie or rot, or has wiped ([`Machines::spoiled`]).
//! There the word of the node counts for what the disk no longer shows, and nowhere else.
//!
//! Source: Ongaro & Ousterhout 2014, section 5.3 and figure 2 (persistent before answering);
//! promise 10.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use quorate_core::ids::{LogIndex, NodeId, Term};
use quorate_core::observe::{Place, Told};
use quorate_core::replication::LogId;

use super::logs::{Log, Logs};
use super::{Checker, Machines, Seen};

type Sets = Vec<BTreeSet<NodeId>>;

/// What each node counts as durable, and what the voters were at which entry.
#[derive(Debug, Default)]
pub struct DurableOnQuorum {
    logs: Logs,
    addresses: BTreeMap<NodeId, IpAddr>,
    durable: BTreeMap<NodeId, BTreeMap<LogIndex, Option<Place>>>,
    /// Whom each node follows.
    leaders: BTreeMap<NodeId, NodeId>,
    voters: BTreeMap<(LogIndex, Term), Sets>,
    /// Those of them that were committed.
    settled: BTreeMap<LogIndex, Sets>,
    /// The last entry that was reported.
    reported: LogIndex,
    /// Reported in this instant, to be looked at when it is over.
    to_look_at: Vec<Committed>,
}

/// An entry that was reported, and who counts it as durable.
#[derive(Debug)]
struct Committed {
    by: NodeId,
    index: LogIndex,
    term: Term,
    sets: Sets,
    copies: BTreeMap<NodeId, (IpAddr, Option<Place>)>,
}

impl DurableOnQuorum {
    fn committed(&mut self, by: NodeId, upto: LogIndex) {
        let first = self.reported.0 + 1;
        self.reported = self.reported.max(upto);
        let Some(log) = self.logs.get(by) else { return };
        for index in (first..=upto.0).map(LogIndex) {
            let Some(term) = log.term_at(index) else { continue };
            if let Some(sets) = self.voters.get(&(index, term)) {
                self.settled.insert(index, sets.clone());
            }
            let leader = self.leaders.get(&by).and_then(|leader| self.logs.get(*leader));
            let leader = leader.filter(|leader| leader.term_at(index) == Some(term));
            let sets = self.in_force(leader.unwrap_or(log));
            let voters: BTreeSet<NodeId> = sets.iter().flatten().copied().collect();
            let copy = |node: NodeId| {
                let place = self.durable.get(&node)?.get(&index)?;
                Some((node, (*self.addresses.get(&node)?, *place)))
            };
            let copies = voters.into_iter().filter_map(copy).collect();
            self.to_look_at.push(Committed { by, index, term, sets, copies });
        }
    }

    /// The voters that stand last in this log.
    fn in_force(&self, log: &Log) -> Sets {
        let held = |((index, term), _): &(&(LogIndex, Term), _)| log.term_at(*index) == Some(*term);
        let newest = self.voters.iter().rev().find(held).map(|((index, _), sets)| (*index, sets));
        let settled = self.settled.range(..=log.last()).next_back();
        let settled = settled.map(|(index, sets)| (*index, sets));
        let last = newest.into_iter().chain(settled).max_by_key(|(index, _)| *index);
        last.map(|(_, sets)| sets.clone()).unwrap_or_default()
    }

    fn note_durable(&mut self, by: NodeId, index: LogIndex, place: Option<Place>) {
        self.durable.entry(by).or_default().insert(index, place);
    }
}

impl Committed {
    /// Whether the disk of this node has the entry.
    fn is_on_disk_of(&self, node: NodeId, machines: &dyn Machines) -> bool {
        let Some((address, place)) = self.copies.get(&node) else { return false };
        let found = place.and_then(|place| machines.synced(*address, &place));
        let entry = LogId { term: self.term, index: self.index };
        found == Some(entry) || machines.spoiled(*address)
    }

    fn check(&self, machines: &dyn Machines) -> Result<(), String> {
        let Committed { by, index, term, sets, .. } = self;
        for set in sets {
            let mut holders = set.iter().filter(|node| self.is_on_disk_of(**node, machines));
            if holders.nth(set.len() / 2).is_none() {
                let holders = set.iter().filter(|node| self.is_on_disk_of(**node, machines));
                let holders: BTreeSet<_> = holders.map(NodeId::to_string).collect();
                let set: BTreeSet<_> = set.iter().map(NodeId::to_string).collect();
                return Err(format!(
                    "{by} has entry {index} of term {term} as committed, which of the voters \
                     {set:?} has been synced on the disks of {holders:?} only"
                ));
            }
        }
        Ok(())
    }
}

impl Checker for DurableOnQuorum {
    fn check(&mut self, _seen: &[Seen]) -> Result<(), String> {
        Ok(())
    }

    fn hear(&mut self, told: &Told) -> Result<(), String> {
        match told {
            Told::LogOpened { by, address } => {
                self.addresses.insert(*by, *address);
                self.durable.remove(by);
            }
            Told::Elected { by, node, .. } => drop(self.leaders.insert(*by, *node)),
            Told::VotersAppended { index, term, sets, .. } => {
                self.voters.insert((*index, *term), sets.clone());
            }
            Told::Durable { by, index, place } => self.note_durable(*by, *index, *place),
            Told::Truncated { by, after } => {
                let durable = self.durable.entry(*by).or_default();
                durable.split_off(&LogIndex(after.0 + 1));
            }
            Told::Compacted { by, upto, .. } => {
                let durable = self.durable.entry(*by).or_default();
                *durable = durable.split_off(&LogIndex(upto.0 + 1));
            }
            Told::Committed { by, index, .. } => self.committed(*by, *index),
            Told::VoteGranted { .. } | Told::IdGiven { .. } | Told::Appended { .. } => {}
            Told::ActingBegan { .. } | Told::ActingEnded { .. } => {}
            Told::RosterFollowed { .. } | Told::MemberSeen { .. } => {}
            Told::DatagramTaken { .. } => {}
        }
        // What no log can do is for log matching to tell.
        let _ = self.logs.hear(told);
        Ok(())
    }

    fn look(&mut self, machines: &dyn Machines) -> Result<(), String> {
        std::mem::take(&mut self.to_look_at).iter().try_for_each(|one| one.check(machines))
    }
}

#[cfg(test)]
mod tests {
    use quorate_core::ids::Generation;

    use super::super::Held;
    use super::*;

    const TERM: Term = Term::new(Generation(0), 1);

    fn address(node: u64) -> IpAddr {
        [10, 0, 0, node as u8].into()
    }

    fn set(nodes: &[u64]) -> BTreeSet<NodeId> {
        nodes.iter().copied().map(NodeId).collect()
    }

    /// Machines on which the node with that number has its records, and spoiled ones. The offset of
    /// a place is the index of its entry.
    #[derive(Default)]
    struct Fake {
        holders: BTreeSet<NodeId>,
        spoiled: BTreeSet<NodeId>,
    }

    impl Machines for Fake {
        fn synced(&self, machine: IpAddr, place: &Place) -> Option<LogId> {
            let is_held = self.holders.iter().any(|node| address(node.0) == machine);
            is_held.then_some(LogId { term: TERM, index: LogIndex(place.offset) })
        }

        fn spoiled(&self, machine: IpAddr) -> bool {
            self.spoiled.iter().any(|node| address(node.0) == machine)
        }

        fn now_ms(&self) -> u64 {
            0
        }

        fn held(&self) -> Vec<Held> {
            Vec::new()
        }
    }

    /// Nodes with a log of their own, and what they tell of it.
    #[derive(Default)]
    struct Nodes(DurableOnQuorum);

    impl Nodes {
        fn begin() -> Nodes {
            let mut told = Nodes::default();
            for node in 1..=5 {
                told.hear(Told::LogOpened { by: NodeId(node), address: address(node) });
            }
            told
        }

        fn hear(&mut self, told: Told) {
            self.0.hear(&told).expect("it is judged at the end of the instant");
        }

        fn append(&mut self, nodes: &[u64], index: u64) {
            let index = LogIndex(index);
            for by in set(nodes) {
                self.hear(Told::Appended { by, index, term: TERM, digest: 0 });
            }
        }

        fn append_voters(&mut self, nodes: &[u64], index: u64, sets: &[&[u64]]) {
            self.append(nodes, index);
            let sets: Sets = sets.iter().map(|nodes| set(nodes)).collect();
            for by in set(nodes) {
                let (index, sets) = (LogIndex(index), sets.clone());
                self.hear(Told::VotersAppended { by, index, term: TERM, sets });
            }
        }

        fn durable(&mut self, nodes: &[u64], index: u64) {
            let place = Place { segment: 1, group: 1, offset: index, size_bytes: 64 };
            for by in set(nodes) {
                let place = Some(place);
                self.hear(Told::Durable { by, index: LogIndex(index), place });
            }
        }

        fn elect(&mut self, node: u64) {
            let (by, node) = (NodeId(node), NodeId(node));
            self.hear(Told::Elected { by, node, term: TERM });
        }

        /// What is wrong once the node reports the entry, with these on whose disks it lies.
        fn committed(
            &mut self,
            by: u64,
            index: u64,
            (holders, spoiled): (&[u64], &[u64]),
        ) -> String {
            self.hear(Told::Committed { by: NodeId(by), index: LogIndex(index), term: TERM });
            let disks = Fake { holders: set(holders), spoiled: set(spoiled) };
            self.0.look(&disks).err().unwrap_or_default()
        }
    }

    /// Three voters, of whom the first leads.
    fn three() -> Nodes {
        let mut told = Nodes::begin();
        told.elect(1);
        told.append_voters(&[1, 2, 3], 1, &[&[1, 2, 3]]);
        told.durable(&[1, 2, 3], 1);
        assert_eq!(told.committed(1, 1, (&[1, 2, 3], &[])), "");
        told
    }

    #[test]
    fn an_entry_on_the_disks_of_a_minority_is_seen() {
        let story = |counting: &[u64], holders: &[u64]| {
            let mut told = three();
            told.append(&[1, 2, 3], 2);
            told.durable(counting, 2);
            told.committed(1, 2, (holders, &[]))
        };
        assert_eq!(story(&[1, 2, 3], &[1, 2, 3]), "");
        assert_eq!(story(&[2, 3], &[2, 3]), "", "the leader's own disk may be late");
        let text = |holders: &str| {
            format!(
                "n1 has entry 2 of term 0.1 as committed, which of the voters \
                 {{\"n1\", \"n2\", \"n3\"}} has been synced on the disks of {holders} only"
            )
        };
        assert_eq!(story(&[1, 2, 3], &[2]), text("{\"n2\"}"), "two have not synced it");
        assert_eq!(story(&[2], &[1, 2, 3]), text("{\"n2\"}"), "two have not said so");
        assert_eq!(story(&[], &[1, 2, 3]), text("{}"));
    }

    #[test]
    fn an_entry_without_a_place_or_with_another_in_its_place_is_nowhere() {
        let mut told = three();
        told.append(&[1, 2, 3], 2);
        for by in set(&[1, 2, 3]) {
            told.hear(Told::Durable { by, index: LogIndex(2), place: None });
        }
        assert_ne!(told.committed(1, 2, (&[1, 2, 3], &[])), "");

        let mut told = three();
        told.append(&[1, 2, 3], 2);
        for by in set(&[1, 2, 3]) {
            let place = Some(Place { segment: 1, group: 1, offset: 1, size_bytes: 64 });
            told.hear(Told::Durable { by, index: LogIndex(2), place });
        }
        assert_ne!(told.committed(1, 2, (&[1, 2, 3], &[])), "", "entry 1 stands there");
    }

    #[test]
    fn a_spoiled_disk_is_excused_if_its_node_has_counted_on_it() {
        let story = |counting: &[u64], spoiled: &[u64]| {
            let mut told = three();
            told.append(&[1, 2, 3], 2);
            told.durable(counting, 2);
            told.committed(1, 2, (&[1], spoiled))
        };
        assert_eq!(story(&[1, 2], &[2]), "");
        assert_ne!(story(&[1, 2], &[3]), "", "another disk is spoiled");
        assert_ne!(story(&[1], &[2]), "", "the node has not said that it has the entry");
    }

    #[test]
    fn both_sets_of_a_joint_change_need_a_majority_from_its_entry_on() {
        let story = |holders: &[u64]| {
            let mut told = three();
            told.append_voters(&[1, 2, 3], 2, &[&[1, 2, 3], &[3, 4, 5]]);
            told.append(&[4, 5], 1);
            told.append(&[4, 5], 2);
            told.durable(&[1, 2, 3, 4, 5], 2);
            told.committed(1, 2, (holders, &[]))
        };
        assert_eq!(story(&[1, 3, 4]), "");
        assert!(story(&[1, 2, 3]).contains("{\"n3\", \"n4\", \"n5\"}"));
        assert!(story(&[3, 4, 5]).contains("{\"n1\", \"n2\", \"n3\"}"));
    }

    #[test]
    fn voters_whose_entry_gave_way_or_lies_in_a_snapshot_are_known() {
        let mut told = three();
        let (by, index, term) = (NodeId(1), LogIndex(2), Term::default());
        told.hear(Told::Appended { by, index, term, digest: 0 });
        told.hear(Told::VotersAppended { by, index, term, sets: vec![set(&[1])] });
        told.hear(Told::Truncated { by: NodeId(1), after: LogIndex(1) });
        told.append(&[1, 2, 3], 2);
        told.durable(&[1], 2);
        assert_ne!(told.committed(1, 2, (&[1], &[])), "", "the first voters stand");

        let mut told = three();
        told.hear(Told::Compacted { by: NodeId(1), upto: LogIndex(1), term: TERM });
        told.append(&[1, 2, 3], 2);
        told.durable(&[1], 2);
        assert_ne!(told.committed(1, 2, (&[1], &[])), "", "the voters are in a snapshot");
    }

    /// A replica that has not heard of the new voters may be the first to report what they have
    /// decided: its leader's log counts.
    #[test]
    fn the_voters_are_those_of_the_leaders_log() {
        let mut told = three();
        told.append(&[1, 2, 3], 2);
        told.append_voters(&[1], 3, &[&[1, 2]]);
        told.durable(&[1, 2], 2);
        told.hear(Told::Elected { by: NodeId(3), node: NodeId(1), term: TERM });
        assert!(told.committed(3, 2, (&[1], &[])).contains("{\"n1\", \"n2\"}"));
    }

    #[test]
    fn an_entry_is_looked_at_when_it_is_reported_first() {
        let mut told = three();
        told.append(&[1, 2, 3], 2);
        told.durable(&[1, 2], 2);
        assert_eq!(told.committed(1, 2, (&[1, 2], &[])), "");
        assert_eq!(told.committed(2, 2, (&[], &[])), "", "it may be compacted by now");
    }
}
