//! The way back of a deposit when something is not as it was left: clocks, stores, claims that hang.
use super::closing::short;
use super::world::*;
use magicwave::gateway::link::Role;
use magicwave::gateway::port::LedgerResult;

#[test]
fn a_store_that_was_put_back_finds_out_that_the_deposit_is_on_its_way_or_back() {
    for until in ["refunded", "spent"] {
        let mut world = World::alone(104, 2, 0, &short());
        world.open(0, 1);
        world.run(5);
        let backup = world.backup(0);
        world.close(0);
        world.run_until(0, until);
        world.roll_back(0, backup);
        world.run_until(0, "spent");
        let lane = world.lanes(0)[0].clone();
        assert_eq!((lane.landed.get(), lane.returned.map(|r| r.get())), (0, Some(10 * UNIT)));
        assert_eq!(world.node_balance(0), 1000 * UNIT);
        let view = world.view(&world.nodes[0].wallet.account()).expect("an account");
        assert_eq!(view.sponsoring, 0, "{until}");
    }
}

#[test]
fn a_store_from_before_the_deposit_landed_finds_it_by_the_escrow_itself() {
    let mut world = World::alone(106, 2, 0, &short());
    let relay = world.relay(1);
    world.step(0, |links, now, rng, out| links.want_payee(now, rng, relay, out));
    world.run_until(0, "funding");
    let (backup, escrow) = (world.backup(0), world.lanes(0)[0].escrow);
    world.run_until(0, "open");
    world.close(0);
    world.run_until(0, "refunded");
    world.roll_back(0, backup);
    world.blind = true; // or the look-up of the funding would tell
    world.run(60);
    world.blind = false;
    world.run_until(0, "spent");
    let lane = world.lanes_by(&escrow, Role::Payer).expect("a lane");
    assert_eq!((lane.returned.map(|r| r.get()), world.count(0, "escrow_failed")), (Some(10 * UNIT), 0));
}

#[test]
fn a_refund_that_is_in_a_ledger_and_did_not_apply_is_signed_anew_under_another_name() {
    let mut world = World::alone(107, 2, 0, &short());
    world.open(0, 1);
    world.close(0);
    // Our clock runs ahead of the ledger's, which takes no refund yet.
    let now = world.now_ms;
    world.now_ms += 70_000;
    let tick = |world: &mut World| {
        world.step(0, |links, now, rng, out| links.on_tick(now, rng, out));
        world.drain();
        world.now_ms += 5_000;
    };
    tick(&mut world);
    let tx = world.lanes(0)[0].state.tx().expect("signed").clone();
    let failed = LedgerResult::Landed { ledger: 9, success: false, fee: 300, code: "tx_bad_seq".into() };
    world.landed.insert(tx.hash, failed);
    for _ in 0..40 {
        tick(&mut world);
    }
    let next = world.lanes(0)[0].state.tx().expect("signed anew").clone();
    assert_eq!((tx.fee, next.fee, world.count(0, "refund_failed")), (300, 400, 1));
    world.now_ms = world.now_ms.max(now);
    world.run_until(0, "spent");
    world.all_is_back(0);
}

#[test]
fn a_payee_that_wakes_after_its_time_still_flushes_while_nobody_has_taken_the_deposit_back() {
    let mut world = World::alone(108, 2, 0, &short());
    world.open(0, 1);
    world.pay(0, 1, 700).expect("paid");
    world.close(0);
    world.drop_circuits();
    world.asleep = vec![0, 1];
    world.run(200);
    world.asleep = vec![0];
    world.run(10);
    assert_eq!((world.lanes(1)[0].landed.get(), world.count(1, "claim_lost")), (700, 0));
    world.asleep.clear();
    world.run_until(0, "spent");
    world.all_is_back(0);
}

#[test]
fn what_was_frozen_for_a_flush_that_never_came_stays_with_the_payer_and_in_its_books() {
    let mut world = World::alone(109, 2, 0, &short());
    world.open(0, 1);
    world.pay(0, 1, 700).expect("paid");
    world.min_fee = i64::MAX;
    world.step(1, |links, now, rng, out| links.flush_all(now, rng, out));
    world.drain();
    assert!(world.lanes(0)[0].frozen.is_some());
    (world.asleep, world.down) = (vec![1], vec![1]);
    world.drop_circuits();
    world.min_fee = 0;
    world.close(0);
    world.run_until(0, "spent");
    let lane = world.lanes(0)[0].clone();
    assert_eq!((lane.total.get(), lane.landed.get(), lane.held.cumulative.get()), (700, 0, 700));
    assert_eq!((lane.frozen, world.node_balance(0)), (None, 1000 * UNIT));
    world.check();
    world.asleep.clear();
    world.run(60);
    assert_eq!((world.lanes(1)[0].state.name(), world.count(1, "claim_lost")), ("spent", 1));
}
