//! What a client does not pay: every no has its code, and nothing is signed.
use super::world::*;
use crate::links::world::{UNIT, amount, asset};
use magicwave::gateway::core::message::{Message, Offer, PaymentRequest, RefusalCode};
use magicwave::gateway::core::request::mac;
use magicwave::gateway::port::{Answer, CircuitId, Counted, Event};
use magicwave::units::{Price, Stroops};

const TEMPLATE: u8 = 5;

/// A circuit that was paid, with the newest words of its first hop.
fn paid() -> (World, CircuitId, Offer, PaymentRequest) {
    let mut world = World::open(Setup::default());
    let circ = world.stream();
    world.flow_for_sure(circ, 150, 30);
    world.run(5);
    // A client that does not look ahead is asked.
    let asked =
        |world: &World| world.log.iter().any(|(who, _, m)| *who == N1 && matches!(m, Message::PaymentRequest(_)));
    while !asked(&world) {
        world.routes.get_mut(&circ).expect("the circuit").watches.retain(|(node, _), _| *node != CLIENT);
        assert_eq!(world.flow(circ, 1), 1, "held without being asked");
    }
    world.run(5);
    let from_n1 = world.log.iter().rev().filter(|(who, ..)| *who == N1);
    let offer = from_n1.clone().find_map(|(.., m)| if let Message::Offer(o) = m { Some(o.clone()) } else { None });
    let request =
        from_n1.clone().find_map(|(.., m)| if let Message::PaymentRequest(r) = m { Some(r.clone()) } else { None });
    let paid = from_n1.clone().find_map(|(.., m)| if let Message::Delivered(d) = m { Some(d.paid) } else { None });
    let (offer, mut request) = (offer.expect("an offer"), request.expect("a request"));
    request.amount_paid = paid.expect("a receipt");
    (world, circ, offer, request)
}

/// A proper new request of N1, after `more` cells towards the client that everybody counted.
fn request(
    world: &World,
    circ: CircuitId,
    offer: &Offer,
    old: &PaymentRequest,
    more: u64,
) -> (PaymentRequest, Counted) {
    let mut own = world.routes[&circ].counted[0];
    own.inward += more;
    let due = offer.price.of_cells(own.total() + u64::from(offer.ahead_bytes) / 514).expect("an amount");
    let now = world.now / 1000;
    let request = PaymentRequest {
        id: [0xab; 16],
        units_in: own.inward,
        units_out: own.outward,
        amount_due: due.max(old.amount_due),
        issued: now,
        expires: now + 60,
        state: 0,
        ..old.clone()
    };
    (signed(offer, request), own)
}

fn signed(offer: &Offer, mut request: PaymentRequest) -> PaymentRequest {
    request.mac = mac(&offer.mac_key, &request);
    request
}

fn hear(world: &mut World, circ: CircuitId, request: PaymentRequest, own: Counted, peer: Counted) {
    // Nobody but this test speaks now.
    world.routes.get_mut(&circ).expect("the circuit").watches.clear();
    world.event(CLIENT, Event::Message { circ, hop: 1, message: Message::PaymentRequest(request), own, peer });
    world.drain();
}

const USED_UP: u64 = 2000;

#[test]
fn a_proper_request_is_paid_from_the_same_place_where_the_improper_ones_are_not() {
    let (mut world, circ, offer, old) = paid();
    let (request, own) = request(&world, circ, &offer, &old, USED_UP);
    let spent = world.spent();
    hear(&mut world, circ, request, own, own);
    assert!(world.spent() > spent, "{:#?} {:?}", world.nodes[CLIENT].gateway.status().circuits, world.refused(false));
    assert_eq!(world.refused(true), []);
}

#[test]
fn an_improper_request_is_refused_with_its_code_and_not_paid() {
    type Change = fn(&Offer, &mut PaymentRequest, &mut Counted);
    let cases: [(RefusalCode, u64, Change); 9] = [
        (RefusalCode::BAD_MAC, USED_UP, |_, r, _| r.mac[3] ^= 1),
        (RefusalCode::STAMP_MISMATCH, USED_UP, |_, _, peer| peer.inward += 1),
        (RefusalCode::STAMP_MISMATCH, USED_UP, |_, _, peer| peer.outward += 1),
        (RefusalCode::SESSION_UNKNOWN, USED_UP, |_, r, _| r.session[0] ^= 1),
        (RefusalCode::EXPIRED, USED_UP, |o, r, _| {
            (r.issued, r.expires) = (r.issued - 100, r.issued);
            *r = signed(o, r.clone());
        }),
        (RefusalCode::NOT_YET, USED_UP, |o, r, _| {
            (r.issued, r.expires) = (r.issued + 1000, r.expires + 1000);
            *r = signed(o, r.clone());
        }),
        (RefusalCode::OFFER_MISMATCH, USED_UP, |o, r, _| {
            // The price that it asks is another one than the agreed one.
            let dearer = Offer { price: Price(o.price.0 * 2), ..o.clone() };
            r.offer_hash = magicwave::gateway::core::offer::offer_hash(&dearer);
            *r = signed(o, r.clone());
        }),
        (RefusalCode::AMOUNT_ABOVE, 0, |o, r, _| {
            r.amount_due = r.amount_due.add(Stroops::new(1 << 40).expect("some")).expect("more");
            *r = signed(o, r.clone());
        }),
        (RefusalCode::UNITS_ABOVE, 0, |o, r, _| {
            r.units_in += 1;
            *r = signed(o, r.clone());
        }),
    ];
    for (code, more, change) in cases {
        let (mut world, circ, offer, old) = paid();
        let (mut request, own) = request(&world, circ, &offer, &old, more);
        let mut peer = own;
        change(&offer, &mut request, &mut peer);
        let (spent, subject) = (world.spent(), request.id);
        hear(&mut world, circ, request, own, peer);
        assert_eq!(world.refused(true), [code], "{}", code.name());
        let told = world.log.iter().any(|(who, to, m)| {
            (*who, *to) == (CLIENT, N1) && matches!(m, Message::Refusal(r) if r.code == code && r.subject == subject)
        });
        assert!(told, "the hop hears {}", code.name());
        world.run(3);
        // Where a hop only asks for too much it gets what our own count comes to.
        let own_due = if more == 0 { 8 * u64::from(WINDOW) } else { 0 };
        assert!(world.spent() - spent <= own_due, "nothing more is signed after {}", code.name());
    }
}

#[test]
fn a_hop_that_counts_wrong_is_not_paid_on_that_circuit_any_more() {
    let (mut world, circ, ..) = paid();
    let spent = world.spent();
    world.routes.get_mut(&circ).expect("the circuit").lie[0] = 1;
    world.flow(circ, 20_000);
    world.run(20);
    world.flow(circ, 20_000);
    world.run(20);
    assert!(world.refused(true).contains(&RefusalCode::STAMP_MISMATCH));
    // Whatever it says next bears its stamp: nothing is signed for it any more, whoever asked.
    assert_eq!(world.spent(), spent);
    world.check();
}

#[test]
fn a_price_above_the_ceiling_is_refused_and_not_paid() {
    let mut world = World::open_with_site(Setup { max_price: Price(PRICE.0 / 2), ..Setup::default() });
    let circ = world.stream();
    world.run(10);
    world.flow(circ, 5000);
    world.run(10);
    assert_eq!(world.refused(true), [RefusalCode::PRICE_CEILING; 3]);
    assert_eq!(world.spent(), 0);
}

#[test]
fn a_hop_cannot_raise_the_price_that_was_agreed() {
    let (mut world, circ, offer, _) = paid();
    let dearer = Offer { price: Price(offer.price.0 * 2), session: [7; 16], ..offer };
    let own = world.routes[&circ].counted[0];
    world.event(CLIENT, Event::Message { circ, hop: 1, message: Message::Offer(dearer), own, peer: own });
    world.drain();
    assert_eq!(world.refused(true), [RefusalCode::PRICE_CEILING]);
}

#[test]
fn the_budget_of_the_day_stops_payments_with_its_code() {
    let day = 2 * u64::from(WINDOW) * 3;
    let mut world = World::open(Setup { day, ..Setup::default() });
    let circ = world.stream();
    for _ in 0..30 {
        world.flow(circ, 200);
        world.run(1);
    }
    assert!(world.refused(true).contains(&RefusalCode::BUDGET_DAY), "{:?}", world.refused(true));
    assert!(world.spent() > 0 && world.spent() <= day);
    world.check();
}

#[test]
fn the_budget_of_a_site_stops_its_payments_with_its_code() {
    let mut world = World::open_with_site(Setup { site: 1000, ..Setup::default() });
    let circ = world.stream();
    world.run(10);
    let (mut session, spent) = (None, world.spent());
    let call = world.until_asked(circ, &mut session, 100_000);
    assert_eq!(world.answer(call), Some(&Answer::Failed(RefusalCode::BUDGET_SITE)));
    assert_eq!((world.spent(), world.books(SITE).0), (spent, 0));
}

#[test]
fn a_hop_that_asks_a_higher_fee_than_it_offered_is_told_apart_and_gets_no_signature() {
    let mut world = World::open_with_site(Setup::default());
    let circ = world.stream();
    world.run(10);
    let spent = world.spent();
    world.deaf.insert((N2, TEMPLATE));
    let call = world.until_asked(circ, &mut None, 1 << 16);
    let said = world.log.iter().rev().find_map(|(from, _, m)| match m {
        Message::Template(template) if *from == N2 => Some(template.clone()),
        _ => None,
    });
    let mut template = said.expect("a template that got lost");
    assert_eq!(template.fee.get(), FEE);
    template.fee = amount(FEE + 1);
    world.towards_origin(circ, 1, Message::Template(template));
    world.drain();
    assert_eq!(world.answer(call), Some(&Answer::Failed(RefusalCode::FEE_ABOVE)));
    assert!(world.refused(false).contains(&RefusalCode::FEE_ABOVE));
    assert_eq!(world.spent(), spent);
    world.check();
}

#[test]
fn a_web_payment_of_a_wallet_without_money_is_refused_until_it_is_topped_up() {
    let mut world = World::new(Setup::default());
    for (payer, payee) in [(N1, N2), (N2, N3)] {
        world.link(payer, payee);
    }
    let (all, to) = (amount(world.base.node_balance(CLIENT)), world.base.nodes[N1].wallet.account());
    let key = world.base.nodes[CLIENT].wallet.account_key();
    world
        .base
        .transact(&key, |source| magicwave::stellar::template::payment(source, &to, &asset(), all).expect("payment"));
    let circ = world.stream();
    world.run(15);
    let mut session = None;
    let call = world.until_asked(circ, &mut session, 1 << 16);
    let answer = world.answer(call).cloned().expect("an answer");
    assert_eq!(answer, Answer::Failed(RefusalCode::NO_FUNDS));
    assert!(answer.may_be_asked_again());
    world.base.fund(CLIENT, 10 * UNIT);
    let paid = (0..60).any(|_| {
        world.run(2);
        let call = world.until_asked(circ, &mut session, 1 << 16);
        world.run(2);
        matches!(world.answer(call), Some(Answer::Paid(_)))
    });
    assert!(paid, "{:?}", world.answers.last());
}
