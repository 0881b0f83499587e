//! Offers: the table of prices, terms, what a payer checks.
use super::*;

#[test]
fn the_price_table_holds_powers_of_two_alone() {
    let table: Vec<_> = offer::prices().collect();
    assert_eq!((table.len(), table[0], table[32]), (33, Price(1), Price(1 << 32)));
    assert!(table.iter().all(|p| offer::price_permitted(*p)));
    for price in [0, 3, 1000, (1 << 32) + 1, 1 << 33, u64::MAX] {
        assert!(!offer::price_permitted(Price(price)), "{price}");
    }
    assert!(offer::fee_permitted(Stroops::ZERO) && offer::fee_permitted(amount(8)));
    assert!(!offer::fee_permitted(amount(12)));
    assert_eq!(offer::price_at_most(0), None);
    assert_eq!(offer::price_at_most(1000), Some(Price(512)));
    assert_eq!(offer::price_at_most(u64::MAX), Some(Price(1 << 32)));
    assert_eq!(offer::denomination_at_most(amount(100)), amount(64));
    assert_eq!(offer::denomination_at_most(Stroops::ZERO), Stroops::ZERO);
}

#[test]
fn an_offer_is_made_for_the_right_network_and_asset_alone() {
    let ask = |change: fn(&mut Hello)| {
        let mut hello = hello();
        change(&mut hello);
        terms(ServiceKind::Tor).offer(&hello, [3; 16], [4; 32], NOW).map(|_| ())
    };
    assert_eq!(ask(|_| ()), Ok(()));
    assert_eq!(ask(|h| h.version = 0), Err(RefusalCode::BAD_VERSION));
    assert_eq!(ask(|h| h.version = 9), Ok(()), "a later client is told our version");
    assert_eq!(ask(|h| h.network[0] ^= 1), Err(RefusalCode::WRONG_NETWORK));
    assert_eq!(ask(|h| h.asset.issuer[0] ^= 1), Err(RefusalCode::WRONG_ASSET));
}

#[test]
fn terms_outside_the_table_are_refused() {
    let with = |change: fn(&mut Terms)| {
        let mut terms = terms(ServiceKind::Tor);
        change(&mut terms);
        terms.check()
    };
    assert_eq!(with(|_| ()), Ok(()));
    assert_eq!(with(|t| t.price = Price(1000)), Err(RefusalCode::BAD_PRICE));
    assert_eq!(with(|t| t.fee = amount(3)), Err(RefusalCode::BAD_PRICE));
    assert_eq!(with(|t| t.ttl_s = 0), Err(RefusalCode::MALFORMED));
    assert_eq!(with(|t| t.ttl_s = 24 * 3600 + 1), Err(RefusalCode::MALFORMED));
    assert_eq!(with(|t| t.ahead_bytes = u32::MAX), Err(RefusalCode::MALFORMED));
}

#[test]
fn a_payer_refuses_an_offer_with_any_defect() {
    let with = |change: fn(&mut Offer)| {
        let mut offer = offer_of(ServiceKind::Tor);
        change(&mut offer);
        offer::check_offer(&offer, &hello(), ServiceKind::Tor, NOW)
    };
    assert_eq!(with(|_| ()), Ok(()));
    assert_eq!(with(|o| o.version = 2), Err(RefusalCode::BAD_VERSION));
    assert_eq!(with(|o| o.nonce[0] ^= 1), Err(RefusalCode::BAD_NONCE));
    assert_eq!(with(|o| o.asset.code[0] = b'X'), Err(RefusalCode::WRONG_ASSET));
    assert_eq!(with(|o| o.kind = ServiceKind::Http), Err(RefusalCode::WRONG_KIND));
    assert_eq!(with(|o| o.price = Price(1025)), Err(RefusalCode::BAD_PRICE));
    assert_eq!(with(|o| o.fee = amount(17)), Err(RefusalCode::BAD_PRICE));
    assert_eq!(with(|o| o.credit_bytes = u32::MAX), Err(RefusalCode::MALFORMED));
    assert_eq!(with(|o| o.expires = NOW), Err(RefusalCode::EXPIRED));
    assert_eq!(with(|o| o.expires = NOW + 1), Ok(()));
    assert_eq!(with(|o| o.expires = u64::MAX), Err(RefusalCode::NOT_YET));
}

#[test]
fn session_ids_of_two_starts_never_meet() {
    let (mut first, mut second) = (SessionIds::new([1; 8]), SessionIds::new([2; 8]));
    let (a, b, c) = (first.draw(), first.draw(), second.draw());
    assert!(a != b && a[8..] == c[8..] && a != c);
    assert!(first.is_ours(&b) && !first.is_ours(&c));
}

#[test]
fn every_field_of_an_offer_is_in_its_hash() {
    let changes: [fn(&mut Offer); 12] = [
        |o| o.version ^= 1,
        |o| o.payee[31] ^= 1,
        |o| o.asset.issuer[31] ^= 1,
        |o| o.kind = ServiceKind::Http,
        |o| o.price.0 ^= 1,
        |o| o.fee = amount(o.fee.get() ^ 1),
        |o| o.credit_bytes ^= 1,
        |o| o.ahead_bytes ^= 1,
        |o| o.expires ^= 1,
        |o| o.session[15] ^= 1,
        |o| o.mac_key[31] ^= 1,
        |o| o.nonce[15] ^= 1,
    ];
    let mut hashes = std::collections::BTreeSet::from([offer_hash(&offer_of(ServiceKind::Tor))]);
    for change in changes {
        let mut offer = offer_of(ServiceKind::Tor);
        change(&mut offer);
        assert!(hashes.insert(offer_hash(&offer)));
    }
}
