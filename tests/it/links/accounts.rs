//! Several accounts of one wallet: partners that should not know of each other see different ones, and nothing on the
//! ledger joins them.
use super::world::*;
use magicwave::gateway::core::message::{AccountKey, Id, LinkHello, Message};
use magicwave::gateway::link::{Limits, LinkRow, Role};

/// A client or a service behind the relays.
const OTHER: usize = 3;

/// Three relays and one that is none, with `funded` of its `accounts` on the ledger.
fn world(seed: u64, accounts: u8, funded: u8) -> World {
    let mut world = World::new(seed, 3, 1, &Limits { denomination: amount(1), period_secs: 6_000, ..limits() });
    for number in 1..funded {
        world.create_numbered(OTHER, number, 1000 * UNIT);
        world.fund_numbered(OTHER, number, 1000 * UNIT);
    }
    world.nodes[OTHER].accounts = accounts;
    world.restart(OTHER);
    world
}

/// The number that each relay sees, and the account that it knows.
fn seen(world: &World) -> Vec<(u8, AccountKey)> {
    let link = |relay: usize| -> Option<(u8, AccountKey)> {
        let own = world.link_rows(OTHER).into_iter().find(|row| row.partner == partner(world, relay))?;
        let theirs: Vec<LinkRow> = world.link_rows(relay).into_iter().filter(|row| row.id == own.id).collect();
        Some((own.own, theirs.first()?.account))
    };
    (0..OTHER).filter_map(link).collect()
}

fn partner(world: &World, relay: usize) -> magicwave::gateway::link::Partner {
    magicwave::gateway::link::Partner::Relay(world.relay(relay))
}

fn account(world: &World, number: u8) -> AccountKey {
    world.numbered(OTHER, number).public()
}

/// No transaction names two accounts of the wallet.
fn nothing_joins_them(world: &World) {
    let holds = |bytes: &[u8], key: &AccountKey| bytes.windows(32).any(|part| part == key);
    let keys: Vec<AccountKey> = (0..16).map(|number| account(world, number)).collect();
    assert!(world.applied.iter().any(|(_, bytes)| keys.iter().any(|key| holds(bytes, key))), "it was looked for");
    for (_, envelope) in &world.applied {
        assert!(keys.iter().filter(|key| holds(envelope, key)).count() <= 1, "one transaction, two accounts");
    }
}

fn serve(world: &mut World, relay: usize) {
    let id = world.relay(relay);
    for _ in 0..20 {
        world.step(OTHER, |links, now, rng, out| links.want_payer(now, rng, id, out));
        world.step(relay, |links, now, _, _| links.money_came(now));
        world.run(2);
    }
}

#[test]
fn each_guard_sees_an_account_of_its_own_while_one_is_left_that_holds_enough() {
    let mut world = world(1, 3, 2);
    (0..3).for_each(|guard| world.open(OTHER, guard));
    let numbers: Vec<u8> = seen(&world).iter().map(|(number, _)| *number).collect();
    assert_eq!(numbers, [0, 1, 0], "the third account is not there: two share one");
    assert!(seen(&world).iter().all(|(number, known)| *known == account(&world, *number)));
    for (guard, stroops) in [(0, 500), (1, 70), (2, 3)] {
        world.pay_for_sure(OTHER, guard, stroops);
    }
    world.restart(OTHER);
    world.pay_for_sure(OTHER, 1, 1_000);
    world.settle();
    world.close(OTHER);
    world.run_until_back(OTHER);
    let left = |number| 1000 * UNIT - world.balance(&account(&world, number));
    assert_eq!((left(0), left(1)), (503, 1_070), "each account paid for its own guards, and the rest is back on it");
    let sponsors = |number| world.view(&account(&world, number)).expect("an account").sponsoring;
    assert_eq!((sponsors(0), sponsors(1)), (0, 0), "with all reserves");
    nothing_joins_them(&world);
    world.check();
}

#[test]
fn a_service_shows_each_relay_another_account_and_the_one_in_its_offers_to_none() {
    let mut world = world(2, 3, 3);
    let before = world.view(&account(&world, 0));
    (0..3).for_each(|relay| serve(&mut world, relay));
    let numbers: Vec<u8> = seen(&world).iter().map(|(number, _)| *number).collect();
    assert_eq!(numbers, [1, 2, 1], "rather two relays see one than one sees the account of the offers");
    for relay in 0..3 {
        pay_service(&mut world, relay, 700);
    }
    world.settle();
    let got = |number| world.balance(&account(&world, number)) - 1000 * UNIT;
    assert_eq!((got(0), got(1), got(2)), (0, 1_400, 700), "each account got what its relays paid");
    let after = world.view(&account(&world, 0));
    assert_eq!(before.map(|view| (view.sequence, view.native)), after.map(|view| (view.sequence, view.native)));
    nothing_joins_them(&world);
}

/// A relay pays the service.
fn pay_service(world: &mut World, relay: usize, stroops: u64) {
    use magicwave::gateway::link::{PayeeRef, PayerRef};
    let (hop, from) = (world.hop(), PayerRef::Relay(world.relay(relay)));
    let made = world.step(OTHER, |links, _, rng, _| links.template(rng, from, hop, amount(stroops)));
    let template = made.expect("alive").expect("a template");
    let payee = PayeeRef::Tag(template.link_tag);
    let claim = world
        .step(relay, |links, now, rng, out| links.sign(now, rng, hop, payee, amount(stroops), &template, out))
        .expect("alive")
        .expect("signed");
    world.accepted(OTHER, hop, stroops, &claim).expect("accepted");
}

#[test]
fn a_relay_sees_the_same_account_again_and_a_new_one_gets_what_was_funded_meanwhile() {
    let mut world = world(3, 2, 1);
    world.open(OTHER, 0);
    world.open(OTHER, 1);
    assert_eq!(seen(&world).iter().map(|(number, _)| *number).collect::<Vec<_>>(), [0, 0]);
    world.create_numbered(OTHER, 1, 1000 * UNIT);
    world.fund_numbered(OTHER, 1, 1000 * UNIT);
    world.run(601);
    world.open(OTHER, 2);
    assert_eq!(
        seen(&world).iter().map(|(number, _)| *number).collect::<Vec<_>>(),
        [0, 0, 1],
        "seen within ten minutes"
    );
    let lanes = |world: &World, number: u8| world.lanes(OTHER).iter().filter(|lane| lane.own == number).count();
    assert_eq!((lanes(&world, 0), lanes(&world, 1)), (2, 1));
}

#[test]
fn nobody_sees_an_account_before_all_were_looked_at() {
    let mut world = world(4, 2, 2);
    world.restart(OTHER);
    world.chaos.unknown = 100;
    let relays = [world.relay(0), world.relay(1)];
    for _ in 0..30 {
        for relay in relays {
            world.step(OTHER, |links, now, rng, out| links.want_payee(now, rng, relay, out));
        }
        world.run(1);
    }
    assert!(world.nodes[OTHER].links.summary().is_empty(), "a silent ledger joins nobody to an account");
    world.chaos.unknown = 0;
    world.run(40);
    (0..2).for_each(|guard| world.open(OTHER, guard));
    assert_eq!(seen(&world).iter().map(|(number, _)| *number).collect::<Vec<_>>(), [0, 1]);
}

#[test]
fn whatever_step_a_node_dies_at_its_accounts_open_and_close_side_by_side() {
    for step in 0..40u32 {
        let mut world = world(5, 2, 2);
        world.nodes[OTHER].crash = Some((step, step % 2 == 0));
        (0..2).for_each(|guard| world.pay_for_sure(OTHER, guard, 100));
        world.nodes[OTHER].crash = Some((step, step % 2 == 1));
        (0..2).for_each(|guard| world.pay_for_sure(OTHER, guard, 800));
        world.settle();
        world.close(OTHER);
        world.run_until_back(OTHER);
        let mut left: Vec<u64> =
            [0, 1].iter().map(|number| 1000 * UNIT - world.balance(&account(&world, *number))).collect();
        left.sort_unstable();
        assert_eq!(left, [900, 900], "{step}");
        nothing_joins_them(&world);
        world.check();
    }
}

#[test]
fn what_several_accounts_hold_is_told_by_the_one_that_is_worst_off() {
    let mut world = world(6, 2, 2);
    world.run(1);
    assert_eq!(world.nodes[OTHER].links.purse().asset, Some(amount(1000 * UNIT)), "before there is a link: the best");
    world.open(OTHER, 0);
    world.open(OTHER, 1);
    world.run(120);
    let purse = world.nodes[OTHER].links.purse();
    assert_eq!((purse.asset, purse.in_escrows), (Some(amount(990 * UNIT)), amount(10 * UNIT)));
    world.pay_for_sure(OTHER, 1, 4 * UNIT);
    let purse = world.nodes[OTHER].links.purse();
    assert_eq!((purse.own, purse.in_escrows), (1, amount(6 * UNIT)));
}

#[test]
fn rows_of_an_account_that_no_wallet_has_are_refused() {
    let mut world = world(7, 2, 2);
    world.open(OTHER, 0);
    let (links, mut lanes) = (world.link_rows(OTHER), world.lanes(OTHER));
    lanes[0].own = 16;
    let me = magicwave::gateway::link::Identity::new(world.nodes[OTHER].wallet.clone(), network(), asset());
    let refused = magicwave::gateway::link::Links::load(me, limits(), links, lanes).map(|_| ());
    assert_eq!(refused.expect_err("refused").code, "MW-LINK-2");
    // Nor are those of another wallet.
    let (links, lanes) = (world.link_rows(OTHER), world.lanes(OTHER));
    let other = magicwave::gateway::link::Identity::new(world.nodes[0].wallet.clone(), network(), asset());
    let refused = magicwave::gateway::link::Links::load(other, limits(), links, lanes).map(|_| ());
    assert_eq!(refused.expect_err("refused").code, "MW-LINK-3");
    assert!(world.lanes(OTHER).iter().all(|lane| lane.role == Role::Payer && lane.link != Id::default()));
}

/// What the other end answers when relay 0 says hello again under a guessed account.
fn said(world: &mut World, guess: AccountKey) -> Vec<Message> {
    let partner = magicwave::gateway::link::Partner::Relay(world.relay(0));
    let link = world.link_rows(OTHER).into_iter().find(|row| row.partner == partner).expect("a link").id;
    let circ = world.circuit(OTHER, 0);
    let hello = LinkHello {
        version: 1,
        network: network().short(),
        asset: asset().id(),
        link,
        payer: true,
        account: guess,
        signer: [9; 32],
        deposit: limits().deposit,
        period: limits().period_secs,
    };
    world.inject(0, circ, Message::LinkHello(hello))
}

#[test]
fn a_partner_cannot_ask_which_other_accounts_are_ours() {
    let mut world = world(8, 3, 3);
    (0..2).for_each(|guard| world.open(OTHER, guard));
    let stranger = said(&mut world, [77; 32]);
    for number in 1..16 {
        let guess = account(&world, number);
        assert_eq!(said(&mut world, guess), stranger, "account {number}");
    }
    let mut world = self::world(9, 3, 3);
    serve(&mut world, 0);
    let stranger = said(&mut world, [77; 32]);
    for number in [0, 2] {
        let guess = account(&world, number);
        assert_eq!(said(&mut world, guess), stranger, "account {number}, the first of which stands in offers");
    }
}

#[test]
fn a_relay_that_forgot_its_link_to_a_service_sees_no_other_account_of_it() {
    let mut world = world(10, 3, 3);
    serve(&mut world, 0);
    world.roll_back(0, Default::default());
    world.restart(OTHER);
    let before = world.log.len();
    serve(&mut world, 0);
    let shown: Vec<AccountKey> = world.log[before..]
        .iter()
        .filter_map(|(to, message)| match message {
            Message::LinkHello(hello) if *to == 0 => Some(hello.account),
            Message::LinkAccept(accept) if *to == 0 => Some(accept.account),
            _ => None,
        })
        .collect();
    assert!(shown.len() > 1 && shown.iter().all(|known| *known == account(&world, 1)), "{}", shown.len());
}

#[test]
fn relays_that_are_asked_at_the_same_time_see_different_accounts() {
    let mut world = world(12, 3, 3);
    let relays = [world.relay(0), world.relay(1)];
    for _ in 0..30 {
        for (relay, id) in relays.iter().enumerate() {
            world.step(OTHER, |links, now, rng, out| links.want_payer(now, rng, *id, out));
            world.step(relay, |links, now, _, _| links.money_came(now));
        }
        world.run(2);
    }
    let mut numbers: Vec<u8> = seen(&world).iter().map(|(number, _)| *number).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, [1, 2]);
}

#[test]
fn a_wallet_without_its_store_makes_no_escrow_twice_from_two_accounts() {
    let mut world = world(11, 2, 2);
    world.open(OTHER, 0);
    let id = world.link_rows(OTHER)[0].id;
    world.step(OTHER, |links, now, _, out| links.want_lane(now, &id, out));
    world.run(60);
    world.open(OTHER, 1);
    world.close(OTHER);
    world.run_until_back(OTHER);
    world.roll_back(OTHER, Default::default());
    world.run(100);
    (0..2).for_each(|guard| world.open(OTHER, guard));
    let holds = |bytes: &[u8], key: &AccountKey| bytes.windows(32).any(|part| part == key);
    let escrows: std::collections::BTreeSet<AccountKey> = world.lanes(OTHER).iter().map(|lane| lane.escrow).collect();
    assert_eq!(escrows.len(), 2);
    for escrow in escrows {
        let of = |number: &u8| {
            let own = account(&world, *number);
            world.applied.iter().any(|(_, bytes)| holds(bytes, &escrow) && holds(bytes, &own))
        };
        assert_eq!([0, 1].iter().filter(|number| of(number)).count(), 1);
    }
}
