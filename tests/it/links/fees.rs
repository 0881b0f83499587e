//! What flushes cost is there when they are due, and nothing is flushed that cannot arrive.
use super::world::*;
use magicwave::gateway::link::{Limits, Readiness, Role};
use magicwave::stellar::asset::Asset;
use magicwave::stellar::template;

/// Native stroops that a node can spend.
fn spendable(world: &World, node: usize) -> u64 {
    let view = world.view(&world.nodes[node].wallet.account()).expect("account");
    let entries = 2 + u64::from(view.subentries) + u64::from(view.sponsoring) - u64::from(view.sponsored);
    view.native.unsigned_abs() - entries * limits().base_reserve
}

/// Leaves a node so many native stroops to spend.
fn leave(world: &mut World, node: usize, stroops: u64) {
    let (key, all) = (world.nodes[node].wallet.account_key(), spendable(world, node));
    world.transact(&key, |source| {
        let rest = amount(all - stroops - 100);
        template::payment(source, &issuer().public(), &Asset::Native, rest).expect("payment")
    });
}

#[test]
fn openings_that_others_ask_for_leave_the_fees_of_our_own_flushes() {
    let mut world = World::new(97, 3, 0, &Limits { flush_interval_secs: 100_000, flush_jitter_secs: 0, ..limits() });
    world.open(0, 1);
    let (start, ceiling, behind) = (world.node_balance(1), limits().fee_ceiling, world.relay(2));
    // Enough for the reserves and the fees of an opening, and a little more.
    let opening = 5 * limits().base_reserve + 11_000;
    leave(&mut world, 1, opening + 9_000);
    world.pay(0, 1, 5 * UNIT).expect("paid");
    for _ in 0..30 {
        world.step(1, |links, now, rng, out| links.want_payee(now, rng, behind, out));
        world.run(1);
    }
    assert_eq!(world.nodes[1].links.can_pay(&behind), Readiness::NoFunds);
    // A moderately busy ledger, and a payer that is away.
    world.min_fee = 50_000;
    (world.asleep, world.down) = (vec![0], vec![0, 1]);
    world.drop_circuits();
    world.run(400);
    assert_eq!(world.node_balance(1) - start, 5 * UNIT, "what was earned has landed");
    assert_eq!(world.lanes(1).iter().filter(|l| l.role == Role::Payer && l.state.name() != "planned").count(), 0);
    // With the fees of two flushes on the lane that pays us and on one more beside it the opening goes on by itself.
    (world.asleep, world.down, world.min_fee) = (vec![], vec![], 0);
    let (key, to) = (magicwave::stellar::keys::SecretSeed::from_bytes(&network().0), world.nodes[1].wallet.account());
    let more = opening + 4 * ceiling - spendable(&world, 1);
    world.transact(&key, |source| template::payment(source, &to, &Asset::Native, amount(more)).expect("payment"));
    for _ in 0..30 {
        world.step(1, |links, now, rng, out| links.want_payee(now, rng, behind, out));
        world.run(1);
    }
    assert_eq!(world.nodes[1].links.can_pay(&behind), Readiness::Ready);
}

#[test]
fn a_flush_waits_until_our_own_account_has_room_for_it() {
    for restart in [false, true] {
        let mut world = World::new(95, 2, 0, &Limits { denomination: amount(1), ..limits() });
        world.open(0, 1);
        let (start, key) = (world.node_balance(1), world.nodes[1].wallet.account_key());
        let limit = |stroops| {
            move |source: &template::Source| template::change_trust(source, &asset(), amount(stroops)).expect("trust")
        };
        world.pay(0, 1, 9 * UNIT).expect("paid");
        world.transact(&key, limit(start + 9 * UNIT - 1));
        world.step(1, |links, now, rng, out| links.flush_all(now, rng, out));
        world.drain();
        // The payer has answered the freeze and goes away.
        (world.asleep, world.down) = (vec![0], vec![0, 1]);
        world.drop_circuits();
        world.run(20);
        if restart {
            world.restart(1);
        }
        world.run(330);
        let count = |world: &World, what| world.nodes[1].events.iter().filter(|e| e.what == what).count();
        assert_eq!((count(&world, "flush_submitted"), count(&world, "flush_failed")), (0, 0));
        assert_eq!(count(&world, "flush_blocked"), 1 + usize::from(restart), "said once by each process");
        assert_eq!(world.nodes[1].links.summary()[0].lanes[0].blocked, Some("MW-ESC-23"));
        // The operator mends it in time: O is ten minutes.
        world.transact(&key, limit(start + 100 * UNIT));
        world.run(10);
        assert_eq!(world.node_balance(1) - start, 9 * UNIT);
        assert_eq!(world.nodes[1].links.summary()[0].lanes[0].blocked, None);
        world.asleep.clear();
        world.settle();
    }
}

#[test]
fn a_flush_that_waits_for_room_ends_with_the_payers_refund() {
    let mut world = World::new(98, 2, 0, &Limits { denomination: amount(1), ..limits() });
    world.open(0, 1);
    let (start, key) = (world.node_balance(1), world.nodes[1].wallet.account_key());
    world.pay(0, 1, 9 * UNIT).expect("paid");
    world.transact(&key, |source| template::change_trust(source, &asset(), amount(start)).expect("trust"));
    world.run(1500);
    let lost: Vec<u64> =
        world.nodes[1].events.iter().filter(|e| e.what == "claim_lost").map(|e| e.amount.get()).collect();
    assert_eq!(lost, [9 * UNIT]);
    assert!(world.lanes(1).iter().all(|l| l.state.is_over()), "it holds no place for good: {:?}", world.lanes(1));
}

#[test]
fn a_flush_does_not_wait_for_good_for_an_account_that_cannot_be_read() {
    let mut world = World::new(99, 2, 0, &limits());
    world.open(0, 1);
    let start = world.node_balance(1);
    world.pay(0, 1, 5_000).expect("paid");
    (world.asleep, world.down, world.flaky) = (vec![0], vec![0, 1], 100);
    world.drop_circuits();
    world.run(430);
    assert_eq!(world.node_balance(1), start);
    world.run(60);
    assert_eq!(world.node_balance(1) - start, 5_000);
}
