//! The paying side: what a client owes on each of its circuits, and the passes that settle it.
use super::PayeeShare;
use super::pass::{Pass, Payee, Stage, Step, Via};
use crate::gateway::core::codec;
use crate::gateway::core::message::*;
use crate::gateway::core::offer::{check_offer, offer_hash};
use crate::gateway::core::policy::Budget;
use crate::gateway::core::price::{self, Ahead, HopDue};
use crate::gateway::core::refusal::RetryClass;
use crate::gateway::core::validate::{self, Agreed, Counts};
use crate::gateway::link::{Links, PayeeRef, Readiness};
use crate::gateway::port::*;
use crate::units::{CELL_BYTES, Stroops};
use hmac::{Hmac, KeyInit, Mac};
use rand::Rng;
use sha2::{Digest, Sha256};
use std::collections::HashMap;

/// Circuits that a client keeps books of.
const MAX_CIRCUITS: usize = 4_096;
/// Web sessions whose payments are remembered.
const MAX_WEBS: usize = 4_096;
/// Passes under way on one circuit.
const MAX_PASSES: usize = 4;
/// A watch is set at least so many cells ahead.
const WATCH_CELLS: u64 = 64;
/// Refusals kept for the person to see.
const MAX_REFUSED: usize = 256;
/// A hello without an answer goes out again after so long, and so often.
const HELLO_MS: u64 = 4_000;
const HELLOS: u32 = 4;
/// A hop that refused a payment is left alone for so long, unless it says otherwise.
const RETRY_MS: u64 = 1_000;

/// How a client pays.
#[derive(Clone, Debug)]
pub struct Terms {
    /// The asset that it pays in.
    pub asset: AssetId,
    /// First 8 bytes of the network id.
    pub network: [u8; 8],
    /// At most so much is paid ahead on one circuit and hop.
    pub max_ahead_bytes: u64,
}

/// A hop as the client knows it.
#[derive(Debug)]
struct HopState {
    hop: Hop,
    nonce: Id,
    /// When the hello went out last, and how often it did.
    hello: (u64, u32),
    offer: Option<Offer>,
    offer_hash: Id,
    request: Option<PaymentRequest>,
    own: Counted,
    /// Own count towards us and the hop's, when it last spoke: equal, or it counts wrong.
    stamped: (u64, u64),
    paid: Stroops,
    acknowledged: Stroops,
    not_before: u64,
    /// The last request was refused: nothing is paid before a proper one.
    disputed: bool,
}

#[derive(Debug)]
struct Circuit {
    hops: Vec<HopState>,
    began: bool,
    /// The conflux set that it is a leg of.
    set: Option<u64>,
    /// Number of hops, from the guard on, that understand payment cells.
    speaking: usize,
    rate: Rate,
}

/// Bytes a second and milliseconds a pass, smoothed.
#[derive(Debug, Default)]
struct Rate {
    at: u64,
    cells: u64,
    bytes_per_s: u64,
    latency_ms: u64,
}

/// A refusal that the person can see.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Refused {
    /// Unix milliseconds.
    pub at: u64,
    /// Who is concerned, for people.
    pub who: String,
    /// Why.
    pub code: u16,
    /// In words.
    pub text: &'static str,
    /// True when we refused, false when we were refused.
    pub by_us: bool,
}

/// One circuit of the paying side.
#[derive(Clone, Debug, serde::Serialize)]
pub struct CircuitStatus {
    /// tor's number.
    pub circ: CircuitId,
    /// The conflux set that it is a leg of, 16 hex digits.
    pub set: Option<String>,
    /// Guard first.
    pub hops: Vec<HopStatus>,
}

/// One hop of it.
#[derive(Clone, Debug, serde::Serialize)]
pub struct HopStatus {
    /// The relay.
    pub nickname: String,
    /// Whether it understands payment cells.
    pub speaks: bool,
    /// Own count of cells towards us.
    pub inward: u64,
    /// Own count of cells away from us.
    pub outward: u64,
    /// Own count towards us and the hop's own count of the same, when it last spoke.
    pub stamped: (u64, u64),
    /// Paid on this circuit for carrying.
    pub paid: Stroops,
}

/// All that a client pays.
#[derive(Debug)]
pub struct Pay {
    terms: Terms,
    secret: [u8; 32],
    circuits: HashMap<CircuitId, Circuit>,
    passes: Vec<Pass>,
    budget: Budget,
    /// Paid for each web session.
    webs: HashMap<Id, Stroops>,
    refused: Vec<Refused>,
    requests: u64,
    settled: u64,
}

impl Pay {
    /// `secret` is drawn at each start.
    pub fn new(terms: Terms, secret: [u8; 32], budget: Budget) -> Self {
        Pay {
            terms,
            secret,
            circuits: HashMap::new(),
            passes: Vec::new(),
            budget,
            webs: HashMap::new(),
            refused: Vec::new(),
            requests: 0,
            settled: 0,
        }
    }

    /// (requests seen, passes completed)
    pub fn counts(&self) -> (u64, u64) {
        (self.requests, self.settled)
    }

    /// What was refused lately, and why.
    pub fn refused(&self) -> &[Refused] {
        &self.refused
    }

    /// Our counters, paid amounts and the speakers' names, for status.
    pub fn circuits(&self) -> Vec<CircuitStatus> {
        let hop = |h: &HopState| HopStatus {
            nickname: h.hop.nickname.clone(),
            speaks: h.hop.speaks,
            inward: h.own.inward,
            outward: h.own.outward,
            stamped: h.stamped,
            paid: h.paid,
        };
        self.circuits
            .iter()
            .map(|(circ, c)| CircuitStatus {
                circ: *circ,
                set: c.set.map(|set| format!("{set:016x}")),
                hops: c.hops.iter().map(hop).collect(),
            })
            .collect()
    }

    /// A circuit of tor's own is open.
    pub fn on_built(&mut self, circ: CircuitId, path: Vec<Hop>) {
        if self.circuits.len() >= MAX_CIRCUITS || self.circuits.contains_key(&circ) {
            return;
        }
        let speaking = path.iter().take_while(|hop| hop.speaks).count();
        let hops = path
            .into_iter()
            .map(|hop| HopState {
                hop,
                nonce: [0; ID_LEN],
                hello: (0, 0),
                offer: None,
                offer_hash: [0; ID_LEN],
                request: None,
                own: Counted::default(),
                stamped: (0, 0),
                paid: Stroops::ZERO,
                acknowledged: Stroops::ZERO,
                not_before: 0,
                disputed: false,
            })
            .collect();
        self.circuits.insert(circ, Circuit { hops, began: false, set: None, speaking, rate: Rate::default() });
    }

    /// The first stream begins: say hello to every hop that understands, up to the first that does not.
    pub fn on_begin(
        &mut self,
        now: u64,
        rng: &mut impl Rng,
        links: &mut Links,
        circ: CircuitId,
        set: Option<u64>,
        out: &mut Out,
    ) {
        let Some(c) = self.circuits.get_mut(&circ) else { return };
        c.set = set;
        if std::mem::replace(&mut c.began, true) || c.speaking == 0 {
            return;
        }
        links.want_payee(now, rng, c.hops[0].hop.relay, out);
        for (index, hop) in (1..).zip(c.hops.iter_mut().take(c.speaking)) {
            rng.fill_bytes(&mut hop.nonce);
            hop.hello = (now, 1);
            let message = Message::Hello(hello(&self.terms, hop.nonce));
            out.effects.push(Effect::Send { circ, hop: index, message });
        }
    }

    /// A circuit is gone: its passes can get no further.
    pub fn on_closed(&mut self, now: u64, circ: CircuitId, out: &mut Out) {
        self.circuits.remove(&circ);
        for index in (0..self.passes.len()).rev() {
            if self.passes[index].circ == circ {
                let steps = self.passes[index].fail(None, RefusalCode::TIMED_OUT, 0);
                self.finish(now, index, &steps, out);
            }
        }
    }

    /// A message of a hop of one of our circuits.
    pub fn on_message(
        &mut self,
        now: u64,
        rng: &mut impl Rng,
        links: &mut Links,
        circ: CircuitId,
        hop: u32,
        own: Counted,
        peer: Counted,
        message: &Message,
        out: &mut Out,
    ) {
        let Some(index) = (hop as usize).checked_sub(1) else { return };
        let Some(state) = self.circuits.get_mut(&circ).and_then(|c| c.hops.get_mut(index)) else { return };
        state.own = own;
        state.stamped = (own.inward, peer.inward);
        if let Message::Delivered(receipt) = message {
            state.acknowledged = state.acknowledged.max(receipt.paid.min(state.paid));
        }
        match message {
            Message::Offer(offer) => self.on_offer(now, circ, index, offer, out),
            Message::PaymentRequest(request) => {
                self.on_request(now, circ, index, own, peer, request, out);
                self.settle(now, rng, links, circ, out);
            }
            other => self.on_pass_message(now, rng, links, Via::Hop(hop), other, out),
        }
    }

    /// What a web service answered.
    pub fn on_http(
        &mut self,
        now: u64,
        rng: &mut impl Rng,
        links: &mut Links,
        exchange: u64,
        messages: &[Message],
        out: &mut Out,
    ) {
        for message in messages {
            self.on_pass_message(now, rng, links, Via::Http(exchange), message, out);
        }
    }

    fn on_offer(&mut self, now: u64, circ: CircuitId, index: usize, offer: &Offer, out: &mut Out) {
        let Some(hop) = self.circuits.get_mut(&circ).and_then(|c| c.hops.get_mut(index)) else { return };
        // The price that was agreed stays; another offer of the same session changes nothing.
        if hop.offer.as_ref().is_some_and(|known| known.session == offer.session) {
            return;
        }
        let hello = hello(&self.terms, hop.nonce);
        let dearer = |known: &Offer| offer.price.0 > known.price.0 || offer.fee > known.fee;
        let checked = check_offer(offer, &hello, ServiceKind::Tor, now / 1000)
            .and_then(|()| self.budget.limits().check_price(offer))
            .and_then(
                |()| if hop.offer.as_ref().is_some_and(dearer) { Err(RefusalCode::PRICE_CEILING) } else { Ok(()) },
            );
        match checked {
            Ok(()) => {
                hop.offer_hash = offer_hash(offer);
                hop.offer = Some(offer.clone());
            }
            Err(code) => {
                hop.not_before = u64::MAX;
                let who = hop.hop.nickname.clone();
                self.refuse(now, who, code, true);
                let message = Message::Refusal(code.refuse([0; ID_LEN]));
                out.effects.push(Effect::Send { circ, hop: wire_hop(index), message });
            }
        }
    }

    fn on_request(
        &mut self,
        now: u64,
        circ: CircuitId,
        index: usize,
        own: Counted,
        peer: Counted,
        request: &PaymentRequest,
        out: &mut Out,
    ) {
        self.requests += 1;
        let cap = self.terms.max_ahead_bytes;
        let Some(c) = self.circuits.get_mut(&circ) else { return };
        let Some(hop) = c.hops.get_mut(index) else { return };
        let Some(offer) = hop.offer.as_ref() else { return };
        let agreed = Agreed {
            offer,
            offer_hash: hop.offer_hash,
            previous: hop.request.as_ref(),
            acknowledged: hop.acknowledged,
            ahead_bytes: u64::from(offer.ahead_bytes).min(cap),
        };
        let counts =
            Counts::Cells { own_in: own.inward, own_out: own.outward, stamp_in: peer.inward, stamp_out: peer.outward };
        match validate::check(&agreed, request, counts, now / 1000) {
            Ok(_) => {
                hop.request = Some(request.clone());
                hop.disputed = false;
            }
            Err(refused) => {
                // A hop that counts wrong or forges is not paid on this circuit any more; one that asks too much gets
                // what our own count comes to; else the next proper request counts.
                match refused.code.retry() {
                    RetryClass::Never => hop.not_before = u64::MAX,
                    _ => hop.disputed |= refused.payable.is_none(),
                }
                let who = hop.hop.nickname.clone();
                self.refuse(now, who, refused.code, true);
                let message = Message::Refusal(refused.code.refuse(request.id));
                out.effects.push(Effect::Send { circ, hop: wire_hop(index), message });
            }
        }
    }

    /// Own counters of a hop, asked for by a watch.
    pub fn on_counted(
        &mut self,
        now: u64,
        rng: &mut impl Rng,
        links: &mut Links,
        circ: CircuitId,
        hop: u32,
        own: Counted,
        out: &mut Out,
    ) {
        let Some(c) = self.circuits.get_mut(&circ) else { return };
        let Some(index) = (hop as usize).checked_sub(1).filter(|i| *i < c.hops.len()) else { return };
        c.hops[index].own = own;
        if index == 0 {
            c.rate.measure(now, own.total());
        }
        if index + 1 == c.speaking {
            self.settle(now, rng, links, circ, out);
            // Nothing was due yet: look again later. After a pass its end does it.
            if let Some(c) = self.circuits.get(&circ).filter(|_| !self.passes.iter().any(|p| p.circ == circ)) {
                watch(circ, c, out);
            }
        }
    }

    /// Pay what is due on a circuit, everybody in one pass, the nearest first when it holds us.
    pub fn settle(&mut self, now: u64, rng: &mut impl Rng, links: &mut Links, circ: CircuitId, out: &mut Out) {
        let on_circuit = || self.passes.iter().filter(|p| p.circ == circ && p.call.is_none());
        let Some(c) = self.circuits.get(&circ).filter(|c| c.began) else { return };
        // Replies from behind a hop that holds are held too: it is paid first and alone. A request that was paid since
        // says nothing any more.
        let dues = self.dues(circ, c, c.speaking);
        let holds = |h: &HopState| h.request.as_ref().is_some_and(|r| r.state > 0);
        let held = c.hops.iter().zip(&dues).position(|(h, due)| holds(h) && !due.is_zero());
        let reach = held.map_or(c.speaking, |k| k + 1);
        let ready = c.hops.iter().take(reach).take_while(|h| h.may_be_paid(now)).count();
        if ready == 0 || on_circuit().count() >= MAX_PASSES {
            return;
        }
        // One pass over the same hops at a time; a rescue of a nearer hop may overtake it.
        if on_circuit().any(|p| p.payees.len() <= ready) {
            return;
        }
        let Some(last) = dues[..ready].iter().rposition(|d| !d.is_zero()) else { return };
        let guard = c.hops[0].hop.relay;
        match links.can_pay(&guard) {
            Readiness::Ready => {}
            _ => return links.want_payee(now, rng, guard, out),
        }
        let Some(tag) = links.tag_of(&guard) else { return };
        self.begin_pass(now, rng, circ, tag, &dues[..=last], None, out);
    }

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
        let call = wish.call;
        let failed = |code| Effect::Answer { call, answer: Answer::Failed(code) };
        let leg = self.leg_for(now, links, wish.circ);
        let refused = leg.err().or_else(|| self.service_refused(now, &wish));
        if let Some(code) = refused {
            self.refuse(now, wish.site.clone(), code, true);
            return out.effects.push(failed(code));
        }
        wish.circ = leg.unwrap_or(wish.circ);
        let Some(c) = self.circuits.get(&wish.circ) else { return out.effects.push(failed(RefusalCode::TIMED_OUT)) };
        let dues = self.dues(wish.circ, c, c.hops.len());
        let Some(tag) = c.hops.first().and_then(|h| links.tag_of(&h.hop.relay)) else {
            return out.effects.push(failed(RefusalCode::NO_LINK));
        };
        self.begin_pass(now, rng, wish.circ, tag, &dues, Some(wish), out);
    }

    /// What the first `n` hops are to be paid now, less what passes under way are about to sign.
    fn dues(&self, circ: CircuitId, c: &Circuit, n: usize) -> Vec<Stroops> {
        let promised = |index: usize| {
            let open = self.passes.iter().filter(|p| p.circ == circ && p.stage == Stage::Create);
            open.filter_map(|p| p.payees.get(index).filter(|q| q.via == Via::Hop(wire_hop(index))))
                .fold(Stroops::ZERO, |sum, q| sum.add(q.share.due).unwrap_or(Stroops::MAX))
        };
        let hops = c.hops.iter().take(n).enumerate();
        hops.map(|(index, h)| due(h, &c.rate, &self.terms).saturating_sub(promised(index))).collect()
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
        let all = std::iter::once(refused).chain(others.into_iter().filter_map(|(_, refused)| refused));
        Err(all.clone().find(|code| code.retry() == RetryClass::Later).unwrap_or(refused))
    }

    fn leg_refused(&self, now: u64, links: &Links, c: &Circuit) -> Option<RefusalCode> {
        if c.speaking < c.hops.len() || c.hops.is_empty() {
            return Some(RefusalCode::HOP_UNKNOWN);
        }
        if !c.hops.iter().all(|h| h.may_be_paid(now)) {
            return Some(RefusalCode::BUSY);
        }
        match links.can_pay(&c.hops[0].hop.relay) {
            Readiness::Ready => None,
            Readiness::Opening => Some(RefusalCode::BUSY),
            _ => Some(RefusalCode::NO_FUNDS),
        }
    }

    fn service_refused(&self, now: u64, wish: &ServiceWish) -> Option<RefusalCode> {
        let offer = &wish.offer;
        if offer.kind != ServiceKind::Http || offer.asset != self.terms.asset {
            return Some(RefusalCode::WRONG_ASSET);
        }
        if let Err(code) = self.budget.limits().check_price(offer) {
            return Some(code);
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

    fn begin_pass(
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
        let fee = |h: &HopState| h.offer.as_ref().map_or(Stroops::ZERO, |o| o.fee);
        let mut dues: Vec<HopDue> = c.hops.iter().zip(dues).map(|(h, due)| HopDue { due: *due, fee: fee(h) }).collect();
        if let Some(wish) = &wish {
            // What we paid counts, whatever the service says that it got.
            let paid = self.webs.get(&wish.offer.session).copied().unwrap_or_default();
            let due = wish.request.amount_due.saturating_sub(paid.max(wish.request.amount_paid));
            dues.push(HopDue { due, fee: Stroops::ZERO });
        }
        let fail = |code, out: &mut Out| {
            if let Some(wish) = &wish {
                out.effects.push(Effect::Answer { call: wish.call, answer: Answer::Failed(code) });
            }
        };
        let Ok(amounts) = price::pass_amounts(&dues) else { return fail(RefusalCode::AMOUNT_ABOVE, out) };
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
        pass.web = wish.as_ref().map(|w| w.offer.session);
        let steps = pass.start();
        self.passes.push(pass);
        let index = self.passes.len() - 1;
        self.send(index, &steps, out);
    }

    fn on_pass_message(
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
        let steps = self.passes[index].on_message(now, via, message);
        self.act(now, rng, links, index, steps, out);
    }

    fn act(&mut self, now: u64, rng: &mut impl Rng, links: &mut Links, index: usize, steps: Vec<Step>, out: &mut Out) {
        let Some(Step::SignFirst(template)) = steps.first() else { return self.finish(now, index, &steps, out) };
        let pass = &mut self.passes[index];
        let first = &pass.payees[0];
        let steps = match links.sign(now, rng, first.hop_id, PayeeRef::Relay(pass.guard), first.amount, template, out) {
            Ok(claim) => {
                self.budget.commit(&pass.id, pass.total());
                let steps = pass.signed_first(now, claim);
                out.rows.push(Row::Payment(Box::new(pass.row())));
                if let Some(c) = self.circuits.get_mut(&pass.circ) {
                    for (hop, payee) in c.hops.iter_mut().zip(&pass.payees) {
                        hop.paid = hop.paid.add(payee.share.due).unwrap_or(Stroops::MAX);
                    }
                }
                steps
            }
            Err(code) => pass.fail(Some(0), code, 0),
        };
        self.finish(now, index, &steps, out);
    }

    /// Sends what a pass wants and ends it when it is over.
    fn finish(&mut self, now: u64, index: usize, steps: &[Step], out: &mut Out) {
        self.send(index, steps, out);
        match steps.last() {
            Some(Step::Finished) => {
                let pass = self.passes.swap_remove(index);
                self.settled += 1;
                // Only what the service has confirmed: a payment that got lost on the way is paid once more.
                if let (Some(web), Some(service)) = (pass.web, pass.payees.last()) {
                    if self.webs.len() >= MAX_WEBS && !self.webs.contains_key(&web) {
                        self.webs.clear();
                    }
                    let paid = self.webs.entry(web).or_default();
                    *paid = paid.add(service.share.due).unwrap_or(Stroops::MAX);
                }
                out.rows.push(Row::Payment(Box::new(pass.row())));
                if let Some(call) = pass.call {
                    out.effects.push(Effect::Answer { call, answer: Answer::Paid(Box::new(pass.row())) });
                }
                if let Some(c) = self.circuits.get_mut(&pass.circ) {
                    c.rate.latency_ms =
                        if c.rate.latency_ms == 0 { pass.took() } else { (3 * c.rate.latency_ms + pass.took()) / 4 };
                    watch(pass.circ, c, out);
                }
            }
            Some(Step::Failed { payee, code, retry_ms, signed }) => {
                let pass = self.passes.swap_remove(index);
                // Only what was never committed is set free: after K_1 is signed this finds nothing.
                self.budget.release(&pass.id);
                if *signed {
                    out.rows.push(Row::Payment(Box::new(pass.row())));
                }
                let who = payee
                    .and_then(|k| pass.payees.get(k))
                    .map_or_else(|| "the circuit".into(), |p| p.share.name.clone());
                self.refuse(now, who, *code, false);
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

    fn send(&self, index: usize, steps: &[Step], out: &mut Out) {
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

    /// Timers of passes; circuits whose hops may be tried again.
    pub fn on_tick(&mut self, now: u64, rng: &mut impl Rng, links: &mut Links, out: &mut Out) {
        for index in (0..self.passes.len()).rev() {
            let steps = self.passes[index].on_tick(now);
            if !steps.is_empty() {
                self.finish(now, index, &steps, out);
            }
        }
        self.hello_again(now, out);
        let waiting: Vec<CircuitId> = self.circuits.iter().filter(|(_, c)| c.wants()).map(|(id, _)| *id).collect();
        for circ in waiting {
            self.settle(now, rng, links, circ, out);
        }
    }

    fn hello_again(&mut self, now: u64, out: &mut Out) {
        for (circ, c) in self.circuits.iter_mut().filter(|(_, c)| c.began) {
            for (index, hop) in (1..).zip(c.hops.iter_mut().take(c.speaking)) {
                let (at, count) = hop.hello;
                let open = hop.offer.is_none() && hop.not_before <= now;
                if open && count < HELLOS && now.saturating_sub(at) >= HELLO_MS {
                    hop.hello = (now, count + 1);
                    let message = Message::Hello(hello(&self.terms, hop.nonce));
                    out.effects.push(Effect::Send { circ: *circ, hop: index, message });
                }
            }
        }
    }

    fn hop_id(&self, pass: &Id, index: usize) -> Id {
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&self.secret) else { return *pass };
        mac.update(b"magicwave hop id");
        mac.update(pass);
        mac.update(&(index as u64).to_be_bytes());
        let mut id = [0; ID_LEN];
        id.copy_from_slice(&mac.finalize().into_bytes()[..ID_LEN]);
        id
    }

    fn refuse(&mut self, at: u64, who: String, code: RefusalCode, by_us: bool) {
        if self.refused.len() >= MAX_REFUSED {
            self.refused.remove(0);
        }
        self.refused.push(Refused { at, who, code: code.0, text: code.text(), by_us });
    }
}

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

impl HopState {
    fn may_be_paid(&self, now: u64) -> bool {
        self.offer.is_some() && self.not_before <= now && !self.disputed
    }
}

impl Circuit {
    /// Is a valid request open that was not paid yet?
    fn wants(&self) -> bool {
        self.began && self.hops.iter().any(|h| h.request.as_ref().is_some_and(|r| r.amount_due > h.paid))
    }
}

impl Rate {
    fn measure(&mut self, now: u64, cells: u64) {
        let (ms, grown) = (now.saturating_sub(self.at), cells.saturating_sub(self.cells));
        if ms < 20 {
            return;
        }
        let fresh = grown.saturating_mul(CELL_BYTES).saturating_mul(1000) / ms;
        self.bytes_per_s = if self.at == 0 { 0 } else { fresh.max((self.bytes_per_s + fresh) / 2) };
        self.at = now;
        self.cells = cells;
    }
}

/// What a hop is to be paid now: nothing while more than half of the window is left.
fn due(h: &HopState, rate: &Rate, terms: &Terms) -> Stroops {
    let Some(offer) = &h.offer else { return Stroops::ZERO };
    let ahead = Ahead {
        price: offer.price,
        counted_cells: h.own.total(),
        paid: h.paid,
        rate: rate.bytes_per_s,
        latency_ms: rate.latency_ms,
        ahead_bytes: u64::from(offer.ahead_bytes),
        cap_bytes: terms.max_ahead_bytes,
    };
    ahead.target().ok().flatten().map_or(Stroops::ZERO, |target| target.saturating_sub(h.paid))
}

fn hello(terms: &Terms, nonce: Id) -> Hello {
    Hello { version: codec::VERSION, network: terms.network, asset: terms.asset, nonce }
}

/// A site's name in the budget.
fn site_id(site: &str) -> Id {
    let mut id = [0; ID_LEN];
    id.copy_from_slice(&Sha256::digest(site.as_bytes())[..ID_LEN]);
    id
}

/// Have a look again when half of the window of the nearest hop is used.
fn watch(circ: CircuitId, c: &Circuit, out: &mut Out) {
    let Some(h) = c.hops.first() else { return };
    let Some(offer) = &h.offer else { return };
    let used = h.own.total();
    let left = offer.price.cells_for(h.paid).saturating_sub(used);
    out.effects.push(Effect::Watch { circ, hop: 1, cells: used.saturating_add((left / 2).max(WATCH_CELLS)) });
}

fn wire_hop(index: usize) -> u32 {
    u32::try_from(index + 1).unwrap_or(u32::MAX)
}
