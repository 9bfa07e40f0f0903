//! The life of requests as tables.

use proptest::prelude::*;

use super::state::{Effect, Input, Replication, WAITING_WRITES_COUNT_MAX};
use crate::error::{ReadError, WriteError};
use crate::ids::{LogIndex, NodeId};
use crate::replication::{COMMAND_SIZE_BYTES_MAX, RaftRole};

const THIS: NodeId = NodeId(1);
const N2: NodeId = NodeId(2);

/// Silence after which a leader counts as none, in the tables.
const SILENCE_MS: u64 = 480;

struct Table(Replication);

impl Table {
    fn new(role: RaftRole, leader: Option<NodeId>) -> Table {
        let mut table = Table(Replication::new(THIS, SILENCE_MS));
        table.check(Input::LeaderChanged { role, leader }, &[]);
        table
    }

    fn check(&mut self, input: Input, expected: &[Effect]) {
        self.check_after(0, input, expected);
    }

    fn check_after(&mut self, leader_age_ms: u64, input: Input, expected: &[Effect]) {
        let mut effects = Vec::new();
        self.0.step(leader_age_ms, input.clone(), &mut effects);
        assert_eq!(effects, expected, "after {input:?}");
    }
}

fn write(write: u64) -> Input {
    Input::WriteAsked { write, size_bytes: 100, waiting_count: 0, is_forwarded: false }
}

fn refused(write: u64, error: WriteError) -> Effect {
    Effect::RefuseWrite { write, error }
}

#[test]
fn a_write_is_proposed_at_the_leader_and_forwarded_once_elsewhere() {
    let mut leader = Table::new(RaftRole::Elected, Some(THIS));
    leader.check(write(1), &[Effect::Propose { write: 1 }]);

    let mut replica = Table::new(RaftRole::Follower, Some(N2));
    replica.check(write(1), &[Effect::Forward { write: 1, to: N2 }]);
    let forwarded =
        Input::WriteAsked { write: 2, size_bytes: 100, waiting_count: 0, is_forwarded: true };
    let error = WriteError::NotLeader { this: THIS, leader: N2 };
    replica.check(forwarded, &[refused(2, error)]);

    let mut alone = Table::new(RaftRole::Candidate, None);
    alone.check(write(1), &[refused(1, WriteError::NoLeader { this: THIS })]);
}

#[test]
fn a_write_that_bounced_goes_to_the_new_leader_unless_it_was_forwarded() {
    let mut former = Table::new(RaftRole::Follower, Some(N2));
    let bounced = |is_forwarded| Input::WriteBounced { write: 1, is_forwarded };
    former.check(bounced(false), &[Effect::Forward { write: 1, to: N2 }]);
    let error = WriteError::NotLeader { this: THIS, leader: N2 };
    former.check(bounced(true), &[refused(1, error)]);

    // It still believes that it leads itself: nobody to send it to.
    let mut unaware = Table::new(RaftRole::Elected, Some(THIS));
    unaware.check(bounced(false), &[refused(1, WriteError::NoLeader { this: THIS })]);
}

#[test]
fn a_leader_that_fell_silent_is_as_good_as_none() {
    let mut replica = Table::new(RaftRole::Follower, Some(N2));
    replica.check_after(SILENCE_MS, write(1), &[Effect::Forward { write: 1, to: N2 }]);
    let silent = SILENCE_MS + 1;
    let no_leader = WriteError::NoLeader { this: THIS };
    replica.check_after(silent, write(2), &[refused(2, no_leader)]);
    let error = ReadError::NoLeader { this: THIS };
    let refusal = Effect::RefuseReads { reads: vec![3], error };
    replica.check_after(silent, Input::ReadAsked { read: 3 }, &[refusal]);
    replica.check_after(20, write(4), &[Effect::Forward { write: 4, to: N2 }]); // heard again
}

#[test]
fn limits_and_states_refuse_a_write_before_anything_else() {
    let mut leader = Table::new(RaftRole::Elected, Some(THIS));
    let limit_bytes = COMMAND_SIZE_BYTES_MAX as u64;
    let asked = |size_bytes, waiting_count| Input::WriteAsked {
        write: 1,
        size_bytes,
        waiting_count,
        is_forwarded: false,
    };
    leader.check(asked(limit_bytes, 0), &[Effect::Propose { write: 1 }]);
    let size_bytes = limit_bytes + 1;
    leader.check(
        asked(size_bytes, 0),
        &[refused(1, WriteError::TooLarge { size_bytes, limit_bytes })],
    );
    let waiting_count = WAITING_WRITES_COUNT_MAX;
    leader.check(asked(1, waiting_count), &[refused(1, WriteError::Overloaded { waiting_count })]);

    leader.check(Input::WritesPaused { paused: true }, &[]);
    leader.check(write(1), &[refused(1, WriteError::HandingOver)]);
    leader.check(Input::WritesPaused { paused: false }, &[]);
    leader.check(write(1), &[Effect::Propose { write: 1 }]);

    leader.check(Input::Stopping, &[]);
    leader.check(write(1), &[refused(1, WriteError::Stopping { this: THIS })]);
    let error = ReadError::Stopping { this: THIS };
    leader.check(Input::ReadAsked { read: 1 }, &[Effect::RefuseReads { reads: vec![1], error }]);
}

#[test]
fn reads_that_come_during_a_confirmation_wait_for_the_next_one() {
    let mut leader = Table::new(RaftRole::Elected, Some(THIS));
    let confirmed = |index| Input::ReadsConfirmed { index, waited_ms: 7 };
    leader.check(Input::ReadAsked { read: 1 }, &[Effect::Confirm { from: None }]);
    leader.check(Input::ReadAsked { read: 2 }, &[]);
    leader.check(Input::ReadAsked { read: 3 }, &[]);
    let (one, two) = (LogIndex(10), LogIndex(12));
    leader.check(
        confirmed(Some(one)),
        &[Effect::ServeReads { reads: vec![1], index: one }, Effect::Confirm { from: None }],
    );
    leader.check(confirmed(Some(two)), &[Effect::ServeReads { reads: vec![2, 3], index: two }]);

    leader.check(Input::ReadAsked { read: 4 }, &[Effect::Confirm { from: None }]);
    let error = ReadError::NotConfirmed { waited_ms: 7 };
    leader.check(confirmed(None), &[Effect::RefuseReads { reads: vec![4], error }]);
}

#[test]
fn a_replica_asks_the_leader_and_refuses_without_one() {
    let mut replica = Table::new(RaftRole::Follower, Some(N2));
    replica.check(Input::ReadAsked { read: 1 }, &[Effect::Confirm { from: Some(N2) }]);
    replica.check(Input::ReadAsked { read: 2 }, &[]);
    replica.check(Input::LeaderChanged { role: RaftRole::Candidate, leader: None }, &[]);
    replica.check(
        Input::ReadsConfirmed { index: None, waited_ms: 9 },
        &[
            Effect::RefuseReads { reads: vec![1], error: ReadError::NotConfirmed { waited_ms: 9 } },
            Effect::RefuseReads { reads: vec![2], error: ReadError::NoLeader { this: THIS } },
        ],
    );
}

#[test]
fn much_applied_data_asks_for_a_snapshot() {
    let mut node = Table::new(RaftRole::Follower, Some(N2));
    node.check(Input::Applied { since_snapshot_bytes: 1 << 20 }, &[]);
    node.check(Input::Applied { since_snapshot_bytes: 64 << 20 }, &[Effect::TakeSnapshot]);
}

fn any_input() -> impl Strategy<Value = Input> {
    let role = prop_oneof![
        Just(RaftRole::Learner),
        Just(RaftRole::Follower),
        Just(RaftRole::Candidate),
        Just(RaftRole::Elected)
    ];
    let leader = prop_oneof![Just(None), (1..4u64).prop_map(|id| Some(NodeId(id)))];
    prop_oneof![
        4 => Just(Input::ReadAsked { read: 0 }),
        2 => prop::option::of(0..100u64).prop_map(|index| Input::ReadsConfirmed {
            index: index.map(LogIndex),
            waited_ms: 0
        }),
        1 => (role, leader).prop_map(|(role, leader)| Input::LeaderChanged { role, leader }),
    ]
}

proptest! {
    /// Each read is answered exactly once, and only from a confirmation that began after it came.
    #[test]
    fn a_read_is_served_once_and_never_from_an_older_confirmation(
        inputs in prop::collection::vec(any_input(), 1..60),
    ) {
        let mut state = Replication::new(THIS, SILENCE_MS);
        let (mut reads, mut began, mut answered) = (0, None, Vec::new());
        for input in inputs {
            // A confirmation ends only if one is under way.
            let input = match input {
                Input::ReadAsked { .. } => { reads += 1; Input::ReadAsked { read: reads } }
                Input::ReadsConfirmed { .. } if began.is_none() => continue,
                other => other,
            };
            let is_end = matches!(input, Input::ReadsConfirmed { .. });
            let reads_before = if is_end { began.take() } else { None };
            let mut effects = Vec::new();
            state.step(0, input, &mut effects);
            for effect in effects {
                match effect {
                    Effect::Confirm { .. } => {
                        prop_assert!(began.is_none(), "one confirmation at a time");
                        began = Some(reads);
                    }
                    Effect::ServeReads { reads, .. } => {
                        let limit = reads_before.expect("served by a confirmation that ended");
                        prop_assert!(reads.iter().all(|read| *read <= limit));
                        answered.extend(reads);
                    }
                    Effect::RefuseReads { reads, .. } => answered.extend(reads),
                    Effect::Propose { .. } | Effect::Forward { .. } | Effect::RefuseWrite { .. }
                    | Effect::TakeSnapshot => prop_assert!(false, "no write was asked"),
                }
            }
        }
        let count = answered.len();
        answered.sort_unstable();
        answered.dedup();
        prop_assert_eq!(answered.len(), count, "answered twice");
    }
}
