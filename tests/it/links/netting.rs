//! Two relays that owe each other settle by the difference: once, whoever dies, is silent, or flushes in between.
use super::world::*;
use magicwave::gateway::core::message::*;
use magicwave::gateway::link::{EscrowRow, Limits, Role};
use magicwave::gateway::port::{Effect, LedgerCall};

/// To the stroop, every minute; deposits of ten units.
fn exact() -> Limits {
    Limits { denomination: amount(1), flush_jitter_secs: 0, ..limits() }
}

/// Both relays owe each other: `[0 owes 1, 1 owes 0]`.
fn owing(seed: u64, limits: &Limits, owed: [u64; 2]) -> World {
    let mut world = World::new(seed, 2, 0, limits);
    world.open(0, 1);
    world.open(1, 0);
    world.pay(0, 1, owed[0]).expect("paid");
    world.pay(1, 0, owed[1]).expect("paid");
    world
}

fn lane(world: &World, node: usize, role: Role) -> EscrowRow {
    world.lanes(node).into_iter().find(|l| l.role == role).expect("a lane")
}

/// All that `payer` owes, and how it was settled: signed, landed, set off; both ends know the same.
fn settled(world: &World, payer: usize) -> [u64; 3] {
    let (a, b) = (lane(world, payer, Role::Payer), lane(world, 1 - payer, Role::Payee));
    assert_eq!((a.landed, a.netted), (b.landed, b.netted), "both ends know the same");
    assert!(a.frozen.is_none() && b.frozen.is_none(), "{a:#?} {b:#?}");
    [a.total, a.landed, a.netted].map(|stroops| stroops.get())
}

fn said(world: &World, kind: u8) -> usize {
    world.log.iter().filter(|(_, m)| m.kind() == kind).count()
}

const PROPOSE: u8 = 46;
const ACCEPT: u8 = 47;

#[test]
fn what_two_relays_owe_each_other_is_set_off_and_only_the_difference_moves() {
    for (place, owed) in [[3 * UNIT, 2 * UNIT], [2 * UNIT, 3 * UNIT], [2 * UNIT, 2 * UNIT]].into_iter().enumerate() {
        let mut world = owing(500 + place as u64, &exact(), owed);
        world.run(75);
        let set_off = owed[0].min(owed[1]);
        assert_eq!(settled(&world, 0), [owed[0], owed[0] - set_off, set_off]);
        assert_eq!(settled(&world, 1), [owed[1], owed[1] - set_off, set_off]);
        // One transaction for both, of the one that proposed it.
        assert_eq!(world.count(0, "net_submitted") + world.count(1, "net_submitted"), 1);
        assert_eq!(world.count(0, "flush_submitted") + world.count(1, "flush_submitted"), 0);
        let (a, b) = (lane(&world, 0, Role::Payer), lane(&world, 1, Role::Payer));
        assert_eq!(
            [world.balance(&a.escrow), world.balance(&b.escrow)],
            [10 * UNIT - (owed[0] - set_off), 10 * UNIT - (owed[1] - set_off)]
        );
        world.check();
        // What was set off can be claimed again: more goes over the lane in all than was ever in it.
        for _ in 0..6 {
            world.pay(0, 1, 2 * UNIT).expect("paid");
            world.pay(1, 0, 2 * UNIT).expect("paid");
            world.run(70);
            world.check();
        }
        assert!(lane(&world, 0, Role::Payer).total.get() > 10 * UNIT && world.lanes(0).len() == 2);
        world.settle();
        world.close(0);
        world.close(1);
        for node in [0, 1] {
            world.run_until_back(node);
            world.all_is_back(node);
        }
        let sum = |node: usize| world.node_balance(node);
        assert_eq!(sum(0) + sum(1), 2000 * UNIT);
        assert_eq!(sum(1), 1000 * UNIT + owed[0] - owed[1]);
    }
}

#[test]
fn rounded_amounts_are_set_off_and_the_rest_is_carried() {
    let mut world = owing(510, &Limits { denomination: amount(UNIT), ..exact() }, [3 * UNIT + 7, 2 * UNIT + 11]);
    world.run(75);
    assert_eq!(settled(&world, 0), [3 * UNIT + 7, UNIT, 2 * UNIT]);
    assert_eq!(settled(&world, 1), [2 * UNIT + 11, 0, 2 * UNIT]);
    assert_eq!(lane(&world, 1, Role::Payee).held.cumulative.get(), 7, "signed anew");
    assert_eq!(lane(&world, 0, Role::Payee).held.cumulative.get(), 11);
    world.settle();
}

#[test]
fn little_or_one_sided_debts_are_flushed_as_ever() {
    for owed in [[3 * UNIT, UNIT / 100], [UNIT / 100, 3 * UNIT]] {
        let mut world = owing(511, &exact(), owed);
        world.run(75);
        assert_eq!((said(&world, PROPOSE), settled(&world, 0)[2]), (0, 0));
        world.settle();
    }
}

#[test]
fn nobody_settles_with_a_client_or_a_service_that_way() {
    // Node 1 is no relay; it pays the relay and is paid by it.
    let mut world = World::new(512, 1, 1, &exact());
    let relay = world.relay(0);
    world.open(1, 0);
    world.step(1, |links, now, rng, out| links.want_payer(now, rng, relay, out));
    world.step(0, |links, now, _, _| links.money_came(now));
    world.run(10);
    world.pay(1, 0, 3 * UNIT).expect("paid");
    let hop = world.hop();
    let from = magicwave::gateway::link::PayerRef::Relay(relay);
    let template = world.step(1, |links, _, rng, _| links.template(rng, from, hop, amount(2 * UNIT))).expect("alive");
    let template = template.expect("a template");
    let payee = magicwave::gateway::link::PayeeRef::Tag(template.link_tag);
    let sign = world.step(0, |links, now, rng, out| links.sign(now, rng, hop, payee, amount(2 * UNIT), &template, out));
    let claim = sign.expect("alive").expect("signed");
    world.accepted(1, hop, 2 * UNIT, &claim).expect("accepted");
    world.run(75);
    assert_eq!(said(&world, PROPOSE), 0);
    for node in [0, 1] {
        assert!(world.lanes(node).iter().all(|l| l.netted.is_zero() && l.landed == l.total));
    }
    // And one that proposes all the same is refused.
    let (inward, outward) = (lane(&world, 1, Role::Payee), lane(&world, 1, Role::Payer));
    let circ = world.circuit(1, 0);
    let until = world.now_ms / 1000 + 30;
    let ask = NetPropose {
        inward: inward.escrow,
        epoch: inward.epoch,
        amount: amount(1),
        outward: outward.escrow,
        sequence: 77,
        until,
    };
    let answers = world.inject(1, circ, Message::NetPropose(ask));
    assert!(answers.iter().all(|m| matches!(m, Message::Refusal(_))), "{answers:?}");
}

#[test]
fn a_partner_that_says_nothing_gets_two_ordinary_flushes() {
    for silent in [PROPOSE, ACCEPT] {
        let mut world = owing(513, &exact(), [3 * UNIT, 2 * UNIT]);
        world.lost_kind = Some(silent);
        world.run(75);
        assert!(said(&world, PROPOSE) + said(&world, ACCEPT) == 0 || silent == ACCEPT);
        world.run(120);
        assert_eq!(settled(&world, 0), [3 * UNIT, 3 * UNIT, 0], "{silent}");
        assert_eq!(settled(&world, 1), [2 * UNIT, 2 * UNIT, 0], "{silent}");
        world.check();
    }
}

/// Runs until one of the nodes has signed N and its submission is under way; which node that is.
fn until_submitted(world: &mut World, mut before: impl FnMut(&mut World, usize)) -> usize {
    for _ in 0..120 {
        world.now_ms += 1000;
        world.ledger.close(world.now_ms / 1000);
        for node in [0, 1] {
            world.step(node, |links, now, rng, out| links.on_tick(now, rng, out));
            let mut proposer = None;
            world.drain_each(|world, of, effect| {
                let net = matches!(effect, Effect::Ledger(LedgerCall::Submit { .. }))
                    && world.lanes(of).iter().any(|l| l.net_tx().is_some());
                if net && proposer.is_none() {
                    proposer = Some(of);
                    before(world, of);
                }
            });
            if let Some(proposer) = proposer {
                return proposer;
            }
        }
    }
    panic!("nobody proposes");
}

#[test]
fn a_partner_that_flushes_before_the_settlement_lands_gains_nothing_and_nobody_loses_a_stroop() {
    for owed in [[3 * UNIT, 2 * UNIT], [2 * UNIT, 3 * UNIT]] {
        let mut world = owing(514, &exact(), owed);
        // The other one flushes the claim that it holds, after it has signed the settlement.
        let proposer = until_submitted(&mut world, |world, proposer| {
            let rogue = 1 - proposer;
            let held = lane(world, rogue, Role::Payee);
            let frozen = held.frozen.clone().expect("frozen").held;
            let claim = world.claim_of(rogue, &held, held.epoch - 1, frozen);
            assert!(world.submit(rogue, &claim), "its flush lands");
        });
        world.run(200);
        for payer in [0, 1] {
            let [total, landed, netted] = settled(&world, payer);
            assert_eq!((total, landed, netted), (owed[payer], owed[payer], 0), "{proposer} {payer}");
        }
        assert_eq!([0, 1].map(|node| world.node_balance(node)), [990 * UNIT + owed[1], 990 * UNIT + owed[0]]);
        world.check();
    }
}

#[test]
fn old_claims_are_dead_once_the_settlement_has_landed() {
    let mut world = owing(515, &exact(), [3 * UNIT, 2 * UNIT]);
    let held: Vec<EscrowRow> = (0..2).map(|node| lane(&world, node, Role::Payee)).collect();
    world.run(75);
    assert_eq!(settled(&world, 0)[2], 2 * UNIT);
    for (node, old) in held.iter().enumerate() {
        let claim = world.claim_of(node, old, old.epoch, old.held);
        assert!(!world.submit(node, &claim), "its number is used");
    }
    world.check();
}

#[test]
fn a_settlement_that_its_proposer_never_submits_is_followed_by_flushes() {
    let mut world = owing(516, &exact(), [3 * UNIT, 2 * UNIT]);
    world.min_fee = i64::MAX; // nothing is taken
    world.run(66);
    assert!(world.count(0, "net_submitted") + world.count(1, "net_submitted") == 1);
    world.run(70);
    world.min_fee = 0;
    world.run(60);
    assert_eq!(settled(&world, 0), [3 * UNIT, 3 * UNIT, 0]);
    assert_eq!(settled(&world, 1), [2 * UNIT, 2 * UNIT, 0]);
    world.check();
}

/// Both owe each other; `victim` dies at step `at` from shortly before the flushes on. True when it lived to see it.
fn dies(victim: usize, at: u32, before: bool, blind: bool) -> bool {
    let owed = [3 * UNIT, 2 * UNIT];
    let mut world = owing(600 + u64::from(at), &exact(), owed);
    while world.now_ms % 60_000 != 58_000 && world.count(0, "net_submitted") + world.count(1, "net_submitted") == 0 {
        world.run(1);
        if said(&world, PROPOSE) > 0 {
            break;
        }
    }
    world.blind = blind;
    world.nodes[victim].crash = Some((at, before));
    for _ in 0..22 {
        world.run(5);
        world.check();
        let done = |l: &EscrowRow| l.frozen.is_none() && l.total == l.settled();
        if world.nodes[victim].crash.is_none() && [0, 1].iter().all(|n| world.lanes(*n).iter().all(done)) {
            break;
        }
    }
    let died = world.nodes[victim].crashes > 0;
    world.nodes[victim].crash = None;
    world.blind = false;
    world.settle();
    for payer in [0, 1] {
        let [total, landed, netted] = settled(&world, payer);
        assert_eq!((total, landed + netted), (owed[payer], owed[payer]), "{victim} {at} {before}");
    }
    let [_, _, off] = settled(&world, 0);
    assert_eq!(settled(&world, 1)[2], off, "both or none");
    assert_eq!(world.node_balance(1), 990 * UNIT + owed[0] - off, "{victim} {at} {before}");
    died
}

fn dies_everywhere(victim: usize, before: bool, blind: bool) {
    let step = if blind { 4 } else { 1 };
    let steps = (0..48).step_by(step).take_while(|at| dies(victim, *at, before, blind)).count() * step;
    assert!(steps >= 40, "there are more steps than {steps}");
}

#[test]
fn a_relay_that_dies_before_any_commit_is_settled_with_once() {
    dies_everywhere(0, true, false);
    dies_everywhere(1, true, false);
}

#[test]
fn a_relay_that_dies_after_any_commit_is_settled_with_once() {
    dies_everywhere(0, false, false);
    dies_everywhere(1, false, false);
}

#[test]
fn a_relay_that_dies_while_no_lookup_finds_anything_is_settled_with_once() {
    dies_everywhere(0, false, true);
    dies_everywhere(1, false, true);
}

#[test]
fn no_weather_settles_anything_twice() {
    for seed in 700..720 {
        let owed = [3 * UNIT, 2 * UNIT];
        let mut world = owing(seed, &exact(), owed);
        world.chaos = Chaos { loss: 15, repeat: 20, reorder: true, unknown: 20 };
        for round in 0..30 {
            world.run(5);
            if round % 7 == 6 {
                world.drop_circuits();
                let relays = [world.relay(0), world.relay(1)];
                for node in [0, 1] {
                    world.step(node, |links, now, rng, out| links.want_payee(now, rng, relays[1 - node], out));
                }
            }
            world.check();
        }
        world.settle();
        for payer in [0, 1] {
            let [total, landed, netted] = settled(&world, payer);
            assert_eq!((total, landed + netted), (owed[payer], owed[payer]));
        }
        let [_, _, off] = settled(&world, 0);
        assert_eq!(world.node_balance(1), 990 * UNIT + owed[0] - off);
    }
}

#[test]
fn a_proposal_that_is_not_as_it_should_be_freezes_nothing() {
    let mut world = owing(517, &exact(), [3 * UNIT, 2 * UNIT]);
    let (inward, outward) = (lane(&world, 1, Role::Payee), lane(&world, 1, Role::Payer));
    let link = inward.link;
    let circ = world.circuit_of(0, &link);
    let now = world.now_ms / 1000;
    let good = NetPropose {
        inward: inward.escrow,
        epoch: inward.epoch,
        amount: inward.held.cumulative,
        outward: outward.escrow,
        sequence: 77,
        until: now + 30,
    };
    let before = world.lanes(0);
    for (what, wrong) in [
        ("epoch", NetPropose { epoch: 1, ..good.clone() }),
        ("more than was signed", NetPropose { amount: amount(3 * UNIT + 1), ..good.clone() }),
        ("nothing", NetPropose { amount: amount(0), ..good.clone() }),
        ("over", NetPropose { until: now, ..good.clone() }),
        ("too long", NetPropose { until: now + 3600, ..good.clone() }),
        ("one escrow twice", NetPropose { outward: inward.escrow, ..good.clone() }),
        ("an escrow of nobody", NetPropose { outward: [8; 32], ..good.clone() }),
        ("the other way round", NetPropose { inward: outward.escrow, outward: inward.escrow, ..good.clone() }),
        ("a number beyond the ledger's", NetPropose { sequence: u64::MAX, ..good.clone() }),
    ] {
        let answers = world.inject(1, circ, Message::NetPropose(wrong));
        assert!(answers.iter().all(|m| matches!(m, Message::Refusal(_))) && !answers.is_empty(), "{what} {answers:?}");
        assert_eq!(world.lanes(0), before, "{what}");
    }
    let answers = world.inject(1, circ, Message::NetPropose(good.clone()));
    let [Message::NetAccept(accept)] = &answers[..] else { panic!("{answers:?}") };
    assert_eq!((accept.epoch, accept.amount.get()), (0, 2 * UNIT));
    let again = world.inject(1, circ, Message::NetPropose(good));
    assert_eq!(again, answers, "asked again, the same answer");
    assert!(world.lanes(0).iter().all(|l| l.frozen.is_some()));
    // Nobody submits it: all of it lands by flushes in the end.
    world.run(200);
    world.settle();
    assert_eq!((settled(&world, 0)[2], settled(&world, 1)[2]), (0, 0));
}

#[test]
fn an_answer_that_was_not_asked_for_or_is_signed_by_nobody_signs_nothing() {
    let mut world = owing(518, &exact(), [3 * UNIT, 2 * UNIT]);
    world.lost_kind = Some(ACCEPT);
    let accept = |inward: &EscrowRow, outward: &EscrowRow| NetAccept {
        inward: inward.escrow,
        epoch: outward.epoch,
        amount: outward.held.cumulative,
        payer: [7; 64],
        payee: [7; 64],
    };
    for node in [0, 1] {
        let (inward, outward) = (lane(&world, node, Role::Payee), lane(&world, node, Role::Payer));
        let circ = world.circuit_of(node, &inward.link);
        let answers = world.inject(1 - node, circ, Message::NetAccept(accept(&inward, &outward)));
        assert!(matches!(answers[..], [] | [Message::Refusal(_)]), "{answers:?}");
        assert!(lane(&world, node, Role::Payee).frozen.is_none());
    }
    while said(&world, PROPOSE) == 0 {
        world.run(1);
    }
    let node = if lane(&world, 0, Role::Payee).frozen.as_ref().is_some_and(|f| f.net.is_none()) { 0 } else { 1 };
    let (inward, outward) = (lane(&world, node, Role::Payee), lane(&world, node, Role::Payer));
    let circ = world.circuit_of(node, &inward.link);
    world.lost_kind = None;
    let answers = world.inject(1 - node, circ, Message::NetAccept(accept(&inward, &outward)));
    assert!(
        answers.iter().any(|m| matches!(m, Message::Refusal(r) if r.code == RefusalCode::CLAIM_INVALID)),
        "{answers:?}"
    );
    assert_eq!(world.count(node, "net_submitted"), 0);
    world.run(200);
    world.settle();
}

impl World {
    /// The claim that `payee` holds, ready for a ledger.
    fn claim_of(
        &self,
        payee: usize,
        lane: &EscrowRow,
        epoch: u32,
        held: magicwave::gateway::link::Held,
    ) -> magicwave::stellar::template::Signed {
        let signature = held.signature.expect("signed");
        let (terms, key) = (self.terms(payee, lane), self.signer(payee, &lane.link));
        magicwave::stellar::template::complete_claim(&terms, epoch, held.cumulative, &signature, &key).expect("a claim")
    }

    /// The circuit that carries the talk of this link, as `node` has it.
    fn circuit_of(&self, node: usize, link: &Id) -> u64 {
        self.nodes[node].links.circuit_of(link).expect("connected")
    }
}

#[test]
fn the_ledger_takes_either_the_settlement_or_a_claim_and_a_claim_first_costs_no_number() {
    let world = owing(519, &exact(), [3 * UNIT, 2 * UNIT]);
    let (inward, outward) = (lane(&world, 1, Role::Payee), lane(&world, 1, Role::Payer));
    for first in [None, Some(&inward), Some(&outward)] {
        let mut world = owing(519, &exact(), [3 * UNIT, 2 * UNIT]);
        let sequence = world.view(&world.nodes[1].wallet.account()).expect("an account").sequence + 1;
        let side = |lane: &EscrowRow, stroops| magicwave::stellar::template::NetSide {
            terms: world.terms(1, lane),
            epoch: 0,
            amount: amount(stroops),
            landed: amount(0),
        };
        let terms = magicwave::stellar::template::NetTerms {
            inward: side(&inward, 3 * UNIT),
            outward: side(&outward, 2 * UNIT),
            sequence,
            max_time: world.now_ms / 1000 + 60,
        };
        use magicwave::stellar::template::{complete_net, sign_net};
        let others = sign_net(&terms, &world.signer(0, &inward.link), &world.signer(0, &outward.link)).expect("signed");
        let own = [world.signer(1, &inward.link), world.signer(1, &outward.link)];
        let account = world.nodes[1].wallet.account_key();
        let net = complete_net(&terms, &account, &own[0], &own[1], &others).expect("signed by all");
        if let Some(lane) = first {
            let payee = if lane.escrow == inward.escrow { 1 } else { 0 };
            let row = world.lanes_by(&lane.escrow, Role::Payee).expect("a lane");
            let claim = world.claim_of(payee, &row, 0, row.held);
            assert!(world.submit(payee, &claim));
        }
        let numbers =
            |world: &World| [inward.escrow, outward.escrow].map(|e| world.view(&e).expect("an escrow").sequence);
        let (before, balance) = (numbers(&world), world.node_balance(1));
        assert_eq!(world.submit(1, &net), first.is_none());
        match first {
            None => {
                assert_eq!(world.node_balance(1) - balance, UNIT, "the difference");
                let first = before.map(|number| number + 1);
                assert_eq!(numbers(&world), first, "both epochs are over");
            }
            Some(_) => assert_eq!((numbers(&world), world.node_balance(1)), (before, balance)),
        }
    }
}
