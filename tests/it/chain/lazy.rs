//! A deposit goes out once money came, and a network in which nobody has a link yet opens hop by hop.
use super::world::*;
use super::world_circuit::Kind;
use crate::links::world::network;
use magicwave::gateway::core::message::{Hello, Message};
use magicwave::gateway::link::{LinkRow, Role};
use magicwave::gateway::port::{Answer, CircuitId, Counted, Event};

/// Escrows that a node has begun to open.
fn opened(world: &World, node: usize) -> usize {
    world.lanes(node).iter().filter(|l| l.role == Role::Payer).count()
}

/// A circuit on which next to nothing was carried yet.
fn quiet(world: &mut World) -> CircuitId {
    let circ = world.build(CLIENT, &[N1, N2, N3], Kind::Streams);
    world.event(CLIENT, Event::Begin { circ, set: None, idle: false });
    world.drain();
    circ
}

#[test]
fn a_relay_to_whom_many_say_hello_and_nobody_pays_opens_nothing() {
    let mut world = World::new(Setup::default());
    for nonce in 0..50 {
        let circ = world.build(CLIENT, &[N1, N2, N3], Kind::Streams);
        let asset = world.terms(N1).asset;
        let hello = Hello { version: 1, network: network().short(), asset, nonce: [nonce; 16] };
        for node in [N1, N2, N3] {
            let (own, peer) = (Counted::default(), Counted::default());
            world.event(node, Event::Message { circ, hop: 0, message: Message::Hello(hello.clone()), own, peer });
        }
    }
    world.run(60);
    assert_eq!([N1, N2, N3].map(|n| opened(&world, n)), [0; 3]);
    assert_eq!([N1, N2, N3].map(|n| world.rows::<LinkRow>(n).len()), [0; 3], "nor links");
}

#[test]
fn each_relay_opens_towards_the_next_once_it_was_paid_itself() {
    let mut world = World::new(Setup::default());
    let circ = world.stream();
    for _ in 0..120 {
        world.run(1);
        world.flow(circ, 20);
        for (node, next) in [(N1, N2), (N2, N3)] {
            let paid = !world.nodes[node].hops.is_empty();
            assert!(paid || opened(&world, node) == 0, "{node} opened before it was paid");
            assert!(opened(&world, node) > 0 || world.nodes[next].hops.is_empty());
        }
    }
    assert!([N1, N2, N3].iter().all(|n| !world.nodes[*n].hops.is_empty()), "all are paid in the end");
    assert_eq!([N1, N2, N3].map(|n| opened(&world, n)), [1, 1, 0]);
    world.check();
}

#[test]
fn a_service_is_paid_over_a_circuit_on_which_nobody_had_a_link_and_that_carried_next_to_nothing() {
    let mut world = World::new(Setup::default());
    let circ = quiet(&mut world);
    let (mut session, mut tries) = (None, 0);
    let call = loop {
        let call = world.until_asked(circ, &mut session, 100_000);
        world.run(1);
        tries += 1;
        match world.answer(call) {
            Some(Answer::Paid(_)) => break call,
            Some(answer) => assert!(answer.may_be_asked_again(), "{answer:?}"),
            None => {}
        }
        assert!(tries < 80, "{:#?}", world.nodes[CLIENT].gateway.status());
    };
    assert!(matches!(world.answer(call), Some(Answer::Paid(row)) if row.payees.len() == 4));
    assert_eq!([N1, N2, N3].map(|n| opened(&world, n)), [1; 3]);
    world.check();
}

#[test]
fn an_exit_opens_to_a_service_only_while_clients_of_its_own_pay() {
    let mut world = World::open(Setup::default());
    let exit = crate::links::world::relay_id(N3);
    world.with(SITE, |g, now, rng, out| g.links.want_payer(now, rng, exit, out));
    world.run(30);
    assert_eq!(opened(&world, N3), 0, "it asks, and no money came");
    let circ = world.stream();
    world.flow_for_sure(circ, 400, 60);
    world.run(10);
    assert!(!world.nodes[N3].hops.is_empty());
    assert_eq!(opened(&world, N3), 1);
}
