//! Locks against the clock and the ledger: who has the secret brings the claim in before it is void; who signed one
//! reads the secret off the ledger when it lands there; a lock whose time is over goes.
//!
//! The payer lets go of a lock only when the ledger itself says that its time is over and that no claim of its epoch
//! landed: our own clock may be wrong, and at a node the lock of the payer before it hangs on it.
use super::links::Links;
use super::lock::LockNews;
use super::rows::{EscrowRow, Flush, Frozen, Held, Role};
use crate::gateway::core::message::{AccountKey, Beside, ClaimBody, RefusalCode};
use crate::gateway::port::{AccountHistory, Out};
use crate::stellar::adaptor::PreSignature;
use crate::stellar::template::{BASE_FEE, Landed, LockedClaim, MAX_EPOCH, read_secret};

impl Links {
    /// The next thing to do about a lock; true when there was one.
    pub(super) fn poke_lock(&mut self, now_ms: u64, lane: &EscrowRow, out: &mut Out) -> bool {
        let Some(lock) = &lane.lock else { return false };
        let (now, over) = (now_ms / 1000, now_ms / 1000 > lock.max_time);
        match (lane.role, &lock.secret) {
            (Role::Payer, _) if over => self.ask_history(now_ms, lane.escrow, out),
            (Role::Payer, _) => return false,
            // Void, unless the payer still holds what we signed onwards for it: then it goes when that goes.
            (Role::Payee, None) if over && !self.signed_onwards(lane) => self.drop_lock(now_ms, lane.clone(), out),
            (Role::Payee, None) => return false,
            (Role::Payee, Some(_)) if now >= self.land_at(lock) => return self.land(now_ms, lane.clone(), out),
            (Role::Payee, Some(_)) => self.say_reveal(lane, out),
        }
        true
    }

    /// Payee: a claim whose secret we know has to go to the ledger now.
    pub(super) fn lock_is_pressing(&self, now_ms: u64, lane: &EscrowRow) -> bool {
        let known = lane.lock.as_ref().filter(|lock| lane.role == Role::Payee && lock.secret.is_some());
        known.is_some_and(|lock| now_ms / 1000 >= self.land_at(lock))
    }

    fn signed_onwards(&self, lane: &EscrowRow) -> bool {
        let own = lane.lock.as_ref().map(|lock| lock.own);
        own.is_some_and(|own| self.lane_of_lock(Role::Payer, &own).is_some())
    }

    pub(super) fn drop_lock(&mut self, now_ms: u64, mut lane: EscrowRow, out: &mut Out) {
        let Some(lock) = lane.lock.take() else { return };
        self.note_hop(now_ms, "lock_expired", &lane, Some(lock.own), lock.amount, 0, out);
        if lane.role == Role::Payer && lock.offset.is_none() {
            self.news.push(LockNews { own: lock.own, secret: None });
        }
        self.save(lane, out);
    }

    /// Payee: brings the locked claim to the ledger, without asking anybody; false when something else is on its way.
    fn land(&mut self, now_ms: u64, mut lane: EscrowRow, out: &mut Out) -> bool {
        let Some(lock) = lane.lock.clone() else { return false };
        // Somebody may have ended the lock's epoch under it; as long as nothing of it is signed for the ledger, the lock's
        // claim is what goes there.
        let ended = lane.frozen.as_ref().is_some_and(|f| f.epoch == lock.epoch && f.flush.is_none() && f.net.is_none());
        if !ended && (lane.frozen.is_some() || lane.epoch >= MAX_EPOCH) {
            return false;
        }
        if !ended && lock.epoch != lane.epoch {
            self.lose_lock(now_ms, lane, out);
            return true;
        }
        let (Some(terms), Some(link)) = (self.terms(&lane), self.links.get(&lane.link)) else { return false };
        let Some(claim) = lock.completed(&terms) else { return false };
        let fee = 2 * u64::from(BASE_FEE);
        let Ok(tx) = self.me.flush(&terms, &link.signer, lock.epoch, &claim, lock.max_time, fee) else { return false };
        let flush = Flush { claim, tx, max_time: lock.max_time, locked: lock.amount };
        lane.lock = None;
        match lane.frozen.as_mut().filter(|_| ended) {
            Some(frozen) => (frozen.amount, frozen.flush) = (claim.cumulative, Some(flush)),
            None => {
                let frozen = Frozen::new(now_ms, lane.epoch, lane.held, claim.cumulative);
                lane.frozen = Some(Frozen { flush: Some(flush), ..frozen });
                (lane.epoch, lane.held) = (lane.epoch + 1, Held::default());
            }
        }
        let escrow = lane.escrow;
        self.note(now_ms, "flush_submitted", &lane, claim.cumulative, fee, out);
        self.save(lane, out);
        if let Some(entry) = self.lanes.get_mut(&escrow) {
            (entry.due_ms, entry.tries) = (0, 0);
        }
        self.submit(now_ms, escrow, out);
        true
    }

    /// Payee: the lock is of an epoch that is over: what it would have added is lost.
    fn lose_lock(&mut self, now_ms: u64, mut lane: EscrowRow, out: &mut Out) {
        let Some(lock) = lane.lock.take() else { return };
        if lock.secret.is_some() {
            lane.total = lane.total.saturating_sub(lock.amount);
            self.note_hop(now_ms, "lock_lost", &lane, Some(lock.own), lock.amount, 0, out);
        }
        self.save(lane, out);
    }

    /// Payee: it is too late for a claim that was under a lock, and E's number is not used. What it would have added is
    /// lost; what is held besides it is flushed as ever.
    pub(super) fn on_too_late(&mut self, now_ms: u64, mut lane: EscrowRow, out: &mut Out) {
        let Some(frozen) = lane.frozen.as_mut() else { return };
        let Some(flush) = frozen.flush.take() else { return };
        frozen.amount = frozen.held.cumulative;
        if frozen.held.signature.is_none() {
            lane.frozen = None;
        }
        lane.total = lane.total.saturating_sub(flush.locked);
        self.note(now_ms, "lock_lost", &lane, flush.locked, 0, out);
        let escrow = lane.escrow;
        self.save(lane, out);
        self.poke(now_ms, escrow, out);
    }

    /// Payee: what a plain claim does to the lane's lock. `lock_stale`: it raises what the lock stands on, without it.
    pub(super) fn raise_lock(&self, now_ms: u64, lane: &mut EscrowRow, body: &ClaimBody) -> Result<(), RefusalCode> {
        let claim = &body.claim;
        let Some(lock) = lane.lock.as_ref().filter(|lock| lock.epoch == claim.epoch) else { return Ok(()) };
        if claim.cumulative <= lane.held.cumulative {
            return Ok(());
        }
        let Beside::Relock(signature) = body.beside else {
            let below = claim.cumulative.saturating_sub(body.amount);
            if below >= lock.cumulative {
                return Ok(()); // it covers the lock, which is folded
            }
            // The payer has let go of a lock whose time is over, or it cheats.
            let void = lock.secret.is_none() && now_ms / 1000 > lock.max_time && !self.signed_onwards(lane);
            if void {
                lane.lock = None;
            }
            return if void { Ok(()) } else { Err(RefusalCode::LOCK_STALE) };
        };
        let cumulative = claim.cumulative.add(lock.amount).map_err(|_| RefusalCode::DEPOSIT_EXCEEDED)?;
        if cumulative <= lock.cumulative {
            return Ok(());
        }
        if lane.landed.add(cumulative).map_or(true, |reached| reached > self.capacity(lane)) {
            return Err(RefusalCode::DEPOSIT_EXCEEDED);
        }
        let terms = self.terms(lane).ok_or(RefusalCode::INTERNAL)?;
        let (point, pre) = (lock.lock_point(), PreSignature::from_bytes(&signature).ok());
        let raised = LockedClaim { cumulative, ..lock.claim() };
        let fits = point.zip(pre).is_some_and(|(point, pre)| raised.pre_verify(&terms, &point, &pre).is_ok());
        match lane.lock.as_mut().filter(|_| fits) {
            Some(lock) => {
                (lock.cumulative, lock.pre) = (cumulative, Some(signature));
                Ok(())
            }
            None => Err(RefusalCode::LOCK_INVALID),
        }
    }

    /// Payee: the lock goes once plain claims in hand cover it: they are worth the same, and need no secret and no hurry.
    pub(super) fn fold_in(&mut self, now_ms: u64, lane: &mut EscrowRow, out: &mut Out) {
        let covered = |lane: &EscrowRow| {
            lane.lock.as_ref().is_some_and(|l| l.epoch == lane.epoch && lane.held.cumulative >= l.cumulative)
        };
        if !covered(lane) {
            return;
        }
        let Some(lock) = lane.lock.take() else { return };
        // Which part of the epoch it is: the topmost that nobody else was credited.
        lane.credit_top(lock.epoch, lock.amount);
        if lock.secret.is_none() {
            lane.remember(super::Recent {
                hop: lock.hop,
                amount: lock.amount,
                epoch: lock.epoch,
                cumulative: lane.held.cumulative,
            });
            lane.total = lane.total.add(lock.amount).unwrap_or(lane.total);
            self.note_hop(now_ms, "claim_accepted", lane, Some(lock.hop), lock.amount, 0, out);
        }
    }

    /// Payer: what E did lately.
    pub(super) fn on_history(&mut self, now_ms: u64, lane: EscrowRow, history: &AccountHistory, out: &mut Out) {
        let escrow = lane.escrow;
        let (Some(lock), Some(terms)) = (lane.lock.clone(), self.terms(&lane)) else { return };
        let (Some(point), Some(link)) = (lock.lock_point(), self.links.get(&lane.link)) else { return };
        let read = |envelope: &Vec<u8>| read_secret(&terms, lock.epoch, lock.max_time, &point, &link.signer, envelope);
        let landed: Vec<Landed> =
            history.envelopes.iter().map(read).filter(|landed| *landed != Landed::Other).collect();
        let used = terms.claim_sequence(lock.epoch).is_ok_and(|number| history.sequence >= number);
        let secret =
            landed.iter().find_map(|one| if let Landed::Secret(secret) = one { Some(secret.clone()) } else { None });
        match secret {
            // A signature proves itself, whoever shows it.
            Some(secret) => self.fold(now_ms, lane, &secret, out),
            None if used && !landed.is_empty() => self.drop_lock(now_ms, lane, out),
            None if !used && history.closed_at > lock.max_time => self.drop_lock(now_ms, lane, out),
            // Used, and nobody shows by what: asked until the escrow itself is over.
            None if used && now_ms >= lane.clock_ms(16) && lane.seq_time != 0 => self.drop_lock(now_ms, lane, out),
            None => return self.pause(now_ms, &escrow),
        }
        self.look_again(&escrow);
    }

    /// E is read at the next step.
    pub(super) fn look_again(&mut self, escrow: &AccountKey) {
        if let Some(entry) = self.lanes.get_mut(escrow) {
            (entry.look, entry.due_ms, entry.tries) = (true, 0, 0);
        }
    }
}
