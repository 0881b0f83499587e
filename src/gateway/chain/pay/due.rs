//! What is due on a circuit, and when to look again.
use super::super::pass::{Pass, Stage, Via};
use super::{Circuit, HopState, Pay, Terms, wire_hop};
use crate::gateway::core::locks::Locks;
use crate::gateway::core::message::{Offer, RefusalCode};
use crate::gateway::core::price::{Ahead, GROWTH, bytes_for, of_bytes};
use crate::gateway::link::{Links, Readiness};
use crate::gateway::port::*;
use crate::units::{CELL_BYTES, Stroops};
use rand::Rng;

/// Passes under way on one circuit.
const MAX_PASSES: usize = 4;
/// What is risked at a hop that has confirmed nothing on this circuit yet; then `GROWTH` times what it confirmed. (The
/// cap of `Terms` is the limit of that.)
const FIRST_BYTES: u64 = 2 << 20;
/// Whoever does not hold us is not paid sooner than this after the hellos, while another hop's offer is to come.
const OFFER_MS: u64 = 1_000;
/// A watch is set at least so many cells ahead.
const WATCH_CELLS: u64 = 64;

/// Bytes a second and milliseconds a pass, smoothed.
#[derive(Debug, Default)]
pub(super) struct Rate {
    at: u64,
    cells: u64,
    bytes_per_s: u64,
    pub latency_ms: u64,
}

impl Pay {
    /// Pay what is due on a circuit, everybody in one pass, the nearest first when it holds us.
    pub fn settle(&mut self, now: u64, rng: &mut impl Rng, links: &mut Links, circ: CircuitId, out: &mut Out) {
        let Some(c) = self.circuits.get(&circ).filter(|c| c.began && c.given_up.is_none()) else { return };
        // Replies from behind a hop that holds are held too: it is paid first and alone.
        let holds = |h: &HopState| h.holds && !due(h, &c.rate, &self.terms, false).is_zero();
        let held = c.hops.iter().take(c.speaking).position(holds);
        if let Some(k) = held {
            // A pass that waits for templates from behind a hop that holds would wait for ever, and what it promised
            // to that hop would keep it from being paid.
            let stuck = |p: &Pass| p.circ == circ && p.call.is_none() && p.payees.len() > k + 1;
            self.drop_unsigned(RefusalCode::BUSY, stuck, out);
        }
        let Some(c) = self.circuits.get(&circ) else { return };
        let on_circuit = || self.passes.iter().filter(|p| p.circ == circ && p.call.is_none());
        let mut dues = self.dues(circ, c, c.speaking);
        if self.terms.locks == Locks::Large && now < c.plain_until {
            dues.iter_mut().zip(&c.hops).for_each(|(due, h)| *due = (*due).min(h.first_increment()));
        }
        let reach = held.map_or(c.speaking, |k| k + 1).min(self.edges.reach(now, c.hops.iter().map(|h| &h.hop)));
        // Offers of farther hops are on their way: one pass for all is cheaper than one for each.
        let comes = |h: &HopState| h.offer.is_none() && h.not_before <= now && now < h.hello.0.saturating_add(OFFER_MS);
        if held.is_none() && c.hops.iter().take(reach).any(comes) {
            return;
        }
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
        if self.tor_refused(now, rng, circ, &dues[..=last], out).is_some() {
            return;
        }
        match links.can_pay(&guard) {
            Readiness::Ready => {}
            _ => return links.want_payee(now, rng, guard, out),
        }
        let Some(tag) = links.tag_of(&guard) else { return };
        self.begin_pass(now, rng, circ, tag, &dues[..=last], None, out);
    }

    /// What the first `n` hops are to be paid now, less what passes under way are about to sign.
    pub(super) fn dues(&self, circ: CircuitId, c: &Circuit, n: usize) -> Vec<Stroops> {
        let promised = |index: usize| {
            let open = self.passes.iter().filter(|p| p.circ == circ && p.stage == Stage::Create);
            open.filter_map(|p| p.payees.get(index).filter(|q| q.via == Via::Hop(wire_hop(index))))
                .fold(Stroops::ZERO, |sum, q| sum.add(q.share.due).unwrap_or(Stroops::MAX))
        };
        let dues = |along: bool| -> Vec<Stroops> {
            let hops = c.hops.iter().take(n).enumerate();
            hops.map(|(index, h)| due(h, &c.rate, &self.terms, along).saturating_sub(promised(index))).collect()
        };
        let urgent = dues(false);
        if urgent.iter().all(|due| due.is_zero()) { urgent } else { dues(true) }
    }
}

impl Rate {
    pub(super) fn measure(&mut self, now: u64, cells: u64) {
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

impl HopState {
    /// What a plain payment may cost at this hop.
    pub(super) fn first_increment(&self) -> Stroops {
        self.offer.as_ref().map_or(Stroops::ZERO, first_increment)
    }
}

/// What a plain payment may cost: the price of what is risked first.
pub(super) fn first_increment(offer: &Offer) -> Stroops {
    of_bytes(offer.price, FIRST_BYTES).unwrap_or(Stroops::MAX)
}

fn risk_bytes(h: &HopState, offer: &Offer) -> u64 {
    let proven = if h.acknowledged.is_zero() { 0 } else { bytes_for(offer.price, h.acknowledged) };
    FIRST_BYTES.max(proven.saturating_mul(GROWTH))
}

/// A hop that does not ask is first paid when half of its credit is used: circuits that carry next to nothing
/// (the wallet's own, the idle leg of a set) would cost more in payment cells than they carry.
fn first_cells(offer: &Offer) -> u64 {
    u64::from(offer.credit_bytes) / CELL_BYTES / 2
}

/// What a hop is to be paid now, or `along` with others; nothing while enough is left.
pub(super) fn due(h: &HopState, rate: &Rate, terms: &Terms, along: bool) -> Stroops {
    let Some(offer) = &h.offer else { return Stroops::ZERO };
    if !along && !h.early && h.paid.is_zero() && h.request.is_none() && h.own.total() < first_cells(offer) {
        return Stroops::ZERO;
    }
    let ahead = Ahead {
        price: offer.price,
        counted_cells: h.own.total(),
        paid: h.paid_for_sure(),
        rate: rate.bytes_per_s,
        latency_ms: rate.latency_ms,
        ahead_bytes: u64::from(offer.ahead_bytes),
        cap_bytes: risk_bytes(h, offer).min(terms.max_ahead_bytes),
    };
    let target = if along { ahead.target_along() } else { ahead.target() };
    let due = target.ok().flatten().map_or(Stroops::ZERO, |target| target.saturating_sub(h.paid_for_sure()));
    due.min(terms.max_increment)
}

/// Have a look again when half of what is left at some hop is used, or its first payment is due.
pub(super) fn watch(circ: CircuitId, c: &Circuit, out: &mut Out) {
    let Some(first) = c.hops.first() else { return };
    let more = |h: &HopState| {
        let (offer, used) = (h.offer.as_ref()?, h.own.total());
        let left = offer.price.cells_for(h.paid).saturating_sub(used);
        let before = if h.paid.is_zero() { first_cells(offer).saturating_sub(used) } else { 0 };
        Some(if before > 0 { before } else { (left / 2).max(WATCH_CELLS) })
    };
    if let Some(more) = c.hops.iter().take(c.speaking).filter_map(more).min() {
        out.effects.push(Effect::Watch { circ, hop: 1, cells: first.own.total().saturating_add(more) });
    }
}
