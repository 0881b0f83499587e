//! The mission's diagram, message for message; who is paid when not everybody can be.
use super::world::*;
use crate::links::world::UNIT;
use magicwave::gateway::core::message::{Message, RefusalCode};
use magicwave::gateway::link::{LinkRow, Partner, Readiness, Role};
use magicwave::gateway::port::Answer;
use magicwave::units::Stroops;

const HELLO: u8 = 1;
const CREATE: u8 = 4;
const SIGN: u8 = 6;
const DELIVER: u8 = 8;
const COMPLETE: u8 = 10;

/// Messages of passes that the client sent since `from`, in order: (kind, to whom).
fn order(world: &World, from: usize) -> Vec<(u8, usize)> {
    let chain = |m: &Message| [CREATE, SIGN, DELIVER, COMPLETE].contains(&m.kind());
    let sent = world.log[from..].iter().filter(|(who, _, m)| *who == CLIENT && chain(m));
    sent.map(|(_, to, m)| (m.kind(), *to)).collect()
}

/// A world where everybody said hello before the client's own link opened: the first pass is for all.
fn about_to_pay() -> (World, u64) {
    let mut world = World::new(Setup::default());
    world.link(N1, N2);
    world.link(N2, N3);
    let circ = world.stream();
    (world, circ)
}

fn wait_for_payments(world: &mut World, count: u64) {
    for _ in 0..100 {
        if world.nodes[CLIENT].gateway.status().settled >= count {
            return;
        }
        world.run(1);
    }
    panic!("{:#?}", world.nodes[CLIENT].gateway.status());
}

#[test]
fn three_hops_are_paid_in_one_pass_in_the_order_of_the_diagram() {
    let (mut world, _) = about_to_pay();
    let from = world.log.len();
    wait_for_payments(&mut world, 1);
    let diagram =
        [(CREATE, N1), (CREATE, N2), (CREATE, N3), (SIGN, N1), (SIGN, N2), (DELIVER, N3), (DELIVER, N2), (DELIVER, N1)];
    assert_eq!(order(&world, from)[..diagram.len()], diagram);
    world.check();
}

#[test]
fn each_hop_keeps_its_due_and_its_fee() {
    let (mut world, _) = about_to_pay();
    wait_for_payments(&mut world, 1);
    let payment = world.nodes[CLIENT].payments.values().next().expect("a payment").clone();
    assert_eq!(payment.payees.len(), 3);
    for (node, share) in [N1, N2, N3].into_iter().zip(&payment.payees) {
        let [row] = &world.nodes[node].hops[..] else { panic!("one payment at {node}") };
        let fee = if node == N3 { 0 } else { FEE };
        assert_eq!(share.fee.get(), fee);
        assert!(share.due.get() >= u64::from(WINDOW), "the window ahead is paid");
        assert_eq!(row.amount_in.get() - row.amount_out.get(), share.due.get() + fee);
    }
    assert_eq!(world.nodes[N1].hops[0].amount_in, payment.total);
    assert_eq!(world.spent(), payment.total.get());
}

#[test]
fn a_web_service_is_paid_through_all_nodes_with_four_claims() {
    let mut world = World::open_with_site(Setup::default());
    let circ = world.stream();
    wait_for_payments(&mut world, 1);
    world.run(5);
    let mut session = None;
    assert_eq!(world.buy(circ, &mut session, 100_000), None, "the first bytes are on credit");
    let (from, signed) = (world.log.len(), [N1, N2, N3].map(|n| world.books(n)));
    let call = world.buy(circ, &mut session, 100_000).expect("to be paid");
    let Some(Answer::Paid(row)) = world.answer(call) else { panic!("{:?}", world.answers) };
    assert_eq!((row.payees.len(), row.site.as_deref()), (4, Some("site.example")));
    let nodes = [N1, N2, N3, SITE];
    let mut diagram: Vec<_> = nodes.map(|n| (CREATE, n)).to_vec();
    diagram.extend([N1, N2, N3].map(|n| (SIGN, n)));
    diagram.extend([SITE, N3, N2, N1].map(|n| (DELIVER, n)));
    diagram.push((COMPLETE, SITE));
    assert_eq!(order(&world, from), diagram);
    for (k, node) in [N1, N2, N3].into_iter().enumerate() {
        let (accepted, onwards) = world.books(node);
        assert!(accepted > signed[k].0 && onwards > signed[k].1, "a claim in and one out at {node}");
    }
    assert_eq!(world.books(SITE).0, row.payees[3].due.get());
    assert_eq!(world.buy(circ, &mut session, 100_000), None, "what was paid is served");
    world.check();
}

#[test]
fn a_chain_ends_at_the_first_hop_that_does_not_speak() {
    for silent in [N1, N2, N3] {
        let mut world = World::open(Setup::default());
        world.setup.speaks[silent] = false;
        let circ = world.stream();
        for _ in 0..30 {
            world.flow(circ, 100);
            world.run(1);
        }
        for node in [N1, N2, N3] {
            let heard = world.log.iter().any(|(_, to, m)| *to == node && m.kind() == HELLO);
            assert_eq!(heard, node < silent, "hello to {node} with {silent} silent");
            assert_eq!(!world.nodes[node].hops.is_empty(), node < silent, "payment of {node} with {silent} silent");
        }
        world.check();
    }
}

#[test]
fn a_web_service_behind_a_silent_hop_is_not_paid() {
    let mut world = World::open_with_site(Setup::default());
    world.setup.speaks[N2] = false;
    let circ = world.stream();
    world.run(5);
    let (mut session, spent) = (None, world.spent());
    world.until_asked(circ, &mut session, 100_000);
    assert!(matches!(world.answers.last(), Some((CLIENT, _, Answer::Failed(RefusalCode::HOP_UNKNOWN)))));
    world.run(5);
    assert_eq!((world.spent(), world.books(SITE).0), (spent, 0));
}

#[test]
fn a_web_service_is_paid_over_a_leg_whose_hops_all_may_be_paid() {
    for set in [Some(7), None] {
        let mut world = World::open_with_site(Setup::default());
        world.setup.speaks[N2] = false;
        let mute = world.leg(set);
        world.setup.speaks[N2] = true;
        world.leg(set);
        world.run(5);
        let mut session = None;
        let call = world.until_asked(mute, &mut session, 100_000);
        world.run(5);
        let answer = world.answer(call).cloned();
        // A chain to the service leads through N2, which speaks on the other leg only.
        if set.is_some() {
            assert!(matches!(answer, Some(Answer::Paid(_))), "{answer:?}");
        } else {
            assert!(matches!(answer, Some(Answer::Failed(RefusalCode::HOP_UNKNOWN))), "{answer:?}");
        }
        assert_eq!(world.books(SITE).0 > 0, set.is_some());
        world.check();
    }
}

#[test]
fn a_hop_that_holds_is_paid_first_and_alone() {
    let (mut world, circ) = about_to_pay();
    wait_for_payments(&mut world, 1);
    // Nobody looks ahead: all three come to the end of what is paid at the same cell.
    world.routes.get_mut(&circ).expect("the circuit").watches.clear();
    let (from, before) = (world.log.len(), world.nodes[CLIENT].payments.len());
    world.flow(circ, 5000);
    world.run(10);
    let sent = order(&world, from);
    assert_eq!(sent[..2], [(CREATE, N1), (DELIVER, N1)], "{sent:?}");
    let payments = &world.nodes[CLIENT].payments;
    assert!(payments.len() > before + 1 && payments.values().any(|p| p.payees.len() == 1));
    assert!(world.routes[&circ].state.iter().all(|s| *s == 0), "nobody holds any more");
    world.check();
}

#[test]
fn a_hop_without_a_link_behind_it_ends_the_pass_and_is_tried_again() {
    let mut world = World::new(Setup::default());
    world.link(CLIENT, N1);
    let circ = world.stream();
    // N1 begins to open its link when it hears of the circuit; until it is there, N1 is paid alone.
    assert_ne!(world.nodes[N1].gateway.links.can_pay(&crate::links::world::relay_id(N2)), Readiness::Ready);
    world.run(2);
    let said = world.refused(false);
    assert!(said.iter().all(|c| [RefusalCode::NO_LINK, RefusalCode::ESCROW_PENDING].contains(c)), "{said:?}");
    assert!(!said.is_empty() && !world.nodes[N1].hops.is_empty() && world.nodes[N2].hops.is_empty());
    world.flow_for_sure(circ, 3000, 120);
    assert!([N2, N3].iter().all(|n| !world.nodes[*n].hops.is_empty()), "all are paid in the end");
    world.check();
}

#[test]
fn a_relay_whose_consensus_was_old_when_the_circuit_was_made_looks_again() {
    for node in [N1, N2, N3] {
        let mut world = World::new(Setup::default());
        for (payer, payee) in [(CLIENT, N1), (N1, N2), (N2, N3)] {
            world.link(payer, payee);
        }
        world.setup.knows[node] = false;
        let circ = world.stream();
        world.flow_for_sure(circ, 3000, 60);
        assert!([N1, N2, N3].iter().all(|n| !world.nodes[*n].hops.is_empty()), "all are paid, {node} late");
        world.check();
    }
}

/// `payee` takes `payer` for a client: its consensus names that relay only after their link was made.
fn strangers(payer: usize, payee: usize) -> World {
    let mut world = World::new(Setup::default());
    world.link(CLIENT, N1);
    world.setup.knows[payee] = false;
    world.link(payer, payee);
    world.setup.knows[payee] = true;
    for (payer, payee) in [(N1, N2), (N2, N3)].into_iter().filter(|pair| *pair != (payer, payee)) {
        world.link(payer, payee);
    }
    assert_eq!(payers(&world, payee), [Partner::Anonymous]);
    world
}

/// Who pays a node, by its rows.
fn payers(world: &World, payee: usize) -> Vec<Partner> {
    let rows = world.rows::<LinkRow>(payee).into_iter().filter(|l| l.role == Role::Payee);
    rows.map(|l| l.partner).collect()
}

#[test]
fn a_link_of_a_relay_that_passed_for_a_client_becomes_the_relays_when_the_consensus_names_it() {
    for (payer, payee, again) in [(N1, N2, false), (N2, N3, false), (N1, N2, true), (N2, N3, true)] {
        let mut world = strangers(payer, payee);
        if again {
            world.restart(payer);
            world.run(30);
        }
        let circ = world.stream();
        world.flow_for_sure(circ, 3000, 60);
        assert!([N1, N2, N3].iter().all(|n| !world.nodes[*n].hops.is_empty()), "all are paid, {payee} late");
        assert_eq!(payers(&world, payee), [Partner::Relay(crate::links::world::relay_id(payer))], "written down");
        world.check();
    }
}

#[test]
fn what_is_paid_ahead_begins_small_and_grows_with_what_was_confirmed_whatever_a_hop_asks() {
    let mut setup = Setup { ahead: u32::try_from(MOST).expect("fits"), ..Setup::default() };
    setup.limits.deposit = Stroops::new(20 * UNIT).expect("an amount");
    let mut world = World::open(setup);
    let circ = world.stream();
    world.flow_for_sure(circ, 40_000, 60);
    // Many of them in one moment of this world: each fits what the smaller ones have proven.
    let mut dues: Vec<u64> = world.nodes[CLIENT].payments.values().map(|p| p.payees[0].due.get()).collect();
    dues.sort_unstable();
    let first = PRICE.of_cells((2 << 20) / 514).expect("an amount").get().next_power_of_two();
    let mut paid = 0;
    for due in &dues {
        assert!(*due <= first.max(4 * paid).next_power_of_two(), "{due} after {paid}: {dues:?}");
        paid += due;
    }
    assert!(dues.len() >= 3 && dues.last() > Some(&first), "{dues:?}");
    world.check();
}

#[test]
fn an_idle_leg_of_a_set_is_spoken_on_when_it_carries_something_and_its_set_is_known_before() {
    let mut world = World::open_with_site(Setup::default());
    let busy = world.leg(Some(7));
    let circ = world.idle_leg(7);
    let hellos = |world: &World, from: usize| {
        world.log[from..].iter().filter(|(who, _, m)| *who == CLIENT && m.kind() == HELLO).count()
    };
    let from = world.log.len();
    world.flow(busy, 300);
    world.run(10);
    assert_eq!(hellos(&world, from), 0);
    // A stream may be counted as its: the service is paid over the leg that speaks.
    let mut session = None;
    let call = world.until_asked(circ, &mut session, 100_000);
    world.run(5);
    assert!(matches!(world.answer(call), Some(Answer::Paid(_))), "{:?}", world.answer(call));
    world.begin(circ, Some(7));
    assert_eq!(hellos(&world, from), 3);
    world.flow_for_sure(circ, 1000, 60);
    world.check();
}
