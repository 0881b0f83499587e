//! Passes that die after the client signed: who counts as paid, what it costs, and when it ends.
use super::world::*;
use magicwave::gateway::chain::PaymentState;
use magicwave::gateway::port::CircuitId;

const SIGN: u8 = 6;
const SIGNED: u8 = 7;
const DELIVER: u8 = 8;
const DELIVERED: u8 = 9;

/// Passes that were signed and given up.
fn abandoned(world: &World) -> usize {
    world.nodes[CLIENT].payments.values().filter(|p| p.state == PaymentState::Abandoned).count()
}

/// What a hop's sessions were credited for carrying.
fn credited(world: &World, node: usize) -> u64 {
    let fee = |h: &magicwave::gateway::chain::HopRow| if h.amount_out.is_zero() { 0 } else { FEE };
    world.nodes[node].hops.iter().map(|h| h.amount_in.get() - h.amount_out.get() - fee(h)).sum()
}

/// What the client thinks that a hop was paid on this circuit.
fn counts_as_paid(world: &World, circ: CircuitId, node: usize) -> u64 {
    let status = world.nodes[CLIENT].gateway.status();
    status.circuits.iter().find(|c| c.circ == circ).expect("the circuit").hops[node].paid.get()
}

fn increment(world: &World) -> u64 {
    world.nodes[CLIENT].payments.values().map(|p| p.total.get()).max().unwrap_or(0)
}

/// A circuit on which messages of this kind from or to a node are lost until so many signed passes died of it.
fn failing(node: usize, kind: u8, passes: usize) -> (World, CircuitId) {
    let mut world = World::open(Setup::default());
    world.deaf.insert((node, kind));
    let circ = world.stream();
    for _ in 0..200 {
        if abandoned(&world) >= passes {
            world.deaf.clear();
            return (world, circ);
        }
        world.flow(circ, 100);
        world.run(1);
    }
    panic!("{:#?}", world.nodes[CLIENT].gateway.status());
}

#[test]
fn a_circuit_goes_on_after_passes_that_never_reached_its_hops() {
    for (node, kind) in [(N1, SIGN), (N2, SIGN), (N1, SIGNED), (N2, SIGNED), (N3, DELIVER), (N3, DELIVERED)] {
        let (mut world, circ) = failing(node, kind, 3);
        println!("node {node}, kind {kind}");
        // The pause after a third failure between the same neighbours.
        world.flow_for_sure(circ, 4000, 200);
        // The nodes ask once more, so that each has said what it got.
        world.run(10);
        world.check();
        for hop in [N1, N2, N3] {
            let (got, paid) = (credited(&world, hop), counts_as_paid(&world, circ, hop));
            assert_eq!(paid, got, "hop {hop} counts as paid for what it was credited");
            // Nobody has more than what it carried, a window ahead, and one increment of what was taken for lost.
            let carried = PRICE.of_cells(world.routes[&circ].counted[hop].total()).expect("an amount").get();
            let most = carried + 2 * u64::from(WINDOW) * 8 + increment(&world);
            assert!(got <= most, "hop {hop} got {got} for {carried}");
        }
        let lost = world.spent() - world.books(N1).0;
        assert!(lost <= 3 * increment(&world), "one increment at most for each failure: {lost}");
    }
}

#[test]
fn a_hop_that_signs_nothing_onwards_costs_four_increments_and_then_the_circuit_is_not_paid_from_there_on() {
    let mut world = World::open(Setup::default());
    world.deaf.insert((N2, SIGN));
    let circ = world.stream();
    let mut at = Vec::new();
    for second in 0..400u64 {
        world.flow(circ, 100);
        world.run(1);
        if abandoned(&world) > at.len() {
            at.push(second);
        }
    }
    assert_eq!(at.len(), 4, "{at:?}");
    let pauses: Vec<u64> = at.windows(2).map(|w| w[1] - w[0]).collect();
    assert!(pauses.windows(2).all(|w| w[1] > w[0]), "longer each time: {pauses:?}");
    let tail: Vec<_> = world.nodes[CLIENT].payments.values().filter(|p| p.payees.len() == 3).collect();
    assert_eq!(tail.len(), 4, "each pass beyond the hop died of it, and none was begun after the fourth");
    let (spent, lost) = (world.spent(), world.nodes[CLIENT].payments.len());
    world.deaf.clear();
    world.run(100);
    assert_eq!((world.spent(), world.nodes[CLIENT].payments.len()), (spent, lost), "it stays so");
    // Another circuit over the same neighbours is not paid beyond them for a while: it would lose the same again.
    let circ = world.stream();
    world.flow(circ, 2000);
    world.run(30);
    assert_eq!((abandoned(&world), credited(&world, N3)), (4, 0));
    assert!(counts_as_paid(&world, circ, N2) > 0, "the hops before them are paid");
    world.run(640);
    world.flow_for_sure(circ, 2000, 60);
    assert!(credited(&world, N3) > 0);
    world.check();
}

#[test]
fn what_a_pass_under_way_confirmed_is_not_taken_back() {
    // N1 and N2 signed, the last hop never answers.
    let (world, circ) = failing(N3, DELIVER, 1);
    for hop in [N1, N2] {
        assert!(counts_as_paid(&world, circ, hop) > 0 && credited(&world, hop) > 0, "hop {hop}");
        assert_eq!(counts_as_paid(&world, circ, hop), credited(&world, hop));
    }
    assert_eq!((counts_as_paid(&world, circ, N3), credited(&world, N3)), (0, 0));
}
