//! A relay that says it wants to pay us is called back.
//!
//! Its hello comes over a circuit whose last relay it is, but any client can extend a circuit through that relay and
//! speak in its place. So the payee builds a circuit of its own to the relay, whose far end tor authenticates, and
//! names the link there; only who made up the link's id knows it. All further talk goes over this circuit.
//!
//! ```text
//!   payer relay A                              payee relay B
//!     circuit of A:  LinkHello{payer, X} ─────────→   notes (A, X), answers nothing
//!     circuit of B:  ←── LinkHello{payee, X, signer 0}
//!                    LinkHello{payer, X} ─────────→   the link is A's
//!                    ←────────────────── LinkAccept
//! ```
use super::dial::{Circuit, CircuitNews};
use super::limits::CALL_BACK_MS;
use super::links::Links;
use super::rows::{Partner, Role};
use crate::gateway::core::message::{Id, LinkHello, Message, RefusalCode};
use crate::gateway::port::{CircuitId, Effect, Out, RelayId};

/// Relays that are being called back, at most: in all, and about links of one relay.
const MAX_CALL_BACKS: usize = 64;
const MAX_PER_RELAY: usize = 4;

/// Between two looks for names, and circuits that are looked at.
const NAMES_MS: u64 = 5_000;
const MAX_NAMES: usize = 1_024;

/// One relay that is called back about one link.
#[derive(Clone, Copy, Debug)]
pub(super) struct CallBack {
    relay: RelayId,
    link: Id,
    /// Circuit that the hello came over: one call at a time for each.
    via: CircuitId,
    token: u64,
    circ: Option<CircuitId>,
    until_ms: u64,
}

impl Links {
    /// Payee: a hello that came from `relay`, as far as the circuit tells. A repeat makes us ask again.
    pub(super) fn call_back(
        &mut self,
        now_ms: u64,
        via: CircuitId,
        relay: RelayId,
        link: Id,
        out: &mut Out,
    ) -> Result<(), RefusalCode> {
        if let Some(call) = self.calls.iter().find(|c| c.relay == relay && c.link == link) {
            if let Some(circ) = call.circ {
                self.ask_back(circ, link, out);
            }
            return Ok(());
        }
        let of_relay = self.calls.iter().filter(|c| c.relay == relay).count();
        let busy = self.calls.iter().any(|c| c.via == via);
        if busy || of_relay >= MAX_PER_RELAY || self.calls.len() >= MAX_CALL_BACKS {
            return Err(RefusalCode::BUSY);
        }
        let (token, until_ms) = (self.fresh(), now_ms.saturating_add(CALL_BACK_MS));
        self.calls.push(CallBack { relay, link, via, token, circ: None, until_ms });
        out.effects.push(Effect::Launch { token, relay, one_hop: true });
        Ok(())
    }

    /// Payee: a relay says that it pays us, and there is no link of it. It may be one whose hello came when no consensus
    /// of ours named it, so that it passed for a client: who stands before us on those circuits is asked again.
    pub fn look_for_names(&mut self, now_ms: u64, out: &mut Out) {
        if now_ms < self.named_ms.saturating_add(NAMES_MS) {
            return;
        }
        self.named_ms = now_ms;
        let strangers = self.circuits.iter().filter(|(_, c)| c.link.is_some_and(|id| !c.ours && self.is_stranger(&id)));
        out.effects.extend(strangers.take(MAX_NAMES).map(|(circ, _)| Effect::Query { circ: *circ }));
    }

    /// Relay `prev` stands before us on this circuit. When a link goes over it that passed for a client's, the relay is
    /// called back: the link is its own if it knows it.
    pub fn on_named(&mut self, now_ms: u64, circ: CircuitId, prev: RelayId, out: &mut Out) {
        let link = self.circuits.get(&circ).filter(|c| !c.ours).and_then(|c| c.link);
        if let Some(link) = link.filter(|id| self.is_stranger(id)) {
            // A refusal is for hellos: this is asked again.
            let _ = self.call_back(now_ms, circ, prev, link, out);
        }
    }

    fn is_stranger(&self, link: &Id) -> bool {
        let row = self.links.get(link).map(|l| &l.row);
        row.is_some_and(|row| row.role == Role::Payee && !row.dials && row.partner == Partner::Anonymous)
    }

    fn ask_back(&self, circ: CircuitId, link: Id, out: &mut Out) {
        let Some(circuit) = self.circuits.get(&circ) else { return };
        // Without a signer: unlike a service we want this link or none.
        let hello = LinkHello { signer: [0; 32], ..self.hello(Role::Payee, Some(link), 0) };
        out.effects.push(Effect::Send { circ, hop: circuit.hop, message: Message::LinkHello(hello) });
    }

    /// A circuit for a call opened or failed; false when it is for none.
    pub(super) fn on_call_circuit(&mut self, news: &CircuitNews, out: &mut Out) -> bool {
        let Some(index) = self.calls.iter().position(|c| c.circ.is_none() && Some(c.token) == news.token) else {
            return false;
        };
        let call = self.calls[index];
        if !news.opened || news.end != Partner::Relay(call.relay) {
            self.calls.swap_remove(index); // the relay says hello again
            if news.opened {
                out.effects.push(Effect::Close { circ: news.circ });
            }
            return true;
        }
        self.calls[index].circ = Some(news.circ);
        self.circuits.insert(news.circ, Circuit { link: None, hop: news.hop, end: news.end, ours: true });
        self.ask_back(news.circ, call.link, out);
        true
    }

    /// Did we call on this circuit about this link?
    pub(super) fn called(&self, circ: CircuitId, link: &Id) -> bool {
        self.calls.iter().any(|c| c.circ == Some(circ) && c.link == *link)
    }

    /// The call on this circuit is over: answered, refused, or the circuit is gone.
    pub(super) fn end_call(&mut self, circ: CircuitId) -> bool {
        let before = self.calls.len();
        self.calls.retain(|c| c.circ != Some(circ));
        self.calls.len() < before
    }

    /// Calls that nobody answers end.
    pub(super) fn forget_calls(&mut self, now_ms: u64, out: &mut Out) {
        let late: Vec<CallBack> = self.calls.extract_if(.., |c| now_ms >= c.until_ms).collect();
        for circ in late.into_iter().filter_map(|c| c.circ) {
            self.circuits.remove(&circ);
            out.effects.push(Effect::Close { circ });
        }
    }

    /// Payer: the payee calls back about a link that we made up, on a circuit of its own.
    pub(super) fn on_called(
        &mut self,
        now_ms: u64,
        circ: CircuitId,
        from: Partner,
        hello: &LinkHello,
        out: &mut Out,
    ) -> Result<(), RefusalCode> {
        let ours = |id: &Id| {
            self.links.get(id).is_some_and(|l| {
                l.row.role == Role::Payer
                    && l.row.dials
                    && l.row.partner != Partner::Anonymous
                    && (l.tentative || l.row.account == hello.account)
            })
        };
        let other = self.circuits.get(&circ).is_some_and(|c| c.ours || c.link != Some(hello.link));
        if other {
            return Err(RefusalCode::UNEXPECTED);
        }
        if !ours(&hello.link) {
            return Err(RefusalCode::LINK_UNKNOWN);
        }
        self.circuits.entry(circ).or_insert(Circuit { link: None, hop: 0, end: from, ours: false });
        self.bind(now_ms, hello.link, circ, out);
        let pause = self.limits.backoff_ms(0);
        for dial in self.dials.values_mut().filter(|d| d.link == Some(hello.link)) {
            dial.due_ms = dial.due_ms.max(now_ms.saturating_add(pause)); // the accept is on its way
        }
        let answer = self.hello(Role::Payer, Some(hello.link), 0);
        self.say(&hello.link, Message::LinkHello(answer), out);
        Ok(())
    }
}
