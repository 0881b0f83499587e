//! Clients that extend a circuit through a relay and speak in its place.
use super::world::*;
use magicwave::gateway::core::message::*;
use magicwave::gateway::link::{Partner, Role};

/// A hello of somebody who wants to pay.
fn hello(link: Id, account: AccountKey, signer: AccountKey) -> Message {
    Message::LinkHello(LinkHello {
        version: 1,
        network: network().short(),
        asset: asset().id(),
        link,
        payer: true,
        account,
        signer,
        deposit: limits().deposit,
        period: limits().period_secs,
    })
}

fn accepts(world: &World, to: usize) -> usize {
    world.log.iter().filter(|(node, m)| *node == to && matches!(m, Message::LinkAccept(_))).count()
}

#[test]
fn a_client_that_poses_as_the_relay_before_us_gets_no_link() {
    let mut world = World::new(70, 2, 1, &limits());
    let account = world.nodes[2].wallet.account();
    let circ = world.impostor(2, 0, 1);
    world.inject(2, circ, hello([9; 16], account, [7; 32]));
    world.run(5);
    assert!(world.nodes[1].links.summary().is_empty() && world.nodes[0].links.summary().is_empty());
    assert_eq!(accepts(&world, 2), 0);
    // The relay itself was asked, and does not know the link.
    let asked = |m: &Message| matches!(m, Message::LinkHello(h) if !h.payer && h.link == [9; 16]);
    assert!(world.log.iter().any(|(to, m)| *to == 0 && asked(m)));
    world.open(0, 1);
    world.pay(0, 1, 500).expect("the relay's own link is the one that counts");
    assert_eq!(world.link_rows(1).iter().map(|l| l.account).collect::<Vec<_>>(), [world.nodes[0].wallet.account()]);
}

#[test]
fn who_repeats_a_relays_own_hello_in_its_place_learns_nothing_and_ends_nothing() {
    let mut world = World::new(71, 2, 1, &limits());
    world.open(0, 1);
    let Some(row) = world.link_rows(1).into_iter().next() else { panic!("a link") };
    let circ = world.impostor(2, 0, 1);
    for _ in 0..3 {
        world.inject(2, circ, hello(row.id, row.account, row.signer));
        world.inject(2, circ, Message::Reestablish(Reestablish { link: row.id, claim: None }));
        world.run(1);
    }
    assert_eq!(accepts(&world, 2), 0);
    let told = world.log.iter().filter(|(to, _)| *to == 2);
    assert!(told.clone().all(|(_, m)| matches!(m, Message::Refusal(_))), "{:?}", told.collect::<Vec<_>>());
    world.pay(0, 1, 500).expect("paid");
    assert!(world.nodes[1].links.summary()[0].connected);
    world.settle();
}

#[test]
fn many_impostors_do_not_keep_a_relay_from_its_link() {
    let mut world = World::new(72, 2, 1, &limits());
    // Nobody answers the calls: as bad as it gets.
    world.down = vec![0];
    for number in 0..200u8 {
        let circ = world.impostor(2, 0, 1);
        world.inject(2, circ, hello([number; 16], [number; 32], [number; 32]));
    }
    assert!(world.nodes[1].links.summary().is_empty(), "no place is taken");
    world.down.clear();
    world.open(0, 1);
    world.pay(0, 1, 500).expect("paid");
}

#[test]
fn a_call_about_a_link_that_nobody_made_opens_none() {
    let mut world = World::new(73, 1, 1, &limits());
    let circ = world.stranger(1, 0, true);
    let Message::LinkHello(hello) = hello([9; 16], world.nodes[1].wallet.account(), [0; 32]) else { return };
    let answers = world.inject(1, circ, Message::LinkHello(LinkHello { payer: false, ..hello }));
    assert!(matches!(&answers[..], [Message::Refusal(r)] if r.code == RefusalCode::LINK_UNKNOWN), "{answers:?}");
    assert!(world.nodes[0].links.summary().is_empty());
}

#[test]
fn relays_come_back_to_the_same_link_after_any_restart() {
    let mut world = World::new(74, 2, 0, &limits());
    world.open(0, 1);
    for (round, dying) in [vec![0], vec![1], vec![0, 1]].into_iter().enumerate() {
        dying.iter().for_each(|node| world.restart(*node));
        world.run(10);
        world.pay_for_sure(0, 1, 100 + round as u64);
        world.run(5);
        assert!([0, 1].iter().all(|n| world.nodes[*n].links.summary()[0].connected), "round {round}");
    }
    let rows = world.link_rows(1);
    assert_eq!((rows.len(), rows[0].role, rows[0].partner), (1, Role::Payee, Partner::Relay(world.relay(0))));
    world.settle();
}
