//! The lies of the canary: for each checker what is not so, and what it must say.
//!
//! Nodes that are only talked of have numbers from 77 on: whatever they tell contradicts nothing
//! that a true one has told, but for what the lie is about.

use quorate_core::ids::{FencingToken, Generation, LogIndex, NodeId, Term};
use quorate_core::membership::Liveness;
use quorate_core::observe::{Place, Told};

use crate::checkers::{Held, Seen};
use crate::cluster::{Cluster, address};

/// What a run that is fine says of itself, and is not so.
#[derive(Clone, Copy, Debug)]
pub struct Lie {
    /// The file in `checkers/` that must not believe it.
    pub checker: &'static str,
    /// What it must say.
    pub says: &'static str,
    pub(super) tell: fn(&mut Cluster),
}

const fn lie(checker: &'static str, says: &'static str, tell: fn(&mut Cluster)) -> Lie {
    Lie { checker, says, tell }
}

/// Every lie, by the names of the checkers.
pub const LIES: [Lie; 23] = [
    lie("bounded", "n1 has 1000 files open", too_much_is_open),
    lie("bounded", "n1 has 1000 sockets", too_much_is_connected),
    lie("bounded", "the log of n77 keeps", a_log_is_never_compacted),
    lie("datagrams_taken_once", "n77 takes datagram 9 of n78 again", a_datagram_is_played),
    lie("durable_on_quorum", "n77 has entry 1000", a_commit_is_nowhere),
    lie("equal_state", "n4 has another state than others", |cluster| cluster.pretend_executed()),
    lie("exactly_once", "appended was acknowledged and is not", |cluster| {
        cluster.pretend_appended();
    }),
    lie("ids_given_once", "the id n77 is given to 10.0.0.2", an_id_is_given_to_two),
    lie("leader_completeness", "n77 is elected in term 0.1000000 without", nobody_is_elected),
    lie("linearizable", "a read shows a write that came later", a_read_goes_back),
    lie("linearizable", "no order of the operations explains", a_read_goes_back),
    lie("locks_by_token", "one and other both got never", |cluster| cluster.pretend_locked()),
    lie("log_matching", "n78 has another than n77", logs_differ),
    lie("logs", "n77 appends entry 7 after entry 5", a_log_has_a_gap),
    lie("margins", "the margins count a change", another_acts_later),
    lie("members_agree", "n1 sees n2 as Down, which is Alive", a_member_is_called_down),
    lie("members_agree", "was called down 1 times", a_member_is_called_down_and_up),
    lie("no_lost_update", "never was swapped from this to that", |cluster| {
        cluster.pretend_swapped();
    }),
    lie("nothing_lost", "\"never_written\" acknowledged at 1 is", |cluster| {
        cluster.pretend_acknowledged("never_written");
    }),
    lie("one_acts", "may act at once", two_act),
    lie("one_elected", "elected n1 and, as n2 says, n2", two_are_elected),
    lie("tokens_grow", "acts with 0.0 after", an_old_token_acts),
    lie("unique_names", "nobody got never, which nobody has", |cluster| {
        cluster.pretend_inserted();
    }),
];

const TALKED_OF: NodeId = NodeId(77);
const OTHER: NodeId = NodeId(78);

const fn term(election: u64) -> Term {
    Term::new(Generation(0), election)
}

fn appended(by: NodeId, index: u64, digest: u32) -> Told {
    Told::Appended { by, index: LogIndex(index), term: term(1_000_000), digest }
}

fn too_much_is_open(cluster: &mut Cluster) {
    let name = "n1".to_owned();
    cluster.pretend_held(Held { name, handles_count: 1_000, sockets_count: 0 });
}

fn too_much_is_connected(cluster: &mut Cluster) {
    let name = "n1".to_owned();
    cluster.pretend_held(Held { name, handles_count: 0, sockets_count: 1_000 });
}

/// What is gone ends before the first entry, and the last is far from there.
fn a_log_is_never_compacted(cluster: &mut Cluster) {
    let gone = Told::Compacted { by: TALKED_OF, upto: LogIndex(0), term: term(0) };
    cluster.pretend_told(vec![gone, appended(TALKED_OF, 1_000_000, 0)]);
}

/// Two voters count the entry as durable, on the disks of two true machines, which lack it.
fn a_commit_is_nowhere(cluster: &mut Cluster) {
    let (index, term) = (LogIndex(1_000), term(1_000_000));
    let sets = vec![[TALKED_OF, OTHER].into()];
    let place = Place { segment: 1, group: 1, offset: 1 << 20, size_bytes: 64 };
    let mut told = Vec::new();
    for (by, number) in [(TALKED_OF, 1), (OTHER, 2)] {
        told.push(Told::LogOpened { by, address: address(number) });
        told.push(appended(by, index.0, 0));
        told.push(Told::VotersAppended { by, index, term, sets: sets.clone() });
        told.push(Told::Durable { by, index, place: Some(place) });
    }
    told.push(Told::Committed { by: TALKED_OF, index, term });
    cluster.pretend_told(told);
}

fn a_datagram_is_played(cluster: &mut Cluster) {
    let (by, from, session, number) = (TALKED_OF, OTHER, [1; 16], 9);
    let taken = || Told::DatagramTaken { by, from, session, number };
    cluster.pretend_told(vec![taken(), taken()]);
}

fn an_id_is_given_to_two(cluster: &mut Cluster) {
    let given = |number| Told::IdGiven { id: TALKED_OF, address: address(number) };
    cluster.pretend_told(vec![given(1), given(2)]);
}

/// Its log is empty.
fn nobody_is_elected(cluster: &mut Cluster) {
    let (by, node) = (TALKED_OF, TALKED_OF);
    cluster.pretend_told(vec![Told::Elected { by, node, term: term(1_000_000) }]);
}

fn a_read_goes_back(cluster: &mut Cluster) {
    let _red = cluster.write("colour", "red").acked_within_ms(2_000);
    cluster.pretend_read("colour", "blue");
}

fn logs_differ(cluster: &mut Cluster) {
    cluster.pretend_told(vec![appended(TALKED_OF, 5, 1), appended(OTHER, 5, 2)]);
}

fn a_log_has_a_gap(cluster: &mut Cluster) {
    cluster.pretend_told(vec![appended(TALKED_OF, 5, 1), appended(TALKED_OF, 7, 1)]);
}

/// A report tells the margins, and judges nothing: here it is the canary that does.
fn another_acts_later(cluster: &mut Cluster) {
    let before = cluster.report().margins;
    cluster.pretend_seen(|seen| {
        if let Some(acting) = seen.iter_mut().find(|node| node.may_act) {
            acting.at = (acting.at + 1) % 3;
            acting.leadership.token = Some(FencingToken(term(1_000_000)));
        }
    });
    cluster.run_for_ms(10);
    let told = cluster.report().margins;
    if told != before {
        cluster.reject(&format!("the margins count a change: {told:?}"));
    }
}

fn called_down(liveness: Liveness) -> Told {
    Told::MemberSeen { by: NodeId(1), member: NodeId(2), liveness }
}

fn a_member_is_called_down(cluster: &mut Cluster) {
    cluster.pretend_told(vec![called_down(Liveness::Down)]);
}

/// The verdict does not last, and was wrong all the same.
fn a_member_is_called_down_and_up(cluster: &mut Cluster) {
    cluster.pretend_told([Liveness::Down, Liveness::Alive].map(called_down).to_vec());
}

fn two_act(cluster: &mut Cluster) {
    cluster.pretend_seen(|seen| {
        let acting = seen.iter().find(|node| node.may_act).cloned();
        seen.extend(acting.map(|node| Seen { at: (node.at + 1) % 3, ..node }));
    });
}

fn two_are_elected(cluster: &mut Cluster) {
    let told = |node| Told::Elected { by: node, node, term: term(1_000_000) };
    cluster.pretend_told(vec![told(NodeId(1)), told(NodeId(2))]);
}

fn an_old_token_acts(cluster: &mut Cluster) {
    cluster.pretend_seen(|seen| {
        for node in seen {
            node.leadership.token = node.leadership.token.map(|_| FencingToken(term(0)));
        }
    });
}
