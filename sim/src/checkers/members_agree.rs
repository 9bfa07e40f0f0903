//! Membership converges, and calls nobody down who runs.
//!
//! Looks at what each node tells of the roster that it follows and of the members as it sees them,
//! gossip and pings together; a member of which it has told nothing counts as suspect. All that run
//! agree if they follow the newest roster, and see every other member of it alive that runs, and
//! down that does not. Who runs and is in no roster, because it waits or was removed, is not asked.
//!
//! A false verdict is one of *down* about a member whose process runs, and does not stand still, at
//! that moment. Where links are cut it is right of the node and still counted: only in a run
//! without faults none is allowed.
//!
//! Source: Das, Gupta & Motivala 2002, sections 3 and 4 (completeness, accuracy); Dadgar, Phillips
//! & Currey 2018 (Lifeguard), section 1 (false positives).

use std::collections::{BTreeMap, BTreeSet};

use quorate_core::ids::{LogIndex, NodeId};
use quorate_core::membership::Liveness;
use quorate_core::observe::Told;

/// What one node has told since its start.
#[derive(Clone, Debug, Default)]
struct View {
    members: BTreeSet<NodeId>,
    changed_at: LogIndex,
    seen: BTreeMap<NodeId, Liveness>,
}

/// How all nodes see each other.
#[derive(Clone, Debug, Default)]
pub struct MembersAgree {
    views: BTreeMap<NodeId, View>,
    /// Verdicts of this instant: who was called down.
    called_down: Vec<NodeId>,
    /// How often a member was called down that ran.
    pub false_downs_count: u64,
}

impl MembersAgree {
    /// Follows what a node tells.
    pub fn hear(&mut self, told: &Told) {
        match told {
            Told::LogOpened { by, .. } => drop(self.views.insert(*by, View::default())),
            Told::RosterFollowed { by, members, changed_at } => {
                let view = self.views.entry(*by).or_default();
                (view.members, view.changed_at) = (members.clone(), *changed_at);
                view.seen.retain(|member, _| members.contains(member));
            }
            Told::MemberSeen { by, member, liveness } => {
                let view = self.views.entry(*by).or_default();
                view.seen.insert(*member, *liveness);
                if *liveness == Liveness::Down {
                    self.called_down.push(*member);
                }
            }
            Told::Elected { .. } | Told::VoteGranted { .. } | Told::Committed { .. } => {}
            Told::IdGiven { .. } | Told::ActingBegan { .. } | Told::ActingEnded { .. } => {}
            Told::Appended { .. } | Told::VotersAppended { .. } | Told::Durable { .. } => {}
            Told::Truncated { .. } | Told::Compacted { .. } | Told::DatagramTaken { .. } => {}
        }
    }

    /// The instant is over, and these nodes run and do not stand still.
    pub fn look(&mut self, awake: impl Fn(NodeId) -> bool) {
        let false_downs = self.called_down.drain(..).filter(|member| awake(*member));
        self.false_downs_count += false_downs.count() as u64;
    }

    /// What the nodes that run do not agree on, if there is anything.
    pub fn disagreement(&self, running: &BTreeSet<NodeId>) -> Option<String> {
        let view = |node: &NodeId| Some((*node, self.views.get(node)?));
        let views: Vec<(NodeId, &View)> = running.iter().filter_map(view).collect();
        let newest = views.iter().max_by_key(|(_, view)| view.changed_at);
        let Some((_, newest)) = newest.filter(|(_, newest)| !newest.members.is_empty()) else {
            return Some("nobody follows a roster yet".to_owned());
        };
        let asked = views.iter().filter(|(node, _)| newest.members.contains(node));
        asked.filter_map(|(node, view)| Self::objection((*node, view), newest, running)).next()
    }

    fn objection(
        (node, view): (NodeId, &View),
        newest: &View,
        running: &BTreeSet<NodeId>,
    ) -> Option<String> {
        if (view.changed_at, &view.members) != (newest.changed_at, &newest.members) {
            let (has, of) = (view.changed_at, newest.changed_at);
            return Some(format!("{node} follows the roster of entry {has}, others that of {of}"));
        }
        let others = view.members.iter().filter(|member| **member != node);
        let wrong = others.filter_map(|member| {
            let sees = view.seen.get(member).copied().unwrap_or(Liveness::Suspect);
            let runs = running.contains(member);
            let is = if runs { Liveness::Alive } else { Liveness::Down };
            (sees != is).then(|| format!("{node} sees {member} as {sees:?}, which is {is:?}"))
        });
        wrong.into_iter().next()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(nodes: &[u64]) -> BTreeSet<NodeId> {
        nodes.iter().copied().map(NodeId).collect()
    }

    fn roster(by: u64, members: &[u64], changed_at: u64) -> Told {
        let changed_at = LogIndex(changed_at);
        Told::RosterFollowed { by: NodeId(by), members: ids(members), changed_at }
    }

    fn sees(by: u64, member: u64, liveness: Liveness) -> Told {
        Told::MemberSeen { by: NodeId(by), member: NodeId(member), liveness }
    }

    /// Three members, all of whom see each other.
    fn three() -> MembersAgree {
        let mut told = MembersAgree::default();
        for by in 1..=3 {
            told.hear(&roster(by, &[1, 2, 3], 4));
            let others = (1..=3).filter(|member| *member != by);
            others.for_each(|member| told.hear(&sees(by, member, Liveness::Alive)));
        }
        told
    }

    fn wrong(told: &MembersAgree, running: &[u64]) -> String {
        told.disagreement(&ids(running)).unwrap_or_default()
    }

    #[test]
    fn all_agree_once_who_runs_is_alive_and_who_does_not_is_down() {
        assert_eq!(wrong(&MembersAgree::default(), &[1]), "nobody follows a roster yet");
        let mut told = three();
        assert_eq!(wrong(&told, &[1, 2, 3]), "");
        let mut empty = MembersAgree::default();
        empty.hear(&roster(1, &[], 0));
        assert_eq!(wrong(&empty, &[1]), "nobody follows a roster yet");
        assert_eq!(wrong(&told, &[1, 2]), "n1 sees n3 as Alive, which is Down");
        told.hear(&sees(1, 3, Liveness::Down));
        assert_eq!(wrong(&told, &[1, 2]), "n2 sees n3 as Alive, which is Down");
        told.hear(&sees(2, 3, Liveness::Down));
        assert_eq!(wrong(&told, &[1, 2]), "");
        assert_eq!(wrong(&told, &[1, 2, 3]), "n1 sees n3 as Down, which is Alive");
        told.hear(&sees(1, 3, Liveness::Suspect));
        assert_eq!(wrong(&told, &[1, 2, 3]), "n1 sees n3 as Suspect, which is Alive");
    }

    #[test]
    fn an_older_roster_is_seen_unless_its_node_is_no_member_any_more() {
        let mut told = three();
        told.hear(&roster(1, &[1, 2], 9));
        assert_eq!(wrong(&told, &[1, 2, 3]), "n2 follows the roster of entry 4, others that of 9");
        told.hear(&roster(2, &[1, 2], 9));
        assert_eq!(wrong(&told, &[1, 2, 3]), "", "the third was removed, and may not know it");
    }

    #[test]
    fn a_node_that_starts_has_seen_nobody() {
        let mut told = three();
        told.hear(&Told::LogOpened { by: NodeId(2), address: [10, 0, 0, 2].into() });
        told.hear(&roster(2, &[1, 2, 3], 4));
        assert_eq!(wrong(&told, &[1, 2, 3]), "n2 sees n1 as Suspect, which is Alive");
    }

    #[test]
    fn only_who_runs_is_called_down_falsely() {
        let mut told = three();
        told.hear(&sees(1, 3, Liveness::Suspect));
        told.hear(&sees(1, 3, Liveness::Down));
        told.look(|_| false);
        assert_eq!(told.false_downs_count, 0, "it did not run");
        told.hear(&sees(2, 3, Liveness::Down));
        told.look(|node| node == NodeId(3));
        told.look(|_| true);
        assert_eq!(told.false_downs_count, 1);
    }
}
