//! Payment requests and their validation, one test a reason.
use super::*;

fn standing(units_in: u64, units_out: u64, due: u64, paid: u64) -> Standing {
    Standing { units_in, units_out, amount_due: amount(due), amount_paid: amount(paid), state: 0 }
}
fn request(offer: &Offer, standing: Standing) -> PaymentRequest {
    build(offer, standing, [5; 16], NOW, 600)
}
fn cells(own_in: u64, own_out: u64) -> Counts {
    Counts::Cells { own_in, own_out, stamp_in: own_in, stamp_out: own_out }
}
/// Checks `request`, with a fresh MAC, against an offer of 1024 stroops per MiB and 256 KiB ahead.
fn checked(
    mut request: PaymentRequest,
    counts: Counts,
    previous: Option<&PaymentRequest>,
) -> Result<Accepted, Refused> {
    let offer = offer_of(request.kind);
    request.mac = mac(&offer.mac_key, &request);
    let agreed = Agreed {
        offer: &offer,
        offer_hash: offer_hash(&offer),
        previous,
        acknowledged: amount(50),
        ahead_bytes: 1 << 18,
    };
    check(&agreed, &request, counts, NOW)
}
fn tor(change: impl Fn(&mut PaymentRequest)) -> Result<Accepted, RefusalCode> {
    let mut request = request(&offer_of(ServiceKind::Tor), standing(1000, 100, 700, 50));
    change(&mut request);
    checked(request, cells(1000, 100), None).map_err(|refused| refused.code)
}

#[test]
fn a_request_that_agrees_is_accepted_and_says_what_is_open() {
    assert_eq!(tor(|_| ()), Ok(Accepted { open: amount(650), repeated: false }));
}

#[test]
fn the_mac_covers_every_field() {
    let offer = offer_of(ServiceKind::Tor);
    let good = request(&offer, standing(1000, 100, 700, 50));
    assert!(verify_mac(&offer.mac_key, &good));
    let changes: [fn(&mut PaymentRequest); 12] = [
        |r| r.id[0] ^= 1,
        |r| r.session[0] ^= 1,
        |r| r.kind = ServiceKind::Ipfs,
        |r| r.units_in ^= 1,
        |r| r.units_out ^= 1,
        |r| r.amount_due = amount(r.amount_due.get() ^ 1),
        |r| r.amount_paid = amount(r.amount_paid.get() ^ 1),
        |r| r.offer_hash[0] ^= 1,
        |r| r.issued ^= 1,
        |r| r.expires ^= 1,
        |r| r.state ^= 1,
        |r| r.mac[15] ^= 1,
    ];
    for change in changes {
        let mut request = good.clone();
        change(&mut request);
        assert!(!verify_mac(&offer.mac_key, &request));
    }
    assert!(!verify_mac(&[5; 32], &good));
}

#[test]
fn a_request_with_a_wrong_mac_is_refused() {
    let offer = offer_of(ServiceKind::Tor);
    let mut request = request(&offer, standing(0, 0, 0, 0));
    request.mac[0] ^= 1;
    let agreed = Agreed {
        offer: &offer,
        offer_hash: offer_hash(&offer),
        previous: None,
        acknowledged: Stroops::ZERO,
        ahead_bytes: 0,
    };
    assert_eq!(check(&agreed, &request, cells(0, 0), NOW), Err(RefusalCode::BAD_MAC.into()));
}

#[test]
fn a_request_of_another_session_or_offer_is_refused() {
    assert_eq!(tor(|r| r.session[0] ^= 1), Err(RefusalCode::SESSION_UNKNOWN));
    assert_eq!(tor(|r| r.offer_hash[0] ^= 1), Err(RefusalCode::OFFER_MISMATCH));
    let offer = offer_of(ServiceKind::Tor);
    let mut other = request(&offer, standing(1, 1, 1, 50));
    other.kind = ServiceKind::Ipfs;
    other.mac = mac(&offer.mac_key, &other);
    let agreed = Agreed {
        offer: &offer,
        offer_hash: offer_hash(&offer),
        previous: None,
        acknowledged: Stroops::ZERO,
        ahead_bytes: 0,
    };
    assert_eq!(check(&agreed, &other, cells(1, 1), NOW), Err(RefusalCode::WRONG_KIND.into()));
}

#[test]
fn a_request_outside_of_its_time_is_refused() {
    assert_eq!(tor(|r| r.expires = NOW), Err(RefusalCode::EXPIRED));
    assert_eq!(tor(|r| r.issued = NOW + 300).map(|_| ()), Ok(()));
    assert_eq!(tor(|r| r.issued = NOW + 301), Err(RefusalCode::NOT_YET));
    assert_eq!(tor(|r| r.expires = NOW + 24 * 3600 + 1), Err(RefusalCode::NOT_YET));
    assert_eq!(tor(|r| r.issued = r.expires), Err(RefusalCode::NOT_YET));
}

#[test]
fn cells_must_agree_exactly_inbound_and_never_exceed_the_own_count_outbound() {
    let with = |own_in, own_out, stamp_in, stamp_out| {
        let request = request(&offer_of(ServiceKind::Tor), standing(1000, 100, 700, 50));
        checked(request, Counts::Cells { own_in, own_out, stamp_in, stamp_out }, None).map_err(|r| r.code)
    };
    assert!(with(1000, 100, 1000, 100).is_ok());
    assert!(with(1010, 150, 1010, 120).is_ok(), "cells went on between the request and its cell");
    assert_eq!(with(1000, 100, 1001, 100), Err(RefusalCode::STAMP_MISMATCH));
    assert_eq!(with(1001, 100, 1000, 100), Err(RefusalCode::STAMP_MISMATCH));
    assert_eq!(with(1000, 100, 1000, 101), Err(RefusalCode::STAMP_MISMATCH));
    assert_eq!(with(999, 100, 999, 100), Err(RefusalCode::UNITS_ABOVE));
    assert_eq!(with(1000, 99, 1000, 99), Err(RefusalCode::UNITS_ABOVE));
}

#[test]
fn bytes_may_differ_by_one_per_cent() {
    let with = |own_in| {
        let request = request(&offer_of(ServiceKind::Http), standing(1_010_000, 0, 700, 50));
        checked(request, Counts::Bytes { own_in, own_out: 0 }, None).map_err(|r| r.code)
    };
    assert!(with(1_000_000).is_ok());
    assert_eq!(with(999_900), Err(RefusalCode::UNITS_ABOVE));
    assert!(with(2_000_000).is_ok(), "a payee may ask for less");
}

#[test]
fn the_amount_is_at_most_the_price_of_what_was_counted_and_the_window() {
    // 1100 cells cost 553 stroops (552.15 rounded up), 256 KiB ahead 256.
    assert!(tor(|r| r.amount_due = amount(553 + 256 - 1)).is_ok());
    assert!(tor(|r| r.amount_due = amount(553 + 256)).is_ok());
    assert_eq!(tor(|r| r.amount_due = amount(553 + 257)), Err(RefusalCode::AMOUNT_ABOVE));
    assert_eq!(tor(|r| r.amount_due = Stroops::MAX), Err(RefusalCode::AMOUNT_ABOVE));
}

#[test]
fn where_counts_differ_the_payer_says_what_its_own_come_to() {
    let request = request(&offer_of(ServiceKind::Tor), standing(1000, 100, 700, 50));
    let refused = checked(request, cells(500, 50), None).expect_err("more than counted");
    let own = Price(1024).of_cells(550).expect("in range").add(amount(256)).expect("in range");
    assert_eq!(refused, Refused { code: RefusalCode::UNITS_ABOVE, payable: Some(own) });
}

#[test]
fn cumulative_numbers_never_go_back() {
    let offer = offer_of(ServiceKind::Tor);
    let previous = build(&offer, standing(900, 90, 600, 60), [6; 16], NOW - 10, 600);
    let with = |standing, issued| {
        let mut request = request(&offer, standing);
        request.issued = issued;
        checked(request, cells(1000, 100), Some(&previous)).map(|a| a.repeated).map_err(|r| r.code)
    };
    assert_eq!(with(standing(900, 90, 600, 60), NOW), Ok(false));
    assert_eq!(with(standing(899, 90, 600, 60), NOW), Err(RefusalCode::WENT_BACKWARDS));
    assert_eq!(with(standing(900, 89, 600, 60), NOW), Err(RefusalCode::WENT_BACKWARDS));
    assert_eq!(with(standing(900, 90, 600, 59), NOW), Err(RefusalCode::WENT_BACKWARDS));
    assert_eq!(with(standing(900, 90, 600, 49), NOW), Err(RefusalCode::WENT_BACKWARDS), "50 were acknowledged");
    assert_eq!(with(standing(900, 90, 599, 60), NOW), Err(RefusalCode::AMOUNT_BELOW));
    assert_eq!(with(standing(900, 90, 600, 60), NOW - 11), Err(RefusalCode::WENT_BACKWARDS));
}

#[test]
fn the_same_request_again_is_a_repeat_and_another_under_its_id_a_conflict() {
    let offer = offer_of(ServiceKind::Tor);
    let first = request(&offer, standing(1000, 100, 700, 50));
    let again = checked(first.clone(), cells(1000, 100), Some(&first));
    assert_eq!(again, Ok(Accepted { open: amount(650), repeated: true }));
    let mut other = first.clone();
    other.amount_due = amount(701);
    let conflict = checked(other, cells(1000, 100), Some(&first)).map_err(|r| r.code);
    assert_eq!(conflict, Err(RefusalCode::DUPLICATE_CONFLICT));
}

#[test]
fn counts_near_the_end_of_the_range_do_not_overflow() {
    let refused = tor(|r| (r.units_in, r.units_out) = (u64::MAX, u64::MAX));
    assert_eq!(refused, Err(RefusalCode::UNITS_ABOVE));
    let request = request(&offer_of(ServiceKind::Tor), standing(u64::MAX, u64::MAX, 700, 50));
    let refused = checked(request, cells(u64::MAX, u64::MAX), None).map_err(|r| r.code);
    assert_eq!(refused, Err(RefusalCode::AMOUNT_ABOVE));
}
