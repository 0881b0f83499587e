//! Payments go on while a node flushes what it holds, and what it signs onwards is never a mere promise of its payer.
use super::world::*;
use crate::links::world::amount;
use magicwave::gateway::chain::PaymentState;
use magicwave::gateway::core::message::{Message, RefusalCode};
use magicwave::gateway::link::{EscrowRow, Limits, Role};
use magicwave::gateway::port::Event;

/// A flush rounds down to this: more than half of what comes in before it, less than what of that goes onwards.
const DENOMINATION: u64 = 3_600_000;

fn lane(world: &World) -> EscrowRow {
    world.lanes(N1).into_iter().find(|l| l.role == Role::Payee).expect("the client's lane")
}

fn refused(world: &World) -> usize {
    let pending = |m: &Message| matches!(m, Message::Refusal(r) if r.code == RefusalCode::FLUSH_PENDING);
    world.log.iter().filter(|(from, _, m)| *from == N1 && pending(m)).count()
}

#[test]
fn nothing_is_signed_onwards_against_what_a_flush_leaves_over_and_an_honest_payer_is_soon_through() {
    let usual = Setup::default();
    // Increments stay small, so that what the node keeps for itself soon covers no more.
    let limits = Limits {
        denomination: amount(DENOMINATION),
        late_limit: amount(DENOMINATION),
        deposit: amount(16_000_000),
        ..usual.limits
    };
    let mut world = World::open(Setup { limits, ..usual });
    let circ = world.stream();
    // Until more went onwards than a flush is going to land.
    while lane(&world).total.get() < DENOMINATION || lane(&world).forwarded.get() <= DENOMINATION {
        world.flow_for_sure(circ, 40, 30);
    }
    let over = lane(&world).total.get() % DENOMINATION;
    assert!(over > 0 && lane(&world).total.get() < 2 * DENOMINATION, "{over}");
    world.event(N1, Event::Flush);
    world.drain();
    assert!(lane(&world).frozen.is_some());
    // In the same second the ledger cannot have closed.
    for _ in 0..1000 {
        if refused(&world) > 0 {
            break;
        }
        world.flow(circ, 40);
    }
    assert!(refused(&world) > 0, "{:?}", lane(&world));
    let row = lane(&world);
    assert!(row.forwarded.get() <= DENOMINATION + row.held.cumulative.get(), "{row:?}");
    // It lands, the payer signs anew what is left, and the client says it again.
    let before = world.nodes[N1].hops.len();
    world.run(8);
    let row = lane(&world);
    assert_eq!((row.frozen.is_some(), row.landed.get()), (false, DENOMINATION));
    assert!(world.nodes[N1].hops.len() >= before && refused(&world) == 1);
    world.flow_for_sure(circ, 2_000, 30);
    world.run(10);
    assert!(world.nodes[CLIENT].payments.values().all(|p| p.state == PaymentState::Complete), "nothing got lost");
    let onwards: u64 = world.lanes(N1).iter().filter(|l| l.role == Role::Payee).map(|l| l.forwarded.get()).sum();
    assert_eq!(onwards, world.books(N1).1, "all that was signed onwards is counted");
    world.check();
}
