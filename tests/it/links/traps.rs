//! Traps that real ledgers and earlier systems held, each sprung by a rogue with the real keys: nobody else pays for it.
use super::world::*;
use magicwave::gateway::core::message::{Carried, RefusalCode, TemplateBody};
use magicwave::gateway::core::seal;
use magicwave::gateway::link::{Limits, PayeeRef, Role};
use magicwave::stellar::template::{self, ops};

fn exact() -> Limits {
    Limits { denomination: amount(1), flush_interval_secs: 40_000, flush_jitter_secs: 0, period_secs: 600, ..limits() }
}

#[test]
fn a_payer_that_empties_its_own_account_takes_nothing_from_its_payee() {
    let mut world = World::new(801, 3, 0, &exact());
    world.open(0, 1);
    world.pay(0, 1, 7_000).expect("paid");
    // All that is its own goes to a friend; what it signed for is in the escrow.
    let (key, friend) = (world.nodes[0].wallet.account_key(), world.nodes[2].wallet.account());
    let all = amount(world.node_balance(0));
    world.transact(&key, |source| template::payment(source, &friend, &asset(), all).expect("a payment"));
    assert_eq!(world.node_balance(0), 0);
    let before = world.node_balance(1);
    world.step(1, |links, now, rng, out| links.flush_all(now, rng, out));
    world.run(8);
    assert_eq!(world.node_balance(1) - before, 7_000);
    // Without deposits left it can promise nothing, either.
    let deposit = world.lanes(0)[0].deposit.get();
    assert!(world.pay(0, 1, deposit).is_err());
    world.check();
}

#[test]
fn claims_of_two_payers_land_whatever_number_the_payees_own_account_has() {
    let mut world = World::new(802, 3, 0, &exact());
    world.open(0, 2);
    world.open(1, 2);
    world.pay(0, 2, 7_000).expect("paid");
    world.pay(1, 2, 80).expect("paid");
    let start = world.node_balance(2);
    // The numbers of its own account jump before the flushes and while they are under way.
    let key = world.nodes[2].wallet.account_key();
    let skip = |source: &template::Source| {
        let to = source.sequence + 1_000_000;
        template::batch(source, vec![ops::bump_sequence(None, to)]).expect("a bump")
    };
    world.transact(&key, skip);
    world.step(2, |links, now, rng, out| links.flush_all(now, rng, out));
    world.drain_with(|_| ());
    world.transact(&key, skip);
    world.run(8);
    assert_eq!(world.node_balance(2) - start, 7_080);
    world.pay(1, 2, 900).expect("the next epoch");
    world.settle();
    assert_eq!(world.node_balance(2) - start, 7_980);
}

#[test]
fn a_refund_is_void_at_once_after_a_flush_and_until_the_payees_time_is_over() {
    let mut world = World::new(803, 2, 0, &exact());
    world.open(0, 1);
    let lane = world.lanes(0)[0].clone();
    assert!(lane.seq_time > 0, "the funding is the escrow's own transaction and starts its clock");
    let terms = world.terms(0, &lane);
    let payer = world.signer(0, &lane.link);
    let refund = template::complete_refund(&terms, &payer, &lane.refund.expect("signed")).expect("a refund");
    assert!(!world.submit(0, &refund), "at once");
    world.pay(0, 1, 500).expect("paid");
    world.run(400);
    world.step(1, |links, now, rng, out| links.flush_all(now, rng, out));
    world.run(4);
    assert_eq!(world.lanes(1)[0].landed.get(), 500);
    world.pay(0, 1, 30).expect("paid");
    // O after the opening, and not yet O after the flush.
    world.run(250);
    assert!(world.now_ms / 1000 > lane.seq_time + 600);
    assert!(!world.submit(0, &refund), "a landing restarts the clock");
    world.settle();
    assert_eq!(world.lanes(1)[0].landed.get(), 530);
}

/// A template that the payee sealed, with other words inside.
fn resealed(world: &World, carried: &Carried, change: impl FnOnce(&mut TemplateBody)) -> Carried {
    let row = world.link_rows(1).into_iter().find(|row| row.role == Role::Payee).expect("a link");
    let mut body = seal::open_template(&row.key, row.tag, carried).expect("own words");
    change(&mut body);
    seal::seal_template(&row.key, row.tag, [7; 24], &body).expect("sealed")
}

#[test]
fn a_payee_that_tells_of_more_than_was_signed_for_gets_what_was_asked_for_and_no_more() {
    let mut world = World::new(804, 2, 0, &exact());
    world.open(0, 1);
    world.pay(0, 1, 1_000).expect("paid");
    let deposit = world.lanes(0)[0].deposit.get();
    let (from, relay, hop) = (world.payer_ref(0, 1), world.relay(1), world.hop());
    let made = world.step(1, |links, _, rng, _| links.template(rng, from, hop, amount(10))).expect("alive");
    let honest = made.expect("a template");
    let before = world.lanes(0);
    let sign = |world: &mut World, template: &Carried| {
        world
            .step(0, |links, now, rng, out| {
                links.sign(now, rng, hop, PayeeRef::Relay(relay), amount(10), template, out)
            })
            .expect("alive")
    };
    for told in [1_001, deposit, i64::MAX as u64] {
        let lie = resealed(&world, &honest, |body| body.cumulative = amount(told));
        assert_eq!(sign(&mut world, &lie), Err(RefusalCode::EPOCH), "{told}");
        world.run(2);
    }
    for later in [2, u32::MAX] {
        let lie = resealed(&world, &honest, |body| body.epoch = later);
        assert_eq!(sign(&mut world, &lie), Err(RefusalCode::EPOCH), "epoch {later}");
        world.run(2);
    }
    let lie = resealed(&world, &honest, |body| body.amount = amount(11));
    assert!(sign(&mut world, &lie).is_err(), "more than the client asks for");
    assert_eq!(world.lanes(0), before, "nothing was signed");
    // One that tells of less, or of an escrow that there is not, gets the claim that its payer's own books ask for.
    let lie = resealed(&world, &honest, |body| (body.cumulative, body.escrow) = (amount(0), [8; 32]));
    let claim = sign(&mut world, &lie).expect("signed");
    assert_eq!(world.lanes(0)[0].held.cumulative.get(), 1_010);
    world.accepted(1, hop, 10, &claim).expect("the payee has got it");
    world.settle();
    assert_eq!(world.lanes(1)[0].landed.get(), 1_010);
}
