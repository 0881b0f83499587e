//! Review: money that is lost.
use super::world::*;
use magicwave::gateway::core::message::*;
use magicwave::gateway::link::{EscrowState, Limits, Readiness};
use magicwave::stellar::template::{self, Source};

fn events(world: &World, node: usize, what: &str) -> u64 {
    world.nodes[node].events.iter().filter(|e| e.what == what).map(|e| e.amount.get()).sum()
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
