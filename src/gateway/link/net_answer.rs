//! The relay that is asked to settle both directions, and what became of it on either side: see `net`.
use super::flush_payer;
use super::limits::{NET_MARGIN_SECS, NET_SECS};
use super::links::Links;
use super::rows::{EscrowRow, Frozen, Held, Net};
use crate::gateway::core::message::{AccountKey, Id, Message, NetAccept, NetPropose, RefusalCode};
use crate::gateway::port::{AccountView, Out};
use crate::units::Stroops;

impl Links {
    /// Payer of the inward escrow: the payee wants to settle both directions. Asked again, the same answer.
    pub(super) fn on_net_propose(
        &mut self,
        now_ms: u64,
        link: &Id,
        ask: &NetPropose,
        out: &mut Out,
    ) -> Result<(), RefusalCode> {
        let mut lane = self.lane_on(link, &ask.inward).ok_or(RefusalCode::LINK_UNKNOWN)?;
        let other = self.lanes.get(&ask.outward).map(|l| l.row.clone());
        let mut other = other.filter(|row| self.pair(link, row)).ok_or(RefusalCode::LINK_UNKNOWN)?;
        let sequence = i64::try_from(ask.sequence).map_err(|_| RefusalCode::MALFORMED)?;
        let same = |f: &Frozen| {
            let net = f.net.as_ref().map(|n| (n.other, n.sequence, n.until));
            (f.epoch, f.amount, net) == (ask.epoch, ask.amount, Some((ask.outward, sequence, ask.until)))
        };
        if !lane.frozen.as_ref().is_some_and(same) {
            let now = now_ms / 1000;
            if ask.until <= now || ask.until > now.saturating_add(2 * NET_SECS) {
                return Err(RefusalCode::EXPIRED);
            }
            if !self.may_net(now_ms, &lane) || !self.may_net(now_ms, &other) || self.net_is_about(&ask.outward) {
                return Err(RefusalCode::BUSY);
            }
            if ask.epoch != lane.epoch {
                return Err(RefusalCode::EPOCH);
            }
            if ask.amount.is_zero() || ask.amount > lane.held.cumulative {
                return Err(RefusalCode::AMOUNT_ABOVE);
            }
            let amount = self.limits.rounded(other.held.cumulative);
            if amount.is_zero() {
                return Err(RefusalCode::BUSY); // nothing to set off
            }
            let net = Net { other: ask.outward, set_off: amount.min(ask.amount), sequence, until: ask.until, tx: None };
            flush_payer::freeze(&mut lane, ask.amount, now_ms);
            let frozen = Frozen::new(now_ms, other.epoch, other.held, amount);
            other.frozen = Some(Frozen { net: Some(Net { other: ask.inward, ..net.clone() }), ..frozen });
            other.epoch += 1;
            other.held = Held::default();
            if let Some(frozen) = &mut lane.frozen {
                frozen.net = Some(net);
            }
            self.save(lane.clone(), out);
            self.save(other.clone(), out);
        }
        let accept = self.net_accept(&lane, &other).ok_or(RefusalCode::INTERNAL)?;
        self.say(link, Message::NetAccept(accept), out);
        Ok(())
    }

    /// Our signatures over N as our own rows have it.
    fn net_accept(&self, lane: &EscrowRow, other: &EscrowRow) -> Option<NetAccept> {
        let (inward, outward) = (lane.frozen.as_ref()?, other.frozen.as_ref()?);
        let net = inward.net.as_ref()?;
        let (epoch, amount) = (outward.epoch, outward.amount);
        let terms =
            self.net_terms((lane, inward.epoch, inward.amount), (other, epoch, amount), net.sequence, net.until)?;
        let signer = |id: &Id| self.links.get(id).map(|l| &l.signer);
        let (payer, payee) = self.me.sign_net(&terms, signer(&lane.link)?, signer(&other.link)?).ok()?;
        Some(NetAccept { inward: lane.escrow, epoch, amount, payer, payee })
    }

    fn net_is_about(&self, escrow: &AccountKey) -> bool {
        self.net.is_some_and(|wish| wish.inward == *escrow)
    }

    /// May N still land, or wait for the other's answer? Then this epoch is not flushed.
    pub(super) fn net_pends(&self, now_ms: u64, lane: &EscrowRow) -> bool {
        let open = |net: &Net| now_ms / 1000 < net.until.saturating_add(NET_MARGIN_SECS);
        let frozen = lane.frozen.as_ref().filter(|f| f.flush.is_none());
        frozen.is_some_and(|f| f.net.as_ref().is_some_and(open))
    }

    /// Payee: E as the ledger shows it, while N may have settled the frozen epoch. True when that is all there is to do.
    pub(super) fn on_net_view(&mut self, now_ms: u64, lane: &EscrowRow, view: &AccountView, out: &mut Out) -> bool {
        let Some(frozen) = lane.frozen.as_ref().filter(|f| f.flush.is_none() && f.net.is_some()) else { return false };
        let number = self.terms(lane).and_then(|terms| terms.claim_sequence(frozen.epoch).ok());
        if number.is_some_and(|number| view.sequence >= number) {
            let mut lane = lane.clone();
            if by_net(&lane, self.left(&lane, view)) {
                self.settle_net(now_ms, lane, 0, out);
                return true;
            }
            // A flush of ours that our store, put back, knows nothing of.
            if let Some(net) = lane.frozen.as_mut().and_then(|f| f.net.take()) {
                self.save(lane, out);
                self.forget_net(&net.other, out);
            }
            return false;
        }
        if self.net_pends(now_ms, lane) {
            self.pause(now_ms, &lane.escrow);
            return true;
        }
        if lane.net_tx().is_some() {
            // Past its end: it is submitted no more. What it may have done shows when this epoch is flushed.
            let mut lane = lane.clone();
            if let Some(net) = lane.frozen.as_mut().and_then(|f| f.net.as_mut()) {
                net.tx = None;
            }
            self.save(lane, out);
        }
        false
    }

    /// N is in a ledger. When it did not apply it never will: its number is used.
    pub(super) fn on_net_landed(&mut self, now_ms: u64, mut lane: EscrowRow, ok: bool, fee: u64, out: &mut Out) {
        if ok {
            return self.settle_net(now_ms, lane, fee, out);
        }
        self.note(now_ms, "flush_failed", &lane, Stroops::ZERO, fee, out);
        let (escrow, net) = (lane.escrow, lane.frozen.as_mut().and_then(|f| f.net.take()));
        self.save(lane, out);
        if let Some(net) = net {
            self.forget_net(&net.other, out);
        }
        if let Some(entry) = self.lanes.get_mut(&escrow) {
            // It cost a fee: the next flush is an ordinary one.
            (entry.due_ms, entry.tries, entry.failures) = (0, 0, entry.failures.saturating_add(1));
        }
    }

    /// N applied: the epoch that pays us is over, and so is the one of the other direction.
    pub(super) fn settle_net(&mut self, now_ms: u64, mut lane: EscrowRow, fee: u64, out: &mut Out) {
        let Some(frozen) = lane.frozen.take() else { return };
        let Some(net) = frozen.net.clone() else { return };
        let other = self.lanes.get(&net.other).map(|l| l.row.clone());
        let about_us = |f: &Frozen| f.net.as_ref().is_some_and(|n| n.other == lane.escrow);
        if let Some(other) = other.filter(|row| row.frozen.as_ref().is_some_and(about_us)) {
            self.settle_other(now_ms, other, net.set_off, out);
        }
        lane.netted = lane.netted.add(net.set_off).unwrap_or(lane.netted);
        self.note(now_ms, "netted", &lane, net.set_off, 0, out);
        let hash = net.tx.map_or([0; 32], |tx| tx.hash);
        let landed = frozen.amount.saturating_sub(net.set_off);
        self.end_epoch(now_ms, lane, &frozen, hash, (landed, frozen.amount), fee, out);
    }

    /// The lane on which we pay: what neither landed nor was set off is signed anew, in the open epoch.
    fn settle_other(&mut self, now_ms: u64, mut lane: EscrowRow, set_off: Stroops, out: &mut Out) {
        let Some(frozen) = lane.frozen.take() else { return };
        let landed = frozen.amount.saturating_sub(set_off);
        lane.landed = lane.landed.add(landed).unwrap_or(lane.landed);
        lane.netted = lane.netted.add(set_off).unwrap_or(lane.netted);
        let carried = lane.total.saturating_sub(lane.settled());
        lane.held = Held { cumulative: carried, signature: self.signature(&lane, lane.epoch, carried) };
        self.note(now_ms, "netted", &lane, set_off, 0, out);
        self.note(now_ms, "landing_seen", &lane, landed, 0, out);
        let escrow = lane.escrow;
        self.say_claim(&lane, out);
        self.save(lane, out);
        if let Some(entry) = self.lanes.get_mut(&escrow) {
            (entry.look, entry.due_ms, entry.tries) = (true, 0, 0);
        }
    }

    /// N never applied and never will: the lane on which we pay goes on as after any flush.
    pub(super) fn forget_net(&mut self, other: &AccountKey, out: &mut Out) {
        let Some(mut row) = self.lanes.get(other).map(|l| l.row.clone()) else { return };
        if let Some(frozen) = row.frozen.as_mut().filter(|f| f.net.is_some()) {
            frozen.net = None;
            self.save(row, out);
        }
    }

    /// Payer: is it still open whether the frozen epoch was settled by N? The lane that pays us tells, so that is read.
    pub(super) fn waits_for_net(&mut self, lane: &EscrowRow) -> bool {
        let Some(net) = lane.frozen.as_ref().and_then(|f| f.net.as_ref()) else { return false };
        let about = |l: &&mut super::links::Lane| {
            l.row.frozen.as_ref().and_then(|f| f.net.as_ref()).is_some_and(|n| n.other == lane.escrow)
        };
        // When it is over, all that could have told is over with it.
        let Some(entry) = self.lanes.get_mut(&net.other).filter(about) else { return false };
        entry.look = true;
        true
    }
}

/// The number of the frozen epoch is used, and so much has left E: was that N? A flush takes more, because N sets
/// something off; what a stranger sends to E makes it look like less.
pub(super) fn by_net(lane: &EscrowRow, left: Stroops) -> bool {
    let Some((frozen, net)) = lane.frozen.as_ref().and_then(|f| Some((f, f.net.as_ref()?))) else { return false };
    left.saturating_sub(lane.landed) <= frozen.amount.saturating_sub(net.set_off)
}
