//! Both partners close an escrow: soon, once, and to nobody's loss, whoever says, repeats, forgets or dies.
use super::closing::short;
use super::world::*;
use magicwave::devnet::ledger::{Frame, Submission};
use magicwave::gateway::core::message::*;
use magicwave::gateway::link::{EscrowRow, EscrowState, Limits, Role};
use magicwave::stellar::keys::SecretSeed;
use magicwave::stellar::template;

/// As `short`, with a period that no test waits for.
fn long() -> Limits {
    Limits { period_secs: 6000, ..short() }
}

fn state(world: &World, node: usize) -> &'static str {
    world.lanes(node)[0].state.name()
}

/// What the payer owed has landed, the rest is back, and both ends are done with it.
fn all_is_well(world: &World, paid: u64) {
    world.all_is_back(0);
    assert_eq!((world.node_balance(0), world.node_balance(1)), (1000 * UNIT - paid, 1000 * UNIT + paid));
    assert_eq!(world.count(1, "claim_lost"), 0);
}

#[test]
fn a_deposit_comes_back_within_a_few_ledgers_when_the_payee_is_there() {
    let mut world = World::new(400, 2, 0, &long());
    let native = world.view(&world.nodes[0].wallet.account()).expect("an account").native;
    world.open(0, 1);
    world.pay(0, 1, 12_345).expect("paid");
    let before = world.now_ms;
    let [coming] = &world.close(0)[..] else { panic!("one lane") };
    assert_eq!((coming.state, coming.amount.get()), ("retired", 10 * UNIT - 12_345));
    world.run_until(0, "spent");
    assert!(world.now_ms - before <= 12_000, "{} ms", world.now_ms - before);
    world.run(10);
    assert_eq!((state(&world, 0), state(&world, 1)), ("spent", "spent"));
    all_is_well(&world, 12_345);
    assert!(world.link_rows(0).is_empty(), "the link is gone");
    // O1 400, F 700, the close 300, the reclaim 300.
    let fees: u64 = world.nodes[0].events.iter().map(|e| e.fee).sum();
    let now = world.view(&world.nodes[0].wallet.account()).expect("an account").native;
    assert_eq!((fees, native - now), (1700, 1700));
}

#[test]
fn a_lane_that_was_never_paid_over_closes_and_so_does_one_that_the_payee_never_took() {
    let mut world = World::new(401, 3, 0, &long());
    world.open(0, 1);
    let third = world.relay(2);
    world.step(0, |links, now, rng, out| links.want_payee(now, rng, third, out));
    world.run_until(0, "funding");
    world.close(0);
    world.run(20);
    assert!(world.payer_lanes(0).iter().all(|l| l.state.name() == "spent"), "{:#?}", world.payer_lanes(0));
    world.all_is_back(0);
    assert_eq!(world.node_balance(0), 1000 * UNIT);
}

#[test]
fn what_a_carrier_lost_lands_before_the_close_and_can_still_be_credited_to_nobody_else() {
    let mut world = World::new(402, 2, 0, &long());
    world.open(0, 1);
    world.pay(0, 1, 500).expect("paid");
    let hop = world.hop();
    let claim = world.signed(0, 1, hop, 70).expect("signed, and lost on its way");
    world.close(0);
    world.run_until(0, "spent");
    assert_eq!((world.lanes(1)[0].landed.get(), world.lanes(1)[0].total.get()), (570, 500));
    assert!(world.accepted(1, hop, 70, &claim).is_err(), "too late");
    all_is_well(&world, 570);
}

#[test]
fn a_used_up_lane_comes_back_by_itself_once_it_has_landed() {
    let mut world = World::new(403, 2, 0, &long());
    world.open(0, 1);
    world.pay(0, 1, 8 * UNIT).expect("paid");
    world.pay(0, 1, 1).expect("paid, and the next lane is wanted");
    world.run(60);
    let states: Vec<_> = world.payer_lanes(0).iter().map(|l| l.state.name()).collect();
    assert!(states.contains(&"spent") && states.contains(&"open"), "{states:?}");
    let back: Vec<u64> = world.payer_lanes(0).iter().filter_map(|l| l.returned).map(|r| r.get()).collect();
    assert_eq!(back, [2 * UNIT - 1]);
    world.pay(0, 1, UNIT).expect("on the next lane");
    world.check();
}

#[test]
fn a_payee_that_is_away_is_asked_when_it_comes_back_and_one_that_stays_away_is_not_waited_for() {
    for comes_back in [true, false] {
        let mut world = World::new(404, 2, 0, &Limits { period_secs: 300, ..short() });
        world.open(0, 1);
        (world.down, world.asleep) = (vec![1], vec![1]);
        world.drop_circuits();
        world.close(0);
        let before = world.now_ms;
        world.run(60);
        assert_eq!(state(&world, 0), "retired");
        if comes_back {
            world.down.clear();
            world.asleep.clear();
        }
        world.run_until(0, "spent");
        assert_eq!(world.now_ms - before < 150_000, comes_back);
        world.asleep.clear();
        world.down.clear();
        world.run(20);
        all_is_well(&world, 0);
    }
}

#[test]
fn nothing_is_lost_by_repeats_losses_and_messages_that_overtake_each_other() {
    for seed in 410..425 {
        let mut world = World::new(seed, 2, 0, &Limits { period_secs: 3000, ..short() });
        world.open(0, 1);
        world.pay(0, 1, 12_000).expect("paid");
        world.chaos = Chaos { loss: 20, repeat: 30, reorder: true, unknown: 20 };
        world.close(0);
        for _ in 0..20 {
            world.run(5);
            world.check();
        }
        world.chaos = Chaos::default();
        world.run_until(0, "spent");
        all_is_well(&world, 12_000);
    }
}

/// Pays, closes together; `victim` dies at step `at`. True when it lived to see it.
fn dies(victim: usize, at: u32, before: bool) -> bool {
    let mut world = World::new(u64::from(at) + 500, 2, 0, &Limits { period_secs: 3000, ..short() });
    world.open(0, 1);
    world.pay(0, 1, 4321).expect("paid");
    world.nodes[victim].crash = Some((at, before));
    world.close(0);
    world.run(30);
    let died = world.nodes[victim].crashes > 0;
    world.nodes[victim].crash = None;
    // A wish to close is in the link's row; one that died before it was written is said again by the operator.
    world.close(0);
    for _ in 0..60 {
        if [0, 1].iter().all(|node| state(&world, *node) == "spent") {
            break;
        }
        world.run(1);
    }
    assert_eq!(state(&world, 0), "spent", "{:#?}", world.lanes(0));
    all_is_well(&world, 4321);
    died
}

fn dies_everywhere(victim: usize, before: bool) {
    let steps = (0..).take_while(|at| dies(victim, *at, before)).count();
    assert!(steps >= 25, "closing has more steps than {steps}");
}

#[test]
fn a_payer_that_dies_at_any_step_of_the_close_gets_its_deposit_back_once() {
    dies_everywhere(0, true);
    dies_everywhere(0, false);
}

#[test]
fn a_payee_that_dies_at_any_step_of_the_close_gets_what_it_is_owed() {
    dies_everywhere(1, true);
    dies_everywhere(1, false);
}

/// A link whose lane is retired at the payer, the payee not knowing, and their circuit.
fn asked(seed: u64) -> (World, EscrowRow, u64) {
    let mut world = World::new(seed, 2, 0, &long());
    world.open(0, 1);
    world.pay(0, 1, 5000).expect("paid");
    let lane = world.lanes(1)[0].clone();
    let circ = world.circuit(0, 1);
    (world, lane, circ)
}

#[test]
fn a_payee_signs_no_close_while_anything_is_held_or_owed() {
    let (mut world, lane, circ) = asked(450);
    let ask = |signed| Message::CloseAsk(CloseAsk { escrow: lane.escrow, signed: amount(signed) });
    let signs = |answers: &[Message]| answers.iter().any(|m| matches!(m, Message::CloseSigned(_)));
    // A payer that says it signed nothing: what is held lands first.
    assert!(!signs(&world.inject(0, circ, ask(0))));
    assert_eq!(state(&world, 1), "retired");
    world.run(6);
    assert_eq!((world.lanes(1)[0].landed.get(), state(&world, 1)), (5000, "closed"));
    world.all_lanes_hold(5000);
    // One that says it signed more than it did keeps its own deposit waiting.
    let (mut world, lane, circ) = asked(451);
    let ask = Message::CloseAsk(CloseAsk { escrow: lane.escrow, signed: amount(5001) });
    world.inject(0, circ, ask);
    world.run(30);
    assert_eq!((world.lanes(1)[0].landed.get(), state(&world, 1)), (5000, "retired"));
}

impl World {
    /// The escrows of all payers hold what was deposited less this.
    fn all_lanes_hold(&self, but: u64) {
        let held: u64 = self.payer_lanes(0).iter().map(|l| self.balance(&l.escrow)).sum();
        assert_eq!(held, 10 * UNIT - but);
    }
}

#[test]
fn no_claim_counts_once_the_close_is_signed() {
    let (mut world, lane, circ) = asked(452);
    world.inject(0, circ, Message::CloseAsk(CloseAsk { escrow: lane.escrow, signed: amount(5000) }));
    world.run(6);
    assert_eq!(state(&world, 1), "closed");
    // The payer has not heard of it and signs on.
    let (hop, from, relay) = (world.hop(), world.payer_ref(0, 1), world.relay(1));
    let template = world.step(1, |links, _, rng, _| links.template(rng, from, hop, amount(10))).expect("alive");
    assert_eq!(template, Err(RefusalCode::ESCROW_PENDING));
    let signed = Claim { escrow: lane.escrow, epoch: 1, cumulative: amount(10), signature: [7; 64] };
    let answers = world.inject(0, circ, Message::Claim(signed));
    assert!(answers.iter().any(|m| matches!(m, Message::Refusal(_))), "{answers:?}");
    world.step(0, |links, now, rng, out| links.want_payee(now, rng, relay, out));
    assert_eq!(world.lanes(1)[0].held.cumulative.get(), 0);
}

#[test]
fn a_payer_that_closes_and_then_submits_what_it_had_before_gets_no_more_than_its_own() {
    let (mut world, lane, circ) = asked(453);
    let old = world.lanes(0)[0].clone();
    world.inject(0, circ, Message::CloseAsk(CloseAsk { escrow: lane.escrow, signed: amount(5000) }));
    world.run(6);
    // The flush has landed: the refund that it holds is not due, and the close of the epoch before is void.
    let rows = (world.link_rows(1), world.lanes(1)[0].clone());
    let terms = world.terms(0, &old);
    let payer = world.signer(0, &old.link);
    let payee = world.signer(1, &old.link);
    let refund = template::complete_refund(&terms, &payer, &old.refund.expect("signed")).expect("a refund");
    assert!(!world.submit(0, &refund), "its time has not come");
    let signature = template::sign_close(&terms, 0, &payee).expect("as if the payee had signed it");
    let close = template::complete_close(&terms, 0, &payer, &signature).expect("a close");
    assert!(!world.submit(0, &close), "its number is used");
    let signature = template::sign_close(&terms, 1, &payee).expect("what the payee has signed");
    let close = template::complete_close(&terms, 1, &payer, &signature).expect("a close");
    assert!(world.submit(0, &close));
    assert_eq!(rows.1.landed.get(), 5000);
    assert_eq!(world.node_balance(1), 1000 * UNIT + 5000);
    world.run(20);
    assert_eq!((state(&world, 1), world.count(1, "claim_lost")), ("spent", 0));
}

#[test]
fn a_close_that_the_payee_did_not_sign_or_signed_for_another_epoch_changes_nothing() {
    let (mut world, lane, circ) = asked(454);
    let signed = |epoch, signature| Message::CloseSigned(CloseSigned { escrow: lane.escrow, epoch, signature });
    let payee = world.signer(1, &lane.link);
    let terms = world.terms(1, &lane);
    let good = template::sign_close(&terms, 0, &payee).expect("signed");
    let refused = |answers: &[Message]| answers.iter().any(|m| matches!(m, Message::Refusal(_)));
    world.mute = true;
    assert!(refused(&world.inject(1, circ, signed(0, good))), "nobody asked for it");
    world.close(0);
    let before = world.lanes(0);
    assert!(refused(&world.inject(1, circ, signed(0, [7; 64]))));
    let later = template::sign_close(&terms, 9, &payee).expect("signed");
    assert!(!refused(&world.inject(1, circ, signed(9, later))), "E may show more than we know");
    assert_eq!(world.lanes(0), before);
    // The right one is worth what it says, although the payee has not flushed: its own loss.
    world.inject(1, circ, signed(0, good));
    assert!(matches!(world.lanes(0)[0].state, EscrowState::Refunding { .. }));
    let row = serde_json::to_string(&world.lanes(0)[0]).expect("json");
    assert_eq!(serde_json::from_str::<EscrowRow>(&row).expect("own row"), world.lanes(0)[0]);
}

#[test]
fn a_flush_that_lands_before_the_close_of_its_epoch_makes_the_payer_wait_and_lose_nothing() {
    let (mut world, lane, circ) = asked(455);
    let payee = world.signer(1, &lane.link);
    let signature = template::sign_close(&world.terms(1, &lane), 0, &payee).expect("signed");
    world.mute = true;
    world.close(0);
    // A payee that signs a close for the epoch that it flushes: one of the two lands.
    world.step(1, |links, now, rng, out| links.flush_all(now, rng, out));
    world.drain_with(|_| ());
    world.inject(1, circ, Message::CloseSigned(CloseSigned { escrow: lane.escrow, epoch: 0, signature }));
    world.mute = false;
    world.run_until(0, "spent");
    world.run(400);
    all_is_well(&world, 5000);
}

#[test]
fn a_store_that_was_put_back_finds_an_escrow_that_was_closed_and_takes_it() {
    for (victim, until) in [(0, "refunding"), (0, "refunded"), (0, "spent"), (1, "spent")] {
        let mut world = World::new(456, 2, 0, &Limits { period_secs: 600, ..short() });
        world.open(0, 1);
        world.pay(0, 1, 700).expect("paid");
        world.run(16);
        let backup = world.backup(victim);
        world.close(0);
        world.run_until(0, until);
        world.roll_back(victim, backup);
        world.close(0);
        world.run_until(0, "spent");
        world.run(700);
        assert_eq!(world.node_balance(0), 1000 * UNIT - 700, "{victim} {until}");
        assert_eq!(world.lanes(0)[0].returned.map(|r| r.get()), Some(10 * UNIT - 700));
        assert_eq!((world.count(1, "claim_lost"), state(&world, 1)), (0, "spent"), "{victim} {until}");
    }
}

#[test]
fn a_wish_for_a_flush_is_heard_once_in_an_interval() {
    let limits = Limits { flush_interval_secs: 1000, flush_jitter_secs: 5, denomination: amount(1), ..limits() };
    let mut world = World::new(457, 2, 0, &Limits { period_secs: 60_000, ..limits });
    world.open(0, 1);
    let asks = |world: &mut World| {
        world.pay(0, 1, 900).expect("paid");
        world.step(0, |links, now, rng, out| links.flush_all(now, rng, out));
        world.run(15);
        world.lanes(1)[0].landed.get()
    };
    world.run(3);
    assert_eq!((asks(&mut world), asks(&mut world), asks(&mut world)), (900, 900, 900));
    world.run(980);
    assert_eq!(asks(&mut world), 3600);
    let circ = world.circuit(0, 1);
    let stranger = Message::FlushAsk(EscrowRef { escrow: [8; 32] });
    assert!(matches!(world.inject(0, circ, stranger)[..], [Message::Refusal(_)]));
}

impl World {
    /// The key by which a node signs for the escrows of a link.
    pub fn signer(&self, node: usize, link: &Id) -> SecretSeed {
        let row = self.link_rows(node).into_iter().find(|l| l.id == *link).expect("a link");
        let context = match row.role {
            Role::Payer => [&b"payer"[..], &row.id].concat(),
            Role::Payee => [&b"payee"[..], &row.id, &row.account, &row.period.to_be_bytes()].concat(),
        };
        self.nodes[node].wallet.derive(magicwave::wallet::LINK_SIGNER, &context)
    }

    /// Puts a transaction into the next ledger at the fee of a node; did it apply?
    pub fn submit(&mut self, node: usize, inner: &template::Signed) -> bool {
        let key = self.nodes[node].wallet.account_key();
        let bump = template::fee_bump(inner, &key.public(), 1000).expect("a bump").sign(&[&key]).expect("signed");
        let frame = Frame::from_bytes(&bump.to_xdr().expect("xdr"), &network().0).expect("frame");
        if self.ledger.submit(frame, 0) != Submission::Pending {
            return false;
        }
        self.now_ms += 1000;
        let closed = self.ledger.close(self.now_ms / 1000);
        closed.transactions.iter().all(|t| t.outcome.is_success())
    }

    /// What both agreed on for a lane of `node`.
    pub fn terms(&self, node: usize, lane: &EscrowRow) -> template::EscrowTerms {
        let link = self.link_rows(node).into_iter().find(|l| l.id == lane.link).expect("its link");
        let own = (self.signer(node, &lane.link).public(), self.nodes[node].wallet.account());
        let other = (link.signer, link.account);
        let (payer, payee) = if lane.role == Role::Payer { (own, other) } else { (other, own) };
        template::EscrowTerms {
            network: network(),
            asset: asset(),
            escrow: lane.escrow,
            payer_signer: payer.0,
            payer_account: payer.1,
            payee_signer: payee.0,
            payee_account: payee.1,
            created_ledger: lane.created,
            deposit: lane.deposit,
            period_secs: lane.period,
        }
    }
}
