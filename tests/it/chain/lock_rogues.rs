//! Neighbours that play against the locks of a whole chain.
use super::theft::say;
use super::world::*;
use magicwave::gateway::chain::PaymentState;
use magicwave::gateway::core::locks::Locks;
use magicwave::gateway::core::message::*;
use magicwave::gateway::core::seal;
use magicwave::gateway::link::{EscrowRow, LinkRow, Role};

const SIGN: u8 = 6;

fn locked() -> Setup {
    Setup { locks: Locks::Always, ..Setup::default() }
}

#[test]
fn for_one_lock_that_came_in_one_goes_out() {
    let mut setup = locked();
    setup.limits.lock_secs = 20;
    let mut world = World::open_with_site(setup);
    let circ = world.stream();
    world.run(5);
    world.deaf.insert((N2, SIGN));
    let mut session = None;
    world.until_asked(circ, &mut session, 100_000);
    let sign = world.log.iter().rev().find_map(|(_, to, m)| match m {
        Message::Sign(sign) if *to == N2 => Some(sign.clone()),
        _ => None,
    });
    let sign = sign.expect("a Sign");
    say(&mut world, circ, N2, Message::Sign(sign.clone()));
    for k in 0..3u8 {
        world.run(8);
        // N3 plays along: it seals a template for another name, on another lane.
        let lanes = world.lanes(N2);
        let open = |l: &&EscrowRow| l.role == Role::Payer && l.state.name() == "open" && l.lock.is_none();
        let Some(free) = lanes.iter().find(open) else { continue };
        let mut rows = world.nodes[N3].links.values().map(|r| serde_json::from_str::<LinkRow>(r).expect("row"));
        let row = rows.find(|r| r.id == free.link).expect("link");
        let mut body = seal::open_template(&row.key, row.tag, &sign.template).expect("own words");
        (body.hop_id, body.escrow, body.epoch, body.cumulative) =
            ([k + 77; 16], free.escrow, free.epoch, free.held.cumulative);
        let template = seal::seal_template(&row.key, row.tag, [k; 24], &body).expect("sealed");
        say(&mut world, circ, N2, Message::Sign(Sign { template, ..sign.clone() }));
    }
    let lanes = world.lanes(N2);
    let out: Vec<_> = lanes.iter().filter(|l| l.role == Role::Payer && l.lock.is_some()).collect();
    let inn: Vec<_> = lanes.iter().filter(|l| l.role == Role::Payee && l.lock.is_some()).collect();
    assert!(inn.len() == 1 && out.len() <= 1, "{} locks in, {} locks out", inn.len(), out.len());
}

#[test]
fn what_became_of_a_lock_is_known_after_a_restart() {
    let mut world = World::open_with_site(locked());
    let circ = world.stream();
    world.run(5);
    world.deaf.insert((SITE, 9));
    let mut session = None;
    world.until_asked(circ, &mut session, 100_000);
    assert!(world.lanes(CLIENT).iter().any(|l| l.lock.is_some()));
    for _ in 0..200 {
        if world.lanes(CLIENT).iter().all(|l| l.lock.is_none()) {
            break;
        }
        world.run(1);
    }
    let state =
        |world: &World| world.nodes[CLIENT].payments.values().find(|p| p.site.is_some()).map(|p| (p.state, p.total));
    let complete = state(&world);
    world.restart(CLIENT);
    world.run(200);
    assert_eq!(state(&world), complete);
    assert_eq!(complete.expect("row").0, PaymentState::Complete);
    // As a process leaves it that ended in between.
    let row = world.nodes[CLIENT].payments.values_mut().find(|p| p.site.is_some()).expect("row");
    row.state = PaymentState::Signed;
    world.restart(CLIENT);
    world.run(5);
    assert_eq!(state(&world), complete);
}
