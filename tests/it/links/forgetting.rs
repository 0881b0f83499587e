//! Places of silent callers and wishes that nobody repeats: both end, and strangers never get all places.
use super::world::*;
use magicwave::gateway::core::message::*;
use magicwave::gateway::link::{Limits, Readiness};

/// A stranger's hello on a circuit of its own; was it refused?
fn call(world: &mut World, number: u8, circ: u64) -> bool {
    let hello = LinkHello {
        version: 1,
        network: network().short(),
        asset: asset().id(),
        link: [number; 16],
        payer: true,
        account: [number; 32],
        signer: [number; 32],
        deposit: limits().deposit,
        period: limits().period_secs,
    };
    let stranger = world.nodes.len() - 1;
    let answers = world.inject(stranger, circ, Message::LinkHello(hello));
    answers.iter().any(|m| matches!(m, Message::Refusal(r) if r.code == RefusalCode::NO_CAPACITY))
}

fn links(world: &World, node: usize) -> usize {
    world.nodes[node].links.summary().len()
}

#[test]
fn strangers_get_half_of_the_places_and_partners_with_a_deposit_keep_theirs() {
    let mut world = World::new(80, 1, 4, &Limits { max_anonymous_links: 6, ..limits() });
    world.open(1, 0);
    for number in 1..50u8 {
        let circ = world.stranger(4, 0, true);
        assert_eq!(call(&mut world, number, circ), number > 3);
    }
    assert_eq!((links(&world, 0), world.link_rows(0).len()), (4, 1), "a hello costs no row");
    world.pay(1, 0, 500).expect("the partner is as well off as before");
    // Their time is over; others with money come and stay, and take more than half.
    world.run(130);
    assert_eq!(links(&world, 0), 1);
    for client in [2, 3] {
        world.open(client, 0);
    }
    assert_eq!(links(&world, 0), 3);
}

#[test]
fn a_circuit_carries_one_link_of_a_stranger() {
    let mut world = World::new(81, 1, 1, &limits());
    let circ = world.stranger(1, 0, true);
    for number in 1..10u8 {
        call(&mut world, number, circ);
    }
    assert_eq!(links(&world, 0), 1);
    world.drop_circuits();
    assert_eq!(links(&world, 0), 0);
}

#[test]
fn a_caller_that_offers_no_escrow_is_forgotten_however_often_it_says_hello() {
    let mut world = World::new(82, 1, 1, &limits());
    let circ = world.stranger(1, 0, true);
    for _ in 0..12 {
        call(&mut world, 7, circ);
        assert_eq!(links(&world, 0), 1);
        world.run(9);
    }
    world.run(13);
    assert_eq!(links(&world, 0), 0, "two minutes after the first hello");
}

#[test]
fn a_wish_that_nobody_repeats_ends_and_leaves_nothing_behind() {
    let mut world = World::new(83, 2, 1, &limits());
    let relay = world.relay(1);
    world.down = vec![1];
    world.step(0, |links, now, rng, out| links.want_payee(now, rng, relay, out));
    world.step(2, |links, now, rng, out| links.want_payer(now, rng, relay, out));
    for _ in 0..4 {
        world.run(200);
        world.step(0, |links, now, rng, out| links.want_payee(now, rng, relay, out));
    }
    assert_eq!(world.nodes[0].links.can_pay(&relay), Readiness::Opening, "it was said again");
    world.run(610);
    assert_eq!((world.nodes[0].links.can_pay(&relay), links(&world, 0)), (Readiness::NoLink, 0));
    let launched = world.launched;
    world.down.clear();
    world.run(60);
    assert_eq!((world.launched, links(&world, 2)), (launched, 0), "nobody dials for a wish that is over");
    world.open(0, 1);
}

#[test]
fn a_payer_without_funds_that_was_forgotten_opens_its_link_once_it_has_them() {
    for (payer, relays, others) in [(0, 2, 0), (1, 1, 1)] {
        let mut world = World::new(84, relays, others, &limits());
        let (payee, all) = (1 - payer, world.node_balance(payer));
        let (relay, key) = (world.relay(payee), world.nodes[payer].wallet.account_key());
        world.transact(&key, |source| {
            magicwave::stellar::template::payment(source, &issuer().public(), &asset(), amount(all)).expect("payment")
        });
        world.step(payer, |links, now, rng, out| links.want_payee(now, rng, relay, out));
        world.run(300);
        assert!(world.link_rows(payee).is_empty() && world.lanes(payee).is_empty());
        world.fund(payer, all);
        world.run(60);
        assert_eq!(world.nodes[payer].links.can_pay(&relay), Readiness::Ready);
        world.pay(payer, payee, 500).expect("paid");
    }
}

#[test]
fn a_partner_that_is_owed_is_dialled_however_long_it_is_away() {
    let mut world = World::new(85, 2, 0, &Limits { period_secs: 86_400, denomination: amount(1), ..limits() });
    world.open(0, 1);
    world.pay(0, 1, 700).expect("paid");
    world.down = vec![0, 1];
    world.drop_circuits();
    world.run(1500);
    assert!(!world.nodes[0].links.summary()[0].connected);
    world.down.clear();
    world.run(120);
    assert!(world.nodes[0].links.summary()[0].connected);
    assert_eq!(world.lanes(0)[0].landed.get(), 700);
}

#[test]
fn a_service_waits_for_sixty_four_relays_at_once_and_for_others_once_some_came_to_nothing() {
    let mut world = World::new(86, 100, 1, &limits());
    world.down = (0..100).collect();
    let mut launches = Vec::new();
    for round in 0..2 {
        let before = world.launched;
        for number in 0..100 {
            let relay = world.relay(number);
            world.step(100, |links, now, rng, out| links.want_payer(now, rng, relay, out));
        }
        world.drain();
        launches.push(world.launched - before);
        assert!(launches[round] >= 36, "{launches:?}");
        // All have failed four times by then, none was asked for ten minutes long.
        world.run(30);
    }
    assert_eq!(launches[0], 64);
}

#[test]
fn a_clock_that_is_ahead_for_a_moment_ends_no_lane() {
    let mut world = World::new(94, 2, 0, &limits());
    world.open(0, 1);
    for ahead in [700_000, u64::MAX / 2] {
        world.step(1, |links, now, rng, out| links.on_tick(now + ahead, rng, out));
        world.drain();
    }
    world.run(5);
    world.pay(0, 1, 1_000).expect("paid");
    // Once E really was silent for the period the lane goes, and with it its place.
    world.step(1, |links, now, rng, out| links.flush_all(now, rng, out));
    world.drain();
    world.asleep = vec![0];
    world.run(700);
    assert_eq!(world.lanes(1)[0].state.name(), "spent");
}
