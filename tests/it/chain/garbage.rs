//! Messages of every type, made up, changed or said to the wrong one, in every state of the honest traffic around them.
use super::world::*;
use crate::wire_make::make::{Bytes, KINDS};
use magicwave::gateway::core::message::{Message, RefusalCode};
use magicwave::gateway::port::{Counted, Event, SiteAsk};
use proptest::prelude::*;

#[derive(Clone, Debug)]
enum Act {
    /// A message from entropy, to a node.
    Made {
        to: usize,
        kind: usize,
        entropy: Vec<u8>,
        hop: u32,
    },
    /// Something that was said, said to a node again.
    Replayed {
        to: usize,
        which: usize,
        hop: u32,
    },
    Garbage {
        to: usize,
    },
    Flow {
        cells: u64,
    },
    Wait {
        secs: u64,
    },
    /// Another circuit of the client.
    Circuit,
}

fn act() -> impl Strategy<Value = Act> {
    let entropy = prop::collection::vec(any::<u8>(), 0..400);
    prop_oneof![
        6 => (0..5usize, 0..KINDS.len(), entropy, 1..4u32)
            .prop_map(|(to, kind, entropy, hop)| Act::Made { to, kind, entropy, hop }),
        6 => (0..5usize, any::<usize>(), 1..4u32).prop_map(|(to, which, hop)| Act::Replayed { to, which, hop }),
        1 => (0..5usize).prop_map(|to| Act::Garbage { to }),
        2 => (1u64..300).prop_map(|cells| Act::Flow { cells }),
        2 => (1u64..8).prop_map(|secs| Act::Wait { secs }),
        1 => Just(Act::Circuit),
    ]
}

fn hear(world: &mut World, circ: u64, to: usize, hop: u32, message: Message) {
    let own = world.routes.get(&circ).map_or(Counted::default(), |r| r.counted[hop as usize - 1]);
    match to {
        SITE => {
            let (call, session) = (world.fresh(), world.exchanges.values().copied().flatten().next());
            world.exchanges.insert(call, None);
            world.event(SITE, Event::Site { call, ask: SiteAsk::Message { session, message } });
        }
        CLIENT => world.event(CLIENT, Event::Message { circ, hop, message, own, peer: own }),
        relay => world.event(relay, Event::Message { circ, hop: 0, message, own, peer: own }),
    }
    world.drain();
}

fn play(seed: u64, acts: &[Act]) {
    let mut world = World::open_with_site(Setup { seed, ..Setup::default() });
    let mut circ = world.stream();
    let mut circuits = 1;
    for act in acts {
        match act.clone() {
            Act::Made { to, kind, entropy, hop } => {
                hear(&mut world, circ, to, hop, Bytes(&entropy).message(KINDS[kind]));
            }
            Act::Replayed { to, which, hop } => {
                let message = world.log[which % world.log.len()].2.clone();
                hear(&mut world, circ, to, hop, message);
            }
            Act::Garbage { to } => {
                let hop = u32::from(to == CLIENT);
                world.event(to, Event::Garbage { circ, hop, code: RefusalCode::MALFORMED });
                world.drain();
            }
            Act::Flow { cells } => drop(world.flow(circ, cells)),
            Act::Wait { secs } => world.run(secs),
            Act::Circuit => {
                circ = world.stream();
                circuits += 1;
            }
        }
        world.check();
        for node in [N1, N2, N3] {
            assert!(world.nodes[node].gateway.status().sessions <= circuits, "a session for each circuit at most");
        }
        let status = world.nodes[CLIENT].gateway.status();
        assert!(status.circuits.len() <= circuits && status.links.len() == 1);
        assert!(world.nodes[SITE].gateway.status().sessions <= acts.len());
        assert!(world.books(N1).0 <= world.spent(), "accepted what the client did not sign");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, max_shrink_iters: 60, ..ProptestConfig::default() })]

    #[test]
    fn nothing_that_anybody_says_makes_a_node_sign_what_it_was_not_paid_for(
        seed in 0u64..1000,
        acts in prop::collection::vec(act(), 10..50),
    ) {
        play(seed, &acts);
    }
}
