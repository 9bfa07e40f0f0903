//! The roster's rules as tables, and its laws as properties.

use std::collections::BTreeSet;

use proptest::collection::vec;
use proptest::prelude::*;

use super::roster::*;
use crate::codec;
use crate::config::MemberSettings;
use crate::ids::{LogIndex, NodeId};

fn settings(name: &str) -> MemberSettings {
    MemberSettings::at(name, [127, 0, 0, 1].into())
}

fn joiner(name: &str, key: Option<u8>) -> RosterChange {
    let public_key = key.map(|byte| [byte; 32]);
    let (becomes, zone) = (Role::Full, None);
    RosterChange::AddLearner { settings: settings(name), public_key, becomes, zone }
}

fn ids(ids: &[u64]) -> Vec<NodeId> {
    ids.iter().copied().map(NodeId).collect()
}

fn founded(count: u64) -> Roster {
    let mut roster = Roster::default();
    let members = (1..=count).map(|id| settings(&format!("n{id}"))).collect();
    let outcome = roster.apply(LogIndex(1), RosterChange::Found { members }).unwrap();
    assert_eq!(outcome.ids, (1..=count).map(NodeId).collect::<Vec<_>>());
    roster
}

#[test]
fn a_joiner_is_a_learner_with_the_next_id_until_it_is_promoted() {
    let mut roster = founded(3);
    assert_eq!(roster.apply(LogIndex(5), joiner("n4", Some(4))).unwrap().ids, ids(&[4]));
    assert_eq!(roster.get(NodeId(4)).unwrap().role, Role::Learner);
    roster.apply(LogIndex(6), RosterChange::Promote { ids: ids(&[4]) }).unwrap();
    assert_eq!(roster.get(NodeId(4)).unwrap().role, Role::Full);
    assert_eq!(roster.changed_at(), LogIndex(6));
}

#[test]
fn the_id_of_a_removed_member_is_never_given_again_though_its_name_is() {
    let mut roster = founded(3);
    roster.apply(LogIndex(5), joiner("n4", None)).unwrap();
    roster.apply(LogIndex(6), RosterChange::Remove { ids: ids(&[4]) }).unwrap();
    assert_eq!(roster.apply(LogIndex(7), joiner("n4", None)).unwrap().ids, ids(&[5]));
}

#[test]
fn each_bad_change_is_refused_with_its_reason_and_changes_nothing() {
    let mut roster = founded(2);
    roster.apply(LogIndex(2), joiner("n3", Some(3))).unwrap();
    let promote = |list: &[u64]| RosterChange::Promote { ids: ids(list) };
    let remove = |list: &[u64]| RosterChange::Remove { ids: ids(list) };
    let key = |id, byte| RosterChange::SetKey { id: NodeId(id), public_key: [byte; 32] };
    let address = RosterChange::SetAddress { id: NodeId(1), settings: settings("n9") };
    let learner_for_ever = RosterChange::AddLearner {
        settings: settings("n4"),
        public_key: None,
        becomes: Role::Learner,
        zone: None,
    };
    let table = [
        (RosterChange::Found { members: vec![settings("x")] }, "the cluster is founded already"),
        (joiner("n3", Some(3)), "the name \"n3\" belongs to n3"),
        (joiner("n3", Some(9)), "the name \"n3\" belongs to another key, that of n3"),
        (joiner("n4", Some(3)), "the key belongs to n3"),
        (joiner("", None), "name \"\" is not 1 to 63 bytes long"),
        (learner_for_ever, "a learner becomes a full node or a witness"),
        (promote(&[1]), "n1 votes already"),
        (promote(&[3, 1]), "n1 votes already"), // and n3 stays a learner
        (promote(&[7]), "n7 is no member"),
        (promote(&[3, 3]), "n3 is named twice"),
        (promote(&[]), "no member is named"),
        (remove(&[1, 2]), "no full node would be left"),
        (remove(&[1, 8]), "n8 is no member"),
        (key(1, 3), "the key belongs to n3"),
        (key(9, 1), "n9 is no member"),
        (address, "n1 is \"n1\", not \"n9\""),
    ];
    for (change, reason) in table {
        let before = roster.clone();
        assert_eq!(roster.apply(LogIndex(9), change), Err(reason.to_owned()));
        assert_eq!(roster, before, "{reason}");
    }
    let mut nobody = Roster::default();
    assert_eq!(
        nobody.apply(LogIndex(1), joiner("n1", None)).unwrap_err(),
        "the cluster is not founded yet"
    );
}

#[test]
fn founding_members_of_one_name_are_refused_as_a_whole() {
    let mut roster = Roster::default();
    let members = vec![settings("n1"), settings("n1")];
    let refusal = roster.apply(LogIndex(1), RosterChange::Found { members }).unwrap_err();
    assert_eq!(refusal, "the name \"n1\" belongs to n1");
    assert_eq!(roster, Roster::default());
}

fn any_change() -> impl Strategy<Value = RosterChange> {
    let id = || (0u64..9).prop_map(NodeId);
    let name = || (0u8..6).prop_map(|name| format!("m{name}"));
    prop_oneof![
        vec(name(), 0..4).prop_map(|names| {
            let members = names.iter().map(|name| settings(name)).collect();
            RosterChange::Found { members }
        }),
        (name(), proptest::option::of(0u8..4)).prop_map(|(name, key)| joiner(&name, key)),
        vec(id(), 0..3).prop_map(|ids| RosterChange::Promote { ids }),
        vec(id(), 0..3).prop_map(|ids| RosterChange::Remove { ids }),
        (id(), 0u8..4).prop_map(|(id, key)| RosterChange::SetKey { id, public_key: [key; 32] }),
        (id(), name())
            .prop_map(|(id, name)| { RosterChange::SetAddress { id, settings: settings(&name) } }),
    ]
}

proptest! {
    /// Whatever is proposed in whatever order: an id is given once, names and keys are unique, and
    /// what is refused leaves every byte as it was.
    #[test]
    fn ids_are_given_once_and_refused_changes_change_nothing(
        changes in vec(any_change(), 1..60),
    ) {
        let mut roster = founded(2);
        let mut given: BTreeSet<NodeId> = roster.members().map(|member| member.id).collect();
        for (at, change) in changes.into_iter().enumerate() {
            let before = roster.clone();
            let is_joiner = matches!(change, RosterChange::AddLearner { .. });
            match roster.apply(LogIndex(at as u64 + 2), change) {
                Ok(outcome) if is_joiner => prop_assert!(given.insert(outcome.ids[0])),
                Ok(_) => {}
                Err(_) => prop_assert_eq!(&roster, &before),
            }
            prop_assert!(before.next_id() <= roster.next_id());
            let names: BTreeSet<_> = roster.members().map(|m| m.settings.name.clone()).collect();
            prop_assert_eq!(names.len(), roster.members().count());
            let keys: Vec<_> = roster.members().filter_map(|m| m.public_key).collect();
            prop_assert_eq!(keys.iter().collect::<BTreeSet<_>>().len(), keys.len());
            prop_assert!(roster.members().any(|member| member.role == Role::Full));
        }
    }

    /// Roster and change come back from their bytes as they were.
    #[test]
    fn rosters_and_changes_survive_their_bytes(changes in vec(any_change(), 1..20)) {
        let mut roster = founded(2);
        for change in changes {
            let bytes = codec::encode(&change);
            prop_assert_eq!(codec::decode::<RosterChange>("change", &bytes), Ok(change.clone()));
            let _ = roster.apply(LogIndex(2), change);
        }
        let bytes = codec::encode(&roster);
        prop_assert_eq!(codec::decode::<Roster>("roster", &bytes), Ok(roster));
    }
}
