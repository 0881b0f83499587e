//! What a client pays web services, and what it does not pay twice.
use super::world::*;
use magicwave::gateway::core::message::{Id, Offer, PaymentRequest, RefusalCode};
use magicwave::gateway::core::request::mac;
use magicwave::gateway::port::*;
use magicwave::units::Stroops;

const CREATE: u8 = 4;
const TEMPLATE: u8 = 5;
const SIGN: u8 = 6;
const DELIVER: u8 = 8;
/// Bytes of a response.
const NEED: u64 = 1 << 16;

fn with_site() -> (World, CircuitId) {
    let mut world = World::open_with_site(Setup::default());
    let circ = world.stream();
    world.run(10);
    (world, circ)
}

/// Uses what is covered, until the site asks for money; as it says it.
fn ask(world: &mut World, session: &mut Option<Id>) -> (Offer, PaymentRequest) {
    for _ in 0..100 {
        let call = world.fresh();
        world.event(SITE, Event::Site { call, ask: SiteAsk::Require { session: *session, need: NEED } });
        world.drain();
        let at = world.answers.iter().position(|(node, of, _)| (*node, *of) == (SITE, call)).expect("an answer");
        match world.answers.remove(at).2 {
            Answer::Pay { offer, request } => return (*offer, *request),
            Answer::Serve { session: served, .. } => {
                *session = Some(served);
                world.event(SITE, Event::Served { session: served, bytes: NEED });
            }
            other => panic!("{other:?}"),
        }
    }
    panic!("the site serves for nothing");
}

/// The same request from a site that says it got nothing so far.
fn forgetful(offer: &Offer, mut request: PaymentRequest) -> PaymentRequest {
    request.amount_paid = Stroops::ZERO;
    request.mac = mac(&offer.mac_key, &request);
    request
}

/// What the site is to get out of a payment.
fn due(world: &World, call: u64) -> u64 {
    match world.answer(call) {
        Some(Answer::Paid(row)) => row.payees[3].due.get(),
        other => panic!("{other:?}"),
    }
}

/// A session in which the site was paid what it asked for first.
fn bought(world: &mut World, circ: CircuitId) -> Option<Id> {
    let mut session = None;
    let (offer, request) = ask(world, &mut session);
    let session = Some(offer.session);
    world.pay(circ, offer, request);
    world.run(5);
    session
}

#[test]
fn a_site_that_forgets_what_it_got_is_not_paid_for_it_again() {
    let (mut world, circ) = with_site();
    let mut session = bought(&mut world, circ);
    let (offer, request) = ask(&mut world, &mut session);
    let got = world.books(SITE).0;
    assert!(got > 0 && request.amount_paid.get() == got);
    let whole = request.amount_due.get();
    let request = forgetful(&offer, request);
    let call = world.pay(circ, offer, request);
    world.run(5);
    assert_eq!(due(&world, call), whole - got, "our own count of what it got");
}

#[test]
fn a_payment_that_never_reached_the_site_is_lost_once_and_does_not_count_as_paid() {
    let (mut world, circ) = with_site();
    let mut session = None;
    world.deaf.insert((SITE, DELIVER));
    let call = world.until_asked(circ, &mut session, NEED);
    world.run(40);
    let lost = world.answer(call).expect("an answer").clone();
    assert!(matches!(lost, Answer::Lost(RefusalCode::TIMED_OUT)), "{lost:?}");
    assert!(!lost.may_be_asked_again(), "asking again would pay again");
    let (signed, spent) = (world.nodes[CLIENT].payments.len(), world.spent());
    world.run(60);
    assert_eq!((world.nodes[CLIENT].payments.len(), world.spent()), (signed, spent), "nobody tries again by itself");
    // The person does.
    world.deaf.clear();
    let (offer, request) = ask(&mut world, &mut session);
    let whole = request.amount_due.get();
    let call = world.pay(circ, offer, request);
    world.run(5);
    assert_eq!(due(&world, call), whole);
    world.check();
}

#[test]
fn a_payment_that_failed_before_it_was_signed_may_be_asked_for_again() {
    let (mut world, circ) = with_site();
    world.deaf.insert((SITE, CREATE));
    let mut session = None;
    let call = world.until_asked(circ, &mut session, NEED);
    let spent = world.spent();
    world.run(40);
    let failed = world.answer(call).expect("an answer").clone();
    assert!(matches!(failed, Answer::Failed(_)), "{failed:?}");
    assert_eq!(world.spent(), spent);
    for code in [RefusalCode::BUSY, RefusalCode::NO_LINK, RefusalCode::ESCROW_PENDING] {
        assert!(Answer::Failed(code).may_be_asked_again() && !Answer::Lost(code).may_be_asked_again());
    }
    assert!(!Answer::Failed(RefusalCode::PRICE_CEILING).may_be_asked_again());
}

#[test]
fn what_a_pass_under_way_is_about_to_pay_is_not_paid_by_another_one() {
    let mut world = World::open_with_site(Setup::default());
    // The pass for all hops waits for one template; it has promised them their due.
    world.deaf.insert((N3, TEMPLATE));
    let circ = world.stream();
    world.run(1);
    let mut session = None;
    let call = world.until_asked(circ, &mut session, NEED);
    world.deaf.clear();
    world.run(10);
    let Some(Answer::Paid(web)) = world.answer(call).cloned() else { panic!("{:?}", world.answers) };
    let tor = world.nodes[CLIENT].payments.values().filter(|p| p.site.is_none());
    for hop in [N1, N2, N3] {
        let paid = tor.clone().filter_map(|p| p.payees.get(hop)).filter(|p| !p.due.is_zero()).count();
        assert_eq!(paid, 1, "hop {hop}");
    }
    assert!(web.payees[..3].iter().all(|p| p.due.is_zero()), "the hops are paid once: {web:?}");
    assert!(!web.payees[3].due.is_zero());
    world.check();
}

#[test]
fn a_site_whose_hops_sign_nothing_costs_one_increment_and_says_so() {
    let (mut world, circ) = with_site();
    world.deaf.insert((N3, SIGN));
    let mut session = None;
    let call = world.until_asked(circ, &mut session, NEED);
    world.run(40);
    assert!(matches!(world.answer(call), Some(Answer::Lost(_))), "{:?}", world.answer(call));
    assert_eq!(world.books(SITE).0, 0);
    world.check();
}

#[test]
fn an_operator_who_closes_all_links_signs_nothing_more_and_hears_what_comes_back() {
    let (mut world, circ) = with_site();
    let mut session = bought(&mut world, circ);
    let (spent, call) = (world.spent(), world.fresh());
    assert!(spent > 0);
    world.event(CLIENT, Event::Close { call });
    world.drain();
    let Some(Answer::Closing(coming)) = world.answer(call) else { panic!("{:?}", world.answers) };
    let [lane] = &world.lanes(CLIENT)[..] else { panic!("one link, to the guard") };
    assert_eq!(coming.len(), 1);
    assert_eq!((coming[0].escrow, coming[0].amount), (lane.escrow, lane.deposit.saturating_sub(lane.total)));
    assert_eq!(coming[0].due_ms, (lane.seq_time + u64::from(lane.period)) * 1000);
    let (offer, request) = ask(&mut world, &mut session);
    let call = world.pay(circ, offer, request);
    world.run(30);
    assert_eq!(world.answer(call), Some(&Answer::Failed(RefusalCode::NO_CAPACITY)));
    assert_eq!((world.spent(), world.lanes(CLIENT).len()), (spent, 1));
    world.check();
}
