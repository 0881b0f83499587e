use super::world::*;

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
