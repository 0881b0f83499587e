//! Circuits between link partners: who builds them, when, and what is forgotten when they go.
use super::limits::LAUNCH_TIMEOUT_MS;
use super::links::{Link, Links};
use super::rows::{LinkRow, Partner, Role};
use super::{PayeeRef, Readiness};
use crate::gateway::core::message::{Id, Message};
use crate::gateway::port::{CircuitId, Effect, Out, RelayId};
use rand::Rng;

/// Relays that a payee wants to be paid by and that have not answered yet, at most.
const MAX_WISHES: usize = 64;
/// Fruitless tries after which such a wish makes room for another.
const MAX_WISH_TRIES: u32 = 4;

/// A circuit that opened or failed to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CircuitNews {
    /// Which; meaningless when it did not open.
    pub circ: CircuitId,
    /// Of the `Launch`, `None` for a circuit that somebody else built.
    pub token: Option<u64>,
    /// Number of the hop at the far end, as `Effect::Send` wants it; 0 when we are that end.
    pub hop: u32,
    /// Who is at the other end.
    pub end: Partner,
    /// Whether it opened.
    pub opened: bool,
}

/// A circuit that carries the talk of a link.
#[derive(Clone, Copy, Debug)]
pub(super) struct Circuit {
    /// None until a service's wish is answered.
    pub link: Option<Id>,
    pub hop: u32,
    pub end: Partner,
    /// We built it.
    pub ours: bool,
}

/// A relay that we build circuits to, as payer or (a service) as payee.
#[derive(Debug)]
pub(super) struct Dial {
    /// None until the payer has named the link.
    pub link: Option<Id>,
    pub circ: Option<CircuitId>,
    /// Token of a launch under way, and when it began.
    pub token: Option<(u64, u64)>,
    pub due_ms: u64,
    pub tries: u32,
    /// Somebody asked for the link a while ago at most, or something on it is unsettled.
    pub wanted: bool,
    /// When somebody asked last; 0: before this process began.
    pub wish_ms: u64,
    /// Number of the account that we name while there is no link.
    pub own: u8,
}

impl Dial {
    pub(super) fn new(link: Option<Id>, wanted: bool) -> Self {
        Dial { link, circ: None, token: None, due_ms: 0, tries: 0, wanted, wish_ms: 0, own: 0 }
    }
}

impl Links {
    /// Makes sure that a link with an open escrow towards `relay` exists or is being made. Idempotent, and to be
    /// repeated: there is no new link before it is known which of our accounts serve.
    pub fn want_payee(&mut self, now_ms: u64, rng: &mut impl Rng, relay: RelayId, out: &mut Out) {
        if let Some(link) = self.link_with(&relay, Role::Payer).filter(|l| l.row.dials).map(|l| l.row.id) {
            if self.is_closing(&link) {
                return; // a new one once it is gone
            }
            self.plan_if_needed(now_ms, &link, out);
            self.dials.entry((relay, Role::Payer)).or_insert_with(|| Dial::new(Some(link), true));
        } else if !self.dials.contains_key(&(relay, Role::Payer)) {
            if !self.has_room(Partner::Relay(relay)) {
                return;
            }
            let Some(own) = self.account_for(now_ms, Partner::Relay(relay), Role::Payer) else { return };
            let mut id = Id::default();
            rng.fill_bytes(&mut id);
            let row = LinkRow { own, ..self.proposed(now_ms, id, Partner::Relay(relay), true) };
            let link = Link { tentative: true, idle_ms: now_ms, ..self.link_of(row) };
            self.add_link(link);
            self.dials.insert((relay, Role::Payer), Dial::new(Some(id), true));
        }
        self.wish(now_ms, relay, Role::Payer, out);
    }

    /// Somebody asks for a link (again).
    pub(super) fn wish(&mut self, now_ms: u64, relay: RelayId, role: Role, out: &mut Out) {
        if let Some(dial) = self.dials.get_mut(&(relay, role)) {
            (dial.wanted, dial.wish_ms) = (true, now_ms);
        }
        self.dial(now_ms, relay, role, out);
    }

    /// Asks `relay` to pay us over a link (a service asks the exit before it). Idempotent, and to be repeated as
    /// `want_payee`.
    pub fn want_payer(&mut self, now_ms: u64, _rng: &mut impl Rng, relay: RelayId, out: &mut Out) {
        let known = self.link_with(&relay, Role::Payee).filter(|l| l.row.dials).map(|l| l.row.id);
        let mut own = 0;
        if known.is_none() && !self.dials.contains_key(&(relay, Role::Payee)) {
            // Anybody may name a relay to a service: wishes that came to nothing make room for new ones.
            let open = |((_, role), d): (&(RelayId, Role), &Dial)| {
                *role == Role::Payee && d.link.is_none() && d.tries < MAX_WISH_TRIES
            };
            let full = self.dials.iter().filter(|d| open(*d)).count() >= MAX_WISHES;
            if full || !self.has_room(Partner::Anonymous) {
                return;
            }
            let Some(of_new) = self.account_for(now_ms, Partner::Relay(relay), Role::Payee) else { return };
            own = of_new;
            self.dials.retain(|(_, role), d| *role != Role::Payee || d.link.is_some() || d.tries < MAX_WISH_TRIES);
        }
        self.dials.entry((relay, Role::Payee)).or_insert_with(|| Dial { own, ..Dial::new(known, true) });
        self.wish(now_ms, relay, Role::Payee, out);
    }

    /// Can `relay` be paid?
    pub fn can_pay(&self, relay: &RelayId) -> Readiness {
        match self.link_with(relay, Role::Payer) {
            Some(link) => self.readiness(link),
            None if self.dials.contains_key(&(*relay, Role::Payer)) => Readiness::Opening,
            None if !self.has_room(Partner::Relay(*relay)) => Readiness::NoCapacity,
            None => Readiness::NoLink,
        }
    }

    /// Can this payee be paid?
    pub fn can_pay_to(&self, payee: &PayeeRef) -> Readiness {
        match payee {
            PayeeRef::Relay(relay) => self.can_pay(relay),
            PayeeRef::Tag(tag) => {
                self.link_by_tag(tag, Role::Payer).map_or(Readiness::NoLink, |link| self.readiness(link))
            }
        }
    }

    fn readiness(&self, link: &Link) -> Readiness {
        if link.row.closing {
            Readiness::Closing
        } else if self.open_lane(&link.row.id).is_some() {
            Readiness::Ready
        } else if self.own(link.row.own).no_funds {
            Readiness::NoFunds
        } else if self.lanes_of(&link.row.id).any(|lane| lane.state.is_opening()) {
            Readiness::Opening
        } else if self.liquidity_left() < self.limits.deposit {
            Readiness::NoCapacity
        } else {
            Readiness::Opening
        }
    }

    /// The tag by which `relay` knows the link that we pay it on.
    pub fn tag_of(&self, relay: &RelayId) -> Option<[u8; 8]> {
        self.link_with(relay, Role::Payer).map(|link| link.row.tag)
    }

    /// The circuit that carries the talk of a link, while there is one.
    pub fn circuit_of(&self, link: &Id) -> Option<CircuitId> {
        self.links.get(link)?.circ
    }

    /// The row of a link that we propose to pay on.
    pub(super) fn proposed(&self, now_ms: u64, id: Id, partner: Partner, dials: bool) -> LinkRow {
        LinkRow {
            id,
            role: Role::Payer,
            partner,
            dials,
            account: [0; 32],
            signer: [0; 32],
            key: [0; 32],
            tag: [0; 8],
            deposit: self.limits.deposit,
            period: self.limits.period_secs,
            since_ms: now_ms,
            dropped: false,
            closing: false,
            by_period: false,
            own: 0,
        }
    }

    /// Launches a circuit to `relay` if there is none and it is time; says hello again on one where nothing was agreed.
    pub(super) fn dial(&mut self, now_ms: u64, relay: RelayId, role: Role, out: &mut Out) {
        let token = self.fresh();
        let Some(dial) = self.dials.get(&(relay, role)) else { return };
        let agreed = dial.link.and_then(|id| self.links.get(&id)).is_some_and(|l| l.circ.is_some() && l.agreed);
        let stuck = dial.token.is_some_and(|(_, since)| now_ms >= since.saturating_add(LAUNCH_TIMEOUT_MS));
        if !dial.wanted || now_ms < dial.due_ms || agreed || (dial.token.is_some() && !stuck) {
            return;
        }
        let (circ, link, own) = (dial.circ, dial.link, dial.own);
        let pause = self.limits.backoff_ms(dial.tries);
        let Some(dial) = self.dials.get_mut(&(relay, role)) else { return };
        if let Some(circ) = circ {
            dial.tries = dial.tries.saturating_add(1);
            dial.due_ms = now_ms.saturating_add(pause);
            let hop = self.circuits.get(&circ).map_or(1, |c| c.hop);
            let hello = Message::LinkHello(self.hello(role, link, own));
            out.effects.push(Effect::Send { circ, hop, message: hello });
        } else {
            dial.token = Some((token, now_ms));
            out.effects.push(Effect::Launch { token, relay, one_hop: role == Role::Payer });
        }
    }

    /// A circuit of `Launch` opened or failed; other circuits are of no interest before their first message.
    pub fn on_circuit(&mut self, now_ms: u64, _rng: &mut impl Rng, news: CircuitNews, out: &mut Out) {
        if self.on_call_circuit(&news, out) {
            return;
        }
        let found = self.dials.iter().find(|(_, d)| d.token.is_some() && d.token.map(|(token, _)| token) == news.token);
        let Some((&(relay, role), _)) = found else {
            if news.token.is_some() && news.opened {
                out.effects.push(Effect::Close { circ: news.circ }); // a launch that we gave up
            }
            return;
        };
        let expected = news.opened && news.end == Partner::Relay(relay);
        if news.opened && !expected {
            out.effects.push(Effect::Close { circ: news.circ });
        }
        let pause = self.limits.backoff_ms(self.dials.get(&(relay, role)).map_or(0, |d| d.tries));
        let Some(dial) = self.dials.get_mut(&(relay, role)) else { return };
        dial.token = None;
        if !expected {
            dial.tries = dial.tries.saturating_add(1);
            dial.due_ms = now_ms.saturating_add(pause);
            return;
        }
        dial.circ = Some(news.circ);
        dial.due_ms = now_ms.saturating_add(pause);
        let (link, own) = (dial.link, dial.own);
        self.circuits.insert(news.circ, Circuit { link: None, hop: news.hop, end: news.end, ours: true });
        if let (Role::Payer, Some(id)) = (role, link) {
            self.bind(now_ms, id, news.circ, out);
        }
        let hello = self.hello(role, link, own);
        out.effects.push(Effect::Send { circ: news.circ, hop: news.hop, message: Message::LinkHello(hello) });
    }

    /// From now on the talk of a link goes over `circ`.
    pub(super) fn bind(&mut self, now_ms: u64, link: Id, circ: CircuitId, out: &mut Out) {
        let Some(entry) = self.links.get_mut(&link) else { return };
        let before = entry.circ.replace(circ).filter(|old| *old != circ);
        entry.idle_ms = now_ms;
        entry.agreed &= before.is_none();
        if let Some(circuit) = self.circuits.get_mut(&circ) {
            circuit.link = Some(link);
        }
        if let Some(old) = before {
            if self.circuits.remove(&old).is_some_and(|c| c.ours) {
                out.effects.push(Effect::Close { circ: old });
            }
            for dial in self.dials.values_mut().filter(|d| d.circ == Some(old)) {
                dial.circ = None;
            }
        }
    }

    /// A circuit is gone.
    pub fn on_closed(&mut self, now_ms: u64, circ: CircuitId, _out: &mut Out) {
        self.circuits.remove(&circ);
        self.end_call(circ);
        let mut gone = None;
        for link in self.links.values_mut().filter(|l| l.circ == Some(circ)) {
            link.circ = None;
            link.agreed = false;
            link.idle_ms = now_ms;
            gone = (link.tentative && !(link.row.dials && link.row.role == Role::Payer)).then_some(link.row.id);
        }
        if let Some(id) = gone {
            self.remove_link(&id);
        }
        let limits = &self.limits;
        for dial in self.dials.values_mut().filter(|d| d.circ == Some(circ)) {
            dial.circ = None;
            dial.due_ms = now_ms.saturating_add(limits.backoff_ms(dial.tries));
            dial.tries = dial.tries.saturating_add(1);
            if dial.link.is_some() && dial.link == gone {
                dial.link = None;
            }
        }
    }
}
