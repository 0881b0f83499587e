//! Sessions: their offers, what they ask for and what they were paid.
use super::{Key, Serve, look_again, no};
use crate::gateway::core::codec;
use crate::gateway::core::message::*;
use crate::gateway::core::price;
use crate::gateway::core::request::{self, Standing};
use crate::gateway::port::*;
use crate::units::{CELL_BYTES, Stroops};
use rand::Rng;
use std::collections::VecDeque;

/// Sessions that a node keeps; the oldest idle web session goes first.
const MAX_SESSIONS: usize = 20_000;
/// A web session without a word or a byte for so long is forgotten.
const HTTP_IDLE_MS: u64 = 30 * 60 * 1000;
/// Life of a request.
const REQUEST_SECS: u32 = 60;
/// A request is repeated at most so often while nothing changes.
const REQUEST_GAP_MS: u64 = 200;
/// Whoever holds a circuit says so again after so long.
const REQUEST_REPEAT_MS: u64 = 4_000;

#[derive(Debug)]
pub(super) struct Session {
    pub offer: Offer,
    pub paid: Stroops,
    pub state: u8,
    pub units: Counted,
    /// Bytes that the response at hand needs (web).
    pub need: u64,
    pub asked_at: u64,
    pub asked_due: Stroops,
    pub used_at: u64,
    /// Names the session in rows: its first offer's.
    pub name: Id,
    /// Payments that were created in it, oldest first.
    pub created: VecDeque<Id>,
}

impl Serve {
    pub(super) fn on_hello(
        &mut self,
        now: u64,
        rng: &mut impl Rng,
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
        if let Key::Circuit(circ) = key
            && self.ways.get(&circ).and_then(|w| w.next.as_ref()).is_some_and(|next| !next.speaks)
        {
            look_again(circ, out);
        }
        let Some(session) = self.sessions.get(&key) else { return Vec::new() };
        let offer = Message::Offer(session.offer.clone());
        let request = match key {
            // A circuit may use its credit; it is asked when little of that is left.
            Key::Circuit(circ) if session.state == 0 => {
                watch_rest(circ, session, u64::from(session.offer.credit_bytes) / CELL_BYTES, out);
                None
            }
            _ => self.request_now(now, rng, key),
        };
        std::iter::once(offer).chain(request.map(Message::PaymentRequest)).collect()
    }

    pub(super) fn open_session(
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
        // A second hello on a circuit renews the offer and keeps what was paid, and what is about to be.
        let known = self.sessions.remove(&key);
        let (paid, units) = known.as_ref().map_or((Stroops::ZERO, Counted::default()), |s| (s.paid, s.units));
        let (name, created) = known.map_or((id, VecDeque::new()), |s| (s.name, s.created));
        let state = circ.and_then(|circ| self.ways.get(&circ)).map_or(0, |way| way.state);
        let session = Session {
            offer,
            paid,
            state,
            units,
            need: 0,
            asked_at: 0,
            asked_due: Stroops::ZERO,
            used_at: now,
            name,
            created,
        };
        self.sessions.insert(key, session);
        Ok(key)
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
            return Answer::Serve { session, covered, served: s.units.total(), paid: !s.paid.is_zero() };
        }
        let offer = Box::new(s.offer.clone());
        match self.request_now(now, rng, key) {
            Some(request) => Answer::Pay { offer, request: Box::new(request) },
            None => Answer::Failed(RefusalCode::INTERNAL),
        }
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
        let idle = |s: &Session| now.saturating_sub(s.used_at) >= HTTP_IDLE_MS;
        let old = self.sessions.iter().filter(|(key, s)| matches!(key, Key::Http(_)) && idle(s));
        let old: Vec<Key> = old.map(|(key, _)| *key).collect();
        old.into_iter().for_each(|key| self.forget(key));
    }

    /// What is due, if that was not asked a moment ago.
    pub(super) fn request(&mut self, now: u64, rng: &mut impl Rng, key: Key) -> Option<PaymentRequest> {
        let s = self.sessions.get(&key)?;
        let due = due(s)?;
        if due <= s.paid || (due == s.asked_due && now.saturating_sub(s.asked_at) < REQUEST_GAP_MS) {
            return None;
        }
        self.request_now(now, rng, key)
    }

    pub(super) fn request_now(&mut self, now: u64, rng: &mut impl Rng, key: Key) -> Option<PaymentRequest> {
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
        Some(request::build(&s.offer, standing, id, now / 1000, REQUEST_SECS))
    }

    pub(super) fn credit(&mut self, key: Key, amount: Stroops, out: &mut Out) {
        let Some(s) = self.sessions.get_mut(&key) else { return };
        s.paid = s.paid.add(amount).unwrap_or(Stroops::MAX);
        if let Key::Circuit(circ) = key {
            let cells = s.offer.price.cells_for(s.paid);
            out.effects.push(Effect::Grant { circ, cells });
            watch_rest(circ, s, cells, out);
        }
    }
}

/// Payers pay when a quarter of what is theirs is left; who does not is asked when it is an eighth.
fn watch_rest(circ: CircuitId, s: &Session, cells: u64, out: &mut Out) {
    let ahead = cells.saturating_sub(s.units.total());
    out.effects.push(Effect::Watch { circ, hop: 0, cells: s.units.total().saturating_add(ahead - ahead / 8).max(1) });
}

/// Stroops due: what was served and what is to be paid ahead.
fn due(s: &Session) -> Option<Stroops> {
    let ahead = match s.offer.kind {
        ServiceKind::Tor => u64::from(s.offer.ahead_bytes) / CELL_BYTES,
        ServiceKind::Ipfs | ServiceKind::Http => s.need.max(1),
    };
    price::of_units(s.offer.kind, s.offer.price, s.units.total().saturating_add(ahead)).ok()
}
