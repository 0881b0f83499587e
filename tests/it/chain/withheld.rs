//! Every chain message, at every party, kept back, lost, doubled, overtaken and late: in plain mode a pass that was given
//! up costs the client one increment at most and no node anything, under locks nobody loses anything.
use super::losses::all_paid;
use super::world::*;
use super::world_weather::{Fault, Weather};
use crate::links::world::amount;
use magicwave::gateway::chain::PaymentState;
use magicwave::gateway::core::locks::Locks;
use magicwave::gateway::link::{Limits, Role};
use magicwave::gateway::port::CircuitId;
use std::collections::BTreeSet;
use std::sync::OnceLock;

/// Types of all that is said on a chain but for refusals.
const KINDS: std::ops::RangeInclusive<u8> = 1..=10;
/// A PaymentRequest.
const ASKED: u8 = 3;
/// Seconds: longer than the repeats of a message go on.
const GIVEN_UP: u64 = 25;
/// Seconds: longer than any lock of these worlds.
const UNLOCKED: u64 = 40;
/// Seconds: enough for all payments, and for a pass to be given up.
const SHORT: u64 = 20;
const LONG: u64 = 40;

/// All that is accepted lands to the stroop when it is flushed.
fn world(locks: Locks) -> World {
    let usual = Setup::default();
    let limits = Limits { denomination: amount(1), ..usual.limits };
    World::open_with_site(Setup { locks, limits, ..usual })
}

fn given_up(world: &World) -> Vec<u64> {
    let over = |state| matches!(state, PaymentState::Abandoned | PaymentState::Expired);
    world.nodes[CLIENT].payments.values().filter(|p| over(p.state)).map(|p| p.total.get()).collect()
}

/// What payers signed and their payees were never credited, over the whole path: the client paid it for nothing.
fn in_the_air(world: &World) -> u64 {
    let pairs = [(CLIENT, N1), (N1, N2), (N2, N3), (N3, SITE)];
    pairs.map(|(payer, payee)| world.books(payer).1 - world.books(payee).0).iter().sum()
}

/// A download and payments to the site for so many seconds, or until a pass is given up. A client that does not `look`
/// ahead lets its hops ask, and pays no site.
fn pay(world: &mut World, circ: &mut CircuitId, look: bool, secs: u64) {
    let (mut call, mut session, dead) = (None, None, given_up(world).len());
    for second in 0..secs {
        if !world.routes.contains_key(circ) {
            *circ = world.stream();
        }
        if !look {
            let route = world.routes.get_mut(circ).expect("built");
            route.watches.retain(|(node, _), _| *node != CLIENT);
        }
        world.flow(*circ, if look { 20 } else { 300 });
        let open = call.is_some_and(|call| world.answer(call).is_none());
        if look && second > 4 && !open {
            call = world.buy(*circ, &mut session, 100_000);
        }
        world.run(1);
        if given_up(world).len() > dead {
            return;
        }
    }
}

/// What is said when nothing befalls it: (party, type).
fn said() -> &'static BTreeSet<(usize, u8)> {
    static SAID: OnceLock<BTreeSet<(usize, u8)>> = OnceLock::new();
    SAID.get_or_init(|| {
        let mut both = [Locks::Never, Locks::Always].map(|locks| {
            let mut said = BTreeSet::new();
            for look in [true, false] {
                let mut world = world(locks);
                let mut circ = world.stream();
                pay(&mut world, &mut circ, look, SHORT);
                world.run(UNLOCKED);
                assert_eq!((in_the_air(&world), given_up(&world)), (0, vec![]));
                let kinds = world.log.iter().map(|(_, far, m)| (*far, m.kind()));
                said.extend(kinds.filter(|(_, kind)| KINDS.contains(kind)));
            }
            let kinds: BTreeSet<_> = said.iter().map(|(_, kind)| *kind).collect();
            assert_eq!(kinds, KINDS.collect(), "each type is said to somebody");
            said
        });
        assert_eq!(both[0], both[1], "locked or not, the same types are said");
        std::mem::take(&mut both[0])
    })
}

/// All that a node credited is on the ledger, and it gave less than it got.
fn flushed(world: &mut World) {
    for node in [N1, N2, N3, SITE] {
        world.with(node, |g, now, rng, out| g.links.flush_all(now, rng, out));
    }
    world.drain();
    world.run(12);
    for node in [N1, N2, N3, SITE] {
        let landed = |role| world.lanes(node).iter().filter(|l| l.role == role).map(|l| l.landed.get()).sum::<u64>();
        let (got, gave) = (landed(Role::Payee), landed(Role::Payer));
        let credited = world.books(node).0;
        assert!(got >= credited, "node {node} credited {credited} and has {got} of it on the ledger");
        assert!(got >= gave, "node {node} got {got} and gave {gave}");
    }
}

/// One world for each (party, type), with this fault until the first pass dies of it.
fn befalls(locks: Locks, fault: Fault) {
    let secs = if matches!(fault, Fault::Withheld | Fault::Late(_)) { LONG } else { SHORT };
    for &(far, kind) in said() {
        println!("{locks:?}, {fault:?}: type {kind} at {far}");
        let mut world = world(locks);
        world.weather = Some(Weather::new(far, kind, fault));
        let mut circ = world.stream();
        pay(&mut world, &mut circ, kind != ASKED, if kind == ASKED { SHORT } else { secs });
        let weather = world.weather.as_mut().expect("set");
        weather.over = true;
        assert!(weather.met > 0, "the fault struck");
        world.check();
        // What is late comes after its pass was given up, or after its lock.
        world.run(UNLOCKED);
        assert_eq!(world.on_its_way(), 0, "all that was to come has come");
        world.check();
        let (dead, lost) = (given_up(&world), in_the_air(&world));
        if locks == Locks::Always {
            assert_eq!(lost, 0, "nobody loses anything under locks");
            for node in [CLIENT, N1, N2, N3, SITE] {
                assert!(world.lanes(node).iter().all(|l| l.lock.is_none()), "node {node}: a lock stays open");
            }
        } else {
            assert!(dead.len() <= 1 && lost <= dead.iter().sum(), "{lost} lost by passes of {dead:?}");
        }
        if !matches!(fault, Fault::Withheld | Fault::Late(_)) {
            assert_eq!(lost, 0, "what arrives after all is paid for");
        }
        // The weather is over, and everybody is paid again.
        let before = world.spent();
        circ = world.stream();
        pay(&mut world, &mut circ, true, 12);
        assert!(world.spent() > before, "the client pays on");
        all_paid(&world);
        flushed(&mut world);
    }
}

#[test]
fn what_is_withheld_costs_the_client_one_increment_at_most_and_nothing_under_locks() {
    befalls(Locks::Never, Fault::Withheld);
    befalls(Locks::Always, Fault::Withheld);
}

#[test]
fn what_is_lost_once_costs_nobody_anything() {
    befalls(Locks::Never, Fault::LostOnce);
    befalls(Locks::Always, Fault::LostOnce);
}

#[test]
fn what_arrives_twice_is_paid_once() {
    befalls(Locks::Never, Fault::Twice);
    befalls(Locks::Always, Fault::Twice);
}

#[test]
fn what_is_overtaken_costs_nobody_anything() {
    befalls(Locks::Never, Fault::Overtaken);
    befalls(Locks::Always, Fault::Overtaken);
}

#[test]
fn what_comes_after_its_pass_was_given_up_costs_the_client_one_increment_at_most_and_nothing_under_locks() {
    befalls(Locks::Never, Fault::Late(GIVEN_UP));
    befalls(Locks::Always, Fault::Late(GIVEN_UP));
}

#[test]
fn what_comes_after_its_lock_has_ended_costs_nobody_anything() {
    befalls(Locks::Always, Fault::Late(UNLOCKED - 2));
}

#[test]
fn a_locked_pass_that_fits_no_open_lane_gets_another_lane() {
    // No fault, no rogue: a client that lets its hops ask, until what is left of its lanes is less than a pass and
    // more than a quarter of a deposit.
    let mut world = world(Locks::Always);
    let circ = world.stream();
    for _ in 0..60 {
        world.routes.get_mut(&circ).expect("built").watches.retain(|(node, _), _| *node != CLIENT);
        world.flow(circ, 400);
        world.run(1);
    }
    let before = world.spent();
    for _ in 0..120 {
        world.run(1);
        world.flow(circ, 400);
    }
    let left: Vec<_> = world.lanes(CLIENT).iter().map(|l| l.deposit.get() - l.total.get()).collect();
    let why: Vec<_> =
        world.nodes[CLIENT].gateway.status().refused.iter().map(|r| (r.who.clone(), r.code, r.count)).collect();
    assert!(world.spent() > before, "nothing was paid for two minutes, left on the lanes: {left:?}, refused: {why:?}");
}
