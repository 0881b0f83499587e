//! Messages as bytes: one encoding per value, strict decoding, typed errors.
use super::wire_make::make::{Bytes, KINDS};
use super::wire_make::properties;
use magicwave::gateway::core::codec::{DecodeError, MESSAGE_MAX, decode, encode};
use magicwave::gateway::core::message::{Message, RefusalCode};
use proptest::prelude::*;

/// Entropy for a message without zero bytes in it.
fn entropy() -> Vec<u8> {
    (0..600u32).map(|i| u8::try_from(i * 7 % 251 + 1).expect("small")).collect()
}

fn of(kind: u8) -> Vec<u8> {
    encode(&Bytes(&entropy()).message(kind))
}

/// `of(kind)` with `value` at `at`, counted from the start of the body.
fn changed(kind: u8, at: usize, value: &[u8]) -> Result<Message, DecodeError> {
    let mut bytes = of(kind);
    bytes[4 + at..4 + at + value.len()].copy_from_slice(value);
    decode(&bytes)
}

fn bad(kind: u8, field: &'static str) -> Result<Message, DecodeError> {
    Err(DecodeError::Value { kind, field })
}

#[test]
fn every_message_type_comes_back_as_it_was() {
    for kind in KINDS {
        let message = Bytes(&entropy()).message(kind);
        assert_eq!(message.kind(), kind);
        assert_eq!(decode(&encode(&message)), Ok(message));
    }
    let known = (0..=255u8).filter(|k| !matches!(decode(&[1, *k, 0, 0]), Err(DecodeError::UnknownType { .. })));
    assert_eq!(known.collect::<Vec<_>>(), KINDS);
}

#[test]
fn an_amount_beyond_the_ledger_is_refused() {
    let too_much = (1u64 << 63).to_be_bytes();
    assert_eq!(changed(4, 32, &too_much), bad(4, "amount"));
    assert_eq!(changed(2, 78, &too_much), bad(2, "price"));
    assert!(changed(4, 32, &(i64::MAX as u64).to_be_bytes()).is_ok());
}

#[test]
fn a_bool_that_is_neither_0_nor_1_is_refused() {
    assert_eq!(changed(32, 69, &[2]), bad(32, "bool"));
    assert_eq!(changed(42, 16, &[255]), bad(42, "bool"));
    assert!(changed(32, 69, &[1]).is_ok());
}

#[test]
fn unknown_enum_values_are_refused() {
    assert_eq!(changed(2, 77, &[0]), bad(2, "service kind"));
    assert_eq!(changed(2, 77, &[4]), bad(2, "service kind"));
    assert_eq!(changed(3, 97, &[3]), bad(3, "service state"));
    assert_eq!(changed(4, 61, &[3]), bad(4, "lock wish"));
    assert_eq!(changed(8, 24, &[3]), bad(8, "proof"));
}

#[test]
fn a_payer_with_strange_bytes_is_refused() {
    let payer = |kind: u8, bytes: [u8; 20]| changed(4, 40, &[&[kind], &bytes[..]].concat());
    let mut tag = [0; 20];
    tag[..8].copy_from_slice(&[7; 8]);
    assert!(payer(0, [0; 20]).is_ok() && payer(1, tag).is_ok() && payer(2, [9; 20]).is_ok());
    assert_eq!(payer(0, tag), bad(4, "payer"));
    assert_eq!(payer(1, [9; 20]), bad(4, "payer"));
    assert_eq!(payer(3, [0; 20]), bad(4, "payer"));
}

#[test]
fn an_asset_code_with_strange_bytes_is_refused() {
    assert!(changed(1, 9, b"MWT\0\0\0\0\0\0\0\0\0").is_ok());
    assert_eq!(changed(1, 9, b"MWT\0X\0\0\0\0\0\0\0"), bad(1, "asset"));
    assert_eq!(changed(1, 9, b"MW-T\0\0\0\0\0\0\0\0"), bad(1, "asset"));
    assert_eq!(changed(1, 9, &[0; 12]), bad(1, "asset"), "the native asset has no issuer");
    assert!(changed(1, 9, &[0; 44]).is_ok());
}

#[test]
fn a_sealed_body_of_another_size_is_refused() {
    // The lock before it is there or not.
    let sealed_at = |kind: u8, len: usize| of(kind).len() - 4 - len - 2;
    assert_eq!(changed(5, sealed_at(5, 112), &[0, 111]), bad(5, "sealed length"));
    assert_eq!(changed(8, 33, &[0xff, 0xff]), bad(8, "sealed length"));
}

#[test]
fn lengths_that_lie_are_refused() {
    let mut bytes = of(10);
    bytes[3] += 1;
    assert_eq!(decode(&bytes), Err(DecodeError::Length { kind: 10, declared: 17, found: 16 }));
    bytes.push(0);
    assert_eq!(decode(&bytes), Err(DecodeError::Trailing { kind: 10, extra: 1 }));
    let short = [&[1, 10, 0, 15][..], &[9; 15]].concat();
    assert_eq!(decode(&short), Err(DecodeError::Truncated { kind: 10 }));
    assert_eq!(decode(&[1, 10, 0]), Err(DecodeError::NoHeader { len: 3 }));
    assert_eq!(decode(&vec![1; MESSAGE_MAX + 1]), Err(DecodeError::TooLong { len: MESSAGE_MAX + 1 }));
}

#[test]
fn an_unknown_type_or_version_is_answered_with_what_was_received() {
    let answer = decode(&[1, 200, 0, 0]).expect_err("unknown").answer().expect("an answer");
    assert_eq!((answer.code, &answer.subject[..3]), (RefusalCode::UNKNOWN_TYPE, &[1, 200, 0][..]));
    let answer = decode(&[9, 3, 0, 0]).expect_err("unknown").answer().expect("an answer");
    assert_eq!((answer.code, &answer.subject[..3]), (RefusalCode::BAD_VERSION, &[9, 3, 0][..]));
}

#[test]
fn a_refusal_that_cannot_be_read_is_never_answered() {
    assert_eq!(decode(&[9, 11, 0, 0]).expect_err("version").answer(), None);
    assert_eq!(decode(&[1, 11, 0, 1, 0]).expect_err("short").answer(), None);
}

#[test]
fn error_codes_are_distinct() {
    let errors = [
        DecodeError::NoHeader { len: 0 },
        DecodeError::TooLong { len: 0 },
        DecodeError::UnknownVersion { version: 0, kind: 0 },
        DecodeError::UnknownType { kind: 0 },
        DecodeError::Length { kind: 0, declared: 0, found: 0 },
        DecodeError::Truncated { kind: 0 },
        DecodeError::Trailing { kind: 0, extra: 0 },
        DecodeError::Value { kind: 0, field: "" },
    ];
    let codes: std::collections::BTreeSet<_> = errors.iter().map(DecodeError::code).collect();
    assert_eq!(codes.len(), errors.len());
}

proptest! {
    #[test]
    fn any_message_comes_back_as_it_was(data in proptest::collection::vec(any::<u8>(), 0..700)) {
        properties::round_trip(&data);
    }

    #[test]
    fn any_bytes_are_a_message_in_its_one_form_or_a_typed_error(data in proptest::collection::vec(any::<u8>(), 0..700)) {
        properties::codec(&data);
    }

    #[test]
    fn any_body_behind_a_proper_header_is_a_message_in_its_one_form_or_a_typed_error(
        kind in 0usize..KINDS.len(), body in proptest::collection::vec(prop_oneof![Just(0u8), any::<u8>()], 0..460),
    ) {
        let len = u16::try_from(body.len()).expect("short").to_be_bytes();
        properties::codec(&[&[1, KINDS[kind], len[0], len[1]], &body[..]].concat());
    }

    #[test]
    fn a_message_with_some_bytes_changed_is_a_message_in_its_one_form_or_a_typed_error(
        kind in 0usize..KINDS.len(), seed in any::<[u8; 32]>(), changes in proptest::collection::vec(any::<(u16, u8)>(), 1..6),
    ) {
        let mut bytes = encode(&Bytes(&seed.repeat(20)).message(KINDS[kind]));
        for (at, value) in changes {
            let at = usize::from(at) % bytes.len();
            bytes[at] = value;
        }
        properties::codec(&bytes);
    }

    #[test]
    fn sealed_bodies_open_for_their_partner_alone(data in proptest::collection::vec(any::<u8>(), 0..300)) {
        properties::sealed(&data);
    }
}
