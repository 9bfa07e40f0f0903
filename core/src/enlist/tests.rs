//! The life of an order as a table: what is asked, made and answered.

use super::state::{Drawn, Effect, Enlisting, Input, JOIN_MS_MAX, Refusal, Told};
use super::*;
use crate::codec::Identity;
use crate::ids::{ClusterId, Generation, Lineage, LogIndex, NodeId, RequestId};
use crate::node::identity::NewIdentity;
use crate::ports::Now;
use crate::security::ClusterSecret;

fn drawn() -> Drawn {
    Drawn { cluster: ClusterId([1; 16]), secret: secret('a') }
}

const OTHER: ClusterId = ClusterId([2; 16]);

fn place(name: &str) -> MemberSettings {
    MemberSettings::at(name, [127, 0, 0, 1].into())
}

fn start(name: &str) -> Order {
    Order::Start { place: place(name) }
}

fn join(name: &str) -> Order {
    let token = JoinToken { cluster: OTHER, id: LogIndex(5), secret: [7; 16], authority: None };
    Order::Join { place: place(name), nodes: Vec::new(), token, wants_vote: false }
}

fn ordered(request: u64, id: u128, order: Order) -> Input {
    let (id, found, authority) = (RequestId(id), Vec::new(), None);
    Input::Ordered { request, id, order, found, unfit: None, drawn: drawn(), authority }
}

fn admitted(node: u64) -> Input {
    let (cluster, node) = (OTHER, NodeId(node));
    let identity = Identity { cluster, lineage: Lineage(0), generation: Generation(0), node };
    Input::Told(Told::Admitted { identity, secret: None })
}

fn unknown() -> Input {
    Input::Told(Told::Unknown("it is silent".to_owned()))
}

/// The effects as text.
fn step(state: &mut Enlisting, ms: u64, input: Input) -> String {
    let mut out = Vec::new();
    state.step(Now::from_ms(ms), input, &mut out);
    let told: Vec<String> = out.into_iter().map(told).collect();
    told.join(", ")
}

fn told(effect: Effect) -> String {
    match effect {
        Effect::Ask { id, order } => format!("ask {} for {}", id.0, order.place().name),
        Effect::Make(new) => {
            let part = if new.founds { "founder" } else { "learner" };
            format!("make {} {part} of {}", new.identity.node, new.identity.cluster.0[0])
        }
        Effect::Answer { request, result: Ok(new) } => format!("{request}: {}", new.identity.node),
        Effect::Answer { request, result: Err(refusal) } => match refusal {
            Refusal::OtherSecret => format!("{request}: another secret"),
            Refusal::UnderWay => format!("{request}: under way"),
            Refusal::HoldsData { found } => format!("{request}: holds {}", found.join(" ")),
            Refusal::Refused(text) => format!("{request}: {text}"),
            Refusal::Unknown { waited_ms, .. } => format!("{request}: unknown after {waited_ms}"),
            Refusal::HasCluster(cluster) => format!("{request}: has {}", cluster.0[0]),
        },
        Effect::End => "end".to_owned(),
    }
}

#[test]
fn a_node_starts_a_cluster_once_and_says_so_again() {
    let mut node = Enlisting::default();
    let mut check =
        |ms, input, expected: &str| assert_eq!(step(&mut node, ms, input), expected, "{ms}");
    check(0, ordered(1, 9, start("n1")), "make n1 founder of 1");
    check(1, ordered(2, 8, join("n1")), "2: under way");
    check(1, ordered(3, 8, start("n1")), ""); // the same order by another request waits for it
    check(2, Input::Written, "1: n1, 3: n1, end");
    check(3, ordered(4, 9, start("n1")), "4: n1"); // the answer was lost
    check(3, ordered(5, 7, join("n2")), "5: has 1");
}

#[test]
fn a_node_joins_once_the_cluster_says_so_and_asks_until_that_is_known() {
    let mut node = Enlisting::default();
    let mut check =
        |ms, input, expected: &str| assert_eq!(step(&mut node, ms, input), expected, "{ms}");
    check(0, ordered(1, 9, join("n2")), "ask 9 for n2");
    check(10_000, unknown(), "ask 9 for n2");
    check(10_001, ordered(2, 9, join("n2")), "");
    check(20_000, admitted(2), "make n2 learner of 2");
    check(20_001, Input::Written, "1: n2, 2: n2, end");
}

#[test]
fn an_order_that_failed_may_be_given_again() {
    let mut node = Enlisting::default();
    let mut check =
        |ms, input, expected: &str| assert_eq!(step(&mut node, ms, input), expected, "{ms}");
    check(0, ordered(1, 9, join("n2")), "ask 9 for n2");
    check(1, Input::Told(Told::Refused("no".to_owned())), "1: no");
    check(2, ordered(2, 8, join("n2")), "ask 8 for n2");
    check(2 + JOIN_MS_MAX, unknown(), &format!("2: unknown after {JOIN_MS_MAX}"));
    check(40_000, ordered(3, 7, start("n2")), "make n1 founder of 1");
}

#[test]
fn a_data_directory_of_another_cluster_takes_no_order() {
    let mut node = Enlisting::default();
    let found = vec!["log/0001.segment".to_owned(), "state.redb".to_owned()];
    let (id, order) = (RequestId(9), start("n1"));
    let (request, unfit, drawn, authority) = (1, None, drawn(), None);
    let input = Input::Ordered { request, id, order, found, unfit, drawn, authority };
    assert_eq!(step(&mut node, 0, input), "1: holds log/0001.segment state.redb");
}

#[test]
fn an_order_for_a_place_where_the_node_cannot_be_is_refused_and_another_carried_out() {
    let mut node = Enlisting::default();
    let (request, id, order, found) = (1, RequestId(9), start("n1"), Vec::new());
    let (unfit, drawn, authority) = (Some("not mine".to_owned()), drawn(), None);
    let input = Input::Ordered { request, id, order, found, unfit, drawn, authority };
    assert_eq!(step(&mut node, 0, input), "1: not mine");
    assert_eq!(step(&mut node, 1, ordered(2, 8, start("n1"))), "make n1 founder of 1");
}

fn secret(letter: char) -> ClusterSecret {
    ClusterSecret::from_text(&letter.to_string().repeat(64)).expect("it is long enough")
}

/// What is made of a node whose settings name a secret, or not.
fn made(state: &mut Enlisting, input: Input) -> NewIdentity {
    let mut out = Vec::new();
    state.step(Now::from_ms(0), input, &mut out);
    match out.remove(0) {
        Effect::Make(new) => new,
        other => panic!("{other:?}"),
    }
}

#[test]
fn who_starts_a_cluster_keeps_the_secret_that_was_drawn() {
    let drawn = Drawn { cluster: OTHER, secret: secret('a') };
    let (request, id, order, found) = (1, RequestId(9), start("n1"), Vec::new());
    let (unfit, authority) = (None, None);
    let input = Input::Ordered { request, id, order, found, unfit, drawn, authority };
    assert_eq!(made(&mut Enlisting::default(), input).secret, Some(secret('a')));
}

#[test]
fn who_joins_keeps_the_secret_that_it_is_told_and_joins_none_whose_secret_is_not_its_own() {
    let of = |authority: Option<char>| {
        let Order::Join { place, nodes, token, wants_vote } = join("n2") else { unreachable!() };
        let authority = authority.map(|letter| secret(letter).fingerprint());
        Order::Join { place, nodes, token: JoinToken { authority, ..token }, wants_vote }
    };
    // What the settings name, what the token names, and what comes of it.
    let table = [
        (None, None, "ask 9 for n2"),
        (None, Some('a'), "ask 9 for n2"),
        (Some('a'), Some('a'), "ask 9 for n2"),
        (Some('b'), Some('a'), "1: another secret"),
        (Some('b'), None, "1: another secret"),
    ];
    for (named, token, expected) in table {
        let (mut state, id, found) = (Enlisting::default(), RequestId(9), Vec::new());
        let (request, unfit, drawn) = (1, None, drawn());
        let authority = named.map(|letter| secret(letter).fingerprint());
        let order = of(token);
        let input = Input::Ordered { request, id, order, found, unfit, drawn, authority };
        assert_eq!(step(&mut state, 0, input), expected, "{named:?}, {token:?}");
        if expected.starts_with("ask") {
            let identity = crate::node::identity::first_of(OTHER);
            let told = Told::Admitted { identity, secret: token.map(secret) };
            assert_eq!(made(&mut state, Input::Told(told)).secret, token.map(secret));
        }
    }
}
