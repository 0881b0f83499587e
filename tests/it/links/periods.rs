//! One period for an escrow: whatever refunds its payer has collected, none is valid before the payee's clock says so.
use super::world::*;
use magicwave::gateway::core::message::*;
use magicwave::gateway::link::{EscrowState, Links};

const LINK: Id = [5; 16];

fn hello(world: &World, period: u32) -> Message {
    let (payer, account) = (true, world.nodes[2].wallet.account());
    let (network, asset, deposit) = (network().short(), asset().id(), limits().deposit);
    let (link, signer) = (LINK, [9; 32]);
    Message::LinkHello(LinkHello { version: 1, network, asset, link, payer, account, signer, deposit, period })
}

fn offer(link: Id, period: u32) -> Message {
    Message::EscrowOffer(EscrowOffer { link, escrow: [8; 32], created: 3, deposit: limits().deposit, period })
}

fn refused(answers: &[Message]) -> bool {
    answers.iter().any(|m| matches!(m, Message::Refusal(r) if r.code == RefusalCode::DEPOSIT_REFUSED))
}

/// A client says hello and offers an escrow: with which key does the payee take part, and its signature on R.
fn signed(world: &mut World, period: u32) -> (AccountKey, Signature) {
    let circ = world.stranger(2, 1, false);
    let accept = world.inject(2, circ, hello(world, period));
    let signer = accept.iter().find_map(|m| match m {
        Message::LinkAccept(accept) => Some(accept.signer),
        _ => None,
    });
    let answers = world.inject(2, circ, offer(LINK, period));
    let refund = answers.iter().find_map(|m| match m {
        Message::RefundSigned(signed) => Some(signed.signature),
        _ => None,
    });
    world.drop_circuits();
    (signer.expect("accepted"), refund.expect("signed"))
}

#[test]
fn an_escrow_is_offered_with_the_period_of_its_link_and_no_other() {
    let mut world = World::new(90, 2, 0, &limits());
    world.nodes[0].limits.period_secs = 2400;
    world.restart(0);
    let relay = world.relay(1);
    world.step(0, |links, now, rng, out| links.want_payee(now, rng, relay, out));
    while !world.lanes(1).first().is_some_and(|l| l.state == EscrowState::Offered) {
        world.run(1);
    }
    let lane = world.lanes(1)[0].clone();
    let circ = world.circuit(0, 1);
    let (link, escrow, created, deposit) = (lane.link, lane.escrow, lane.created, lane.deposit);
    for period in [600, 2399, 0, u32::MAX] {
        let other = EscrowOffer { link, escrow, created, deposit, period };
        let answers = world.inject(0, circ, Message::EscrowOffer(other));
        assert!(refused(&answers), "{answers:?}");
        assert_eq!(world.lanes(1), std::slice::from_ref(&lane), "the lane stays as it is");
    }
    world.run(20);
    world.pay(0, 1, 500).expect("paid");
}

#[test]
fn a_payee_that_forgot_a_link_signs_for_another_period_with_another_key() {
    for restart in [false, true] {
        let mut world = World::new(91, 2, 1, &limits());
        let (short, first) = signed(&mut world, 600);
        assert_eq!(signed(&mut world, 600), (short, first), "the same offer again, the same answer");
        world.run(700);
        if restart {
            world.restart(1);
        }
        assert!(world.link_rows(1).is_empty(), "forgotten");
        let (long, second) = signed(&mut world, 2400);
        assert!(short != long && first != second);
        world.run(700);
        assert_eq!(signed(&mut world, 600), (short, first), "the key follows from the link's terms alone");
    }
}

#[test]
fn a_period_that_would_keep_a_payee_waiting_for_long_is_refused() {
    let mut world = World::new(92, 2, 1, &limits());
    for period in [599, 2401, u32::MAX] {
        let circ = world.stranger(2, 1, false);
        let answers = world.inject(2, circ, hello(&world, period));
        assert!(refused(&answers), "{period} {answers:?}");
    }
    let circ = world.stranger(2, 1, false);
    let answers = world.inject(2, circ, hello(&world, 2400));
    assert!(answers.iter().any(|m| matches!(m, Message::LinkAccept(_))), "{answers:?}");
}

/// The payee's rows as the program wrote them before its key depended on the period.
fn as_before(world: &World) -> Links {
    let mut links = serde_json::to_value(world.link_rows(1)).expect("rows");
    let mut lanes = serde_json::to_value(world.lanes(1)).expect("rows");
    for row in links.as_array_mut().expect("rows") {
        row.as_object_mut().expect("a row").remove("by_period");
    }
    for row in lanes.as_array_mut().expect("rows") {
        row.as_object_mut().expect("a row").remove("clock");
    }
    let (links, lanes) = (serde_json::from_value(links).expect("rows"), serde_json::from_value(lanes).expect("rows"));
    load(&world.nodes[1].wallet, &world.nodes[1].limits, links, lanes)
}

#[test]
fn on_a_link_from_before_the_clock_runs_by_the_shortest_period_that_was_ever_accepted() {
    let mut world = World::new(93, 2, 0, &limits());
    world.nodes[0].limits.period_secs = 2400;
    world.restart(0);
    world.open(0, 1);
    world.pay(0, 1, 500).expect("paid");
    let hop = world.hop();
    let late = world.signed(0, 1, hop, 20).expect("signed");
    let mut old = as_before(&world);
    let (mut now, mut out) = (world.now_ms + 310_000, Default::default());
    assert_eq!(old.accept(now, hop, amount(20), &late, &mut out), Err(RefusalCode::FLUSH_PENDING));
    // Whatever the operator sets later: what was signed before is not forgotten.
    old.on_tick(now, &mut world.rng, &mut out);
    let lane = out.rows.into_iter().find_map(|row| match row {
        magicwave::gateway::port::Row::Escrow(row) => Some(*row),
        _ => None,
    });
    let lane = lane.expect("the flush begins without the payer");
    assert_eq!((lane.clock(), lane.period), (600, 2400));
    world.nodes[1].limits.period_secs = 1200;
    let mut rows = world.link_rows(1);
    rows[0].by_period = false;
    let mut later = load(&world.nodes[1].wallet, &world.nodes[1].limits, rows, vec![lane]);
    now += 1;
    assert_eq!(later.accept(now, hop, amount(20), &late, &mut Default::default()), Err(RefusalCode::FLUSH_PENDING));
    // A link of now goes by its own period.
    let here = world.accepted(1, hop, 20, &late);
    assert_eq!(here.map(|info| info.credited.get()), Ok(520));
}
