use super::world::*;
use magicwave::gateway::link::{PayeeRef, PayerRef, Readiness, Role};

#[test]
fn a_link_opens_between_two_relays_and_the_escrow_is_what_the_payee_checked() {
    let mut world = World::new(1, 2, 0, &limits());
    world.open(0, 1);
    let (payer, payee) = (world.lanes(0), world.lanes(1));
    assert_eq!((payer.len(), payee.len()), (1, 1));
    assert_eq!(payer[0].escrow, payee[0].escrow);
    assert_eq!((payer[0].role, payee[0].role), (Role::Payer, Role::Payee));
    assert_eq!((payer[0].state.name(), payee[0].state.name()), ("open", "open"));
    assert_eq!(world.balance(&payer[0].escrow), limits().deposit.get());
    assert_eq!(payer[0].seq_time, payee[0].seq_time);
    world.check();
}

#[test]
fn a_client_opens_a_link_to_its_guard_and_a_service_gets_one_from_the_exit() {
    let mut world = World::new(2, 1, 2, &limits());
    world.open(1, 0);
    let relay = world.relay(0);
    world.step(2, |links, now, rng, out| links.want_payer(now, rng, relay, out));
    world.run(10);
    assert_eq!((world.lanes(0).len(), world.lanes(2).len()), (1, 0), "asking alone ties up nothing");
    world.step(0, |links, now, _, _| links.money_came(now));
    world.run(10);
    let service: Vec<_> = world.lanes(2);
    assert_eq!(service.iter().map(|l| (l.role, l.state.name())).collect::<Vec<_>>(), [(Role::Payee, "open")]);
    assert_eq!(world.lanes(0).len(), 2);
    world.check();
}

#[test]
fn a_service_is_paid_by_the_exit_and_comes_back_to_the_same_link_after_a_restart() {
    let mut world = World::new(7, 1, 1, &Limits { denomination: amount(1), ..limits() });
    let relay = world.relay(0);
    let start = world.node_balance(1);
    for round in 1..=2u64 {
        world.step(1, |links, now, rng, out| links.want_payer(now, rng, relay, out));
        world.step(0, |links, now, _, _| links.money_came(now));
        world.run(10);
        let hop = world.hop();
        let template = world
            .step(1, |links, _, rng, _| links.template(rng, PayerRef::Relay(relay), hop, amount(700)))
            .expect("alive")
            .expect("template");
        let payee = PayeeRef::Tag(template.link_tag);
        let claim = world
            .step(0, |links, now, rng, out| links.sign(now, rng, hop, payee, amount(700), &template, out))
            .expect("alive")
            .expect("signed");
        assert_eq!(world.accepted(1, hop, 700, &claim).expect("accepted").credited.get(), 700 * round);
        world.step(1, |links, now, rng, out| links.flush_all(now, rng, out));
        world.run(5);
        assert_eq!(world.node_balance(1) - start, 700 * round);
        world.restart(1);
    }
    assert_eq!((world.link_rows(0).len(), world.lanes(0).len()), (1, 1));
    world.check();
}

#[test]
fn a_client_pays_its_guard_by_the_tag_of_their_link() {
    let mut world = World::new(8, 1, 2, &limits());
    world.open(1, 0);
    world.open(2, 0);
    world.pay(1, 0, 100).expect("paid");
    world.pay(2, 0, 30).expect("paid");
    let totals: Vec<u64> = world.lanes(0).iter().map(|l| l.total.get()).collect();
    assert!(totals == [100, 30] || totals == [30, 100]);
    world.check();
}

#[test]
fn a_wallet_that_is_topped_up_opens_its_escrow_by_itself() {
    let mut world = World::new(3, 2, 0, &limits());
    let all = world.node_balance(0);
    let (key, to) = (world.nodes[0].wallet.account_key(), world.nodes[1].wallet.account());
    world.transact(&key, |source| {
        magicwave::stellar::template::payment(source, &to, &asset(), amount(all)).expect("payment")
    });
    let relay = world.relay(1);
    world.step(0, |links, now, rng, out| links.want_payee(now, rng, relay, out));
    world.run(30);
    assert_eq!(world.nodes[0].links.can_pay(&relay), Readiness::NoFunds);
    world.fund(0, 20 * UNIT);
    world.run(12);
    assert_eq!(world.nodes[0].links.can_pay(&relay), Readiness::Ready);
    world.pay(0, 1, 500).expect("paid");
}

#[test]
fn an_account_that_is_used_elsewhere_meanwhile_only_delays_the_opening() {
    let mut world = World::new(4, 2, 0, &limits());
    let (relay, key) = (world.relay(1), world.nodes[0].wallet.account_key());
    world.step(0, |links, now, rng, out| links.want_payee(now, rng, relay, out));
    // Whatever the node signs, its account's next sequence number is gone by then.
    for _ in 0..3 {
        world.step(0, |links, now, rng, out| links.on_tick(now, rng, out));
        world.now_ms += 1000;
        world.drain_with(|world| {
            world.transact(&key, |source| {
                magicwave::stellar::template::change_trust(source, &asset(), amount(i64::MAX as u64)).expect("trust")
            })
        });
    }
    world.run(40);
    assert_eq!(world.nodes[0].links.can_pay(&relay), Readiness::Ready);
    assert_eq!(world.lanes(0).len(), 1);
    world.check();
}

#[test]
fn liquidity_bounds_what_is_put_into_escrows() {
    let mut world = World::new(5, 4, 0, &Limits { liquidity_total: amount(25 * UNIT), ..limits() });
    world.open(0, 1);
    world.open(0, 2);
    let third = world.relay(3);
    world.step(0, |links, now, rng, out| links.want_payee(now, rng, third, out));
    world.run(20);
    assert_eq!(world.nodes[0].links.can_pay(&third), Readiness::NoCapacity);
    assert_eq!(world.lanes(0).len(), 2);
}

#[test]
fn deposits_and_periods_out_of_bounds_are_refused() {
    for (deposit, period) in [(UNIT / 2, 600), (101 * UNIT, 600), (10 * UNIT, 599), (10 * UNIT, 2401)] {
        let mut world = World::new(6, 2, 0, &limits());
        world.nodes[0].limits = Limits { deposit: amount(deposit), period_secs: period, ..limits() };
        world.restart(0);
        let relay = world.relay(1);
        world.step(0, |links, now, rng, out| links.want_payee(now, rng, relay, out));
        world.run(10);
        assert!(world.lanes(0).is_empty() && world.lanes(1).is_empty());
        let refused = world
            .log
            .iter()
            .any(|(to, m)| *to == 0 && matches!(m, Message::Refusal(r) if r.code == RefusalCode::DEPOSIT_REFUSED));
        assert!(refused, "{deposit} {period}");
    }
}

use magicwave::gateway::core::message::{Message, RefusalCode};
use magicwave::gateway::link::Limits;

#[test]
fn what_is_still_in_an_escrow_that_is_over_is_not_spent_again_on_another() {
    let mut world = World::alone(8, 2, 0, &Limits { liquidity_total: amount(25 * UNIT), ..limits() });
    let relay = world.relay(1);
    world.open(0, 1);
    world.pay(0, 1, 5_000).expect("paid");
    let mut most = 0;
    for round in 0..300 {
        world.step(0, |links, now, rng, out| links.want_payee(now, rng, relay, out));
        world.run(10);
        // Ten and ten of 25 units are away at most; an escrow's deposit is spent again only once it is back.
        let away: u64 = world.lanes(0).iter().map(|l| world.balance(&l.escrow)).sum();
        assert!(away <= 20 * UNIT, "{away}");
        assert_eq!(
            world.node_balance(0) + world.lanes(1).iter().map(|l| l.landed.get()).sum::<u64>() + away,
            1000 * UNIT
        );
        most = most.max(away);
        if round % 100 == 50 {
            world.restart(0);
        }
    }
    let back = world.lanes(0).iter().filter(|l| l.returned.is_some()).count();
    assert!(most > 19 * UNIT && back >= 3, "{most} {back}");
}
