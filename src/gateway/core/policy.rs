//! What a payer lets itself spend: price ceilings and budgets per day, per site and per service kind.
//!
//! Money moves in `reserve`, then `commit` or `release`; a site's name there is its [`site_id`].
mod account;
mod approvals;
mod decide;
mod rules;
mod site;
mod view;

pub use account::{Account, AccountState, Facts, LOW_BUDGET_PART, LOW_DAYS, OFFLINE_MS, Purse};
pub use approvals::{APPROVAL_MS, APPROVALS_MAX, Approval, Approvals, Word};
pub use decide::{Decision, Wish, decide};
pub use rules::{Mode, Policy, PolicyRow, RULES_MAX, Rule, Target};
pub use site::{SITE_NAME_MAX, site_name};
pub use view::{BudgetLine, PolicyAsk, PolicyView};

use super::message::{Id, Offer, RefusalCode, ServiceKind};
use super::offer::PRICE_EXPONENT_MAX;
use crate::error::{Error, Result};
use crate::units::{Price, Stroops};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
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
    /// `MW-POL-7`: a ceiling beyond what can be offered; who means "any price" says the highest.
    pub fn check(&self) -> Result<()> {
        let most = 1 << PRICE_EXPONENT_MAX;
        let fits = self.price_ceilings.iter().all(|ceiling| ceiling.0 <= most) && self.fee_ceiling.get() <= most;
        if fits { Ok(()) } else { Err(Error::never("MW-POL-7", "A ceiling is above 2^32 stroops; no offer is.")) }
    }

    /// Refuses an offer that is too dear.
    pub fn check_price(&self, offer: &Offer) -> Result<(), RefusalCode> {
        if offer.price.0 > self.price_ceilings[index(offer.kind)].0 || offer.fee > self.fee_ceiling {
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
    /// In all on the day before.
    #[serde(default)]
    pub before: Stroops,
}

/// Money set aside for a payment under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Reservation {
    site: Option<Id>,
    kind: ServiceKind,
    amount: Stroops,
}

/// A site's name in the budget: the first 16 bytes of SHA-256 of its `host[:port]`.
pub fn site_id(site: &str) -> Id {
    let mut id = Id::default();
    let len = id.len();
    id.copy_from_slice(&Sha256::digest(site.as_bytes())[..len]);
    id
}

/// The budget of one wallet.
#[derive(Clone, Debug)]
pub struct Budget {
    policy: Policy,
    /// Of the sites that have a rule with a budget.
    site_days: BTreeMap<Id, Stroops>,
    spent: Spent,
    reserved: BTreeMap<Id, Reservation>,
}

impl Budget {
    /// Starts from what was spent before, without rules.
    pub fn new(limits: Limits, spent: Spent) -> Self {
        Budget { policy: Policy::new(limits), site_days: BTreeMap::new(), spent, reserved: BTreeMap::new() }
    }
    /// What is to be made durable with each commit.
    pub fn spent(&self) -> &Spent {
        &self.spent
    }
    /// The limits in force.
    pub fn limits(&self) -> &Limits {
        &self.policy.limits
    }
    /// Limits and rules in force.
    pub fn policy(&self) -> &Policy {
        &self.policy
    }
    /// Puts other limits and rules in force; what is reserved stays reserved until it is released.
    pub fn set_policy(&mut self, policy: Policy) {
        let day = |rule: &Rule| match (&rule.target, rule.day) {
            (Target::Site(site), Some(day)) => Some((site_id(site), day)),
            _ => None,
        };
        self.site_days = policy.rules.iter().filter_map(day).collect();
        self.policy = policy;
    }

    /// Sets `amount` aside on `day` (days since 1970, UTC) for payment `id`, or says which limit it would cross. The
    /// same call again changes nothing.
    pub fn reserve(
        &mut self,
        id: Id,
        day: u64,
        site: Option<Id>,
        kind: ServiceKind,
        amount: Stroops,
    ) -> Result<(), RefusalCode> {
        self.begin_day(day);
        let wanted = Reservation { site, kind, amount };
        if let Some(before) = self.reserved.get(&id) {
            return if *before == wanted { Ok(()) } else { Err(RefusalCode::DUPLICATE_CONFLICT) };
        }
        if self.reserved.len() >= RESERVATIONS_MAX {
            return Err(RefusalCode::BUSY);
        }
        self.check(day, site, kind, amount)?;
        self.reserved.insert(id, wanted);
        Ok(())
    }

    /// Which limit would `amount` more cross, if any?
    pub fn check(&mut self, day: u64, site: Option<Id>, kind: ServiceKind, amount: Stroops) -> Result<(), RefusalCode> {
        self.begin_day(day);
        let within = |code, (spent, reserved, limit): (Stroops, Stroops, Stroops)| {
            let sum = spent.add(reserved).and_then(|used| used.add(amount));
            if sum.is_ok_and(|sum| sum <= limit) { Ok(()) } else { Err(code) }
        };
        within(RefusalCode::BUDGET_DAY, self.everything())?;
        within(RefusalCode::BUDGET_KIND, self.of_kind(kind))?;
        site.map_or(Ok(()), |site| within(RefusalCode::BUDGET_SITE, self.of_site(site)))
    }

    /// A clock that goes back opens no new day.
    fn begin_day(&mut self, day: u64) {
        if day > self.spent.day {
            let before = if day == self.spent.day + 1 { total(self.spent.kinds.into_iter()) } else { Stroops::ZERO };
            self.spent = Spent { day, before, ..Spent::default() };
        }
    }

    /// What is left of the whole budget of `day`, and the larger of what was spent on it and on the day before.
    pub fn pace(&mut self, day: u64) -> (Stroops, Stroops) {
        self.begin_day(day);
        let (spent, reserved, limit) = self.everything();
        (limit.saturating_sub(spent).saturating_sub(reserved), spent.max(self.spent.before))
    }

    /// Spent, reserved and the limit, for everything.
    fn everything(&self) -> (Stroops, Stroops, Stroops) {
        (total(self.spent.kinds.into_iter()), self.reserved(), self.policy.limits.day)
    }

    /// Spent, reserved and the limit, of one kind.
    fn of_kind(&self, kind: ServiceKind) -> (Stroops, Stroops, Stroops) {
        let reserved = self.reserved.values().filter(|r| r.kind == kind).map(|r| r.amount);
        (self.spent.kinds[index(kind)], total(reserved), self.policy.limits.kinds[index(kind)])
    }

    /// Spent, reserved and the limit, of one site.
    fn of_site(&self, site: Id) -> (Stroops, Stroops, Stroops) {
        let key = self.site_key(site);
        let held = self.reserved.values().filter(|r| r.site.is_some_and(|s| self.site_key(s) == key));
        let limit = self.site_days.get(&site).copied().unwrap_or(self.policy.limits.site);
        (self.spent.sites.get(&key).copied().unwrap_or_default(), total(held.map(|r| r.amount)), limit)
    }

    /// The budgets of `day`, for everything, each kind, and each site with a rule.
    pub fn lines(&mut self, day: u64) -> Vec<BudgetLine> {
        self.begin_day(day);
        let line = |target, (spent, reserved, limit): (Stroops, Stroops, Stroops)| {
            let left = limit.saturating_sub(spent).saturating_sub(reserved);
            BudgetLine { target, limit, spent, reserved, left }
        };
        let kinds = KINDS.into_iter().map(|kind| line(Target::Kind(kind), self.of_kind(kind)));
        let sites = self.policy.rules.iter().filter_map(|rule| match &rule.target {
            Target::Site(site) => Some(line(rule.target.clone(), self.of_site(site_id(site)))),
            Target::All | Target::Kind(_) => None,
        });
        std::iter::once(line(Target::All, self.everything())).chain(kinds).chain(sites).collect()
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

    fn site_key(&self, site: Id) -> Id {
        if self.spent.sites.contains_key(&site) || self.spent.sites.len() < SITES_MAX { site } else { OTHER_SITES }
    }
}

/// In the order of all arrays here.
const KINDS: [ServiceKind; 3] = [ServiceKind::Tor, ServiceKind::Ipfs, ServiceKind::Http];

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
