//! Locked claims: the payer signs one under a lock, the payee takes it, and both learn its secret (payments.md 3).
//!
//! A lane has one open lock. Plain claims may still be signed on it: each brings the lock's pre-signature anew, for
//! what the lane then stands at plus the lock's amount, and does not count without it.
use super::links::Links;
use super::rows::{EscrowRow, EscrowState, Held, Lock, Recent, Role};
use super::{PayeeRef, PayerRef, Readiness};
use crate::gateway::core::message::{
    Beside, Carried, Claim, ClaimBody, Id, Message, RefusalCode, Reveal, TemplateBody,
};
use crate::gateway::core::seal;
use crate::gateway::port::Out;
use crate::stellar::adaptor::{LockOffset, LockPoint, LockSecret, PreSignature};
use crate::stellar::template::{EscrowTerms, LockedClaim};
use crate::units::Stroops;
use rand::Rng;

/// A lock may end so many margins from now at most: longer than any honest route needs.
const LONGEST: u64 = 8;

/// How a claim is to be locked.
#[derive(Clone, Debug)]
pub struct NewLock {
    /// Under which point.
    pub point: LockPoint,
    /// Unix seconds after which it cannot land.
    pub max_time: u64,
    /// At a node: d, what the secret of its incoming lock is larger by.
    pub offset: Option<LockOffset>,
}

/// A locked claim that was checked and is not kept yet.
#[derive(Clone, Debug)]
pub struct Taken {
    lane: EscrowRow,
    lock: Lock,
    point: LockPoint,
}

impl Taken {
    /// T of its lock.
    pub fn point(&self) -> &LockPoint {
        &self.point
    }
    /// Unix seconds after which it cannot land.
    pub fn max_time(&self) -> u64 {
        self.lock.max_time
    }
}

/// What became of a lock of our own (as the client of a chain).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LockNews {
    /// Our name of the payment.
    pub own: Id,
    /// Its secret, when the payment is made. Else its time is over, and nothing was paid.
    pub secret: Option<LockSecret>,
}

impl Lock {
    /// The claim that it is.
    pub(super) fn claim(&self) -> LockedClaim {
        LockedClaim { epoch: self.epoch, cumulative: self.cumulative, max_time: self.max_time }
    }
    pub(super) fn lock_point(&self) -> Option<LockPoint> {
        LockPoint::from_bytes(&self.point).ok()
    }
    /// The lock's secret, if these bytes are it.
    pub(super) fn opened_by(&self, secret: &[u8; 32]) -> Option<LockSecret> {
        let secret = LockSecret::from_bytes(secret).ok()?;
        (secret.point() == self.lock_point()?).then_some(secret)
    }
    /// Payee: the payer's signature, once the secret is known.
    pub(super) fn completed(&self, terms: &EscrowTerms) -> Option<Held> {
        let secret = LockSecret::from_bytes(self.secret.as_ref()?).ok()?;
        let pre = PreSignature::from_bytes(self.pre.as_ref()?).ok()?;
        let signature = self.claim().adapt(terms, &self.lock_point()?, &pre, &secret).ok()?;
        Some(Held { cumulative: self.cumulative, signature: Some(signature) })
    }
}

impl EscrowRow {
    /// A lock can be opened here: nothing is being flushed, and no flush is due before it could end.
    pub(super) fn takes_lock(&self, now_ms: u64) -> Result<(), RefusalCode> {
        if self.state != EscrowState::Open {
            return Err(RefusalCode::ESCROW_PENDING);
        }
        if self.frozen.is_some() || now_ms >= self.clock_ms(6) {
            return Err(RefusalCode::FLUSH_PENDING);
        }
        if self.lock.is_some() { Err(RefusalCode::BUSY) } else { Ok(()) }
    }
    /// What the open lock would take; one whose secret is known counts as a claim.
    pub(super) fn locked(&self) -> Stroops {
        self.lock.as_ref().filter(|lock| lock.secret.is_none()).map_or(Stroops::ZERO, |lock| lock.amount)
    }
}

impl Links {
    /// Seconds by which an incoming lock has to outlive the one that is signed onwards for it.
    pub fn lock_margin(&self) -> u64 {
        self.limits.lock_secs
    }

    /// The secret of the lock that a chain ends with here: for the payment `hop_id` and for no other.
    pub fn lock_secret(&self, hop_id: &Id) -> Result<LockSecret, RefusalCode> {
        self.me.lock_secret(hop_id).map_err(|_| RefusalCode::INTERNAL)
    }

    /// Payer: a claim for `amount` more, under a lock. `own` names the payment here. A repeat with the same lock gets
    /// the claim as it stands now; `busy`: the lane has another lock.
    pub fn sign_locked(
        &mut self,
        now_ms: u64,
        rng: &mut impl Rng,
        own: Id,
        payee: PayeeRef,
        amount: Stroops,
        template: &Carried,
        new: NewLock,
        out: &mut Out,
    ) -> Result<Carried, RefusalCode> {
        let link = self.link_to(&payee, template).ok_or(RefusalCode::NO_LINK)?;
        let (id, key, tag) = (link.row.id, link.row.key, link.row.tag);
        let body = seal::open_template(&key, tag, template).map_err(|_| RefusalCode::BAD_SEAL)?;
        let mut nonce = [0; seal::NONCE_LEN];
        rng.fill_bytes(&mut nonce);
        let known = self.lanes_of(&id).find(|lane| lane.lock.as_ref().is_some_and(|l| l.hop == body.hop_id)).cloned();
        let lane = match known {
            Some(lane) => lane,
            None => self.lock_new(now_ms, &id, own, &body, amount, &new, out)?,
        };
        let Some(lock) = &lane.lock else { return Err(RefusalCode::INTERNAL) };
        let offset = new.offset.as_ref().map(|d| *d.expose());
        let same = (lock.own, lock.amount, lock.point, lock.max_time, lock.offset)
            == (own, amount, new.point.to_bytes(), new.max_time, offset);
        if !same {
            return Err(RefusalCode::DUPLICATE_CONFLICT);
        }
        let signature = self.pre_signature(&lane, lock).ok_or(RefusalCode::INTERNAL)?;
        let claim = Claim { escrow: lane.escrow, epoch: lock.epoch, cumulative: lock.cumulative, signature };
        let body = ClaimBody { hop_id: body.hop_id, amount, claim, beside: Beside::Lock(lock.point, lock.max_time) };
        seal::seal_claim(&key, tag, nonce, &body).map_err(|_| RefusalCode::INTERNAL)
    }

    fn lock_new(
        &mut self,
        now_ms: u64,
        link: &Id,
        own: Id,
        body: &TemplateBody,
        amount: Stroops,
        new: &NewLock,
        out: &mut Out,
    ) -> Result<EscrowRow, RefusalCode> {
        if self.lanes_of(link).any(|lane| lane.recent(&body.hop_id).is_some()) {
            return Err(RefusalCode::DUPLICATE_CONFLICT); // folded, or paid in plain
        }
        // One lock onwards for one that came in, whatever templates are brought for it.
        if self.holds_lock(Role::Payer, &own) {
            return Err(RefusalCode::DUPLICATE_CONFLICT);
        }
        self.check_wish(body, amount)?;
        self.plan_if_needed(now_ms, link, out);
        let lane = self.lane_on(link, &body.escrow).filter(|lane| lane.state == EscrowState::Open);
        let Some(mut lane) = lane else { return Err(self.why_no_lane(link)) };
        lane.takes_lock(now_ms)?;
        self.check_base(link, &lane, body, out)?;
        let cumulative = lane.held.cumulative.add(amount).map_err(|_| RefusalCode::DEPOSIT_EXCEEDED)?;
        self.check_room(now_ms, link, &lane, amount, out)?;
        lane.lock = Some(Lock {
            hop: body.hop_id,
            own,
            amount,
            cumulative,
            epoch: lane.epoch,
            point: new.point.to_bytes(),
            max_time: new.max_time,
            offset: new.offset.as_ref().map(|d| *d.expose()),
            pre: None,
            secret: None,
        });
        self.note_hop(now_ms, "lock_signed", &lane, Some(own), amount, 0, out);
        self.save(lane.clone(), out);
        // The next one has to go somewhere.
        if self.lanes_open(link).all(|l| l.lock.is_some()) {
            self.want_lane(now_ms, link, out);
        }
        Ok(lane)
    }

    /// Payer: the lock's pre-signature for what it stands at.
    fn pre_signature(&self, lane: &EscrowRow, lock: &Lock) -> Option<[u8; 64]> {
        let signer = &self.links.get(&lane.link)?.signer;
        lock.claim().pre_sign(&self.terms(lane)?, &lock.lock_point()?, signer).ok().map(|pre| pre.to_bytes())
    }

    /// Payer: what stands beside a plain claim: the lane's lock, raised above it.
    pub(super) fn beside(&self, lane: &EscrowRow, epoch: u32, cumulative: Stroops) -> Option<Beside> {
        let Some(lock) = lane.lock.as_ref().filter(|lock| lock.epoch == epoch) else { return Some(Beside::Nothing) };
        let raised = Lock { cumulative: cumulative.add(lock.amount).ok()?, ..lock.clone() };
        self.pre_signature(lane, &raised).map(Beside::Relock)
    }

    /// Payer: a node that has its incoming lock's secret has that of the lock it signed onwards, too; a client has its
    /// own. Replaces the locked claim by a plain one.
    pub fn settle(&mut self, now_ms: u64, own: &Id, secret: &LockSecret, out: &mut Out) {
        let Some(lane) = self.lane_of_lock(Role::Payer, own).cloned() else { return };
        let Some(lock) = &lane.lock else { return };
        let offset = lock.offset.and_then(|d| LockOffset::from_bytes(&d).ok());
        let secret = match &offset {
            Some(d) => secret.unshift(d),
            None => Ok(secret.clone()),
        };
        // Past its time a lock can land nowhere: then only the ledger says what became of it.
        if let Ok(secret) = secret
            && now_ms / 1000 <= lock.max_time
            && lock.opened_by(&secret.expose()).is_some()
        {
            self.fold(now_ms, lane, &secret, out);
        }
    }

    /// Payer: the secret of the lane's lock is known. What it promised is signed plainly, and at a node the lock of the
    /// payer before it opens.
    pub(super) fn fold(&mut self, now_ms: u64, mut lane: EscrowRow, secret: &LockSecret, out: &mut Out) {
        let Some(lock) = lane.lock.take() else { return };
        lane.total = lane.total.add(lock.amount).unwrap_or(lane.total);
        self.note_hop(now_ms, "claim_signed", &lane, Some(lock.own), lock.amount, 0, out);
        let epoch = lane.epoch;
        if lock.epoch == epoch {
            let cumulative = lane.held.cumulative.add(lock.amount).unwrap_or(lane.held.cumulative);
            lane.held = Held { cumulative, signature: self.signature(&lane, epoch, cumulative) };
            lane.remember(Recent { hop: lock.hop, amount: lock.amount, epoch, cumulative });
        }
        self.save(lane.clone(), out);
        self.say_claim(&lane, out);
        match lock.offset.and_then(|d| LockOffset::from_bytes(&d).ok()) {
            Some(d) => {
                self.forwarded_for(&lock.own, lock.amount, out);
                if let Ok(secret) = secret.shift(&d) {
                    self.learn(now_ms, &lock.own, &secret, out);
                }
            }
            None => self.news.push(LockNews { own: lock.own, secret: Some(secret.clone()) }),
        }
    }

    /// Payer: the payee says that it knows the secret.
    pub(super) fn on_reveal(
        &mut self,
        now_ms: u64,
        link: &Id,
        said: &Reveal,
        out: &mut Out,
    ) -> Result<(), RefusalCode> {
        let lane = self.lane_on(link, &said.escrow).ok_or(RefusalCode::LINK_UNKNOWN)?;
        if lane.role == Role::Payee {
            return Err(RefusalCode::UNEXPECTED);
        }
        match lane.lock.as_ref().filter(|lock| lock.hop == said.hop_id) {
            Some(lock) => {
                let secret = lock.opened_by(&said.secret).ok_or(RefusalCode::LOCK_INVALID)?;
                if now_ms / 1000 > lock.max_time {
                    return Err(RefusalCode::TIMED_OUT); // only the ledger counts now
                }
                self.fold(now_ms, lane, &secret, out);
            }
            None => self.say_claim(&lane, out), // folded before: it missed that
        }
        Ok(())
    }

    /// Payee: checks a locked claim for the payment `hop_id` of `amount`; nothing is kept yet. `late`: it must not end
    /// before this (unix seconds).
    pub fn check_lock(
        &self,
        now_ms: u64,
        hop_id: &Id,
        amount: Stroops,
        claim: &Carried,
        late: u64,
    ) -> Result<Taken, RefusalCode> {
        let link = self.link_by_tag(&claim.link_tag, Role::Payee).ok_or(RefusalCode::NO_LINK)?;
        let id = link.row.id;
        let body = seal::open_claim(&link.row.key, link.row.tag, claim).map_err(|_| RefusalCode::BAD_SEAL)?;
        let Beside::Lock(point, max_time) = body.beside else { return Err(RefusalCode::LOCK_INVALID) };
        if body.hop_id != *hop_id {
            return Err(RefusalCode::HOP_UNKNOWN);
        }
        if body.amount != amount || amount.is_zero() {
            return Err(RefusalCode::AMOUNT_BELOW);
        }
        if self.lanes_of(&id).any(|lane| lane.recent(hop_id).is_some()) {
            return Err(RefusalCode::DUPLICATE_CONFLICT);
        }
        let lane = self.lane_on(&id, &body.claim.escrow).ok_or(RefusalCode::LINK_UNKNOWN)?;
        let known = lane.lock.as_ref().filter(|lock| lock.hop == *hop_id);
        if known.is_some_and(|lock| lock.secret.is_some()) {
            return Err(RefusalCode::DUPLICATE_CONFLICT); // paid: nothing more goes onwards for it
        }
        if known.is_some_and(|lock| lock.point != point || lock.max_time != max_time || lock.amount != amount) {
            return Err(RefusalCode::DUPLICATE_CONFLICT);
        }
        if known.is_none() {
            if self.holds_lock(Role::Payee, hop_id) {
                return Err(RefusalCode::DUPLICATE_CONFLICT); // on another lane
            }
            lane.takes_lock(now_ms)?;
        }
        let Claim { epoch, cumulative, signature, .. } = body.claim;
        if epoch != lane.epoch || lane.held.cumulative.add(amount).map_or(true, |least| cumulative < least) {
            return Err(RefusalCode::LOCK_STALE);
        }
        let longest = (now_ms / 1000).saturating_add(self.limits.lock_secs.saturating_mul(LONGEST));
        if max_time < late || max_time > longest {
            return Err(RefusalCode::LOCK_TIME);
        }
        // Real money alone: what landed and what this claim takes cover all that was credited.
        let reached = lane.landed.add(cumulative).map_err(|_| RefusalCode::DEPOSIT_EXCEEDED)?;
        if reached > self.capacity(&lane) {
            return Err(RefusalCode::DEPOSIT_EXCEEDED);
        }
        let covered = lane.settled().add(cumulative).unwrap_or(Stroops::MAX);
        if lane.total.add(amount).map_or(true, |credited| credited > covered) {
            return Err(RefusalCode::FLUSH_PENDING);
        }
        let lock_point = LockPoint::from_bytes(&point).map_err(|_| RefusalCode::LOCK_INVALID)?;
        let pre = PreSignature::from_bytes(&signature).map_err(|_| RefusalCode::LOCK_INVALID)?;
        let terms = self.terms(&lane).ok_or(RefusalCode::INTERNAL)?;
        let fits = LockedClaim { epoch, cumulative, max_time }.pre_verify(&terms, &lock_point, &pre);
        fits.map_err(|_| RefusalCode::LOCK_INVALID)?;
        let secret = known.and_then(|lock| lock.secret);
        let lock = Lock {
            hop: *hop_id,
            own: *hop_id,
            amount,
            cumulative,
            epoch,
            point,
            max_time,
            offset: None,
            pre: Some(signature),
            secret,
        };
        Ok(Taken { lane, lock, point: lock_point })
    }

    /// Payee: keeps a locked claim that was checked in this same step.
    pub fn keep_lock(&mut self, now_ms: u64, taken: Taken, out: &mut Out) {
        let Taken { mut lane, lock, .. } = taken;
        if lane.lock.is_none() {
            self.note_hop(now_ms, "lock_taken", &lane, Some(lock.hop), lock.amount, 0, out);
        }
        lane.lock = Some(lock);
        self.save(lane, out);
    }

    /// Payee: the secret of the lock that payment `hop_id` is under. From here on the claim is ours; what we signed
    /// onwards for it is folded. `timed_out`: too late for the claim to land for sure.
    pub fn reveal(&mut self, now_ms: u64, hop_id: &Id, secret: &[u8; 32], out: &mut Out) -> Result<(), RefusalCode> {
        let secret = LockSecret::from_bytes(secret).map_err(|_| RefusalCode::LOCK_INVALID)?;
        let lane = self.lane_of_lock(Role::Payee, hop_id).ok_or(RefusalCode::HOP_UNKNOWN)?.clone();
        let late = match &lane.lock {
            Some(lock) if lock.hop == *hop_id => {
                lock.opened_by(&secret.expose()).ok_or(RefusalCode::LOCK_INVALID)?;
                lock.secret.is_none() && now_ms / 1000 >= self.land_at(lock)
            }
            _ => false, // folded before
        };
        self.learn(now_ms, hop_id, &secret, out);
        self.settle(now_ms, hop_id, &secret, out);
        if late { Err(RefusalCode::TIMED_OUT) } else { Ok(()) }
    }

    /// Payee: the secret of a lock that we hold is known, from wherever.
    fn learn(&mut self, now_ms: u64, hop_id: &Id, secret: &LockSecret, out: &mut Out) {
        let Some(mut lane) = self.lane_of_lock(Role::Payee, hop_id).cloned() else { return };
        let Some(lock) = lane.lock.as_mut().filter(|lock| lock.hop == *hop_id && lock.secret.is_none()) else { return };
        let secret = *secret.expose();
        if lock.opened_by(&secret).is_none() {
            return;
        }
        lock.secret = Some(secret);
        let (hop, amount, epoch, cumulative) = (lock.hop, lock.amount, lock.epoch, lock.cumulative);
        lane.remember(Recent { hop, amount, epoch, cumulative });
        lane.total = lane.total.add(amount).unwrap_or(lane.total);
        self.note_hop(now_ms, "claim_accepted", &lane, Some(hop), amount, 0, out);
        let escrow = lane.escrow;
        self.save(lane, out);
        if let Some(entry) = self.lanes.get_mut(&escrow) {
            // The payer learns it by itself in most cases: it is told when that takes long.
            (entry.due_ms, entry.tries) = (now_ms.saturating_add(self.limits.retry_min_ms.saturating_mul(2)), 0);
        }
    }

    /// Is a lock open for this payment of ours?
    pub fn holds_lock(&self, role: Role, own: &Id) -> bool {
        self.lane_of_lock(role, own).is_some_and(|lane| lane.lock.as_ref().is_some_and(|lock| lock.own == *own))
    }

    /// Was this payment of ours signed in plain, or folded?
    pub fn paid_under(&self, own: &Id) -> bool {
        self.paying_lanes().any(|lane| lane.row.recent(own).is_some())
    }

    /// The lane whose lock serves, or lately served, this payment of ours.
    pub(super) fn lane_of_lock(&self, role: Role, own: &Id) -> Option<&EscrowRow> {
        let lane = self.lanes.get(self.index.lane_of_lock(role, own)?).map(|lane| &lane.row)?;
        let serves = lane.lock.as_ref().is_some_and(|lock| lock.own == *own) || lane.recent(own).is_some();
        (lane.role == role && serves).then_some(lane)
    }

    /// Payee: a lock whose secret is known and which nobody folds goes to the ledger from this time on (unix seconds).
    pub(super) fn land_at(&self, lock: &Lock) -> u64 {
        lock.max_time.saturating_sub((self.limits.lock_secs / 4).max(2))
    }

    pub(super) fn say_reveal(&self, lane: &EscrowRow, out: &mut Out) {
        if let Some(Lock { hop, secret: Some(secret), .. }) = &lane.lock {
            let reveal = Reveal { escrow: lane.escrow, hop_id: *hop, secret: *secret };
            self.say(&lane.link, Message::Reveal(reveal), out);
        }
    }

    /// What became of locks of ours since the last call.
    pub fn take_lock_news(&mut self) -> Vec<LockNews> {
        std::mem::take(&mut self.news)
    }

    /// Payee: as `template`, for a claim under a lock.
    pub fn lock_template(
        &self,
        now_ms: u64,
        rng: &mut impl Rng,
        payer: PayerRef,
        hop_id: Id,
        amount: Stroops,
    ) -> Result<Carried, RefusalCode> {
        let link = self.link_from(&payer).ok_or(RefusalCode::NO_LINK)?;
        let lane = self.lock_lane(now_ms, &link.row.id, amount)?;
        self.seal_template(rng, link, lane, hop_id, amount)
    }

    /// Payee: a lane for a locked claim of this amount, the oldest that takes one.
    fn lock_lane(&self, now_ms: u64, link: &Id, amount: Stroops) -> Result<&EscrowRow, RefusalCode> {
        let fits = |row: &&EscrowRow| {
            let due = self.is_due(now_ms, &row.escrow);
            !due && row.takes_lock(now_ms).is_ok() && self.room(now_ms, row) >= amount
        };
        if let Some(lane) = self.lanes_open(link).find(fits) {
            return Ok(lane);
        }
        let newest = self.lanes_open(link).last().ok_or(RefusalCode::ESCROW_PENDING)?;
        let due = self.is_due(now_ms, &newest.escrow);
        newest.takes_lock(now_ms)?;
        // Without room its payer has to open the next one: it sees that when it is asked to sign.
        if due { Err(RefusalCode::FLUSH_PENDING) } else { Ok(newest) }
    }

    pub(super) fn why_no_lane(&self, link: &Id) -> RefusalCode {
        match self.can_pay_link(link) {
            Readiness::NoFunds => RefusalCode::NO_FUNDS,
            Readiness::NoCapacity | Readiness::Closing => RefusalCode::NO_CAPACITY,
            _ => RefusalCode::ESCROW_PENDING,
        }
    }
}
