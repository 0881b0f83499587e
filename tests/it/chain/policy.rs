//! Rules, a person's word, ceilings and the account's state, at work in whole gateways.
use super::world::*;
use crate::links::world::{UNIT, amount, asset};
use magicwave::gateway::chain::pay::{GIVEN_UP_MAX, WHILE_MS};
use magicwave::gateway::core::message::{Id, Message, RefusalCode, ServiceKind};
use magicwave::gateway::core::policy::{AccountState, Approval, Limits, Mode, PolicyAsk, PolicyView, Rule, Target};
use magicwave::gateway::link::Limits as GatewayLimits;
use magicwave::gateway::port::{Answer, CircuitId, Event, RequestOutcome, SiteAsk};
use magicwave::units::{Price, Stroops};

/// The site of `World::pay`.
const SITE_NAME: &str = "site.example";
/// Bytes of a response.
pub(super) const NEED: u64 = 1 << 16;
/// What every hop but a dear one asks is below it.
const CEILING: Price = Price(PRICE.0 * 4);

pub(super) fn rule(target: Target, mode: Mode) -> Rule {
    Rule { target, mode, day: None }
}

pub(super) fn tor() -> Target {
    Target::Kind(ServiceKind::Tor)
}

pub(super) fn site() -> Target {
    Target::Site(SITE_NAME.into())
}

pub(super) fn with_rules(rules: impl IntoIterator<Item = Rule>) -> Setup {
    Setup { rules: rules.into_iter().collect(), ..Setup::default() }
}

fn with_dear(node: usize) -> Setup {
    Setup { dear: Some(node), max_price: CEILING, ..Setup::default() }
}

/// The answer to a question of the person.
fn policy(world: &mut World, ask: PolicyAsk) -> Answer {
    let call = world.fresh();
    world.event(CLIENT, Event::Policy { call, ask });
    world.drain();
    world.answer(call).expect("an answer").clone()
}

pub(super) fn view(world: &mut World, ask: PolicyAsk) -> PolicyView {
    match policy(world, ask) {
        Answer::Policy(view) => *view,
        other => panic!("{other:?}"),
    }
}

pub(super) fn approvals(world: &mut World) -> Vec<Approval> {
    view(world, PolicyAsk::Get).approvals
}

pub(super) fn decide(world: &mut World, allow: bool, remember: bool) -> PolicyView {
    let waiting = approvals(world);
    assert_eq!(waiting.len(), 1, "{waiting:?}");
    view(world, PolicyAsk::Decide { approval: waiting[0].id, allow, remember })
}

fn state(world: &World) -> AccountState {
    world.nodes[CLIENT].gateway.status().account.expect("a client").state
}

/// A circuit on which much is to be paid.
fn busy(world: &mut World) -> CircuitId {
    let circ = world.stream();
    for _ in 0..20 {
        world.flow(circ, 500);
        world.run(1);
    }
    circ
}

/// The site asks for money, and the person's program for a payment.
pub(super) fn buy(world: &mut World, circ: CircuitId, session: &mut Option<Id>) -> Answer {
    let call = world.until_asked(circ, session, NEED);
    world.run(5);
    world.answer(call).expect("an answer").clone()
}

#[test]
fn a_rule_never_leaves_relays_with_the_free_window_and_says_so() {
    let mut world = World::open(with_rules([rule(tor(), Mode::Never)]));
    let circ = busy(&mut world);
    assert_eq!(world.spent(), 0);
    assert_eq!(world.refused(true), [RefusalCode::NOT_ALLOWED], "said once, not at each request");
    let circuits = world.nodes[CLIENT].gateway.status().circuits;
    let shown = circuits.iter().find(|c| c.circ == circ).expect("the circuit");
    assert_eq!((shown.waits, shown.given_up), (Some("not_allowed"), None));
    assert!(world.routes[&circ].state.iter().any(|s| *s > 0), "the free window is used up");
    // The rule goes: the same circuit is paid.
    view(&mut world, PolicyAsk::RemoveRule(tor()));
    world.run(5);
    assert!(world.spent() > 0 && world.routes[&circ].state.iter().all(|s| *s == 0));
    world.check();
}

#[test]
fn relays_are_paid_after_one_yes_and_the_next_circuit_asks_nobody() {
    let mut world = World::open(with_rules([rule(tor(), Mode::Ask)]));
    busy(&mut world);
    assert_eq!(world.spent(), 0);
    let waiting = approvals(&mut world);
    assert_eq!(waiting.len(), 1, "one question for all that waits: {waiting:?}");
    assert_eq!((waiting[0].kind, waiting[0].site.as_deref(), waiting[0].price), (ServiceKind::Tor, None, PRICE));
    assert!(world.refused(true).contains(&RefusalCode::APPROVAL_WANTED));
    decide(&mut world, true, false);
    world.run(3);
    let spent = world.spent();
    assert!(spent > 0);
    busy(&mut world);
    assert!(world.spent() > spent && approvals(&mut world).is_empty());
    world.check();
}

#[test]
fn relays_are_not_paid_after_a_no_and_nobody_is_asked_again() {
    let mut world = World::open(with_rules([rule(tor(), Mode::Ask)]));
    busy(&mut world);
    decide(&mut world, false, false);
    busy(&mut world);
    assert_eq!(world.spent(), 0);
    assert!(approvals(&mut world).is_empty());
    assert!(world.refused(true).contains(&RefusalCode::NOT_ALLOWED));
}

#[test]
fn a_web_payment_that_waits_for_a_person_is_answered_so_and_goes_on_after_a_yes_once() {
    let mut world = World::open_with_site(with_rules([rule(site(), Mode::Ask)]));
    let circ = world.stream();
    world.run(10);
    let mut session = None;
    let answer = buy(&mut world, circ, &mut session);
    assert_eq!(answer, Answer::Failed(RefusalCode::APPROVAL_WANTED));
    assert!(answer.may_be_asked_again());
    let before = world.books(SITE).0;
    let waiting = approvals(&mut world);
    assert_eq!(waiting[0].site.as_deref(), Some(SITE_NAME));
    decide(&mut world, true, false);
    let answer = buy(&mut world, circ, &mut session);
    let Answer::Paid(row) = &answer else { panic!("{answer:?}") };
    assert_eq!(row.total, waiting[0].amount, "what was shown, with all fees");
    assert_eq!(world.books(SITE).0, before + row.payees[3].due.get());
    let answer = buy(&mut world, circ, &mut session);
    assert_eq!(answer, Answer::Failed(RefusalCode::APPROVAL_WANTED), "the next one is another payment");
    world.check();
}

#[test]
fn a_yes_that_is_to_be_remembered_is_a_rule_from_then_on_and_a_no_too() {
    for (allow, mode) in [(true, Mode::Auto), (false, Mode::Never)] {
        let rules = [Rule { day: Some(amount(UNIT)), ..rule(site(), Mode::Ask) }];
        let mut world = World::open_with_site(with_rules(rules));
        let circ = world.stream();
        world.run(10);
        let mut session = None;
        buy(&mut world, circ, &mut session);
        let after = decide(&mut world, allow, true);
        assert_eq!(after.policy.rules, [Rule { target: site(), mode, day: Some(amount(UNIT)) }]);
        assert!(after.approvals.is_empty());
        for _ in 0..2 {
            let answer = buy(&mut world, circ, &mut session);
            let expected = Answer::Failed(RefusalCode::NOT_ALLOWED);
            assert_eq!(matches!(answer, Answer::Paid(_)), allow, "{answer:?}");
            assert!(allow || (answer == expected && !answer.may_be_asked_again()));
            if !allow {
                break;
            }
        }
        world.check();
    }
}

#[test]
fn a_decision_on_a_payment_that_waits_no_longer_changes_nothing_and_has_a_code() {
    let mut world = World::open(with_rules([rule(tor(), Mode::Ask)]));
    busy(&mut world);
    let waiting = approvals(&mut world);
    decide(&mut world, false, false);
    let again = PolicyAsk::Decide { approval: waiting[0].id, allow: true, remember: true };
    let Answer::Unchanged(error) = policy(&mut world, again) else { panic!("no error") };
    assert_eq!(error.code, "MW-POL-6");
    let Answer::Unchanged(error) = policy(&mut world, PolicyAsk::RemoveRule(site())) else { panic!("no error") };
    assert_eq!(error.code, "MW-POL-5");
    assert_eq!(view(&mut world, PolicyAsk::Get).policy.rules, [rule(tor(), Mode::Ask)]);
    assert!(world.nodes[CLIENT].policy.is_none(), "nothing was written");
}

#[test]
fn relays_that_are_not_paid_for_carrying_still_pass_a_web_payment_on_for_their_fee() {
    let mut world = World::open_with_site(with_rules([rule(tor(), Mode::Never)]));
    let circ = world.stream();
    world.run(10);
    let answer = buy(&mut world, circ, &mut None);
    let Answer::Paid(row) = &answer else { panic!("{answer:?}") };
    let kept: Vec<_> = row.payees.iter().map(|p| (p.due.get(), p.fee.get())).collect();
    assert_eq!(kept[..3], [(0, FEE); 3]);
    assert_eq!(world.books(SITE).0, kept[3].0);
    world.check();
}

#[test]
fn what_a_person_set_outlives_the_process_until_the_configuration_is_changed() {
    let mut world = World::open(Setup::default());
    let limits = Limits { day: amount(7), ..view(&mut world, PolicyAsk::Get).policy.limits };
    view(&mut world, PolicyAsk::SetLimits(Box::new(limits.clone())));
    let set = view(&mut world, PolicyAsk::SetRule(rule(site(), Mode::Never))).policy;
    assert_eq!((&set.limits, &set.rules[..]), (&limits, &[rule(site(), Mode::Never)][..]));
    world.restart(CLIENT);
    assert_eq!(view(&mut world, PolicyAsk::Get).policy, set);
    world.setup.day = 50 * UNIT;
    world.restart(CLIENT);
    let fresh = view(&mut world, PolicyAsk::Get).policy;
    assert_eq!((fresh.limits.day, fresh.rules.len()), (amount(50 * UNIT), 0));
}

#[test]
fn lower_limits_hold_at_once_and_higher_ones_too() {
    let mut world = World::open(Setup::default());
    let circ = busy(&mut world);
    let (spent, limits) = (world.spent(), view(&mut world, PolicyAsk::Get).policy.limits);
    view(&mut world, PolicyAsk::SetLimits(Box::new(Limits { day: amount(spent), ..limits.clone() })));
    for _ in 0..10 {
        world.flow(circ, 2000);
        world.run(1);
    }
    assert_eq!(world.spent(), spent);
    assert!(world.refused(true).contains(&RefusalCode::BUDGET_DAY));
    assert_eq!(view(&mut world, PolicyAsk::Get).budgets[0].left, Stroops::ZERO);
    view(&mut world, PolicyAsk::SetLimits(Box::new(limits)));
    world.run(3);
    assert!(world.spent() > spent);
    world.check();
}

#[test]
fn a_circuit_with_one_hop_above_the_ceiling_pays_nobody_and_another_is_asked_for() {
    for dear in [N1, N2, N3] {
        let mut world = World::open(with_dear(dear));
        let circ = busy(&mut world);
        assert_eq!(world.spent(), 0, "{dear}");
        assert_eq!(world.abandoned, [circ]);
        assert_eq!(world.refused(true), [RefusalCode::PRICE_CEILING]);
        let circuits = world.nodes[CLIENT].gateway.status().circuits;
        assert_eq!(circuits.iter().find(|c| c.circ == circ).expect("it").given_up, Some("price_ceiling"));
    }
}

#[test]
fn a_web_payment_over_a_circuit_that_was_given_up_is_told_to_take_another() {
    let mut world = World::open_with_site(with_dear(N2));
    let circ = world.stream();
    world.run(5);
    let answer = buy(&mut world, circ, &mut None);
    assert_eq!(answer, Answer::Failed(RefusalCode::CIRCUIT_UNPAID));
    assert!(!answer.may_be_asked_again());
    assert_eq!(world.spent(), 0);
}

#[test]
fn all_legs_of_a_set_are_given_up_with_one_and_those_that_join_it_later() {
    let mut world = World::open(with_dear(N3));
    let idle = world.idle_leg(9);
    let first = world.leg(Some(9));
    world.run(3);
    let late = world.leg(Some(9));
    world.run(3);
    let mut given_up = world.abandoned.clone();
    given_up.sort_unstable();
    assert_eq!(given_up, [idle, first], "tor itself treats all legs as one, the late one too");
    assert_eq!(world.spent(), 0);
    let circuits = world.nodes[CLIENT].gateway.status().circuits;
    assert_eq!(circuits.iter().find(|c| c.circ == late).expect("it").given_up, Some("price_ceiling"));
}

#[test]
fn so_many_circuits_are_given_up_for_another_and_no_more_for_a_while() {
    let mut world = World::open(with_dear(N2));
    let begun: Vec<CircuitId> = (0..GIVEN_UP_MAX + 3).map(|_| busy_once(&mut world)).collect();
    assert_eq!(world.abandoned, begun[..GIVEN_UP_MAX]);
    assert!(world.refused(true).contains(&RefusalCode::NO_CIRCUIT));
    let account = world.nodes[CLIENT].gateway.status().account.expect("a client");
    assert!(account.no_circuit, "{account:?}");
    world.run(WHILE_MS / 1000);
    assert!(!world.nodes[CLIENT].gateway.status().account.expect("a client").no_circuit);
    let circ = busy_once(&mut world);
    assert_eq!(world.abandoned.last(), Some(&circ));
    assert_eq!(world.spent(), 0);
}

fn busy_once(world: &mut World) -> CircuitId {
    let circ = world.stream();
    world.run(2);
    circ
}

#[test]
fn a_circuit_that_can_be_paid_begins_the_count_of_those_given_up_anew() {
    let mut world = World::open(with_dear(N2));
    for _ in 1..GIVEN_UP_MAX {
        busy_once(&mut world);
    }
    world.setup.dear = None;
    world.restart(N2);
    busy_once(&mut world);
    world.setup.dear = Some(N2);
    world.restart(N2);
    for _ in 0..GIVEN_UP_MAX {
        busy_once(&mut world);
    }
    assert_eq!(world.abandoned.len(), 2 * GIVEN_UP_MAX - 1);
    assert!(!world.refused(true).contains(&RefusalCode::NO_CIRCUIT));
}

#[test]
fn a_circuit_with_a_hop_that_counts_wrong_gets_no_new_streams_and_pays_who_stands_before_it() {
    let mut world = World::open(Setup::default());
    let circ = busy(&mut world);
    world.routes.get_mut(&circ).expect("the circuit").lie[2] = 1;
    world.flow(circ, 20_000);
    world.run(3);
    let paid = |world: &World| world.books(N1).0;
    let before = paid(&world);
    for _ in 0..10 {
        world.flow(circ, 2000);
        world.run(1);
    }
    assert!(world.refused(true).contains(&RefusalCode::STAMP_MISMATCH));
    assert_eq!(world.abandoned, [circ], "once");
    assert!(paid(&world) > before);
    world.check();
}

#[test]
fn a_ceiling_that_is_lowered_ends_payments_on_circuits_that_are_above_it() {
    let mut world = World::open(Setup::default());
    let circ = busy(&mut world);
    let (spent, limits) = (world.spent(), view(&mut world, PolicyAsk::Get).policy.limits);
    let lower = Limits { price_ceilings: [Price(PRICE.0 / 2); 3], ..limits };
    view(&mut world, PolicyAsk::SetLimits(Box::new(lower)));
    for _ in 0..5 {
        world.flow(circ, 2000);
        world.run(1);
    }
    assert_eq!((world.spent(), &world.abandoned[..]), (spent, &[circ][..]));
}

#[test]
fn an_account_goes_from_trial_to_paying_and_a_top_up_ends_being_out_of_funds_at_once() {
    let mut world = World::new(Setup::default());
    let all = world.base.node_balance(CLIENT);
    let (key, to) = (world.base.nodes[CLIENT].wallet.account_key(), world.base.nodes[N1].wallet.account());
    let empty = |world: &mut World, all: u64| {
        world.base.transact(&key, |source| {
            magicwave::stellar::template::payment(source, &to, &asset(), amount(all)).expect("payment")
        });
    };
    for (payer, payee) in [(N1, N2), (N2, N3)] {
        world.link(payer, payee);
    }
    empty(&mut world, all);
    world.run(12);
    let circ = world.build(CLIENT, &[N1, N2, N3], super::world_circuit::Kind::Streams);
    world.run(2);
    assert_eq!(state(&world), AccountState::Trial);
    // Once its free window is used, a hop holds: that was the trial.
    world.begin(circ, None);
    for _ in 0..30 {
        world.flow(circ, 200);
        world.run(1);
    }
    assert_eq!(state(&world), AccountState::OutOfFundsAsset);
    world.base.fund(CLIENT, 10 * UNIT);
    world.run(15);
    for _ in 0..10 {
        world.flow(circ, 200);
        world.run(1);
    }
    assert!(world.spent() > 0);
    assert_eq!(state(&world), AccountState::Paying);
    let left = world.base.node_balance(CLIENT);
    empty(&mut world, left);
    world.run(62);
    assert_eq!(state(&world), AccountState::Low, "what is in the escrow still pays");
    world.check();
}

#[test]
fn an_account_is_offline_until_tor_builds_circuits() {
    let mut world = World::new(Setup::default());
    world.run(1);
    assert_eq!(state(&world), AccountState::Offline);
    world.event(CLIENT, Event::Tor { up: true });
    world.run(1);
    assert_eq!(state(&world), AccountState::Trial);
    world.event(CLIENT, Event::Tor { up: false });
    world.run(1);
    assert_eq!(state(&world), AccountState::Offline);
}

#[test]
fn a_node_that_pays_nobody_has_no_policy_and_says_so() {
    let mut world = World::new(Setup::default());
    let call = world.fresh();
    world.event(N1, Event::Policy { call, ask: PolicyAsk::Get });
    world.drain();
    let Some(Answer::Unchanged(error)) = world.answer(call) else { panic!("{:?}", world.answer(call)) };
    assert_eq!(error.code, "MW-POL-1");
    assert!(world.nodes[N1].gateway.status().account.is_none());
}

#[test]
fn liquidity_is_accounted_for_by_state_and_payee() {
    let usual = Setup::default();
    let limits = GatewayLimits { period_secs: 3_000, flush_interval_secs: 300, ..usual.limits.clone() };
    let mut world = World::open_with_site(Setup { limits, ..usual });
    let liquidity = world.nodes[N3].gateway.status().liquidity;
    let deposit = world.setup.limits.deposit;
    assert_eq!((liquidity.escrows, liquidity.tied_up, liquidity.states.open), (1, deposit, deposit));
    assert_eq!(liquidity.free, liquidity.total.saturating_sub(deposit));
    assert_eq!(liquidity.reserves, 5 * world.setup.limits.base_reserve);
    assert_eq!(liquidity.payees.len(), 1);
    assert_eq!((liquidity.payees[0].tied_up, liquidity.payees[0].escrows), (deposit, 1));
    // The site is away: nobody closes with us.
    world.away.insert(SITE);
    let circuits: Vec<_> = world.routes.iter().filter(|(_, r)| r.origin == SITE).map(|(circ, _)| *circ).collect();
    circuits.into_iter().for_each(|circ| world.cut(circ, None));
    let call = world.fresh();
    world.event(N3, Event::Close { call });
    world.run(30);
    let after = world.nodes[N3].gateway.status().liquidity;
    assert_eq!((after.states.open, after.states.retired), (Stroops::ZERO, deposit));
    assert_eq!(after.free, liquidity.free, "it is not back yet");
    let before = world.base.node_balance(N3);
    world.run(u64::from(world.setup.limits.period_secs) + 120);
    let over = world.nodes[N3].gateway.status().liquidity;
    assert_eq!((over.tied_up, over.escrows, over.reserves), (Stroops::ZERO, 0, 0));
    assert_eq!((over.free, over.payees.len()), (over.total, 0));
    assert_eq!(world.base.node_balance(N3), before + deposit.get());
}

/// (kind, site, outcome, code) of all requests that the client wrote down.
fn written(world: &World) -> Vec<(String, Option<String>, RequestOutcome, Option<String>)> {
    let rows = world.nodes[CLIENT].requests.values();
    let mut rows: Vec<_> = rows.map(|r| (r.kind.clone(), r.site.clone(), r.outcome, r.code.clone())).collect();
    rows.sort_by_key(|(kind, _, outcome, _)| (kind.clone(), outcome.name()));
    rows
}

fn of_site(outcome: RequestOutcome, code: Option<&str>) -> (String, Option<String>, RequestOutcome, Option<String>) {
    ("http".into(), Some(SITE_NAME.into()), outcome, code.map(Into::into))
}

#[test]
fn a_web_request_is_written_down_as_held_and_then_as_what_became_of_it() {
    let mut world = World::open_with_site(with_rules([rule(site(), Mode::Ask)]));
    let circ = world.stream();
    world.run(10);
    let (mut session, call) = (None, world.fresh());
    let (offer, request) = loop {
        world.event(SITE, Event::Site { call, ask: SiteAsk::Require { session, need: NEED } });
        world.drain();
        match world.answers.pop().expect("an answer").2 {
            Answer::Pay { offer, request } => break (*offer, *request),
            Answer::Serve { session: served, .. } => {
                session = Some(served);
                world.event(SITE, Event::Served { session: served, bytes: NEED });
            }
            other => panic!("{other:?}"),
        }
    };
    for _ in 0..3 {
        world.pay(circ, offer.clone(), request.clone());
        world.run(1);
        assert_eq!(written(&world), [of_site(RequestOutcome::Held, Some("approval_wanted"))], "one row, asked thrice");
    }
    decide(&mut world, true, false);
    world.pay(circ, offer.clone(), request);
    world.run(5);
    assert_eq!(written(&world), [of_site(RequestOutcome::Paid, None)]);
    let row = world.nodes[CLIENT].requests.values().next().expect("a row").clone();
    assert_eq!((row.who.as_str(), row.due.get()), (SITE_NAME, world.books(SITE).0));
    // The next one is another request, and a no is written too.
    buy(&mut world, circ, &mut Some(offer.session));
    decide(&mut world, false, false);
    buy(&mut world, circ, &mut Some(offer.session));
    let all = written(&world);
    assert!(all.contains(&of_site(RequestOutcome::Refused, Some("not_allowed"))), "{all:?}");
    assert!(all.contains(&of_site(RequestOutcome::Paid, None)), "{all:?}");
}

#[test]
fn requests_of_relays_are_written_down_as_paid_or_with_the_reason_why_not() {
    let mut world = World::open(Setup::default());
    let circ = world.stream();
    // A client that does not look ahead is asked.
    for _ in 0..100 {
        world.routes.get_mut(&circ).expect("the circuit").watches.retain(|(node, _), _| *node != CLIENT);
        world.flow(circ, 40);
        world.run(1);
    }
    let paid = ("tor".to_owned(), None, RequestOutcome::Paid, None);
    assert!(written(&world).contains(&paid), "{:?}", written(&world));
    view(&mut world, PolicyAsk::SetRule(rule(tor(), Mode::Never)));
    for _ in 0..100 {
        world.routes.get_mut(&circ).expect("the circuit").watches.retain(|(node, _), _| *node != CLIENT);
        world.flow(circ, 200);
        world.run(1);
    }
    let never = ("tor".to_owned(), None, RequestOutcome::Refused, Some("not_allowed".to_owned()));
    assert!(written(&world).contains(&never), "{:?}", written(&world));
    world.check();
}

#[test]
fn an_offer_above_the_ceiling_and_a_spent_budget_are_written_down_with_their_codes() {
    let mut world = World::open(with_dear(N2));
    busy_once(&mut world);
    let dear = ("tor".to_owned(), None, RequestOutcome::Refused, Some("price_ceiling".to_owned()));
    assert_eq!(written(&world), [dear]);
    assert_eq!(world.nodes[CLIENT].requests.values().next().map(|r| r.who.as_str()), Some("n2"));
    let mut world = World::open(Setup { day: 2 * u64::from(WINDOW) * 3, ..Setup::default() });
    busy(&mut world);
    let spent = ("tor".to_owned(), None, RequestOutcome::Refused, Some("budget_day".to_owned()));
    let rows = written(&world).iter().filter(|row| **row == spent).count();
    let asked = world.log.iter().filter(|(.., m)| matches!(m, Message::PaymentRequest(_))).count();
    assert!((1..=asked + 1).contains(&rows), "{rows} rows, {asked} requests: once each, however often it is tried");
}

#[test]
fn whoever_asks_without_end_fills_no_history() {
    let mut world = World::open(Setup::default());
    let circ = busy(&mut world);
    let before = world.nodes[CLIENT].requests.len();
    let from_n1 = world.log.iter().rev().find_map(|(_, _, m)| match m {
        Message::PaymentRequest(request) => Some(request.clone()),
        _ => None,
    });
    let request = from_n1.unwrap_or_else(|| panic!("nobody asked"));
    let own = world.routes[&circ].counted[0];
    for n in 0..1_000u64 {
        let mut forged = request.clone();
        forged.id[..8].copy_from_slice(&n.to_be_bytes());
        let message = Message::PaymentRequest(forged);
        world.event(CLIENT, Event::Message { circ, hop: 1, message, own, peer: own });
    }
    world.drain();
    let more = world.nodes[CLIENT].requests.len() - before;
    assert!((1..=20).contains(&more), "{more}");
}
