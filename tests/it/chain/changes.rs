//! What a person's yes and a changed policy mean for payments that are under way, in whole gateways.
use super::policy::{NEED, approvals, buy, decide, rule, site, tor, view, with_rules};
use super::world::*;
use crate::links::world::amount;
use magicwave::gateway::core::message::{Id, Message, RefusalCode, ServiceKind};
use magicwave::gateway::core::policy::{Limits, Mode, PolicyAsk, Rule, Target};
use magicwave::gateway::port::{Answer, CircuitId};
use magicwave::units::{Price, Stroops};

const TEMPLATE: u8 = 5;
const SIGNED: u8 = 7;

#[test]
fn a_yes_pays_no_more_than_was_shown_whatever_the_relays_are_due_meanwhile() {
    for cells in [0, 60, 400] {
        let (mut world, circ) = relays_wait();
        view(&mut world, PolicyAsk::SetRule(rule(site(), Mode::Ask)));
        let mut session = None;
        assert_eq!(buy_at_once(&mut world, circ, &mut session), Some(Answer::Failed(RefusalCode::APPROVAL_WANTED)));
        let shown = approvals(&mut world)[0].amount;
        decide(&mut world, true, false);
        world.flow(circ, cells);
        let call = world.until_asked(circ, &mut session, NEED);
        world.run(5);
        let Some(Answer::Paid(row)) = world.answer(call).cloned() else { panic!("{:?}", world.answer(call)) };
        assert_eq!(row.total, shown, "{cells} cells");
        assert_eq!(row.total.get(), row.payees[3].due.get() + 3 * FEE, "the service and the fees of three hops");
        assert!(world.spent() > row.total.get(), "for carrying the relays are paid in passes of their own");
        world.check();
    }
}

/// What the site asks for, answered before time passes.
fn buy_at_once(world: &mut World, circ: CircuitId, session: &mut Option<Id>) -> Option<Answer> {
    let call = world.until_asked(circ, session, NEED);
    world.answer(call).cloned()
}

/// A circuit whose relays are due something that a budget keeps from them until just now.
fn relays_wait() -> (World, CircuitId) {
    let mut world = World::open_with_site(with_rules([rule(site(), Mode::Auto)]));
    let limits = view(&mut world, PolicyAsk::Get).policy.limits;
    let mut none = limits.clone();
    none.kinds[0] = Stroops::ZERO;
    view(&mut world, PolicyAsk::SetLimits(Box::new(none)));
    let circ = world.stream();
    world.run(10);
    view(&mut world, PolicyAsk::SetLimits(Box::new(limits)));
    (world, circ)
}

/// A payment of which nothing is signed: a template is lost again and again.
struct Unsigned {
    world: World,
    circ: CircuitId,
    /// Of a web payment.
    call: Option<u64>,
    session: Option<Id>,
    spent: u64,
    limits: Limits,
}

impl Unsigned {
    /// To the relays of a circuit.
    fn relays() -> Unsigned {
        let mut world = World::open(Setup::default());
        world.deaf.insert((N2, TEMPLATE));
        let circ = world.stream();
        world.flow(circ, 500);
        world.run(2);
        Unsigned::of(world, circ, None, None)
    }

    /// To the site.
    fn site(setup: Setup) -> Unsigned {
        let mut world = World::open_with_site(setup);
        let circ = world.stream();
        world.run(10);
        world.deaf.insert((N2, TEMPLATE));
        let mut session = None;
        let call = world.until_asked(circ, &mut session, NEED);
        world.run(2);
        assert_eq!(world.answer(call), None);
        Unsigned::of(world, circ, Some(call), session)
    }

    fn of(mut world: World, circ: CircuitId, call: Option<u64>, session: Option<Id>) -> Unsigned {
        assert!(reserved(&mut world) > Stroops::ZERO, "a pass is under way");
        let (spent, limits) = (world.spent(), view(&mut world, PolicyAsk::Get).policy.limits);
        Unsigned { world, circ, call, session, spent, limits }
    }

    fn set(&mut self, limits: Limits) {
        view(&mut self.world, PolicyAsk::SetLimits(Box::new(limits)));
    }

    /// After the change nothing is set aside, and whatever arrives now, nothing is paid.
    fn is_refused(&mut self, code: RefusalCode) {
        let world = &mut self.world;
        assert_eq!(reserved(world), Stroops::ZERO, "{}", code.name());
        if let Some(call) = self.call {
            assert_eq!(world.answer(call), Some(&Answer::Failed(code)));
        }
        world.deaf.clear();
        world.run(25);
        assert_eq!(world.spent(), self.spent, "{}", code.name());
        assert!(world.refused(true).contains(&code), "{}: {:?}", code.name(), world.refused(true));
        world.check();
    }
}

fn reserved(world: &mut World) -> Stroops {
    view(world, PolicyAsk::Get).budgets[0].reserved
}

#[test]
fn a_lowered_day_limit_ends_payments_of_which_nothing_is_signed() {
    for mut under_way in [Unsigned::relays(), Unsigned::site(Setup::default())] {
        let day = amount(under_way.spent + 1);
        under_way.set(Limits { day, ..under_way.limits.clone() });
        under_way.is_refused(RefusalCode::BUDGET_DAY);
    }
}

#[test]
fn a_lowered_limit_of_a_kind_ends_payments_of_which_nothing_is_signed() {
    let mut under_way = Unsigned::relays();
    let mut limits = under_way.limits.clone();
    limits.kinds[0] = amount(1);
    under_way.set(limits);
    under_way.is_refused(RefusalCode::BUDGET_KIND);
}

#[test]
fn a_lowered_limit_of_a_site_ends_payments_of_which_nothing_is_signed() {
    let mut under_way = Unsigned::site(Setup::default());
    under_way.set(Limits { site: amount(1), ..under_way.limits.clone() });
    under_way.is_refused(RefusalCode::BUDGET_SITE);
    let mut under_way = Unsigned::site(Setup::default());
    let rule = Rule { day: Some(amount(1)), ..rule(site(), Mode::Auto) };
    view(&mut under_way.world, PolicyAsk::SetRule(rule));
    under_way.is_refused(RefusalCode::BUDGET_SITE);
}

#[test]
fn a_new_rule_never_ends_payments_of_which_nothing_is_signed() {
    let mut under_way = Unsigned::relays();
    view(&mut under_way.world, PolicyAsk::SetRule(rule(tor(), Mode::Never)));
    under_way.is_refused(RefusalCode::NOT_ALLOWED);
    for target in [site(), Target::Kind(ServiceKind::Http), Target::All] {
        let mut under_way = Unsigned::site(Setup::default());
        view(&mut under_way.world, PolicyAsk::SetRule(rule(target, Mode::Never)));
        under_way.is_refused(RefusalCode::NOT_ALLOWED);
    }
}

#[test]
fn a_new_rule_ask_has_a_person_asked_about_payments_of_which_nothing_is_signed() {
    let mut under_way = Unsigned::relays();
    view(&mut under_way.world, PolicyAsk::SetRule(rule(tor(), Mode::Ask)));
    under_way.is_refused(RefusalCode::APPROVAL_WANTED);
    decide(&mut under_way.world, true, false);
    under_way.world.run(5);
    assert!(under_way.world.spent() > under_way.spent);

    let mut under_way = Unsigned::site(Setup::default());
    view(&mut under_way.world, PolicyAsk::SetRule(rule(site(), Mode::Ask)));
    under_way.is_refused(RefusalCode::APPROVAL_WANTED);
    let Unsigned { mut world, circ, mut session, spent, .. } = under_way;
    assert_eq!(buy(&mut world, circ, &mut session), Answer::Failed(RefusalCode::APPROVAL_WANTED));
    let shown = approvals(&mut world)[0].amount.get();
    decide(&mut world, true, false);
    let answer = buy(&mut world, circ, &mut session);
    assert!(matches!(answer, Answer::Paid(_)), "{answer:?}");
    assert_eq!(world.spent(), spent + shown);
}

#[test]
fn lowered_ceilings_end_payments_of_which_nothing_is_signed() {
    const BELOW: Price = Price(PRICE.0 / 2);
    type Lower = fn(&mut Limits);
    let cases: [(Lower, RefusalCode); 3] = [
        (|limits| limits.price_ceilings[2] = BELOW, RefusalCode::PRICE_CEILING),
        (|limits| limits.price_ceilings[0] = BELOW, RefusalCode::CIRCUIT_UNPAID),
        (|limits| limits.fee_ceiling = amount(FEE / 2), RefusalCode::CIRCUIT_UNPAID),
    ];
    for (lower, code) in cases {
        let mut under_way = Unsigned::site(Setup::default());
        let mut limits = under_way.limits.clone();
        lower(&mut limits);
        under_way.set(limits);
        under_way.is_refused(code);
        let Unsigned { mut world, circ, mut session, spent, .. } = under_way;
        assert_eq!(buy(&mut world, circ, &mut session), Answer::Failed(code), "nor is it begun anew");
        assert_eq!(world.spent(), spent);
    }
    for (lower, _) in &cases[1..] {
        let mut under_way = Unsigned::relays();
        let mut limits = under_way.limits.clone();
        lower(&mut limits);
        under_way.set(limits);
        under_way.is_refused(RefusalCode::PRICE_CEILING);
    }
}

#[test]
fn a_change_that_still_pays_a_payment_lets_it_go_on() {
    for mut under_way in [Unsigned::relays(), Unsigned::site(Setup::default())] {
        let aside = reserved(&mut under_way.world);
        let day = amount(under_way.spent + aside.get());
        under_way.set(Limits { day, ..under_way.limits.clone() });
        assert_eq!(reserved(&mut under_way.world), aside);
        let Unsigned { mut world, call, spent, .. } = under_way;
        world.deaf.clear();
        world.run(5);
        assert_eq!(world.spent(), spent + aside.get());
        assert!(call.is_none_or(|call| matches!(world.answer(call), Some(Answer::Paid(_)))));
        world.check();
    }
}

#[test]
fn a_yes_that_was_given_still_counts_for_its_payment_when_limits_change() {
    let mut world = World::open_with_site(with_rules([rule(site(), Mode::Ask)]));
    let circ = world.stream();
    world.run(10);
    let mut session = None;
    buy(&mut world, circ, &mut session);
    decide(&mut world, true, false);
    world.deaf.insert((N2, TEMPLATE));
    let call = world.until_asked(circ, &mut session, NEED);
    let mut under_way = Unsigned::of(world, circ, Some(call), session);
    under_way.set(Limits { site: amount(1 << 30), ..under_way.limits.clone() });
    under_way.world.deaf.clear();
    under_way.world.run(5);
    assert!(matches!(under_way.world.answer(call), Some(Answer::Paid(_))));
}

#[test]
fn of_two_payments_of_which_one_still_fits_the_older_one_goes_on() {
    let Unsigned { mut world, circ, call, spent, limits, .. } = Unsigned::site(Setup::default());
    let one = reserved(&mut world);
    let mut other = None;
    let second = world.until_asked(circ, &mut other, NEED);
    world.run(1);
    let both = reserved(&mut world);
    assert!(both > one && world.answer(second).is_none());
    let day = amount(spent + one.get().max(both.get() - one.get()));
    view(&mut world, PolicyAsk::SetLimits(Box::new(Limits { day, ..limits })));
    assert_eq!(world.answer(second), Some(&Answer::Failed(RefusalCode::BUDGET_DAY)));
    world.deaf.clear();
    world.run(5);
    let first = world.answer(call.expect("a web payment"));
    assert!(matches!(first, Some(Answer::Paid(_))), "{first:?}");
    assert_eq!(world.spent(), spent + one.get());
}

#[test]
fn what_is_signed_stays_signed_and_is_paid_whatever_changes() {
    let mut world = World::open_with_site(Setup::default());
    let circ = world.stream();
    world.run(10);
    world.deaf.insert((N2, SIGNED));
    let call = world.until_asked(circ, &mut None, NEED);
    world.run(2);
    view(&mut world, PolicyAsk::SetRule(rule(site(), Mode::Never)));
    world.deaf.clear();
    world.run(10);
    assert!(matches!(world.answer(call), Some(Answer::Paid(_))), "{:?}", world.answer(call));
    world.check();
}

#[test]
fn relays_that_are_not_to_be_paid_any_more_are_left_out_of_a_web_payment_that_is_tried_again() {
    let (mut world, circ) = relays_wait();
    world.deaf.insert((N2, TEMPLATE));
    let mut session = None;
    let call = world.until_asked(circ, &mut session, NEED);
    let create = |world: &World, node| {
        let mut said = world.log.iter().rev().filter_map(move |(_, to, m)| match m {
            Message::Create(create) if *to == node => Some(create.amount.get()),
            _ => None,
        });
        said.next().expect("a Create")
    };
    assert!(create(&world, N1) > create(&world, SITE) + 3 * FEE, "their dues ride along");
    view(&mut world, PolicyAsk::SetRule(rule(tor(), Mode::Never)));
    assert_eq!(reserved(&mut world), Stroops::ZERO);
    let answer = world.answer(call).cloned().expect("an answer");
    assert!(answer.may_be_asked_again(), "{answer:?}");
    world.deaf.clear();
    let answer = buy(&mut world, circ, &mut session);
    let Answer::Paid(row) = &answer else { panic!("{answer:?}") };
    assert!(row.payees[..3].iter().all(|payee| payee.due.is_zero()));
    world.check();
}
