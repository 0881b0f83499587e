//! Locked chains: all are paid or nobody is, whatever gets lost and whoever dies.
use super::losses::{Person, all_paid};
use super::world::*;
use magicwave::gateway::chain::PaymentState;
use magicwave::gateway::core::locks::Locks;
use magicwave::gateway::core::message::{Message, Proof};
use magicwave::gateway::link::Role;
use magicwave::gateway::port::Answer;

const SIGN: u8 = 6;
const DELIVER: u8 = 8;
const DELIVERED: u8 = 9;

fn locked() -> Setup {
    Setup { locks: Locks::Always, ..Setup::default() }
}

/// No lock is open anywhere, and what the client signed is what its guard has.
fn at_rest(world: &World) {
    for node in [CLIENT, N1, N2, N3, SITE] {
        for lane in world.lanes(node) {
            assert_eq!(lane.lock, None, "node {node}: a lock stays open");
        }
    }
    for (payer, payee) in [(CLIENT, N1), (N1, N2), (N2, N3), (N3, SITE)] {
        assert_eq!(world.books(payer).1, world.books(payee).0, "between {payer} and {payee}");
    }
    world.check();
}

#[test]
fn a_locked_chain_pays_all_four_and_nothing_stays_locked() {
    let mut world = World::open_with_site(locked());
    let circ = world.stream();
    world.run(5);
    let mut session = None;
    let from = world.log.len();
    let call = world.until_asked(circ, &mut session, 100_000);
    let Some(Answer::Paid(row)) = world.answer(call) else { panic!("{:?}", world.answers) };
    assert_eq!((row.payees.len(), row.lock.is_some(), row.state), (4, true, PaymentState::Complete));
    let proofs: Vec<_> = world.log[from..]
        .iter()
        .filter_map(|(who, to, m)| match m {
            Message::Deliver(deliver) if *who == CLIENT => Some((*to, matches!(deliver.proof, Proof::Locked(..)))),
            _ => None,
        })
        .collect();
    assert_eq!(proofs, [(SITE, true), (N3, false), (N2, false), (N1, false)]);
    assert_eq!(world.books(SITE).0, row.payees[3].due.get());
    assert_eq!(world.buy(circ, &mut session, 100_000), None, "what was paid is served");
    at_rest(&world);
    assert!(world.nodes[N2].hops.iter().all(|h| !h.locked), "every hop gave its receipt");
}

#[test]
fn whichever_message_is_lost_the_client_pays_what_its_guard_got() {
    let quiet = {
        let mut world = World::open_with_site(locked());
        world.lose = Some(usize::MAX);
        Person::begin(&mut world).use_it(&mut world);
        all_paid(&world);
        at_rest(&world);
        usize::MAX - world.lose.expect("a count")
    };
    assert!(quiet > 60, "{quiet} messages");
    for unlucky in 0..quiet {
        let mut world = World::open_with_site(locked());
        world.lose = Some(unlucky);
        println!("message {unlucky} gets lost");
        Person::begin(&mut world).use_it(&mut world);
        assert_eq!(world.lose, None, "message {unlucky} was lost");
        all_paid(&world);
        at_rest(&world);
    }
}

/// One world per step of the node; so many at least. Nobody loses anything: not the client, not a node.
fn crash_everywhere(node: usize, least: usize) {
    for before in [true, false] {
        for step in (0..).step_by(if before { 2 } else { 1 }) {
            let mut world = World::open_with_site(locked());
            world.nodes[node].crash = Some((step, before));
            let mut person = Person::begin(&mut world);
            println!("node {node} dies at step {step}, before its rows: {before}");
            person.use_it(&mut world);
            if world.nodes[node].crash.take().is_some() {
                assert!(step >= least, "only {step} steps");
                break;
            }
            world.run(60);
            at_rest(&world);
        }
    }
}

#[test]
fn a_client_that_dies_at_any_step_loses_nothing() {
    crash_everywhere(CLIENT, 80);
}

#[test]
fn a_relay_that_dies_at_any_step_loses_nothing_and_costs_nobody_anything() {
    crash_everywhere(N2, 40);
}

#[test]
fn a_site_that_dies_at_any_step_loses_nothing_and_costs_nobody_anything() {
    crash_everywhere(SITE, 20);
}

#[test]
fn what_a_payee_withholds_costs_the_client_nothing() {
    for (deaf, kind) in [(N1, SIGN), (N2, SIGN), (N3, SIGN), (SITE, DELIVER)] {
        let mut world = World::open_with_site(locked());
        let circ = world.stream();
        world.run(5);
        let before = world.spent();
        world.deaf.insert((deaf, kind));
        let mut session = None;
        let call = world.until_asked(circ, &mut session, 100_000);
        for _ in 0..40 {
            world.run(1);
        }
        assert!(matches!(world.answer(call), Some(Answer::Lost(_))), "{:?}", world.answer(call));
        world.run(60);
        assert_eq!(world.spent(), before, "deaf {deaf} to {kind}");
        at_rest(&world);
        let row = world.nodes[CLIENT].payments.values().find(|p| p.site.is_some()).expect("a payment");
        assert_eq!(row.state, PaymentState::Expired);
    }
}

#[test]
fn a_client_that_keeps_the_secret_to_itself_pays_all_the_same() {
    // The client hears the site's receipt and dies; the site tells its payer, and so on up to the client's lane.
    let mut world = World::open_with_site(locked());
    let circ = world.stream();
    world.run(5);
    for node in [N1, N2, N3] {
        world.deaf.insert((node, DELIVER));
    }
    let mut session = None;
    let call = world.until_asked(circ, &mut session, 100_000);
    assert!(world.answer(call).is_none(), "no receipts yet");
    world.run(40);
    let [client, n1, n2, n3] = [CLIENT, N1, N2, N3].map(|node| world.books(node).1);
    assert!(client > n1 && n1 > n2 && n2 > n3 && n3 > 0, "{client} {n1} {n2} {n3}");
    at_rest(&world);
}

#[test]
fn a_receipt_that_never_arrives_is_made_up_for_by_the_payees_themselves() {
    let mut world = World::open_with_site(locked());
    let circ = world.stream();
    world.run(5);
    world.deaf.insert((SITE, DELIVERED));
    let mut session = None;
    let call = world.until_asked(circ, &mut session, 100_000);
    world.run(60);
    // The site has its claim and told its payer: the client has paid, and hears so from its guard.
    let row = world.nodes[CLIENT].payments.values().find(|p| p.site.is_some()).expect("a payment");
    assert_eq!(row.state, PaymentState::Complete, "{:?}", world.answer(call));
    assert_eq!(world.books(SITE).0, row.payees[3].due.get());
    at_rest(&world);
}

#[test]
fn lanes_hold_one_lock_at_a_time() {
    let mut world = World::open_with_site(locked());
    let circ = world.stream();
    world.run(5);
    world.deaf.insert((SITE, DELIVER));
    let mut session = None;
    world.until_asked(circ, &mut session, 100_000);
    let open = |world: &World, node: usize, role: Role| {
        world.lanes(node).iter().filter(|l| l.role == role && l.lock.is_some()).count()
    };
    for (payer, payee) in [(CLIENT, N1), (N1, N2), (N2, N3)] {
        assert_eq!((open(&world, payer, Role::Payer), open(&world, payee, Role::Payee)), (1, 1));
    }
    // Each lock outlives the next one by the margin.
    let time =
        |node: usize| world.lanes(node).iter().filter_map(|l| l.lock.as_ref()).map(|l| l.max_time).collect::<Vec<_>>();
    for node in [N1, N2, N3] {
        let mut times = time(node);
        times.sort_unstable();
        assert!(times[1] >= times[0] + world.setup.limits.lock_secs, "{times:?}");
    }
}

#[test]
fn by_default_small_payments_are_plain_and_large_ones_locked() {
    let usual = Setup::default();
    let limits = magicwave::gateway::link::Limits {
        deposit: magicwave::units::Stroops::new(200_000_000).expect("an amount"),
        ..usual.limits.clone()
    };
    let day = 100 * usual.day;
    let mut world = World::open(Setup { locks: Locks::default(), ahead: 8 << 20, limits, day, ..usual });
    let circ = world.stream();
    world.flow_for_sure(circ, 20_000, 60);
    world.run(10);
    let rows: Vec<_> = world.nodes[CLIENT].payments.values().collect();
    let first = 2 << 20; // 2 MiB at a stroop a byte
    for row in &rows {
        let large = row.payees.iter().any(|payee| payee.due.get() > first);
        assert_eq!(row.lock.is_some(), large, "{row:?}");
    }
    assert!(rows.iter().any(|row| row.lock.is_some()) && rows.iter().any(|row| row.lock.is_none()), "{rows:?}");
    at_rest(&world);
}
