//! Claims under locks on one link: taken, raised, folded, landed, read off the ledger, and what a rogue gets of them.
use super::world::*;
use magicwave::gateway::core::message::{Beside, Carried, ClaimBody, Id, RefusalCode};
use magicwave::gateway::core::seal;
use magicwave::gateway::link::{EscrowRow, Limits, LinkRow, LockNews, NewLock, PayeeRef, Role};
use magicwave::gateway::port::{AccountHistory, LedgerResult};
use magicwave::stellar::adaptor::LockSecret;

pub(super) const MARGIN: u64 = 5;

/// Relays in a row, each with a link to the next; nothing is flushed but by a test.
pub(super) fn row(seed: u64, relays: usize) -> World {
    let limits = Limits {
        lock_secs: MARGIN,
        denomination: amount(1),
        flush_interval_secs: 40_000,
        flush_jitter_secs: 0,
        period_secs: 7 * 86_400,
        ..limits()
    };
    let mut world = World::new(seed, relays, 0, &limits);
    (1..relays).for_each(|payee| world.open(payee - 1, payee));
    world
}

fn world(seed: u64) -> World {
    row(seed, 2)
}

fn secret(world: &mut World) -> LockSecret {
    LockSecret::random(&mut world.rng).expect("random")
}

/// The payer's half of a locked payment that ends in `secs` seconds.
fn signed(world: &mut World, hop: Id, stroops: u64, lock: &LockSecret, secs: u64) -> Result<Carried, RefusalCode> {
    let (from, relay) = (world.payer_ref(0, 1), world.relay(1));
    let max_time = world.now_ms / 1000 + secs;
    let template = world
        .step(1, |links, now, rng, _| links.lock_template(now, rng, from, hop, amount(stroops)))
        .expect("alive")?;
    let new = NewLock { point: lock.point(), max_time, offset: None };
    world
        .step(0, |links, now, rng, out| {
            links.sign_locked(now, rng, hop, PayeeRef::Relay(relay), amount(stroops), &template, new, out)
        })
        .expect("alive")
}

/// The payee's half: checked and kept.
fn taken(world: &mut World, hop: Id, stroops: u64, claim: &Carried) -> Result<(), RefusalCode> {
    let late = world.now_ms / 1000 + MARGIN;
    world
        .step(1, |links, now, _, out| {
            let taken = links.check_lock(now, &hop, amount(stroops), claim, late)?;
            links.keep_lock(now, taken, out);
            Ok(())
        })
        .expect("alive")
}

fn revealed(world: &mut World, hop: Id, lock: &LockSecret) -> Result<(), RefusalCode> {
    let secret = *lock.expose();
    world.step(1, |links, now, _, out| links.reveal(now, &hop, &secret, out)).expect("alive")
}

fn lane(world: &World, node: usize) -> EscrowRow {
    world.lanes(node)[0].clone()
}

fn news(world: &mut World) -> Vec<LockNews> {
    world.step(0, |links, _, _, _| links.take_lock_news()).expect("alive")
}

/// A lock that is taken: its payment and its secret.
fn locked(world: &mut World, stroops: u64, secs: u64) -> (Id, LockSecret) {
    let (hop, lock) = (world.hop(), secret(world));
    let claim = signed(world, hop, stroops, &lock, secs).expect("signed");
    taken(world, hop, stroops, &claim).expect("taken");
    (hop, lock)
}

fn cut_off(world: &mut World) {
    world.down = vec![0, 1];
    world.drop_circuits();
}

#[test]
fn a_lock_whose_secret_is_told_becomes_a_plain_claim() {
    let mut world = world(301);
    let (hop, lock) = locked(&mut world, 700, 35);
    assert_eq!((lane(&world, 0).total.get(), lane(&world, 1).total.get()), (0, 0), "nothing is paid yet");
    revealed(&mut world, hop, &lock).expect("in time");
    assert_eq!(lane(&world, 1).total.get(), 700);
    world.run(10);
    assert_eq!(news(&mut world), [LockNews { own: hop, secret: Some(lock) }]);
    for node in [0, 1] {
        let lane = lane(&world, node);
        assert_eq!((lane.lock, lane.total.get(), lane.held.cumulative.get()), (None, 700, 700));
    }
    world.settle();
    assert_eq!(lane(&world, 1).landed.get(), 700);
}

#[test]
fn a_claim_that_nobody_folds_lands_before_its_time_is_over_and_the_payer_reads_the_secret_there() {
    let mut world = world(302);
    world.pay(0, 1, 50).expect("paid");
    let (hop, lock) = locked(&mut world, 700, 30);
    cut_off(&mut world);
    revealed(&mut world, hop, &lock).expect("in time");
    let before = world.node_balance(1);
    world.run(29);
    assert_eq!(world.node_balance(1), before + 750, "the locked claim holds the plain ones before it, too");
    assert_eq!(lane(&world, 1).lock, None);
    world.run(20);
    assert_eq!(news(&mut world), [LockNews { own: hop, secret: Some(lock) }]);
    let lane = lane(&world, 0);
    assert_eq!((lane.lock.is_none(), lane.total.get(), lane.landed.get()), (true, 750, 750));
    world.down.clear();
    world.settle();
}

#[test]
fn a_payer_that_was_dead_meanwhile_reads_the_secret_when_it_is_back() {
    let mut world = world(303);
    let (hop, lock) = locked(&mut world, 700, 30);
    cut_off(&mut world);
    world.asleep = vec![0];
    revealed(&mut world, hop, &lock).expect("in time");
    world.run(40);
    world.asleep.clear();
    world.restart(0);
    world.run(10);
    assert_eq!(news(&mut world), [LockNews { own: hop, secret: Some(lock) }]);
    assert_eq!(lane(&world, 0).total.get(), 700);
}

#[test]
fn a_lock_without_its_secret_ends_with_its_time_and_costs_nobody_anything() {
    let mut world = world(304);
    let (hop, lock) = locked(&mut world, 700, 20);
    world.run(19);
    assert!(lane(&world, 0).lock.is_some() && lane(&world, 1).lock.is_some());
    world.run(10);
    assert_eq!(news(&mut world), [LockNews { own: hop, secret: None }]);
    assert_eq!((lane(&world, 0).lock, lane(&world, 1).lock), (None, None));
    assert_eq!(revealed(&mut world, hop, &lock), Err(RefusalCode::HOP_UNKNOWN), "too late");
    assert_eq!((lane(&world, 0).total.get(), lane(&world, 1).total.get()), (0, 0));
    world.pay(0, 1, 10).expect("the lane goes on");
    world.settle();
}

#[test]
fn a_payer_whose_clock_runs_ahead_does_not_let_go_of_a_lock_before_the_ledger_does() {
    let mut world = world(305);
    let (hop, lock) = locked(&mut world, 700, 35);
    let now = world.now_ms;
    for _ in 0..20 {
        world.now_ms += 600_000;
        world.step(0, |links, now, rng, out| links.on_tick(now, rng, out));
        world.drain();
    }
    assert!(lane(&world, 0).lock.is_some(), "no ledger closed after the end of the lock");
    world.now_ms = now;
    revealed(&mut world, hop, &lock).expect("in time");
    world.run(30);
    assert_eq!(lane(&world, 0).total.get(), 700);
}

#[test]
fn a_ledger_that_is_out_delays_and_loses_nothing() {
    let mut world = world(306);
    let (hop, _) = locked(&mut world, 700, 20);
    world.blind = true;
    world.flaky = 100;
    world.run(60);
    assert!(lane(&world, 0).lock.is_some(), "nobody says what became of it");
    world.blind = false;
    world.flaky = 0;
    world.run(120);
    assert_eq!(news(&mut world), [LockNews { own: hop, secret: None }]);
}

#[test]
fn a_plain_claim_brings_the_open_lock_anew_and_both_count() {
    let mut world = world(307);
    let (hop, lock) = locked(&mut world, 700, 35);
    world.pay(0, 1, 30).expect("paid beside the lock");
    world.pay(0, 1, 4).expect("and once more");
    for node in [0, 1] {
        let lane = lane(&world, node);
        let open = lane.lock.expect("open");
        assert_eq!((lane.total.get(), lane.held.cumulative.get(), open.cumulative.get()), (34, 34, 734));
    }
    cut_off(&mut world);
    revealed(&mut world, hop, &lock).expect("in time");
    let before = world.node_balance(1);
    world.run(70);
    assert_eq!(world.node_balance(1), before + 734);
    world.down.clear();
    world.settle();
    assert_eq!((lane(&world, 0).total.get(), lane(&world, 1).landed.get()), (734, 734));
}

#[test]
fn claims_that_were_lost_are_covered_by_a_lock_that_is_folded() {
    let mut world = world(308);
    let (hop, lock) = locked(&mut world, 700, 35);
    let late = world.hop();
    let claim = world.signed(0, 1, late, 30).expect("signed, and late");
    revealed(&mut world, hop, &lock).expect("in time");
    world.run(10);
    assert_eq!(lane(&world, 1).lock, None, "folded");
    world.accepted(1, late, 30, &claim).expect("the claim counts all the same");
    assert_eq!((lane(&world, 0).total.get(), lane(&world, 1).total.get()), (730, 730));
    world.settle();
}

/// What a rogue payer can seal: the inside of a claim, changed.
fn resealed(world: &mut World, claim: &Carried, change: impl FnOnce(&mut ClaimBody)) -> Carried {
    let rows: Vec<LinkRow> = world.link_rows(0);
    let row = rows.iter().find(|row| row.role == Role::Payer).expect("a link");
    let mut body = seal::open_claim(&row.key, row.tag, claim).expect("own words");
    change(&mut body);
    seal::seal_claim(&row.key, row.tag, [7; 24], &body).expect("sealed")
}

#[test]
fn a_rise_below_an_open_lock_does_not_count_without_the_lock() {
    let mut world = world(309);
    let (hop, lock) = locked(&mut world, 700, 35);
    let plain = world.hop();
    let claim = world.signed(0, 1, plain, 30).expect("signed");
    let bare = resealed(&mut world, &claim, |body| body.beside = Beside::Nothing);
    assert_eq!(world.accepted(1, plain, 30, &bare), Err(RefusalCode::LOCK_STALE));
    let wrong = resealed(&mut world, &claim, |body| body.beside = Beside::Relock([9; 64]));
    assert_eq!(world.accepted(1, plain, 30, &wrong), Err(RefusalCode::LOCK_INVALID));
    assert_eq!(lane(&world, 1).total.get(), 0);
    world.accepted(1, plain, 30, &claim).expect("with the lock's own");
    revealed(&mut world, hop, &lock).expect("in time");
    assert_eq!(lane(&world, 1).total.get(), 730);
}

#[test]
fn locks_that_are_not_what_they_should_be_are_refused_by_their_code() {
    let mut world = world(310);
    let (hop, lock) = (world.hop(), secret(&mut world));
    let claim = signed(&mut world, hop, 700, &lock, 35).expect("signed");
    let now = world.now_ms / 1000;
    let other = secret(&mut world).point().to_bytes();
    let mut refuse = |code: RefusalCode, change: &dyn Fn(&mut ClaimBody)| {
        let claim = resealed(&mut world, &claim, change);
        assert_eq!(taken(&mut world, hop, 700, &claim), Err(code));
        assert_eq!(lane(&world, 1).lock, None);
    };
    let point = lock.point().to_bytes();
    refuse(RefusalCode::LOCK_INVALID, &|body| body.beside = Beside::Nothing);
    refuse(RefusalCode::LOCK_INVALID, &|body| body.beside = Beside::Lock(other, now + 35));
    refuse(RefusalCode::LOCK_INVALID, &|body| body.beside = Beside::Lock(point, now + 36));
    // Of small order, and of mixed order: the base point plus a point of order 2 (0, -1) has y negated.
    refuse(RefusalCode::LOCK_INVALID, &|body| body.beside = Beside::Lock([0; 32], now + 35));
    let mut small = [0; 32];
    small[0] = 1;
    refuse(RefusalCode::LOCK_INVALID, &|body| body.beside = Beside::Lock(small, now + 35));
    refuse(RefusalCode::LOCK_TIME, &|body| body.beside = Beside::Lock(point, now + MARGIN - 1));
    refuse(RefusalCode::LOCK_TIME, &|body| body.beside = Beside::Lock(point, now + 9 * MARGIN));
    refuse(RefusalCode::LOCK_TIME, &|body| body.beside = Beside::Lock(point, u64::MAX));
    refuse(RefusalCode::LOCK_STALE, &|body| body.claim.epoch = 1);
    refuse(RefusalCode::LOCK_STALE, &|body| body.claim.cumulative = amount(699));
    refuse(RefusalCode::LOCK_INVALID, &|body| body.claim.cumulative = amount(701));
    refuse(RefusalCode::LOCK_INVALID, &|body| body.claim.signature = [3; 64]);
    refuse(RefusalCode::AMOUNT_BELOW, &|body| body.amount = amount(699));
    refuse(RefusalCode::HOP_UNKNOWN, &|body| body.hop_id = [1; 16]);
    refuse(RefusalCode::DEPOSIT_EXCEEDED, &|body| body.claim.cumulative = amount(u64::from(u32::MAX) * 1000));
    // A pre-signature is no signature: it buys nothing in plain.
    assert_eq!(world.accepted(1, hop, 700, &claim), Err(RefusalCode::CLAIM_INVALID));
    taken(&mut world, hop, 700, &claim).expect("as it was made");
    assert_eq!(
        revealed(&mut world, hop, &LockSecret::from_bytes(&[5; 32]).expect("a number")),
        Err(RefusalCode::LOCK_INVALID)
    );
    assert_eq!(lane(&world, 1).total.get(), 0);
}

#[test]
fn a_lane_takes_one_lock_and_its_repeats() {
    let mut world = world(311);
    let (hop, lock) = (world.hop(), secret(&mut world));
    let first = signed(&mut world, hop, 700, &lock, 35).expect("signed");
    taken(&mut world, hop, 700, &first).expect("taken");
    taken(&mut world, hop, 700, &first).expect("the same once more");
    let (second, other) = (world.hop(), secret(&mut world));
    assert_eq!(signed(&mut world, second, 9, &other, 35), Err(RefusalCode::BUSY));
    // The payee gives no template for it either; a rogue that signs without one gets as far as this.
    let rogue = resealed(&mut world, &first, |body| body.hop_id = second);
    assert_eq!(taken(&mut world, second, 700, &rogue), Err(RefusalCode::BUSY));
    revealed(&mut world, hop, &lock).expect("in time");
    revealed(&mut world, hop, &lock).expect("again");
    assert_eq!(lane(&world, 1).total.get(), 700);
    world.run(20);
    assert_eq!(taken(&mut world, hop, 700, &first), Err(RefusalCode::DUPLICATE_CONFLICT), "paid already");
    world.settle();
    assert_eq!(lane(&world, 1).landed.get(), 700);
}

#[test]
fn no_flush_begins_while_a_lock_is_open_and_no_lock_while_one_is_under_way() {
    let mut world = world(312);
    world.pay(0, 1, 50).expect("paid");
    let (hop, lock) = locked(&mut world, 700, 35);
    world.step(1, |links, now, rng, out| links.flush_all(now, rng, out));
    world.drain();
    assert!(lane(&world, 1).frozen.is_none() && lane(&world, 0).frozen.is_none());
    revealed(&mut world, hop, &lock).expect("in time");
    world.run(6);
    // The wish was not forgotten.
    assert!(lane(&world, 1).frozen.is_some() || lane(&world, 1).landed.get() == 750, "{:?}", lane(&world, 1));
    world.run(10);
    assert_eq!(lane(&world, 1).landed.get(), 750);
    world.pay_for_sure(0, 1, 20);
    world.step(1, |links, now, rng, out| links.flush_all(now, rng, out));
    assert!(lane(&world, 1).frozen.is_some());
    let (next, other) = (world.hop(), secret(&mut world));
    // The next lane was opened when the first one was locked; the one that is flushed takes no lock.
    signed(&mut world, next, 9, &other, 35).expect("on the other lane");
    assert_eq!(world.lanes(0).iter().map(|l| l.lock.is_some()).collect::<Vec<_>>(), [false, true]);
}

#[test]
fn an_account_that_used_the_epochs_number_for_another_claim_ends_the_lock() {
    // The payee flushes although it holds a lock, by itself: its lock is void, and the payer sees that.
    let mut world = world(313);
    world.pay(0, 1, 50).expect("paid");
    let old = world.backup(1);
    let (hop, _) = locked(&mut world, 700, 35);
    world.roll_back(1, old);
    world.run(10);
    world.step(1, |links, now, rng, out| links.flush_all(now, rng, out));
    world.run(10);
    assert_eq!(lane(&world, 1).landed.get(), 50);
    world.run(20);
    assert_eq!(news(&mut world), [LockNews { own: hop, secret: None }]);
    assert_eq!((lane(&world, 0).total.get(), lane(&world, 0).landed.get()), (50, 50));
}

#[test]
fn a_history_is_read_in_an_order_that_proves_what_it_says() {
    let world = world(314);
    let escrow = lane(&world, 0).escrow;
    let LedgerResult::History(history) = world.history(&escrow) else { panic!("no history") };
    let AccountHistory { closed_at, envelopes, sequence } = *history;
    assert_eq!(closed_at, world.ledger.header().close_time);
    assert_eq!(envelopes.len(), 1, "the funding is the escrow's own only transaction");
    assert_eq!(sequence, world.view(&escrow).expect("there").sequence);
}
