//! What hops say of themselves: hello, offers, requests.
use super::{Pay, Terms, wire_hop};
use crate::gateway::core::codec;
use crate::gateway::core::message::*;
use crate::gateway::core::offer::{check_offer, offer_hash};
use crate::gateway::core::refusal::RetryClass;
use crate::gateway::core::validate::{self, Agreed, Counts};
use crate::gateway::link::Links;
use crate::gateway::port::*;
use crate::units::Stroops;
use rand::Rng;

/// A hello without an answer goes out again after so long, and so often.
const HELLO_MS: u64 = 4_000;
const HELLOS: u32 = 4;

impl Pay {
    /// The first stream begins: say hello to every hop that understands, up to the first that does not. An idle leg of
    /// a set does so when it carries something.
    pub fn on_begin(
        &mut self,
        now: u64,
        rng: &mut impl Rng,
        links: &mut Links,
        circ: CircuitId,
        (set, idle): (Option<u64>, bool),
        out: &mut Out,
    ) {
        let Some(c) = self.circuits.get_mut(&circ) else { return };
        c.set = set;
        self.join_given_up(circ);
        let Some(c) = self.circuits.get_mut(&circ) else { return };
        if idle || std::mem::replace(&mut c.began, true) || c.speaking == 0 {
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

    pub(super) fn on_offer(&mut self, now: u64, circ: CircuitId, index: usize, offer: &Offer, out: &mut Out) {
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
                self.note_payable(circ);
            }
            Err(code) => {
                hop.not_before = u64::MAX;
                let (who, relay) = (hop.hop.nickname.clone(), hop.hop.relay);
                self.note_refused(now, &who, Stroops::ZERO, code, &[&relay, &offer.session]);
                self.refuse(now, who, code, true);
                let message = Message::Refusal(code.refuse([0; ID_LEN]));
                out.effects.push(Effect::Send { circ, hop: wire_hop(index), message });
                self.give_up(now, circ, code, out);
            }
        }
    }

    /// A hop said no to our hello: one that sells nothing to us ever carries nothing paid.
    pub(super) fn on_no_offer(&mut self, now: u64, circ: CircuitId, index: usize, code: RefusalCode, out: &mut Out) {
        let Some(hop) = self.circuits.get_mut(&circ).and_then(|c| c.hops.get_mut(index)) else { return };
        let known = hop.offer.is_some() || hop.hello.1 == 0 || hop.not_before == u64::MAX;
        if known || code.retry() != RetryClass::Never {
            return;
        }
        hop.not_before = u64::MAX;
        let who = hop.hop.nickname.clone();
        self.refuse(now, who, code, false);
        self.give_up(now, circ, code, out);
    }

    /// A hop asks; why it does not get what it asks for.
    pub(super) fn on_request(
        &mut self,
        now: u64,
        circ: CircuitId,
        index: usize,
        own: Counted,
        peer: Counted,
        request: &PaymentRequest,
        out: &mut Out,
    ) -> Option<RefusalCode> {
        self.requests += 1;
        let cap = self.terms.max_ahead_bytes;
        let hop = self.circuits.get_mut(&circ)?.hops.get_mut(index)?;
        let offer = hop.offer.as_ref()?;
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
                hop.got(request.amount_paid);
                hop.request = Some(request.clone());
                hop.holds = request.state > 0;
                hop.disputed = false;
                None
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
                Some(refused.code)
            }
        }
    }

    /// A hop whose stamp is not what we counted: it is not paid on this circuit any more, and what would still be
    /// signed for it is not.
    pub(super) fn counts_wrong(&mut self, now: u64, circ: CircuitId, index: usize, out: &mut Out) {
        let Some(hop) = self.circuits.get_mut(&circ).and_then(|c| c.hops.get_mut(index)) else { return };
        if std::mem::replace(&mut hop.not_before, u64::MAX) == u64::MAX {
            return;
        }
        let (who, code) = (hop.hop.nickname.clone(), RefusalCode::STAMP_MISMATCH);
        self.refuse(now, who, code, true);
        let message = Message::Refusal(code.refuse([0; ID_LEN]));
        out.effects.push(Effect::Send { circ, hop: wire_hop(index), message });
        self.drop_unsigned(code, |p| p.circ == circ && p.payees.len() > index, out);
    }

    pub(super) fn hello_again(&mut self, now: u64, out: &mut Out) {
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
}

fn hello(terms: &Terms, nonce: Id) -> Hello {
    Hello { version: codec::VERSION, network: terms.network, asset: terms.asset, nonce }
}
