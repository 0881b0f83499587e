//! Claims: the payer signs them, the payee says where it stands and accepts them.
use super::limits::{LATE_EPOCHS, MAX_SPANS};
use super::links::{Link, Links};
use super::rows::{EscrowRow, Held, Recent, Role, Span};
use super::{LinkRefInfo, PayeeRef, PayerRef, Readiness};
use crate::gateway::core::message::{Carried, Claim, ClaimBody, Id, RefusalCode, TemplateBody};
use crate::gateway::core::seal;
use crate::gateway::port::Out;
use crate::stellar::template;
use crate::units::Stroops;
use rand::Rng;

impl Links {
    /// Payer: adds `amount` to what the payee may claim and signs it. The payment is named `hop_id` here (for the
    /// journal) and by the template at the payee; a repeat of the latter with the same amount gets the same claim.
    ///
    /// Only our own state decides what is signed (payments.md 7: never a transaction told by the payee).
    pub fn sign(
        &mut self,
        now_ms: u64,
        rng: &mut impl Rng,
        hop_id: Id,
        payee: PayeeRef,
        amount: Stroops,
        template: &Carried,
        out: &mut Out,
    ) -> Result<Carried, RefusalCode> {
        let link = self.link_to(&payee, template).ok_or(RefusalCode::NO_LINK)?;
        let (id, key, tag) = (link.row.id, link.row.key, link.row.tag);
        let body = seal::open_template(&key, tag, template).map_err(|_| RefusalCode::BAD_SEAL)?;
        let mut nonce = [0; seal::NONCE_LEN];
        rng.fill_bytes(&mut nonce);
        let known = self.lanes_of(&id).find_map(|lane| lane.recent(&body.hop_id).map(|r| (lane.clone(), *r)));
        let (lane, payment) = match known {
            Some((lane, payment)) if payment.amount == amount => (lane, payment),
            Some(_) => return Err(RefusalCode::DUPLICATE_CONFLICT),
            None => self.sign_new(now_ms, &id, hop_id, &body, amount, out)?,
        };
        let signature = self.signature(&lane, payment.epoch, payment.cumulative).ok_or(RefusalCode::INTERNAL)?;
        let claim = Claim { escrow: lane.escrow, epoch: payment.epoch, cumulative: payment.cumulative, signature };
        let beside = self.beside(&lane, payment.epoch, payment.cumulative).ok_or(RefusalCode::INTERNAL)?;
        let body = ClaimBody { hop_id: body.hop_id, amount, claim, beside };
        seal::seal_claim(&key, tag, nonce, &body).map_err(|_| RefusalCode::INTERNAL)
    }

    fn sign_new(
        &mut self,
        now_ms: u64,
        link: &Id,
        hop_id: Id,
        body: &TemplateBody,
        amount: Stroops,
        out: &mut Out,
    ) -> Result<(EscrowRow, Recent), RefusalCode> {
        self.check_wish(body, amount)?;
        self.plan_if_needed(now_ms, link, out);
        let Some(mut lane) = self.lane_for(now_ms, link, amount, Some(&body.escrow)).cloned() else {
            return Err(self.why_no_lane(link));
        };
        self.check_base(link, &lane, body, out)?;
        if now_ms >= lane.clock_ms(7) {
            // Past half of O (less a margin) a new claim would not count.
            return Err(RefusalCode::FLUSH_PENDING);
        }
        let total = lane.total.add(amount).map_err(|_| RefusalCode::DEPOSIT_EXCEEDED)?;
        self.check_room(now_ms, link, &lane, amount, out)?;
        let cumulative = lane.held.cumulative.add(amount).map_err(|_| RefusalCode::DEPOSIT_EXCEEDED)?;
        let signature = self.signature(&lane, lane.epoch, cumulative).ok_or(RefusalCode::INTERNAL)?;
        let payment = Recent { hop: body.hop_id, amount, epoch: lane.epoch, cumulative };
        lane.total = total;
        lane.held = Held { cumulative, signature: Some(signature) };
        if let Some(lock) = lane.lock.as_mut().filter(|lock| lock.epoch == payment.epoch) {
            lock.cumulative = cumulative.add(lock.amount).map_err(|_| RefusalCode::DEPOSIT_EXCEEDED)?;
        }
        lane.remember(payment);
        self.note_hop(now_ms, "claim_signed", &lane, Some(hop_id), amount, 0, out);
        self.save(lane.clone(), out);
        Ok((lane, payment))
    }

    /// The link on which a payee is paid.
    pub(super) fn link_to(&self, payee: &PayeeRef, template: &Carried) -> Option<&Link> {
        match payee {
            PayeeRef::Tag(tag) => self.link_by_tag(tag, Role::Payer),
            // The tag tells which, should there be more links with that relay than one.
            PayeeRef::Relay(relay) => self
                .link_by_tag(&template.link_tag, Role::Payer)
                .filter(|l| l.row.partner == super::Partner::Relay(*relay))
                .or_else(|| self.link_with(relay, Role::Payer)),
        }
    }

    /// Payer: does the payee expect what is to be signed?
    pub(super) fn check_wish(&self, body: &TemplateBody, amount: Stroops) -> Result<(), RefusalCode> {
        if amount.is_zero() || body.amount > amount {
            return Err(RefusalCode::AMOUNT_BELOW);
        }
        if body.amount < amount { Err(RefusalCode::AMOUNT_ABOVE) } else { Ok(()) }
    }

    /// Payer: do we know all that the payee holds on this lane? Only then do we know what the next claim begins at.
    pub(super) fn check_base(
        &self,
        link: &Id,
        lane: &EscrowRow,
        body: &TemplateBody,
        out: &mut Out,
    ) -> Result<(), RefusalCode> {
        // One epoch ahead with nothing in it is a payee that has begun a flush which we are about to hear of.
        let known = if body.epoch == lane.epoch { lane.held.cumulative } else { Stroops::ZERO };
        let newer = body.escrow == lane.escrow
            && (body.epoch > lane.epoch.saturating_add(1) || body.epoch >= lane.epoch && body.cumulative > known);
        if newer {
            // The payee holds more than we know of: our store is older than it was. It shows it on re-establishing.
            self.reestablish(link, out);
            return Err(RefusalCode::EPOCH);
        }
        // We signed more than our store knows of; what it was in all shows once E was read.
        let ahead = self.lanes.get(&lane.escrow).is_some_and(|l| l.ahead.is_some());
        if ahead { Err(RefusalCode::FLUSH_PENDING) } else { Ok(()) }
    }

    /// Payer: does the deposit hold so much more, beside what is locked?
    pub(super) fn check_room(
        &mut self,
        now_ms: u64,
        link: &Id,
        lane: &EscrowRow,
        amount: Stroops,
        out: &mut Out,
    ) -> Result<(), RefusalCode> {
        if amount <= self.room(now_ms, lane) {
            return Ok(());
        }
        self.plan_lane(now_ms, link, out);
        let possible = amount <= self.limits.deposit;
        Err(if possible { RefusalCode::ESCROW_PENDING } else { RefusalCode::NO_CAPACITY })
    }

    pub(super) fn can_pay_link(&self, link: &Id) -> Readiness {
        let tag = self.links.get(link).map(|l| l.row.tag).unwrap_or_default();
        self.can_pay_to(&PayeeRef::Tag(tag))
    }

    /// Our signature over a claim of ours.
    pub(super) fn signature(&self, lane: &EscrowRow, epoch: u32, cumulative: Stroops) -> Option<[u8; 64]> {
        let signer = &self.links.get(&lane.link)?.signer;
        template::sign_claim(&self.terms(lane)?, epoch, cumulative, signer).ok()
    }

    /// Payee: what the payer has to know for its next claim, sealed for it.
    pub fn template(
        &self,
        rng: &mut impl Rng,
        payer: PayerRef,
        hop_id: Id,
        amount: Stroops,
    ) -> Result<Carried, RefusalCode> {
        let link = self.link_from(&payer).ok_or(RefusalCode::NO_LINK)?;
        // Without a look at the clock: which of the lanes is still good for long is the payer's to say.
        let lane = self.lane_for(0, &link.row.id, amount, None).ok_or(RefusalCode::ESCROW_PENDING)?;
        self.seal_template(rng, link, lane, hop_id, amount)
    }

    /// The link on which a payer pays us.
    pub(super) fn link_from(&self, payer: &PayerRef) -> Option<&Link> {
        match payer {
            PayerRef::Relay(relay) => self.link_with(relay, Role::Payee),
            PayerRef::Tag(tag) => self.link_by_tag(tag, Role::Payee),
        }
    }

    pub(super) fn seal_template(
        &self,
        rng: &mut impl Rng,
        link: &Link,
        lane: &EscrowRow,
        hop_id: Id,
        amount: Stroops,
    ) -> Result<Carried, RefusalCode> {
        let body =
            TemplateBody { hop_id, escrow: lane.escrow, epoch: lane.epoch, cumulative: lane.held.cumulative, amount };
        let mut nonce = [0; seal::NONCE_LEN];
        rng.fill_bytes(&mut nonce);
        seal::seal_template(&link.row.key, link.row.tag, nonce, &body).map_err(|_| RefusalCode::INTERNAL)
    }

    /// Payee: takes a claim for the payment `hop_id` of `amount`. Durable, and idempotent by `hop_id`.
    ///
    /// Credit is given only while what is held and landed covers all credit, and never twice for one part of an epoch.
    pub fn accept(
        &mut self,
        now_ms: u64,
        hop_id: Id,
        amount: Stroops,
        claim: &Carried,
        out: &mut Out,
    ) -> Result<LinkRefInfo, RefusalCode> {
        let link = self.link_by_tag(&claim.link_tag, Role::Payee).ok_or(RefusalCode::NO_LINK)?;
        let id = link.row.id;
        let body = seal::open_claim(&link.row.key, link.row.tag, claim).map_err(|_| RefusalCode::BAD_SEAL)?;
        if body.hop_id != hop_id {
            return Err(RefusalCode::HOP_UNKNOWN);
        }
        if body.amount != amount || amount.is_zero() {
            return Err(RefusalCode::AMOUNT_BELOW);
        }
        if let Some((lane, known)) = self.lanes_of(&id).find_map(|l| l.recent(&hop_id).map(|r| (l, *r))) {
            let same = known.amount == amount;
            return if same {
                Ok(LinkRefInfo { repeated: true, ..self.info(now_ms, lane) })
            } else {
                Err(RefusalCode::DUPLICATE_CONFLICT)
            };
        }
        let mut lane = self.lane_on(&id, &body.claim.escrow).ok_or(RefusalCode::LINK_UNKNOWN)?;
        self.check_claim(now_ms, &lane, &body.claim)?;
        self.raise_lock(now_ms, &mut lane, &body)?;
        credit_span(&mut lane, &body.claim, amount)?;
        let taken = take(&mut lane, &body.claim, self.limits.late_limit);
        let before = out.rows.len();
        self.fold_in(now_ms, &mut lane, out);
        lane.note_gap();
        let credited = lane.total.add(amount).map_err(|_| RefusalCode::DEPOSIT_EXCEEDED)?;
        if credited > lane.claimed(now_ms) {
            // A carry that is still to be signed may cover it later; else the payer signed too little.
            out.rows.truncate(before); // of a claim that does not count nothing is written
            let later = !taken || lane.frozen.is_some() || lane.carry.is_some();
            return Err(if later { RefusalCode::FLUSH_PENDING } else { RefusalCode::NOT_PAID });
        }
        // Never more credit than the deposit can ever pay.
        if credited.saturating_sub(lane.netted) > self.capacity(&lane) {
            out.rows.truncate(before);
            return Err(RefusalCode::DEPOSIT_EXCEEDED);
        }
        lane.total = credited;
        let Claim { epoch, cumulative, .. } = body.claim;
        lane.remember(Recent { hop: hop_id, amount, epoch, cumulative });
        self.note_hop(now_ms, "claim_accepted", &lane, Some(hop_id), amount, 0, out);
        let info = self.info(now_ms, &lane);
        self.save(lane, out);
        Ok(info)
    }

    fn info(&self, now_ms: u64, lane: &EscrowRow) -> LinkRefInfo {
        LinkRefInfo {
            link: lane.link,
            partner: self.links.get(&lane.link).map_or(super::Partner::Anonymous, |l| l.row.partner),
            escrow: lane.escrow,
            credited: lane.total,
            claimed: lane.claimed(now_ms),
            landed: lane.landed,
            repeated: false,
        }
    }

    /// Payee: may this claim count at all? Cheap checks first, the signature last.
    pub(super) fn check_claim(&self, now_ms: u64, lane: &EscrowRow, claim: &Claim) -> Result<(), RefusalCode> {
        if !lane.state.is_usable() {
            return Err(RefusalCode::ESCROW_PENDING);
        }
        if now_ms >= lane.clock_ms(8) {
            return Err(RefusalCode::FLUSH_PENDING); // past half of O it counts only when landed
        }
        if claim.epoch > lane.epoch || claim.epoch.saturating_add(LATE_EPOCHS) < lane.epoch {
            return Err(RefusalCode::EPOCH);
        }
        self.check_amount(lane, claim)
    }

    /// Payee: is it signed, and can it land beside all that we hold?
    pub(super) fn check_amount(&self, lane: &EscrowRow, claim: &Claim) -> Result<(), RefusalCode> {
        let before = if claim.epoch == lane.epoch {
            let frozen = lane.frozen.as_ref().map_or(Stroops::ZERO, |f| f.held.cumulative);
            lane.landed.add(frozen).map_err(|_| RefusalCode::DEPOSIT_EXCEEDED)?
        } else {
            // A claim of an epoch that was frozen lands beside all that landed and all that the open epoch holds.
            lane.landed.add(lane.held.cumulative).map_err(|_| RefusalCode::DEPOSIT_EXCEEDED)?
        };
        if before.add(claim.cumulative).map_or(true, |sum| sum > self.capacity(lane)) {
            return Err(RefusalCode::DEPOSIT_EXCEEDED);
        }
        if self.is_signed(lane, claim) { Ok(()) } else { Err(RefusalCode::CLAIM_INVALID) }
    }
}

/// Payee: keeps a valid claim if it is the largest of its epoch; false when it adds nothing that can still land.
pub(super) fn take(lane: &mut EscrowRow, claim: &Claim, late_limit: Stroops) -> bool {
    let new = Held { cumulative: claim.cumulative, signature: Some(claim.signature) };
    if claim.epoch == lane.epoch {
        if new.cumulative > lane.held.cumulative {
            lane.held = new;
        }
        return true;
    }
    let Some(frozen) = lane.frozen.as_mut().filter(|f| f.epoch == claim.epoch) else { return false };
    // Once the flush is under way what exceeds it comes back only as a carry: a promise, taken in small amounts.
    let bound = frozen.lands().map(|lands| lands.add(late_limit).unwrap_or(Stroops::MAX));
    if bound.is_some_and(|bound| new.cumulative > bound) {
        return false;
    }
    if new.cumulative > frozen.held.cumulative {
        frozen.held = new;
    }
    true
}

/// Nothing of an epoch buys credit any more: whatever did is forgotten.
pub(super) fn all_credited(lane: &mut EscrowRow, epoch: u32) {
    lane.spans.retain(|s| s.epoch != epoch);
    lane.spans.push(Span { epoch, from: 0, to: Stroops::MAX.get() });
    lane.spans.sort_by_key(|s| (s.epoch, s.from));
}

/// Marks the part of the epoch that this claim adds as credited. Refuses what overlaps: the payer's amounts only
/// rise, so two honest payments never share a part.
fn credit_span(lane: &mut EscrowRow, claim: &Claim, amount: Stroops) -> Result<(), RefusalCode> {
    let to = claim.cumulative.get();
    let from = to.checked_sub(amount.get()).ok_or(RefusalCode::AMOUNT_BELOW)?;
    let epoch = claim.epoch;
    if lane.spans.iter().any(|s| s.epoch == epoch && s.from < to && from < s.to) {
        return Err(RefusalCode::DUPLICATE_CONFLICT);
    }
    let oldest = lane.epoch.saturating_sub(LATE_EPOCHS);
    lane.spans.retain(|s| s.epoch >= oldest);
    lane.spans.push(Span { epoch, from, to });
    lane.spans.sort_by_key(|s| (s.epoch, s.from));
    lane.spans.dedup_by(|next, last| {
        let touches = last.epoch == next.epoch && last.to == next.from;
        if touches {
            last.to = next.to;
        }
        touches
    });
    while lane.spans.len() > MAX_SPANS {
        let Some(pair) = lane.spans.windows(2).position(|w| w[0].epoch == w[1].epoch) else { break };
        lane.spans[pair].to = lane.spans[pair + 1].to;
        lane.spans.remove(pair + 1);
    }
    Ok(())
}

impl EscrowRow {
    /// Payee: marks the topmost `amount` that is held in the open epoch and was credited to nobody as credited, as far
    /// as there is so much in one piece: what a lock was folded into.
    pub(super) fn credit_top(&mut self, epoch: u32, amount: Stroops) {
        let mut to = self.held.cumulative.get();
        for span in self.spans.iter().filter(|s| s.epoch == epoch).rev() {
            if to.saturating_sub(span.to) >= amount.get() {
                break;
            }
            to = to.min(span.from);
        }
        if let Some(from) = to.checked_sub(amount.get()) {
            self.spans.push(Span { epoch, from, to });
            self.spans.sort_by_key(|s| (s.epoch, s.from));
        }
    }
}
