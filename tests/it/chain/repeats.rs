//! The same message again: the same answer, and nothing is paid twice.
use super::world::*;
use magicwave::gateway::core::message::{Deliver, Message, RefusalCode, Sign};
use magicwave::gateway::port::{CircuitId, Counted, Effect, Event};
use magicwave::units::Stroops;

fn paid() -> (World, CircuitId) {
    let mut world = World::open(Setup::default());
    let circ = world.stream();
    world.flow_for_sure(circ, 400, 30);
    world.run(5);
    assert!(world.nodes[CLIENT].payments.values().any(|p| p.payees.len() == 3));
    (world, circ)
}

/// Says `message` to a node as its client; the first answer.
fn say(world: &mut World, circ: CircuitId, to: usize, message: Message) -> Message {
    let own = world.routes.get(&circ).map(|r| r.counted[to]).unwrap_or_default();
    world.event(to, Event::Message { circ, hop: 0, message: over_the_wire(message), own, peer: Counted::default() });
    // The client's gateway does not hear of it.
    let effects: Vec<_> = world.queue.drain(..).collect();
    let answer = effects.into_iter().find_map(|(who, effect)| match effect {
        Effect::Send { hop: 0, message, .. } if who == to => Some(message),
        _ => None,
    });
    answer.expect("an answer")
}

fn sent(world: &World) -> Vec<(usize, Message)> {
    world.log.iter().filter(|(who, ..)| *who == CLIENT).map(|(_, to, m)| (*to, m.clone())).collect()
}

fn all_books(world: &World) -> Vec<(u64, u64)> {
    (0..5).map(|node| world.books(node)).collect()
}

fn one_more(amount: Stroops) -> Stroops {
    amount.add(Stroops::new(1).expect("one")).expect("more")
}

fn code(message: &Message) -> Option<RefusalCode> {
    if let Message::Refusal(refusal) = message { Some(refusal.code) } else { None }
}

#[test]
fn a_repeat_gets_the_same_answer_and_pays_nothing_twice() {
    let (mut world, circ) = paid();
    let (before, answers) = (all_books(&world), world.log.clone());
    let mut signs = 0;
    for (to, message) in sent(&world) {
        let answer = say(&mut world, circ, to, message.clone());
        match (&message, &answer) {
            (Message::Create(c), Message::Template(t)) => assert_eq!(t.hop_id, c.hop_id),
            (Message::Sign(s), Message::Signed(_)) => {
                let first =
                    |(_, _, m): &&(usize, usize, Message)| matches!(m, Message::Signed(x) if x.hop_id == s.hop_id);
                assert_eq!(answers.iter().find(first).map(|(.., m)| m), Some(&answer));
                signs += 1;
            }
            (Message::Deliver(d), Message::Delivered(r)) => assert_eq!(r.hop_id, d.hop_id),
            (Message::Hello(_), Message::Offer(_)) => {}
            other => panic!("{other:?}"),
        }
        assert_eq!(all_books(&world), before);
    }
    assert!(signs >= 2, "two nodes signed");
    world.check();
}

#[test]
fn the_same_name_with_another_amount_is_refused() {
    let (mut world, circ) = paid();
    let before = all_books(&world);
    let mut tried = 0;
    for (to, message) in sent(&world) {
        let others = match message {
            Message::Sign(s) => vec![
                Message::Sign(Sign { amount_in: one_more(s.amount_in), ..s.clone() }),
                Message::Sign(Sign { amount_out: one_more(s.amount_out), ..s }),
            ],
            Message::Deliver(d) => vec![Message::Deliver(Deliver { amount: one_more(d.amount), ..d })],
            _ => vec![],
        };
        for other in others {
            let answer = say(&mut world, circ, to, other);
            assert_eq!(code(&answer), Some(RefusalCode::DUPLICATE_CONFLICT), "{answer:?}");
            tried += 1;
        }
    }
    assert!(tried >= 7 && all_books(&world) == before);
}

#[test]
fn a_claim_under_another_name_buys_nothing() {
    let (mut world, circ) = paid();
    let before = all_books(&world);
    for (to, message) in sent(&world) {
        let other = match message {
            Message::Sign(s) => Message::Sign(Sign { hop_id: [9; 16], ..s }),
            Message::Deliver(d) => Message::Deliver(Deliver { hop_id: [9; 16], ..d }),
            _ => continue,
        };
        assert_eq!(code(&say(&mut world, circ, to, other)), Some(RefusalCode::HOP_UNKNOWN));
    }
    assert_eq!(all_books(&world), before);
}

#[test]
fn a_claim_whose_answer_is_forgotten_is_not_credited_again() {
    let (mut world, _) = paid();
    let old = sent(&world);
    let before = all_books(&world);
    for node in [N1, N2, N3] {
        // So many payments later the node's own list of answers has moved on; the link's has not.
        world.restart_without_answers(node);
    }
    let circ = world.stream();
    let claims = |m: &Message| matches!(m, Message::Sign(_) | Message::Deliver(_));
    // Not of this session; and when it is made to be, the link still knows the claim.
    for (to, message) in old.iter().filter(|(_, m)| claims(m)) {
        let answer = say(&mut world, circ, *to, message.clone());
        assert_eq!(code(&answer), Some(RefusalCode::HOP_UNKNOWN), "{answer:?}");
    }
    for (to, message) in old {
        if matches!(message, Message::Create(_)) {
            assert!(matches!(say(&mut world, circ, to, message), Message::Template(_)));
        } else if claims(&message) {
            let answer = say(&mut world, circ, to, message);
            assert_eq!(code(&answer), Some(RefusalCode::DUPLICATE_CONFLICT), "{answer:?}");
        }
    }
    let paid_since = world.spent() - before[CLIENT].1;
    assert!(world.books(N1).0 <= before[N1].0 + paid_since, "credited what the client did not sign");
    world.check();
}
