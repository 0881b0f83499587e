//! What a payer lets itself spend: price ceilings and budgets per day, per site and per service kind.
//!
//! Money moves in `reserve`, then `commit` or `release`. Every name is a hash made by the caller.
use super::message::{Id, Offer, RefusalCode, ServiceKind};
use crate::units::{Price, Stroops};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Open reservations, at most.
pub const RESERVATIONS_MAX: usize = 1024;
/// Sites with an own count per day, at most; those beyond it share one count.
pub const SITES_MAX: usize = 4096;
/// The name under which sites beyond `SITES_MAX` are counted together.
pub const OTHER_SITES: Id = [0xff; 16];

/// What the user configured. Arrays are by kind: Tor, Ipfs, Http.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// For everything, per day.
    pub day: Stroops,
    /// For each site, per day.
    pub site: Stroops,
    /// For each service kind, per day.
    pub kinds: [Stroops; 3],
    /// Highest price accepted.
    pub price_ceilings: [Price; 3],
    /// Highest forwarding fee accepted.
    pub fee_ceiling: Stroops,
}

impl Limits {
    /// Refuses an offer that is too dear.
    pub fn check_price(&self, offer: &Offer) -> Result<(), RefusalCode> {
        let [tor, ipfs, http] = self.price_ceilings;
        let ceiling = match offer.kind {
            ServiceKind::Tor => tor,
            ServiceKind::Ipfs => ipfs,
            ServiceKind::Http => http,
        };
        if offer.price.0 > ceiling.0 || offer.fee > self.fee_ceiling {
            return Err(RefusalCode::PRICE_CEILING);
        }
        Ok(())
    }
}

/// What was spent on one day; durable, so that a restart does not open the budget again.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spent {
    /// Days since 1970, UTC.
    pub day: u64,
    /// By kind: Tor, Ipfs, Http.
    pub kinds: [Stroops; 3],
    /// By site, at most `SITES_MAX` + 1.
    pub sites: BTreeMap<Id, Stroops>,
}

/// Money set aside for a payment under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Reservation {
    site: Option<Id>,
    kind: ServiceKind,
    amount: Stroops,
}

/// The budget of one wallet.
#[derive(Clone, Debug)]
pub struct Budget {
    limits: Limits,
    spent: Spent,
    reserved: BTreeMap<Id, Reservation>,
}

impl Budget {
    /// Starts from what was spent before.
    pub fn new(limits: Limits, spent: Spent) -> Self {
        Budget { limits, spent, reserved: BTreeMap::new() }
    }
    /// What is to be made durable with each commit.
    pub fn spent(&self) -> &Spent {
        &self.spent
    }
    /// The limits in force.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }
    /// Puts other limits in force; what is reserved stays reserved.
    pub fn set_limits(&mut self, limits: Limits) {
        self.limits = limits;
    }

    /// Sets `amount` aside on `day` (days since 1970, UTC) for payment `id`, or says which limit it would cross. The
    /// same call again changes nothing. A clock that goes back opens no new day.
    pub fn reserve(
        &mut self,
        id: Id,
        day: u64,
        site: Option<Id>,
        kind: ServiceKind,
        amount: Stroops,
    ) -> Result<(), RefusalCode> {
        if day > self.spent.day {
            self.spent = Spent { day, ..Spent::default() };
        }
        let wanted = Reservation { site, kind, amount };
        if let Some(before) = self.reserved.get(&id) {
            return if *before == wanted { Ok(()) } else { Err(RefusalCode::DUPLICATE_CONFLICT) };
        }
        if self.reserved.len() >= RESERVATIONS_MAX {
            return Err(RefusalCode::BUSY);
        }
        self.within(self.limits.day, RefusalCode::BUDGET_DAY, self.used(|_| true), amount)?;
        let kind_limit = self.limits.kinds[index(kind)];
        self.within(kind_limit, RefusalCode::BUDGET_KIND, self.used(|k| k == kind), amount)?;
        if let Some(site) = site {
            let key = self.site_key(site);
            let spent = self.spent.sites.get(&key).copied().unwrap_or_default();
            let held = self.reserved.values().filter(|r| r.site.is_some_and(|s| self.site_key(s) == key));
            let used = total(held.map(|r| r.amount).chain([spent]));
            self.within(self.limits.site, RefusalCode::BUDGET_SITE, used, amount)?;
        }
        self.reserved.insert(id, wanted);
        Ok(())
    }

    /// The payment went through for `amount` (at most what was reserved; more is cut to it). False when nothing was
    /// reserved under this id.
    pub fn commit(&mut self, id: &Id, amount: Stroops) -> bool {
        let Some(held) = self.reserved.remove(id) else { return false };
        let amount = amount.min(held.amount);
        let kind = &mut self.spent.kinds[index(held.kind)];
        *kind = kind.add(amount).unwrap_or(Stroops::MAX);
        if let Some(site) = held.site {
            let key = self.site_key(site);
            let spent = self.spent.sites.entry(key).or_default();
            *spent = spent.add(amount).unwrap_or(Stroops::MAX);
        }
        true
    }

    /// The payment did not happen. False when nothing was reserved under this id.
    pub fn release(&mut self, id: &Id) -> bool {
        self.reserved.remove(id).is_some()
    }

    /// Set aside now.
    pub fn reserved(&self) -> Stroops {
        total(self.reserved.values().map(|r| r.amount))
    }

    /// Spent and reserved, over the kinds that `which` picks.
    fn used(&self, which: impl Fn(ServiceKind) -> bool) -> Stroops {
        let kinds = [ServiceKind::Tor, ServiceKind::Ipfs, ServiceKind::Http];
        let spent = kinds.into_iter().zip(self.spent.kinds).filter(|(k, _)| which(*k)).map(|(_, amount)| amount);
        total(spent.chain(self.reserved.values().filter(|r| which(r.kind)).map(|r| r.amount)))
    }

    fn within(&self, limit: Stroops, code: RefusalCode, used: Stroops, more: Stroops) -> Result<(), RefusalCode> {
        match used.add(more) {
            Ok(sum) if sum <= limit => Ok(()),
            _ => Err(code),
        }
    }

    fn site_key(&self, site: Id) -> Id {
        if self.spent.sites.contains_key(&site) || self.spent.sites.len() < SITES_MAX { site } else { OTHER_SITES }
    }
}

fn index(kind: ServiceKind) -> usize {
    match kind {
        ServiceKind::Tor => 0,
        ServiceKind::Ipfs => 1,
        ServiceKind::Http => 2,
    }
}

/// Sum that stops at the largest amount: a limit is crossed all the same.
fn total(amounts: impl Iterator<Item = Stroops>) -> Stroops {
    amounts.fold(Stroops::ZERO, |sum, amount| sum.add(amount).unwrap_or(Stroops::MAX))
}
