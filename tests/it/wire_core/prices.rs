//! What a pass costs, and how far ahead is paid.
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
fn nothing_is_paid_while_a_quarter_is_left_and_along_with_others_while_half_is() {
    let at = |counted_cells| Ahead { paid: amount(1 << 16), counted_cells, ..ahead() };
    // 65536 bytes are 127.5 cells.
    let due = |at: Ahead| (at.target().expect("in range").is_some(), at.target_along().expect("in range").is_some());
    assert_eq!(
        [0, 63, 64, 95, 96].map(|cells| due(at(cells))),
        [(false, false), (false, false), (false, true), (false, true), (true, true)]
    );
    // What flows while a payment is under way must last, one and a half times.
    let fast = |counted_cells| Ahead { rate: 200_000, latency_ms: 100, ..at(counted_cells) };
    assert_eq!(
        [49, 50, 69, 70].map(|cells| due(fast(cells))),
        [(false, false), (false, true), (false, true), (true, true)]
    );
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
