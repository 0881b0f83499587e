//! The way back of a deposit, with the payer or the payee dying at each step of it, before its rows are durable or after.
use super::closing::short;
use super::world::*;

/// Pays, flushes, closes; `victim` dies at step `at` from shortly before the refund on. True when it lived to see it.
fn dies(victim: usize, at: u32, before: bool, blind: bool) -> bool {
    let mut world = World::alone(u64::from(at) + 300, 2, 0, &short());
    world.open(0, 1);
    world.pay(0, 1, 4321).expect("paid");
    world.run(20);
    assert_eq!(world.lanes(1)[0].landed.get(), 4321);
    world.close(0);
    let due = (world.lanes(0)[0].seq_time + 60) * 1000;
    while world.now_ms + 3000 < due {
        world.run(1);
    }
    world.blind = blind;
    world.nodes[victim].crash = Some((at, before));
    world.run(40);
    let died = world.nodes[victim].crashes > 0;
    world.nodes[victim].crash = None;
    world.run(80);
    world.all_is_back(0);
    assert_eq!((world.node_balance(0), world.node_balance(1)), (1000 * UNIT - 4321, 1000 * UNIT + 4321));
    assert_eq!((world.lanes(1)[0].state.name(), world.count(1, "claim_lost")), ("spent", 0));
    if !blind {
        // Each landed once: R 300 and the reclaim 300.
        let fees = |what: &str| world.nodes[0].events.iter().filter(|e| e.what == what).map(|e| e.fee).sum::<u64>();
        assert_eq!((fees("escrow_refunded"), fees("escrow_reclaimed")), (300, 300));
    }
    died
}

fn dies_everywhere(victim: usize, before: bool, blind: bool) {
    let steps = (0..).take_while(|at| dies(victim, *at, before, blind)).count();
    assert!(steps >= 35, "the way back has more steps than {steps}");
}

#[test]
fn a_payer_that_dies_before_any_commit_gets_its_deposit_back_once() {
    dies_everywhere(0, true, false);
}

#[test]
fn a_payer_that_dies_after_any_commit_gets_its_deposit_back_once() {
    dies_everywhere(0, false, false);
}

#[test]
fn a_payer_that_dies_while_no_lookup_finds_anything_gets_its_deposit_back_once() {
    dies_everywhere(0, true, true);
    dies_everywhere(0, false, true);
}

#[test]
fn a_payee_that_dies_while_the_deposit_goes_back_loses_nothing() {
    dies_everywhere(1, true, false);
    dies_everywhere(1, false, false);
}
