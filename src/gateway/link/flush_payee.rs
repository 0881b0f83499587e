//! The payee brings claims to the ledger: when, how much, alone if it must; and what a landing leaves to be carried.
use super::identity;
use super::limits::after_ms;
use super::links::Links;
use super::net_answer;
use super::rows::{Carry, EscrowRow, EscrowState, Flush, Flushed, Frozen, Held};
use crate::gateway::core::message::{AccountKey, Claim, FlushBegin, FlushDone, Id, Message, RefusalCode};
use crate::gateway::port::{AccountView, Out};
use crate::stellar::template::MAX_EPOCH;
use crate::units::Stroops;
use rand::Rng;

impl Links {
    /// Flushes all that is held now, as far as partners are there, and asks partners to flush what they hold: the
    /// operator's wish.
    pub fn flush_all(&mut self, now_ms: u64, _rng: &mut impl Rng, out: &mut Out) {
        let lanes: Vec<AccountKey> = self.lanes.keys().copied().collect();
        for escrow in lanes {
            if let Some(entry) = self.lanes.get_mut(&escrow).filter(|l| l.row.lock.is_some()) {
                entry.flush_ms = now_ms; // as soon as its lock is folded
            }
            self.begin_flush(now_ms, &escrow, false, out);
        }
        self.ask_flushes(out);
    }

    /// Is it time to flush this lane? By its schedule, because little is left, or because its clock runs.
    pub(super) fn flush_if_due(&mut self, now_ms: u64, rng: &mut impl Rng, escrow: &AccountKey, out: &mut Out) {
        let (interval, jitter) = (self.limits.flush_interval_secs, self.limits.flush_jitter_secs);
        let Some(entry) = self.lanes.get_mut(escrow) else { return };
        if entry.flush_ms == 0 {
            let jitter = rng.next_u64() % jitter.saturating_mul(1000).saturating_add(1);
            let wait = interval.saturating_mul(1 << entry.failures.min(6));
            entry.flush_ms = after_ms(now_ms, wait).saturating_add(jitter);
        }
        let (scheduled, row) = (now_ms >= entry.flush_ms, entry.row.clone());
        let late = now_ms >= row.clock_ms(6);
        let capacity = self.capacity(&row).get();
        let quarter = capacity / 4;
        let used = row.landed.get().saturating_add(row.held.cumulative.get());
        let low = capacity.saturating_sub(used) < quarter && row.held.cumulative.get() >= quarter;
        if !late && (scheduled || low) && self.nets_instead(now_ms, escrow) {
            return;
        }
        if scheduled || late || low {
            self.begin_flush(now_ms, escrow, late, out);
        }
    }

    /// Ends the open epoch and asks the payer to sign what is going to land. `late`: the clock runs, so an amount
    /// below the denomination goes as it is, and it begins even when the payer is away.
    pub(super) fn begin_flush(&mut self, now_ms: u64, escrow: &AccountKey, late: bool, out: &mut Out) {
        let Some(entry) = self.lanes.get_mut(escrow) else { return };
        let mut lane = entry.row.clone();
        if !lane.state.is_usable() || lane.role == super::Role::Payer || lane.frozen.is_some() || lane.lock.is_some() {
            return;
        }
        if now_ms >= entry.flush_ms {
            entry.flush_ms = 0; // the next interval begins now, whatever comes of this
        }
        let there = self.links.get(&lane.link).is_some_and(|l| l.circ.is_some());
        let carried = lane.carry.is_some_and(|c| now_ms < c.until_ms);
        if !late && (!there || carried) || lane.epoch >= MAX_EPOCH {
            return;
        }
        let held = lane.held;
        let rounded = self.limits.rounded(held.cumulative);
        let exact = lane.state == EscrowState::Retired || late && rounded.is_zero();
        let amount = if exact { held.cumulative } else { rounded };
        if amount.is_zero() {
            return;
        }
        lane.frozen = Some(Frozen::new(now_ms, lane.epoch, held, amount));
        lane.epoch += 1;
        lane.held = Held::default();
        self.save(lane, out);
        if let Some(entry) = self.lanes.get_mut(escrow) {
            (entry.due_ms, entry.tries) = (0, 0);
        }
        self.poke(now_ms, *escrow, out);
    }

    /// The next thing to do about a flush or what it left; true when there was one.
    pub(super) fn poke_payee(&mut self, now_ms: u64, lane: &EscrowRow, out: &mut Out) -> bool {
        if self.say_proposal(lane, out) {
            return true;
        }
        if self.net_pends(now_ms, lane) {
            self.ask_escrow(now_ms, lane.escrow, out);
            return true;
        }
        if let Some(frozen) = lane.frozen.as_ref().filter(|f| f.flush.is_none()) {
            if self.ready_claim(now_ms, lane).is_some() {
                self.ask_destination(now_ms, lane.escrow, out);
            } else {
                let FlushBegin { escrow, epoch, amount } =
                    FlushBegin { escrow: lane.escrow, epoch: frozen.epoch, amount: frozen.amount };
                self.say(&lane.link, Message::FlushBegin(FlushBegin { escrow, epoch, amount }), out);
            }
            return true;
        }
        if lane.carry.is_some() {
            self.say_flush_done(lane, out);
            return true;
        }
        false
    }

    fn say_flush_done(&self, lane: &EscrowRow, out: &mut Out) {
        if let Some(Flushed { epoch, hash }) = lane.flushed {
            self.say(&lane.link, Message::FlushDone(FlushDone { escrow: lane.escrow, epoch, hash }), out);
        }
    }

    pub(super) fn on_flush_ack(
        &mut self,
        now_ms: u64,
        link: &Id,
        claim: &Claim,
        out: &mut Out,
    ) -> Result<(), RefusalCode> {
        let lane = self.lane_on(link, &claim.escrow).ok_or(RefusalCode::LINK_UNKNOWN)?;
        let Some(frozen) = lane.frozen.as_ref().filter(|f| f.epoch == claim.epoch) else {
            // An answer to a question that we repeated, or to none.
            return if claim.epoch < lane.epoch { Ok(()) } else { Err(RefusalCode::UNEXPECTED) };
        };
        // The first answer counts: a payer can sign the same again and again, and would keep the flush from going out.
        let answered =
            self.lanes.get(&claim.escrow).and_then(|l| l.acked).is_some_and(|(epoch, _)| epoch == claim.epoch);
        if frozen.flush.is_some() || answered {
            return Ok(());
        }
        if claim.cumulative != frozen.amount {
            return Err(RefusalCode::AMOUNT_BELOW);
        }
        if !self.is_signed(&lane, claim) {
            return Err(RefusalCode::CLAIM_INVALID);
        }
        let acked = Held { cumulative: claim.cumulative, signature: Some(claim.signature) };
        let Some(entry) = self.lanes.get_mut(&claim.escrow) else { return Err(RefusalCode::INTERNAL) };
        (entry.acked, entry.due_ms, entry.tries) = (Some((claim.epoch, acked)), 0, 0);
        self.ask_destination(now_ms, claim.escrow, out);
        Ok(())
    }

    /// What is to be flushed of the frozen epoch, once that is settled.
    fn ready_claim(&self, now_ms: u64, lane: &EscrowRow) -> Option<Held> {
        let frozen = lane.frozen.as_ref().filter(|f| f.flush.is_none())?;
        let acked = self.lanes.get(&lane.escrow).and_then(|l| l.acked).filter(|(epoch, _)| *epoch == frozen.epoch);
        let Some((_, acked)) = acked else {
            // The payer is away or silent: its newest plain claim is as good.
            return (now_ms >= lane.clock_ms(8)).then_some(frozen.held);
        };
        let over = frozen.held.cumulative.saturating_sub(acked.cumulative);
        // More than a little beyond the rounded amount came in meanwhile: then the newest claim lands, not a promise.
        Some(if over > self.promise() { frozen.held } else { acked })
    }

    /// Our account as it stands before a flush. One that cannot arrive would use up the epoch's number for nothing, and
    /// it would be for the payer to sign the amount anew; so it waits until the operator has made room.
    pub(super) fn on_destination(&mut self, now_ms: u64, lane: EscrowRow, view: &AccountView, out: &mut Out) {
        let (Some(claim), Some(terms)) = (self.ready_claim(now_ms, &lane), self.terms(&lane)) else { return };
        // Flushes of other lanes that are under way may fill the same account.
        let others = self.lanes.values().filter_map(|l| l.row.frozen.as_ref()?.flush.as_ref());
        let all = others.fold(claim.cumulative, |sum, flush| sum.add(flush.claim.cumulative).unwrap_or(sum));
        let wrong = identity::check_destination(&terms, view, all).err().map(|e| e.code);
        let Some(entry) = self.lanes.get_mut(&lane.escrow) else { return };
        let before = std::mem::replace(&mut entry.blocked, wrong);
        if wrong.is_none() {
            return self.sign_flush(now_ms, lane, claim, out);
        }
        // The payer's refund does not wait: past the period E is read as well.
        entry.look |= now_ms >= lane.clock_ms(16);
        if before.is_none() {
            self.note(now_ms, "flush_blocked", &lane, claim.cumulative, 0, out);
        }
        self.pause(now_ms, &lane.escrow);
    }

    /// Our account cannot be read.
    pub(super) fn flush_unseen(&mut self, now_ms: u64, lane: EscrowRow, out: &mut Out) {
        if let Some(claim) = self.ready_claim(now_ms, &lane) {
            self.sign_flush(now_ms, lane, claim, out);
        }
    }

    fn sign_flush(&mut self, now_ms: u64, mut lane: EscrowRow, claim: Held, out: &mut Out) {
        let (Some(terms), Some(link)) = (self.terms(&lane), self.links.get(&lane.link)) else { return };
        let Some(frozen) = lane.frozen.as_mut() else { return };
        let fee = 2 * u64::from(crate::stellar::template::BASE_FEE);
        let Ok(tx) = self.me.flush(&terms, &link.signer, frozen.epoch, &claim, 0, fee) else { return };
        frozen.flush = Some(Flush { claim, tx, max_time: 0, locked: Stroops::ZERO });
        let escrow = lane.escrow;
        self.note(now_ms, "flush_submitted", &lane, claim.cumulative, fee, out);
        self.save(lane, out);
        if let Some(entry) = self.lanes.get_mut(&escrow) {
            (entry.due_ms, entry.tries, entry.acked, entry.blocked) = (0, 0, None, None);
        }
        self.submit(now_ms, escrow, out);
    }

    /// The flush is in a ledger.
    pub(super) fn on_flushed(
        &mut self,
        now_ms: u64,
        _rng: &mut impl Rng,
        lane: EscrowRow,
        ok: bool,
        fee: u64,
        out: &mut Out,
    ) {
        let Some(flush) = lane.frozen.as_ref().and_then(|f| f.flush.as_ref()) else { return };
        let landed = if ok { flush.claim.cumulative } else { Stroops::ZERO };
        self.end_flush(now_ms, lane, landed, fee, out);
    }

    /// Somebody else used the epoch's sequence number (us, before our store was put back; or the payer's refund).
    pub(super) fn on_flush_displaced(&mut self, now_ms: u64, mut lane: EscrowRow, out: &mut Out) {
        let seen = self.lanes.get(&lane.escrow).and_then(|l| l.seen);
        // Only a look at E from after the number was used says what landed.
        let used = lane.pending_tx().map_or(i64::MAX, |tx| tx.sequence);
        let Some((left, sequence)) = seen.filter(|(_, sequence)| *sequence >= used) else {
            return self.pause(now_ms, &lane.escrow);
        };
        let claimed = |f: &Frozen| f.flush.as_ref().map_or(Stroops::ZERO, |flush| flush.claim.cumulative);
        let most = lane.frozen.as_ref().map_or(Stroops::ZERO, |f| f.held.cumulative.max(claimed(f)));
        let landed = left.saturating_sub(lane.landed).min(most);
        if net_answer::by_net(&lane, left) {
            return self.settle_net(now_ms, lane, 0, out);
        }
        if self.is_refunded(&lane, sequence) {
            // The refund won, or came after the flush.
            lane.landed = lane.landed.add(landed).unwrap_or(lane.landed);
            if !landed.is_zero() {
                self.note(now_ms, "flush_landed", &lane, landed, 0, out);
                reduce(&mut lane, landed);
            }
            return self.end_lane(now_ms, lane, out);
        }
        self.end_flush(now_ms, lane, landed, 0, out);
    }

    fn end_flush(&mut self, now_ms: u64, mut lane: EscrowRow, landed: Stroops, fee: u64, out: &mut Out) {
        let Some(mut frozen) = lane.frozen.take() else { return };
        let Some(flush) = frozen.flush.take() else { return };
        if let Some(net) = &frozen.net {
            self.forget_net(&net.other, out); // one of the two lands, and this one did, or its number is used
        }
        if landed.is_zero() {
            self.note(now_ms, "flush_failed", &lane, flush.claim.cumulative, fee, out);
        }
        self.end_epoch(now_ms, lane, &frozen, flush.tx.hash, (landed, landed), fee, out);
    }

    /// The frozen epoch is over: so much of it `landed`, so much is `settled` with what was set off, the rest is to be
    /// carried.
    pub(super) fn end_epoch(
        &mut self,
        now_ms: u64,
        mut lane: EscrowRow,
        frozen: &Frozen,
        hash: [u8; 32],
        (landed, settled): (Stroops, Stroops),
        fee: u64,
        out: &mut Out,
    ) {
        let rest = frozen.held.cumulative.saturating_sub(settled);
        let ok = !settled.is_zero();
        lane.landed = lane.landed.add(landed).unwrap_or(lane.landed);
        // What failed as a whole counts again only when the payer has signed it anew.
        let grace = if ok && !frozen.carried { self.limits.carry_grace_secs } else { 0 };
        lane.carry = (!rest.is_zero()).then(|| Carry { amount: rest, until_ms: after_ms(now_ms, grace) });
        lane.flushed = Some(Flushed { epoch: frozen.epoch, hash });
        if ok {
            self.note(now_ms, "flush_landed", &lane, landed, fee, out);
        }
        let escrow = lane.escrow;
        self.save(lane.clone(), out);
        if let Some(entry) = self.lanes.get_mut(&escrow) {
            (entry.due_ms, entry.tries, entry.flush_ms, entry.look) = (0, 0, 0, true);
            entry.failures = if ok { 0 } else { entry.failures.saturating_add(1) };
        }
        self.say_flush_done(&lane, out);
    }

    /// The payer's own claim: on a carry, or because it is newer.
    pub(super) fn on_claim(&mut self, now_ms: u64, link: &Id, claim: &Claim, out: &mut Out) -> Result<(), RefusalCode> {
        let lane = self.lane_on(link, &claim.escrow).ok_or(RefusalCode::LINK_UNKNOWN)?;
        self.keep(now_ms, lane, claim, true, out)
    }

    /// E as the ledger shows it: its clock, and whether the refund took it.
    pub(super) fn on_payee_view(&mut self, now_ms: u64, mut lane: EscrowRow, view: &AccountView, out: &mut Out) {
        if self.is_ours(&lane, view) {
            // What left E before tells whether a flush that nobody finds had landed.
            let flushing = lane.frozen.as_ref().is_some_and(|f| f.flush.is_some());
            let end = if flushing { Self::on_flush_displaced } else { Self::end_lane };
            return end(self, now_ms, lane, out);
        }
        if self.on_net_view(now_ms, &lane, view, out) {
            return;
        }
        lane = self.lanes.get(&lane.escrow).map_or(lane, |l| l.row.clone());
        let before = lane.clone();
        lane.seq_time = lane.seq_time.max(view.sequence_time);
        self.catch_up(now_ms, &mut lane, view, out);
        self.take_ahead(now_ms, &mut lane);
        let lapsed = self.is_lapsed(now_ms, &lane, view);
        if lapsed == Some(true) {
            return self.end_lane(now_ms, lane, out);
        }
        let escrow = lane.escrow;
        if lane != before {
            self.save(lane, out);
        }
        if lapsed.is_some() {
            self.pause(now_ms, &escrow);
        }
    }

    pub(super) fn is_refunded(&self, lane: &EscrowRow, sequence: i64) -> bool {
        self.terms(lane).is_some_and(|terms| sequence >= terms.refund_sequence())
    }

    /// Nothing more can come of a lane. What was claimed and never landed is lost, and said.
    pub(super) fn end_lane(&mut self, now_ms: u64, mut lane: EscrowRow, out: &mut Out) {
        let lost = lane.claimed(now_ms).saturating_sub(lane.settled());
        if lane.role == super::Role::Payee && !lost.is_zero() {
            self.note(now_ms, "claim_lost", &lane, lost, 0, out);
        }
        lane.state = EscrowState::Spent;
        if let Some(net) = lane.frozen.take().and_then(|f| f.net) {
            self.forget_net(&net.other, out);
        }
        self.save(lane, out);
    }
}

/// What landed of the epoch that is frozen is held there no more.
fn reduce(lane: &mut EscrowRow, landed: Stroops) {
    if let Some(frozen) = &mut lane.frozen {
        frozen.held.cumulative = frozen.held.cumulative.saturating_sub(landed);
    }
}
