//! Checkers see what they look for, and nothing else.

use std::time::Duration;

use quorate_core::history::register::{Shown, Source};
use quorate_core::history::{Operation, OperationKind, Outcome, ValueHash, parse_lines};
use quorate_core::ids::{FencingToken, Generation, LogIndex, NodeId, Term};
use quorate_core::leader::Leadership;
use quorate_core::observe::Told;
use quorate_core::ports::Now;
use quorate_core::replication::RaftRole;
use quorate_core::{SnapshotJob, StateMachine};

use super::*;

/// A node elected in `term`; acting if it has the lease.
fn seen(node: u64, term: u64, may_act: bool) -> Seen {
    let term = Term::new(Generation(0), term);
    let unknown = Leadership::unknown(NodeId(node), Now::default());
    let token = may_act.then_some(FencingToken(term));
    let leadership = Leadership { term, role: RaftRole::Elected, token, ..unknown };
    Seen { at: node as usize - 1, leadership, may_act, left: Duration::ZERO }
}

fn wrong(checker: &mut dyn Checker, at_once: &[Seen]) -> String {
    checker.check(at_once).err().unwrap_or_default()
}

fn heard(checker: &mut dyn Checker, told: Told) -> String {
    checker.hear(&told).err().unwrap_or_default()
}

#[test]
fn two_that_act_at_once_are_seen_and_one_after_the_other_is_not() {
    let mut checker = OneActs;
    assert_eq!(wrong(&mut checker, &[seen(1, 4, true), seen(2, 5, false)]), "");
    assert_eq!(wrong(&mut checker, &[seen(1, 4, false), seen(2, 5, true)]), "");
    let both = [seen(1, 4, true), seen(2, 5, true)];
    let text = "n1 with token 0.4 and n2 with token 0.5 may act at once";
    assert_eq!(wrong(&mut checker, &both), text);
}

#[test]
fn a_second_winner_of_a_term_is_seen_however_late() {
    let mut checker = OneElectedPerTerm::default();
    let elected = |by, node, term| {
        let term = Term::new(Generation(0), term);
        Told::Elected { by: NodeId(by), node: NodeId(node), term }
    };
    assert_eq!(heard(&mut checker, elected(1, 1, 4)), "");
    assert_eq!(heard(&mut checker, elected(2, 2, 5)), "");
    assert_eq!(heard(&mut checker, elected(3, 1, 4)), "", "the same from another");
    assert_eq!(heard(&mut checker, elected(2, 3, 4)), "term 0.4 elected n1 and, as n2 says, n3");
}

#[test]
fn a_second_vote_in_a_term_and_one_in_an_earlier_term_are_seen() {
    let mut checker = OneElectedPerTerm::default();
    let vote = |to, term| {
        let term = Term::new(Generation(0), term);
        Told::VoteGranted { by: NodeId(1), to: NodeId(to), term }
    };
    assert_eq!(heard(&mut checker, vote(2, 4)), "");
    assert_eq!(heard(&mut checker, vote(2, 4)), "", "the same vote once more");
    assert_eq!(heard(&mut checker, vote(3, 4)), "n1 votes for n3 in term 0.4, after n2 in 0.4");
    assert_eq!(heard(&mut checker, vote(2, 3)), "n1 votes for n2 in term 0.3, after n2 in 0.4");
    assert_eq!(heard(&mut checker, vote(3, 5)), "");
}

#[test]
fn an_id_that_is_given_again_is_seen() {
    let mut checker = IdsGivenOnce::default();
    let given = |id, last| {
        let address = std::net::IpAddr::from([10, 0, 0, last]);
        Told::IdGiven { id: NodeId(id), address }
    };
    assert_eq!(heard(&mut checker, given(4, 4)), "");
    assert_eq!(heard(&mut checker, given(4, 4)), "", "as every node tells");
    let wrong = "the id n4 is given to 10.0.0.5, and was given to 10.0.0.4";
    assert_eq!(heard(&mut checker, given(4, 5)), wrong);
}

#[test]
fn a_datagram_that_is_taken_again_is_seen() {
    let mut checker = DatagramsTakenOnce::default();
    let taken = |by, boot, number| {
        let (by, from) = (NodeId(by), NodeId(2));
        Told::DatagramTaken { by, from, session: [boot; 16], number }
    };
    assert_eq!(heard(&mut checker, taken(1, 1, 7)), "");
    assert_eq!(heard(&mut checker, taken(1, 1, 6)), "", "it was overtaken");
    assert_eq!(heard(&mut checker, taken(3, 1, 7)), "", "by another, who cannot know");
    assert_eq!(heard(&mut checker, taken(1, 2, 7)), "", "of another session");
    assert_eq!(heard(&mut checker, taken(1, 1, 200)), "");
    assert_eq!(heard(&mut checker, taken(1, 1, 7)), "n1 takes datagram 7 of n2 again");
}

#[test]
fn a_token_that_goes_back_or_is_shared_is_seen() {
    let mut checker = TokensGrow::default();
    assert_eq!(wrong(&mut checker, &[seen(1, 4, true)]), "");
    assert_eq!(wrong(&mut checker, &[seen(2, 4, true)]), "n1 and n2 have the same token 0.4");
    assert_eq!(wrong(&mut checker, &[seen(2, 5, true)]), "");
    assert_eq!(wrong(&mut checker, &[seen(1, 4, true)]), "n1 acts with 0.4 after n2 had 0.5");
}

/// Says how many commands it has executed, and starts anywhere.
struct Count(u8);

impl StateMachine for Count {
    fn apply(&mut self, _index: LogIndex, _command: &[u8]) -> bytes::Bytes {
        self.0 += 1;
        vec![self.0].into()
    }

    fn query(&self, _query: &[u8]) -> bytes::Bytes {
        vec![self.0].into()
    }

    fn snapshot(&self) -> SnapshotJob {
        let state = vec![self.0];
        Box::new(move || state.into())
    }

    fn restore(&mut self, snapshot: &[u8]) -> Result<(), quorate_core::codec::CodecError> {
        self.0 = snapshot[0];
        Ok(())
    }
}

#[test]
fn nodes_with_other_commands_or_answers_at_one_index_are_seen() {
    let told = |commands: &[(u64, &[u8])], start: u8| {
        let history = History::default();
        let mut one = Recorded::new(Box::new(Count(0)), 0, history.clone());
        let mut other = Recorded::new(Box::new(Count(start)), 1, history.clone());
        one.apply(LogIndex(3), b"a");
        one.apply(LogIndex(5), b"b");
        for (index, command) in commands {
            other.apply(LogIndex(*index), command);
        }
        history.violation()
    };
    assert_eq!(told(&[(3, b"a"), (5, b"b"), (6, b"c")], 0), None);
    assert_eq!(told(&[(3, b"a")], 0), None, "one that is behind");
    assert!(told(&[(3, b"a"), (5, b"x")], 0).is_some(), "another command");
    assert!(told(&[(5, b"b")], 0).is_some(), "one command is missing before");
    assert!(told(&[(3, b"a")], 9).is_some(), "another answer");
}

/// Never says anything about its state, which `apply` makes so much larger; the second command
/// leaves another byte there on a node that is wrong.
struct Silent {
    state: Vec<u8>,
    grows_bytes: usize,
    is_wrong: bool,
}

impl StateMachine for Silent {
    fn apply(&mut self, index: LogIndex, _command: &[u8]) -> bytes::Bytes {
        let byte = u8::from(self.is_wrong && index == LogIndex(2));
        self.state.extend(std::iter::repeat_n(byte, self.grows_bytes));
        bytes::Bytes::new()
    }

    fn query(&self, _query: &[u8]) -> bytes::Bytes {
        bytes::Bytes::new()
    }

    fn snapshot(&self) -> SnapshotJob {
        let state = self.state.clone();
        Box::new(move || state.into())
    }

    fn restore(&mut self, snapshot: &[u8]) -> Result<(), quorate_core::codec::CodecError> {
        self.state = snapshot.to_vec();
        Ok(())
    }
}

#[test]
fn a_state_that_differs_without_a_word_is_seen_at_once_and_a_large_one_a_few_commands_later() {
    let seen_after = |grows_bytes: usize| {
        let history = History::default();
        let mut nodes: Vec<Recorded> = [false, true]
            .into_iter()
            .enumerate()
            .map(|(at, is_wrong)| {
                let machine = Silent { state: Vec::new(), grows_bytes, is_wrong };
                Recorded::new(Box::new(machine), at, history.clone())
            })
            .collect();
        let is_seen = |index: &u64| {
            nodes.iter_mut().for_each(|node| drop(node.apply(LogIndex(*index), b"a")));
            history.violation().is_some()
        };
        (1..=100).find(is_seen)
    };
    assert_eq!(seen_after(1), Some(2));
    assert_eq!(seen_after(500), Some(2));
    // After the first command the state has five times the bytes for which it is looked at.
    assert_eq!(seen_after(5 * 1_024), Some(1 + 1 + 5));
}

#[test]
fn a_node_that_starts_from_a_snapshot_goes_on_where_it_was_taken() {
    let history = History::default();
    let mut one = Recorded::new(Box::new(Count(0)), 0, history.clone());
    one.apply(LogIndex(3), b"a");
    let snapshot = (one.snapshot())();
    one.apply(LogIndex(5), b"b");

    let mut other = Recorded::new(Box::new(Count(0)), 1, history.clone());
    other.restore(&snapshot).unwrap();
    assert_eq!(history.reached(1).0, LogIndex(3));
    other.apply(LogIndex(5), b"b");
    assert_eq!(history.reached(1), history.reached(0));
    assert_eq!(history.violation(), None);
    assert!(other.restore(&[1, 2, 3]).is_err());
}

/// Requests one after the other, one at each millisecond.
fn asked(name: &'static str, value: &'static str, at_ms: u64) -> Asked<'static> {
    Asked { name, value, start_ms: at_ms, end_ms: at_ms, node: "n1" }
}

/// What a replica shows.
fn replica(name: &str, shown: &[(&str, &str, u64)]) -> Source {
    let shown = shown.iter().map(|(name, value, index)| {
        let value_hash = ValueHash::of(value.as_bytes());
        ((*name).to_owned(), Shown { value_hash, modify_index: *index })
    });
    Source { name: name.to_owned(), contents: shown.collect() }
}

#[test]
fn the_ledger_misses_what_was_acknowledged_and_finds_what_was_refused() {
    let mut ledger = Ledger::default();
    ledger.acknowledged(&asked("a", "1", 1), 1);
    ledger.unknown(&asked("b", "2", 2));
    ledger.refused(&asked("c", "9", 3));
    ledger.acknowledged(&asked("d", "3", 4), 4);
    ledger.unknown(&asked("d", "4", 5));
    let verdict = |shown: &[(&str, &str, u64)]| ledger.check(&[replica("n1", shown)]);
    let (a, d) = (("a", "1", 1), ("d", "3", 4));
    assert_eq!(verdict(&[a, d]), Ok(()));
    assert_eq!(verdict(&[a, ("b", "2", 2), ("d", "4", 5)]), Ok(()), "unknown may be there");
    assert!(verdict(&[d]).is_err(), "an acknowledged write is missing");
    assert!(verdict(&[("a", "0", 1), d]).is_err(), "it has another value");
    assert!(verdict(&[("a", "1", 2), d]).is_err(), "it was applied again");
    assert!(verdict(&[a, ("c", "9", 3), d]).is_err(), "a refused one is there");
    assert!(verdict(&[a, ("e", "5", 6), d]).is_err(), "nobody wrote this one");
}

#[test]
fn an_unknown_write_does_not_stand_over_a_later_acknowledged_one() {
    let mut ledger = Ledger::default();
    ledger.unknown(&asked("a", "perhaps", 1));
    ledger.acknowledged(&asked("a", "surely", 2), 7);
    assert_eq!(ledger.check(&[replica("n1", &[("a", "surely", 7)])]), Ok(()));
    assert!(ledger.check(&[replica("n1", &[("a", "perhaps", 6)])]).is_err(), "it came before");
    assert_eq!(ledger.check(&[replica("n1", &[("a", "perhaps", 8)])]), Ok(()), "it came late");
}

#[test]
fn replicas_that_differ_are_seen_though_each_is_right_alone() {
    let mut ledger = Ledger::default();
    ledger.unknown(&asked("a", "perhaps", 1));
    let (with, without) = (replica("n1", &[("a", "perhaps", 2)]), replica("n2", &[]));
    assert_eq!(ledger.check(std::slice::from_ref(&with)), Ok(()));
    assert_eq!(ledger.check(std::slice::from_ref(&without)), Ok(()));
    assert!(ledger.check(&[with, without]).is_err());
}

/// The planted proof: the replicas are right, and one read was not.
#[test]
fn a_stale_read_is_red_by_its_index_and_without_it() {
    let ledger = |reads: &[(&'static str, u64)]| {
        let mut ledger = Ledger::default();
        ledger.acknowledged(&asked("a", "old", 1), 3);
        ledger.acknowledged(&asked("a", "new", 2), 4);
        for (value, log_index) in reads {
            ledger.read(&asked("a", value, 3), *log_index);
        }
        ledger
    };
    let holds = [replica("n1", &[("a", "new", 4)])];
    assert_eq!(ledger(&[("new", 4), ("new", 9)]).check(&holds), Ok(()));
    let stale = [[("old", 4)], [("old", 3)], [("", 4)], [("other", 4)]];
    for read in stale {
        let wrong = ledger(&read).check(&holds).expect_err("no order has it");
        let (by_index, by_time) = wrong.split_once("; history: ").expect("both judges object");
        assert!(by_index.contains("line 3, read"), "{read:?}: {wrong}");
        assert!(by_time.contains("no order of the operations explains"), "{read:?}: {wrong}");
    }
    // As if the read had named no index: times and values suffice.
    let unindexed: Vec<Operation> = ledger(&[("old", 4)])
        .operations()
        .iter()
        .cloned()
        .map(|one| match one.op {
            OperationKind::Get => Operation { log_index: None, ..one },
            _ => one,
        })
        .collect();
    let found = linearizable::findings(&unindexed);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].contains("no order of the operations explains"), "{found:?}");
}

#[test]
fn the_lines_of_a_history_are_read_back() {
    let mut ledger = Ledger::default();
    ledger.acknowledged(&asked("a", "1", 1), 1);
    ledger.read(&asked("a", "1", 2), 1);
    ledger.unknown(&asked("b", "2", 3));
    let outcomes: Vec<(OperationKind, Outcome)> =
        parse_lines(&ledger.lines()).unwrap().iter().map(|one| (one.op, one.outcome)).collect();
    let (put, get) = (OperationKind::Put, OperationKind::Get);
    let (done, unknown) = (Outcome::Acknowledged, Outcome::Unknown);
    assert_eq!(outcomes, [(put, done), (get, done), (put, unknown)]);
}
