use super::world::*;
use magicwave::gateway::link::{Readiness, Role};

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
    let service: Vec<_> = world.lanes(2);
    assert_eq!(service.iter().map(|l| (l.role, l.state.name())).collect::<Vec<_>>(), [(Role::Payee, "open")]);
    assert_eq!(world.lanes(0).len(), 2);
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
