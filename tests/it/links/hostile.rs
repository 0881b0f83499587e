//! Messages that have no place, from strangers and from the partner itself: refused, and nothing changes.
use super::world::*;
use magicwave::gateway::core::message::*;
use magicwave::gateway::core::seal;
use magicwave::gateway::link::{Limits, Links, PayeeRef, Role};

/// The type of a payer's own claim.
const CLAIM: u8 = 41;

/// One message of each type of a link, about this link, escrow and epoch, with these signatures and amounts.
fn all(world: &World, link: Id, escrow: AccountKey, epoch: u32, stroops: u64) -> Vec<Message> {
    let me = world.nodes[0].wallet.account();
    let claim = Claim { escrow, epoch, cumulative: amount(stroops), signature: [7; 64] };
    let hello = |payer| LinkHello {
        version: 1,
        network: network().short(),
        asset: asset().id(),
        link,
        payer,
        account: me,
        signer: [9; 32],
        deposit: limits().deposit,
        period: limits().period_secs,
    };
    let accept = LinkAccept { link, account: me, signer: [9; 32], link_key: [3; 32], link_tag: [4; 8] };
    let (created, deposit, period) = (77, limits().deposit, limits().period_secs);
    vec![
        Message::LinkHello(hello(true)),
        Message::LinkHello(hello(false)),
        Message::LinkAccept(accept),
        Message::EscrowOffer(EscrowOffer { link, escrow, created, deposit, period }),
        Message::RefundSigned(RefundSigned { escrow, signature: [7; 64] }),
        Message::EscrowReady(EscrowRef { escrow }),
        Message::EscrowOpen(EscrowRef { escrow }),
        Message::FlushBegin(FlushBegin { escrow, epoch, amount: amount(stroops) }),
        Message::FlushAck(claim.clone()),
        Message::FlushDone(FlushDone { escrow, epoch, hash: [5; 32] }),
        Message::Claim(claim.clone()),
        Message::Reestablish(Reestablish { link, claim: Some(claim) }),
        Message::Complete(Complete { hop_id: [1; 16] }),
    ]
}

fn rows(world: &World) -> Vec<String> {
    (0..2).map(|n| format!("{:?} {:?}", world.link_rows(n), world.lanes(n))).collect()
}

fn refused(answers: &[Message]) -> bool {
    answers.iter().any(|m| matches!(m, Message::Refusal(_)))
}

#[test]
fn a_stranger_changes_nothing_whatever_it_says() {
    let mut world = World::new(30, 2, 1, &limits());
    world.open(0, 1);
    world.pay(0, 1, 5000).expect("paid");
    let lane = world.lanes(1)[0].clone();
    let before = rows(&world);
    for victim in [0, 1] {
        for message in all(&world, lane.link, lane.escrow, 0, 5000) {
            let circ = world.stranger(2, victim, true);
            let answers = world.inject(2, circ, message.clone());
            // A relay answers a service's hello as payer; everything else is refused.
            let asks = matches!(&message, Message::LinkHello(h) if !h.payer) && victim == 1;
            assert!(refused(&answers) || asks, "{message:?} {answers:?}");
            assert_eq!(rows(&world), before, "{message:?}");
        }
    }
}

#[test]
fn a_partner_is_refused_what_its_role_or_the_moment_does_not_allow() {
    let mut world = World::new(31, 2, 0, &limits());
    world.open(0, 1);
    world.pay(0, 1, 5000).expect("paid");
    let lane = world.lanes(1)[0].clone();
    let circ = world.circuit(0, 1);
    let before = rows(&world);
    for from in [0, 1] {
        for (epoch, stroops) in [(0, 6000), (1, 5000), (0, 0), (u32::MAX, 1), (0, i64::MAX as u64)] {
            for escrow in [lane.escrow, [8; 32]] {
                for message in all(&world, lane.link, escrow, epoch, stroops) {
                    // What repeats the truth is no lie.
                    let true_enough = match &message {
                        Message::EscrowReady(r) => r.escrow == lane.escrow || from == 0,
                        Message::EscrowOpen(r) => r.escrow == lane.escrow,
                        Message::FlushDone(d) => d.escrow == lane.escrow && d.epoch == 0,
                        Message::Reestablish(_) => epoch == 0 && stroops < 5000 && from == 1,
                        _ => false,
                    };
                    if true_enough {
                        continue;
                    }
                    // A payer that offers another escrow is heard: it may never fund it.
                    let offers = matches!(&message, Message::EscrowOffer(o) if o.escrow != lane.escrow) && from == 0;
                    let answers = world.inject(from, circ, message.clone());
                    assert_eq!(refused(&answers), !offers, "{from} {message:?} {answers:?}");
                    if !offers {
                        assert_eq!(rows(&world)[0], before[0], "{message:?}");
                    }
                }
            }
        }
    }
    let open: Vec<_> = world.lanes(1).into_iter().filter(|l| l.state.name() == "open").collect();
    assert_eq!(open, vec![lane]);
    world.pay(0, 1, 1).expect("life goes on");
    world.check();
}

#[test]
fn an_escrow_that_the_payer_never_funded_is_never_open() {
    let mut world = World::new(33, 2, 1, &limits());
    world.open(0, 1);
    let link = world.lanes(1)[0].link;
    let circ = world.circuit(0, 1);
    let (deposit, period) = (limits().deposit, limits().period_secs);
    let offer = |escrow| Message::EscrowOffer(EscrowOffer { link, escrow, created: 3, deposit, period });
    // An account that holds enough and is locked to nobody, and one that does not exist.
    for escrow in [world.nodes[2].wallet.account(), [8; 32]] {
        world.inject(0, circ, offer(escrow));
        for _ in 0..20 {
            world.inject(0, circ, Message::EscrowReady(EscrowRef { escrow }));
            world.run(3);
        }
        let refused = |to: usize, m: &Message| {
            to == 0 && matches!(m, Message::Refusal(no) if no.code == RefusalCode::ESCROW_INVALID)
        };
        assert!(world.log.iter().any(|(to, m)| refused(*to, m)), "after so many looks the payer is told why");
        let told = world.log.iter().any(|(_, m)| matches!(m, Message::EscrowOpen(r) if r.escrow == escrow));
        assert!(!told && !world.lanes(1).iter().any(|l| l.escrow == escrow && l.state.is_usable()));
    }
    assert_eq!(world.lanes(1).iter().filter(|l| l.role == Role::Payee && l.state.is_usable()).count(), 1);
}

#[test]
fn a_carrier_cannot_change_what_it_carries() {
    let mut world = World::new(34, 2, 0, &limits());
    world.open(0, 1);
    let hop = world.hop();
    let claim = world.signed(0, 1, hop, 100).expect("signed");
    for place in 0..claim.sealed.len() {
        let mut changed = claim.clone();
        changed.sealed[place] ^= 1;
        assert_eq!(world.accepted(1, hop, 100, &changed), Err(RefusalCode::BAD_SEAL));
    }
    let other = Carried { link_tag: [0; 8], ..claim.clone() };
    assert_eq!(world.accepted(1, hop, 100, &other), Err(RefusalCode::NO_LINK));
    assert_eq!(world.accepted(1, hop, 101, &claim), Err(RefusalCode::AMOUNT_BELOW));
    assert_eq!(world.accepted(1, hop, 99, &claim), Err(RefusalCode::AMOUNT_BELOW));
    world.accepted(1, hop, 100, &claim).expect("untouched it is good");
}

#[test]
fn a_payer_that_signs_on_in_a_frozen_epoch_gets_little_for_it() {
    let mut world = World::new(35, 2, 0, &Limits { denomination: amount(1), ..limits() });
    world.open(0, 1);
    world.pay(0, 1, 50_000).expect("paid");
    // The same keys with the state from before the freeze.
    let mut evil = load(&world.nodes[0].wallet, &limits(), world.link_rows(0), world.lanes(0));
    world.step(1, |links, now, rng, out| links.flush_all(now, rng, out));
    world.drain();
    let (from, relay) = (world.payer_ref(0, 1), world.relay(1));
    let mut answers = Vec::new();
    for _ in 0..3 {
        let hop = world.hop();
        let template = world
            .step(1, |links, _, rng, _| links.template(rng, from, hop, amount(90_000)))
            .expect("alive")
            .expect("template");
        let (now, mut out) = (world.now_ms, Default::default());
        let claim = evil
            .sign(now, &mut world.rng, hop, PayeeRef::Relay(relay), amount(90_000), &template, &mut out)
            .expect("signed in epoch 0");
        answers.push(world.accepted(1, hop, 90_000, &claim).map(|info| info.credited.get()));
    }
    // late_limit is 100 000 beyond the 50 000 that are being flushed.
    let pending = Err(RefusalCode::FLUSH_PENDING);
    assert_eq!(answers, [Ok(140_000), pending, pending]);
}

/// A payment to node 1, signed with `evil`'s view of the link and not yet delivered.
fn signed_by(world: &mut World, evil: &mut Links, stroops: u64) -> (Id, Carried) {
    let (from, relay, hop) = (world.payer_ref(0, 1), world.relay(1), world.hop());
    let template = world.step(1, |links, _, rng, _| links.template(rng, from, hop, amount(stroops))).expect("alive");
    let (now, mut out, payee) = (world.now_ms, Default::default(), PayeeRef::Relay(relay));
    let template = template.expect("template");
    (hop, evil.sign(now, &mut world.rng, hop, payee, amount(stroops), &template, &mut out).expect("signed"))
}

#[test]
fn a_payer_that_signs_less_than_a_flush_left_over_is_credited_nothing_before_it_signs_the_rest() {
    let mut world = World::new(39, 2, 0, &limits());
    world.open(0, 1);
    let circ = world.circuit(0, 1);
    // The same keys, which know nothing of what was paid before the flush.
    let mut next = world.lanes(0)[0].clone();
    next.epoch = 1;
    let mut evil = load(&world.nodes[0].wallet, &limits(), world.link_rows(0), vec![next]);
    world.pay(0, 1, 12_345).expect("paid");
    // What the payer itself signs of the rest is lost.
    world.lost_kind = Some(CLAIM);
    world.step(1, |links, now, rng, out| links.flush_all(now, rng, out));
    world.run(5);
    world.lost_kind = None;
    let lane = world.lanes(1)[0].clone();
    assert_eq!((lane.landed.get(), lane.carry.map(|carry| carry.amount.get())), (12_000, Some(345)));
    let (hop, small) = signed_by(&mut world, &mut evil, 5);
    world.accepted(1, hop, 5, &small).expect("the rest is a promise for a while");
    // "That is all of it": five stroops in the place of 350.
    let row = world.link_rows(1).into_iter().find(|row| row.role == Role::Payee).expect("a link");
    let claim = seal::open_claim(&row.key, row.tag, &small).expect("own words").claim;
    world.inject(0, circ, Message::Claim(claim));
    assert_eq!(world.lanes(1)[0].carry, None);
    let before = world.lanes(1)[0].clone();
    let (hop, more) = signed_by(&mut world, &mut evil, 300);
    assert_eq!(world.accepted(1, hop, 300, &more), Err(RefusalCode::NOT_PAID));
    assert_eq!(world.lanes(1)[0], before, "nothing is credited");
}

#[test]
fn a_payer_that_never_answers_a_freeze_gets_no_second_deposit_of_credit() {
    let mut world = World::new(38, 2, 0, &Limits { denomination: amount(1), ..limits() });
    world.open(0, 1);
    let deposit = world.lanes(0)[0].deposit.get();
    // The same keys twice: once in the epoch that is about to be frozen, once in the next.
    let mut frozen = load(&world.nodes[0].wallet, &limits(), world.link_rows(0), world.lanes(0));
    let mut next = world.lanes(0)[0].clone();
    next.epoch = 1;
    let mut open = load(&world.nodes[0].wallet, &limits(), world.link_rows(0), vec![next]);
    let (hop, claim) = signed_by(&mut world, &mut frozen, 1_000);
    world.accepted(1, hop, 1_000, &claim).expect("paid");
    // FlushBegin goes out and nobody answers.
    world.step(1, |links, now, rng, out| links.flush_all(now, rng, out));
    let most = deposit - 2_000;
    let late = signed_by(&mut world, &mut frozen, most);
    let (hop, claim) = signed_by(&mut world, &mut open, most);
    assert_eq!(world.accepted(1, hop, most, &claim).map(|info| info.credited.get()), Ok(deposit - 1_000));
    assert_eq!(world.accepted(1, late.0, most, &late.1), Err(RefusalCode::DEPOSIT_EXCEEDED));
}

#[test]
fn claims_of_epochs_that_were_skipped_are_refused() {
    let mut world = World::new(36, 2, 0, &limits());
    world.open(0, 1);
    let (from, relay) = (world.payer_ref(0, 1), world.relay(1));
    let mut ahead = world.lanes(0)[0].clone();
    ahead.epoch = 1;
    let mut evil = load(&world.nodes[0].wallet, &limits(), world.link_rows(0), vec![ahead]);
    let hop = world.hop();
    let template = world.step(1, |links, _, rng, _| links.template(rng, from, hop, amount(10))).expect("alive");
    let (now, mut out) = (world.now_ms, Default::default());
    let payee = PayeeRef::Relay(relay);
    let claim =
        evil.sign(now, &mut world.rng, hop, payee, amount(10), &template.expect("template"), &mut out).expect("signed");
    assert_eq!(world.accepted(1, hop, 10, &claim), Err(RefusalCode::EPOCH));
}

#[test]
fn a_payer_whose_store_was_put_back_learns_from_the_payee_what_it_signed() {
    let mut world = World::new(37, 2, 0, &Limits { denomination: amount(1), ..limits() });
    world.open(0, 1);
    world.pay(0, 1, 1000).expect("paid");
    let old = world.backup(0);
    world.pay(0, 1, 200).expect("paid");
    world.pay(0, 1, 30).expect("paid");
    world.roll_back(0, old);
    let hop = world.hop();
    assert_eq!(world.signed(0, 1, hop, 4), Err(RefusalCode::EPOCH), "the payee knows of more than the payer");
    world.pay_for_sure(0, 1, 4);
    assert_eq!(world.lanes(0)[0].total.get(), 1234);
    assert!(world.nodes[0].events.iter().any(|e| e.what == "claim_adopted" && e.amount.get() == 230));
    world.settle();
    assert_eq!(world.lanes(1)[0].landed.get(), 1234);
}
