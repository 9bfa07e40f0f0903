//! Who is let in by a join token as a table, and its laws as properties.

use proptest::collection::vec;
use proptest::prelude::*;

use super::admissions::*;
use super::roster::*;
use crate::codec;
use crate::config::MemberSettings;
use crate::ids::{LogIndex, NodeId};

const SECRET: [u8; 32] = [5; 32];

fn settings(name: &str) -> MemberSettings {
    MemberSettings::at(name, [127, 0, 0, 1].into())
}

/// A cluster of one, which has made token 2: for so many, until 1,000 ms.
fn inviting(uses_count: u32) -> Roster {
    let mut roster = Roster::default();
    let members = vec![settings("n1")];
    roster.apply(LogIndex(1), RosterChange::Found { members }).expect("it is empty");
    let (expires_at_ms, now_ms) = (1_000, 0);
    let token = RosterChange::AddToken { secret_hash: SECRET, uses_count, expires_at_ms, now_ms };
    assert_eq!(roster.apply(LogIndex(2), token).expect("it is good").ids, []);
    roster
}

fn join(name: &str, key: u8) -> Join {
    Join {
        settings: settings(name),
        public_key: [key; 32],
        becomes: Role::Full,
        zone: None,
        wants_vote: false,
        token: LogIndex(2),
        secret_hash: SECRET,
        now_ms: 500,
    }
}

/// The id that the join gets, or the first word of why it gets none.
fn joined(roster: &mut Roster, join: Join) -> String {
    let before = roster.clone();
    match roster.apply(LogIndex(9), RosterChange::Join(join)) {
        Ok(outcome) => outcome.ids[0].to_string(),
        Err(text) => {
            assert_eq!(*roster, before, "a refused change changes nothing");
            text.split(' ').next().unwrap_or_default().to_owned()
        }
    }
}

#[test]
fn a_token_lets_in_as_many_as_it_says_and_each_other_is_refused_by_its_code() {
    let mut roster = inviting(2);
    let table = [
        (Join { secret_hash: [6; 32], ..join("n2", 2) }, "Q1041"),
        (Join { token: LogIndex(3), ..join("n2", 2) }, "Q1041"),
        (Join { now_ms: 1_000, ..join("n2", 2) }, "Q1043"),
        (Join { becomes: Role::Learner, ..join("n2", 2) }, "Q1047"),
        (join("n1", 2), "Q1045"),
        (join("n2", 2), "n2"),
        (join("n2", 3), "Q1045"), // its name, and another key
        (join("n3", 2), "Q1047"), // its key, and another name
        (Join { secret_hash: [6; 32], ..join("n2", 2) }, "Q1041"),
        (join("n3", 3), "n3"),
        (join("n4", 4), "Q1042"),
    ];
    for (join, expected) in table {
        assert_eq!(joined(&mut roster, join.clone()), expected, "{join:?}");
    }
    assert_eq!(roster.next_id(), NodeId(4), "who is refused uses no id up");
}

#[test]
fn who_lost_the_answer_is_answered_again_until_it_votes() {
    let mut roster = inviting(1);
    assert_eq!(joined(&mut roster, join("n2", 2)), "n2");
    let moved = MemberSettings { api_port: 9500, ..settings("n2") };
    // Also by an older token than would be good, and from another place.
    roster.apply(LogIndex(3), RosterChange::RevokeToken { id: LogIndex(2) }).expect("it is there");
    let again = Join { settings: moved.clone(), now_ms: 5_000, ..join("n2", 2) };
    assert_eq!(joined(&mut roster, again), "n2");
    assert_eq!(roster.get(NodeId(2)).expect("a member").settings, moved);
    assert_eq!(joined(&mut roster, join("n3", 3)), "Q1044");
    roster.apply(LogIndex(4), RosterChange::Promote { ids: vec![NodeId(2)] }).expect("a learner");
    assert_eq!(joined(&mut roster, join("n2", 2)), "Q1046");
}

#[test]
fn tokens_have_a_bound_and_the_oldest_that_lets_nobody_in_gives_way() {
    let mut roster = inviting(1);
    let token = |uses_count, expires_at_ms| RosterChange::AddToken {
        secret_hash: SECRET,
        uses_count,
        expires_at_ms,
        now_ms: 2_000,
    };
    let mut add = |index, change| roster.apply(LogIndex(index), change).map(drop);
    assert!(add(3, token(0, 9_000)).is_err(), "nobody could use it");
    for index in 3..=101 {
        assert_eq!(add(index, token(1, 9_000)), Ok(()));
    }
    assert_eq!(add(102, token(1, 9_000)), Ok(()), "the first has expired, and is forgotten");
    assert_eq!(add(103, token(1, 9_000)), Err("100 join tokens are open already".to_owned()));
    assert_eq!(add(104, RosterChange::RevokeToken { id: LogIndex(50) }), Ok(()));
    assert_eq!(add(105, token(1, 9_000)), Ok(()));
    let gone = add(106, RosterChange::RevokeToken { id: LogIndex(50) });
    assert_eq!(gone, Err("there is no token 50".to_owned()));
}

#[test]
fn changes_and_admissions_keep_their_golden_bytes() {
    let hex = super::join_token::hex;
    let (key, secret) = ("02".repeat(32), "05".repeat(32));
    let place = "026e32007f000001fb6c20fb6d20fb3421";
    let table = [
        (RosterChange::Found { members: vec![settings("n2")] }, format!("0001{place}")),
        (
            RosterChange::AddLearner {
                settings: settings("n2"),
                public_key: Some([2; 32]),
                becomes: Role::Full,
                zone: None,
            },
            format!("01{place}01{key}0000"),
        ),
        (RosterChange::Promote { ids: vec![NodeId(2)] }, "020102".to_owned()),
        (RosterChange::Remove { ids: vec![NodeId(2)] }, "030102".to_owned()),
        (RosterChange::SetKey { id: NodeId(2), public_key: [2; 32] }, format!("0402{key}")),
        (
            RosterChange::SetAddress { id: NodeId(2), settings: settings("n2") },
            format!("0502{place}"),
        ),
        (
            RosterChange::AddToken {
                secret_hash: SECRET,
                uses_count: 1,
                expires_at_ms: 1_000,
                now_ms: 0,
            },
            format!("06{secret}01fbe80300"),
        ),
        (RosterChange::RevokeToken { id: LogIndex(2) }, "0702".to_owned()),
        (RosterChange::Join(join("n2", 2)), format!("08{place}{key}00000002{secret}fbf401")),
    ];
    for (change, golden) in table {
        let bytes = codec::encode(&change);
        assert_eq!(hex(&bytes), golden, "{change:?}");
        assert_eq!(codec::decode::<RosterChange>("change", &bytes).expect("its own"), change);
    }
    let mut roster = inviting(1);
    joined(&mut roster, join("n2", 2));
    let bytes = codec::encode(roster.admissions());
    assert_eq!(hex(&bytes), format!("0102{secret}00fbe8030001020200"));
    // A roster's own bytes hold none of it: snapshots of older builds have none.
    let bytes = codec::encode(&roster);
    let mut read: Roster = codec::decode("roster", &bytes).expect("its own");
    assert!(read.admissions().is_empty());
    read.set_admissions(roster.admissions().clone());
    assert_eq!(read, roster);
}

proptest! {
    /// However often whoever asks: no more members than uses, an id for one key only, and the same
    /// answer for the same node.
    #[test]
    fn a_token_is_never_used_more_often_than_it_says(
        uses_count in 1..4_u32,
        asked in vec((2..8_u8, 2..8_u8), 0..40),
    ) {
        let mut roster = inviting(uses_count);
        let mut told = std::collections::BTreeMap::new();
        for (name, key) in asked {
            let answer = joined(&mut roster, join(&format!("n{name}"), key));
            if !answer.starts_with('Q') {
                let first = told.entry((name, key)).or_insert(answer.clone());
                prop_assert_eq!(first, &answer);
            }
        }
        let keys: std::collections::BTreeSet<_> =
            roster.members().filter_map(|member| member.public_key).collect();
        prop_assert_eq!(keys.len() + 1, roster.members().count());
        prop_assert_eq!(told.len(), keys.len());
        prop_assert!(told.len() <= uses_count as usize);
    }
}
