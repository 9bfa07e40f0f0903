//! Two nodes' datagrams: what is taken, once, and by which session.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::secret;
use crate::codec::CodecError;
use crate::ids::NodeId;
use crate::security::datagrams::{Datagrams, PROTECTION_SIZE_BYTES, Revealed};

fn datagrams(id: u64, boot_count: u64) -> Datagrams {
    Datagrams::new(&secret('a'), NodeId(id), boot_count, [boot_count as u8; 8])
}

/// What `at` makes of a datagram, in a word.
fn taken(at: &mut Datagrams, datagram: &[u8]) -> String {
    match at.reveal(datagram) {
        Ok(Revealed::Frame(from, frame)) => {
            format!("{} from {from}", String::from_utf8_lossy(&frame))
        }
        Ok(Revealed::Greeted) => "greeted".to_owned(),
        Ok(Revealed::Greet(greeting)) => {
            assert!(greeting.len() <= datagram.len(), "an answer is no longer than its question");
            "greets".to_owned()
        }
        Err(error) => error.to_string()[..5].to_owned(),
    }
}

/// `at` greets the sender of `datagram`; the greeting.
fn greeting(at: &mut Datagrams, datagram: &[u8]) -> Vec<u8> {
    match at.reveal(datagram) {
        Ok(Revealed::Greet(greeting)) => greeting,
        other => panic!("no greeting: {other:?}"),
    }
}

/// Two nodes that know each other's session.
fn acquainted() -> (Datagrams, Datagrams) {
    let (mut one, mut two) = (datagrams(1, 1), datagrams(2, 1));
    let first = one.protect(NodeId(2), b"lost");
    let answer = greeting(&mut two, &first);
    assert_eq!(taken(&mut one, &answer), "greeted");
    let second = one.protect(NodeId(2), b"hello");
    assert_eq!(taken(&mut two, &second), "hello from n1");
    (one, two)
}

#[test]
fn the_first_datagram_between_two_nodes_is_answered_by_a_greeting_and_the_next_arrive_once() {
    let (mut one, mut two) = acquainted();
    let answer = two.protect(NodeId(1), b"answer");
    assert_eq!(taken(&mut one, &answer), "answer from n2");
    assert_eq!(taken(&mut one, &answer), "Q1210");
    let early = one.protect(NodeId(2), b"early");
    let late = one.protect(NodeId(2), b"late");
    assert_eq!(taken(&mut two, &late), "late from n1");
    assert_eq!(taken(&mut two, &early), "early from n1", "overtaken is not repeated");
    assert_eq!(taken(&mut two, &early), "Q1210");
}

#[test]
fn nothing_recorded_before_a_start_of_either_side_is_taken_after_it() {
    let (mut one, mut two) = acquainted();
    let recorded = one.protect(NodeId(2), b"recorded");
    let unheard = two.protect(NodeId(1), b"unheard");

    // The receiver starts anew, and has heard nobody yet.
    let mut two_again = datagrams(2, 2);
    assert_eq!(taken(&mut two_again, &recorded), "greets");
    let answer = greeting(&mut two_again, &recorded);
    assert_eq!(taken(&mut one, &answer), "greeted");
    assert_eq!(taken(&mut one, &unheard), "Q1210", "an earlier session of the sender is over");
    let fresh = one.protect(NodeId(2), b"fresh");
    assert_eq!(taken(&mut two_again, &fresh), "fresh from n1");
    assert_eq!(taken(&mut two_again, &recorded), "greets");

    // The sender starts anew; what its earlier session had left to say comes too late.
    let last = one.protect(NodeId(2), b"last words");
    let mut one_again = datagrams(1, 2);
    let answer = greeting(&mut two_again, &one_again.protect(NodeId(2), b""));
    assert_eq!(taken(&mut one_again, &answer), "greeted");
    let word = one_again.protect(NodeId(2), b"word");
    assert_eq!(taken(&mut two_again, &word), "word from n1");
    assert_eq!(taken(&mut two_again, &last), "Q1210");
}

#[test]
fn a_datagram_of_which_any_byte_is_wrong_or_missing_or_of_others_is_refused() {
    let (mut one, mut two) = acquainted();
    let good = one.protect(NodeId(2), b"frame");
    assert_eq!(good.len(), PROTECTION_SIZE_BYTES + 5);
    for at in 0..good.len() {
        let mut wrong = good.clone();
        wrong[at] ^= 0x40;
        assert_eq!(taken(&mut two, &wrong), "Q1209", "byte {at}");
        let code = taken(&mut two, &good[..at]);
        assert!(code == "Q1209" || code == "Q1206", "{at} bytes: {code}");
    }
    let mut stranger = Datagrams::new(&secret('b'), NodeId(1), 9, [9; 8]);
    assert_eq!(taken(&mut two, &stranger.protect(NodeId(2), b"frame")), "Q1209");
    let mut double = datagrams(2, 7);
    assert_eq!(taken(&mut two, &double.protect(NodeId(2), b"frame")), "Q1209");
    assert_eq!(taken(&mut two, &good), "frame from n1", "and none of it did any harm");
}

#[test]
fn the_header_of_a_datagram_never_changes() {
    let mut one = Datagrams::new(&secret('a'), NodeId(0x0102), 3, [0xab; 8]);
    let datagram = one.protect(NodeId(2), b"");
    let expected = [
        &b"QRD1"[..],
        &[0, 0, 0, 0],
        &[0, 0, 0, 0, 0, 0, 1, 2],
        &[0, 0, 0, 0, 0, 0, 0, 3],
        &[0xab; 8],
        &[0, 0, 0, 0, 0, 0, 0, 1],
        &[0; 16],
    ];
    assert_eq!(datagram[..56], expected.concat());
    let hex: String = datagram[56..].iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(hex, "1bb9d32697aecc89982c0ac9671f17e3");
}

proptest! {
    /// Whatever is lost, doubled, delayed and restarted: no frame is taken twice, none that
    /// was not sent to this node in its present session, and in the end two nodes understand each
    /// other.
    #[test]
    fn every_frame_is_taken_at_most_once_and_by_the_session_that_it_was_made_for(
        steps in prop::collection::vec((0..10u8, 0..2usize, any::<prop::sample::Index>()), 1..200),
    ) {
        let mut nodes = [datagrams(1, 1), datagrams(2, 1)];
        let mut boots = [1, 1];
        // Everything that was ever sent: to whom, the bytes, and in which boot of its receiver.
        let mut sent: Vec<(usize, Vec<u8>, u64)> = Vec::new();
        let mut taken: BTreeSet<Vec<u8>> = BTreeSet::new();
        let mut counter = 0_u32;
        for (what, who, which) in steps {
            let other = 1 - who;
            match what {
                0 => {
                    boots[who] += 1;
                    nodes[who] = datagrams(who as u64 + 1, boots[who]);
                }
                1..4 => {
                    counter += 1;
                    let to = NodeId(other as u64 + 1);
                    let bytes = nodes[who].protect(to, &counter.to_be_bytes());
                    sent.push((other, bytes, boots[other]));
                }
                _ if sent.is_empty() => {}
                _ => {
                    let (to, bytes, boot) = sent[which.index(sent.len())].clone();
                    match nodes[to].reveal(&bytes) {
                        Ok(Revealed::Frame(_, frame)) => {
                            prop_assert!(taken.insert(frame), "a frame is taken twice");
                            prop_assert_eq!(boot, boots[to], "made for an earlier session");
                        }
                        Ok(Revealed::Greet(answer)) => sent.push((1 - to, answer, boots[1 - to])),
                        Ok(Revealed::Greeted) | Err(CodecError::Replayed { .. }) => {}
                        Err(error) => prop_assert!(false, "{}", error),
                    }
                }
            }
        }
        let [one, two] = &mut nodes;
        let first = one.protect(NodeId(2), b"first");
        if let Revealed::Greet(answer) = two.reveal(&first).unwrap() {
            prop_assert_eq!(one.reveal(&answer).unwrap(), Revealed::Greeted);
            let second = one.protect(NodeId(2), b"second");
            prop_assert!(matches!(two.reveal(&second), Ok(Revealed::Frame(..))));
        }
    }
}
