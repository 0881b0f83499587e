//! One asset per chain: where two meet, nothing is signed from the one to the other.
use super::world::*;
use magicwave::gateway::core::message::{Message, RefusalCode};
use magicwave::gateway::port::Answer;

const RELAYS: [usize; 3] = [N1, N2, N3];

/// A world with one odd relay; all other neighbours have their links. A circuit that was used for a while.
fn used(odd: usize, says: bool) -> World {
    let mut world = World::new(Setup { odd: Some((odd, says)), ..Setup::default() });
    for (payer, payee) in [(CLIENT, N1), (N1, N2), (N2, N3)] {
        if payer != odd && payee != odd {
            world.link(payer, payee);
        }
    }
    let circ = world.stream();
    for _ in 0..30 {
        world.flow(circ, 100);
        world.run(1);
    }
    world.check();
    world
}

fn wrong_asset(message: &Message) -> bool {
    matches!(message, Message::Refusal(no) if no.code == RefusalCode::WRONG_ASSET)
}

/// Nothing was signed for the odd one, by it, or behind it.
fn nothing_from(world: &World, odd: usize) {
    for node in odd..=N3 {
        assert_eq!((world.books(node), world.nodes[node].hops.len()), ((0, 0), 0), "node {node} behind {odd}");
    }
    let before = odd.checked_sub(1).unwrap_or(CLIENT);
    let signed: u64 = if odd == N1 { world.spent() } else { world.books(before).1 };
    assert_eq!(signed, 0, "{before} signed for {odd}");
    assert!(world.lanes(odd).is_empty(), "no escrow of {odd} or for it");
}

#[test]
fn a_relay_that_sells_for_another_asset_says_so_and_its_circuit_is_left_unpaid() {
    for odd in RELAYS {
        let world = used(odd, true);
        nothing_from(&world, odd);
        assert!(world.log.iter().any(|(who, _, m)| *who == odd && wrong_asset(m)), "{odd} says why");
        assert!(world.refused(false).contains(&RefusalCode::WRONG_ASSET), "{:?}", world.refused(false));
        // A circuit that stands still at one hop is paid at none.
        assert_eq!((world.abandoned.len(), world.spent()), (1, 0));
    }
}

#[test]
fn a_relay_whose_links_are_in_another_asset_than_its_offers_is_not_paid_and_who_stands_before_it_is() {
    for odd in RELAYS {
        let world = used(odd, false);
        nothing_from(&world, odd);
        let between = |who: usize, to: usize| who == odd || to == odd;
        assert!(world.talk.iter().any(|(who, to, m)| between(*who, *to) && wrong_asset(m)), "{odd} hears why");
        for node in RELAYS.into_iter().filter(|node| *node < odd) {
            assert!(world.books(node).0 > 0, "{node} before {odd} is paid");
        }
    }
}

#[test]
fn a_service_that_sells_for_another_asset_is_not_paid_and_the_hops_are() {
    let mut world = World::open(Setup { odd: Some((SITE, true)), ..Setup::default() });
    let circ = world.stream();
    world.run(10);
    let (mut session, onwards) = (None, world.books(N3).1);
    let call = world.until_asked(circ, &mut session, 100_000);
    assert_eq!(world.answer(call), Some(&Answer::Failed(RefusalCode::WRONG_ASSET)));
    assert_eq!(world.refused(true), [RefusalCode::WRONG_ASSET]);
    world.run(10);
    assert_eq!((world.books(N3).1, onwards, world.books(SITE)), (0, 0, (0, 0)));
    assert!(RELAYS.iter().all(|node| world.books(*node).0 > 0), "all hops are paid");
    world.check();
}
