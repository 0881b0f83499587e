//! Transactions whose fate no look-up tells: what E shows decides, and no deposit is ever forgotten.
use super::world::*;
use magicwave::gateway::link::{EscrowRow, EscrowState, Limits, Readiness, Role};

/// What lies in escrow accounts that the payer's store does not count any more.
fn forgotten(world: &World) -> u64 {
    let over = |lane: &EscrowRow| matches!(lane.state, EscrowState::Dropped | EscrowState::Spare);
    world.lanes(0).iter().filter(|l| l.role == Role::Payer && over(l)).map(|l| world.balance(&l.escrow)).sum()
}

fn opened(world: &World) -> Vec<&'static str> {
    world.lanes(0).iter().map(|l| l.state.name()).collect()
}

#[test]
fn an_escrow_that_landed_is_kept_although_no_look_up_ever_finds_its_transactions() {
    let mut world = World::new(50, 2, 0, &limits());
    world.blind = true;
    world.open(0, 1);
    assert_eq!(opened(&world), ["open"], "one escrow, made once");
    assert_eq!((forgotten(&world), world.balance(&world.lanes(0)[0].escrow)), (0, limits().deposit.get()));
    world.blind = false;
    world.pay(0, 1, 500).expect("paid");
    world.settle();
}

#[test]
fn an_escrow_is_kept_when_now_and_then_its_account_is_not_found_either() {
    for seed in 60..90 {
        let mut world = World::new(seed, 2, 0, &limits());
        (world.blind, world.flaky) = (true, 50);
        world.open(0, 1);
        assert_eq!((opened(&world), forgotten(&world)), (vec!["open"], 0));
        (world.blind, world.flaky) = (false, 0);
        world.pay(0, 1, 500).expect("paid");
        world.settle();
    }
}

#[test]
fn a_restart_between_a_lost_submission_and_its_look_up_loses_no_deposit() {
    let mut world = World::new(52, 2, 0, &limits());
    world.blind = true;
    let relay = world.relay(1);
    for _ in 0..120 {
        world.step(0, |links, now, rng, out| links.want_payee(now, rng, relay, out));
        world.run(1);
        if world.nodes[0].links.can_pay(&relay) == Readiness::Ready {
            break;
        }
        if (world.now_ms / 1000).is_multiple_of(7) {
            world.restart(0);
        }
    }
    assert_eq!((opened(&world), forgotten(&world)), (vec!["open"], 0));
}

#[test]
fn an_escrow_whose_funding_failed_is_given_up_once_it_shows_that_nothing_is_in_it() {
    for blind in [true, false] {
        let mut world = World::new(53, 2, 0, &Limits { liquidity_total: amount(10 * UNIT), ..limits() });
        let (relay, key, all) = (world.relay(1), world.nodes[0].wallet.account_key(), world.node_balance(0));
        world.step(0, |links, now, rng, out| links.want_payee(now, rng, relay, out));
        // O1 is on its way; F gets stuck until somebody else has spent what it is about to take.
        while opened(&world) != ["creating"] {
            world.run(1);
        }
        world.min_fee = i64::MAX;
        world.run(2);
        assert_eq!(opened(&world), ["funding"]);
        world.transact(&key, |source| {
            magicwave::stellar::template::payment(source, &issuer().public(), &asset(), amount(all)).expect("payment")
        });
        world.min_fee = 0;
        world.blind = blind;
        world.run(20);
        let events = &world.nodes[0].events;
        assert_eq!(events.iter().filter(|e| e.what == "escrow_failed").count(), 1, "{:?}", opened(&world));
        assert_eq!((world.lanes(0)[0].state.name(), forgotten(&world)), ("dropped", 0));
        world.blind = false;
        world.fund(0, all);
        world.run(40);
        assert_eq!(world.nodes[0].links.can_pay(&relay), Readiness::Ready, "its liquidity is free again");
    }
}

/// A server of another network knows neither E nor us; so says one that was just set up.
#[test]
fn a_deposit_is_not_written_off_on_the_word_of_a_server_that_does_not_know_us() {
    for restart in [false, true] {
        let mut world = World::new(96, 2, 0, &limits());
        world.open(0, 1);
        let (before, escrow) = (world.node_balance(0), world.lanes(0)[0].escrow);
        world.down = vec![0, 1];
        world.drop_circuits();
        world.run(590);
        world.flaky = 100;
        world.run(120);
        if restart {
            world.restart(0);
        }
        world.run(120);
        let lane = world.lanes_by(&escrow, Role::Payer).expect("a lane");
        assert_eq!((lane.returned, world.count(0, "escrow_reclaimed")), (None, 0));
        world.flaky = 0;
        world.run(2_000);
        let lane = world.lanes_by(&escrow, Role::Payer).expect("a lane");
        assert_eq!(lane.returned.map(|r| r.get()), Some(10 * UNIT));
        assert_eq!((world.node_balance(0) - before, world.balance(&escrow)), (10 * UNIT, 0), "the deposit is back");
    }
}

/// One that is far behind knows us as we were, and not what we did since.
#[test]
fn a_deposit_is_not_written_off_on_the_word_of_a_server_that_knows_us_as_we_were() {
    // By our account's number, as long as we know it; by the ledger's own number, even after a restart.
    for (restart, sequence, ledger) in [(false, 0, u32::MAX), (true, i64::MAX, 1)] {
        let mut world = World::new(98, 2, 0, &limits());
        world.open(0, 1);
        let (before, escrow) = (world.node_balance(0), world.lanes(0)[0].escrow);
        world.down = vec![0, 1];
        world.drop_circuits();
        world.run(590);
        if restart {
            world.restart(0);
        }
        world.behind = Some((sequence, ledger));
        world.run(200);
        let lane = world.lanes_by(&escrow, Role::Payer).expect("a lane");
        assert_eq!((lane.returned, world.count(0, "escrow_reclaimed")), (None, 0), "{sequence}");
        if restart {
            world.restart(0); // what it was told of our number goes with the process
        }
        world.behind = None;
        world.run(2_000);
        assert_eq!((world.node_balance(0) - before, world.balance(&escrow)), (10 * UNIT, 0), "the deposit is back");
    }
}
