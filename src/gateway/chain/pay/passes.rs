//! Passes of the client: begun, driven on, ended.
use super::super::PayeeShare;
use super::super::pass::{Pass, Payee, Stage, Step, Via};
use super::edges::CLIENT;
use super::{Circuit, HopState, Pay, ServiceWish, watch, wire_hop};
use crate::gateway::core::message::*;
use crate::gateway::core::policy::site_id;
use crate::gateway::core::price::{self, HopDue};
use crate::gateway::link::{Links, NewLock, PayeeRef};
use crate::gateway::port::*;
use crate::units::Stroops;
use hmac::{Hmac, KeyInit, Mac};
use rand::Rng;
use sha2::Sha256;

/// What a payee says to whom its payer has no open link yet.
const NOT_OPEN: [RefusalCode; 2] = [RefusalCode::NO_LINK, RefusalCode::ESCROW_PENDING];
/// Web sessions whose payments are remembered.
const MAX_WEBS: usize = 4_096;
/// A hop that refused a payment is left alone for so long, unless it says otherwise.
const RETRY_MS: u64 = 1_000;
/// So many passes may fail at a hop after they were signed, the pause doubled after each: what a client can lose to
/// one hop on one circuit is so many increments. From then on nobody from that hop on is paid on the circuit.
const MAX_FAILURES: u32 = 4;

impl Pay {
    pub(super) fn begin_pass(
        &mut self,
        now: u64,
        rng: &mut impl Rng,
        circ: CircuitId,
        tag: [u8; 8],
        dues: &[Stroops],
        wish: Option<ServiceWish>,
        out: &mut Out,
    ) {
        let Some(c) = self.circuits.get(&circ) else { return };
        let dues = shares(c, dues, wish.as_ref().map(|wish| self.service_due(wish)));
        let fail = |code, out: &mut Out| {
            if let Some(wish) = &wish {
                out.effects.push(Effect::Answer { call: wish.call, answer: Answer::Failed(code) });
            }
        };
        let Ok(amounts) = price::pass_amounts(&dues) else { return fail(RefusalCode::AMOUNT_ABOVE, out) };
        let offers: Vec<&Offer> = c.hops.iter().take(dues.len()).filter_map(|h| h.offer.as_ref()).collect();
        let service = wish.as_ref().map(|wish| &wish.offer);
        let offers: Vec<&Offer> = offers.into_iter().chain(service).collect();
        let lock = self.plan_lock(now, rng, &dues, &offers);
        let kind = if wish.is_some() { ServiceKind::Http } else { ServiceKind::Tor };
        let site = wish.as_ref().map(|w| w.site.clone());
        let mut id = [0; ID_LEN];
        rng.fill_bytes(&mut id);
        let day = now / 1000 / 86_400;
        if let Err(code) = self.budget.reserve(id, day, site.as_deref().map(site_id), kind, amounts[0]) {
            fail(code, out);
            let who = site.unwrap_or_else(|| "budget".into());
            return self.refuse(now, who, code, true);
        }
        let mut payees = Vec::with_capacity(dues.len());
        for (index, HopDue { due, fee }) in dues.iter().enumerate() {
            let hop_id = self.hop_id(&id, index);
            let last = index + 1 == dues.len();
            let fee = if last { Stroops::ZERO } else { *fee };
            let payer = if index == 0 { PayerRef::Link(tag) } else { PayerRef::Previous };
            payees.push(match (&wish, c.hops.get(index)) {
                (_, Some(h)) => {
                    let account = h.offer.as_ref().map_or([0; 32], |o| o.payee);
                    let share = PayeeShare { account, name: h.hop.nickname.clone(), due: *due, fee };
                    Payee::new(
                        Via::Hop(wire_hop(index)),
                        share,
                        hop_id,
                        h.request.as_ref().map_or([0; ID_LEN], |r| r.id),
                        amounts[index],
                        payer,
                    )
                }
                (Some(wish), None) => {
                    let share = PayeeShare { account: wish.offer.payee, name: wish.site.clone(), due: *due, fee };
                    let exit = c.hops.last().map_or([0; 20], |h| h.hop.relay);
                    Payee::new(
                        Via::Http(wish.exchange),
                        share,
                        hop_id,
                        wish.request.id,
                        amounts[index],
                        PayerRef::Relay(exit),
                    )
                }
                (None, None) => return,
            });
        }
        let mut pass = Pass::new(now, id, circ, c.hops[0].hop.relay, payees, wish.as_ref().map(|w| w.call), site);
        pass.service = wish.map(|w| w.offer);
        pass.lock = lock;
        let steps = pass.start();
        self.passes.push(pass);
        let index = self.passes.len() - 1;
        self.send(index, &steps, out);
    }

    pub(super) fn on_pass_message(
        &mut self,
        now: u64,
        rng: &mut impl Rng,
        links: &mut Links,
        via: Via,
        message: &Message,
        out: &mut Out,
    ) {
        let subject = match message {
            Message::Template(m) => m.hop_id,
            Message::Signed(m) => m.hop_id,
            Message::Delivered(m) => m.hop_id,
            Message::Refusal(m) => m.subject,
            _ => return,
        };
        let Some(index) = self.passes.iter().position(|p| p.owns(&subject)) else { return };
        let circ = self.passes[index].circ;
        let steps = self.passes[index].on_message(now, via, message);
        let refused = matches!(steps.last(), Some(Step::Failed { signed: false, .. }));
        self.act(now, rng, links, index, steps, out);
        if refused {
            // Whoever stands before the hop that said no is paid without it.
            self.settle(now, rng, links, circ, out);
        }
    }

    pub(super) fn act(
        &mut self,
        now: u64,
        rng: &mut impl Rng,
        links: &mut Links,
        index: usize,
        steps: Vec<Step>,
        out: &mut Out,
    ) {
        let template = match steps.first() {
            Some(Step::SignFirst(template)) => template,
            Some(Step::Revealed) => {
                let pass = &self.passes[index];
                if let Some(secret) = pass.lock.as_ref().and_then(|lock| lock.secret_of(0)) {
                    links.settle(now, &pass.payees[0].hop_id, &secret, out);
                }
                self.budget.commit(&pass.id, pass.total());
                let pass = self.passes.swap_remove(index);
                self.unlock(&pass);
                out.rows.push(Row::Payment(Box::new(pass.row())));
                self.passes.push(pass);
                return self.finish(now, self.passes.len() - 1, &steps, out);
            }
            _ => return self.finish(now, index, &steps, out),
        };
        let pass = &mut self.passes[index];
        let (first, guard) = (&pass.payees[0], PayeeRef::Relay(pass.guard));
        let again = pass.is_signed();
        let claim = match &pass.lock {
            None => links.sign(now, rng, first.hop_id, guard, first.amount, template, out),
            Some(lock) => match lock.point_of(0) {
                Some(point) => {
                    let new = NewLock { point, max_time: lock.time_of(0), offset: None };
                    links.sign_locked(now, rng, first.hop_id, guard, first.amount, template, new, out)
                }
                None => Err(RefusalCode::LOCK_INVALID),
            },
        };
        let steps = match claim {
            Ok(claim) if again => pass.signed_first(now, claim),
            Ok(claim) => {
                if let Some(site) = &pass.site {
                    self.approvals.used(site);
                }
                if pass.lock.is_none() {
                    self.budget.commit(&pass.id, pass.total());
                }
                let steps = pass.signed_first(now, claim);
                out.rows.push(Row::Payment(Box::new(pass.row())));
                if let Some(c) = self.circuits.get_mut(&pass.circ) {
                    for (hop, payee) in c.hops.iter_mut().zip(&pass.payees) {
                        hop.paid = hop.paid.add(payee.share.due).unwrap_or(Stroops::MAX);
                        hop.offered = hop.offered.add(payee.amount).unwrap_or(Stroops::MAX);
                        if pass.lock.is_some() {
                            hop.locked = hop.locked.add(payee.share.due).unwrap_or(Stroops::MAX);
                        }
                    }
                }
                steps
            }
            Err(code) => pass.fail(Some(0), code, 0),
        };
        self.finish(now, index, &steps, out);
    }

    /// Sends what a pass wants and ends it when it is over.
    pub(super) fn finish(&mut self, now: u64, index: usize, steps: &[Step], out: &mut Out) {
        self.send(index, steps, out);
        match steps.last() {
            Some(Step::Finished) => {
                let pass = self.passes.swap_remove(index);
                self.settled += 1;
                // Only what the service has confirmed: a payment that got lost on the way is paid once more.
                if let (Some(offer), Some(service)) = (&pass.service, pass.payees.last()) {
                    self.web_paid(offer.session, service.share.due);
                }
                out.rows.push(Row::Payment(Box::new(pass.row())));
                if let Some(call) = pass.call {
                    out.effects.push(Effect::Answer { call, answer: Answer::Paid(Box::new(pass.row())) });
                }
                if let Some(c) = self.circuits.get_mut(&pass.circ) {
                    self.edges.passed(c.hops.iter().map(|h| &h.hop).take(pass.payees.len()));
                    c.rate.latency_ms =
                        if c.rate.latency_ms == 0 { pass.took() } else { (3 * c.rate.latency_ms + pass.took()) / 4 };
                    watch(pass.circ, c, out);
                }
            }
            Some(Step::Failed { payee, code, retry_ms, signed }) => {
                let pass = self.passes.swap_remove(index);
                let locked = *signed && pass.lock.is_some();
                // Only what was never committed is set free: after a plain K_1 is signed this finds nothing.
                if !locked {
                    self.budget.release(&pass.id);
                }
                if !*signed && pass.lock.is_some() && matches!(*code, RefusalCode::BUSY | RefusalCode::FLUSH_PENDING) {
                    self.pay_in_plain(now, pass.circ);
                }
                let payee = payee.or_else(|| pass.waits_for().filter(|_| *signed));
                if *signed {
                    out.rows.push(Row::Payment(Box::new(pass.row())));
                    self.take_back(now, &pass, payee, out);
                }
                if locked {
                    self.unlock(&pass);
                    self.wait_for_locks(now, &pass);
                }
                let who = payee
                    .and_then(|k| pass.payees.get(k))
                    .map_or_else(|| "the circuit".into(), |p| p.share.name.clone());
                self.refuse(now, who, *code, false);
                if pass.service.is_some() && !*signed && NOT_OPEN.contains(code) {
                    self.pay_early(pass.circ, payee.unwrap_or(0));
                }
                // Left out of the next passes for a while, and nobody behind it is paid before it is.
                let hop = payee.and_then(|k| self.circuits.get_mut(&pass.circ).and_then(|c| c.hops.get_mut(k)));
                if let Some(hop) = hop {
                    let until = now.saturating_add(u64::from(*retry_ms).max(RETRY_MS));
                    hop.not_before = hop.not_before.max(until);
                }
                if let Some(call) = pass.call {
                    let answer = if *signed { Answer::Lost(*code) } else { Answer::Failed(*code) };
                    out.effects.push(Effect::Answer { call, answer });
                }
            }
            _ => {}
        }
    }

    /// A pass died after it was signed: whoever did not confirm its due is still to be paid, or the circuit would
    /// stand still. The client loses this increment at most; should a hop have got it after all, it says so (`got`).
    fn take_back(&mut self, now: u64, pass: &Pass, failed: Option<usize>, out: &mut Out) {
        let Some(c) = self.circuits.get_mut(&pass.circ) else { return };
        for (index, (hop, payee)) in c.hops.iter_mut().zip(&pass.payees).enumerate() {
            // Under locks all of it may still be paid, until their time is over.
            if !pass.confirmed(index) && pass.lock.is_none() {
                hop.paid = hop.paid.saturating_sub(payee.share.due);
            }
        }
        let relay = |k: usize| c.hops.get(k).map(|h| h.hop.relay);
        // A service behind the exit has no name here.
        let between = pass.lost_between().and_then(|(from, to)| Some((from.map_or(Some(CLIENT), relay)?, relay(to)?)));
        if let Some((from, to)) = between {
            self.edges.failed(now, from, to);
        }
        if let Some(hop) = failed.and_then(|k| c.hops.get_mut(k)) {
            hop.failures += 1;
            let pause = if hop.failures >= MAX_FAILURES { u64::MAX } else { RETRY_MS << hop.failures };
            hop.not_before = hop.not_before.max(now.saturating_add(pause));
        }
        watch(pass.circ, c, out);
    }

    /// What a web service is to get now. What we paid counts, whatever the service says that it got.
    pub(super) fn service_due(&self, wish: &ServiceWish) -> Stroops {
        let paid = self.webs.get(&wish.offer.session).copied().unwrap_or_default();
        wish.request.amount_due.saturating_sub(paid.max(wish.request.amount_paid))
    }

    /// A web session got so much more.
    pub(super) fn web_paid(&mut self, web: Id, due: Stroops) {
        if self.webs.len() >= MAX_WEBS && !self.webs.contains_key(&web) {
            self.webs.clear();
        }
        let paid = self.webs.entry(web).or_default();
        *paid = paid.add(due).unwrap_or(Stroops::MAX);
    }

    /// A service cannot be paid yet because a node on the way has no open link: it opens one once it is paid itself.
    fn pay_early(&mut self, circ: CircuitId, refused: usize) {
        let hops = self.circuits.get_mut(&circ).map(|c| &mut c.hops);
        hops.into_iter().flatten().take(refused).for_each(|hop| hop.early = true);
    }

    /// Gives up passes of which nothing is signed yet; whoever waits for one is told `code`.
    pub(super) fn drop_unsigned(&mut self, code: RefusalCode, which: impl Fn(&Pass) -> bool, out: &mut Out) {
        for pass in self.passes.extract_if(.., |p| p.stage == Stage::Create && which(p)) {
            self.budget.release(&pass.id);
            if let Some(call) = pass.call {
                out.effects.push(Effect::Answer { call, answer: Answer::Failed(code) });
            }
        }
    }

    pub(super) fn send(&self, index: usize, steps: &[Step], out: &mut Out) {
        let circ = self.passes[index].circ;
        for step in steps {
            if let Step::Send(via, message) = step {
                out.effects.push(match *via {
                    Via::Hop(hop) => Effect::Send { circ, hop, message: message.clone() },
                    Via::Http(exchange) => Effect::Http { exchange, message: message.clone() },
                });
            }
        }
    }

    pub(super) fn hop_id(&self, pass: &Id, index: usize) -> Id {
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&self.secret) else { return *pass };
        mac.update(b"magicwave hop id");
        mac.update(pass);
        mac.update(&(index as u64).to_be_bytes());
        let mut id = [0; ID_LEN];
        id.copy_from_slice(&mac.finalize().into_bytes()[..ID_LEN]);
        id
    }
}

/// What each payee of a pass gets, guard first; `service` goes to a web service behind all hops.
pub(super) fn shares(c: &Circuit, dues: &[Stroops], service: Option<Stroops>) -> Vec<HopDue> {
    let fee = |h: &HopState| h.offer.as_ref().map_or(Stroops::ZERO, |offer| offer.fee);
    let hops = c.hops.iter().zip(dues).map(|(h, due)| HopDue { due: *due, fee: fee(h) });
    hops.chain(service.map(|due| HopDue { due, fee: Stroops::ZERO })).collect()
}
