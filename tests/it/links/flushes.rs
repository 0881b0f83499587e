use super::world::*;
use magicwave::gateway::core::message::{Carried, Id};

#[test]
fn a_flush_lands_the_rounded_amount_and_carries_the_rest() {
    let mut world = World::new(20, 2, 0, &limits());
    world.open(0, 1);
    let before = world.node_balance(1);
    for _ in 0..10 {
        world.pay(0, 1, 12_345).expect("paid");
    }
    world.step(1, |links, now, rng, out| links.flush_all(now, rng, out));
    world.drain();
    world.pay(0, 1, 55).expect("paid in the next epoch while the flush is under way");
    world.run(5);
    assert_eq!(world.node_balance(1) - before, 123_000);
    let (payer, payee) = (world.lanes(0)[0].clone(), world.lanes(1)[0].clone());
    assert_eq!((payer.epoch, payee.epoch), (1, 1));
    assert_eq!((payer.landed.get(), payee.landed.get()), (123_000, 123_000));
    assert_eq!((payer.held.cumulative.get(), payee.held.cumulative.get()), (505, 505));
    assert_eq!((payee.carry, payee.total.get()), (None, 123_505));
    world.pay(0, 1, 1).expect("paid");
    world.check();
}

#[test]
fn claims_flow_on_while_flushes_follow_their_schedule_and_all_of_it_lands() {
    let mut world = World::new(21, 2, 0, &limits());
    world.open(0, 1);
    let start = world.node_balance(1);
    for _ in 0..250 {
        world.pay_for_sure(0, 1, 777);
        world.run(1);
        world.check();
    }
    let payee = world.lanes(1)[0].clone();
    assert!(payee.epoch >= 3, "one flush a minute: {payee:?}");
    assert_eq!(payee.landed.get() % 1000, 0);
    assert_eq!(payee.total.get(), 250 * 777);
    assert_eq!(world.node_balance(1) - start, payee.landed.get());
}

#[test]
fn lost_payments_of_a_frozen_epoch_are_carried_and_land_later() {
    let mut world = World::new(22, 2, 0, &Limits { denomination: amount(1), ..limits() });
    world.open(0, 1);
    let start = world.node_balance(1);
    world.pay(0, 1, 5000).expect("paid");
    let hop = world.hop();
    let late = world.signed(0, 1, hop, 300).expect("signed, and its carrier is slow");
    world.step(1, |links, now, rng, out| links.flush_all(now, rng, out));
    world.run(4);
    assert_eq!(world.lanes(0)[0].landed.get(), 5000);
    assert_eq!(world.lanes(1)[0].held.cumulative.get(), 300, "the payer carried what the payee never saw");
    world.accepted(1, hop, 300, &late).expect("the old claim still buys its credit");
    world.settle();
    assert_eq!(world.node_balance(1) - start, 5300);
}

#[test]
fn a_flush_that_fails_on_the_ledger_is_signed_anew_as_a_whole() {
    let mut world = World::new(23, 2, 0, &Limits { denomination: amount(1), ..limits() });
    world.open(0, 1);
    world.pay(0, 1, 4000).expect("paid");
    let (start, key) = (world.node_balance(1), world.nodes[1].wallet.account_key());
    let limit =
        |stroops| move |source: &Source| template::change_trust(source, &asset(), amount(stroops)).expect("trust");
    world.step(1, |links, now, rng, out| links.flush_all(now, rng, out));
    // There was room when the payee looked.
    world.drain_with(|world| world.transact(&key, limit(start)));
    world.run(4);
    let (payer, payee) = (world.lanes(0)[0].clone(), world.lanes(1)[0].clone());
    assert_eq!((payer.landed.get(), payee.landed.get()), (0, 0));
    assert_eq!((payer.epoch, payer.held.cumulative.get(), payee.held.cumulative.get()), (1, 4000, 4000));
    assert!(world.nodes[1].events.iter().any(|e| e.what == "flush_failed" && e.fee > 0));
    world.check();
    world.transact(&key, limit(start + UNIT));
    world.pay(0, 1, 1).expect("paid");
    world.settle();
    assert_eq!(world.node_balance(1) - start, 4001);
}

#[test]
fn a_payee_flushes_alone_before_the_clock_runs_out_and_the_payer_finds_out() {
    let mut world = World::new(24, 2, 0, &limits());
    world.open(0, 1);
    let start = world.node_balance(1);
    world.pay(0, 1, 12_345).expect("paid");
    world.down = vec![1]; // the payer cannot come back
    world.drop_circuits();
    world.run(400); // O is 600 s
    assert_eq!(world.node_balance(1) - start, 12_345, "the newest plain claim, unrounded");
    assert_eq!(world.lanes(0)[0].landed.get(), 0, "the payer has not looked");
    world.down.clear();
    world.pay_for_sure(0, 1, 55);
    world.check();
    assert_eq!(world.lanes(0)[0].landed.get(), 12_345);
}

#[test]
fn past_half_of_the_period_claims_count_only_once_they_landed() {
    let mut world = World::new(25, 2, 0, &limits());
    world.open(0, 1);
    world.pay(0, 1, 1_000).expect("paid");
    let hop = world.hop();
    let claim = world.signed(0, 1, hop, 2_000).expect("signed");
    world.now_ms += 301_000;
    assert_eq!(world.accepted(1, hop, 2_000, &claim), Err(RefusalCode::FLUSH_PENDING));
    let other = world.hop();
    assert_eq!(world.signed(0, 1, other, 10), Err(RefusalCode::FLUSH_PENDING));
    assert_eq!((world.lanes(1)[0].total.get(), world.lanes(1)[0].landed.get()), (1_000, 0));
    // The payee brings what it holds to the ledger, its clock begins anew, and the payer signs the rest once more.
    world.run(8);
    assert_eq!((world.lanes(1)[0].total.get(), world.lanes(1)[0].landed.get()), (1_000, 1_000));
    assert_eq!(world.accepted(1, hop, 2_000, &claim).map(|info| info.credited.get()), Ok(3_000));
    world.pay(0, 1, 10).expect("paid");
    world.step(1, |links, now, rng, out| links.flush_all(now, rng, out));
    world.run(5);
    assert_eq!(world.lanes(1)[0].landed.get(), 3_000);
    world.check();
}

#[test]
fn a_busy_ledger_gets_a_higher_fee_for_the_same_claim_up_to_the_ceiling() {
    let mut world = World::new(26, 2, 0, &limits());
    world.open(0, 1);
    world.pay(0, 1, 9000).expect("paid");
    world.min_fee = 1500;
    world.step(1, |links, now, rng, out| links.flush_all(now, rng, out));
    world.run(4);
    assert_eq!(world.lanes(1)[0].landed.get(), 9000);
    world.pay(0, 1, 9000).expect("paid");
    world.min_fee = 1_000_000;
    world.step(1, |links, now, rng, out| links.flush_all(now, rng, out));
    world.run(10);
    let lane = world.lanes(1)[0].clone();
    assert_eq!(lane.landed.get(), 9000);
    let flush = lane.frozen.and_then(|f| f.flush).expect("still waiting");
    assert_eq!(flush.tx.fee, limits().fee_ceiling);
    world.min_fee = 0;
    world.run(10);
    assert_eq!(world.lanes(1)[0].landed.get(), 18_000);
    world.check();
}

use magicwave::gateway::core::message::RefusalCode;
use magicwave::gateway::link::Limits;
use magicwave::stellar::template::{self, Source};

/// What a flush leaves over is a promise until the payer has signed it anew.
#[test]
fn what_is_signed_onwards_is_covered_by_what_landed_and_what_is_held() {
    let mut world = World::new(24, 2, 0, &limits());
    world.open(0, 1);
    let paid = |world: &mut World, stroops: u64| {
        let hop = world.hop();
        let claim = world.signed(0, 1, hop, stroops).expect("signed");
        world.accepted(1, hop, stroops, &claim).expect("credited");
        (hop, claim)
    };
    let onwards = |world: &mut World, (hop, claim): &(Id, Carried), stroops: u64| {
        let asked = world.step(1, |links, _, _, out| {
            links.covers(hop, claim, amount(stroops)).map(|()| links.forwarded(hop, claim, amount(stroops), out))
        });
        asked.expect("alive")
    };
    let first = paid(&mut world, 100_999);
    assert_eq!(onwards(&mut world, &first, 101_000), Err(RefusalCode::FLUSH_PENDING));
    assert_eq!(onwards(&mut world, &first, 100_999), Ok(()));
    // The payer answers the freeze and goes away; what landed is rounded.
    world.step(1, |links, now, rng, out| links.flush_all(now, rng, out));
    world.drain();
    world.asleep = vec![0];
    world.down = vec![0, 1];
    world.drop_circuits();
    let frozen = paid(&mut world, 500);
    assert_eq!(onwards(&mut world, &frozen, 500), Err(RefusalCode::FLUSH_PENDING));
    world.run(5);
    assert_eq!(world.lanes(1)[0].landed.get(), 100_000);
    let later = paid(&mut world, 1_000);
    assert_eq!(onwards(&mut world, &later, 1_000), Err(RefusalCode::FLUSH_PENDING));
    assert_eq!(onwards(&mut world, &later, 501), Ok(()), "what the node kept for itself covers it");
    world.restart(1);
    assert_eq!(onwards(&mut world, &later, 1), Err(RefusalCode::FLUSH_PENDING));
    assert_eq!(world.lanes(1)[0].total.get(), 102_499, "all of it buys the node's own service");
    // It comes back and signs what was left over.
    world.asleep.clear();
    world.down.clear();
    let relay = world.relay(1);
    for _ in 0..10 {
        world.step(0, |links, now, rng, out| links.want_payee(now, rng, relay, out));
        world.run(3);
    }
    assert_eq!(onwards(&mut world, &frozen, 500), Ok(()));
    assert_eq!(onwards(&mut world, &later, 499), Ok(()));
    assert_eq!(onwards(&mut world, &later, 1), Err(RefusalCode::FLUSH_PENDING), "nothing is left");
    world.check();
}

#[test]
fn a_lane_from_before_forwarding_was_counted_is_read() {
    let mut world = World::new(25, 2, 0, &limits());
    world.open(0, 1);
    let row = serde_json::to_value(&world.lanes(1)[0]).expect("json");
    let mut old = row.as_object().expect("an object").clone();
    assert!(old.remove("forwarded").is_some());
    let old: magicwave::gateway::link::EscrowRow = serde_json::from_value(old.into()).expect("a row of before");
    assert_eq!(old, world.lanes(1)[0]);
}

#[test]
fn flushes_come_at_times_that_no_payment_tells() {
    let mut gaps = std::collections::BTreeSet::new();
    for seed in 40..52 {
        let limits = Limits { flush_jitter_secs: 60, period_secs: 6000, denomination: amount(1), ..limits() };
        let mut world = World::new(seed, 2, 0, &limits);
        world.open(0, 1);
        world.run(2);
        let start = world.now_ms;
        world.pay(0, 1, 500).expect("paid");
        while world.count(1, "flush_submitted") == 0 {
            world.run(1);
            assert!(world.now_ms - start <= 121_000, "an interval and its jitter at most");
        }
        let gap = (world.now_ms - start) / 1000;
        assert!(gap >= 57, "an interval at least, less what ran before: {gap}");
        gaps.insert(gap);
    }
    assert!(gaps.len() >= 6 && gaps.last() > Some(&80), "{gaps:?}");
}

#[test]
fn an_epoch_that_is_due_takes_no_new_locks() {
    let limits = Limits { flush_jitter_secs: 0, period_secs: 6000, denomination: amount(1), ..limits() };
    let mut world = World::new(53, 2, 0, &limits);
    world.open(0, 1);
    world.pay(0, 1, 500).expect("paid");
    world.run(2);
    let from = world.payer_ref(0, 1);
    let template = |world: &mut World| {
        let hop = world.hop();
        let made = world.step(1, |links, now, rng, _| links.lock_template(now, rng, from, hop, amount(9)));
        made.expect("alive").map(|_| ())
    };
    assert_eq!(template(&mut world), Ok(()));
    // Its time comes while the payee has no moment to flush.
    world.asleep = vec![1];
    world.run(61);
    assert_eq!(template(&mut world), Err(RefusalCode::FLUSH_PENDING));
    world.asleep.clear();
    world.run(6);
    assert_eq!((world.lanes(1)[0].landed.get(), template(&mut world)), (500, Ok(())));
}
