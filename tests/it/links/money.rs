//! Review: money that is lost.
use super::world::*;

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
