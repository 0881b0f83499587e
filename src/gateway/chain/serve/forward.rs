//! Claims: the template of the next one, one in and one onwards, the last one in.
use super::super::HopRow;
use super::{Key, MAX_CREATED, Serve, look_again, no, passes};
use crate::gateway::core::codec;
use crate::gateway::core::message::*;
use crate::gateway::core::refusal::RetryClass;
use crate::gateway::link::{Links, PayeeRef, PayerRef as LinkPayer, Readiness};
use crate::gateway::port::*;
use crate::units::Stroops;
use rand::Rng;

impl Serve {
    pub(super) fn on_create(
        &mut self,
        now: u64,
        rng: &mut impl Rng,
        links: &mut Links,
        key: Key,
        create: &Create,
        out: &mut Out,
    ) -> Result<Message, (Id, RefusalCode)> {
        let refuse = |code| (create.hop_id, code);
        let session = self.sessions.get(&key).ok_or(refuse(RefusalCode::SESSION_UNKNOWN))?;
        let fee = session.offer.fee;
        self.owned(key, &create.hop_id).or_else(unknown).map_err(refuse)?;
        let payer = match (create.payer, key) {
            (PayerRef::Previous, Key::Circuit(circ)) => match self.ways.get(&circ).and_then(|w| w.prev) {
                Some(prev) => LinkPayer::Relay(prev),
                None => {
                    look_again(circ, out);
                    return Err(refuse(RefusalCode::NO_LINK));
                }
            },
            (PayerRef::Link(tag), Key::Circuit(_)) => LinkPayer::Tag(tag),
            (PayerRef::Relay(relay), Key::Http(_)) => {
                links.want_payer(now, rng, relay, out);
                LinkPayer::Relay(relay)
            }
            _ => return Err(refuse(RefusalCode::NO_LINK)),
        };
        let (hop_id, amount) = (create.hop_id, create.amount);
        let template = match create.lock {
            LockWish::Plain => links.template(rng, payer, hop_id, amount),
            LockWish::Onwards | LockWish::Last => links.lock_template(now, rng, payer, hop_id, amount),
        };
        let template = template.map_err(|code| {
            if code == RefusalCode::NO_LINK && create.payer == PayerRef::Previous {
                links.look_for_names(now, out);
            }
            refuse(code)
        })?;
        self.own(key, create.hop_id);
        if let Key::Circuit(circ) = key
            && self.has_paid(key)
        {
            self.open_onwards(now, rng, links, circ, out);
        }
        let lock = match create.lock {
            LockWish::Last => Some(links.lock_secret(&create.hop_id).map_err(refuse)?.point().to_bytes()),
            LockWish::Plain | LockWish::Onwards => None,
        };
        Ok(Message::Template(Template { hop_id: create.hop_id, fee, lock, template }))
    }

    pub(super) fn on_sign(
        &mut self,
        now: u64,
        rng: &mut impl Rng,
        links: &mut Links,
        key: Key,
        sign: &Sign,
        out: &mut Out,
    ) -> Result<Message, (Id, RefusalCode)> {
        if let Some(order) = &sign.lock {
            return self.on_sign_locked(now, rng, links, key, sign, order, out);
        }
        let refuse = |code| (sign.hop_id, code);
        let session = self.sessions.get(&key).ok_or(refuse(RefusalCode::SESSION_UNKNOWN))?;
        let name = session.name;
        self.owned(key, &sign.hop_id).map_err(refuse)?;
        // A no that passes is asked for again: the claim that came in was accepted then, and waits.
        let known = self.answered(&sign.hop_id, sign.amount_in, Some(sign.amount_out)).transpose().map_err(refuse)?;
        let waits = known.as_ref().is_some_and(passes);
        if let Some(known) = known.filter(|_| !waits) {
            return Ok(known);
        }
        let (due, payee) = self.onwards(key, sign, links, out).map_err(refuse)?;
        if !waits {
            self.accept(now, links, sign.hop_id, sign.amount_in, &sign.claim, out).map_err(refuse)?;
        }
        let signed = links
            .covers(&sign.hop_id, &sign.claim, sign.amount_out)
            .and_then(|()| links.sign(now, rng, sign.hop_id, payee, sign.amount_out, &sign.template, out));
        if signed.is_ok() {
            links.forwarded(&sign.hop_id, &sign.claim, sign.amount_out, out);
        }
        // The claim that came in is ours from here on: what cannot go onwards is credited to the client's session, at
        // once or when the client gives up and delivers it.
        let (message, amount_out, credit) = match signed {
            Ok(claim) => (Message::Signed(Signed { hop_id: sign.hop_id, claim }), sign.amount_out, due),
            Err(code) if code.retry() == RetryClass::Later => (no(sign.hop_id, code), Stroops::ZERO, Stroops::ZERO),
            Err(code) => (no(sign.hop_id, code), Stroops::ZERO, sign.amount_in),
        };
        self.credit(key, credit, out);
        self.answer(now, name, &sign.hop_id, (sign.amount_in, amount_out), false, &message, out);
        Ok(message)
    }

    pub(super) fn on_deliver(
        &mut self,
        now: u64,
        rng: &mut impl Rng,
        links: &mut Links,
        key: Key,
        deliver: &Deliver,
        out: &mut Out,
    ) -> Result<Message, (Id, RefusalCode)> {
        let claim = match &deliver.proof {
            Proof::Plain(claim) => claim,
            Proof::Locked(claim, offset) => {
                return self.on_deliver_last(now, rng, links, key, deliver, (claim, offset), out);
            }
            Proof::Secret(secret) => return self.on_deliver_secret(now, links, key, deliver, secret, out),
        };
        let refuse = |code| (deliver.hop_id, code);
        let session = self.sessions.get(&key).ok_or(refuse(RefusalCode::SESSION_UNKNOWN))?;
        let (paid, name) = (session.paid, session.name);
        self.owned(key, &deliver.hop_id).map_err(refuse)?;
        let known = self.answered(&deliver.hop_id, deliver.amount, None).transpose().map_err(refuse)?;
        match known {
            // A node that forwarded has its claim since it signed; the receipt says so.
            Some(known) if !passes(&known) => {
                return Ok(Message::Delivered(Delivered { hop_id: deliver.hop_id, paid, secret: None }));
            }
            // The client gives up what was to go onwards: the claim that waits is all for its session.
            Some(_) => {}
            None => {
                self.accept(now, links, deliver.hop_id, deliver.amount, claim, out).map_err(refuse)?;
            }
        }
        self.credit(key, deliver.amount, out);
        if let Key::Circuit(circ) = key {
            self.open_onwards(now, rng, links, circ, out);
        }
        let paid = self.sessions.get(&key).map_or(paid, |s| s.paid);
        let message = Message::Delivered(Delivered { hop_id: deliver.hop_id, paid, secret: None });
        self.answer(now, name, &deliver.hop_id, (deliver.amount, Stroops::ZERO), false, &message, out);
        Ok(message)
    }

    /// A payment belongs to the session that created it. The node before us learns its name and amount when it signs
    /// for us, and seals the claim itself: in a session of its own it could take what the client paid for.
    pub(super) fn owned(&self, key: Key, hop_id: &Id) -> Result<(), RefusalCode> {
        let session = self.sessions.get(&key).ok_or(RefusalCode::SESSION_UNKNOWN)?;
        let ours = match (self.created.get(hop_id), self.hops.get(hop_id)) {
            (Some(owner), _) => *owner == key,
            (None, Some(row)) => row.session == Some(session.name),
            (None, None) => return Err(RefusalCode::HOP_UNKNOWN),
        };
        if ours { Ok(()) } else { Err(RefusalCode::DUPLICATE_CONFLICT) }
    }

    fn own(&mut self, key: Key, hop_id: Id) {
        let Some(session) = self.sessions.get_mut(&key) else { return };
        if self.created.insert(hop_id, key).is_some() {
            return;
        }
        session.created.push_back(hop_id);
        // Each session forgets its own only: nobody pushes out the payments of others.
        if session.created.len() > MAX_CREATED
            && let Some(oldest) = session.created.pop_front()
        {
            self.created.remove(&oldest);
        }
    }

    /// Takes a claim that was not taken before. What the link remembers and we do not was answered and forgotten: it
    /// is credited to nobody again.
    pub(super) fn accept(
        &self,
        now: u64,
        links: &mut Links,
        hop_id: Id,
        amount: Stroops,
        claim: &Carried,
        out: &mut Out,
    ) -> Result<(), RefusalCode> {
        let info = links.accept(now, hop_id, amount, claim, out)?;
        if info.repeated { Err(RefusalCode::DUPLICATE_CONFLICT) } else { Ok(()) }
    }

    /// Whom a template behind us belongs to: the next hop of the circuit, or a service that has a link with us.
    pub(super) fn payee_behind(&self, circ: CircuitId, template: &Carried, links: &Links) -> Option<PayeeRef> {
        match self.ways.get(&circ).and_then(|w| w.next.as_ref()) {
            Some(next) => next.speaks.then_some(PayeeRef::Relay(next.relay)),
            None => (links.can_pay_to(&PayeeRef::Tag(template.link_tag)) != Readiness::NoLink)
                .then_some(PayeeRef::Tag(template.link_tag)),
        }
    }

    pub(super) fn answered(
        &self,
        hop_id: &Id,
        amount_in: Stroops,
        amount_out: Option<Stroops>,
    ) -> Option<Result<Message, RefusalCode>> {
        let row = self.hops.get(hop_id)?;
        if row.amount_in != amount_in || amount_out.is_some_and(|a| a != row.amount_out && !row.amount_out.is_zero()) {
            return Some(Err(RefusalCode::DUPLICATE_CONFLICT));
        }
        Some(codec::decode(&row.reply).map_err(|_| RefusalCode::INTERNAL))
    }

    /// Keeps what a payment of this session is answered with.
    pub(super) fn answer(
        &mut self,
        now: u64,
        session: Id,
        hop_id: &Id,
        (amount_in, amount_out): (Stroops, Stroops),
        locked: bool,
        message: &Message,
        out: &mut Out,
    ) {
        let (hop_id, reply) = (*hop_id, codec::encode(message));
        let row = HopRow { hop_id, amount_in, amount_out, reply, at: now, session: Some(session), locked };
        out.rows.push(Row::Hop(Box::new(row.clone())));
        self.remember(row);
    }

    /// What this node keeps for itself of a payment that goes onwards, and to whom it goes.
    pub(super) fn onwards(
        &self,
        key: Key,
        sign: &Sign,
        links: &Links,
        out: &mut Out,
    ) -> Result<(Stroops, PayeeRef), RefusalCode> {
        let fee = self.sessions.get(&key).ok_or(RefusalCode::SESSION_UNKNOWN)?.offer.fee;
        let kept = sign.amount_in.sub(sign.amount_out).map_err(|_| RefusalCode::AMOUNT_BELOW)?;
        let due = kept.sub(fee).map_err(|_| RefusalCode::AMOUNT_BELOW)?;
        let Key::Circuit(circ) = key else { return Err(RefusalCode::NO_LINK) };
        let Some(payee) = self.payee_behind(circ, &sign.template, links) else {
            look_again(circ, out);
            return Err(RefusalCode::NO_LINK);
        };
        match links.can_pay_to(&payee) {
            Readiness::Ready => Ok((due, payee)),
            Readiness::Opening => Err(RefusalCode::BUSY),
            _ => Err(RefusalCode::NO_CAPACITY),
        }
    }
}

/// A name that nobody used yet is free to be created.
fn unknown(code: RefusalCode) -> Result<(), RefusalCode> {
    if code == RefusalCode::HOP_UNKNOWN { Ok(()) } else { Err(code) }
}
