//! When a deposit goes out: not because somebody spoke to us, but because money came for whom it is meant.
//!
//! A client opens for itself, a relay towards the next one once a claim was credited in a session of a circuit that leads
//! there (`chain::serve`): both are wishes of our own side (`want_payee`). A service asks by itself, and nobody can see
//! which client sent it: it gets a deposit while clients whose circuits end here pay us, and few are out at a time on
//! which nothing was signed yet. The fees of an opening are the operator's cost (`escrow_created`, `escrow_funded` in the
//! journal); forwarding fees make up for them.
use super::limits::{BACKED_MS, MAX_LANES, MAX_UNTRIED};
use super::links::Links;
use super::rows::{EscrowRow, Role};
use crate::gateway::core::message::Id;
use crate::units::Stroops;

/// A lane that is wanted, and what is out already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Wish {
    /// The payee asked for the link; nobody on our side did.
    pub asked: bool,
    /// Money came lately that may be meant for such a payee.
    pub backed: bool,
    /// Something was signed on the link before.
    pub used: bool,
    /// Lanes to the same account that are not about to end.
    pub lanes: usize,
    /// Lanes to payees that asked, on which nothing was signed yet.
    pub untried: usize,
    /// Stroops to be deposited.
    pub deposit: Stroops,
    /// Stroops that the operator's liquidity has left.
    pub left: Stroops,
}

/// What becomes of a [`Wish`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Open it.
    Open,
    /// Money has to come first.
    Wait,
    /// So much is out already.
    Full,
}

/// The rule for every escrow that this node opens.
pub(super) fn verdict(wish: &Wish) -> Verdict {
    if wish.lanes >= MAX_LANES || wish.left < wish.deposit {
        return Verdict::Full;
    }
    match (wish.asked && !wish.used, wish.backed) {
        (false, _) => Verdict::Open,
        (true, false) => Verdict::Wait,
        (true, true) if wish.untried >= MAX_UNTRIED => Verdict::Full,
        (true, true) => Verdict::Open,
    }
}

impl Links {
    /// A claim was credited to a client whose circuit ends here, or a client that paid so before wants to pay again: a
    /// service that asked for a link may be what it goes on to.
    pub fn money_came(&mut self, now_ms: u64) {
        self.backed_ms = now_ms; // the next tick looks who asked
    }

    /// May another lane of this link be opened?
    pub(super) fn may_open(&self, now_ms: u64, id: &Id) -> Verdict {
        let Some(link) = self.links.get(id).map(|l| &l.row).filter(|row| row.role == Role::Payer) else {
            return Verdict::Full;
        };
        let asked = |row: &EscrowRow| self.links.get(&row.link).is_some_and(|l| !l.row.dials);
        let same = |row: &EscrowRow| self.links.get(&row.link).is_some_and(|l| l.row.account == link.account);
        let mut wish = Wish {
            asked: !link.dials,
            backed: self.backed_ms != 0 && now_ms < self.backed_ms.saturating_add(BACKED_MS),
            used: false,
            lanes: 0,
            untried: 0,
            deposit: link.deposit,
            left: self.liquidity_left(),
        };
        let lanes = self.lanes.values().map(|l| &l.row).filter(|row| row.role == Role::Payer && row.holds_deposit());
        for row in lanes {
            wish.used |= row.link == *id && !row.total.is_zero();
            wish.lanes += usize::from(!row.is_ending() && same(row));
            wish.untried += usize::from(row.total.is_zero() && asked(row));
        }
        verdict(&wish)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn units(n: u64) -> Stroops {
        Stroops::new(n).expect("an amount")
    }

    fn wish() -> Wish {
        let (deposit, left) = (units(10), units(10));
        Wish { asked: false, backed: false, used: false, lanes: 0, untried: 0, deposit, left }
    }

    #[test]
    fn a_wish_of_our_own_side_opens_while_liquidity_and_lanes_last() {
        assert_eq!(verdict(&wish()), Verdict::Open);
        assert_eq!(verdict(&Wish { left: units(9), ..wish() }), Verdict::Full);
        assert_eq!(verdict(&Wish { lanes: MAX_LANES - 1, ..wish() }), Verdict::Open);
        assert_eq!(verdict(&Wish { lanes: MAX_LANES, ..wish() }), Verdict::Full);
        assert_eq!(verdict(&Wish { untried: 1000, ..wish() }), Verdict::Open);
    }

    #[test]
    fn a_payee_that_asks_waits_for_money_and_few_of_them_get_a_deposit_that_nobody_has_used() {
        let asked = Wish { asked: true, ..wish() };
        assert_eq!(verdict(&asked), Verdict::Wait);
        let backed = Wish { backed: true, ..asked };
        assert_eq!(verdict(&backed), Verdict::Open);
        assert_eq!(verdict(&Wish { untried: MAX_UNTRIED - 1, ..backed }), Verdict::Open);
        assert_eq!(verdict(&Wish { untried: MAX_UNTRIED, ..backed }), Verdict::Full);
        // Once something was signed for it, it is a payee like others.
        assert_eq!(verdict(&Wish { used: true, untried: MAX_UNTRIED, ..asked }), Verdict::Open);
        assert_eq!(verdict(&Wish { left: units(9), ..backed }), Verdict::Full);
    }
}
