//! Several lanes of a link at once, and how many escrows others can make a node open.
use super::world::*;
use magicwave::gateway::core::message::RefusalCode;
use magicwave::gateway::link::{EscrowRow, Limits, Role};

fn open(world: &World, node: usize) -> Vec<EscrowRow> {
    world.lanes(node).into_iter().filter(|l| l.state.name() == "open").collect()
}

impl World {
    /// All open lanes of the first link of `payer` are busy.
    pub fn busy(&mut self, payer: usize) {
        let link = self.link_rows(payer).into_iter().find(|l| l.role == Role::Payer).expect("a link").id;
        self.step(payer, |links, now, _, out| links.want_lane(now, &link, out));
        self.run(8);
    }
}

#[test]
fn a_busy_link_has_three_lanes_at_once_and_no_more() {
    let mut world = World::new(120, 2, 0, &limits());
    world.open(0, 1);
    for expected in [2, 3, 3, 3] {
        world.busy(0);
        assert_eq!([0, 1].map(|n| open(&world, n).len()), [expected; 2]);
    }
    assert_eq!(world.lanes(0).len(), 3);
    world.check();
}

#[test]
fn a_payment_goes_to_a_lane_that_has_room_for_it_and_all_lanes_land() {
    let mut world = World::new(121, 2, 0, &Limits { denomination: amount(1), ..limits() });
    world.open(0, 1);
    world.busy(0);
    let start = world.node_balance(1);
    // More than a lane holds: the oldest is filled, what does not fit any more goes to the next.
    for stroops in [4 * UNIT, 4 * UNIT, 3 * UNIT, 2 * UNIT] {
        world.pay(0, 1, stroops).expect("paid at once");
        world.check();
    }
    let totals: Vec<u64> = open(&world, 1).iter().map(|l| l.total.get() / UNIT).collect();
    assert!(totals == [10, 3] || totals == [3, 10], "{totals:?}");
    world.settle();
    assert_eq!(world.node_balance(1) - start, 13 * UNIT);
}

#[test]
fn the_next_lane_opens_when_no_open_one_lasts_and_those_that_do_not_are_retired() {
    let mut world = World::alone(122, 2, 0, &limits());
    world.open(0, 1);
    world.busy(0);
    world.pay(0, 1, 8 * UNIT).expect("paid");
    world.run(8);
    assert_eq!((open(&world, 0).len(), world.lanes(0).len()), (2, 2), "the second still lasts");
    world.pay(0, 1, 9 * UNIT).expect("paid");
    world.run(5);
    world.pay(0, 1, 1).expect("paid");
    world.run(8);
    for node in [0, 1] {
        let states: Vec<_> = world.lanes(node).iter().map(|l| l.state.name()).collect();
        assert_eq!(states.iter().filter(|s| **s == "open").count(), 1, "{states:?}");
        assert!(states.len() == 3 && states.iter().all(|s| ["open", "retired"].contains(s)), "{states:?}");
    }
    world.settle();
}

#[test]
fn every_lane_is_re_established_after_a_restart() {
    let mut world = World::new(123, 2, 0, &limits());
    world.open(0, 1);
    world.busy(0);
    world.pay(0, 1, 10 * UNIT - 5).expect("paid");
    let backup = world.backup(0);
    // The payer's store forgets a payment on each lane.
    world.pay(0, 1, 4).expect("paid on the first");
    world.pay(0, 1, 700).expect("paid on the second");
    let owed: u64 = world.lanes(0).iter().map(|l| l.total.get()).sum();
    world.roll_back(0, backup);
    let relay = world.relay(1);
    world.step(0, |links, now, rng, out| links.want_payee(now, rng, relay, out));
    world.run(10);
    assert_eq!(world.lanes(0).iter().map(|l| l.total.get()).sum::<u64>(), owed);
    assert_eq!(world.count(0, "claim_adopted"), 2);
}

#[test]
fn services_that_ask_get_few_deposits_before_anything_is_paid_to_them() {
    let mut world = World::new(124, 1, 8, &limits());
    let relay = world.relay(0);
    for service in 1..=8 {
        world.step(service, |links, now, rng, out| links.want_payer(now, rng, relay, out));
    }
    world.run(20);
    assert_eq!(world.lanes(0).len(), 0, "without money none");
    for _ in 0..20 {
        world.step(0, |links, now, _, _| links.money_came(now));
        world.run(2);
    }
    let states: Vec<_> = world.lanes(0).iter().map(|l| l.state.name()).collect();
    assert_eq!(
        states.iter().filter(|s| **s == "open").count(),
        4,
        "with money four that nothing was signed for: {states:?}"
    );
    world.run(60);
    let lucky = world.lanes(0)[0].link;
    let service = (1..=8).find(|n| world.link_rows(*n).iter().any(|l| l.id == lucky)).expect("a service");
    let hop = world.hop();
    let from = magicwave::gateway::link::PayerRef::Relay(relay);
    let template = world.step(service, |links, _, rng, _| links.template(rng, from, hop, amount(50))).expect("alive");
    let template = template.expect("a template");
    let payee = magicwave::gateway::link::PayeeRef::Tag(template.link_tag);
    world
        .step(0, |links, now, rng, out| links.sign(now, rng, hop, payee, amount(50), &template, out))
        .expect("alive")
        .expect("signed");
    // What was used counts no more; but past a minute without money nobody gets any.
    world.run(10);
    assert_eq!(world.lanes(0).len(), 4);
    world.step(0, |links, now, _, _| links.money_came(now));
    world.run(10);
    assert_eq!(world.lanes(0).len(), 5);
}

#[test]
fn one_payee_gets_four_lanes_at_most_whatever_links_it_makes() {
    let mut world = World::new(125, 1, 1, &limits());
    let relay = world.relay(0);
    for _ in 0..8 {
        // Each start forgets the link that it has, and asks for another one.
        world.roll_back(1, Default::default());
        world.step(1, |links, now, rng, out| links.want_payer(now, rng, relay, out));
        world.step(0, |links, now, _, _| links.money_came(now));
        world.run(10);
    }
    assert_eq!(world.lanes(0).iter().filter(|l| l.role == Role::Payer).count(), 4);
}

#[test]
fn a_lane_without_room_says_so() {
    let mut world = World::new(126, 2, 0, &limits());
    world.open(0, 1);
    world.pay(0, 1, 10 * UNIT).expect("all of it");
    assert_eq!(world.pay(0, 1, 1).map(|_| ()), Err(RefusalCode::ESCROW_PENDING));
    world.run(8);
    world.pay(0, 1, 1).expect("on the next one");
}
