//! What a node makes of gossip, pings, roster and consensus, as tables: input, effects as text.

use super::state::{Effect, Input, Membership, Order};
use super::*;
use crate::heartbeat::Health;
use crate::ids::{LogIndex, Term};
use crate::ports::Now;
use crate::replication::{ConsensusReport, RaftRole};

fn settings(id: u64) -> MemberSettings {
    MemberSettings::at(&format!("n{id}"), [127, 0, 0, id as u8].into())
}

fn ids(list: &[u64]) -> Vec<NodeId> {
    list.iter().copied().map(NodeId).collect()
}

/// n1 of three, as it sees the world.
struct Table {
    state: Membership,
    roster: Roster,
    ms: u64,
}

impl Table {
    /// Started, with nothing committed yet.
    fn new() -> Table {
        let founders = vec![settings(1), settings(2), settings(3)];
        let mut table = Table {
            state: Membership::new(NodeId(1), founders, true),
            roster: Roster::default(),
            ms: 0,
        };
        table.check(Input::Started, "ping n2 n3, announce to n2, announce to n3");
        table
    }

    /// Elected, with a roster of three voters that all are alive.
    fn leading() -> Table {
        let mut table = Table::new();
        let members = vec![settings(1), settings(2), settings(3)];
        table.roster.apply(LogIndex(1), RosterChange::Found { members }).unwrap();
        table.step(Input::RosterApplied { roster: table.roster.clone() });
        for id in [2, 3] {
            table.step(heard(id, Liveness::Alive));
            table.step(health(id, Health::Responsive));
        }
        table.consensus(RaftRole::Elected, &[1, 2, 3], &[], "");
        table
    }

    fn step(&mut self, input: Input) -> String {
        let mut out = Vec::new();
        self.state.step(Now::from_ms(self.ms), input, &mut out);
        out.iter().filter_map(text).collect::<Vec<_>>().join(", ")
    }

    #[track_caller]
    fn check(&mut self, input: Input, expected: &str) {
        assert_eq!(self.step(input), expected, "at {} ms", self.ms);
    }

    #[track_caller]
    fn timer(&mut self, ms: u64, expected: &str) {
        self.ms = ms;
        self.check(Input::TimerFired, expected);
    }

    #[track_caller]
    fn request(&mut self, change: ChangeMembers, expected: &str) {
        self.check(Input::ChangeRequested { request: 7, change }, expected);
    }

    #[track_caller]
    fn done(&mut self, expected: &str) {
        self.check(Input::OrderDone { outcome: Ok(None) }, expected);
    }

    /// Replication applied the roster change that was ordered.
    #[track_caller]
    fn applied(&mut self, change: RosterChange, expected: &str) {
        let outcome = self.roster.apply(LogIndex(9), change).unwrap();
        self.step(Input::RosterApplied { roster: self.roster.clone() });
        self.check(Input::OrderDone { outcome: Ok(Some(outcome)) }, expected);
    }

    #[track_caller]
    fn consensus(&mut self, role: RaftRole, voters: &[u64], learners: &[u64], expected: &str) {
        self.consensus_changed(role, voters, learners, None, expected);
    }

    #[track_caller]
    fn consensus_joint(&mut self, voters: &[u64], goal: &[u64], expected: &str) {
        self.consensus_changed(RaftRole::Elected, voters, &[], Some(ids(goal)), expected);
    }

    #[track_caller]
    fn consensus_changed(
        &mut self,
        role: RaftRole,
        voters: &[u64],
        learners: &[u64],
        joint_goal: Option<Vec<NodeId>>,
        expected: &str,
    ) {
        let report = ConsensusReport {
            term: Term::from_bits(1),
            role,
            leader: Some(NodeId(1)),
            voters: ids(voters),
            learners: ids(learners),
            joint_goal,
            granted_age_ms: 0,
        };
        self.check(Input::ConsensusChanged { report }, expected);
    }
}

fn text(effect: &Effect) -> Option<String> {
    let list = |ids: &[NodeId]| ids.iter().map(NodeId::to_string).collect::<Vec<_>>().join(" ");
    let order = |order: &Order| match order {
        Order::ProposeRoster(RosterChange::Found { members }) => format!("found {}", members.len()),
        Order::ProposeRoster(RosterChange::AddLearner { settings, .. }) => {
            format!("add {}", settings.name)
        }
        Order::ProposeRoster(RosterChange::Promote { ids }) => format!("promote {}", list(ids)),
        Order::ProposeRoster(RosterChange::Remove { ids }) => format!("remove {}", list(ids)),
        Order::ProposeRoster(other) => format!("{other:?}"),
        Order::AddLearner(id) => format!("learner {id}"),
        Order::ChangeVoters(voters) => format!("voters {}", list(voters)),
        Order::DropLearner(id) => format!("drop {id}"),
    };
    match effect {
        Effect::Announce { to, .. } => Some(format!("announce to {to}")),
        Effect::SetPeers { peers } => {
            let peers: Vec<NodeId> = peers.iter().map(|(id, _)| *id).collect();
            Some(format!("ping {}", list(&peers)))
        }
        Effect::ReportView { member, liveness } => Some(format!("{member} {liveness:?}")),
        Effect::ReportAddress { node, address } => Some(format!("{node} at {address}")),
        Effect::Order(ordered) => Some(order(ordered)),
        Effect::Reply { request, result: Ok(ids) } => {
            Some(format!("answer {request}: {}", list(ids)))
        }
        Effect::Reply { request, result: Err(error) } => Some(format!("answer {request}: {error}")),
        Effect::SetTimer { .. } => None,
    }
}

fn heard(id: u64, liveness: Liveness) -> Input {
    Input::Heard { member: NodeId(id), liveness, address: settings(id).membership() }
}

fn health(id: u64, health: Health) -> Input {
    Input::HealthChanged { peer: NodeId(id), health }
}

fn joiner(id: u64) -> ChangeMembers {
    let (public_key, becomes, zone) = (None, Role::Full, None);
    ChangeMembers::Add { settings: settings(id), public_key, becomes, zone }
}

fn added(id: u64) -> RosterChange {
    let (public_key, becomes, zone) = (None, Role::Full, None);
    RosterChange::AddLearner { settings: settings(id), public_key, becomes, zone }
}

#[test]
fn a_member_is_down_only_when_gossip_and_pings_both_say_so() {
    let mut view = Table::new();
    view.check(heard(2, Liveness::Alive), "n2 Alive");
    view.check(health(2, Health::Responsive), "");
    view.check(health(2, Health::Late), ""); // late alone is not news
    view.check(health(2, Health::Silent), "n2 Suspect");
    view.check(heard(2, Liveness::Suspect), "");
    view.check(heard(2, Liveness::Down), "n2 Down");
    view.check(health(2, Health::Responsive), "n2 Suspect");
    view.check(heard(2, Liveness::Alive), "n2 Alive");

    view.check(heard(2, Liveness::Suspect), ""); // its pongs refute that here and now
    view.check(heard(2, Liveness::Down), "n2 Suspect");
    view.check(health(2, Health::Silent), "n2 Down");
}

#[test]
fn a_member_of_which_nobody_ever_heard_is_down_once_its_pings_stay_unanswered() {
    let mut view = Table::new();
    view.check(health(3, Health::Silent), "n3 Down");
    view.check(health(3, Health::Responsive), "n3 Alive");
}

#[test]
fn a_node_announces_itself_ever_more_rarely_until_the_members_are_heard() {
    let mut view = Table::new();
    view.timer(249, "");
    view.timer(250, "announce to n2, announce to n3");
    view.check(heard(3, Liveness::Alive), "n3 Alive");
    view.timer(749, "");
    view.timer(750, "announce to n2");
    view.timer(1_750, "announce to n2");
    view.timer(3_750, "announce to n2");
    view.timer(7_750, "announce to n2");
    view.timer(11_750, "announce to n2"); // every four seconds from here on
    view.check(heard(2, Liveness::Alive), "n2 Alive");
    view.timer(60_000, "");
    view.check(heard(2, Liveness::Down), "n2 Suspect");
    view.timer(60_250, "announce to n2"); // a partition may heal
}

#[test]
fn gossip_tells_where_a_member_is_and_neither_roster_nor_settings_overrule_it() {
    let mut table = Table::leading();
    let address = "127.0.0.99:8301".parse().unwrap();
    let moved = Input::Heard { member: NodeId(2), liveness: Liveness::Alive, address };
    table.check(moved.clone(), "n2 at 127.0.0.99:8301, ping n2 n3");
    table.check(moved, "");
    table.step(Input::RosterApplied { roster: table.roster.clone() });
    assert_eq!(table.state.table().members[0].address, address);
}

#[test]
fn what_others_say_of_a_member_that_is_down_moves_it_nowhere() {
    let mut table = Table::leading();
    let at = |last: u8, liveness| {
        let address = SocketAddr::from(([127, 0, 0, last], 8301));
        Input::Heard { member: NodeId(2), liveness, address }
    };
    table.step(at(98, Liveness::Down)); // its place before it moved, from one who missed that
    assert_eq!(table.state.table().members[0].address, settings(2).membership());
    table.step(at(99, Liveness::Alive));
    table.step(at(98, Liveness::Down));
    assert_eq!(table.state.table().members[0].address.ip().to_string(), "127.0.0.99");
}

#[test]
fn a_missing_member_is_announced_to_where_settings_and_where_the_roster_name_it() {
    let founders = vec![settings(1), settings(2), settings(3)];
    let mut roster = Roster::default();
    roster.apply(LogIndex(1), RosterChange::Found { members: founders.clone() }).unwrap();
    let moved = MemberSettings { address: [127, 0, 0, 99].into(), ..settings(2) };
    let change = RosterChange::SetAddress { id: NodeId(2), settings: moved };
    roster.apply(LogIndex(2), change).unwrap();
    let mut node = Membership::new(NodeId(1), founders, true);
    let mut asked = Vec::new();
    node.step(Now::from_ms(0), Input::RosterApplied { roster }, &mut asked);
    let places: Vec<SocketAddr> = asked
        .into_iter()
        .filter_map(|effect| {
            let Effect::Announce { to, address } = effect else { return None };
            (to == NodeId(2)).then_some(address)
        })
        .collect();
    assert_eq!(places, [settings(2).membership(), "127.0.0.99:8301".parse().unwrap()]);
}

#[test]
fn where_moves_are_not_followed_only_settings_and_roster_count() {
    let founders = vec![settings(1), settings(2), settings(3)];
    let mut node = Membership::new(NodeId(1), founders, false);
    let (mut out, said) = (Vec::new(), "127.0.0.99:8301".parse().unwrap());
    node.step(Now::from_ms(0), Input::Started, &mut out);
    let alive = Input::Heard { member: NodeId(2), liveness: Liveness::Alive, address: said };
    node.step(Now::from_ms(1), alive, &mut out);
    let is_report = |effect: &Effect| matches!(effect, Effect::ReportAddress { .. });
    assert!(!out.iter().any(is_report), "{out:?}");
    assert_eq!(node.table().members[0].address, settings(2).membership());
    assert_eq!(node.gossip_address(NodeId(2), said), settings(2).membership());
}

#[test]
fn the_first_elected_node_writes_the_roster_and_waits_before_it_tries_again() {
    let mut table = Table::new();
    table.consensus(RaftRole::Follower, &[1, 2, 3], &[], "");
    table.consensus(RaftRole::Elected, &[1, 2, 3], &[], "found 3");
    let error = MembershipError::OutcomeUnknown { waited_ms: 5 };
    table.check(Input::OrderDone { outcome: Err(error) }, "");
    table.timer(99, "");
    table.timer(100, "found 3");
    let members = vec![settings(1), settings(2), settings(3)];
    table.applied(RosterChange::Found { members }, "");
}

#[test]
fn a_joiner_gets_its_id_from_the_log_and_is_answered_for_when_it_has_caught_up() {
    let mut table = Table::leading();
    table.request(joiner(4), "add n4");
    table.request(
        joiner(5),
        "answer 7: Q1034 another change is under way; nothing was changed; wait for it",
    );
    table.applied(added(4), "learner n4");
    table.done("answer 7: n4");
}

#[test]
fn learners_are_promoted_together_by_one_joint_change_after_they_have_caught_up() {
    let mut table = Table::leading();
    for id in [4, 5] {
        table.request(joiner(id), &format!("add n{id}"));
        table.applied(added(id), &format!("learner n{id}"));
        table.done(&format!("answer 7: n{id}"));
    }
    table.consensus(RaftRole::Elected, &[1, 2, 3], &[4, 5], "");
    let both = || ChangeMembers::Promote(ids(&[5, 4]));
    let refusal = "answer 7: Q1032 n4 is not seen alive and would be a dead vote; \
                   nothing was changed; look at the roster";
    table.request(both(), refusal);
    for id in [4, 5] {
        table.check(heard(id, Liveness::Alive), &format!("n{id} Alive"));
    }
    table.request(both(), "learner n4");
    table.done("learner n5");
    table.done("voters n1 n2 n3 n4 n5");
    table.done("promote n4 n5");
    table.applied(RosterChange::Promote { ids: ids(&[4, 5]) }, "answer 7: n4 n5");
}

#[test]
fn voters_leave_consensus_first_and_the_roster_last() {
    let mut table = Table::leading();
    table.request(ChangeMembers::Remove(ids(&[3])), "voters n1 n2");
    table.done("remove n3");
    table.applied(RosterChange::Remove { ids: ids(&[3]) }, "answer 7: n3");
}

#[test]
fn a_change_that_fails_half_way_is_answered_with_the_error_and_ends() {
    let mut table = Table::leading();
    table.request(ChangeMembers::Remove(ids(&[3])), "voters n1 n2");
    let outcome = Err(MembershipError::OutcomeUnknown { waited_ms: 500 });
    let answer = "answer 7: Q1033 not confirmed within 500 ms; may still take effect; look at the \
                  roster";
    table.check(Input::OrderDone { outcome }, answer);
    table.request(ChangeMembers::Remove(ids(&[3])), "voters n1 n2"); // free for the next
}

#[test]
fn changes_that_cannot_be_are_refused_before_anything_is_ordered() {
    let table = [
        (ChangeMembers::Promote(ids(&[9])), "n9 is no member"),
        (ChangeMembers::Remove(ids(&[1])), "n1 leads and cannot remove itself"),
        (ChangeMembers::Remove(ids(&[])), "no member is named"),
    ];
    for (change, reason) in table {
        let effects = Table::leading().step(Input::ChangeRequested { request: 1, change });
        assert!(effects.starts_with(&format!("answer 1: Q1032 {reason}")), "{effects}");
    }
    let mut follower = Table::new();
    let answer = "answer 7: Q1031 n1 does not lead; the members are as before; ask the leader";
    follower.request(joiner(4), answer);
}

#[test]
fn who_votes_already_is_promoted_again_without_a_change() {
    let mut table = Table::leading();
    table.request(ChangeMembers::Promote(ids(&[3, 2])), "answer 7: n2 n3");
    table.request(
        ChangeMembers::Promote(ids(&[])),
        "answer 7: Q1032 no member is named; \
        nothing was changed; look at the roster",
    );
}

/// Until a joint change is at its goal no other can begin: it must not wait for who began it.
#[test]
fn the_next_elected_node_leads_a_joint_change_to_its_goal() {
    let mut table = Table::leading();
    table.consensus_joint(&[1, 2, 3], &[1, 2], "");
    table.request(
        joiner(4),
        "answer 7: Q1034 another change is under way; nothing was changed; wait for it",
    );
    table.timer(1_999, "");
    table.timer(2_000, "voters n1 n2");
    table.consensus(RaftRole::Elected, &[1, 2], &[], "");
    table.check(Input::OrderDone { outcome: Ok(None) }, "");
    table.timer(4_000, "remove n3"); // and then the roster follows
}

/// A leader died in the middle; the next one finds out from roster and consensus what is missing.
#[test]
fn the_next_elected_node_finishes_what_an_interrupted_change_left_undone() {
    let learner = added(4);
    let promote = RosterChange::Promote { ids: ids(&[4]) };
    type Case<'a> = (&'a str, &'a [RosterChange], &'a [u64], &'a [u64]);
    let cases: [Case<'_>; 6] = [
        ("learner n4", std::slice::from_ref(&learner), &[1, 2, 3], &[]),
        ("promote n4", std::slice::from_ref(&learner), &[1, 2, 3, 4], &[]),
        ("remove n4", &[learner.clone(), promote.clone()], &[1, 2, 3], &[]),
        ("drop n9", &[], &[1, 2, 3], &[9]),
        ("", std::slice::from_ref(&learner), &[1, 2, 3], &[4]), // a learner is at rest
        ("", &[learner.clone(), promote], &[1, 2, 3, 4], &[]),
    ];
    for (expected, changes, voters, learners) in cases {
        let mut table = Table::leading();
        for change in changes {
            table.roster.apply(LogIndex(5), change.clone()).unwrap();
        }
        table.step(Input::RosterApplied { roster: table.roster.clone() });
        table.step(heard(4, Liveness::Alive));
        table.consensus(RaftRole::Elected, voters, learners, "");
        table.timer(1_999, ""); // not before both sides have been still
        table.timer(2_000, expected);
        table.timer(9_000, ""); // one order is out, or nothing is to be done
    }
}

#[test]
fn who_has_joined_by_a_token_is_added_when_it_is_seen_and_promoted_with_another() {
    let mut table = Table::leading();
    let secret_hash = [5; 32];
    let (uses_count, expires_at_ms, now_ms) = (3, 1_000, 0);
    let token = RosterChange::AddToken { secret_hash, uses_count, expires_at_ms, now_ms };
    table.roster.apply(LogIndex(2), token).unwrap();
    for id in [4, 5] {
        let join = Join {
            settings: settings(id),
            public_key: [id as u8; 32],
            becomes: Role::Full,
            zone: None,
            wants_vote: false,
            token: LogIndex(2),
            secret_hash,
            now_ms,
        };
        table.roster.apply(LogIndex(id), RosterChange::Join(join)).unwrap();
    }
    let roster = table.roster.clone();
    let seen = "ping n2 n3 n4 n5, announce to n4, announce to n5";
    table.check(Input::RosterApplied { roster }, seen);
    table.ms = 2_100;
    table.step(Input::TimerFired); // neither is there
    table.check(heard(4, Liveness::Alive), "n4 Alive, learner n4");
    table.done(""); // n4 has caught up
    table.consensus(RaftRole::Elected, &[1, 2, 3], &[4], "");
    table.timer(4_200, "announce to n5");
    table.check(heard(5, Liveness::Alive), "n5 Alive, learner n5");
    table.done("");
    table.consensus(RaftRole::Elected, &[1, 2, 3], &[4, 5], "");
    table.timer(6_300, "learner n4");
    table.done("learner n5");
    table.done("voters n1 n2 n3 n4 n5");
    table.done("promote n4 n5");
    table.applied(RosterChange::Promote { ids: ids(&[4, 5]) }, "");
    table.consensus(RaftRole::Elected, &[1, 2, 3, 4, 5], &[], "");
    table.timer(9_000, "");
}

#[test]
fn voters_ping_everyone_and_learners_only_voters() {
    let mut roster = Table::leading().roster;
    for id in [4, 5] {
        roster.apply(LogIndex(2), added(id)).unwrap();
    }
    let pinged = |this| {
        let founders = vec![settings(1), settings(2), settings(3)];
        let mut node = Membership::new(NodeId(this), founders, true);
        let mut out = Vec::new();
        node.step(Now::default(), Input::RosterApplied { roster: roster.clone() }, &mut out);
        text(&out[0]).unwrap()
    };
    assert_eq!(pinged(1), "ping n2 n3 n4 n5");
    assert_eq!(pinged(4), "ping n1 n2 n3");
}
