//! May a payment be made? The one place that says so.
use super::{Budget, Mode, site_id};
use crate::gateway::core::message::{Offer, RefusalCode};
use crate::units::Stroops;

/// A payment before anything is promised or signed.
#[derive(Clone, Copy, Debug)]
pub struct Wish<'a> {
    /// What is sold, and for how much.
    pub offer: &'a Offer,
    /// `host[:port]` of a web service.
    pub site: Option<&'a str>,
    /// What is to be paid now, forwarding included.
    pub amount: Stroops,
}

/// What becomes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// It may be made.
    Pay,
    /// A person decides.
    Ask,
    /// It is not made.
    Refuse(RefusalCode),
}

/// Rules first, then the ceilings, then what is left of the budgets on `day` (days since 1970, UTC): nobody is asked
/// about a payment that would not be made anyway.
pub fn decide(budget: &mut Budget, day: u64, wish: &Wish<'_>) -> Decision {
    let mode = budget.policy().mode(wish.offer.kind, wish.site);
    if mode == Mode::Never {
        return Decision::Refuse(RefusalCode::NOT_ALLOWED);
    }
    let ceilings = budget.limits().check_price(wish.offer);
    let fits = ceilings.and_then(|()| budget.check(day, wish.site.map(site_id), wish.offer.kind, wish.amount));
    match fits {
        Err(code) => Decision::Refuse(code),
        Ok(()) if mode == Mode::Ask => Decision::Ask,
        Ok(()) => Decision::Pay,
    }
}
