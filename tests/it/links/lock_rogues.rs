//! Payers, payees and clocks that play against an open lock.
use super::locks::{MARGIN, row};
use super::world::*;
use magicwave::gateway::core::message::*;
use magicwave::gateway::link::{EscrowRow, Limits, NewLock, PayeeRef};
use magicwave::gateway::port::{Out, Row};
use magicwave::stellar::adaptor::LockSecret;

fn world(seed: u64) -> World {
    row(seed, 2)
}

fn locked(world: &mut World, stroops: u64, secs: u64) -> (Id, LockSecret) {
    let hop = world.hop();
    let lock = LockSecret::random(&mut world.rng).expect("random");
    let (from, relay) = (world.payer_ref(0, 1), world.relay(1));
    let max_time = world.now_ms / 1000 + secs;
    let template = world
        .step(1, |links, now, rng, _| links.lock_template(now, rng, from, hop, amount(stroops)))
        .expect("alive")
        .expect("template");
    let new = NewLock { point: lock.point(), max_time, offset: None };
    let claim = world
        .step(0, |links, now, rng, out| {
            links.sign_locked(now, rng, hop, PayeeRef::Relay(relay), amount(stroops), &template, new, out)
        })
        .expect("alive")
        .expect("signed");
    let late = world.now_ms / 1000 + MARGIN;
    world
        .step(1, |links, now, _, out| {
            let taken = links.check_lock(now, &hop, amount(stroops), &claim, late)?;
            links.keep_lock(now, taken, out);
            Ok::<_, RefusalCode>(())
        })
        .expect("alive")
        .expect("taken");
    (hop, lock)
}

fn revealed(world: &mut World, hop: Id, lock: &LockSecret) -> Result<(), RefusalCode> {
    let secret = *lock.expose();
    world.step(1, |links, now, _, out| links.reveal(now, &hop, &secret, out)).expect("alive")
}

fn lane(world: &World, node: usize) -> EscrowRow {
    world.lanes(node)[0].clone()
}

/// What a rogue payer signs: a plain claim of that epoch.
fn evil(world: &mut World, epoch: u32, stroops: u64) -> Claim {
    let mut lane = lane(world, 0);
    (lane.epoch, lane.held, lane.total, lane.lock) = (epoch, Default::default(), amount(0), None);
    let limits = world.nodes[0].limits.clone();
    let mut evil = load(&world.nodes[0].wallet, &limits, world.link_rows(0), vec![lane.clone()]);
    let (hop, from, relay) = (world.hop(), world.payer_ref(0, 1), world.relay(1));
    let template = world.step(1, |links, _, rng, _| links.template(rng, from, hop, amount(stroops)));
    let template = template.expect("alive").expect("template");
    let (now, mut out) = (world.now_ms, Out::default());
    drop(
        evil.sign(now, &mut world.rng, hop, PayeeRef::Relay(relay), amount(stroops), &template, &mut out)
            .expect("signed"),
    );
    let row = out.rows.into_iter().find_map(|row| match row {
        Row::Escrow(row) => Some(*row),
        _ => None,
    });
    let held = row.expect("a row").held;
    Claim { escrow: lane.escrow, epoch, cumulative: held.cumulative, signature: held.signature.expect("signed") }
}

fn ahead(held: u64) {
    let mut world = world(902 + held);
    if held > 0 {
        world.pay(0, 1, held).expect("paid");
    }
    let (hop, lock) = locked(&mut world, 700, 35);
    let claim = evil(&mut world, 1, 1);
    let circ = world.circuit(0, 1);
    world.inject(0, circ, Message::Claim(claim));
    world.run(2);
    // The payer is silent from here on; our node learns the secret from the one behind it (who landed).
    (world.asleep, world.down) = (vec![0], vec![0, 1]);
    world.drop_circuits();
    revealed(&mut world, hop, &lock).expect("in time");
    let before = world.node_balance(1);
    world.run(120);
    assert!(world.node_balance(1) - before >= 700, "the lock never landed");
}

#[test]
fn a_claim_of_the_next_epoch_buries_no_open_lock() {
    ahead(50);
}

#[test]
fn nor_with_nothing_held_before() {
    ahead(0);
}

#[test]
fn too_late_from_a_server_that_trails_forgets_nothing_that_landed() {
    let mut world = world(906);
    world.pay(0, 1, 50).expect("paid");
    let (hop, lock) = locked(&mut world, 700, 30);
    world.down = vec![0, 1];
    world.drop_circuits();
    revealed(&mut world, hop, &lock).expect("in time");
    let before = world.node_balance(1);
    world.run(26);
    world.blind = true;
    world.run(10);
    assert_eq!(world.node_balance(1), before + 750, "it landed");
    world.blind = false;
    world.run(60);
    let l = lane(&world, 1);
    assert_eq!((l.landed.get(), l.total.get()), (750, 750));
    world.down.clear();
    world.pay_for_sure(0, 1, 10);
}

#[test]
fn a_payee_put_back_to_a_revealed_lock_keeps_the_epoch_after_it() {
    let mut world = world(907);
    let relay = world.relay(1);
    world.pay(0, 1, 50).expect("paid");
    let (hop, lock) = locked(&mut world, 700, 38);
    let start = world.node_balance(1);
    revealed(&mut world, hop, &lock).expect("in time");
    let old = world.backup(1);
    world.run(10);
    assert!(lane(&world, 1).lock.is_none(), "folded");
    world.step(1, |links, now, rng, out| links.flush_all(now, rng, out));
    world.run(10);
    assert_eq!(lane(&world, 1).landed.get(), 750);
    world.pay_for_sure(0, 1, 5_000);
    world.roll_back(1, old);
    for _ in 0..80 {
        world.step(0, |links, now, rng, out| links.want_payee(now, rng, relay, out));
        world.run(1);
    }
    world.settle();
    assert!(world.node_balance(1) - start >= 5_750);
}

mod onwards {
    use super::*;
    use magicwave::gateway::core::seal;
    use magicwave::gateway::link::{LinkRow, Role};
    use magicwave::stellar::adaptor::LockOffset;

    /// 0 pays 1 pays 2: both locks open, 1 signed onwards for the first.
    fn chain(seed: u64, up_secs: u64, down_secs: u64) -> (World, Id, Id, LockSecret, LockSecret) {
        let mut world = row(seed, 3);
        let down = LockSecret::random(&mut world.rng).expect("random");
        let d = LockOffset::random(&mut world.rng).expect("random");
        let up = down.shift(&d).expect("sum");
        let (h, g) = (world.hop(), world.hop());
        let now = world.now_ms / 1000;
        let (up_point, down_point) = (up.point(), down.point());
        for (payer, hop, own, point, offset, secs, sum) in
            [(0, h, h, up_point, None, up_secs, 800), (1, g, h, down_point, Some(d), down_secs, 700)]
        {
            let (from, relay) = (world.payer_ref(payer, payer + 1), world.relay(payer + 1));
            let template = world
                .step(payer + 1, |links, now, rng, _| links.lock_template(now, rng, from, hop, amount(sum)))
                .expect("alive")
                .expect("template");
            let new = NewLock { point, max_time: now + secs, offset };
            let claim = world
                .step(payer, |links, now, rng, out| {
                    links.sign_locked(now, rng, own, PayeeRef::Relay(relay), amount(sum), &template, new, out)
                })
                .expect("alive")
                .expect("signed");
            world
                .step(payer + 1, |links, now, _, out| {
                    let taken = links.check_lock(now, &hop, amount(sum), &claim, now / 1000)?;
                    links.keep_lock(now, taken, out);
                    Ok::<_, RefusalCode>(())
                })
                .expect("alive")
                .expect("taken");
        }
        (world, h, g, up, down)
    }

    fn at(world: &World, node: usize, role: Role) -> EscrowRow {
        world
            .lanes(node)
            .into_iter()
            .filter(|l| l.role == role && l.created > 0)
            .min_by_key(|l| l.created)
            .expect("a lane")
    }

    #[test]
    fn a_secret_told_after_both_locks_are_void_moves_nothing() {
        let (mut world, _h, g, _up, down) = chain(908, 30, 20);
        (world.asleep, world.down) = (vec![0, 2], vec![0]);
        world.blind = true; // nobody tells 1 what became of its own lock
        world.run(40);
        assert!(at(&world, 1, Role::Payer).lock.is_some());
        let escrow = at(&world, 1, Role::Payer).escrow;
        let circ = world.circuit(1, 2);
        world.inject(2, circ, Message::Reveal(Reveal { escrow, hop_id: g, secret: *down.expose() }));
        world.blind = false;
        world.run(60);
        let (inn, out) = (at(&world, 1, Role::Payee), at(&world, 1, Role::Payer));
        assert!(inn.total >= out.total, "pays {:?} and is paid {:?}", out.total, inn.total);
    }

    #[test]
    fn a_clock_that_jumps_lifts_no_lock_that_was_signed_onwards() {
        let (mut world, _h, g, _up, down) = chain(909, 38, 30);
        let plain = world.hop();
        let claim = world.signed(0, 1, plain, 30).expect("signed");
        let rows: Vec<LinkRow> = world.link_rows(0);
        let row = rows.iter().find(|row| row.role == Role::Payer).expect("a link");
        let mut body = seal::open_claim(&row.key, row.tag, &claim).expect("own words");
        body.beside = Beside::Nothing;
        let bare = seal::seal_claim(&row.key, row.tag, [7; 24], &body).expect("sealed");
        let now = world.now_ms;
        world.now_ms += 120_000; // two minutes, for one message
        let _ = world.accepted(1, plain, 30, &bare);
        world.now_ms = now;
        let escrow = at(&world, 1, Role::Payer).escrow;
        let circ = world.circuit(1, 2);
        world.inject(2, circ, Message::Reveal(Reveal { escrow, hop_id: g, secret: *down.expose() }));
        let (inn, out) = (at(&world, 1, Role::Payee), at(&world, 1, Role::Payer));
        assert!(inn.total.get() >= out.total.get(), "pays {:?} and is paid {:?}", out.total, inn.total);
    }
}

#[test]
fn a_carry_that_is_said_under_an_open_lock_is_not_forgotten() {
    let limits = Limits { lock_secs: MARGIN, flush_interval_secs: 40_000, flush_jitter_secs: 0, ..limits() };
    let mut world = World::new(912, 2, 0, &Limits { period_secs: 7 * 86_400, ..limits });
    world.open(0, 1);
    world.pay(0, 1, 5_300).expect("paid");
    world.step(1, |links, now, rng, out| links.flush_all(now, rng, out));
    world.lost_kind =
        Some(Message::Claim(Claim { escrow: [0; 32], epoch: 0, cumulative: amount(1), signature: [0; 64] }).kind());
    world.run(10);
    let _ = locked(&mut world, 700, 20);
    world.lost_kind = None;
    world.run(60);
    let l = lane(&world, 1);
    assert!(l.held.cumulative.get() == 300 || l.carry.is_some(), "nobody at the payee remembers 300");
}
