//! Two nodes of a path that are not neighbours compare all that they saw, and find nothing that joins their halves of a
//! locked payment.
use super::losses::Person;
use super::world::*;
use crate::links::world::{issuer, network, relay_id};
use magicwave::gateway::core::codec;
use magicwave::gateway::core::locks::Locks;
use magicwave::gateway::core::message::{AccountKey, Message};
use std::collections::HashSet;

/// Bytes that are compared in one piece: ids and truncated MACs are as long.
const PIECE: usize = 16;
/// A piece with fewer different bytes than this is a count, an amount, a time or a form, not a name.
const TELLING: usize = 10;

/// All bytes that a node saw of payments: chain messages, its links' talk, and the transactions of its escrows.
fn seen(world: &World, node: usize) -> Vec<Vec<u8>> {
    let chain = world.log.iter().filter(|(_, concerned, _)| *concerned == node);
    let talk = world.talk.iter().filter(|(from, to, _)| *from == node || *to == node);
    let messages = chain.map(|(.., m)| m).chain(talk.map(|(.., m)| m));
    let escrows: HashSet<AccountKey> = world.lanes(node).iter().map(|lane| lane.escrow).collect();
    let landed = world.base.applied.iter().filter(|(source, envelope)| {
        escrows.contains(source) || escrows.iter().any(|escrow| envelope.windows(32).any(|part| part == escrow))
    });
    messages.map(codec::encode).chain(landed.map(|(_, envelope)| envelope.clone())).collect()
}

/// What both saw, but for what everybody knows and the names of the neighbours that they share.
fn shared(world: &World, one: usize, other: usize, between: &[usize]) -> Vec<String> {
    let mut known = vec![issuer().public().to_vec(), network().short().to_vec(), b"MWT".to_vec()];
    for node in between {
        known.push(world.base.nodes[*node].wallet.account().to_vec());
        known.push(relay_id(*node).to_vec());
    }
    let pieces = |node: usize| -> HashSet<Vec<u8>> {
        let mut all = HashSet::new();
        for mut bytes in seen(world, node) {
            for name in &known {
                while let Some(at) = bytes.windows(name.len()).position(|part| part == name) {
                    bytes[at..at + name.len()].fill(0);
                }
            }
            let telling = |part: &&[u8]| part.iter().collect::<HashSet<_>>().len() >= TELLING;
            all.extend(bytes.windows(PIECE).filter(telling).map(<[u8]>::to_vec));
        }
        all
    };
    pieces(one).intersection(&pieces(other)).map(hex::encode).collect()
}

#[test]
fn nodes_that_are_no_neighbours_share_no_value() {
    let mut world = World::open_with_site(Setup { locks: Locks::Always, ..Setup::default() });
    // What was said when the links were made counts, too.
    Person::begin(&mut world).use_it(&mut world);
    for node in [N1, N2, N3, SITE] {
        world.with(node, |g, now, rng, out| g.links.flush_all(now, rng, out));
    }
    world.run(30);
    for node in [N1, N3, SITE] {
        assert!(seen(&world, node).len() > 30, "node {node} saw something");
        assert!(world.lanes(node).iter().any(|lane| !lane.landed.is_zero()), "and it is on the ledger");
    }
    for (one, other, between) in [(N1, N3, vec![N2]), (N1, SITE, vec![]), (N2, SITE, vec![N3])] {
        assert_eq!(shared(&world, one, other, &between), [] as [String; 0], "{one} and {other}");
    }
    // The same look finds what neighbours do share: the claim that one signs and the other gets.
    assert!(shared(&world, N1, N2, &[]).len() > 100);
}

#[test]
fn no_amount_or_time_of_one_payment_is_the_same_at_two_nodes_that_are_no_neighbours() {
    let mut world = World::open_with_site(Setup { locks: Locks::Always, ..Setup::default() });
    let mut person = Person::begin(&mut world);
    (0..6).for_each(|_| person.use_it(&mut world));
    // Prices, and so what a hop is paid for itself, come from one table for all: only what goes through a node counts.
    let signs = world.log.iter().filter_map(|(_, to, m)| match m {
        Message::Sign(sign) => {
            let order = sign.lock.as_ref().expect("under a lock");
            Some((*to, [sign.amount_in.get(), sign.amount_out.get(), order.max_time]))
        }
        _ => None,
    });
    let signs: Vec<(usize, [u64; 3])> = signs.collect();
    let mut passes = 0;
    for pass in signs.windows(3).filter(|pass| pass.iter().map(|(node, _)| *node).eq([N1, N2, N3])) {
        let (first, last) = (pass[0].1, pass[2].1);
        assert!(first.iter().all(|number| !last.contains(number)), "{first:?} {last:?}");
        passes += 1;
    }
    assert!(passes > 3, "{passes} payments went through all three");
}

#[test]
fn what_the_client_carries_has_one_size_whatever_the_pair_has_paid_before() {
    let mut world = World::open_with_site(Setup { locks: Locks::Always, ..Setup::default() });
    Person::begin(&mut world).use_it(&mut world);
    let sizes = |pick: fn(&Message) -> Option<usize>| -> HashSet<usize> {
        world.log.iter().filter_map(|(.., m)| pick(m)).collect()
    };
    let template = |m: &Message| if let Message::Template(t) = m { Some(t.template.sealed.len()) } else { None };
    let signed = |m: &Message| if let Message::Signed(s) = m { Some(s.claim.sealed.len()) } else { None };
    assert_eq!((sizes(template).len(), sizes(signed).len()), (1, 1));
    // Sealing is randomised: the same template twice would tell that nothing moved.
    let sealed: Vec<_> = world
        .log
        .iter()
        .filter(|(from, ..)| *from == N2)
        .filter_map(|(.., m)| if let Message::Template(t) = m { Some(t.template.sealed.clone()) } else { None })
        .collect();
    assert_eq!(sealed.iter().collect::<HashSet<_>>().len(), sealed.len());
}
