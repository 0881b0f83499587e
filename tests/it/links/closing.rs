//! Deposits come back: after the period and only then, whatever the ledger and the payee do meanwhile.
use super::world::*;
use magicwave::gateway::link::{EscrowRow, Limits, Partner, Readiness, Role};
use magicwave::stellar::template;

/// O of a minute; flushes to the stroop.
pub fn short() -> Limits {
    Limits { period_secs: 60, flush_interval_secs: 10, denomination: amount(1), ..limits() }
}

impl World {
    /// The operator closes all links.
    pub fn close(&mut self, node: usize) -> Vec<magicwave::gateway::link::Returning> {
        let returning = self.step(node, |links, now, _, out| links.close(now, None, out)).unwrap_or_default();
        self.drain();
        returning
    }

    pub fn payer_lanes(&self, node: usize) -> Vec<EscrowRow> {
        self.lanes(node).into_iter().filter(|l| l.role == Role::Payer).collect()
    }

    pub fn count(&self, node: usize, what: &str) -> usize {
        self.nodes[node].events.iter().filter(|e| e.what == what).count()
    }

    /// Runs until a lane of the payer is in this state.
    pub fn run_until(&mut self, payer: usize, state: &str) {
        for _ in 0..2000 {
            if self.payer_lanes(payer).iter().any(|l| l.state.name() == state) {
                return;
            }
            self.run(1);
        }
        panic!("never {state}: {:#?}", self.payer_lanes(payer));
    }

    /// All deposits of a payer are back: each came back once, and what came back and what landed make it up.
    pub fn all_is_back(&self, payer: usize) {
        let spare = self.payer_lanes(payer).iter().filter(|l| l.state.name() == "spare").count();
        for lane in self.payer_lanes(payer).iter().filter(|l| !["dropped", "spare"].contains(&l.state.name())) {
            assert_eq!(lane.state.name(), "spent", "{lane:#?}");
            assert_eq!(lane.landed.get() + lane.returned.expect("back").get(), lane.deposit.get());
            assert!(self.view(&lane.escrow).is_none(), "merged");
            let paid = self.lanes_by(&lane.escrow, Role::Payee).map_or(0, |l| l.landed.get());
            assert_eq!(lane.landed.get(), paid, "what left the escrow is what the payee got");
        }
        let ended = self.payer_lanes(payer).iter().filter(|l| l.returned.is_some()).count();
        assert_eq!((self.count(payer, "escrow_refunded"), self.count(payer, "escrow_reclaimed")), (ended, ended));
        let view = self.view(&self.nodes[payer].wallet.account()).expect("an account");
        // Three for an account with a trustline that waits for its next link.
        assert_eq!(view.sponsoring as usize, 3 * spare, "and all reserves");
        self.check();
    }
}

#[test]
fn a_deposit_comes_back_when_its_period_is_over_and_not_before() {
    let mut world = World::alone(90, 2, 0, &short());
    let native = world.view(&world.nodes[0].wallet.account()).expect("an account").native;
    world.open(0, 1);
    world.pay(0, 1, 12_345).expect("paid");
    let [coming] = &world.close(0)[..] else { panic!("one lane") };
    assert_eq!((coming.state, coming.amount.get()), ("retired", 10 * UNIT - 12_345));
    assert_eq!(coming.due_ms, (world.lanes(0)[0].seq_time + 60) * 1000);
    assert_eq!(world.nodes[0].links.can_pay(&world.relay(1)), Readiness::Closing);
    world.run(30);
    assert_eq!(world.lanes(1)[0].landed.get(), 12_345, "the payee flushed by its own schedule");
    let due = (world.lanes(0)[0].seq_time + 60) * 1000;
    assert!(due > coming.due_ms, "which restarted the clock");
    while world.now_ms < due {
        assert_eq!((world.count(0, "escrow_refunded"), world.lanes(0)[0].state.name()), (0, "retired"));
        world.run(1);
    }
    world.run_until(0, "spent");
    assert!(world.now_ms < due + 10_000);
    world.all_is_back(0);
    assert_eq!(world.node_balance(0), 1000 * UNIT - 12_345);
    world.run(10);
    assert_eq!((world.lanes(1)[0].state.name(), world.count(1, "claim_lost")), ("spent", 0));
    assert!(world.link_rows(0).is_empty() && world.nodes[0].links.summary().is_empty(), "the link is gone");
    // O1 400, F 700, R 300, the reclaim 300, as the journal says.
    let fees: u64 = world.nodes[0].events.iter().map(|e| e.fee).sum();
    let now = world.view(&world.nodes[0].wallet.account()).expect("an account").native;
    assert_eq!((fees, native - now), (1700, 1700));
}

#[test]
fn a_claim_that_lands_at_the_last_moment_restarts_the_clock_and_one_that_comes_too_late_is_lost() {
    let (mut landed, mut lost) = (0, 0);
    for offset in -4i64..=6 {
        let mut world = World::alone(91, 2, 0, &short());
        world.open(0, 1);
        world.pay(0, 1, 700).expect("paid");
        world.asleep = vec![1];
        let first = world.lanes(0)[0].seq_time;
        world.close(0);
        world.drop_circuits();
        let wake = first.checked_add_signed(60 + offset).expect("a time") * 1000;
        while world.now_ms < wake {
            world.run(1);
        }
        world.asleep.clear();
        world.run_until(0, "spent");
        world.all_is_back(0);
        world.run(80);
        let (payer, payee) = (world.lanes(0)[0].clone(), world.lanes(1)[0].clone());
        assert_eq!(payee.state.name(), "spent", "{offset}");
        match payee.landed.get() {
            700 => {
                assert!(payer.seq_time > first, "{offset}: the clock began anew");
                assert_eq!(world.count(1, "claim_lost"), 0);
                landed += 1;
            }
            _ => {
                assert_eq!((payee.landed.get(), world.count(1, "claim_lost")), (0, 1), "{offset}");
                assert_eq!(world.node_balance(0), 1000 * UNIT);
                lost += 1;
            }
        }
    }
    assert!(landed >= 3 && lost >= 3, "{landed} {lost}");
}

#[test]
fn an_outage_and_a_lookup_that_trails_only_delay_what_comes_back() {
    for seed in 0..12 {
        let mut world = World::alone(200 + seed, 2, 0, &short());
        world.open(0, 1);
        world.pay(0, 1, 700).expect("paid");
        world.run(20);
        world.close(0);
        match seed % 4 {
            0 => world.chaos.unknown = 60,
            1 => world.blind = true,
            2 => (world.blind, world.flaky) = (true, 30),
            _ => (world.chaos.unknown, world.blind, world.flaky) = (30, true, 20),
        }
        world.run(120);
        if seed % 4 == 1 {
            world.all_is_back(0); // the escrow itself tells
        }
        (world.chaos, world.blind, world.flaky) = (Chaos::default(), false, 0);
        world.run_until(0, "spent");
        world.all_is_back(0);
        assert_eq!(world.node_balance(0), 1000 * UNIT - 700);
    }
}

#[test]
fn a_ledger_that_is_out_for_long_gets_the_refund_when_it_is_back() {
    let mut world = World::alone(93, 2, 0, &short());
    world.open(0, 1);
    world.close(0);
    world.chaos.unknown = 100;
    world.run(300);
    world.restart(0);
    world.run(100);
    world.chaos.unknown = 0;
    world.run_until(0, "spent");
    world.all_is_back(0);
}

#[test]
fn a_busy_ledger_gets_a_higher_fee_for_the_same_refund() {
    let mut world = World::alone(94, 2, 0, &short());
    world.open(0, 1);
    world.close(0);
    world.min_fee = 1_000_000;
    world.run(100);
    let lane = world.lanes(0)[0].clone();
    assert_eq!((lane.state.name(), lane.state.tx().expect("signed").fee), ("refunding", limits().fee_ceiling));
    world.min_fee = 1500;
    world.run_until(0, "spent");
    world.all_is_back(0);
}

#[test]
fn a_stroop_sent_to_the_escrow_does_not_keep_it_from_coming_back() {
    let mut world = World::alone(95, 2, 0, &short());
    world.open(0, 1);
    let escrow = world.lanes(0)[0].escrow;
    world.close(0);
    world.run_until(0, "refunded");
    let mut gifts = 0;
    while world.lanes(0)[0].state.name() != "spent" {
        world.step(0, |links, now, rng, out| links.on_tick(now, rng, out));
        world.drain_with(|world| {
            if gifts < 3 && world.lanes(0)[0].state.name() == "reclaiming" {
                gifts += 1;
                world.transact(&issuer(), |source| {
                    template::payment(source, &escrow, &asset(), amount(1)).expect("payment")
                });
            }
        });
        world.run(1);
    }
    assert_eq!((gifts, world.count(0, "reclaim_failed")), (3, 3));
    assert_eq!(world.node_balance(0), 1000 * UNIT + 3);
    assert!(world.view(&escrow).is_none());
}

#[test]
fn liquidity_comes_back_with_the_deposit_and_a_new_link_opens_with_it() {
    let mut world = World::alone(96, 3, 0, &Limits { liquidity_total: amount(15 * UNIT), ..short() });
    world.open(0, 1);
    let (first, second) = (world.lanes(0)[0].escrow, world.relay(2));
    world.close(0);
    while world.lanes_by(&first, Role::Payer).is_some_and(|l| l.returned.is_none()) {
        assert_eq!(world.payer_lanes(0).len(), 1, "its deposit is not free before it is back");
        world.step(0, |links, now, rng, out| links.want_payee(now, rng, second, out));
        assert_ne!(world.nodes[0].links.can_pay(&second), Readiness::Ready);
        world.run(1);
    }
    world.open(0, 2);
    world.pay(0, 2, 77).expect("paid over the link that had to wait");
    world.close(0);
    world.run_until_back(0);
    world.open(0, 1);
    world.pay(0, 1, 77).expect("paid over a new link with the partner whose link was closed");
    assert!(world.nodes[0].links.summary().iter().all(|l| !l.closing));
    world.check();
}

impl World {
    pub fn run_until_back(&mut self, payer: usize) {
        for _ in 0..2000 {
            let empty = |l: &EscrowRow| ["dropped", "spare"].contains(&l.state.name());
            if self.payer_lanes(payer).iter().all(|l| l.returned.is_some() || empty(l)) {
                return;
            }
            self.run(1);
        }
        panic!("not back: {:#?}", self.payer_lanes(payer));
    }
}

#[test]
fn all_links_close_at_whatever_stage_they_are() {
    for stage in 0..12 {
        let mut world = World::alone(97, 4, 0, &short());
        world.open(0, 1);
        world.pay(0, 1, 500).expect("paid");
        for other in [2, 3] {
            let relay = world.relay(other);
            world.step(0, |links, now, rng, out| links.want_payee(now, rng, relay, out));
            world.run(stage);
        }
        world.close(0);
        let before = world.payer_lanes(0).len();
        world.run(200);
        assert_eq!(world.payer_lanes(0).len(), before, "no new lanes");
        assert!(world.nodes[0].links.summary().is_empty() && world.link_rows(0).is_empty(), "{stage}");
        let states = |world: &World| world.payer_lanes(0).iter().map(|l| l.state.name()).collect::<Vec<_>>();
        assert!(states(&world).iter().all(|s| ["spent", "dropped", "spare"].contains(s)), "{:?}", states(&world));
        assert_eq!(world.node_balance(0), 1000 * UNIT - 500, "{stage}");
        // An escrow account without a deposit is used by the next link, once its payee has forgotten the first offer.
        world.run(620);
        world.open(0, 3);
        assert!(!states(&world).contains(&"spare"), "{stage}");
    }
}

#[test]
fn an_escrow_that_was_funded_and_not_yet_read_when_its_link_closed_comes_back() {
    let mut world = World::alone(105, 2, 0, &short());
    let relay = world.relay(1);
    world.step(0, |links, now, rng, out| links.want_payee(now, rng, relay, out));
    world.run_until(0, "funding");
    world.flaky = 100;
    world.run_until(0, "funded");
    world.close(0);
    world.run(5);
    assert_eq!((world.lanes(0)[0].state.name(), world.lanes(0)[0].seq_time), ("retired", 0));
    world.flaky = 0;
    world.run_until(0, "spent");
    world.all_is_back(0);
}

#[test]
fn closing_one_link_leaves_the_others_and_is_remembered() {
    let mut world = World::alone(98, 3, 0, &short());
    world.open(0, 1);
    world.open(0, 2);
    let link = world.link_rows(0).into_iter().find(|l| l.partner == Partner::Relay(relay_id(1))).expect("a link").id;
    let closing = world.step(0, |links, now, _, out| links.close(now, Some(link), out)).expect("alive");
    assert_eq!(closing.len(), 1);
    world.restart(0);
    world.run(5);
    assert_eq!(world.nodes[0].links.can_pay(&world.relay(1)), Readiness::Closing);
    let hop = world.hop();
    assert!(world.signed(0, 1, hop, 5).is_err());
    world.pay_for_sure(0, 2, 50);
    world.run_until(0, "spent");
    assert_eq!(world.payer_lanes(0).iter().filter(|l| l.state.name() == "spent").count(), 1);
    world.pay_for_sure(0, 2, 50);
}

#[test]
fn a_deposit_that_its_payee_never_took_comes_back() {
    let mut world = World::alone(99, 2, 0, &short());
    let relay = world.relay(1);
    world.step(0, |links, now, rng, out| links.want_payee(now, rng, relay, out));
    world.run_until(0, "funding");
    world.down = vec![1];
    world.asleep = vec![1];
    world.drop_circuits();
    world.run_until(0, "funded");
    world.run(25);
    assert_eq!(world.lanes(0)[0].state.name(), "funded");
    world.run(10);
    assert_eq!(world.lanes(0)[0].state.name(), "retired", "past half of the period it is too late");
    world.run_until(0, "spent");
    world.all_is_back(0);
    assert_eq!(world.node_balance(0), 1000 * UNIT);
}

#[test]
fn a_lane_that_nobody_uses_gives_its_deposit_back() {
    let mut world = World::alone(101, 2, 0, &Limits { period_secs: 1200, ..short() });
    world.open(0, 1);
    world.run(1300);
    world.all_is_back(0);
    assert_eq!((world.payer_lanes(0).len(), world.node_balance(0)), (1, 1000 * UNIT));
}

#[test]
fn many_lanes_are_used_up_one_after_the_other_while_they_wait_for_their_period() {
    let limits = Limits { period_secs: 500, deposit: amount(UNIT), liquidity_total: amount(2 * UNIT), ..short() };
    let mut world = World::alone(102, 2, 0, &limits);
    let mut waiting = 0;
    for _ in 0..40 {
        world.pay_for_sure(0, 1, UNIT / 4);
        world.run(25);
        world.check();
        waiting = waiting.max(world.payer_lanes(0).iter().filter(|l| l.state.name() == "retired").count());
    }
    assert!(waiting >= 4 && world.payer_lanes(0).len() >= 10, "{waiting} {}", world.payer_lanes(0).len());
}

#[test]
fn rows_from_before_deposits_came_back_load_and_bring_theirs_back() {
    let mut world = World::alone(103, 2, 0, &short());
    world.open(0, 1);
    world.pay(0, 1, 900).expect("paid");
    world.run(20);
    assert_eq!(world.lanes(0)[0].landed.get(), 900);
    let (links, escrows, events) = world.backup(0);
    let old = |row: &String| {
        let mut row: serde_json::Value = serde_json::from_str(row).expect("json");
        let fields = row.as_object_mut().expect("an object");
        for new in ["returned", "refund_fee", "closing"] {
            fields.remove(new);
        }
        if fields.contains_key("escrow") {
            fields.insert("state".into(), serde_json::json!({"is": "spent"}));
        }
        row.to_string()
    };
    let links = links.iter().map(|(id, row)| (*id, old(row))).collect();
    let escrows = escrows.iter().map(|(id, row)| (*id, old(row))).collect();
    world.roll_back(0, (links, escrows, events));
    let lane = &world.nodes[0].links.summary()[0].lanes[0];
    assert_eq!((lane.state, lane.tied_up.get()), ("retired", 10 * UNIT - 900));
    world.run_until(0, "refunded");
    while world.lanes(0)[0].returned.is_none() {
        world.run(1);
    }
    world.all_is_back(0);
}
