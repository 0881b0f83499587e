//! Payment cells: fragments, and a reassembler that survives whatever arrives.
use super::wire_make::properties;
use magicwave::tor::cell::*;
use proptest::prelude::*;

fn message(len: usize) -> Vec<u8> {
    (0..len).map(|i| u8::try_from(i % 251).expect("small")).collect()
}

fn push_all(to: &mut Reassembler, bodies: &[Vec<u8>]) -> Vec<Result<Option<Vec<u8>>, CellError>> {
    bodies.iter().map(|body| to.push(0, body)).collect()
}

/// A two-fragment message with one byte of the first body changed.
fn with(at: usize, value: u8) -> Result<Option<Vec<u8>>, CellError> {
    let mut body = fragment(&message(FRAGMENT_DATA + 10), 0x0102_0304).expect("fits").remove(0);
    body[at] = value;
    Reassembler::default().push(0, &body)
}

#[test]
fn the_limits_are_those_of_the_c_side() {
    let header = include_str!("../../ffi/magicwave_tor.h");
    let number = |name: &str| {
        let line = header.lines().find_map(|l| l.strip_prefix(&format!("#define {name} "))).expect("defined");
        line.trim().parse::<usize>().expect("a number")
    };
    assert!(header.contains("#define MW_BODY_MAX (MW_CELL_MAX - MW_STAMP_LEN)"));
    assert_eq!(BODY_MAX, number("MW_CELL_MAX") - number("MW_STAMP_LEN"));
}

#[test]
fn messages_of_every_length_come_back_whole() {
    for len in [1, 2, FRAGMENT_DATA - 1, FRAGMENT_DATA, FRAGMENT_DATA + 1, 2 * FRAGMENT_DATA, MESSAGE_MAX] {
        let bodies = fragment(&message(len), 7).expect("fits");
        assert_eq!(bodies.len(), len.div_ceil(FRAGMENT_DATA));
        assert!(bodies.iter().all(|b| b.len() <= BODY_MAX));
        let mut results = push_all(&mut Reassembler::default(), &bodies);
        assert_eq!(results.pop(), Some(Ok(Some(message(len)))));
        assert!(results.iter().all(|r| *r == Ok(None)));
    }
}

#[test]
fn empty_and_overlong_messages_are_not_sent() {
    assert_eq!(fragment(&[], 0), Err(CellError::MessageLength { len: 0 }));
    assert_eq!(fragment(&[0; MESSAGE_MAX + 1], 0), Err(CellError::MessageLength { len: MESSAGE_MAX + 1 }));
    assert_eq!(fragment(&vec![0; 70_000], 0), Err(CellError::MessageLength { len: 70_000 }));
}

#[test]
fn an_outbox_numbers_its_messages_so_that_the_far_end_takes_them() {
    let (mut outbox, mut far) = (Outbox::default(), Reassembler::default());
    for len in [10, MESSAGE_MAX, 600, 1] {
        let results = push_all(&mut far, &outbox.bodies(&message(len)).expect("fits"));
        assert_eq!(results.last(), Some(&Ok(Some(message(len)))));
    }
}

#[test]
fn each_defect_of_a_header_has_its_error() {
    assert_eq!(with(0, 2), Err(CellError::Version { version: 2 }));
    assert_eq!(with(1, 1), Err(CellError::Reserved));
    assert_eq!(with(6, 0xff), Err(CellError::MessageLength { len: 0xff00 + ((FRAGMENT_DATA + 10) & 0xff) }));
    assert_eq!(with(8, 1), Err(CellError::Layout), "the last index with the first's length");
    assert_eq!(with(8, 2), Err(CellError::Layout), "an index behind the last");
    assert_eq!(with(9, 2), Err(CellError::Layout), "more fragments than the length calls for");
    assert_eq!(with(9, 0), Err(CellError::Layout));
    assert_eq!(with(11, 0), Err(CellError::Layout), "a length that is not that of the bytes");
    let mut zero = fragment(&message(5), 0).expect("fits").remove(0);
    zero[7] = 0;
    assert_eq!(Reassembler::default().push(0, &zero), Err(CellError::MessageLength { len: 0 }));
    for len in [0, FRAGMENT_HEADER - 1, BODY_MAX + 1] {
        assert_eq!(Reassembler::default().push(0, &vec![1; len]), Err(CellError::Size { len }));
    }
}

#[test]
fn a_fragment_cut_short_or_lengthened_is_refused() {
    let body = fragment(&message(100), 0).expect("fits").remove(0);
    for len in FRAGMENT_HEADER..body.len() {
        assert_eq!(Reassembler::default().push(0, &body[..len]), Err(CellError::Layout));
    }
    assert_eq!(Reassembler::default().push(0, &[&body[..], &[0]].concat()), Err(CellError::Layout));
}

#[test]
fn fragments_in_any_order_and_interleaved_messages_come_back_whole() {
    let (a, b) = (fragment(&message(900), 4).expect("fits"), fragment(&message(1300), 9).expect("fits"));
    let mut far = Reassembler::default();
    let order = [&a[1], &b[2], &b[0], &a[0], &b[1]];
    let done: Vec<_> = order.iter().filter_map(|body| far.push(0, body).expect("taken")).collect();
    assert_eq!(done, [message(900), message(1300)]);
    assert_eq!(far.pending_bytes(), 0);
}

#[test]
fn a_repeated_fragment_is_refused_and_the_message_still_completes() {
    let bodies = fragment(&message(900), 4).expect("fits");
    let mut far = Reassembler::default();
    assert_eq!(far.push(0, &bodies[0]), Ok(None));
    assert_eq!(far.push(0, &bodies[0]), Err(CellError::Duplicate));
    assert_eq!(far.push(0, &bodies[1]), Ok(Some(message(900))));
    assert_eq!(far.push(0, &bodies[1]), Err(CellError::Stale), "a finished message does not begin again");
}

#[test]
fn fragments_that_disagree_about_their_message_are_refused() {
    let mut far = Reassembler::default();
    assert_eq!(far.push(0, &fragment(&message(900), 4).expect("fits")[0]), Ok(None));
    assert_eq!(far.push(0, &fragment(&message(901), 4).expect("fits")[1]), Err(CellError::Conflict));
}

#[test]
fn messages_that_begin_out_of_order_are_refused() {
    let mut far = Reassembler::default();
    assert!(far.push(0, &fragment(&message(5), 4).expect("fits")[0]).is_ok());
    for number in [0, 3, 4] {
        assert_eq!(far.push(0, &fragment(&message(5), number).expect("fits")[0]), Err(CellError::Stale));
    }
    assert!(far.push(0, &fragment(&message(5), u32::MAX).expect("fits")[0]).is_ok());
}

#[test]
fn unfinished_messages_are_limited_and_expire_by_the_clock() {
    let mut far = Reassembler::default();
    let begin = |number| fragment(&message(FRAGMENT_DATA + 1), number).expect("fits").remove(0);
    for number in 0..4 {
        assert_eq!(far.push(1000, &begin(number)), Ok(None));
    }
    assert_eq!(far.push(1000, &begin(4)), Err(CellError::Full));
    assert_eq!(far.push(1000, &fragment(&message(3), 5).expect("fits")[0]), Ok(Some(message(3))));
    assert_eq!(far.push(1000 + EXPIRY_MS - 1, &begin(6)), Err(CellError::Full));
    assert_eq!(far.push(1000 + EXPIRY_MS, &begin(7)), Ok(None));
    assert_eq!(far.pending_bytes(), FRAGMENT_DATA + 1);
    assert_eq!(
        far.push(1000 + EXPIRY_MS, &fragment(&message(FRAGMENT_DATA + 1), 0).expect("fits")[1]),
        Err(CellError::Stale)
    );
}

#[test]
fn declared_lengths_cannot_reserve_more_than_the_limit() {
    let mut far = Reassembler::default();
    for number in 0..1000 {
        let taken = far.push(0, &fragment(&message(MESSAGE_MAX), number).expect("fits")[0]);
        assert_eq!(taken, if number < 2 { Ok(None) } else { Err(CellError::Full) });
        assert!(far.pending_bytes() <= PENDING_BYTES);
    }
}

proptest! {
    #[test]
    fn hostile_cells_never_panic_nor_grow_memory_nor_stop_an_honest_message(
        data in proptest::collection::vec(any::<u8>(), 0..4000)
    ) {
        properties::reassembly(&data);
    }

    #[test]
    fn a_message_survives_any_order_of_its_fragments(len in 1usize..=MESSAGE_MAX, seed in any::<u64>()) {
        let mut bodies = fragment(&message(len), 3).expect("fits");
        let n = bodies.len();
        for i in 0..n {
            bodies.swap(i, usize::try_from(seed >> (i * 8) & 0xff).expect("small") % n);
        }
        let results = push_all(&mut Reassembler::default(), &bodies);
        prop_assert_eq!(results.last(), Some(&Ok(Some(message(len)))));
    }
}
