//! A client and the relay behind its guard that want two payments onwards for one that came in.
use super::theft::{code, say};
use super::world::*;
use super::world_circuit::Kind;
use crate::links::world::{amount, load, network, relay_id};
use magicwave::gateway::core::codec;
use magicwave::gateway::core::locks::Locks;
use magicwave::gateway::core::message::*;
use magicwave::gateway::core::seal;
use magicwave::gateway::link::{EscrowRow, LinkRow, NewLock, Partner, PayeeRef, Role};
use magicwave::gateway::port::Out;
use magicwave::stellar::adaptor::{LockOffset, LockSecret};

fn at(world: &World, node: usize, role: Role) -> EscrowRow {
    let lanes = world.lanes(node).into_iter().filter(|l| l.role == role && l.created > 0);
    lanes.min_by_key(|l| l.created).expect("a lane")
}

#[test]
fn a_guard_signs_onwards_once_for_one_lock_however_often_it_is_asked() {
    let mut setup = Setup { locks: Locks::Always, ..Setup::default() };
    setup.limits.lock_secs = 20;
    let mut world = World::new(setup);
    world.link(CLIENT, N1);
    world.link(N1, N2);
    let wallet = world.base.nodes[CLIENT].wallet.clone();
    let limits = world.setup.limits.clone();
    let mut evil = load(&wallet, &limits, world.rows::<LinkRow>(CLIENT), world.lanes(CLIENT));
    let tag = evil.tag_of(&relay_id(N1)).expect("tag");
    let asset = world.terms(N1).asset;
    let session = |world: &mut World| {
        let circ = world.build(CLIENT, &[N1, N2], Kind::Streams);
        let hello = Hello { version: codec::VERSION, network: network().short(), asset, nonce: [7; 16] };
        assert!(matches!(say(world, circ, N1, Message::Hello(hello)), Message::Offer(_)));
        circ
    };
    let circ = session(&mut world);
    let fee = world.terms(N1).fee.get();
    let (inn, onw) = (100_000 + fee, 100_000);
    let h = [1; 16];
    let down = LockSecret::random(&mut world.rng).expect("random");
    let d = LockOffset::random(&mut world.rng).expect("random");
    let up = down.shift(&d).expect("sum");
    let now_s = world.now / 1000;
    let (up_max, down_max) = (now_s + 150, now_s + 120);
    let create = |hop_id, amount, lock| {
        Message::Create(Create { hop_id, request: [0; 16], amount, payer: PayerRef::Link(tag), lock })
    };
    let Message::Template(template1) = say(&mut world, circ, N1, create(h, amount(inn), LockWish::Onwards)) else {
        panic!("no template")
    };
    let new = || NewLock { point: up.point(), max_time: up_max, offset: None };
    let (now, mut out) = (world.now, Out::default());
    let payee = || PayeeRef::Relay(relay_id(N1));
    let claim = evil
        .sign_locked(now, &mut world.rng, h, payee(), amount(inn), &template1.template, new(), &mut out)
        .expect("signed");
    // N2's own words for a payment of this name.
    let sign = |world: &World, g: Id, claim: &Carried| {
        let lane = at(world, N1, Role::Payer);
        let row = world.rows::<LinkRow>(N2).into_iter().find(|r| r.id == lane.link).expect("link");
        let body = TemplateBody {
            hop_id: g,
            escrow: lane.escrow,
            epoch: lane.epoch,
            cumulative: lane.held.cumulative,
            amount: amount(onw),
        };
        let template = seal::seal_template(&row.key, row.tag, [g[0]; 24], &body).expect("sealed");
        let lock = Some(LockOrder { offset: *d.expose(), max_time: down_max });
        Message::Sign(Sign {
            hop_id: h,
            amount_in: amount(inn),
            amount_out: amount(onw),
            claim: claim.clone(),
            template,
            lock,
        })
    };
    let reveal = |world: &mut World, g: Id| {
        let escrow = at(world, N1, Role::Payer).escrow;
        let talk = world.routes.iter().rev().find(|(_, r)| {
            r.kind == Kind::Talk
                && ((r.origin == N1 && r.path.contains(&N2)) || (r.origin == N2 && r.path.contains(&N1)))
        });
        let talk = *talk.expect("a circuit").0;
        let said = Message::Reveal(Reveal { escrow, hop_id: g, secret: *down.expose() });
        world.with(N1, |g, now, rng, out| g.links.on_message(now, rng, talk, Partner::Relay(relay_id(N2)), said, out));
    };
    let g = [100; 16];
    let first = sign(&world, g, &claim);
    assert!(matches!(say(&mut world, circ, N1, first), Message::Signed(_)));
    reveal(&mut world, g);
    // Small change on another circuit, until the name is forgotten.
    let other = session(&mut world);
    for k in 0..66u8 {
        let name = [k + 2; 16];
        let Message::Template(t) = say(&mut world, other, N1, create(name, amount(1), LockWish::Plain)) else {
            panic!("no template")
        };
        let (now, mut out) = (world.now, Out::default());
        let claim = evil.sign(now, &mut world.rng, name, payee(), amount(1), &t.template, &mut out).expect("signed");
        let deliver = Message::Deliver(Deliver { hop_id: name, amount: amount(1), proof: Proof::Plain(claim) });
        let answer = say(&mut world, other, N1, deliver);
        assert!(matches!(answer, Message::Delivered(_)), "{answer:?}");
    }
    // The lock once more, for twice as much: two payments onwards would be fair.
    let lane = at(&world, N1, Role::Payee);
    let mut row = at(&world, CLIENT, Role::Payer);
    (row.held, row.total, row.lock) = (lane.held, lane.total.sub(amount(inn)).expect("less"), lane.lock.clone());
    let lock = row.lock.as_mut().expect("never folded");
    (lock.cumulative, lock.pre, lock.secret) = (amount(66 + 2 * inn), None, None);
    let mut evil = load(&wallet, &limits, world.rows::<LinkRow>(CLIENT), vec![row]);
    let (now, mut out) = (world.now, Out::default());
    let claim = evil
        .sign_locked(now, &mut world.rng, h, payee(), amount(inn), &template1.template, new(), &mut out)
        .expect("signed anew");
    for k in 0..10u8 {
        let g = [k + 101; 16];
        let again = sign(&world, g, &claim);
        let answer = say(&mut world, circ, N1, again);
        assert_eq!(code(&answer), Some(RefusalCode::DUPLICATE_CONFLICT), "it was paid and signed onwards once");
        reveal(&mut world, g);
    }
    world.cut(circ, None);
    world.away.insert(CLIENT);
    world.run(200);
    let (inn, out) = (at(&world, N1, Role::Payee), at(&world, N1, Role::Payer));
    assert!(inn.landed.add(inn.held.cumulative).expect("sum") >= out.total);
}
