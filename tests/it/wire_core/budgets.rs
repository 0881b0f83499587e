//! Price ceilings and budgets.
use super::*;

fn limits() -> Limits {
    Limits {
        day: amount(100),
        site: amount(60),
        kinds: [amount(80), amount(50), amount(90)],
        price_ceilings: [Price(1024), Price(512), Price(1 << 20)],
        fee_ceiling: amount(16),
    }
}
fn budget() -> Budget {
    Budget::new(limits(), Spent::default())
}
const TOR: ServiceKind = ServiceKind::Tor;

#[test]
fn an_offer_above_the_ceiling_is_refused() {
    assert_eq!(limits().check_price(&offer_of(TOR)), Ok(()));
    let dear = Offer { price: Price(2048), ..offer_of(TOR) };
    assert_eq!(limits().check_price(&dear), Err(RefusalCode::PRICE_CEILING));
    assert_eq!(limits().check_price(&offer_of(ServiceKind::Ipfs)), Err(RefusalCode::PRICE_CEILING));
    let fee = Offer { fee: amount(32), ..offer_of(TOR) };
    assert_eq!(limits().check_price(&fee), Err(RefusalCode::PRICE_CEILING));
}

#[test]
fn each_budget_has_its_refusal() {
    let mut budget = budget();
    let site = Some([7; 16]);
    assert_eq!(budget.reserve([1; 16], 5, None, TOR, amount(81)), Err(RefusalCode::BUDGET_KIND));
    assert_eq!(budget.reserve([1; 16], 5, None, TOR, amount(101)), Err(RefusalCode::BUDGET_DAY));
    assert_eq!(budget.reserve([1; 16], 5, site, TOR, amount(61)), Err(RefusalCode::BUDGET_SITE));
    assert_eq!(budget.reserve([1; 16], 5, site, TOR, amount(60)), Ok(()));
    assert_eq!(budget.reserve([2; 16], 5, site, TOR, amount(1)), Err(RefusalCode::BUDGET_SITE));
    assert_eq!(budget.reserve([2; 16], 5, None, TOR, amount(21)), Err(RefusalCode::BUDGET_KIND));
    assert_eq!(budget.reserve([2; 16], 5, None, ServiceKind::Http, amount(40)), Ok(()));
    assert_eq!(budget.reserve([3; 16], 5, None, ServiceKind::Http, amount(1)), Err(RefusalCode::BUDGET_DAY));
    assert_eq!(budget.reserve([3; 16], 5, None, TOR, Stroops::MAX), Err(RefusalCode::BUDGET_DAY));
}

#[test]
fn a_release_gives_back_and_a_commit_spends() {
    let mut budget = budget();
    budget.reserve([1; 16], 5, None, TOR, amount(80)).expect("fits");
    assert_eq!(budget.reserved(), amount(80));
    assert!(budget.release(&[1; 16]) && !budget.release(&[1; 16]));
    budget.reserve([2; 16], 5, Some([7; 16]), TOR, amount(50)).expect("fits");
    assert!(budget.commit(&[2; 16], amount(30)) && !budget.commit(&[2; 16], amount(30)));
    assert_eq!(budget.spent().kinds[0], amount(30));
    assert_eq!(budget.spent().sites[&[7; 16]], amount(30));
    assert_eq!(budget.reserve([3; 16], 5, None, TOR, amount(51)), Err(RefusalCode::BUDGET_KIND));
    assert_eq!(budget.reserve([3; 16], 5, None, TOR, amount(50)), Ok(()));
}

#[test]
fn a_commit_never_spends_more_than_was_reserved() {
    let mut budget = budget();
    budget.reserve([1; 16], 5, None, TOR, amount(10)).expect("fits");
    budget.commit(&[1; 16], amount(1000));
    assert_eq!(budget.spent().kinds[0], amount(10));
}

#[test]
fn a_reservation_made_twice_counts_once() {
    let mut budget = budget();
    for _ in 0..3 {
        assert_eq!(budget.reserve([1; 16], 5, None, TOR, amount(70)), Ok(()));
    }
    assert_eq!(budget.reserved(), amount(70));
    assert_eq!(budget.reserve([1; 16], 5, None, TOR, amount(71)), Err(RefusalCode::DUPLICATE_CONFLICT));
}

#[test]
fn a_new_day_opens_the_budget_and_a_clock_that_goes_back_does_not() {
    let mut budget = budget();
    budget.reserve([1; 16], 5, None, TOR, amount(80)).expect("fits");
    budget.commit(&[1; 16], amount(80));
    assert_eq!(budget.reserve([2; 16], 4, None, TOR, amount(80)), Err(RefusalCode::BUDGET_DAY));
    assert_eq!(budget.reserve([2; 16], 6, None, TOR, amount(80)), Ok(()));
    assert_eq!(budget.reserve([3; 16], 7, None, TOR, amount(1)), Err(RefusalCode::BUDGET_KIND), "still reserved");
}

#[test]
fn a_restart_keeps_what_was_spent() {
    let mut before = budget();
    before.reserve([1; 16], 5, None, TOR, amount(80)).expect("fits");
    before.commit(&[1; 16], amount(80));
    let mut after = Budget::new(limits(), before.spent().clone());
    assert_eq!(after.reserve([2; 16], 5, None, TOR, amount(1)), Err(RefusalCode::BUDGET_KIND));
}

#[test]
fn reservations_are_limited_in_number() {
    let mut budget = budget();
    for i in 0..RESERVATIONS_MAX {
        let mut id = [0; 16];
        id[..8].copy_from_slice(&i.to_be_bytes());
        assert_eq!(budget.reserve(id, 5, None, TOR, Stroops::ZERO), Ok(()));
    }
    assert_eq!(budget.reserve([0xee; 16], 5, None, TOR, Stroops::ZERO), Err(RefusalCode::BUSY));
}

#[test]
fn sites_beyond_the_limit_share_one_count() {
    let mut budget = Budget::new(Limits { day: Stroops::MAX, kinds: [Stroops::MAX; 3], ..limits() }, Spent::default());
    for i in 0..5000u64 {
        let mut site = [0; 16];
        site[..8].copy_from_slice(&i.to_be_bytes());
        match budget.reserve([1; 16], 5, Some(site), TOR, amount(1)) {
            Ok(()) => assert!(budget.commit(&[1; 16], amount(1))),
            Err(code) => assert!(code == RefusalCode::BUDGET_SITE && i >= 4096 + 60),
        }
    }
    assert_eq!(budget.spent().sites.len(), 4097);
}
