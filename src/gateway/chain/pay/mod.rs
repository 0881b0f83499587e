//! The paying side: what a client owes on each of its circuits, and the passes that settle it.
mod due;
mod edges;
mod give_up;
mod hops;
mod locks;
mod passes;
mod policy;
mod requests;
mod service;
mod status;

pub use give_up::{GIVEN_UP_MAX, WHILE_MS};
pub use service::ServiceWish;
pub use status::{CircuitStatus, HopStatus, OfferStatus, Refused, Stamped};

use super::pass::{Pass, Via};
use crate::gateway::core::locks::Locks;
use crate::gateway::core::message::*;
use crate::gateway::core::offer::denomination_at_most;
use crate::gateway::core::policy::{Account, Approvals, Budget, Limits, Policy};
use crate::gateway::link::Links;
use crate::gateway::port::*;
use crate::units::Stroops;
use due::{Rate, due, watch};
use rand::Rng;
use std::collections::HashMap;

/// Circuits that a client keeps books of.
const MAX_CIRCUITS: usize = 4_096;

/// How a client pays.
#[derive(Clone, Debug)]
pub struct Terms {
    /// The asset that it pays in.
    pub asset: AssetId,
    /// First 8 bytes of the network id.
    pub network: [u8; 8],
    /// At most so much is paid ahead on one circuit and hop.
    pub max_ahead_bytes: u64,
    /// At most so much is paid to one hop at a time: a part of a deposit, so that a pass fits into every lane.
    pub max_increment: Stroops,
    /// Which payments go under locks.
    pub locks: Locks,
}

/// A deposit holds at least so many increments: a pass has up to four payees.
const INCREMENTS: u64 = 8;

impl Terms {
    /// The largest increment on links with such a deposit.
    pub fn increment_of(deposit: Stroops) -> Stroops {
        denomination_at_most(Stroops::new(deposit.get() / INCREMENTS).unwrap_or(Stroops::ZERO))
    }
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
    /// Our counters and the hop's, when it last spoke.
    stamped: Stamped,
    /// Counts as paid: confirmed by the hop, or in a pass that is under way.
    paid: Stroops,
    /// Part of `paid` that is under locks of passes under way.
    locked: Stroops,
    /// Part of `paid` that is under locks of passes that were given up, as far as it may be paid once more in plain.
    doubtful: Stroops,
    /// Sum of the claims that were made out for it, whatever became of them: it cannot have got more.
    offered: Stroops,
    acknowledged: Stroops,
    not_before: u64,
    /// Passes that were signed and then failed at this hop.
    failures: u32,
    /// It said that it holds our cells, and has confirmed no payment since.
    holds: bool,
    /// The last request was refused: nothing is paid before a proper one.
    disputed: bool,
    /// A service behind it waits for a link on the way, which opens once this hop was paid: not later than asked for.
    early: bool,
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
    /// Why nothing is paid on it any more.
    given_up: Option<RefusalCode>,
    /// No new stream is to be attached to it.
    left: bool,
    /// Why nothing is paid on it just now: a rule, a budget, a person's word that is awaited.
    waits: Option<RefusalCode>,
    /// Locks on the way are taken, or did not open: until then hops are paid in plain and little.
    plain_until: u64,
}

/// All that a client pays.
#[derive(Debug)]
pub struct Pay {
    terms: Terms,
    secret: [u8; 32],
    circuits: HashMap<CircuitId, Circuit>,
    passes: Vec<Pass>,
    /// Locked passes that were given up, until their locks' time is over; the lanes of the guards bound them.
    waiting: Vec<locks::Waiting>,
    /// Those of the last process were not looked at yet.
    resumed: bool,
    budget: Budget,
    /// As the configuration file says.
    configured: Policy,
    approvals: Approvals,
    account: Account,
    tor_up: bool,
    /// When circuits were left for another.
    given_up: Vec<u64>,
    edges: edges::Edges,
    /// Paid for each web session.
    webs: HashMap<Id, Stroops>,
    refused: Vec<Refused>,
    requests: u64,
    requested: requests::Requests,
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
            waiting: Vec::new(),
            resumed: false,
            configured: budget.policy().clone(),
            budget,
            approvals: Approvals::default(),
            account: Account::default(),
            tor_up: false,
            given_up: Vec::new(),
            edges: edges::Edges::default(),
            webs: HashMap::new(),
            refused: Vec::new(),
            requests: 0,
            requested: requests::Requests::default(),
            settled: 0,
        }
    }

    /// (requests seen, passes completed)
    pub fn counts(&self) -> (u64, u64) {
        (self.requests, self.settled)
    }

    /// A circuit of tor's own is open.
    pub fn on_built(&mut self, circ: CircuitId, path: Vec<Hop>) {
        self.tor_up = true;
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
                stamped: Stamped::default(),
                paid: Stroops::ZERO,
                locked: Stroops::ZERO,
                doubtful: Stroops::ZERO,
                offered: Stroops::ZERO,
                acknowledged: Stroops::ZERO,
                not_before: 0,
                failures: 0,
                holds: false,
                disputed: false,
                early: false,
            })
            .collect();
        let rate = Rate::default();
        let circuit = Circuit {
            hops,
            began: false,
            set: None,
            speaking,
            rate,
            given_up: None,
            left: false,
            waits: None,
            plain_until: 0,
        };
        self.circuits.insert(circ, circuit);
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
        state.stamped = Stamped { client: own, hop: peer };
        if let Message::Delivered(receipt) = message {
            state.got(receipt.paid);
            state.acknowledged = state.acknowledged.max(receipt.paid.min(state.paid));
            state.holds = false;
            let covered = state.request.clone().filter(|request| request.amount_due <= state.acknowledged);
            if let Some(request) = covered {
                self.note_request(now, circ, index, &request);
            }
        }
        let Some(state) = self.circuits.get(&circ).and_then(|c| c.hops.get(index)) else { return };
        // A request has the rest of its checks first, and is named in the refusal.
        if !matches!(message, Message::PaymentRequest(_)) && !state.stamped.agrees() {
            self.counts_wrong(now, circ, index, out);
        }
        match message {
            // The answer to a hello that leads to no offer.
            Message::Refusal(no) if no.subject == [0; ID_LEN] => self.on_no_offer(now, circ, index, no.code, out),
            Message::Offer(offer) => {
                self.on_offer(now, circ, index, offer, out);
                self.settle(now, rng, links, circ, out);
                if let Some(c) = self.circuits.get(&circ) {
                    watch(circ, c, out);
                }
            }
            Message::PaymentRequest(request) => {
                let before = self.circuits.get(&circ).and_then(|c| c.hops.get(index)?.request.clone());
                let refused = self.on_request(now, circ, index, own, peer, request, out);
                self.settle(now, rng, links, circ, out);
                match refused {
                    Some(code) => self.note_improper(now, circ, index, request, code),
                    None => {
                        // Its receipt may have crossed this one.
                        let before = before.filter(|old| old.amount_due <= request.amount_paid);
                        before.iter().chain([request]).for_each(|r| self.note_request(now, circ, index, r));
                    }
                }
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

    /// Timers of passes; circuits whose hops may be tried again.
    pub fn on_tick(&mut self, now: u64, rng: &mut impl Rng, links: &mut Links, out: &mut Out) {
        for index in (0..self.passes.len()).rev() {
            let steps = self.passes[index].on_tick(now);
            if !steps.is_empty() {
                self.finish(now, index, &steps, out);
            }
        }
        self.hello_again(now, out);
        let waits = |c: &Circuit| c.began && c.given_up.is_none() && c.wants(&self.terms);
        let waiting: Vec<CircuitId> = self.circuits.iter().filter(|(_, c)| waits(c)).map(|(id, _)| *id).collect();
        for circ in waiting {
            self.settle(now, rng, links, circ, out);
        }
        self.leave_stuck(now, out);
        self.look_at_account(now, links);
    }
}

impl HopState {
    fn may_be_paid(&self, now: u64) -> bool {
        self.offer.is_some() && self.not_before <= now && !self.disputed
    }

    /// What it has, or will have when the passes under way go through. A hop that holds us has them wait behind it.
    fn paid_for_sure(&self) -> Stroops {
        let open = if self.holds { self.locked.add(self.doubtful).unwrap_or(Stroops::MAX) } else { Stroops::ZERO };
        self.paid.saturating_sub(open)
    }

    /// The hop says what it got in all: what we took for lost and was not is not paid again.
    fn got(&mut self, paid: Stroops) {
        self.paid = self.paid.max(paid.min(self.offered));
    }
}

impl Circuit {
    /// Has a hop terms above the ceilings? They may have been lowered since its offer was taken.
    fn is_dear(&self, limits: &Limits) -> bool {
        self.hops.iter().filter_map(|hop| hop.offer.as_ref()).any(|offer| limits.check_price(offer).is_err())
    }

    /// Is a hop to be paid, or a valid request open that was not paid yet?
    fn wants(&self, terms: &Terms) -> bool {
        let asks = |h: &HopState| h.request.as_ref().is_some_and(|r| r.amount_due > h.paid);
        self.hops.iter().take(self.speaking).any(|h| asks(h) || !due(h, &self.rate, terms, false).is_zero())
    }
}

fn wire_hop(index: usize) -> u32 {
    u32::try_from(index + 1).unwrap_or(u32::MAX)
}
