//! Offers, requests, their validation, prices and budgets.
use magicwave::gateway::core::message::*;
use magicwave::gateway::core::offer::{self, SessionIds, Terms, offer_hash};
use magicwave::gateway::core::policy::{Budget, Limits, RESERVATIONS_MAX, Spent};
use magicwave::gateway::core::price::{Ahead, HopDue, bytes_for, of_bytes, pass_amounts};
use magicwave::gateway::core::request::{Standing, build, mac, verify_mac};
use magicwave::gateway::core::validate::{Accepted, Agreed, Counts, Refused, check};
use magicwave::units::{Price, Stroops};
use proptest::prelude::*;

const NOW: u64 = 1_800_000_000;

fn amount(stroops: u64) -> Stroops {
    Stroops::new(stroops).expect("in range")
}

fn terms(kind: ServiceKind) -> Terms {
    Terms {
        network: offer::network_id("MagicWave devnet"),
        payee: [1; 32],
        asset: AssetId { code: *b"MWT\0\0\0\0\0\0\0\0\0", issuer: [2; 32] },
        kind,
        price: Price(1024),
        fee: amount(16),
        credit_bytes: 1 << 16,
        ahead_bytes: 1 << 18,
        ttl_s: 3600,
    }
}

fn hello() -> Hello {
    let terms = terms(ServiceKind::Tor);
    Hello { version: 1, network: terms.network, asset: terms.asset, nonce: [9; 16] }
}

fn offer_of(kind: ServiceKind) -> Offer {
    terms(kind).offer(&hello(), [3; 16], [4; 32], NOW).expect("an offer")
}

mod offers {
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
}

mod requests {
    use super::*;

    fn standing(units_in: u64, units_out: u64, due: u64, paid: u64) -> Standing {
        Standing { units_in, units_out, amount_due: amount(due), amount_paid: amount(paid), state: 0 }
    }
    fn request(offer: &Offer, standing: Standing) -> PaymentRequest {
        build(offer, standing, [5; 16], [0; 32], NOW, 600)
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
        let changes: [fn(&mut PaymentRequest); 13] = [
            |r| r.id[0] ^= 1,
            |r| r.session[0] ^= 1,
            |r| r.kind = ServiceKind::Ipfs,
            |r| r.units_in ^= 1,
            |r| r.units_out ^= 1,
            |r| r.amount_due = amount(r.amount_due.get() ^ 1),
            |r| r.amount_paid = amount(r.amount_paid.get() ^ 1),
            |r| r.offer_hash[0] ^= 1,
            |r| r.lock_point[0] ^= 1,
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
        let previous = build(&offer, standing(900, 90, 600, 60), [6; 16], [0; 32], NOW - 10, 600);
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
}

mod prices {
    use super::*;

    fn due(due: u64, fee: u64) -> HopDue {
        HopDue { due: amount(due), fee: amount(fee) }
    }
    fn ahead() -> Ahead {
        Ahead {
            price: Price(1 << 20),
            counted_cells: 0,
            paid: Stroops::ZERO,
            rate: 0,
            latency_ms: 100,
            ahead_bytes: 1 << 16,
            cap_bytes: 1 << 22,
        }
    }

    #[test]
    fn each_hop_keeps_its_due_and_its_fee_and_the_last_gets_the_rest() {
        let amounts = pass_amounts(&[due(100, 1), due(200, 2), due(300, 4), due(1000, 8)]).expect("in range");
        assert_eq!(amounts, [1607, 1506, 1304, 1000].map(amount));
        assert_eq!(pass_amounts(&[due(5, 1)]), Ok(vec![amount(5)]));
        assert_eq!(pass_amounts(&[]), Ok(vec![]));
    }

    #[test]
    fn a_hop_with_nothing_behind_it_takes_no_fee() {
        let amounts = pass_amounts(&[due(100, 1), due(0, 2), due(0, 4)]).expect("in range");
        assert_eq!(amounts, [100, 0, 0].map(amount));
        let amounts = pass_amounts(&[due(0, 1), due(0, 2), due(7, 4)]).expect("in range");
        assert_eq!(amounts, [10, 9, 7].map(amount));
    }

    #[test]
    fn a_pass_beyond_the_ledgers_range_is_an_error() {
        let most = Stroops::MAX.get();
        assert!(pass_amounts(&[due(1, 0), due(most, 0)]).is_err());
        assert!(pass_amounts(&[due(0, 1), due(most, 0)]).is_err());
    }

    #[test]
    fn the_first_payment_covers_what_the_offer_suggests() {
        assert_eq!(ahead().target(), Ok(Some(amount(1 << 16))));
    }

    #[test]
    fn the_window_doubles_with_what_was_paid_up_to_the_cap() {
        let (mut at, mut payments, total_cells) = (ahead(), 0u32, 100_000u64);
        let mut windows = vec![];
        while at.counted_cells < total_cells {
            at.counted_cells += 1;
            let served = at.price.of_cells(at.counted_cells).expect("in range");
            if let Some(paid) = at.target().expect("in range") {
                assert!(paid > at.paid);
                at.paid = paid;
                payments += 1;
                windows.push(at.window_bytes());
            }
            assert!(at.paid >= served, "the circuit was held");
            let risk = at.paid.saturating_sub(served).get();
            assert!(risk <= 1 << 22, "{risk} at risk");
        }
        assert!(windows.is_sorted() && windows.last() == Some(&(1 << 22)), "{windows:?}");
        assert!(payments < 40, "{payments} payments for 50 MiB");
    }

    #[test]
    fn a_fast_circuit_is_paid_twice_its_latency_ahead() {
        let at = Ahead { rate: 10_000_000, latency_ms: 100, ..ahead() };
        assert_eq!(at.window_bytes(), 2_000_000);
        assert_eq!(Ahead { latency_ms: u64::MAX, rate: u64::MAX, ..at }.window_bytes(), 1 << 22);
    }

    #[test]
    fn nothing_is_paid_while_half_of_the_window_is_left() {
        let at = Ahead { paid: amount(1 << 16), ..ahead() };
        assert_eq!(at.target(), Ok(None));
        let used = Ahead { counted_cells: 64, ..at };
        assert!(used.target().expect("in range").is_some());
        assert_eq!(Ahead { cap_bytes: 0, ..ahead() }.target(), Ok(None));
    }

    proptest! {
        #[test]
        fn what_a_pass_brings_in_equals_what_its_hops_keep(
            hops in proptest::collection::vec((0u64..1 << 40, 0u64..1 << 20), 1..5)
        ) {
            let hops: Vec<_> = hops.into_iter().map(|(d, f)| due(d, f)).collect();
            let amounts = pass_amounts(&hops).expect("in range");
            for (k, hop) in hops.iter().enumerate() {
                let out = amounts.get(k + 1).copied().unwrap_or_default();
                let fee = if out.is_zero() { Stroops::ZERO } else { hop.fee };
                prop_assert_eq!(amounts[k].sub(out), hop.due.add(fee));
            }
        }

        #[test]
        fn a_target_is_above_what_was_paid_within_the_cap_and_in_powers_of_two(
            exponent in 0u32..33, cells in 0u64..1 << 30, paid in 0u64..1 << 50, rate in 0u64..1 << 32,
            latency_ms in 0u64..60_000, ahead_bytes in 0u64..1 << 30, cap_bytes in 0u64..1 << 30,
        ) {
            let price = Price(1 << exponent);
            let at = Ahead { price, counted_cells: cells, paid: amount(paid), rate, latency_ms, ahead_bytes, cap_bytes };
            if let Some(target) = at.target().expect("in range") {
                let increment = target.sub(at.paid).expect("more").get();
                let most = price.of_cells(cells).and_then(|s| s.add(of_bytes(price, cap_bytes)?)).expect("in range");
                prop_assert!(increment.is_power_of_two() && target <= most);
            }
        }

        #[test]
        fn paying_the_price_of_bytes_buys_at_least_these_bytes(bytes in 0u64..1 << 40, exponent in 0u32..33) {
            let price = Price(1 << exponent);
            prop_assert!(bytes_for(price, of_bytes(price, bytes).expect("in range")) >= bytes);
        }
    }
}

mod budgets {
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
        let mut budget =
            Budget::new(Limits { day: Stroops::MAX, kinds: [Stroops::MAX; 3], ..limits() }, Spent::default());
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
}
