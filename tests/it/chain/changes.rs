//! What a person's yes and a changed policy mean for payments that are under way, in whole gateways.
use super::policy::{NEED, approvals, decide, rule, site, view, with_rules};
use super::world::*;
use magicwave::gateway::core::message::{Id, RefusalCode};
use magicwave::gateway::core::policy::{Mode, PolicyAsk};
use magicwave::gateway::port::{Answer, CircuitId};
use magicwave::units::Stroops;

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
