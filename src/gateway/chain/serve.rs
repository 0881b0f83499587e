//! The paid side: sessions of circuits and web sessions, requests, claims in and claims onwards.
use super::HopRow;
use crate::gateway::core::codec;
use crate::gateway::core::message::*;
use crate::gateway::core::offer::{SessionIds, Terms};
use crate::gateway::core::price;
use crate::gateway::core::refusal::RetryClass;
use crate::gateway::core::request::{self, Standing};
use crate::gateway::link::{Links, PayeeRef, PayerRef as LinkPayer, Readiness};
use crate::gateway::port::*;
use crate::units::{CELL_BYTES, Stroops};
use rand::Rng;
use std::collections::{HashMap, VecDeque};

/// Sessions that a node keeps; the oldest idle web session goes first.
const MAX_SESSIONS: usize = 20_000;
/// Answers kept in memory for repeats.
const MAX_HOPS: usize = 16_384;
/// A web session without a word or a byte for so long is forgotten.
const HTTP_IDLE_MS: u64 = 30 * 60 * 1000;
/// Life of a request.
const REQUEST_SECS: u32 = 60;
/// A request is repeated at most so often while nothing changes.
const REQUEST_GAP_MS: u64 = 200;
/// Whoever holds a circuit says so again after so long.
const REQUEST_REPEAT_MS: u64 = 4_000;
/// Circuits through us that are known; more are not forwarded for.
const MAX_WAYS: usize = 65_536;

/// Names a session at this node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Key {
    /// A circuit through us.
    Circuit(CircuitId),
    /// A web session.
    Http(Id),
}

#[derive(Debug)]
struct Session {
    offer: Offer,
    paid: Stroops,
    state: u8,
    units: Counted,
    /// Bytes that the response at hand needs (web).
    need: u64,
    asked_at: u64,
    asked_due: Stroops,
    used_at: u64,
}

/// Where a circuit through us comes from and goes to.
#[derive(Clone, Debug, Default)]
struct Way {
    prev: Option<RelayId>,
    next: Option<Hop>,
    /// Service state, which may change before there is a session.
    state: u8,
}

/// All sessions of a node.
#[derive(Debug)]
pub struct Serve {
    sale: Terms,
    ids: SessionIds,
    ways: HashMap<CircuitId, Way>,
    sessions: HashMap<Key, Session>,
    hops: HashMap<Id, HopRow>,
    hop_order: VecDeque<Id>,
}

impl Serve {
    /// `boot` is drawn at each start; `hops` are the newest rows of the store.
    pub fn new(sale: Terms, boot: [u8; 8], hops: Vec<HopRow>) -> Self {
        let mut serve = Serve {
            sale,
            ids: SessionIds::new(boot),
            ways: HashMap::new(),
            sessions: HashMap::new(),
            hops: HashMap::new(),
            hop_order: VecDeque::new(),
        };
        for row in hops {
            serve.remember(row);
        }
        serve
    }

    /// Sessions that exist now.
    pub fn sessions(&self) -> usize {
        self.sessions.len()
    }

    /// A circuit through us was created or extended.
    pub fn on_way(
        &mut self,
        now: u64,
        rng: &mut impl Rng,
        links: &mut Links,
        circ: CircuitId,
        prev: Option<RelayId>,
        next: Option<Hop>,
        out: &mut Out,
    ) {
        if self.ways.len() >= MAX_WAYS && !self.ways.contains_key(&circ) {
            return;
        }
        let way = self.ways.entry(circ).or_default();
        way.prev = prev;
        way.next = next;
        if self.sessions.contains_key(&Key::Circuit(circ)) {
            self.open_onwards(now, rng, links, circ, out);
        }
    }

    /// A circuit is gone.
    pub fn on_closed(&mut self, circ: CircuitId) {
        self.ways.remove(&circ);
        self.sessions.remove(&Key::Circuit(circ));
    }

    /// The service state or the counters of a circuit changed: ask for what is due.
    pub fn on_counted(
        &mut self,
        now: u64,
        rng: &mut impl Rng,
        circ: CircuitId,
        own: Counted,
        state: Option<u8>,
        out: &mut Out,
    ) {
        let key = Key::Circuit(circ);
        if let (Some(state), Some(way)) = (state, self.ways.get_mut(&circ)) {
            way.state = state;
        }
        let Some(session) = self.sessions.get_mut(&key) else { return };
        session.units = own;
        if let Some(state) = state {
            session.state = state;
            if state == 0 {
                return;
            }
        }
        if let Some(request) = self.request(now, rng, key) {
            out.effects.push(Effect::Send { circ, hop: 0, message: Message::PaymentRequest(request) });
        }
    }

    /// Body bytes of a web session went out.
    pub fn on_served(&mut self, now: u64, session: Id, bytes: u64) {
        if let Some(session) = self.sessions.get_mut(&Key::Http(session)) {
            session.units.inward = session.units.inward.saturating_add(bytes);
            session.used_at = now;
        }
    }

    /// May a web response of `need` bytes be served? What is covered, or what has to be paid first.
    pub fn require(&mut self, now: u64, rng: &mut impl Rng, session: Option<Id>, need: u64) -> Answer {
        let key = match session.map(Key::Http).filter(|key| self.sessions.contains_key(key)) {
            Some(key) => key,
            None => {
                // A browser says no hello: what it would have said is what this site takes.
                let (network, asset) = (self.sale.network, self.sale.asset);
                let hello = Hello { version: codec::VERSION, network, asset, nonce: [0; ID_LEN] };
                match self.open_session(now, rng, None, &hello) {
                    Ok(key) => key,
                    Err(code) => return Answer::Failed(code),
                }
            }
        };
        let (Key::Http(session), Some(s)) = (key, self.sessions.get_mut(&key)) else {
            return Answer::Failed(RefusalCode::INTERNAL);
        };
        s.used_at = now;
        s.need = need.min(u64::from(s.offer.ahead_bytes));
        let bought = price::bytes_for(s.offer.price, s.paid);
        let covered = bought.saturating_add(u64::from(s.offer.credit_bytes));
        let left = covered.saturating_sub(s.units.total());
        if left > 0 && left >= s.need {
            return Answer::Serve { session, covered };
        }
        let offer = Box::new(s.offer.clone());
        match self.request_now(now, rng, key) {
            Some(request) => Answer::Pay { offer, request: Box::new(request) },
            None => Answer::Failed(RefusalCode::INTERNAL),
        }
    }

    /// A client's message in a session; answers go into the returned list.
    pub fn on_message(
        &mut self,
        now: u64,
        rng: &mut impl Rng,
        links: &mut Links,
        key: Key,
        own: Option<Counted>,
        message: Message,
        out: &mut Out,
    ) -> Vec<Message> {
        if let (Some(own), Some(session)) = (own, self.sessions.get_mut(&key)) {
            session.units = own;
            session.used_at = now;
        }
        let answer = match message {
            Message::Hello(hello) => return self.on_hello(now, rng, links, key, own, &hello, out),
            Message::Create(create) => self.on_create(now, rng, links, key, &create, out),
            Message::Sign(sign) => self.on_sign(now, rng, links, key, &sign, out),
            Message::Deliver(deliver) => self.on_deliver(now, rng, links, key, &deliver, out),
            Message::Complete(_) | Message::Refusal(_) => return Vec::new(),
            _ => Err(([0; ID_LEN], RefusalCode::UNKNOWN_TYPE)),
        };
        vec![answer.unwrap_or_else(|(subject, code)| no(subject, code))]
    }

    fn on_hello(
        &mut self,
        now: u64,
        rng: &mut impl Rng,
        links: &mut Links,
        key: Key,
        own: Option<Counted>,
        hello: &Hello,
        out: &mut Out,
    ) -> Vec<Message> {
        let circ = match key {
            Key::Circuit(circ) => Some(circ),
            Key::Http(_) => None,
        };
        let key = match self.open_session(now, rng, circ, hello) {
            Ok(key) => key,
            Err(code) => return vec![no([0; ID_LEN], code)],
        };
        if let (Some(own), Some(session)) = (own, self.sessions.get_mut(&key)) {
            session.units = own;
        }
        if let Key::Circuit(circ) = key {
            match self.ways.get(&circ).and_then(|w| w.next.as_ref()) {
                Some(next) if !next.speaks => look_again(circ, out),
                _ => self.open_onwards(now, rng, links, circ, out),
            }
        }
        let request = self.request_now(now, rng, key);
        let offer = self.sessions.get(&key).map(|s| s.offer.clone());
        offer.map(Message::Offer).into_iter().chain(request.map(Message::PaymentRequest)).collect()
    }

    fn on_create(
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
        let template = links.template(rng, payer, create.hop_id, create.amount).map_err(refuse)?;
        Ok(Message::Template(Template { hop_id: create.hop_id, fee, template }))
    }

    fn on_sign(
        &mut self,
        now: u64,
        rng: &mut impl Rng,
        links: &mut Links,
        key: Key,
        sign: &Sign,
        out: &mut Out,
    ) -> Result<Message, (Id, RefusalCode)> {
        let refuse = |code| (sign.hop_id, code);
        // A no that passes is asked for again: the claim that came in was accepted then, and waits.
        let known = self.answered(&sign.hop_id, sign.amount_in, Some(sign.amount_out)).transpose().map_err(refuse)?;
        let waits = known.as_ref().is_some_and(passes);
        if let Some(known) = known.filter(|_| !waits) {
            return Ok(known);
        }
        let session = self.sessions.get(&key).ok_or(refuse(RefusalCode::SESSION_UNKNOWN))?;
        let fee = session.offer.fee;
        let kept = sign.amount_in.sub(sign.amount_out).map_err(|_| refuse(RefusalCode::AMOUNT_BELOW))?;
        let due = kept.sub(fee).map_err(|_| refuse(RefusalCode::AMOUNT_BELOW))?;
        let Key::Circuit(circ) = key else { return Err(refuse(RefusalCode::NO_LINK)) };
        let Some(payee) = self.payee_behind(circ, &sign.template, links) else {
            look_again(circ, out);
            return Err(refuse(RefusalCode::NO_LINK));
        };
        match links.can_pay_to(&payee) {
            Readiness::Ready => {}
            Readiness::Opening => return Err(refuse(RefusalCode::BUSY)),
            _ => return Err(refuse(RefusalCode::NO_CAPACITY)),
        }
        if !waits {
            self.accept(now, links, sign.hop_id, sign.amount_in, &sign.claim, out).map_err(refuse)?;
        }
        let signed = links.sign(now, rng, sign.hop_id, payee, sign.amount_out, &sign.template, out);
        // The claim that came in is ours from here on: what cannot go onwards is credited to the client's session, at
        // once or when the client gives up and delivers it.
        let (message, amount_out, credit) = match signed {
            Ok(claim) => (Message::Signed(Signed { hop_id: sign.hop_id, claim }), sign.amount_out, due),
            Err(code) if code.retry() == RetryClass::Later => (no(sign.hop_id, code), Stroops::ZERO, Stroops::ZERO),
            Err(code) => (no(sign.hop_id, code), Stroops::ZERO, sign.amount_in),
        };
        self.credit(key, credit, out);
        self.answer(
            now,
            HopRow {
                hop_id: sign.hop_id,
                amount_in: sign.amount_in,
                amount_out,
                reply: codec::encode(&message),
                at: now,
            },
            out,
        );
        Ok(message)
    }

    fn on_deliver(
        &mut self,
        now: u64,
        _rng: &mut impl Rng,
        links: &mut Links,
        key: Key,
        deliver: &Deliver,
        out: &mut Out,
    ) -> Result<Message, (Id, RefusalCode)> {
        let refuse = |code| (deliver.hop_id, code);
        let session = self.sessions.get(&key).ok_or(refuse(RefusalCode::SESSION_UNKNOWN))?;
        let paid = session.paid;
        let known = self.answered(&deliver.hop_id, deliver.amount, None).transpose().map_err(refuse)?;
        match known {
            // A node that forwarded has its claim since it signed; the receipt says so.
            Some(known) if !passes(&known) => {
                return Ok(Message::Delivered(Delivered { hop_id: deliver.hop_id, paid }));
            }
            // The client gives up what was to go onwards: the claim that waits is all for its session.
            Some(_) => {}
            None => {
                self.accept(now, links, deliver.hop_id, deliver.amount, &deliver.claim, out).map_err(refuse)?;
            }
        }
        self.credit(key, deliver.amount, out);
        let paid = self.sessions.get(&key).map_or(paid, |s| s.paid);
        let message = Message::Delivered(Delivered { hop_id: deliver.hop_id, paid });
        self.answer(
            now,
            HopRow {
                hop_id: deliver.hop_id,
                amount_in: deliver.amount,
                amount_out: Stroops::ZERO,
                reply: codec::encode(&message),
                at: now,
            },
            out,
        );
        Ok(message)
    }

    /// Takes a claim that was not taken before. What the link remembers and we do not was answered and forgotten: it
    /// is credited to nobody again.
    fn accept(
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
    fn payee_behind(&self, circ: CircuitId, template: &Carried, links: &Links) -> Option<PayeeRef> {
        match self.ways.get(&circ).and_then(|w| w.next.as_ref()) {
            Some(next) => next.speaks.then_some(PayeeRef::Relay(next.relay)),
            None => (links.can_pay_to(&PayeeRef::Tag(template.link_tag)) != Readiness::NoLink)
                .then_some(PayeeRef::Tag(template.link_tag)),
        }
    }

    fn open_onwards(&mut self, now: u64, rng: &mut impl Rng, links: &mut Links, circ: CircuitId, out: &mut Out) {
        if let Some(next) = self.ways.get(&circ).and_then(|w| w.next.as_ref()).filter(|next| next.speaks) {
            links.want_payee(now, rng, next.relay, out);
        }
    }

    fn open_session(
        &mut self,
        now: u64,
        rng: &mut impl Rng,
        circ: Option<CircuitId>,
        hello: &Hello,
    ) -> Result<Key, RefusalCode> {
        if self.sessions.len() >= MAX_SESSIONS {
            self.forget_idle(now);
        }
        if self.sessions.len() >= MAX_SESSIONS {
            return Err(RefusalCode::BUSY);
        }
        let mut mac_key = [0; 32];
        rng.fill_bytes(&mut mac_key);
        let id = self.ids.draw();
        let offer = self.sale.offer(hello, id, mac_key, now / 1000)?;
        let key = circ.map_or(Key::Http(id), Key::Circuit);
        // A second hello on a circuit renews the offer and keeps what was paid.
        let (paid, units) = self.sessions.get(&key).map_or((Stroops::ZERO, Counted::default()), |s| (s.paid, s.units));
        let state = circ.and_then(|circ| self.ways.get(&circ)).map_or(0, |way| way.state);
        let session =
            Session { offer, paid, state, units, need: 0, asked_at: 0, asked_due: Stroops::ZERO, used_at: now };
        self.sessions.insert(key, session);
        Ok(key)
    }

    /// Time passes: idle web sessions go, and whoever waits for money says so again.
    pub fn on_tick(&mut self, now: u64, rng: &mut impl Rng, out: &mut Out) {
        self.forget_idle(now);
        let waits = |s: &Session| s.state > 0 && now.saturating_sub(s.asked_at) >= REQUEST_REPEAT_MS;
        let waiting: Vec<Key> = self.sessions.iter().filter(|(_, s)| waits(s)).map(|(key, _)| *key).collect();
        for key in waiting {
            let Key::Circuit(circ) = key else { continue };
            if let Some(request) = self.request(now, rng, key) {
                out.effects.push(Effect::Send { circ, hop: 0, message: Message::PaymentRequest(request) });
            }
        }
    }

    /// Idle web sessions go.
    pub fn forget_idle(&mut self, now: u64) {
        self.sessions.retain(|key, s| matches!(key, Key::Circuit(_)) || now.saturating_sub(s.used_at) < HTTP_IDLE_MS);
    }

    /// What is due, if that was not asked a moment ago.
    fn request(&mut self, now: u64, rng: &mut impl Rng, key: Key) -> Option<PaymentRequest> {
        let s = self.sessions.get(&key)?;
        let due = due(s)?;
        if due <= s.paid || (due == s.asked_due && now.saturating_sub(s.asked_at) < REQUEST_GAP_MS) {
            return None;
        }
        self.request_now(now, rng, key)
    }

    fn request_now(&mut self, now: u64, rng: &mut impl Rng, key: Key) -> Option<PaymentRequest> {
        let s = self.sessions.get_mut(&key)?;
        let due = due(s)?;
        let mut id = [0; ID_LEN];
        rng.fill_bytes(&mut id);
        s.asked_at = now;
        s.asked_due = due;
        let standing = Standing {
            units_in: s.units.inward,
            units_out: s.units.outward,
            amount_due: due,
            amount_paid: s.paid,
            state: s.state,
        };
        Some(request::build(&s.offer, standing, id, [0; 32], now / 1000, REQUEST_SECS))
    }

    fn credit(&mut self, key: Key, amount: Stroops, out: &mut Out) {
        let Some(s) = self.sessions.get_mut(&key) else { return };
        s.paid = s.paid.add(amount).unwrap_or(Stroops::MAX);
        if let Key::Circuit(circ) = key {
            let cells = s.offer.price.cells_for(s.paid);
            out.effects.push(Effect::Grant { circ, cells });
            // Ask again when half of what is paid ahead is used.
            let ahead = cells.saturating_sub(s.units.total());
            out.effects.push(Effect::Watch { circ, hop: 0, cells: s.units.total().saturating_add(ahead / 2).max(1) });
        }
    }

    fn answered(
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

    fn answer(&mut self, _now: u64, row: HopRow, out: &mut Out) {
        out.rows.push(Row::Hop(Box::new(row.clone())));
        self.remember(row);
    }

    fn remember(&mut self, row: HopRow) {
        if self.hops.len() >= MAX_HOPS
            && !self.hops.contains_key(&row.hop_id)
            && let Some(oldest) = self.hop_order.pop_front()
        {
            self.hops.remove(&oldest);
        }
        if self.hops.insert(row.hop_id, row.clone()).is_none() {
            self.hop_order.push_back(row.hop_id);
        }
    }
}

/// Stroops due: what was served and what is to be paid ahead.
fn due(s: &Session) -> Option<Stroops> {
    let ahead = match s.offer.kind {
        ServiceKind::Tor => u64::from(s.offer.ahead_bytes) / CELL_BYTES,
        ServiceKind::Ipfs | ServiceKind::Http => s.need.max(1),
    };
    price::of_units(s.offer.kind, s.offer.price, s.units.total().saturating_add(ahead)).ok()
}

/// A neighbour that the consensus named only after the circuit was made is known from now on (`Event::Passing`).
fn look_again(circ: CircuitId, out: &mut Out) {
    out.effects.push(Effect::Query { circ });
}

/// A no after which the same message may succeed.
fn passes(message: &Message) -> bool {
    matches!(message, Message::Refusal(refusal) if refusal.code.retry() == RetryClass::Later)
}

fn no(subject: Id, code: RefusalCode) -> Message {
    Message::Refusal(code.refuse(subject))
}
