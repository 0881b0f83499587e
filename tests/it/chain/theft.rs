//! A node on the way learns the name and the amount of the payment behind it, and seals its claim: that buys it nothing
//! in a session of its own.
use super::world::*;
use super::world_circuit::Kind;
use crate::links::world::network;
use magicwave::gateway::chain::HopRow;
use magicwave::gateway::core::codec;
use magicwave::gateway::core::message::*;
use magicwave::gateway::port::{CircuitId, Counted, Effect, Event};

/// Message types.
const SIGN: u8 = 6;
const DELIVER: u8 = 8;

/// Says `message` to a node as somebody who holds the circuit; the first answer.
fn say(world: &mut World, circ: CircuitId, to: usize, message: Message) -> Message {
    let waiting: Vec<_> = world.queue.drain(..).collect();
    let (message, count) = (over_the_wire(message), Counted::default());
    world.event(to, Event::Message { circ, hop: 0, message, own: count, peer: count });
    let mut answer = None;
    for (node, effect) in std::mem::replace(&mut world.queue, waiting.into()) {
        match effect {
            Effect::Send { circ: c, hop: 0, message } if (node, c) == (to, circ) => answer = answer.or(Some(message)),
            other => world.queue.push_back((node, other)),
        }
    }
    answer.expect("an answer")
}

fn code(message: &Message) -> Option<RefusalCode> {
    if let Message::Refusal(refusal) = message { Some(refusal.code) } else { None }
}

/// A session of `thief` with the node behind it, on a circuit of its own.
fn session(world: &mut World, thief: usize, node: usize) -> CircuitId {
    let circ = world.build(thief, &[node], Kind::Streams);
    let asset = world.terms(node).asset;
    let hello = Hello { version: codec::VERSION, network: network().short(), asset, nonce: [7; 16] };
    assert!(matches!(say(world, circ, node, Message::Hello(hello)), Message::Offer(_)));
    circ
}

/// A payment whose claim for N2 is signed and did not reach it yet: its parts as N1 knows them.
fn on_its_way(speaks: [bool; 3]) -> (World, CircuitId, Deliver, Create) {
    let mut world = World::new(Setup { speaks, ..Setup::default() });
    world.link(CLIENT, N1);
    world.link(N1, N2);
    if speaks[2] {
        world.link(N2, N3);
    }
    // What the client would say to N2 with the claim is lost for now.
    world.deaf.insert((N2, if speaks[2] { SIGN } else { DELIVER }));
    let circ = world.stream();
    for _ in 0..200 {
        world.flow(circ, 40);
        let claim = world.log.iter().find_map(|(from, _, m)| match m {
            Message::Signed(signed) if *from == N1 => Some(signed.claim.clone()),
            _ => None,
        });
        let create = world.log.iter().rev().find_map(|(_, to, m)| match m {
            Message::Create(create) if *to == N2 => Some(create.clone()),
            _ => None,
        });
        if let (Some(claim), Some(create)) = (claim, create) {
            let stolen = Deliver { hop_id: create.hop_id, amount: create.amount, proof: Proof::Plain(claim) };
            return (world, circ, stolen, create);
        }
        world.run(1);
    }
    panic!("N1 never signed: {:#?}", world.nodes[CLIENT].gateway.status());
}

fn tried(speaks: [bool; 3]) {
    let (mut world, circ, claim, create) = on_its_way(speaks);
    let thief = session(&mut world, N1, N2);
    let before = world.books(N2);
    let no = Some(RefusalCode::DUPLICATE_CONFLICT);
    assert_eq!(code(&say(&mut world, thief, N2, Message::Deliver(claim.clone()))), no);
    assert_eq!(code(&say(&mut world, thief, N2, Message::Create(create))), no);
    assert_eq!(code(&say(&mut world, thief, N2, Message::Deliver(claim.clone()))), no);
    // A session that makes up many names pushes out none but its own.
    for n in 0..=255 {
        let create = Create {
            hop_id: [n; 16],
            request: [0; 16],
            amount: claim.amount,
            payer: PayerRef::Previous,
            lock: LockWish::Plain,
        };
        assert!(matches!(say(&mut world, thief, N2, Message::Create(create)), Message::Template(_)));
    }
    let own = Deliver { hop_id: [0; 16], ..claim.clone() };
    assert_eq!(code(&say(&mut world, thief, N2, Message::Deliver(own))), Some(RefusalCode::HOP_UNKNOWN));
    assert_eq!(code(&say(&mut world, thief, N2, Message::Deliver(claim.clone()))), no);
    assert_eq!(world.books(N2), before, "nothing was credited");
    // The client says it again, and is credited.
    world.deaf.clear();
    world.run(6);
    assert_eq!(world.nodes[N2].hops.iter().filter(|h| h.hop_id == claim.hop_id).count(), 1);
    assert!(world.refused(false).is_empty(), "{:?}", world.refused(false));
    // What was answered to the client is answered to nobody else.
    assert_eq!(code(&say(&mut world, thief, N2, Message::Deliver(claim))), no);
    world.flow_for_sure(circ, 400, 30);
    world.check();
}

#[test]
fn a_guard_cannot_take_what_was_paid_to_the_last_hop() {
    tried([true, true, false]);
}

#[test]
fn a_guard_cannot_take_what_was_paid_to_a_hop_that_signs_onwards() {
    tried([true, true, true]);
}

/// The answer of a payment that was paid in a run before belongs to a session that is gone.
#[test]
fn after_a_restart_nobody_is_answered_for_a_payment_of_before() {
    let (mut world, _, claim, create) = on_its_way([true, true, false]);
    world.deaf.clear();
    world.run(6);
    let before = world.books(N2);
    world.restart(N2);
    let thief = session(&mut world, N1, N2);
    for message in [Message::Create(create), Message::Deliver(claim)] {
        assert_eq!(code(&say(&mut world, thief, N2, message)), Some(RefusalCode::DUPLICATE_CONFLICT));
    }
    assert_eq!(world.books(N2), before);
}

#[test]
fn an_answer_from_before_sessions_were_kept_is_read_and_given_to_nobody() {
    let (mut world, _, claim, _) = on_its_way([true, true, false]);
    world.deaf.clear();
    world.run(6);
    let row = serde_json::to_value(&world.nodes[N2].hops[0]).expect("json");
    let mut old = row.as_object().expect("an object").clone();
    assert!(old.remove("session").is_some());
    let old: HopRow = serde_json::from_value(old.into()).expect("a row of before");
    assert_eq!(old.session, None);
    world.nodes[N2].hops = vec![old];
    world.restart(N2);
    let thief = session(&mut world, N1, N2);
    assert_eq!(code(&say(&mut world, thief, N2, Message::Deliver(claim))), Some(RefusalCode::DUPLICATE_CONFLICT));
}
