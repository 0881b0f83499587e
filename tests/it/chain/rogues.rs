//! Rogues of a locked chain, over the real messages: what a client bends, a node holds back or a payee does without its
//! payer costs nobody but themselves.
use super::theft::{code, say};
use super::world::*;
use magicwave::gateway::chain::PaymentState;
use magicwave::gateway::core::locks::Locks;
use magicwave::gateway::core::message::*;
use magicwave::gateway::link::Role;
use magicwave::gateway::port::CircuitId;

const SIGN: u8 = 6;
const SIGNED: u8 = 7;
const DELIVER: u8 = 8;

fn locked() -> Setup {
    Setup { locks: Locks::Always, ..Setup::default() }
}

/// A payment to the site of which the client's Sign to `node` got lost: the circuit and that Sign.
fn half_way(node: usize) -> (World, CircuitId, Sign) {
    let mut world = World::open_with_site(locked());
    let circ = world.stream();
    world.run(5);
    world.deaf.insert((node, SIGN));
    let mut session = None;
    world.until_asked(circ, &mut session, 100_000);
    let sign = world.log.iter().rev().find_map(|(_, to, m)| match m {
        Message::Sign(sign) if *to == node => Some(sign.clone()),
        _ => None,
    });
    (world, circ, sign.expect("a Sign"))
}

fn open_locks(world: &World, node: usize, role: Role) -> usize {
    world.lanes(node).iter().filter(|l| l.role == role && l.lock.is_some()).count()
}

#[test]
fn a_client_that_bends_the_order_of_a_lock_gets_no_signature() {
    for node in [N1, N2, N3] {
        let (mut world, circ, sign) = half_way(node);
        let order = sign.lock.clone().expect("a locked chain");
        let margin = world.setup.limits.lock_secs;
        let mut refuse = |change: &dyn Fn(&mut Sign), want: RefusalCode| {
            let mut bent = sign.clone();
            change(&mut bent);
            let answer = say(&mut world, circ, node, Message::Sign(bent));
            assert_eq!(code(&answer), Some(want), "node {node}: {answer:?}");
            assert_eq!(open_locks(&world, node, Role::Payer), 0, "nothing is signed onwards");
            assert_eq!(open_locks(&world, node, Role::Payee), 0, "and nothing is kept");
        };
        let with = |change: fn(&mut LockOrder)| {
            move |sign: &mut Sign| {
                if let Some(order) = &mut sign.lock {
                    change(order);
                }
            }
        };
        // No scalar, zero, and the group order itself.
        refuse(&with(|o| o.offset = [0xff; 32]), RefusalCode::LOCK_INVALID);
        refuse(&with(|o| o.offset = [0; 32]), RefusalCode::LOCK_INVALID);
        // The lock that it has to sign would outlive its own.
        let late = order.max_time + 8 * margin;
        refuse(&move |s| s.lock.as_mut().expect("one").max_time = late, RefusalCode::LOCK_TIME);
        refuse(&with(|o| o.max_time = u64::MAX), RefusalCode::LOCK_TIME);
        refuse(&with(|o| o.max_time = 0), RefusalCode::LOCK_TIME);
        // Without the fee, more out than in, and an amount that nobody pre-signed.
        refuse(&|s| s.amount_out = s.amount_in, RefusalCode::AMOUNT_BELOW);
        refuse(&|s| s.amount_in = s.amount_in.add(s.amount_in).expect("small"), RefusalCode::AMOUNT_BELOW);
        refuse(&|s| s.hop_id = [9; 16], RefusalCode::HOP_UNKNOWN);
        refuse(&|s| s.claim.sealed[60] ^= 1, RefusalCode::BAD_SEAL);
        refuse(&|s| s.template.sealed[60] ^= 1, RefusalCode::BAD_SEAL);
        // A locked claim is none in plain.
        refuse(&|s| s.lock = None, RefusalCode::CLAIM_INVALID);
        assert!(matches!(say(&mut world, circ, node, Message::Sign(sign)), Message::Signed(_)), "as it was meant");
    }
}

#[test]
fn a_client_that_lies_about_the_difference_of_two_locks_makes_a_payment_that_nobody_gets() {
    let (mut world, circ, sign) = half_way(N2);
    let before: Vec<_> = [CLIENT, N1, N2, N3].map(|n| world.books(n).1).to_vec();
    let mut bent = sign.clone();
    bent.lock.as_mut().expect("locked").offset[0] ^= 1;
    let Message::Signed(signed) = say(&mut world, circ, N2, Message::Sign(bent)) else { panic!("no signature") };
    // N3 gets a claim under a lock that no secret of the site opens; the site refuses what comes of it.
    let mut ours = world.lanes(N2).into_iter().filter(|l| l.role == Role::Payer);
    let Some(next) = ours.find_map(|l| l.lock) else { panic!("N2 signed nothing") };
    assert!(next.max_time > world.now / 1000 && !signed.claim.sealed.is_empty());
    world.run(80);
    assert_eq!([CLIENT, N1, N2, N3].map(|n| world.books(n).1).to_vec(), before);
    for node in [CLIENT, N1, N2, N3, SITE] {
        assert!(world.lanes(node).iter().all(|l| l.lock.is_none()), "node {node}");
    }
    world.check();
}

#[test]
fn a_secret_of_another_payment_opens_nothing() {
    let mut world = World::open_with_site(locked());
    let circ = world.stream();
    world.run(5);
    world.deaf.insert((SITE, DELIVER));
    let mut session = None;
    world.until_asked(circ, &mut session, 100_000);
    let row = world.nodes[N2].hops.iter().find(|h| h.locked).expect("a locked payment").clone();
    let paid = world.books(N2);
    for secret in [[1; 32], [0; 32], [0xff; 32]] {
        let deliver = Deliver { hop_id: row.hop_id, amount: row.amount_in, proof: Proof::Secret(secret) };
        let answer = say(&mut world, circ, N2, Message::Deliver(deliver));
        assert_eq!(code(&answer), Some(RefusalCode::LOCK_INVALID));
    }
    assert_eq!(world.books(N2), paid);
    world.run(80);
    world.check();
}

#[test]
fn a_site_that_lands_its_claim_in_silence_leaves_no_node_out_of_pocket() {
    // The site takes the secret to the ledger, tells nobody, and the client is gone: each node reads it there, and tells
    // the one before it or follows.
    let mut world = World::open_with_site(locked());
    let circ = world.stream();
    world.run(5);
    let before = world.spent();
    world.deaf.insert((SITE, 9));
    // Nobody talks to the site any more, nor it to anybody.
    let mut session = None;
    let call = world.until_asked(circ, &mut session, 100_000);
    world.away.insert(SITE);
    let circuits: Vec<_> = world.routes.iter().filter(|(_, r)| r.origin == SITE).map(|(circ, _)| *circ).collect();
    circuits.into_iter().for_each(|circ| world.cut(circ, None));
    world.restart(CLIENT);
    assert!(world.lanes(SITE).iter().any(|l| l.lock.as_ref().is_some_and(|lock| lock.secret.is_some())));
    world.run(120);
    let site = world.base.nodes[SITE].wallet.account();
    let got = world.lanes(SITE).iter().map(|l| l.landed.get()).sum::<u64>();
    assert!(got > 0 && world.base.balance(&site) > 0, "the site's claim landed");
    let [client, n1, n2, n3] = [CLIENT, N1, N2, N3].map(|node| world.books(node));
    assert_eq!(n3.1, got, "N3 owes what landed");
    for (node, (accepted, signed)) in [n1, n2, n3].into_iter().enumerate() {
        assert!(accepted > signed, "node {node} collected {accepted} and pays {signed}");
    }
    assert!(client.1 > before, "the client pays: its guard told it, or its own lane on the ledger");
    assert_eq!(client.1, n1.0);
    let row = world.nodes[CLIENT].payments.values().find(|p| p.site.is_some()).expect("a payment");
    assert_eq!(row.state, PaymentState::Complete, "{:?}", world.answer(call));
    world.check();
}

#[test]
fn a_node_that_holds_its_signature_back_costs_nobody_anything_and_is_told_apart() {
    for silent in [N1, N2, N3] {
        let mut world = World::open_with_site(locked());
        let circ = world.stream();
        world.run(5);
        let before = [CLIENT, N1, N2, N3].map(|n| world.books(n));
        world.deaf.insert((silent, SIGNED));
        let mut session = None;
        world.until_asked(circ, &mut session, 100_000);
        world.run(100);
        assert_eq!([CLIENT, N1, N2, N3].map(|n| world.books(n)), before, "silent {silent}");
        let who = world.nodes[CLIENT].gateway.status().refused.iter().map(|r| r.who.clone()).collect::<Vec<_>>();
        assert!(who.contains(&format!("n{}", silent + 1)), "{who:?}");
    }
}
