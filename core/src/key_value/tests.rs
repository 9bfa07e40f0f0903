//! The store as tables, against a model, and its bytes.

use std::collections::BTreeMap;

use bytes::Bytes;
use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::codec;
use crate::ids::LogIndex;
use crate::replication::machine::StateMachine;

fn put(key: &str, value: &str) -> Command {
    Command::Put { key: key.to_owned(), value: Bytes::copy_from_slice(value.as_bytes()) }
}

fn delete(key: &str) -> Command {
    Command::Delete { key: key.to_owned() }
}

fn cas(key: &str, expected: u64, value: Option<&str>) -> Command {
    let value = value.map(|value| Bytes::copy_from_slice(value.as_bytes()));
    Command::CompareAndSet { key: key.to_owned(), expected: LogIndex(expected), value }
}

fn check(key: &str, expected: u64) -> Check {
    Check { key: key.to_owned(), expected: LogIndex(expected) }
}

fn all(checks: Vec<Check>, operations: Vec<Operation>) -> Command {
    Command::Transaction(Transaction { checks, operations })
}

fn op_put(key: &str, value: impl Into<Bytes>) -> Operation {
    Operation::Put { key: key.to_owned(), value: value.into() }
}

fn op_delete(key: &str) -> Operation {
    Operation::Delete { key: key.to_owned() }
}

fn op_get(key: &str) -> Operation {
    Operation::Get { key: key.to_owned() }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A store with the index of the next entry, driven through bytes as replication does it.
#[derive(Default)]
struct Driven {
    store: KeyValue,
    index: u64,
}

impl Driven {
    fn send(&mut self, bytes: &[u8]) -> Reply {
        self.index += 1;
        let reply = self.store.apply(LogIndex(self.index), bytes);
        Reply::from_bytes(&reply).expect("a reply of ours")
    }

    /// The reply in few words: `made.changed`, `gone`, `none`, or a code.
    fn check(&mut self, command: Command, expected: &str) {
        let reply = self.send(&codec::encode(&command));
        assert_eq!(shown(&reply), expected, "at {} for {command:?}", self.index);
    }

    fn list(&self, prefix: &str, after: Option<&str>, limit: u32) -> String {
        let (prefix, after) = (prefix.to_owned(), after.map(str::to_owned));
        let query = Query::List { prefix, after, limit, keys_only: true };
        let reply = self.store.query(&query.to_bytes().expect("within the limits"));
        match QueryReply::from_bytes(&reply).expect("a reply of ours") {
            QueryReply::List { listed, has_more } => {
                assert!(listed.iter().all(|listed| listed.value.is_none()));
                let keys: Vec<String> = listed.into_iter().map(|listed| listed.key).collect();
                keys.join(" ") + if has_more { " .." } else { "" }
            }
            other => panic!("{other:?}"),
        }
    }
}

fn shown(reply: &Reply) -> String {
    let gone = |existed| if existed { "gone" } else { "none" }.to_owned();
    match reply {
        Reply::Put { create_index, modify_index } => format!("{create_index}.{modify_index}"),
        Reply::Delete { existed } => gone(*existed),
        Reply::Transaction(replies) => {
            let replies = replies.iter().map(|reply| match reply {
                OperationReply::Put { create_index, modify_index } => {
                    format!("{create_index}.{modify_index}")
                }
                OperationReply::Delete { existed } => gone(*existed),
                OperationReply::Get(None) => "-".to_owned(),
                OperationReply::Get(Some(found)) => {
                    String::from_utf8(found.value.to_vec()).expect("the tests write text")
                }
            });
            replies.collect::<Vec<_>>().join(" ")
        }
        Reply::Refused(error) => error.to_string()[..5].to_owned(),
    }
}

#[test]
fn a_key_remembers_who_made_and_who_changed_it() {
    let mut store = Driven::default();
    store.check(put("colour", "blue"), "1.1");
    store.check(put("colour", "red"), "1.2");
    store.check(delete("colour"), "gone");
    store.check(delete("colour"), "none");
    store.check(put("colour", "green"), "5.5"); // made anew
    assert_eq!(store.store.get("colour").expect("just put").value, "green");
    assert!(store.store.get("color").is_none());
}

#[test]
fn compare_and_set_needs_the_present_modify_index() {
    let mut store = Driven::default();
    store.check(cas("lock", 1, Some("a")), "Q1105"); // there is none
    store.check(cas("lock", 0, Some("a")), "2.2");
    store.check(cas("lock", 0, Some("b")), "Q1105"); // there is one
    store.check(cas("lock", 2, Some("b")), "2.4");
    store.check(cas("lock", 2, None), "Q1105"); // changed since
    store.check(cas("lock", 4, None), "gone");
    store.check(cas("lock", 0, None), "none");

    let refused = store.send(&codec::encode(&cas("lock", 9, None)));
    let Reply::Refused(error) = refused else { panic!("{refused:?}") };
    let text = error.to_string();
    assert!(text.starts_with("Q1105 \"lock\" is at modify index 0, not 9"), "{text}");
}

#[test]
fn a_transaction_happens_as_a_whole_or_not_at_all() {
    let mut store = Driven::default();
    store.check(put("a", "1"), "1.1");
    let swap = vec![op_put("b", "2"), op_get("b"), op_delete("a"), op_get("a"), op_delete("x")];
    store.check(all(vec![check("a", 7)], swap.clone()), "Q1105");
    assert_eq!(store.list("", None, 10), "a"); // nothing happened
    store.check(all(vec![check("a", 1), check("b", 0)], swap), "3.3 2 gone - none");
    assert_eq!(store.list("", None, 10), "b");
    store.check(all(vec![], vec![]), "");
    let doubled = vec![op_put("b", "3"), op_put("b", "4"), op_get("b")];
    store.check(all(vec![check("b", 3)], doubled), "3.5 3.5 4");
}

#[test]
fn what_breaks_a_limit_is_refused_with_its_code_and_changes_nothing() {
    let mut store = Driven::default();
    let key_max = "k".repeat(KEY_SIZE_BYTES_MAX);
    let value_max = "v".repeat(VALUE_SIZE_BYTES_MAX);
    store.check(put(&key_max, &value_max), "1.1");
    let before = store.store.clone();

    let key_over = format!("{key_max}k");
    let value_over = format!("{value_max}v");
    let many = |operation: Operation, count: usize| all(vec![], vec![operation; count]);
    for (command, code) in [
        (put("", "v"), "Q1101"),
        (put(&key_over, "v"), "Q1101"),
        (delete(""), "Q1101"),
        (cas(&key_over, 0, None), "Q1101"),
        (put("k", &value_over), "Q1102"),
        (cas("k", 0, Some(&value_over)), "Q1102"),
        (all(vec![check("", 0)], vec![]), "Q1101"),
        (all(vec![check("k", 0); OPERATIONS_COUNT_MAX + 1], vec![]), "Q1104"),
        (many(op_get(""), 1), "Q1101"),
        (many(op_put("k", value_over.clone()), 1), "Q1102"),
        (many(op_get("k"), OPERATIONS_COUNT_MAX + 1), "Q1104"),
        (many(op_put("k", value_max.clone()), 2), "Q1104"), // the keys are too much
        (many(op_get(&key_max), 3), "Q1108"),
        (
            all(vec![], vec![op_put("k", "v"), op_get(&key_max), op_get(&key_max), op_get("k")]),
            "Q1108",
        ),
    ] {
        let edge = command.check().err().map(|error| error.to_string()[..5].to_owned());
        assert!(edge.is_none_or(|edge| edge == code), "the edge says the same");
        store.check(command, code);
        assert_eq!(store.store, before, "{code}");
    }
    store.check(many(op_get("k"), OPERATIONS_COUNT_MAX), &["-"; OPERATIONS_COUNT_MAX].join(" "));
}

#[test]
fn bytes_that_are_no_command_or_query_are_refused() {
    let mut store = Driven::default();
    let mut trailing = codec::encode(&delete("k"));
    trailing.push(0);
    let not_utf8 = [1, 2, 0xc3, 0x28]; // a delete of a key of two bytes
    for bytes in [&[][..], &[99], &trailing, &not_utf8, &[0, 0xfd, 255, 255, 255, 255]] {
        assert_eq!(shown(&store.send(bytes)), "Q1107", "{bytes:?}");
        let answer = QueryReply::from_bytes(&store.store.query(bytes)).expect("a reply of ours");
        assert_eq!(answer, QueryReply::Refused(KeyValueError::Malformed));
    }
    assert_eq!(key_of(b"caf\xc3\xa9"), Ok("café"));
    assert_eq!(key_of(b"caf\xe9"), Err(KeyValueError::KeyNotUtf8 { valid_size_bytes: 3 }));
    assert_eq!(key_of(b""), Err(KeyValueError::KeySize { size_bytes: 0 }));
}

#[test]
fn a_list_is_in_order_and_goes_on_after_the_last_key() {
    let mut store = Driven::default();
    for key in ["b/2", "a", "b/1", "b", "c", "b/3"] {
        store.send(&codec::encode(&put(key, "")));
    }
    assert_eq!(store.list("", None, 10), "a b b/1 b/2 b/3 c");
    assert_eq!(store.list("b/", None, 2), "b/1 b/2 ..");
    assert_eq!(store.list("b/", Some("b/2"), 2), "b/3");
    assert_eq!(store.list("b/", Some("a"), 1), "b/1 .."); // before the prefix
    assert_eq!(store.list("b/", Some("c"), 9), ""); // behind it
    assert_eq!(store.list("d", None, 9), "");
    for limit in [0, LIST_COUNT_MAX + 1] {
        let query = Query::List { prefix: String::new(), after: None, limit, keys_only: true };
        assert_eq!(query.to_bytes(), Err(KeyValueError::ListLimit { limit }));
    }
}

#[test]
fn a_list_is_cut_by_size_but_never_empty() {
    let mut store = Driven::default();
    let value = "v".repeat(VALUE_SIZE_BYTES_MAX - 1);
    for key in ["a", "b", "c"] {
        store.send(&codec::encode(&put(key, &value)));
    }
    let list = |after: Option<&str>| {
        let after = after.map(str::to_owned);
        let query = Query::List { prefix: String::new(), after, limit: 9, keys_only: false };
        match store.store.answer(query) {
            Ok(QueryReply::List { listed, has_more }) => (listed.len(), has_more),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(list(None), (2, true));
    assert_eq!(list(Some("b")), (1, false));
}

#[test]
fn a_command_keeps_its_golden_bytes() {
    let golden = [
        (put("key", "value"), "00036b65790576616c7565"),
        (delete("key"), "01036b6579"),
        (cas("key", 300, None), "02036b6579fb2c0100"),
        (cas("key", 0, Some("v")), "02036b657900010176"),
        (
            all(vec![check("a", 1)], vec![op_put("b", "v"), op_delete("c"), op_get("d")]),
            "0301016101030001620176010163020164",
        ),
    ];
    for (command, bytes) in golden {
        assert_eq!(hex(&codec::encode(&command)), bytes, "{command:?}");
    }
}

#[test]
fn the_snapshot_keeps_its_golden_bytes() {
    let mut store = Driven::default();
    store.check(put("a", "one"), "1.1");
    store.check(put("b", ""), "2.2");
    store.check(put("a", "two"), "1.3");
    let bytes = store.store.snapshot()();
    let golden = [
        "0000000000000002", // two keys
        "000161",
        "00000000000000010000000000000003",
        "00000003",
        "74776f",
        "000162",
        "00000000000000020000000000000002",
        "00000000",
    ]
    .concat();
    assert_eq!(hex(&bytes[..5]), format!("01{:08x}", store.store.digest()));
    assert_eq!(store.store.digest(), 0x9529_150f);
    assert_eq!(hex(&bytes[5..]), golden);
}

#[test]
fn a_snapshot_job_writes_the_state_it_was_taken_from() {
    let mut store = Driven::default();
    store.check(put("a", "1"), "1.1");
    let job = store.store.snapshot();
    store.check(put("a", "2"), "1.2");
    let mut other = KeyValue::new();
    other.restore(&job()).expect("undamaged");
    assert_eq!(other.get("a").expect("was put").value, "1");
}

#[test]
fn keys_out_of_order_or_beyond_a_limit_are_no_snapshot() {
    let with_checksum = |body: &[u8]| {
        let mut bytes = vec![1];
        bytes.extend(crc32fast::hash(body).to_be_bytes());
        bytes.extend(body);
        bytes
    };
    let key = |key: &[u8]| [&(key.len() as u16).to_be_bytes()[..], key, &[0; 20]].concat();
    let keys = |count: u64, keys: &[&[u8]]| {
        let keys: Vec<u8> = keys.iter().flat_map(|bytes| key(bytes)).collect();
        with_checksum(&[&count.to_be_bytes()[..], &keys].concat())
    };
    let mut store = KeyValue::new();
    assert!(store.restore(&keys(2, &[b"a", b"b"])).is_ok());
    let kept = store.clone();
    for (damage, bytes) in [
        ("descending", keys(2, &[b"b", b"a"])),
        ("twice", keys(2, &[b"a", b"a"])),
        ("empty key", keys(1, &[b""])),
        ("not UTF-8", keys(1, &[b"\xff"])),
        ("long key", keys(1, &[&[b'k'; KEY_SIZE_BYTES_MAX + 1]])),
        ("one too few", keys(3, &[b"a", b"b"])),
        ("one too many", keys(1, &[b"a", b"b"])),
        ("far too many", keys(u64::MAX, &[])),
        ("newer layout", [&[2], &keys(0, &[])[1..]].concat()),
        ("nothing", vec![]),
    ] {
        assert!(store.restore(&bytes).is_err(), "{damage}");
        assert_eq!(store, kept, "{damage}");
    }
}

fn any_command() -> impl Strategy<Value = Command> {
    let key = || "[ab]{1,2}";
    let value = || "[xy]{0,2}".prop_map(Bytes::from);
    let expected = || (0..20u64).prop_map(LogIndex);
    let operation = prop_oneof![
        (key(), value()).prop_map(|(key, value)| Operation::Put { key, value }),
        key().prop_map(|key| Operation::Delete { key }),
        key().prop_map(|key| Operation::Get { key }),
    ];
    let checks = vec((key(), expected()).prop_map(|(key, expected)| Check { key, expected }), 0..2);
    prop_oneof![
        (key(), value()).prop_map(|(key, value)| Command::Put { key, value }),
        key().prop_map(|key| Command::Delete { key }),
        (key(), expected(), proptest::option::of(value()))
            .prop_map(|(key, expected, value)| Command::CompareAndSet { key, expected, value }),
        (checks, vec(operation, 0..5)).prop_map(|(checks, operations)| {
            Command::Transaction(Transaction { checks, operations })
        }),
    ]
}

/// The plainest store there can be: key to (value, made, changed).
type Model = BTreeMap<String, (Bytes, u64, u64)>;

fn model_set(model: &mut Model, index: u64, key: &str, value: Option<&Bytes>) {
    let made = model.get(key).map_or(index, |present| present.1);
    match value {
        Some(value) => drop(model.insert(key.to_owned(), (value.clone(), made, index))),
        None => drop(model.remove(key)),
    }
}

/// Returns whether the command was carried out.
fn model_apply(model: &mut Model, index: u64, command: &Command) -> bool {
    let holds = |model: &Model, key: &str, expected: LogIndex| {
        model.get(key).map_or(0, |present| present.2) == expected.0
    };
    match command {
        Command::Put { key, value } => model_set(model, index, key, Some(value)),
        Command::Delete { key } => model_set(model, index, key, None),
        Command::CompareAndSet { key, expected, value } => {
            if !holds(model, key, *expected) {
                return false;
            }
            model_set(model, index, key, value.as_ref());
        }
        Command::Transaction(transaction) => {
            if !transaction.checks.iter().all(|check| holds(model, &check.key, check.expected)) {
                return false;
            }
            for operation in &transaction.operations {
                match operation {
                    Operation::Put { key, value } => model_set(model, index, key, Some(value)),
                    Operation::Delete { key } => model_set(model, index, key, None),
                    Operation::Get { .. } => {}
                }
            }
        }
    }
    true
}

proptest! {
    /// Whatever is sent, the store holds what a map would, and a copy made from its snapshot, or
    /// from the same commands, is the same store.
    #[test]
    fn the_store_agrees_with_a_map_and_with_its_copies(commands in vec(any_command(), 1..40)) {
        let (mut store, mut twin) = (KeyValue::new(), KeyValue::new());
        let mut model = Model::new();
        for (index, command) in (1..).zip(&commands) {
            let bytes = codec::encode(command);
            let reply = store.apply(LogIndex(index), &bytes);
            prop_assert_eq!(&twin.apply(LogIndex(index), &bytes), &reply);
            let reply = Reply::from_bytes(&reply).expect("a reply of ours");
            let was_done = model_apply(&mut model, index, command);
            prop_assert_eq!(was_done, !matches!(reply, Reply::Refused(_)));
        }
        let held: Model = store.iter().map(|(key, found)| {
            let Found { value, create_index, modify_index } = found.clone();
            (key.to_owned(), (value, create_index.0, modify_index.0))
        }).collect();
        prop_assert_eq!(held, model);
        prop_assert_eq!(twin.digest(), store.digest());

        let mut copy = KeyValue::new();
        copy.restore(&store.snapshot()()).expect("undamaged");
        prop_assert_eq!(copy.digest(), store.digest());
        prop_assert_eq!(copy, store);
    }

    /// Page after page, every key of the prefix comes exactly once and in order.
    #[test]
    fn pages_of_a_list_make_the_whole(keys in vec("[ab]{1,3}", 0..20), limit in 1..5u32) {
        let mut store = Driven::default();
        for key in &keys {
            store.send(&codec::encode(&put(key, "")));
        }
        let (mut pages, mut after) = (Vec::new(), None);
        loop {
            let query = Query::List {
                prefix: "a".to_owned(), after: after.take(), limit, keys_only: false,
            };
            let Ok(QueryReply::List { listed, has_more }) = store.store.answer(query) else {
                panic!("within the limits");
            };
            pages.extend(listed.into_iter().map(|listed| listed.key));
            if !has_more {
                break;
            }
            after = pages.last().cloned();
        }
        let mut whole: Vec<String> = keys.into_iter().filter(|key| key.starts_with('a')).collect();
        whole.sort();
        whole.dedup();
        prop_assert_eq!(pages, whole);
    }

    /// A flipped bit anywhere, or a lost tail, is noticed, and the store stays as it was.
    #[test]
    fn damage_is_noticed_and_changes_nothing(
        keys in vec("[a-z]{1,4}", 0..6), at in any::<usize>(), bit in 0..8u8, cut in any::<usize>(),
    ) {
        let mut store = Driven::default();
        for key in &keys {
            store.send(&codec::encode(&put(key, "value")));
        }
        let bytes = store.store.snapshot()();
        let mut kept = Driven::default();
        kept.check(put("kept", "1"), "1.1");
        let before = kept.store.clone();

        let mut damaged = bytes.to_vec();
        let at = at % damaged.len();
        damaged[at] ^= 1 << bit;
        prop_assert!(kept.store.restore(&damaged).is_err());
        prop_assert!(kept.store.restore(&bytes[..cut % bytes.len()]).is_err());
        prop_assert_eq!(kept.store, before);
    }

    /// Whoever proposes whatever bytes, the store answers.
    #[test]
    fn no_bytes_panic_the_store(bytes in vec(any::<u8>(), 0..100)) {
        let mut store = KeyValue::new();
        let reply = store.apply(LogIndex(1), &bytes);
        prop_assert!(Reply::from_bytes(&reply).is_ok());
        prop_assert!(QueryReply::from_bytes(&store.query(&bytes)).is_ok());
        let _ = store.restore(&bytes);
    }
}
