//! Golden bytes: what these tests hold must stay readable by every later build.

use bytes::Bytes;
use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::ids::{ClusterId, Generation, Lineage, NodeId, RequestId};

fn identity() -> Identity {
    let cluster = ClusterId(*b"0123456789abcdef");
    Identity { cluster, lineage: Lineage(7), generation: Generation(2), node: NodeId(1) }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn a_frame_keeps_its_golden_bytes() {
    let bytes = encode_frame(&identity(), NodeId(3), Channel::Request, b"hello");
    let golden = [
        "51525431",                         // QRT1
        "0001",                             // protocol
        "0200",                             // request
        "30313233343536373839616263646566", // cluster
        "0000000000000007",                 // lineage
        "00020000",                         // generation
        "0000000000000001",                 // from
        "0000000000000003",                 // to
        "00000005",                         // length
        "3610a686",                         // checksum of "hello"
    ]
    .concat();
    assert_eq!(hex(&bytes[..60]), golden);
    assert_eq!(bytes[60..64], crc32fast::hash(&bytes[..60]).to_be_bytes());
    assert_eq!(&bytes[64..], b"hello");
}

#[test]
fn a_log_entry_keeps_its_golden_bytes() {
    let entry = Entry {
        kind: EntryKind::Leadership,
        request_id: RequestId(0x0102),
        payload: Bytes::from_static(b"x"),
    };
    let golden = concat!("0103", "00000000000000000000000000000102", "e0b7e394", "78");
    assert_eq!(hex(&entry.to_bytes()), golden);
}

#[test]
fn a_snapshot_keeps_its_golden_bytes() {
    let sections = [Section { kind: SnapshotKind::Requests, bytes: Bytes::from_static(b"ab") }];
    let golden = concat!("51525453", "0101", "03", "0000000000000002", "9e83486d", "6162");
    assert_eq!(hex(&encode_sections(&sections)), golden);
}

#[test]
fn the_newest_common_protocol_is_spoken_and_no_older_one() {
    let range = |(oldest, newest)| Protocols { oldest, newest };
    let outcome =
        |ours, theirs| negotiate(range(ours), range(theirs)).map_err(|error| error.to_string());
    let table = [
        ((1, 1), (1, 1), Some(1)),
        ((1, 2), (1, 2), Some(2)),
        ((1, 2), (1, 1), Some(1)), // a peer one release behind
        ((1, 2), (2, 3), Some(2)), // a peer one release ahead
        ((1, 4), (2, 3), Some(3)),
        ((2, 3), (1, 1), None), // two releases apart
        ((1, 2), (3, 4), None),
        ((1, 2), (2, 1), None), // no range at all
        ((0, 0), (u16::MAX, u16::MAX), None),
    ];
    for (ours, theirs, expected) in table {
        for (ours, theirs) in [(ours, theirs), (theirs, ours)] {
            let outcome = outcome(ours, theirs);
            assert_eq!(outcome.clone().ok(), expected, "{ours:?} and {theirs:?}");
            let Err(refusal) = outcome else { continue };
            let (theirs, ours) = (range(theirs), range(ours));
            let text = format!("Q1202 protocol {theirs} is not spoken here (only {ours});");
            assert!(refusal.starts_with(&text), "{refusal}");
        }
    }
    assert_eq!(range((2, 3)).to_string(), "2 to 3");
}

#[test]
fn a_stream_that_is_not_ours_is_known_by_its_first_bytes() {
    let good = encode_frame(&identity(), NodeId(3), Channel::Handshake, b"hello");
    for size_bytes in 0..=FRAME_HEADER_SIZE_BYTES {
        assert_eq!(check_opening(&good[..size_bytes], Protocols::only(1)), Ok(()));
    }
    let code = |bytes: &[u8]| match check_opening(bytes, Protocols::only(1)) {
        Ok(()) => "waits".to_owned(),
        Err(error) => error.to_string()[..5].to_owned(),
    };
    assert_eq!((code(b"GET"), code(b"GET ")), ("waits".to_owned(), "Q1201".to_owned()));
    assert_eq!((code(b"QRT1\0"), code(b"QRT1\0\x02")), ("waits".to_owned(), "Q1202".to_owned()));
}

#[test]
fn each_wrong_frame_has_its_own_code() {
    let good = encode_frame(&identity(), NodeId(3), Channel::Gossip, b"hello");
    let this = Identity { node: NodeId(3), ..identity() };
    let code = |bytes: &[u8], this: &Identity| {
        decode_frame(bytes, this).expect_err("refused").to_string()[..5].to_owned()
    };
    let mend = |mut bytes: Vec<u8>| {
        let checksum = crc32fast::hash(&bytes[..60]).to_be_bytes();
        bytes[60..64].copy_from_slice(&checksum);
        bytes
    };
    let with = |at: usize, byte: u8| {
        let mut bytes = good.clone();
        bytes[at] = byte;
        bytes
    };
    assert!(decode_frame(&good, &this).is_ok());
    assert_eq!(code(&with(0, 0), &this), "Q1201");
    assert_eq!(code(&mend(with(4, 9)), &this), "Q1202");
    assert_eq!(code(&mend(with(8, 9)), &this), "Q1203");
    assert_eq!(code(&mend(with(52, 9)), &this), "Q1204");
    assert_eq!(code(&with(40, 9), &this), "Q1205"); // a header bit
    assert_eq!(code(&with(66, 9), &this), "Q1205"); // a payload bit
    assert_eq!(code(&mend(with(6, 99)), &this), "Q1206");
    assert_eq!(code(&good[..good.len() - 1], &this), "Q1206");
    assert_eq!(code(&good[..10], &this), "Q1206");
    assert_eq!(code(&good, &identity()), "Q1207");
    assert_eq!(code(&good, &Identity { lineage: Lineage(8), ..this }), "Q1203");
}

#[test]
fn left_over_bytes_and_huge_lengths_are_refused() {
    let mut bytes = encode(&(1u64, "name".to_owned()));
    assert!(decode::<(u64, String)>("pair", &bytes).is_ok());
    bytes.push(0);
    let refusal = decode::<(u64, String)>("pair", &bytes).expect_err("one byte too many");
    assert_eq!(
        refusal.to_string(),
        "Q1206 malformed pair: 1 bytes left over; dropped; nothing was changed"
    );
    let huge = [0xfd, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f];
    assert!(decode::<Vec<u8>>("bytes", &huge).is_err());
}

proptest! {
    /// Whatever is encoded comes back, and no flipped bit goes unnoticed.
    #[test]
    fn entries_come_back_and_a_flipped_bit_is_noticed(
        id in any::<u128>(), payload in vec(any::<u8>(), 0..200),
        at in any::<usize>(), bit in 0..8u8,
    ) {
        let entry = Entry {
            kind: EntryKind::Application, request_id: RequestId(id), payload: payload.into(),
        };
        let bytes = entry.to_bytes();
        prop_assert_eq!(Entry::from_bytes(&bytes).expect("just encoded"), entry);

        let mut damaged = bytes.to_vec();
        let at = at % damaged.len();
        damaged[at] ^= 1 << bit;
        prop_assert!(Entry::from_bytes(&damaged.into()).is_err());
    }

    /// Bytes from the network never panic the decoders.
    #[test]
    fn no_bytes_panic_a_decoder(bytes in vec(any::<u8>(), 0..300)) {
        let _ = decode_frame(&bytes, &identity());
        let _ = Entry::from_bytes(&Bytes::from(bytes.clone()));
        let _ = decode_sections(&Bytes::from(bytes.clone()));
        let _ = decode::<Vec<(u64, String, Option<Vec<u8>>)>>("anything", &bytes);
    }
}
