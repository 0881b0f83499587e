//! Ends a node at each of its steps, before the step's rows are durable and after (its effects lost in both cases).
use super::world::*;

/// Opens, pays, flushes twice, with `victim` dying at step `at`; true when it lived to see that step.
fn dies(victim: usize, at: u32, before: bool) -> bool {
    let mut world = World::new(u64::from(at) + 1, 2, 0, &Limits { denomination: amount(1), ..limits() });
    world.nodes[victim].crash = Some((at, before));
    let start = world.node_balance(1);
    let mut sum = 0;
    for stroops in [1000, 200, 30, 4] {
        world.pay_for_sure(0, 1, stroops);
        sum += stroops;
        world.check();
        if stroops != 200 {
            world.step(1, |links, now, rng, out| links.flush_all(now, rng, out));
            world.drain();
        }
    }
    world.run(3);
    let died = world.nodes[victim].crashes > 0;
    world.settle();
    let (payer, payee) = (world.lanes(0), world.lanes(1));
    let total = |lanes: &[EscrowRow]| lanes.iter().map(|l| l.total.get()).sum::<u64>();
    assert_eq!((total(&payer), total(&payee)), (sum, sum), "signed and credited exactly once");
    assert_eq!(world.node_balance(1) - start, sum, "landed exactly once");
    died
}

fn dies_everywhere(victim: usize, before: bool) {
    let steps = (0..).take_while(|at| dies(victim, *at, before)).count();
    assert!(steps > 25, "the scenario has more steps than {steps}");
}

#[test]
fn a_payer_that_dies_before_any_commit_loses_nothing_and_pays_nothing_twice() {
    dies_everywhere(0, true);
}

#[test]
fn a_payer_that_dies_after_any_commit_loses_nothing_and_pays_nothing_twice() {
    dies_everywhere(0, false);
}

#[test]
fn a_payee_that_dies_before_any_commit_loses_nothing_and_is_paid_nothing_twice() {
    dies_everywhere(1, true);
}

#[test]
fn a_payee_that_dies_after_any_commit_loses_nothing_and_is_paid_nothing_twice() {
    dies_everywhere(1, false);
}

use magicwave::gateway::link::{EscrowRow, Limits};
