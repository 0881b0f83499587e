//! Web services: what one asks is checked and paid through all hops of the circuit.
use super::{Circuit, Pay};
use crate::gateway::core::message::*;
use crate::gateway::core::offer::offer_hash;
use crate::gateway::core::price;
use crate::gateway::core::refusal::RetryClass;
use crate::gateway::core::validate::{self, Agreed, Counts};
use crate::gateway::link::{Links, Readiness};
use crate::gateway::port::*;
use crate::units::Stroops;
use rand::Rng;

/// Web payments that are under way on one circuit.
const MAX_AT_ONCE: usize = 16;

/// A web payment that the person's own program asks for.
#[derive(Clone, Debug)]
pub struct ServiceWish {
    /// Answered when it is over.
    pub call: u64,
    /// The circuit of the stream.
    pub circ: CircuitId,
    /// Names the talk with the service.
    pub exchange: u64,
    /// What it sells.
    pub offer: Offer,
    /// What it asks.
    pub request: PaymentRequest,
    /// `host[:port]`.
    pub site: String,
}

impl Pay {
    /// Pay a web service through all hops of a circuit, and the hops with it. When the stream rides several legs, it is
    /// the first of them whose hops all may be paid.
    pub fn pay_service(
        &mut self,
        now: u64,
        rng: &mut impl Rng,
        links: &mut Links,
        mut wish: ServiceWish,
        out: &mut Out,
    ) {
        self.note_wish(now, &wish);
        let call = wish.call;
        let failed = |code| Effect::Answer { call, answer: Answer::Failed(code) };
        let leg = self.leg_for(now, links, wish.circ);
        wish.circ = leg.unwrap_or(wish.circ);
        let refused = leg.err().or_else(|| self.service_refused(now, &wish));
        let refused = refused.or_else(|| self.site_refused(now, rng, &wish));
        if let Some(code) = refused {
            self.refuse(now, wish.site.clone(), code, true);
            return out.effects.push(failed(code));
        }
        if self.passes.iter().filter(|p| p.circ == wish.circ && p.call.is_some()).count() >= MAX_AT_ONCE {
            return out.effects.push(failed(RefusalCode::BUSY)); // the hops remember no more for one session
        }
        let Some(c) = self.circuits.get(&wish.circ) else { return out.effects.push(failed(RefusalCode::TIMED_OUT)) };
        let mut dues = self.dues(wish.circ, c, c.hops.len());
        // A person says yes to what was shown: what hops are due for carrying then, they get in passes of their own.
        if self.asks(&wish) || self.tor_refused(now, rng, wish.circ, &dues, out).is_some() {
            // The relays get what they ask for passing the payment on, and nothing for carrying.
            dues.fill(Stroops::ZERO);
        }
        let Some(c) = self.circuits.get(&wish.circ) else { return out.effects.push(failed(RefusalCode::TIMED_OUT)) };
        let Some(tag) = c.hops.first().and_then(|h| links.tag_of(&h.hop.relay)) else {
            return out.effects.push(failed(RefusalCode::NO_LINK));
        };
        self.begin_pass(now, rng, wish.circ, tag, &dues, Some(wish), out);
    }

    /// A leg of the set of `circ` over which a service can be paid, that one if it will do; else why not, and rather
    /// what passes than what stays.
    fn leg_for(&self, now: u64, links: &Links, circ: CircuitId) -> Result<CircuitId, RefusalCode> {
        let Some(c) = self.circuits.get(&circ) else { return Err(RefusalCode::TIMED_OUT) };
        let refused = match self.leg_refused(now, links, c) {
            None => return Ok(circ),
            Some(code) => code,
        };
        let others = self.circuits.iter().filter(|(id, o)| **id != circ && o.set.is_some() && o.set == c.set);
        let others: Vec<_> = others.map(|(id, o)| (*id, self.leg_refused(now, links, o))).collect();
        if let Some(id) = others.iter().filter(|(_, refused)| refused.is_none()).map(|(id, _)| *id).min() {
            return Ok(id);
        }
        let mut all = std::iter::once(refused).chain(others.into_iter().filter_map(|(_, refused)| refused));
        Err(all.find(|code| code.retry() == RetryClass::Later).unwrap_or(refused))
    }

    fn leg_refused(&self, now: u64, links: &Links, c: &Circuit) -> Option<RefusalCode> {
        if c.given_up.is_some() || c.is_dear(self.budget.limits()) {
            return Some(RefusalCode::CIRCUIT_UNPAID);
        }
        if c.speaking < c.hops.len() || c.hops.is_empty() {
            return Some(RefusalCode::HOP_UNKNOWN);
        }
        let reach = self.edges.reach(now, c.hops.iter().map(|h| &h.hop));
        if reach < c.hops.len() || !c.hops.iter().all(|h| h.may_be_paid(now)) {
            return Some(RefusalCode::BUSY);
        }
        match links.can_pay(&c.hops[0].hop.relay) {
            Readiness::Ready => None,
            Readiness::Opening => Some(RefusalCode::BUSY),
            Readiness::Closing => Some(RefusalCode::NO_CAPACITY),
            _ => Some(RefusalCode::NO_FUNDS),
        }
    }

    fn service_refused(&self, now: u64, wish: &ServiceWish) -> Option<RefusalCode> {
        let offer = &wish.offer;
        if offer.kind != ServiceKind::Http || offer.asset != self.terms.asset {
            return Some(RefusalCode::WRONG_ASSET);
        }
        let paid = self.webs.get(&offer.session).copied().unwrap_or_default();
        let agreed = Agreed {
            offer,
            offer_hash: offer_hash(offer),
            previous: None,
            acknowledged: Stroops::ZERO,
            ahead_bytes: u64::from(offer.ahead_bytes).min(self.terms.max_ahead_bytes),
        };
        // A service cannot have served more than we paid for and its credit: it asks for that and the window ahead.
        let credit = u64::from(offer.credit_bytes).min(self.terms.max_ahead_bytes);
        let counts = Counts::Bytes { own_in: price::bytes_for(offer.price, paid).saturating_add(credit), own_out: 0 };
        if let Err(refused) = validate::check(&agreed, &wish.request, counts, now / 1000) {
            return Some(refused.code);
        }
        None
    }
}
