//! A site that gives credit, among strangers: whoever paid is served.
use super::world::*;
use magicwave::gateway::core::message::Id;
use magicwave::gateway::port::*;
use magicwave::gateway::transport::http::credit::Credits;

/// More strangers than a site remembers.
const STRANGERS: usize = 9_000;

fn require(world: &mut World, session: Option<Id>, need: u64) -> Answer {
    let call = world.fresh();
    world.event(SITE, Event::Site { call, ask: SiteAsk::Require { session, need } });
    world.drain();
    let at = world.answers.iter().position(|(node, of, _)| (*node, *of) == (SITE, call)).expect("an answer");
    world.answers.remove(at).2
}

/// A site that was asked and says serve; with its front told so.
fn admitted(world: &mut World, front: &mut Credits, session: Option<Id>) -> Id {
    match require(world, session, 1) {
        Answer::Serve { session, covered, served, paid } => {
            front.cover(session, covered, served, paid);
            session
        }
        other => panic!("{other:?}"),
    }
}

fn serve(world: &mut World, front: &mut Credits, session: Id, bytes: u64) -> u64 {
    let taken = front.serve(&session, bytes);
    if taken > 0 {
        world.event(SITE, Event::Served { session, bytes: taken });
    }
    taken
}

/// Requests without a session, each served out of the offer's credit.
fn strangers(world: &mut World, front: &mut Credits) {
    for n in 0..STRANGERS {
        let session = admitted(world, front, None);
        assert_eq!(serve(world, front, session, 1), 1, "{n}");
        if n % 512 == 0 {
            world.run(1);
        }
    }
}

/// A visitor whose payment went through; its session.
fn payer(world: &mut World) -> Id {
    let circ = world.stream();
    world.run(10);
    let Answer::Pay { offer, request } = require(world, None, 1 << 20) else { panic!("no money asked for") };
    let session = offer.session;
    let call = world.pay(circ, *offer, *request);
    world.run(30);
    assert!(matches!(world.answer(call), Some(Answer::Paid(_))), "{:?}", world.answer(call));
    session
}

#[test]
fn free_visitors_do_not_use_up_the_place_of_those_who_come_later_and_pay() {
    let mut world = World::open_with_site(Setup { ahead: 1 << 19, ..Setup::default() });
    let mut front = Credits::default();
    strangers(&mut world, &mut front);
    // Far beyond every time-out of the gateway.
    world.now += 7_200_000;
    world.run(2);
    assert_eq!(world.nodes[SITE].gateway.status().sessions, 0);
    let session = payer(&mut world);
    assert_eq!(admitted(&mut world, &mut front, Some(session)), session);
    assert_eq!(serve(&mut world, &mut front, session, 1_000), 1_000);
}

#[test]
fn a_session_that_paid_is_served_to_the_last_byte_among_strangers_and_no_further() {
    let mut world = World::open_with_site(Setup { ahead: 1 << 19, ..Setup::default() });
    let mut front = Credits::default();
    let session = payer(&mut world);
    let Answer::Serve { covered, .. } = require(&mut world, Some(session), 1) else { panic!("paid") };
    admitted(&mut world, &mut front, Some(session));
    let mut got = serve(&mut world, &mut front, session, covered / 4);
    strangers(&mut world, &mut front);
    // A response under way is not asked for again.
    got += serve(&mut world, &mut front, session, covered / 4);
    assert_eq!(got, covered / 4 * 2);
    // A front that knows nothing any more, and is told again, does not begin anew.
    let mut front = Credits::default();
    admitted(&mut world, &mut front, Some(session));
    got += serve(&mut world, &mut front, session, u64::MAX);
    assert_eq!(got, covered);
    assert!(matches!(require(&mut world, Some(session), 1), Answer::Pay { .. }));
}
