//! Every message of a pass fits one payment cell; the sizes of docs/wire.md are those of the codec.
use super::wire_make::make::{Bytes, KINDS};
use magicwave::gateway::core::codec::{MESSAGE_MAX, encode};
use magicwave::tor::cell;

/// Type and encoded length, header included; the largest form where there are two.
const SIZES: [(u8, usize); 28] = [
    (1, 73),
    (2, 180),
    (3, 118),
    (4, 66),
    (5, 183),
    (6, 449),
    (7, 270),
    (8, 311),
    (9, 61),
    (10, 20),
    (11, 26),
    (32, 150),
    (33, 124),
    (34, 68),
    (35, 100),
    (36, 36),
    (37, 36),
    (38, 48),
    (39, 112),
    (40, 72),
    (41, 112),
    (42, 129),
    (43, 44),
    (44, 104),
    (45, 36),
    (46, 96),
    (47, 176),
    (48, 84),
];

#[test]
fn every_message_has_the_length_that_the_specification_gives() {
    let ones = [0xffu8; 700];
    let found: Vec<_> = KINDS.iter().map(|kind| (*kind, encode(&Bytes(&ones).message(*kind)).len())).collect();
    assert_eq!(found, SIZES);
}

#[test]
fn every_message_fits_one_cell() {
    let ones = [0xffu8; 700];
    for kind in KINDS {
        let bytes = encode(&Bytes(&ones).message(kind));
        let bodies = cell::fragment(&bytes, 0).expect("in range");
        assert_eq!(bodies.len(), 1, "message type {kind} has {} bytes", bytes.len());
    }
    assert_eq!(MESSAGE_MAX, cell::MESSAGE_MAX);
}

#[test]
fn a_claim_is_at_most_110_bytes() {
    let claim = Bytes(&[0xff; 200]).message(41);
    assert!(encode(&claim).len() - 4 <= 110);
}
