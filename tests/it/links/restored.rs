//! A store that is put back from a backup: the partner shows what is missing and the ledger what is over, and nothing
//! is lost, paid twice or credited twice.
use super::world::*;
use magicwave::gateway::core::message::{Claim, Message, Reestablish};
use magicwave::gateway::link::Limits;
use magicwave::stellar::template::{self, Source};

fn exact() -> Limits {
    Limits { denomination: amount(1), ..limits() }
}

#[test]
fn a_payee_whose_store_was_put_back_gets_what_its_payer_shows_it() {
    for flushes in 0..4 {
        let mut world = World::new(93, 2, 0, &exact());
        world.open(0, 1);
        let (start, relay) = (world.node_balance(1), world.relay(1));
        world.pay(0, 1, 5_000).expect("paid");
        let old = world.backup(1);
        for _ in 0..flushes {
            world.step(1, |links, now, rng, out| links.flush_all(now, rng, out));
            world.run(5);
            world.pay(0, 1, 2 * UNIT).expect("paid");
        }
        world.pay(0, 1, 300).expect("paid");
        world.roll_back(1, old);
        let owed = 5_300 + flushes * 2 * UNIT;
        for _ in 0..40 {
            world.step(0, |links, now, rng, out| links.want_payee(now, rng, relay, out));
            world.run(1);
        }
        assert_eq!(world.lanes(1)[0].claimed_now(), owed, "{:?}", world.lanes(1)[0]);
        world.pay_for_sure(0, 1, 7);
        world.settle();
        assert_eq!(world.node_balance(1) - start, owed + 7);
    }
}

#[test]
fn a_payee_that_was_put_back_to_before_a_freeze_gets_both_epochs() {
    let mut world = World::new(94, 2, 0, &exact());
    world.open(0, 1);
    let (start, relay) = (world.node_balance(1), world.relay(1));
    world.pay(0, 1, 5_000).expect("paid");
    let old = world.backup(1);
    world.pay(0, 1, 40).expect("paid");
    world.min_fee = i64::MAX;
    world.step(1, |links, now, rng, out| links.flush_all(now, rng, out));
    world.drain();
    world.pay(0, 1, 600).expect("paid in the next epoch");
    world.roll_back(1, old);
    world.min_fee = 0;
    for _ in 0..10 {
        world.step(0, |links, now, rng, out| links.want_payee(now, rng, relay, out));
        world.run(1);
    }
    assert_eq!(world.lanes(1)[0].claimed_now(), 5_600, "{:?}", world.lanes(1)[0]);
    // The payer's answer is for more than the payee knows of, which therefore goes by its own newest claim.
    world.run(330);
    world.settle();
    assert_eq!(world.node_balance(1) - start, 5_640);
}

#[test]
fn a_payer_that_shows_a_claim_of_a_later_epoch_takes_nothing_from_what_the_payee_holds() {
    let mut world = World::new(95, 2, 0, &exact());
    world.open(0, 1);
    world.pay(0, 1, 9 * UNIT).expect("paid");
    let (lane, circ) = (world.lanes(1)[0].clone(), world.circuit(0, 1));
    for epoch in [1, 2, 3] {
        let evil = world.claim(0, epoch, 1);
        world.inject(0, circ, Message::Reestablish(Reestablish { link: lane.link, claim: Some(evil) }));
        world.run(2);
        let now = world.lanes(1)[0].clone();
        assert!(now.claimed_now() >= 9 * UNIT, "{now:?}");
    }
    let start = world.node_balance(1);
    (world.asleep, world.down) = (vec![0], vec![0, 1]);
    world.drop_circuits();
    world.run(400);
    assert!(world.node_balance(1) - start + world.lanes(1)[0].landed.get() >= 9 * UNIT);
}

#[test]
fn a_payer_that_shows_claims_of_later_epochs_again_and_again_closes_one_epoch_at_most() {
    let mut world = World::new(95, 2, 0, &exact());
    world.open(0, 1);
    world.pay(0, 1, 9 * UNIT).expect("paid");
    let (link, circ, start) = (world.lanes(1)[0].link, world.circuit(0, 1), world.lanes(1)[0].epoch);
    for _ in 0..5 {
        let next = world.lanes(1)[0].epoch + 1;
        let evil = world.claim(0, next, 1);
        world.inject(0, circ, Message::Reestablish(Reestablish { link, claim: Some(evil) }));
        world.run(5);
    }
    assert_eq!(world.lanes(1)[0].epoch, start + 1);
}

/// A payer's store is put back, and the ledger does not answer until its payee has shown what it holds.
fn put_back(world: &mut World, old: Backup) {
    let relay = world.relay(1);
    world.flaky = 100;
    world.roll_back(0, old);
    world.step(0, |links, now, rng, out| links.want_payee(now, rng, relay, out));
    world.run(20);
    let hop = world.hop();
    assert!(world.signed(0, 1, hop, 1).is_err(), "it does not know yet what it signed");
    world.flaky = 0;
    for _ in 0..40 {
        world.step(0, |links, now, rng, out| links.want_payee(now, rng, relay, out));
        world.run(1);
    }
}

#[test]
fn a_payer_whose_store_was_put_back_pays_a_carry_once() {
    let mut world = World::new(91, 2, 0, &exact());
    world.open(0, 1);
    let start = world.node_balance(1);
    world.pay(0, 1, 2 * UNIT).expect("paid");
    let old = world.backup(0);
    let key = world.nodes[1].wallet.account_key();
    let limit =
        |stroops| move |source: &Source| template::change_trust(source, &asset(), amount(stroops)).expect("trust");
    world.step(1, |links, now, rng, out| links.flush_all(now, rng, out));
    world.drain_with(|world| world.transact(&key, limit(start)));
    world.run(4);
    assert_eq!(world.lanes(1)[0].held.cumulative.get(), 2 * UNIT, "failed and carried");
    world.transact(&key, limit(start + 100 * UNIT));
    world.pay(0, 1, 500).expect("paid");
    put_back(&mut world, old);
    assert_eq!(world.lanes(0)[0].total.get(), 2 * UNIT + 500);
    world.pay_for_sure(0, 1, 7);
    world.settle();
    assert_eq!(world.node_balance(1) - start, 2 * UNIT + 507);
}

#[test]
fn a_payer_whose_store_was_put_back_pays_what_a_flush_rounded_off_once() {
    let mut world = World::new(92, 2, 0, &limits());
    world.open(0, 1);
    let start = world.node_balance(1);
    world.pay(0, 1, 100_999).expect("paid");
    let old = world.backup(0);
    world.step(1, |links, now, rng, out| links.flush_all(now, rng, out));
    world.run(5);
    world.pay(0, 1, 2_000).expect("paid");
    put_back(&mut world, old);
    assert_eq!(world.lanes(0)[0].total.get(), 102_999);
    assert!(world.node_balance(1) - start <= 102_999);
    world.pay_for_sure(0, 1, 1);
    world.check();
}

trait Counts {
    fn claimed_now(&self) -> u64;
}

impl Counts for magicwave::gateway::link::EscrowRow {
    fn claimed_now(&self) -> u64 {
        let frozen = self.frozen.as_ref().map_or(0, |f| f.held.cumulative.get());
        self.landed.get() + frozen + self.held.cumulative.get()
    }
}

impl World {
    /// A claim that a payer signs outside of its books.
    fn claim(&mut self, payer: usize, epoch: u32, stroops: u64) -> Claim {
        use magicwave::gateway::link::PayeeRef;
        let mut lane = self.lanes(payer)[0].clone();
        (lane.epoch, lane.held, lane.total) = (epoch, Default::default(), amount(0));
        let mut evil = load(&self.nodes[payer].wallet, &exact(), self.link_rows(payer), vec![lane.clone()]);
        let (hop, from, relay) = (self.hop(), self.payer_ref(payer, 1), self.relay(1));
        let template = self.step(1, |links, _, rng, _| links.template(rng, from, hop, amount(stroops)));
        let template = template.expect("alive").expect("template");
        let (now, mut out) = (self.now_ms, magicwave::gateway::port::Out::default());
        let to = PayeeRef::Relay(relay);
        drop(evil.sign(now, &mut self.rng, hop, to, amount(stroops), &template, &mut out).expect("signed"));
        let row = out.rows.into_iter().find_map(|row| match row {
            magicwave::gateway::port::Row::Escrow(row) => Some(*row),
            _ => None,
        });
        let held = row.expect("a row").held;
        let signature = held.signature.expect("signed");
        Claim { escrow: lane.escrow, epoch, cumulative: held.cumulative, signature }
    }
}

#[test]
fn a_wallet_without_its_store_pays_again_though_its_first_escrows_are_still_there() {
    let mut world = World::new(3, 2, 1, &Limits { denomination: amount(1), period_secs: 6_000, ..limits() });
    world.open(2, 0);
    world.pay_for_sure(2, 0, 100);
    world.roll_back(2, Default::default());
    world.open(2, 1);
    world.pay_for_sure(2, 1, 100);
}

#[test]
fn a_store_put_back_before_an_opening_gets_its_other_deposits_back() {
    let mut world = World::new(3, 2, 1, &Limits { denomination: amount(1), period_secs: 600, ..limits() });
    world.open(2, 0);
    world.pay_for_sure(2, 0, 100);
    let old = world.backup(2);
    world.open(2, 1);
    world.roll_back(2, old);
    world.open(2, 1);
    world.close(2);
    world.run_until_back(2);
    assert!(world.lanes(2).iter().all(|lane| lane.state.is_over()));
}
