//! The policy at work: what may be paid, what a person sets, and what a person sees of it.
use super::super::pass::{Pass, Stage};
use super::passes::shares;
use super::{Circuit, Pay, ServiceWish};
use crate::error::{Error, Result};
use crate::gateway::core::message::{Offer, RefusalCode, ServiceKind};
use crate::gateway::core::policy::{
    Account, Approvals, Decision, Facts, Mode, Policy, PolicyAsk, PolicyRow, PolicyView, Rule, Target, Wish, Word,
    decide, site_id,
};
use crate::gateway::core::price::{self, HopDue};
use crate::gateway::link::Links;
use crate::gateway::port::{Answer, CircuitId, Effect, Out, Row};
use crate::units::Stroops;
use rand::Rng;

impl Pay {
    /// Goes on with what was set while the last process ran, unless the configuration was changed since: then that
    /// counts, `configured`.
    pub fn with_policy(mut self, configured: Policy, kept: Option<PolicyRow>) -> Self {
        let kept = kept.filter(|row| row.configured == configured).map(|row| row.current);
        self.budget.set_policy(kept.unwrap_or_else(|| configured.clone()));
        self.configured = configured;
        self
    }

    /// Shows the policy, changes it, or takes a person's word on a payment that waits.
    pub fn on_policy(&mut self, now: u64, ask: PolicyAsk, out: &mut Out) -> Answer {
        match self.change(now, ask, out) {
            Ok(()) => Answer::Policy(Box::new(self.view(now))),
            Err(error) => Answer::Unchanged(error),
        }
    }

    fn change(&mut self, now: u64, ask: PolicyAsk, out: &mut Out) -> Result<()> {
        let mut policy = self.budget.policy().clone();
        match ask {
            PolicyAsk::Get => return Ok(()),
            PolicyAsk::SetLimits(limits) => {
                limits.check()?;
                policy.limits = *limits;
            }
            PolicyAsk::SetRule(rule) => {
                policy.set_rule(rule)?;
                self.approvals.clear();
            }
            PolicyAsk::RemoveRule(target) => {
                if !policy.remove_rule(&target) {
                    return Err(Error::never("MW-POL-5", "There is no rule for this target."));
                }
                self.approvals.clear();
            }
            PolicyAsk::Decide { approval, allow, remember } => {
                let gone = || Error::never("MW-POL-6", "This payment waits no longer; look at the list again.");
                let about = self.approvals.waiting(now).iter().find(|a| a.id == approval).cloned().ok_or_else(gone)?;
                if remember {
                    let target = about.site.map_or(Target::Kind(about.kind), Target::Site);
                    let day = policy.rule(&target).and_then(|rule| rule.day);
                    policy.set_rule(Rule { target, mode: if allow { Mode::Auto } else { Mode::Never }, day })?;
                }
                self.approvals.decide(now, approval, allow);
            }
        }
        if &policy != self.budget.policy() {
            self.budget.set_policy(policy.clone());
            self.decide_anew(now, out);
            let row = PolicyRow { configured: self.configured.clone(), current: policy };
            out.rows.push(Row::Policy(Box::new(row)));
        }
        Ok(())
    }

    /// Rules, ceilings, budgets, and a person's word where the rules ask for one.
    fn allowed(&mut self, now: u64, rng: &mut impl Rng, wish: &Wish<'_>) -> Result<(), RefusalCode> {
        self.decided(now, wish, |approvals| approvals.ask(now, rng.next_u64(), wish))
    }

    /// The same, with a person's word by `word` where one is wanted.
    fn decided(
        &mut self,
        now: u64,
        wish: &Wish<'_>,
        word: impl FnOnce(&mut Approvals) -> Word,
    ) -> Result<(), RefusalCode> {
        match decide(&mut self.budget, day_of(now), wish) {
            Decision::Pay => Ok(()),
            Decision::Refuse(code) => Err(code),
            Decision::Ask => match word(&mut self.approvals) {
                Word::Yes => Ok(()),
                Word::No => Err(RefusalCode::NOT_ALLOWED),
                Word::Awaited => Err(RefusalCode::APPROVAL_WANTED),
                Word::Full => Err(RefusalCode::BUSY),
            },
        }
    }

    /// Limits or rules changed: passes of which nothing is signed yet are decided anew, the oldest first.
    fn decide_anew(&mut self, now: u64, out: &mut Out) {
        let mut unsigned: Vec<Pass> = self.passes.extract_if(.., |p| p.stage == Stage::Create).collect();
        unsigned.sort_by_key(Pass::started);
        for pass in &unsigned {
            self.budget.release(&pass.id);
        }
        for pass in unsigned {
            let Err(code) = self.still_paid(now, &pass) else {
                self.passes.push(pass);
                continue;
            };
            // Why circuits wait is said when they are next looked at.
            let Some(call) = pass.call else { continue };
            self.refuse(now, pass.site.unwrap_or_default(), code, true);
            out.effects.push(Effect::Answer { call, answer: Answer::Failed(code) });
        }
    }

    /// Would this pass be begun under the policy in force? Then its amount is set aside again.
    fn still_paid(&mut self, now: u64, pass: &Pass) -> Result<(), RefusalCode> {
        let Some(c) = self.circuits.get(&pass.circ) else { return Err(RefusalCode::TIMED_OUT) };
        let dues: Vec<Stroops> = c.hops.iter().zip(&pass.payees).map(|(_, payee)| payee.share.due).collect();
        let dear = c.is_dear(self.budget.limits());
        let carried = carried(c, &dues);
        let carried = carried.as_ref().map(|(offer, amount)| Wish { offer, site: None, amount: *amount });
        let mut stands = |wish: &Wish<'_>| self.decided(now, wish, |approvals| approvals.word(now, wish));
        let site = pass.site.as_deref();
        if let Some(offer) = &pass.service {
            stands(&Wish { offer, site, amount: pass.total() })?;
            if dear {
                return Err(RefusalCode::CIRCUIT_UNPAID);
            }
            // Relays that are not to be paid for carrying are left out when it is tried again.
            carried.map_or(Ok(()), |wish| stands(&wish)).map_err(|_| RefusalCode::BUSY)?;
        } else if let Some(wish) = carried {
            stands(&wish)?;
        }
        let kind = pass.service.as_ref().map_or(ServiceKind::Tor, |offer| offer.kind);
        self.budget.reserve(pass.id, day_of(now), site.map(site_id), kind, pass.total())
    }

    /// Why the hops of a circuit are not to be paid what they are due now. Said once, until it changes.
    pub(super) fn tor_refused(
        &mut self,
        now: u64,
        rng: &mut impl Rng,
        circ: CircuitId,
        dues: &[Stroops],
        out: &mut Out,
    ) -> Option<RefusalCode> {
        let c = self.circuits.get(&circ)?;
        let (dearest, amount) = carried(c, dues)?;
        let last = dues.iter().rposition(|due| !due.is_zero())?;
        let who = c.hops.get(last).map(|hop| hop.hop.nickname.clone()).unwrap_or_default();
        let refused = self.allowed(now, rng, &Wish { offer: &dearest, site: None, amount }).err();
        let c = self.circuits.get_mut(&circ)?;
        if std::mem::replace(&mut c.waits, refused) != refused
            && let Some(code) = refused
        {
            self.note_refused(now, &who, amount, code, &[&circ.to_be_bytes(), &code.0.to_be_bytes()]);
            self.refuse(now, who, code, true);
        }
        if refused == Some(RefusalCode::PRICE_CEILING) {
            self.give_up(now, circ, RefusalCode::PRICE_CEILING, out);
        }
        refused
    }

    /// Does a person say yes to each payment of this service?
    pub(super) fn asks(&self, wish: &ServiceWish) -> bool {
        self.budget.policy().mode(wish.offer.kind, Some(&wish.site)) == Mode::Ask
    }

    /// Why a web service is not to be paid what it asks for, the fees of the hops included.
    pub(super) fn site_refused(&mut self, now: u64, rng: &mut impl Rng, wish: &ServiceWish) -> Option<RefusalCode> {
        // A person's yes is for one payment.
        let begun = |p: &Pass| p.site.as_deref() == Some(&wish.site) && p.stage == Stage::Create;
        if self.asks(wish) && self.passes.iter().any(begun) {
            return Some(RefusalCode::BUSY);
        }
        let c = self.circuits.get(&wish.circ)?;
        let amount = first_amount(&shares(c, &vec![Stroops::ZERO; c.hops.len()], Some(self.service_due(wish))));
        self.allowed(now, rng, &Wish { offer: &wish.offer, site: Some(&wish.site), amount }).err()
    }

    /// How the account stands, for status.
    pub fn account(&self) -> &Account {
        &self.account
    }

    /// tor builds circuits, or it does not.
    pub fn on_tor(&mut self, up: bool) {
        self.tor_up = up;
    }

    pub(super) fn look_at_account(&mut self, now: u64, links: &Links) {
        let holds = |c: &Circuit| c.began && c.hops.iter().any(|h| h.holds);
        let (budget_left, day_use) = self.budget.pace(day_of(now));
        self.account = Account::of(&Facts {
            now_ms: now,
            tor_up: self.tor_up,
            credit_left: !self.circuits.values().any(holds),
            purse: links.purse(),
            day_use,
            budget: self.budget.limits().day,
            budget_left,
            no_circuit: self.out_of_circuits(now),
        });
    }

    fn view(&mut self, now: u64) -> PolicyView {
        let day = day_of(now);
        PolicyView {
            policy: self.budget.policy().clone(),
            day,
            budgets: self.budget.lines(day),
            approvals: self.approvals.waiting(now).to_vec(),
            account: self.account.clone(),
        }
    }
}

/// What hops are to be paid for carrying, fees included, and the dearest of their terms: limits may have changed since
/// the offers were taken. None when nothing is due.
fn carried(c: &Circuit, dues: &[Stroops]) -> Option<(Offer, Stroops)> {
    let last = dues.iter().rposition(|due| !due.is_zero())?;
    let paid = c.hops.iter().take(last + 1).filter_map(|hop| hop.offer.as_ref());
    let dearest = paid.max_by_key(|offer| (offer.price.0, offer.fee))?;
    let fee = c.hops.iter().filter_map(|hop| hop.offer.as_ref()).map(|offer| offer.fee).max()?;
    Some((Offer { fee, ..dearest.clone() }, first_amount(&shares(c, &dues[..=last], None))))
}

/// What the guard is to be paid for itself and all behind it.
fn first_amount(shares: &[HopDue]) -> Stroops {
    price::pass_amounts(shares).ok().and_then(|all| all.first().copied()).unwrap_or(Stroops::MAX)
}

/// Days since 1970, UTC.
pub(super) fn day_of(now_ms: u64) -> u64 {
    now_ms / 86_400_000
}
