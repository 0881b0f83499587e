//! What was asked and paid, added up by both databases alike.
use super::rows::*;
use magicwave::gateway::chain::{PaymentRow, PaymentState};
use magicwave::gateway::port::{RequestOutcome, Row};
use magicwave::store::{BINS_MAX, Bin, PaymentsWhere, Spending, Sum};
use std::collections::BTreeMap;

on_both! {
    a_history_has_every_bin_and_each_row_is_in_its_own,
    a_history_without_end_or_with_too_many_bins_is_refused,
    spending_is_added_up_by_day_site_and_service,
    payments_are_read_page_by_page_and_by_name,
}

fn sum(payments: u64, stroops: u64) -> Sum {
    Sum { payments, amount: amount(stroops) }
}

fn a_history_has_every_bin_and_each_row_is_in_its_own(place: &Place) {
    let mut store = place.open();
    let requests = [(1, 999), (2, 1_000), (3, 1_099), (4, 1_100), (5, 1_250), (6, 1_299), (7, 1_300)];
    let mut rows: Vec<Row> = requests
        .map(|(id, at)| if id % 2 == 0 { (id, at, RequestOutcome::Refused) } else { (id, at, RequestOutcome::Paid) })
        .map(|(id, at, outcome)| Row::Request(request(id, at, outcome).into()))
        .into();
    let open = PaymentRow { state: PaymentState::Signed, ..payment(9, 1_050, "tor", 1) };
    let payments = [
        payment(1, 1_000, "tor", 10),
        payment(2, 1_099, "tor", 20),
        payment(3, 1_001, "http", 5),
        payment(4, 1_299, "http", 7),
        payment(5, 1_300, "http", 1_000),
        payment(6, 999, "http", 1_000),
        open,
    ];
    rows.extend(payments.map(|row| Row::Payment(row.into())));
    store.commit(&rows).expect("committed");
    let paid = |of: &[(&str, Sum)]| of.iter().map(|(kind, sum)| ((*kind).to_owned(), *sum)).collect::<BTreeMap<_, _>>();
    let bin = |from_ms, requests, refused, of: &[_]| Bin { from_ms, requests, refused, paid: paid(of) };
    let expected = [
        bin(1_000, 2, 1, &[("http", sum(1, 5)), ("tor", sum(2, 30))]),
        bin(1_100, 1, 1, &[]),
        bin(1_200, 2, 1, &[("http", sum(1, 7))]),
    ];
    assert_eq!(place.reader().history(1_000, 1_300, 100).expect("a history"), expected);
    let one = place.reader().history(1_000, 1_300, u64::MAX).expect("a history");
    assert_eq!((one.len(), one[0].requests), (1, 5));
}

fn a_history_without_end_or_with_too_many_bins_is_refused(place: &Place) {
    drop(place.open());
    let reader = place.reader();
    for (from, to, bin) in [(0, 0, 1), (5, 4, 1), (0, 5, 0), (0, BINS_MAX + 1, 1), (0, u64::MAX, u64::MAX)] {
        assert_eq!(reader.history(from, to, bin).expect_err("refused").code, "MW-STORE-10", "{from} {to} {bin}");
    }
    assert_eq!(reader.history(0, BINS_MAX, 1).expect("a history").len(), 1_000);
}

fn spending_is_added_up_by_day_site_and_service(place: &Place) {
    let mut store = place.open();
    let other = PaymentRow { site: Some("other.example".into()), ..payment(3, 20 * DAY + 7, "http", 100) };
    let lost = PaymentRow { state: PaymentState::Abandoned, ..payment(6, 20 * DAY, "http", 1_000) };
    let rows = [
        payment(1, 20 * DAY, "http", 1),
        payment(2, 21 * DAY - 1, "http", 2),
        other,
        payment(4, 20 * DAY, "tor", 4),
        payment(5, 21 * DAY, "tor", 8),
        lost,
    ];
    store.commit(&rows.map(|row| Row::Payment(row.into()))).expect("committed");
    let line = |day: u64, service: &str, site: Option<&str>, paid| Spending {
        day_ms: day * DAY,
        service: service.into(),
        site: site.map(Into::into),
        paid,
    };
    let expected = [
        line(21, "tor", None, sum(1, 8)),
        line(20, "http", Some("other.example"), sum(1, 100)),
        line(20, "tor", None, sum(1, 4)),
        line(20, "http", Some("example.org:80"), sum(2, 3)),
    ];
    let reader = place.reader();
    assert_eq!(reader.spending(0, u64::MAX, 10).expect("spending"), expected);
    assert_eq!(reader.spending(0, 21 * DAY, 1).expect("spending"), expected[1..2]);
}

fn payments_are_read_page_by_page_and_by_name(place: &Place) {
    let mut store = place.open();
    let other = PaymentRow { site: Some("other.example".into()), ..payment(6, 30, "http", 1) };
    // Three of one moment: a page may end between them.
    let rows = [
        payment(1, 10, "tor", 1),
        payment(2, 20, "tor", 1),
        payment(3, 20, "http", 1),
        payment(4, 20, "tor", 1),
        payment(5, 30, "tor", 1),
        other,
    ];
    store.commit(&rows.map(|row| Row::Payment(row.into()))).expect("committed");
    let reader = place.reader();
    let ids = |which: PaymentsWhere| -> Vec<u8> {
        reader.payments_where(&which).expect("payments").iter().map(|row| row.id[0]).collect()
    };
    let all = PaymentsWhere { limit: 10, ..PaymentsWhere::default() };
    assert_eq!(ids(all.clone()), [6, 5, 4, 3, 2, 1]);
    let (mut seen, mut before) = (Vec::new(), None);
    loop {
        let page = reader.payments_where(&PaymentsWhere { limit: 2, before, ..all.clone() }).expect("a page");
        let Some(last) = page.last() else { break };
        before = Some((last.at, last.id));
        seen.extend(page.iter().map(|row| row.id[0]));
    }
    assert_eq!(seen, [6, 5, 4, 3, 2, 1], "each once");
    assert_eq!(ids(PaymentsWhere { since: 20, ..all.clone() }), [6, 5, 4, 3, 2]);
    assert_eq!(ids(PaymentsWhere { since: u64::MAX, ..all.clone() }), [0u8; 0]);
    assert_eq!(ids(PaymentsWhere { service: Some("tor".into()), before: Some((20, [4; 16])), ..all.clone() }), [2, 1]);
    assert_eq!(ids(PaymentsWhere { site: Some("example.org:80".into()), ..all.clone() }), [3]);
    assert_eq!(ids(PaymentsWhere { site: Some("other' OR '1'='1".into()), ..all }), [0u8; 0]);
}
