//! What holds over both databases: what is committed comes back, all or nothing, to one process, and adds up.
use super::rows::*;
use magicwave::gateway::chain::{PaymentRow, PaymentState};
use magicwave::gateway::core::policy::{Limits, Mode, Policy, PolicyRow, Rule, Target};
use magicwave::gateway::link::{EscrowRow, EscrowState, LinkRow, Role};
use magicwave::gateway::port::{MoneyEvent, RequestOutcome, RequestRow, Row};
use magicwave::units::Price;

on_both! {
    what_was_committed_comes_back_after_reopening,
    a_commit_is_all_or_nothing,
    rows_that_nobody_needs_go_and_used_counters_stay,
    a_second_process_is_refused_until_the_first_has_ended,
    the_journal_only_grows,
    books_that_do_not_add_up_are_found,
    what_was_earned_does_not_fall_when_its_lanes_end,
    a_restart_does_not_open_the_budget_again,
    a_payment_that_is_dated_in_the_future_does_not_hide_those_of_today,
    rows_of_one_commit_are_written_in_their_order,
    a_payment_request_is_kept_with_its_last_outcome_and_old_ones_go,
    names_of_strangers_cannot_stop_a_commit,
    lines_about_transactions_name_them,
    what_a_person_set_last_comes_back_and_yesterday_is_remembered_as_a_pace,
}

fn what_was_committed_comes_back_after_reopening(place: &Place) {
    let mut store = place.open();
    let rows = [
        Row::Link(link(1).into()),
        Row::Escrow(lane(1, 10, 0).into()),
        Row::Escrow(lane(1, 50, 20).into()), // replaces the one before
        Row::Hop(hop(1).into()),
        Row::Hop(hop(2).into()),
        Row::Hop(hop(3).into()),
        Row::Payment(payment(1, 10 * DAY, "tor", 77).into()),
        event("claim_signed", 1, 50),
    ];
    store.commit(&rows).expect("committed");
    drop(store);
    let snapshot = place.open().load(2, 10 * DAY).expect("loaded");
    assert_eq!(snapshot.links, [link(1)]);
    assert_eq!(snapshot.escrows, [lane(1, 50, 20)]);
    assert_eq!(snapshot.hops, [hop(2), hop(3)], "the newest, oldest first");
    assert_eq!(snapshot.payments, [payment(1, 10 * DAY, "tor", 77)]);
}

fn a_commit_is_all_or_nothing(place: &Place) {
    let mut store = place.open();
    let mut impossible = payment(1, 1, "tor", 1);
    impossible.at = u64::MAX;
    let error = store.commit(&[Row::Link(link(1).into()), Row::Payment(impossible.into())]).expect_err("refused");
    assert_eq!(error.code, "MW-STORE-6");
    // Refused by the database itself, after rows that it had taken and before one that it would take.
    place.refuse_payments();
    let rows = [Row::Link(link(1).into()), Row::Payment(payment(1, 1, "tor", 1).into()), event("claim_signed", 1, 5)];
    assert_eq!(store.commit(&rows).expect_err("refused").code, "MW-STORE-5");
    assert!(store.load(10, 0).expect("loaded").links.is_empty());
    assert_eq!(place.reader().events(10).expect("events"), []);
    store.commit(&[Row::Link(link(2).into())]).expect("the store goes on");
    assert_eq!(store.load(10, 0).expect("loaded").links, [link(2)]);
}

fn rows_that_nobody_needs_go_and_used_counters_stay(place: &Place) {
    let mut store = place.open();
    let offered = EscrowRow { role: Role::Payee, state: EscrowState::Offered, ..lane(2, 0, 0) };
    let planned = EscrowRow { state: EscrowState::Planned, ..lane(3, 0, 0) };
    store.commit(&[Row::Link(link(1).into()), Row::Escrow(offered.clone().into())]).expect("committed");
    store.commit(&[Row::Escrow(planned.clone().into())]).expect("committed");
    let gone = LinkRow { dropped: true, ..link(1) };
    let offered = EscrowRow { state: EscrowState::Dropped, ..offered };
    let used = EscrowRow { state: EscrowState::Dropped, ..planned };
    let rows = [Row::Link(gone.into()), Row::Escrow(offered.into()), Row::Escrow(used.clone().into())];
    store.commit(&rows).expect("committed");
    let snapshot = store.load(10, 0).expect("loaded");
    assert!(snapshot.links.is_empty());
    assert_eq!(snapshot.escrows, [used]);
}

fn a_second_process_is_refused_until_the_first_has_ended(place: &Place) {
    let store = place.open();
    assert_eq!(place.refused(), "MW-STORE-2");
    drop(store);
    place.open();
}

fn the_journal_only_grows(place: &Place) {
    let mut store = place.open();
    store.commit(&[event("claim_signed", 1, 5), event("claim_signed", 1, 5)]).expect("committed");
    drop(store);
    for change in ["DELETE FROM events", "UPDATE events SET amount = 0"] {
        assert!(place.sql(change).expect_err(change).contains("the journal only grows"));
    }
    if matches!(place, Place::Sqlite(_)) {
        let change = "REPLACE INTO events (seq, at, what, amount, fee, node) VALUES (1, 1, 'x', 0, 0, 1)";
        assert!(place.sql(change).expect_err(change).contains("the journal only grows"));
    }
    assert_eq!(place.reader().events(10).expect("events").len(), 2);
}

fn what_was_earned_does_not_fall_when_its_lanes_end(place: &Place) {
    let mut store = place.open();
    let reader = place.reader();
    assert_eq!(reader.earned().expect("a sum"), amount(0));
    let earning = |id, landed| EscrowRow { role: Role::Payee, netted: amount(3), ..lane(id, 50, landed) };
    let rows = [earning(1, 20), earning(2, 5), lane(3, 50, 40)].map(|row| Row::Escrow(row.into()));
    store.commit(&rows).expect("committed");
    assert_eq!(reader.earned().expect("a sum"), amount(31), "what we paid is not what we earned");
    let over = EscrowRow { state: EscrowState::Spent, ..earning(1, 20) };
    store.commit(&[Row::Escrow(over.into())]).expect("committed");
    assert_eq!(reader.earned().expect("a sum"), amount(31));
}

fn books_that_do_not_add_up_are_found(place: &Place) {
    let mut store = place.open();
    let reader = place.reader();
    let rows = [
        Row::Link(link(1).into()),
        Row::Escrow(lane(1, 50, 20).into()),
        event("claim_signed", 1, 30),
        event("claim_signed", 1, 20),
        event("landing_seen", 1, 20),
        event("escrow_funded", 1, 1000),
    ];
    store.commit(&rows).expect("committed");
    let books = reader.check().expect("checked");
    assert_eq!(books.wrong, Vec::<String>::new());
    assert_eq!((books.signed, books.seen, books.fees), (amount(50), amount(20), 3));
    assert_eq!(reader.balances().expect("balances").len(), 1);
    for wrong in [
        vec![Row::Escrow(lane(1, 51, 20).into())],
        vec![Row::Escrow(lane(1, 50, 21).into())],
        vec![Row::Escrow(EscrowRow { returned: Some(amount(980)), ..lane(1, 50, 20) }.into())],
        vec![Row::Escrow(EscrowRow { netted: amount(1), ..lane(1, 50, 20) }.into())],
        vec![Row::Escrow(lane(1, 50, 20).into()), event("claim_signed", 2, 1)],
    ] {
        store.commit(&wrong).expect("committed");
        assert_eq!(reader.check().expect("checked").wrong.len(), 1, "{wrong:?}");
    }
}

fn a_restart_does_not_open_the_budget_again(place: &Place) {
    let mut store = place.open();
    let now = 100 * DAY + 5000;
    let given_up = PaymentRow { state: PaymentState::Abandoned, ..payment(4, now, "http", 1000) };
    let rows = [
        payment(1, now - DAY, "tor", 1),
        payment(2, now - 10, "tor", 10),
        payment(3, now, "http", 100),
        given_up,
        payment(5, now - 10 * DAY, "tor", 5),
    ];
    store.commit(&rows.map(|row| Row::Payment(row.into()))).expect("committed");
    let snapshot = store.load(10, now).expect("loaded");
    assert_eq!(snapshot.payments.len(), 4, "days that are long over are not read");
    let spent = snapshot.spent(now);
    assert_eq!((spent.day, spent.kinds), (100, [amount(10), amount(0), amount(1100)]));
    assert_eq!(spent.sites.values().copied().collect::<Vec<_>>(), [amount(1100)]);
    assert_eq!(snapshot.spent(now + DAY).kinds, [amount(0); 3]);
}

fn a_payment_that_is_dated_in_the_future_does_not_hide_those_of_today(place: &Place) {
    let mut store = place.open();
    let now = 100 * DAY + 5000;
    let rows = [payment(1, now - 10, "tor", 10), payment(2, now + 30 * DAY, "tor", 100)];
    store.commit(&rows.map(|row| Row::Payment(row.into()))).expect("committed");
    let snapshot = store.load(10, now).expect("loaded");
    assert_eq!(snapshot.spent(now).kinds, [amount(10), amount(0), amount(0)]);
    assert_eq!(snapshot.payments.len(), 2, "both may be unfinished");
}

fn rows_of_one_commit_are_written_in_their_order(place: &Place) {
    let mut store = place.open();
    let mut rows = Vec::new();
    for n in 0..600u64 {
        rows.push(event("claim_signed", 1, n));
        rows.push(Row::Payment(payment(1, 10 * DAY, "tor", n).into()));
    }
    store.commit(&rows).expect("committed");
    let events = place.reader().events(1000).expect("events");
    let amounts: Vec<u64> = events.iter().rev().map(|event| event.amount.get()).collect();
    assert_eq!(amounts, (0..600).collect::<Vec<_>>());
    assert_eq!(store.load(1, 10 * DAY).expect("loaded").payments, [payment(1, 10 * DAY, "tor", 599)]);
}

fn a_payment_request_is_kept_with_its_last_outcome_and_old_ones_go(place: &Place) {
    let mut store = place.open();
    let rows = [
        request(7, 2 * DAY, RequestOutcome::Held),
        request(8, 2 * DAY + 1, RequestOutcome::Refused),
        request(7, 2 * DAY, RequestOutcome::Paid),
    ];
    store.commit(&rows.clone().map(|row| Row::Request(row.into()))).expect("committed");
    let reader = place.reader();
    assert_eq!(reader.requests(10).expect("requests"), [rows[1].clone(), rows[2].clone()]);
    assert_eq!(reader.requests(1).expect("requests").len(), 1);
    // Older ones than the newest 100 000 go, at the latest when a thousand more have come.
    place.fill_requests(100_500);
    let more =
        (0..1_000).map(|n| Row::Request(request(1_000 + n, 3 * DAY + u64::from(n), RequestOutcome::Paid).into()));
    for batch in more.collect::<Vec<_>>().chunks(100) {
        store.commit(batch).expect("committed");
    }
    let kept: u64 = reader.history(0, 4 * DAY, 4 * DAY).expect("a history").iter().map(|bin| bin.requests).sum();
    assert_eq!(kept, 100_001, "the newest, and those of the same moment as the oldest of them");
}

fn names_of_strangers_cannot_stop_a_commit(place: &Place) {
    let mut store = place.open();
    let long = "ü".repeat(5_000);
    let hostile = RequestRow {
        who: format!("a\0b{long}"),
        site: Some("'; DROP TABLE events; --\0".into()),
        code: Some("\u{202e}\"\\".into()),
        ..request(1, 5, RequestOutcome::Refused)
    };
    let site = PaymentRow { site: Some("c\0d".into()), ..payment(1, 5, "http", 1) };
    store.commit(&[Row::Request(hostile.clone().into()), Row::Payment(site.clone().into())]).expect("committed");
    let [kept] = &place.reader().requests(10).expect("requests")[..] else { panic!("one") };
    assert_eq!(kept.who.chars().count(), 255);
    assert!(kept.who.starts_with("abü"));
    assert_eq!((kept.site.as_deref(), &kept.code), (Some("'; DROP TABLE events; --"), &hostile.code));
    assert_eq!(place.reader().payments(10).expect("payments"), [site]);
}

fn lines_about_transactions_name_them(place: &Place) {
    let mut store = place.open();
    let silent =
        MoneyEvent { at: 1, what: "claim_signed".into(), link: None, hop: None, amount: amount(1), fee: 0, tx: None };
    let rows = [event("flush_landed", 1, 5), Row::Event(silent.clone()), event("escrow_funded", 2, 6)];
    store.commit(&rows).expect("committed");
    let reader = place.reader();
    let found: Vec<_> = reader.transactions(10).expect("transactions").into_iter().map(|e| (e.what, e.tx)).collect();
    assert_eq!(found, [("escrow_funded".to_owned(), Some([2; 32])), ("flush_landed".to_owned(), Some([1; 32]))]);
    assert_eq!(reader.events(10).expect("events")[1], silent);
}

fn what_a_person_set_last_comes_back_and_yesterday_is_remembered_as_a_pace(place: &Place) {
    let mut store = place.open();
    assert_eq!(store.load(1, DAY).expect("loaded").policy, None);
    let [first, last] = [Mode::Ask, Mode::Never].map(|mode| {
        let limits = Limits {
            day: amount(100),
            site: amount(10),
            kinds: [amount(100); 3],
            price_ceilings: [Price(1); 3],
            fee_ceiling: amount(1),
        };
        let rule = Rule { target: Target::Site("shop.example".into()), mode, day: None };
        let current = Policy::new(limits.clone()).with_rules([rule]).expect("a rule");
        PolicyRow { configured: Policy::new(limits), current }
    });
    store.commit(&[Row::Policy(first.clone().into())]).expect("committed");
    store.commit(&[Row::Policy(first.into()), Row::Policy(last.clone().into())]).expect("committed");
    store.commit(&[Row::Payment(payment(1, 9 * DAY + 5, "tor", 77).into())]).expect("committed");
    drop(store);
    let snapshot = place.open().load(1, 10 * DAY).expect("loaded");
    assert_eq!(snapshot.policy, Some(last));
    let spent = snapshot.spent(10 * DAY);
    assert_eq!((spent.before, spent.kinds[0]), (amount(77), amount(0)));
}
