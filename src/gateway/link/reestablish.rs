//! After a restart or a new circuit: both say where they believe the link stands; the higher valid signature wins.
use super::claim;
use super::limits::LATE_EPOCHS;
use super::links::Links;
use super::rows::{EscrowRow, EscrowState, Frozen, Held, Lock, Role};
use crate::gateway::core::message::{Claim, Id, Message, Reestablish, RefusalCode};
use crate::gateway::port::{AccountView, Out};
use crate::stellar::template::MAX_EPOCH;
use rand::Rng;

impl Links {
    /// Says where we believe the link stands: one message for each lane that counts, one without a claim when none does.
    pub(super) fn reestablish(&self, link: &Id, out: &mut Out) {
        let newest = |lane: &EscrowRow| {
            let open = lane.held.signature.map(|s| (lane.epoch, lane.held.cumulative, s));
            let frozen = lane.frozen.as_ref().and_then(|f| f.held.signature.map(|s| (f.epoch, f.held.cumulative, s)));
            let (epoch, cumulative, signature) = open.or(frozen)?;
            Some(Claim { escrow: lane.escrow, epoch, cumulative, signature })
        };
        let claims: Vec<Claim> = self.lanes_of(link).filter(|l| l.state.is_usable()).filter_map(newest).collect();
        let claims = if claims.is_empty() { vec![None] } else { claims.into_iter().map(Some).collect() };
        for claim in claims {
            self.say(link, Message::Reestablish(Reestablish { link: *link, claim }), out);
        }
    }

    /// The partner is there again: says where we stand, and picks every step up that waits for it.
    pub(super) fn resume(&mut self, now_ms: u64, link: &Id, out: &mut Out) {
        if self.lanes_of(link).any(|lane| lane.state.is_usable()) {
            self.reestablish(link, out);
        }
        let lanes: Vec<_> = self.lanes_of(link).map(|lane| lane.escrow).collect();
        for escrow in lanes {
            if let Some(lane) = self.lanes.get_mut(&escrow) {
                lane.due_ms = 0;
                lane.look |= lane.row.state.is_usable() && lane.row.role == Role::Payer;
            }
            self.poke(now_ms, escrow, out);
        }
    }

    pub(super) fn on_reestablish(
        &mut self,
        now_ms: u64,
        _rng: &mut impl Rng,
        link: &Id,
        theirs: &Reestablish,
        out: &mut Out,
    ) -> Result<(), RefusalCode> {
        if theirs.link != *link {
            return Err(RefusalCode::LINK_UNKNOWN);
        }
        let Some(claim) = &theirs.claim else { return Ok(()) };
        let lane = self.lane_on(link, &claim.escrow).ok_or(RefusalCode::LINK_UNKNOWN)?;
        match lane.role {
            Role::Payee => self.keep(now_ms, lane, claim, false, out),
            Role::Payer => self.adopt(now_ms, lane, claim, out),
        }
    }

    /// Payee: a claim that the payer sends itself; `settled` when it says that the carry is in.
    pub(super) fn keep(
        &mut self,
        now_ms: u64,
        mut lane: EscrowRow,
        claim: &Claim,
        settled: bool,
        out: &mut Out,
    ) -> Result<(), RefusalCode> {
        if claim.epoch > lane.epoch {
            return self.look_ahead(now_ms, &lane, claim, out);
        }
        self.check_claim(now_ms, &lane, claim)?;
        let before = lane.clone();
        // A rise below an open lock does not count: it comes again with the lock's own.
        let below = |l: &Lock| l.epoch == claim.epoch && claim.cumulative < l.cumulative;
        let ignored = lane.lock.as_ref().is_some_and(below);
        if !ignored {
            claim::take(&mut lane, claim, self.limits.late_limit);
        }
        self.fold_in(now_ms, &mut lane, out);
        lane.note_gap();
        if settled && !ignored && lane.flushed.is_some_and(|f| claim.epoch > f.epoch) {
            lane.carry = None;
        }
        if lane != before {
            self.save(lane, out);
        }
        Ok(())
    }

    /// Our store is older than it was: a claim of an epoch that we do not know yet. E says which epochs are over.
    fn look_ahead(&mut self, now_ms: u64, lane: &EscrowRow, claim: &Claim, out: &mut Out) -> Result<(), RefusalCode> {
        if !self.is_signed(lane, claim) {
            return Err(RefusalCode::CLAIM_INVALID);
        }
        let escrow = lane.escrow;
        if let Some(entry) = self.lanes.get_mut(&escrow).filter(|l| l.row.state.is_usable()) {
            let newest = |c: &Claim| (c.epoch, c.cumulative);
            if entry.ahead.as_ref().is_none_or(|known| newest(known) < newest(claim)) {
                entry.ahead = Some(claim.clone());
            }
            (entry.look, entry.due_ms) = (true, 0);
            self.poke(now_ms, escrow, out);
        }
        Ok(())
    }

    /// Payee: E shows that an epoch is over of which our store says otherwise: it is older than it was. No claim of that
    /// epoch or of one before can land any more, and whatever they paid for was credited, as far as we can know.
    pub(super) fn catch_up(&self, now_ms: u64, lane: &mut EscrowRow, view: &AccountView, out: &mut Out) {
        let Some(terms) = self.terms(lane) else { return };
        let lowest = lane.frozen.as_ref().map_or(lane.epoch, |f| f.epoch);
        let used = u32::try_from(view.sequence.saturating_sub(terms.funded_sequence() + 1)).ok();
        let pending = lane.pending_tx().is_some(); // its own fate is looked up first
        let Some(used) = used.filter(|used| *used >= lowest && *used < MAX_EPOCH && !pending) else { return };
        let landed = self.left(lane, view).max(lane.landed);
        let seen = landed.saturating_sub(lane.landed);
        (lane.landed, lane.frozen) = (landed, None);
        if used >= lane.epoch {
            (lane.epoch, lane.held, lane.carry) = (used + 1, Held::default(), None);
        }
        if lane.lock.as_ref().is_some_and(|lock| lock.epoch <= used) {
            lane.lock = None;
        }
        for epoch in used.saturating_sub(LATE_EPOCHS)..=used {
            claim::all_credited(lane, epoch);
        }
        if !seen.is_zero() {
            self.note(now_ms, "flush_landed", lane, seen, 0, out);
        }
    }

    /// Payee: E was read; takes the claim that waited for it. One of the next epoch says that we froze the open one
    /// before our store was put back: what we hold of that is flushed, by itself if need be.
    pub(super) fn take_ahead(&mut self, now_ms: u64, lane: &mut EscrowRow) {
        // A lock goes down with its epoch: it comes first.
        if lane.lock.is_some() {
            return;
        }
        let Some(entry) = self.lanes.get_mut(&lane.escrow) else { return };
        let Some(claim) = entry.ahead.take() else { return };
        let next = lane.epoch.saturating_add(1);
        let mut taken = lane.clone();
        if claim.epoch == next
            && lane.frozen.is_none()
            && next < MAX_EPOCH
            && !std::mem::replace(&mut entry.put_back, true)
        {
            let (held, epoch) = (lane.held, lane.epoch);
            let frozen = Frozen::new(now_ms, epoch, held, held.cumulative);
            taken.frozen = (!held.cumulative.is_zero()).then_some(frozen);
            (taken.epoch, taken.held) = (next, Held::default());
        }
        // Past half of the period too: nothing is credited for it, and it can be flushed at once.
        if claim.epoch != taken.epoch || self.check_amount(&taken, &claim).is_err() {
            return;
        }
        claim::take(&mut taken, &claim, self.limits.late_limit);
        taken.note_gap();
        *lane = taken;
    }

    /// Payer: the payee holds a signature of ours that we do not remember, because our store is older than it was.
    /// What we signed, we owe.
    fn adopt(&mut self, now_ms: u64, mut lane: EscrowRow, claim: &Claim, out: &mut Out) -> Result<(), RefusalCode> {
        let known = match &lane.frozen {
            Some(frozen) if frozen.epoch == claim.epoch => frozen.held.cumulative,
            None if claim.epoch == lane.epoch => lane.held.cumulative,
            _ if (claim.epoch, claim.cumulative) <= (lane.epoch, lane.held.cumulative) => return Ok(()),
            // What is carried from the epochs before may be in it: only E says how much was signed in all.
            _ => return self.look_ahead(now_ms, &lane, claim, out),
        };
        if claim.cumulative <= known || lane.state != EscrowState::Open && lane.state != EscrowState::Retired {
            return Ok(());
        }
        if !self.is_signed(&lane, claim) {
            return Err(RefusalCode::CLAIM_INVALID);
        }
        let more = claim.cumulative.saturating_sub(known);
        lane.total = lane.total.add(more).map_err(|_| RefusalCode::DEPOSIT_EXCEEDED)?;
        let held = Held { cumulative: claim.cumulative, signature: Some(claim.signature) };
        match &mut lane.frozen {
            Some(frozen) if frozen.epoch == claim.epoch => frozen.held = held,
            _ => (lane.epoch, lane.held) = (claim.epoch, held),
        }
        self.note(now_ms, "claim_adopted", &lane, more, 0, out);
        let escrow = lane.escrow;
        self.save(lane, out);
        if let Some(lane) = self.lanes.get_mut(&escrow) {
            lane.look = true;
        }
        Ok(())
    }
}
