//! Review: money that is lost.
use super::world::*;
use magicwave::gateway::core::message::*;
use magicwave::gateway::link::{EscrowState, Limits, Readiness};
use magicwave::stellar::template::{self, Source};

fn events(world: &World, node: usize, what: &str) -> u64 {
    world.nodes[node].events.iter().filter(|e| e.what == what).map(|e| e.amount.get()).sum()
}

/// F2: payer with an old backup counts a carry twice.
#[test]
fn me_payer_backup_pays_carry_twice() {
    let mut world = World::new(91, 2, 0, &Limits { denomination: amount(1), ..limits() });
    world.open(0, 1);
    let start = world.node_balance(1);
    world.pay(0, 1, 2 * UNIT).expect("paid");
    let old = world.backup(0);
    let (room, key) = (world.node_balance(1), world.nodes[1].wallet.account_key());
    let limit =
        |stroops| move |source: &Source| template::change_trust(source, &asset(), amount(stroops)).expect("trust");
    world.step(1, |links, now, rng, out| links.flush_all(now, rng, out));
    world.drain_with(|world| world.transact(&key, limit(room)));
    world.run(4);
    assert_eq!(world.lanes(1)[0].held.cumulative.get(), 2 * UNIT, "failed and carried");
    world.transact(&key, limit(room + 100 * UNIT));
    world.pay(0, 1, 500).expect("paid");
    // The store is put back, and the ledger answers late.
    world.flaky = 100;
    world.roll_back(0, old);
    let relay = world.relay(1);
    world.step(0, |links, now, rng, out| links.want_payee(now, rng, relay, out));
    world.run(20);
    println!("payer after re-establishing: {:?}", world.lanes(0)[0]);
    world.flaky = 0;
    world.run(10);
    for _ in 0..40 {
        world.step(0, |links, now, rng, out| links.want_payee(now, rng, relay, out));
        world.run(3);
        world.step(1, |links, now, rng, out| links.flush_all(now, rng, out));
        world.drain();
    }
    println!("payer {:?}\npayee {:?}", world.lanes(0)[0], world.lanes(1)[0]);
    println!("credited {}", events(&world, 1, "claim_accepted"));
    assert_eq!(world.node_balance(1) - start, 2 * UNIT + 500, "what was paid lands once");
}

/// F2b: the same with a flush that only rounds.
#[test]
fn me_payer_backup_pays_rounding_twice() {
    let mut world = World::new(92, 2, 0, &limits());
    world.open(0, 1);
    let start = world.node_balance(1);
    world.pay(0, 1, 100_999).expect("paid");
    let old = world.backup(0);
    world.step(1, |links, now, rng, out| links.flush_all(now, rng, out));
    world.run(5);
    world.pay(0, 1, 2_000).expect("paid");
    world.flaky = 100;
    world.roll_back(0, old);
    let relay = world.relay(1);
    world.step(0, |links, now, rng, out| links.want_payee(now, rng, relay, out));
    world.run(20);
    world.flaky = 0;
    for _ in 0..40 {
        world.step(0, |links, now, rng, out| links.want_payee(now, rng, relay, out));
        world.run(3);
        world.step(1, |links, now, rng, out| links.flush_all(now, rng, out));
        world.drain();
    }
    println!("payer {:?}\npayee {:?}", world.lanes(0)[0], world.lanes(1)[0]);
    assert_eq!(world.lanes(0)[0].total.get(), 102_999, "the payer's own books");
    assert!(world.node_balance(1) - start <= 102_999);
}

/// F4: one tick with a clock that is ahead ends the payee's lanes for good.
#[test]
fn me_payee_clock_jump() {
    let mut world = World::new(94, 2, 0, &limits());
    world.open(0, 1);
    world.step(1, |links, now, rng, out| links.on_tick(now + 700_000, rng, out));
    world.drain();
    world.run(5);
    let paid = world.pay(0, 1, 1_000);
    println!("{paid:?} {:?} {:?}", world.lanes(0)[0].state, world.lanes(1)[0].state);
    assert!(paid.is_ok());
}

/// F6: a server that answers "no such account" for a while makes the payer write its deposit off for good.
#[test]
fn me_deposit_written_off_after_a_minute_of_not_found() {
    let mut world = World::new(96, 2, 0, &limits());
    world.open(0, 1);
    let (before, escrow) = (world.node_balance(0), world.lanes(0)[0].escrow);
    world.down = vec![0, 1];
    world.drop_circuits();
    world.run(590);
    world.flaky = 100;
    world.run(60);
    world.flaky = 0;
    world.run(3000);
    println!("{:?} {:?} E holds {}", world.lanes(0)[0].state, world.lanes(0)[0].returned, world.balance(&escrow));
    assert_eq!(world.node_balance(0) - before, 10 * UNIT, "the deposit is back");
}
