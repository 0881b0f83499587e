//! Random schedules: payments both ways, lost carriers, flushes, crashes, cut circuits, a lossy and repeating network,
//! an unreliable ledger. Whatever happens, the books hold at every step, and in the end everything signed has landed.
use super::world::*;
use magicwave::gateway::core::message::RefusalCode;
use magicwave::gateway::link::{EscrowRow, Limits, Role};
use magicwave::units::Stroops;
use proptest::prelude::*;

#[derive(Clone, Debug)]
enum Act {
    Pay { forth: bool, stroops: u64 },
    Lose { forth: bool, stroops: u64 },
    Flush { node: usize },
    Wait { secs: u64 },
    Crash { node: usize, steps: u32, before: bool },
    Cut,
    Weather { loss: u32, repeat: u32, reorder: bool, unknown: u32 },
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        8 => (any::<bool>(), 1u64..50_000).prop_map(|(forth, stroops)| Act::Pay { forth, stroops }),
        2 => (any::<bool>(), 1u64..50_000).prop_map(|(forth, stroops)| Act::Lose { forth, stroops }),
        3 => (0usize..2).prop_map(|node| Act::Flush { node }),
        4 => (1u64..90).prop_map(|secs| Act::Wait { secs }),
        2 => (0usize..2, 0u32..12, any::<bool>()).prop_map(|(node, steps, before)| Act::Crash { node, steps, before }),
        1 => Just(Act::Cut),
        1 => (0u32..30, 0u32..30, any::<bool>(), 0u32..30)
            .prop_map(|(loss, repeat, reorder, unknown)| Act::Weather { loss, repeat, reorder, unknown }),
    ]
}

fn play(seed: u64, acts: &[Act]) {
    // Small deposits make for many lanes.
    let deposit = if seed.is_multiple_of(2) { limits().deposit } else { amount(200_000) };
    let limits = Limits { denomination: amount(1), deposit, min_deposit: amount(1), ..limits() };
    let mut world = World::new(seed, 2, 0, &limits);
    let start = [world.node_balance(0), world.node_balance(1)];
    let (mut paid, mut signed, mut perhaps) = ([0u64; 2], [0u64; 2], [0u64; 2]);
    for act in acts {
        match act.clone() {
            Act::Pay { forth, stroops } => {
                let (payer, payee) = if forth { (0, 1) } else { (1, 0) };
                world.pay_for_sure(payer, payee, stroops);
                paid[payee] += stroops;
            }
            Act::Lose { forth, stroops } => {
                let (payer, payee) = if forth { (0, 1) } else { (1, 0) };
                let hop = world.hop();
                match world.signed(payer, payee, hop, stroops) {
                    Ok(_) => signed[payer] += stroops,
                    Err(RefusalCode::INTERNAL) => perhaps[payer] += stroops, // it died, before or after the commit
                    Err(_) => {}
                }
            }
            Act::Flush { node } => {
                world.step(node, |links, now, rng, out| links.flush_all(now, rng, out));
                world.drain();
            }
            Act::Wait { secs } => world.run(secs),
            Act::Crash { node, steps, before } => world.nodes[node].crash = Some((steps, before)),
            Act::Cut => world.drop_circuits(),
            Act::Weather { loss, repeat, reorder, unknown } => {
                world.chaos = Chaos { loss, repeat, reorder, unknown };
            }
        }
        world.check();
    }
    world.settle();
    let sum = |node: usize, role, part: fn(&EscrowRow) -> Stroops| -> u64 {
        world.lanes(node).iter().filter(|l| l.role == role).map(|l| part(l).get()).sum()
    };
    for (payer, payee) in [(0, 1), (1, 0)] {
        let credited = sum(payee, Role::Payee, |l| l.total);
        assert_eq!(credited, paid[payee], "each payment is credited exactly once");
        let owed = sum(payer, Role::Payer, |l| l.total);
        let least = paid[payee] + signed[payer];
        assert!((least..=least + perhaps[payer]).contains(&owed), "what was signed is owed, once: {least} {owed}");
        let landed = sum(payee, Role::Payee, |l| l.landed);
        assert!(credited <= landed && landed <= owed, "{credited} {landed} {owed}");
        // To the stroop on the ledger: what came in, less what lies in escrows or left them.
        // What is back from escrows that ended is in the balance.
        let own = world.lanes(payee);
        let paid = |l: &EscrowRow| world.lanes_by(&l.escrow, Role::Payee).map_or(0, |l| l.landed.get());
        let out: u64 = own.iter().filter(|l| l.role == Role::Payer).map(|l| world.balance(&l.escrow) + paid(l)).sum();
        assert_eq!(world.node_balance(payee) + out, start[payee] + landed);
    }
    // And then all that is left in escrows comes back.
    for node in [0, 1] {
        world.close(node);
    }
    for node in [0, 1] {
        world.run_until_back(node);
        world.all_is_back(node);
        assert_eq!(world.count(node, "claim_lost"), 0);
    }
    let sum = |world: &World| world.node_balance(0) + world.node_balance(1);
    assert_eq!(sum(&world), start[0] + start[1]);
}

/// The same with a period of a minute and an operator who keeps closing all links; payments are tried once.
fn play_closing(seed: u64, acts: &[Act]) {
    let mut world = World::new(seed, 2, 0, &super::closing::short());
    world.mute = seed.is_multiple_of(2);
    let sum = |world: &World| world.node_balance(0) + world.node_balance(1);
    let start = sum(&world);
    for (place, act) in acts.iter().enumerate() {
        match act.clone() {
            Act::Pay { forth, stroops } | Act::Lose { forth, stroops } => {
                let (payer, payee) = if forth { (0, 1) } else { (1, 0) };
                let relay = world.relay(payee);
                world.step(payer, |links, now, rng, out| links.want_payee(now, rng, relay, out));
                world.run(6);
                let _ = world.pay(payer, payee, stroops); // whether there is a link now is not the point
            }
            Act::Flush { node } => drop(world.close(node)),
            Act::Wait { secs } => world.run(secs),
            Act::Crash { node, steps, before } => world.nodes[node].crash = Some((steps, before)),
            Act::Cut => world.drop_circuits(),
            Act::Weather { loss, repeat, reorder, unknown } => {
                world.chaos = Chaos { loss, repeat, reorder, unknown };
                world.blind = place % 3 == 0;
            }
        }
        world.check();
    }
    (world.chaos, world.blind) = (Chaos::default(), false);
    for node in [0, 1] {
        world.nodes[node].crash = None;
        world.close(node);
    }
    for node in [0, 1] {
        world.run_until_back(node);
        world.all_is_back(node);
        // Flushes keep well ahead of refunds, whatever the weather.
        assert_eq!(world.count(node, "claim_lost"), 0);
    }
    assert_eq!(sum(&world), start);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, max_shrink_iters: 40, ..ProptestConfig::default() })]

    #[test]
    fn no_schedule_keeps_a_deposit_from_coming_back_once(seed: u64, acts in prop::collection::vec(act(), 10..60)) {
        play_closing(seed, &acts);
    }

    #[test]
    fn no_schedule_loses_a_stroop(seed: u64, acts in prop::collection::vec(act(), 10..40)) {
        play(seed, &acts);
    }
}
