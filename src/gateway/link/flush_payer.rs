//! The payer's side of a flush: freezes the epoch, and carries what did not land once it saw for itself.
use super::links::Links;
use super::rows::{EscrowRow, Frozen, Held};
use crate::gateway::core::message::{Claim, FlushBegin, FlushDone, Id, Message, RefusalCode};
use crate::gateway::port::{AccountView, Out};
use crate::stellar::template::MAX_EPOCH;
use crate::units::Stroops;

impl Links {
    pub(super) fn on_flush_begin(
        &mut self,
        now_ms: u64,
        link: &Id,
        begin: &FlushBegin,
        out: &mut Out,
    ) -> Result<(), RefusalCode> {
        let mut lane = self.lane_on(link, &begin.escrow).ok_or(RefusalCode::LINK_UNKNOWN)?;
        if !lane.state.is_usable() {
            return Err(RefusalCode::ESCROW_PENDING);
        }
        match &lane.frozen {
            Some(frozen) if frozen.epoch == begin.epoch => {} // asked again: the same answer, whatever the amount
            Some(_) => return Err(RefusalCode::FLUSH_PENDING),
            None => {
                if begin.epoch != lane.epoch || lane.epoch >= MAX_EPOCH {
                    return Err(RefusalCode::EPOCH);
                }
                if begin.amount.is_zero() || begin.amount > lane.held.cumulative {
                    return Err(RefusalCode::AMOUNT_ABOVE);
                }
                freeze(&mut lane, begin.amount, now_ms);
                self.save(lane.clone(), out);
            }
        }
        let Some(frozen) = &lane.frozen else { return Err(RefusalCode::INTERNAL) };
        let (epoch, cumulative) = (frozen.epoch, frozen.amount);
        let signature = self.signature(&lane, epoch, cumulative).ok_or(RefusalCode::INTERNAL)?;
        self.say(link, Message::FlushAck(Claim { escrow: begin.escrow, epoch, cumulative, signature }), out);
        Ok(())
    }

    pub(super) fn on_flush_done(
        &mut self,
        now_ms: u64,
        link: &Id,
        done: &FlushDone,
        out: &mut Out,
    ) -> Result<(), RefusalCode> {
        let mut lane = self.lane_on(link, &done.escrow).ok_or(RefusalCode::LINK_UNKNOWN)?;
        if !lane.state.is_usable() {
            return Err(RefusalCode::ESCROW_PENDING);
        }
        if done.epoch > lane.epoch || lane.epoch >= MAX_EPOCH {
            return Err(RefusalCode::EPOCH);
        }
        let lowest = lane.frozen.as_ref().map_or(lane.epoch, |f| f.epoch);
        if done.epoch < lowest {
            self.say_claim(&lane, out); // seen before: the payee missed our answer
            return Ok(());
        }
        if lane.frozen.is_none() && !lane.held.cumulative.is_zero() {
            // It flushed alone. Nothing more is signed in an epoch that is said to be over; the ledger decides the rest.
            let all = lane.held.cumulative;
            freeze(&mut lane, all, now_ms);
            self.save(lane, out);
        }
        if let Some(entry) = self.lanes.get_mut(&done.escrow) {
            (entry.look, entry.due_ms, entry.tries) = (true, 0, 0);
        }
        self.poke(now_ms, done.escrow, out);
        Ok(())
    }

    /// The claim of the open epoch, as our own statement that the carry is in it.
    pub(super) fn say_claim(&self, lane: &EscrowRow, out: &mut Out) {
        if let Held { cumulative, signature: Some(signature) } = lane.held {
            let claim = Claim { escrow: lane.escrow, epoch: lane.epoch, cumulative, signature };
            self.say(&lane.link, Message::Claim(claim), out);
        }
    }

    /// E as the ledger shows it. Once an epoch's sequence number is used, no other claim of it can land: what was
    /// signed and did not leave E is carried into the open epoch.
    pub(super) fn on_payer_view(&mut self, now_ms: u64, mut lane: EscrowRow, view: &AccountView, out: &mut Out) {
        let Some(terms) = self.terms(&lane) else { return };
        if self.is_ours(&lane, view) {
            self.on_seen_refunded(now_ms, lane, view, out);
            return;
        }
        if self.waits_for_net(&lane) && !self.is_refundable(now_ms, &lane) {
            return self.pause(now_ms, &lane.escrow);
        }
        let before = lane.clone();
        lane.seq_time = lane.seq_time.max(view.sequence_time);
        let lowest = lane.frozen.as_ref().map_or(lane.epoch, |f| f.epoch);
        let used = u32::try_from(view.sequence.saturating_sub(terms.funded_sequence() + 1)).ok();
        let ahead = self.lanes.get(&lane.escrow).and_then(|l| l.ahead.clone());
        let waits = ahead.as_ref().is_some_and(|claim| used.is_none_or(|used| used.saturating_add(1) < claim.epoch));
        let over = used.filter(|used| *used >= lowest && lane.state.is_usable() && !waits);
        if over.is_some_and(|used| lane.lock.as_ref().is_some_and(|lock| lock.epoch <= used)) {
            // Was it the claim under our lock that landed? Then its secret can be read there.
            return self.ask_history(now_ms, lane.escrow, out);
        }
        if let Some(used) = over {
            // What left E was signed by us, and so was what the payee shows beside it; a store that is older than it was
            // knows of less.
            let shown = ahead.filter(|claim| claim.epoch == used.saturating_add(1)).map(|claim| claim.cumulative);
            let left = self.left(&lane, view).max(lane.landed);
            let signed = left.add(lane.netted).and_then(|sum| sum.add(shown.unwrap_or(Stroops::ZERO))).unwrap_or(left);
            let more = signed.saturating_sub(lane.total);
            if !more.is_zero() {
                lane.total = signed;
                self.note(now_ms, "claim_adopted", &lane, more, 0, out);
            }
            if let Some(entry) = self.lanes.get_mut(&lane.escrow) {
                entry.ahead = None;
            }
            let landed = left;
            let seen = landed.saturating_sub(lane.landed);
            lane.landed = landed;
            lane.frozen = None;
            lane.epoch = lane.epoch.max(used.saturating_add(1));
            let carried = lane.total.saturating_sub(lane.settled());
            let signature = self.signature(&lane, lane.epoch, carried);
            lane.held = Held { cumulative: carried, signature };
            self.note(now_ms, "landing_seen", &lane, seen, 0, out);
        }
        let escrow = lane.escrow;
        if lane != before {
            self.save(lane.clone(), out);
        }
        if self.is_refundable(now_ms, &lane) {
            return self.begin_refund(now_ms, lane, out);
        }
        match over {
            Some(_) => self.say_claim(&lane, out),
            None if waits => {
                if let Some(entry) = self.lanes.get_mut(&escrow) {
                    entry.look = true;
                }
                self.pause(now_ms, &escrow);
            }
            None if lane.frozen.is_some() => self.pause(now_ms, &escrow),
            None => self.poke(now_ms, escrow, out),
        }
    }
}

/// Nothing more is signed in the open epoch; `amount` of it is going to land. The next starts at 0.
pub(super) fn freeze(lane: &mut EscrowRow, amount: Stroops, now_ms: u64) {
    lane.frozen = Some(Frozen::new(now_ms, lane.epoch, lane.held, amount));
    lane.epoch += 1;
    lane.held = Held::default();
}
