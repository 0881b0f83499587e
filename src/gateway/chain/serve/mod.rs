//! The paid side: sessions of circuits and web sessions, requests, claims in and claims onwards.
mod forward;
mod locked;
mod session;

use super::HopRow;
use crate::gateway::core::message::*;
use crate::gateway::core::offer::{SessionIds, Terms};
use crate::gateway::core::refusal::RetryClass;
use crate::gateway::link::Links;
use crate::gateway::port::*;
use rand::Rng;
use session::Session;
use std::collections::{HashMap, VecDeque};

/// Answers kept in memory for repeats.
const MAX_HOPS: usize = 16_384;
/// Payments that one session may have under way; its oldest goes.
const MAX_CREATED: usize = 32;
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
    /// Which session a payment was created in, until the session is gone.
    created: HashMap<Id, Key>,
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
            created: HashMap::new(),
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
        if self.has_paid(Key::Circuit(circ)) {
            self.open_onwards(now, rng, links, circ, out);
        }
    }

    /// A circuit is gone.
    pub fn on_closed(&mut self, circ: CircuitId) {
        self.ways.remove(&circ);
        self.forget(Key::Circuit(circ));
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
            Message::Hello(hello) => return self.on_hello(now, rng, key, own, &hello, out),
            Message::Create(create) => self.on_create(now, rng, links, key, &create, out),
            Message::Sign(sign) => self.on_sign(now, rng, links, key, &sign, out),
            Message::Deliver(deliver) => self.on_deliver(now, rng, links, key, &deliver, out),
            Message::Complete(_) | Message::Refusal(_) => return Vec::new(),
            _ => Err(([0; ID_LEN], RefusalCode::UNKNOWN_TYPE)),
        };
        vec![answer.unwrap_or_else(|(subject, code)| no(subject, code))]
    }

    /// A client of this circuit has paid us: whoever it goes on to may be paid next. Before that no stranger's word ties
    /// up a deposit of ours.
    fn open_onwards(&mut self, now: u64, rng: &mut impl Rng, links: &mut Links, circ: CircuitId, out: &mut Out) {
        match self.ways.get(&circ).map(|w| w.next.as_ref()) {
            Some(Some(next)) if next.speaks => links.want_payee(now, rng, next.relay, out),
            Some(None) => links.money_came(now),
            _ => {}
        }
    }

    fn has_paid(&self, key: Key) -> bool {
        self.sessions.get(&key).is_some_and(|s| !s.paid.is_zero())
    }

    fn forget(&mut self, key: Key) {
        for hop in self.sessions.remove(&key).into_iter().flat_map(|s| s.created) {
            self.created.remove(&hop);
        }
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
