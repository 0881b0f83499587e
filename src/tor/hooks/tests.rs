//! The callback, called as C would call it.
use super::*;
use std::ptr;

fn policy() -> Policy {
    Policy::own_network()
}

fn call(host: &Host, sent: &raw::mw_event_t) -> i32 {
    event(ptr::from_ref(host).cast_mut().cast(), sent)
}

fn cell(body: &[u8]) -> raw::mw_event_t {
    raw::mw_event_t {
        kind: raw::MW_EV_CELL,
        role: raw::MW_ROLE_ORIGIN,
        circ: 7,
        hop: 2,
        in_cells: 10,
        out_cells: 3,
        peer_in_cells: 11,
        peer_out_cells: 2,
        body_len: u32::try_from(body.len()).expect("small"),
        body: body.as_ptr(),
        ..Default::default()
    }
}

#[test]
fn a_cell_is_copied_with_both_counts() {
    let (sender, mut receiver) = mpsc::channel(8);
    let host = Host::new(policy(), queue(sender));
    assert_eq!(call(&host, &cell(b"hello")), 0);
    let want = TorEvent::Cell {
        circ: 7,
        role: Role::Origin,
        hop: 2,
        body: b"hello".to_vec(),
        own: Counters { in_cells: 10, out_cells: 3 },
        peer: Counters { in_cells: 11, out_cells: 2 },
    };
    assert_eq!(receiver.try_recv(), Ok(want));
}

#[test]
fn a_path_is_copied_and_unknown_identities_are_none() {
    let (sender, mut receiver) = mpsc::channel(8);
    let host = Host::new(policy(), queue(sender));
    let mut hops = [raw::mw_hop_t::default(); 2];
    hops[0].rsa = [9; 20];
    hops[0].speaks = 1;
    hops[1].port = 9001;
    for (at, byte) in b"relay".iter().enumerate() {
        hops[1].nickname[at] = c_char::from_ne_bytes([*byte]);
    }
    let event = raw::mw_event_t {
        kind: raw::MW_EV_CIRCUIT,
        role: raw::MW_ROLE_RELAY,
        circ: 1,
        channel: 4,
        prev_is_client: 1,
        hops: hops.as_ptr(),
        n_hops: 2,
        ..Default::default()
    };
    assert_eq!(call(&host, &event), 0);
    let Ok(TorEvent::Circuit { hops, prev_is_client: true, channel: 4, role: Role::Relay, .. }) = receiver.try_recv()
    else {
        panic!("no circuit");
    };
    assert_eq!((hops[0].rsa, hops[0].ed25519, hops[0].speaks), (Some([9; 20]), None, true));
    assert_eq!((hops[1].rsa, hops[1].nickname.as_str(), hops[1].port), (None, "relay", 9001));
}

#[test]
fn what_the_header_does_not_allow_is_refused() {
    let (sender, mut receiver) = mpsc::channel(8);
    let host = Host::new(policy(), queue(sender));
    let body = [0u8; BODY_MAX + 1];
    let null = raw::mw_event_t { body: ptr::null(), body_len: 3, ..cell(b"") };
    let unknown = raw::mw_event_t { kind: 99, ..Default::default() };
    let no_role = raw::mw_event_t { role: 0, ..cell(b"x") };
    let bad_state = raw::mw_event_t { kind: raw::MW_EV_STATE, state: 9, ..Default::default() };
    for event in [cell(&body), null, unknown, no_role, bad_state] {
        assert_ne!(call(&host, &event), 0);
    }
    assert_ne!(super::event(ptr::from_ref(&host).cast_mut().cast(), ptr::null()), 0);
    assert_ne!(super::event(ptr::null_mut(), &cell(b"x")), 0);
    assert_eq!(host.dropped(), 6);
    assert!(receiver.try_recv().is_err());
}

#[test]
fn a_full_queue_drops_cells_before_the_end_of_a_circuit() {
    let (sender, mut receiver) = mpsc::channel(8);
    let host = Host::new(policy(), queue(sender));
    let taken = (0..20).filter(|_| call(&host, &cell(b"x")) == 0).count();
    assert_eq!(taken, 6);
    let closed = raw::mw_event_t { kind: raw::MW_EV_CLOSED, role: raw::MW_ROLE_ORIGIN, circ: 7, ..Default::default() };
    assert_eq!(call(&host, &closed), 0);
    assert_eq!(host.dropped(), 14);
    let last = std::iter::from_fn(|| receiver.try_recv().ok()).last();
    assert!(matches!(last, Some(TorEvent::Closed { circ: 7, .. })), "{last:?}");
}

#[test]
fn a_panic_poisons_payments_and_never_reaches_c() {
    let host = Host::new(policy(), |_| panic!("on purpose"));
    assert_ne!(call(&host, &cell(b"x")), 0);
    assert!(host.poisoned());
    assert_ne!(call(&host, &cell(b"x")), 0);
    assert!(host.set_policy(policy()).is_err());
}

#[test]
fn a_poisoned_relay_lets_everything_pass() {
    let pass = sys::c_policy(&policy().let_all_pass());
    assert_eq!(pass.stock_clients, raw::MW_STOCK_BEST_EFFORT);
    assert!(
        [pass.free_cells, pass.trickle_bytes, pass.grace_ms, pass.base_cells].iter().all(|limit| *limit == u32::MAX)
    );
}
